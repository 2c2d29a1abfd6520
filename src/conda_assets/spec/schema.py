"""The JSON Schema of environment.yml with `assets:`, for editors; made from the table that the walker uses."""

from __future__ import annotations

from conda_assets.spec.fields import FIELDS
from conda_assets.spec.types import Schema, schema_of
from conda_assets.spec.web import Url

__all__ = ["json_schema"]

#: Names the format; a new one for each incompatible change.
SCHEMA_ID = "urn:conda-assets:schema:environment:1"

_OF_CONDA: Schema = {
    "name": {"description": "The name of the environment."},
    "prefix": {"description": "The path of the environment."},
    "channels": {"description": "Where packages come from, first one first.", "examples": [["conda-forge"]]},
    "dependencies": {"description": "The packages.", "examples": [["python=3.12", {"pip": ["pooch"]}]]},
    "variables": {"description": "Environment variables to set on activation."},
    "platforms": {"description": "The platforms that the environment is for."},
    "category": {"description": "The category of the environment."},
}


def json_schema() -> dict[str, object]:
    """A JSON Schema (draft 2020-12) for a file with `assets:`.

    It says what one value may be. What lies between values (names twice, paths inside each other, variables that are not set) is
    for the walker alone.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "environment.yml with assets",
        "description": "A conda environment and the large files that belong to it.",
        "type": ["object", "null"],
        "properties": {
            **_OF_CONDA,
            "assets": {
                "description": "Large files that belong to the environment: fetched, verified, shared, and put at their `path`.",
                "type": ["array", "null"],
                "items": {"$ref": "#/$defs/asset"},
                "examples": [["https://example.org/data/train.csv"]],
            },
        },
        "additionalProperties": True,
        "$defs": {
            "asset": {
                "title": "asset",
                "description": "A URL, or a map with `url:`.",
                "anyOf": [{"$ref": "#/$defs/url"}, {"$ref": "#/$defs/entry"}],
            },
            "entry": {"type": "object", "properties": schema_of(FIELDS), "required": ["url"], "additionalProperties": False},
            "url": Url.definition(),
        },
    }
