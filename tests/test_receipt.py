"""The receipt: what it keeps, and what it refuses to believe."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conda_assets.errors import DiskRefused, UsageError
from conda_assets.model import LinkType, Placed, Root, Unpack
from conda_assets.receipt import read_receipt, receipt_path, write_receipt

FULL = Placed(
    name="weights", path="models/w.bin", root=Root.PROJECT, sha256="a" * 64, size_bytes=7, modified_ns=123,
    link=LinkType.REFLINK,
    source="https://example.org/w.bin", url_key="b" * 64, want="md5:" + "c" * 32, env="WEIGHTS", groups=("train",), optional=True,
    private=True, project="/home/ü/p", unpack=Unpack(1, ("*.csv", "ü/**")),
)  # fmt: skip
PLAIN = Placed("a", "a", Root.PREFIX, "d" * 64, 0, 0, LinkType.SYMLINK, "https://example.org/a", "e" * 64)


def test_a_receipt_survives_the_disk(tmp_path: Path) -> None:
    write_receipt(tmp_path, [FULL, PLAIN])
    assert read_receipt(tmp_path) == {"a": PLAIN, "weights": FULL}
    first = receipt_path(tmp_path).read_bytes()
    write_receipt(tmp_path, [PLAIN, FULL])
    assert receipt_path(tmp_path).read_bytes() == first, "same lines, same bytes, whatever their order"
    assert [path.name for path in receipt_path(tmp_path).parent.iterdir()] == ["receipt.json"]


def test_an_environment_without_a_receipt_has_no_assets(tmp_path: Path) -> None:
    assert read_receipt(tmp_path) == {}
    assert read_receipt(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"schema": 1}', '{"schema": 1, "assets": [{}]}', '{"schema": 1, "assets": 3}', "\xff"],
    ids=["empty", "cut", "list", "blank", "no-assets", "no-name", "number", "not-utf8"],
)
def test_a_damaged_receipt_is_named_with_the_way_out(tmp_path: Path, text: str) -> None:
    path = receipt_path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        read_receipt(tmp_path)
    assert str(path) in caught.value.message
    assert caught.value.hints[0].text == f"delete {path}, then run `conda assets sync` again"


def test_a_newer_receipt_is_not_guessed_at(tmp_path: Path) -> None:
    write_receipt(tmp_path, [PLAIN])
    path = receipt_path(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 2}))
    with pytest.raises(UsageError, match="version 2"):
        read_receipt(tmp_path)


def test_a_prefix_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("a file where a folder should be")
    with pytest.raises(DiskRefused) as caught:
        write_receipt(tmp_path, [replace(PLAIN)])
    assert str(receipt_path(tmp_path)) in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("a./\\:\x00é{", max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=4),
    max_leaves=8,
)
ROWS = st.fixed_dictionaries(
    {},
    optional={
        name: JSON | st.just(value)
        for name, value in json.loads(
            json.dumps(
                {**{each.name: getattr(FULL, each.name) for each in fields(FULL)}, "unpack": {"strip": 1, "include": ["*.csv"]}}
            )
        ).items()
    },
)


@given(JSON | st.fixed_dictionaries({"schema": st.just(1) | JSON, "assets": st.lists(ROWS, max_size=3) | JSON}))
@settings(max_examples=400, deadline=None)
def test_whatever_stands_there_is_a_receipt_or_an_error(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    prefix = tmp_path_factory.getbasetemp() / "fuzzed"
    receipt_path(prefix).parent.mkdir(parents=True, exist_ok=True)
    receipt_path(prefix).write_text(json.dumps(content), encoding="utf-8")
    with suppress(UsageError):
        for placed in read_receipt(prefix).values():
            assert ".." not in placed.path.split("/")
            assert not placed.path.startswith("/")
            assert all(each is None or isinstance(each, str) for each in (placed.want, placed.env, placed.project))


@given(st.binary(max_size=60) | st.sampled_from([b"[" * 200_000, b'{"schema": 1, "assets": ' + b"[" * 200_000, b"1e999", b"NaN"]))
@settings(max_examples=200, deadline=None)
def test_bytes_of_any_kind_are_refused_as_a_receipt(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    prefix = tmp_path_factory.getbasetemp() / "fuzzed"
    receipt_path(prefix).parent.mkdir(parents=True, exist_ok=True)
    receipt_path(prefix).write_bytes(content)
    with pytest.raises(UsageError):
        read_receipt(prefix)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", ""])
def test_a_path_in_a_receipt_leads_nowhere_else(tmp_path: Path, path: str) -> None:
    """An environment is copied from somebody, and its receipt with it."""
    write_receipt(tmp_path, [replace(PLAIN, path=path)])
    with pytest.raises(UsageError, match="no path below"):
        read_receipt(tmp_path)
