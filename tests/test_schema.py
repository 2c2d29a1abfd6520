"""The JSON Schema and the walker come from one table: they must agree on every file and on every entry."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from conda_assets.errors import SpecInvalid
from conda_assets.model import Asset
from conda_assets.spec import json_schema, load_texts
from conda_assets.spec.fields import FIELDS
from test_spec_files import INVALID, VALID, notes

SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
FIELD_OF = {"digest": "hash", "size_bytes": "size"}
NOT_IN_A_FILE = {"file", "line", "size_slack_bytes", "member", "written", "relock", "pieces", "torrent"}


def as_conda_reads(path: Path) -> object:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8-sig"))


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


def test_every_field_of_an_asset_is_in_the_table_and_in_the_schema() -> None:
    entry = SCHEMA["$defs"]["entry"]  # type: ignore[index]
    attributes = {FIELD_OF.get(name, name) for name in Asset.__dataclass_fields__ if name not in NOT_IN_A_FILE}
    assert set(entry["properties"]) == set(FIELDS) == attributes | {"sha256"}


def test_an_editor_can_explain_every_field() -> None:
    for name, field in SCHEMA["$defs"]["entry"]["properties"].items():  # type: ignore[index]
        assert field["description"].endswith((".", "`")), name
        assert len(field["description"]) > 30, name
        assert field["examples"], name


def test_every_example_of_the_schema_is_valid() -> None:
    for name, field in SCHEMA["$defs"]["entry"]["properties"].items():  # type: ignore[index]
        for example in field["examples"]:
            entry = {"name": "x", "url": "https://x.org/x", name: example}
            assert not list(VALIDATOR.iter_errors({"assets": [entry]})), (name, example)
            load_texts([("f", json.dumps({"assets": [entry]}))], environ={"TOKEN": "t"}, base=Path())


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_file_validates(path: Path) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(as_conda_reads(path))] == []


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_the_schema_refuses_exactly_the_entries_with_a_structural_fault(path: Path) -> None:
    faults, beyond = notes(path, "fault"), notes(path, "beyond")
    try:
        data = as_conda_reads(path)
    except (YAMLError, OverflowError):
        assert not beyond
        return  # an editor says so itself
    if any(re.match(r"\d+:\d+: (?!assets\[)", fault) for fault in beyond):
        return  # a fault of the whole file
    wanted = {int(index) for fault in faults for index in re.findall(r"^\d+:\d+: assets\[(\d+)\]", fault)}
    refused = {error.absolute_path[1] for error in VALIDATOR.iter_errors(data) if len(error.absolute_path) > 1}
    assert refused == wanted
    assert VALIDATOR.is_valid(data) is not bool(faults)


ANY_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.dates(datetime.date(1000, 1, 1))
    | st.sampled_from(
        [
            "https://x.org/a",
            "a b",
            "a/../b",
            "${X}",
            "5 MB",
            "linux-64",
            "copy",
            "project",
            "CON",
            "a" * 64,
            "md5:" + "0" * 32,
            "a\n",
            "../x",
            "/x",
            "x/",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["strip", "include", "A", "b c", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)
ANY_ENTRY = (
    st.dictionaries(st.sampled_from([*FIELDS, "urls", "x"]), ANY_VALUE, max_size=6).map(
        lambda fields: {"name": "n", "url": "https://x.org/a", **fields}
    )
    | ANY_VALUE
)


@settings(max_examples=400, deadline=None)
@given(ANY_ENTRY)
def test_whatever_the_walker_takes_the_schema_takes_too(entry: object) -> None:
    text = yaml.safe_dump({"assets": [entry]}, allow_unicode=True)
    try:
        data = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        assume(False)  # the writer is of YAML 1.1
    try:
        load_texts([("f", text)], environ={"X": "https://x.org/x"}, base=Path())
    except SpecInvalid:
        return
    assert [error.message for error in VALIDATOR.iter_errors(data)] == []
