"""What is decided for an asset, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from conda_assets.digest import Digest
from conda_assets.model import Asset, LinkMode, LinkType, Placed, Root, Step, Stored, Unpack, Verb
from conda_assets.plan import Choice, Disk, is_wanted, make_plan, url_key

SHA = "a" * 64
ASSET = Asset(name="weights", url="https://example.org/w.bin", path="models/w.bin", digest=Digest("sha256", SHA), size_bytes=7)
PLACED = Placed(
    name="weights", path="models/w.bin", root=Root.PREFIX, sha256=SHA, size_bytes=7, modified_ns=1, link=LinkType.HARDLINK,
    source="https://example.org/w.bin", url_key=url_key(ASSET.url), want=f"sha256:{SHA}",
)  # fmt: skip
STORED = Stored(Path("/store/sha256/aa/" + SHA), SHA, 7, 1)
HERE = Choice(subdir="linux-64")
EMPTY = Disk(placed={}, stands=lambda placed: False, find=lambda asset: None)


def step_of(asset: Asset, choice: Choice = HERE, disk: Disk = EMPTY) -> Step:
    (step,) = make_plan((asset,), choice, disk, "/project").steps
    return step


def test_what_is_nowhere_is_fetched() -> None:
    assert step_of(ASSET) == Step(Verb.FETCH, ASSET, "not here yet")


def test_what_the_store_has_is_linked() -> None:
    disk = replace(EMPTY, find=lambda asset: STORED)
    assert step_of(ASSET, disk=disk) == Step(Verb.LINK, ASSET, "not here yet", stored=STORED)


def test_what_stands_is_kept_and_the_store_is_not_asked() -> None:
    def find(asset: Asset) -> Stored | None:
        raise AssertionError("asked the store")

    disk = Disk(placed={"weights": PLACED}, stands=lambda placed: True, find=find)
    assert step_of(ASSET, disk=disk) == Step(Verb.KEEP, ASSET, "already right", placed=PLACED)


def test_what_was_changed_is_brought_again() -> None:
    disk = Disk(placed={"weights": PLACED}, stands=lambda placed: False, find=lambda asset: None)
    assert step_of(ASSET, disk=disk) == Step(Verb.FETCH, ASSET, "gone or changed since it was placed")


def test_another_hash_in_the_file_replaces_what_stands() -> None:
    asked = replace(ASSET, digest=Digest("sha256", "b" * 64))
    disk = Disk(placed={"weights": PLACED}, stands=lambda placed: True, find=lambda asset: None)
    assert step_of(asked, disk=disk) == Step(Verb.FETCH, asked, "the file asks for something else now")


@pytest.mark.parametrize(
    ("asset", "choice", "because"),
    [
        (replace(ASSET, platforms=("osx-arm64",)), HERE, "only for osx-arm64"),
        (replace(ASSET, groups=("train", "all")), HERE, "only with --group train or --group all"),
        (ASSET, replace(HERE, only=("other",)), "not named by --only"),
        (replace(ASSET, env="WEIGHTS"), replace(HERE, user_set=("weights",)), "$WEIGHTS is set by you"),
    ],
    ids=["platform", "group", "only", "variable"],
)
def test_what_is_not_meant_is_skipped(asset: Asset, choice: Choice, because: str) -> None:
    assert step_of(asset, choice) == Step(Verb.SKIP, asset, because)


@pytest.mark.parametrize(
    ("asset", "choice"),
    [
        (replace(ASSET, platforms=("linux-64",)), HERE),
        (replace(ASSET, groups=("train",)), replace(HERE, groups=("train",))),
        (replace(ASSET, groups=("train",)), replace(HERE, all_groups=True)),
        (replace(ASSET, groups=("train",)), replace(HERE, only=("weights",))),
    ],
    ids=["platform", "group", "all-groups", "only-names-it"],
)
def test_what_is_meant_is_brought(asset: Asset, choice: Choice) -> None:
    assert step_of(asset, choice).verb is Verb.FETCH


@pytest.mark.parametrize(
    ("asset", "placed", "wanted"),
    [
        (ASSET, PLACED, True),
        (replace(ASSET, path="other"), PLACED, False),
        (replace(ASSET, root=Root.PROJECT), PLACED, False),
        (replace(ASSET, link=LinkMode.COPY), PLACED, False),
        (replace(ASSET, link=LinkMode.COPY), replace(PLACED, link=LinkType.COPY, private=True), True),
        (ASSET, replace(PLACED, link=LinkType.COPY), True),
        (ASSET, replace(PLACED, link=LinkType.COPY, private=True), False),
        (replace(ASSET, digest=None), PLACED, True),
        (replace(ASSET, digest=None, url="https://example.org/v2.bin"), PLACED, False),
        (replace(ASSET, digest=Digest("md5", "c" * 32)), PLACED, False),
        (replace(ASSET, digest=Digest("md5", "c" * 32)), replace(PLACED, want="md5:" + "c" * 32), True),
        (
            replace(ASSET, root=Root.PROJECT),
            replace(PLACED, root=Root.PROJECT, project="/elsewhere"),
            False,
        ),
        (replace(ASSET, unpack=Unpack()), PLACED, False),
        (ASSET, replace(PLACED, unpack=Unpack()), False),
        (replace(ASSET, unpack=Unpack(1)), replace(PLACED, unpack=Unpack(1)), True),
        (replace(ASSET, unpack=Unpack(1, ("*.csv",))), replace(PLACED, unpack=Unpack(1)), False),
        (
            replace(ASSET, unpack=Unpack()),
            replace(PLACED, unpack=Unpack(), source="https://example.org/v.csv.gz"),
            False,
        ),
    ],
    ids=[
        "same", "other-path", "other-root", "copy-wanted", "copy-placed", "fallback-copy", "copy-not-wanted", "unhashed-same-url",
        "unhashed-other-url", "other-algorithm", "same-md5", "other-project",
        "unpack-wanted", "unpack-not-wanted", "unpacked", "other-members", "other-name-inside",
    ],
)  # fmt: skip
def test_a_receipt_line_is_compared_with_what_the_file_asks_for(asset: Asset, placed: Placed, wanted: bool) -> None:
    assert is_wanted(placed, asset, "/project") is wanted
