"""The receipt: what it keeps, and what it refuses to believe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

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
