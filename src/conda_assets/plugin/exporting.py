"""`conda export`, `conda env export`: the assets of the environment stand in the file that they write (conda 25.7 on)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

__all__ = ["with_section"]

_YAML, _JSON = "environment-yaml", "environment-json"


def with_section(exporter: Any) -> Any:
    """The same exporter, whose text has the environment's assets; others, such as `explicit`, have no place for them."""
    if exporter.name not in (_YAML, _JSON) or exporter.export is None:
        return exporter
    return replace(exporter, export=_adding(exporter.export, as_json=exporter.name == _JSON))


def _adding(export: Callable[[Any], str], *, as_json: bool) -> Callable[[Any], str]:
    def exported(environment: Any) -> str:
        text = export(environment)
        if not environment.prefix:
            return text
        from conda_assets.cli import inside

        return inside.add_section(text, environment.prefix, as_json=as_json)

    return exported
