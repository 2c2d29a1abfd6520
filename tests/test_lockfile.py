"""The lock as a text: the same facts are the same bytes, and what is wrong in it is named by line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conda_assets.digest import Digest, Follower, Pieces, piece_size_for
from conda_assets.errors import LockInvalid
from conda_assets.model import Asset
from conda_assets.spec.hiding import without_secrets
from conda_assets.spec.lockfile import Entry, lock_text, misfit
from conda_assets.spec.lockread import read_lock

SHA = Digest("sha256", "2f" * 32)
MD5 = Digest("md5", "0" * 32)
FULL = Entry(
    name="gpt2",
    url="hf://openai-community/gpt2/model.safetensors",
    mirrors=("https://lab.example/gpt2?v=2", "https://me:${PW}@lab.example/w.bin"),
    final_url="https://huggingface.co/gpt2",
    pinned_url="hf://openai-community/gpt2@607a30d7/model.safetensors",
    revision="607a30d7",
    size_bytes=(4 << 20) + 1,
    sha256=SHA,
    other=MD5,
    etag='"5f3c"',
    modified="Sat, 01 Nov 2025 12:00:00 GMT",
    vouched_by="Hugging Face",
    pieces=Pieces(4 << 20, bytes(range(64))),
)
PATTERN = Entry(
    name="corpus",
    url="hf://lab/corpus/data/*.parquet",
    revision="607a",
    files=(Entry("data/0.parquet", url="hf://lab/corpus@607a/data/0.parquet", size_bytes=1, sha256=Digest("sha256", "24" * 32)),),
)


def read(text: str) -> dict[str, Entry]:
    return dict(read_lock(text, "environment.assets.lock").entries)


def faults(text: str) -> list[str]:
    with pytest.raises(LockInvalid) as caught:
        read(text)
    assert caught.value.exit_code == 2
    return [str(fault) for fault in caught.value.faults]


def lock(*lines: str) -> str:
    return "\n".join(["version: 1", "assets:", *lines, ""])


def test_what_is_written_is_read_and_written_again_the_same() -> None:
    text = lock_text([FULL, PATTERN])
    assert read(text) == {"corpus": PATTERN, "gpt2": FULL}
    assert lock_text(read(text).values()) == text
    assert lock_text([PATTERN, FULL]) == text, "whatever the order"


def test_other_readers_of_yaml_see_the_same() -> None:
    content = yaml.safe_load(lock_text([FULL, PATTERN]))
    assert [entry["name"] for entry in content["assets"]] == ["corpus", "gpt2"]
    gpt2 = content["assets"][1]
    assert gpt2["etag"] == FULL.etag
    assert gpt2["size"] == FULL.size_bytes
    assert gpt2["mirrors"] == list(FULL.mirrors)


LINES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u200b\u2028\u2029\ufeff"), min_size=1).filter(
    lambda text: (
        not any("\u200b" <= sign <= "\u200f" or "\u2028" <= sign <= "\u202e" or "\u2060" <= sign <= "\u2069" for sign in text)
    )
)


@given(url=LINES, etag=LINES, revision=LINES, mirrors=st.lists(LINES, unique=True, max_size=3))
def test_any_text_survives(url: str, etag: str, revision: str, mirrors: list[str]) -> None:
    entry = Entry("a", url=url, mirrors=tuple(mirrors), etag=etag, revision=revision, sha256=SHA)
    text = lock_text([entry])
    assert read(text) == {"a": entry}
    assert text.count("\n") == 9 + (len(mirrors) + 1 if mirrors else 0)
    (row,) = yaml.safe_load(text)["assets"]
    assert (row["url"], row["etag"], row["revision"]) == (url, etag, revision)


def read_or_refused(text: str) -> None:
    try:
        found = read(text)
    except LockInvalid as error:
        lines = [fault.line for fault in error.faults]
    else:
        lines = [1 for entry in found.values() if entry.files or entry.digests()]
        assert len(lines) == len(found)
        return
    assert lines
    assert min(lines) >= 1


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    read_or_refused(text)


PUT = st.one_of(st.sampled_from(["", "\n", "  ", "- ", ": ", "'", '"', "[", "{", "&a", "*a", "<<: ", "!!x "]), st.text())


@given(st.data())
def test_a_broken_lock_is_read_or_refused(data: st.DataObject) -> None:
    text = lock_text([FULL, PATTERN])
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    read_or_refused(text[:start] + data.draw(PUT) + text[end:])


GOOD = f"- name: a\n  url: b\n  sha256: {SHA.hex}\n"
PIECE = f"{'A' * 43}="
FILES = f"- name: a\n  url: b\n  files:\n  - path: ../x\n    url: c\n    hash: {MD5}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", ":1:1: version: this is not a lock of conda-assets: it has no `version`", id="empty"),
        pytest.param("version: 2\nassets: 7", ":1:10: version: a lock of version `2`, this conda-assets reads 1", id="newer"),
        pytest.param("version: 1\n", ":1:1: assets: the key is missing", id="no-assets"),
        pytest.param(lock("- name: a", "  url: b"), ":3:3: assets[0].sha256 (a): neither `sha256` nor `hash`", id="no-hash"),
        pytest.param(lock(GOOD * 2), ":6:3: assets[1].name (a): `a` is there twice", id="twice"),
        pytest.param(
            lock(GOOD.rstrip(), "  sha256: 12"), "assets[0].sha256: the key is there twice, first in line 5", id="key-twice"
        ),
        pytest.param(lock("- name: a", "  sha256: 12"), "assets[0].sha256 (a): YAML reads `12` as a number", id="number"),
        pytest.param(lock("- name: a", "  sha256: abc"), ":4:11: assets[0].sha256 (a): expected 64 hex digits", id="short"),
        pytest.param(lock(f"- name: a\n  hash: {MD5}"), "assets[0].url (a): the key is missing", id="no-url"),
        pytest.param(
            lock(GOOD + f"  size: 5000000\n  piece_size: 4194304\n  pieces: {PIECE}"),
            ":8:11: assets[0].pieces (a): expected the sha256 of 2 pieces, got 1",
            id="pieces",
        ),
        pytest.param(lock(GOOD + f"  pieces: {PIECE}"), "`pieces` wants `piece_size` and `size` beside it", id="pieces-alone"),
        pytest.param(lock(FILES), ":6:11: assets[0].files[0].path (a)", id="path"),
        pytest.param(lock("<<<<<<< HEAD", "- name: a"), ":3:1: a merge is not finished here", id="conflict"),
    ],
)
def test_faults_are_named_by_line(text: str, said: str) -> None:
    assert any(said in fault for fault in faults(text)), faults(text)


def test_the_blocks_of_two_branches_can_be_put_together_in_any_order() -> None:
    one, two = lock_text([FULL]), lock_text([PATTERN])
    together = one + two.split("assets:\n", 1)[1]
    assert lock_text(read(together).values()) == lock_text([PATTERN, FULL])


@pytest.mark.parametrize(
    ("written", "safe"),
    [
        ("https://me:pw@lab.example/w", "https://lab.example/w"),
        ("https://token@lab.example/w", "https://lab.example/w"),
        ("sftp://me@lab.example/w", "sftp://me@lab.example/w"),
        ("sftp://me:pw@lab.example/w", "sftp://lab.example/w"),
        ("https://${ME}:${PW}@lab.example/w", "https://${ME}:${PW}@lab.example/w"),
        ("https://lab.example/w?v=1&sig=abc#part", "https://lab.example/w?v=1&sig=***#part"),
        ("https://lab.example/w?api_key=${KEY}", "https://lab.example/w?api_key=${KEY}"),
        ("https://lab.example/a@b?c=d", "https://lab.example/a@b?c=d"),
    ],
)
def test_secrets_that_stand_in_the_file_are_not_copied(written: str, safe: str) -> None:
    assert without_secrets(written) == safe
    assert without_secrets(safe) == safe


def test_an_entry_fits_what_the_file_asks_for() -> None:
    asset = Asset(name="gpt2", url=FULL.url, path="gpt2")
    assert misfit(FULL, asset) == ""
    assert misfit(FULL, Asset(name="gpt2", url=FULL.url, path="g", digest=MD5)) == ""
    assert "sha256" in misfit(FULL, Asset(name="gpt2", url=FULL.url, path="g", digest=Digest("sha256", "0" * 64)))
    assert "sha1" in misfit(FULL, Asset(name="gpt2", url=FULL.url, path="g", digest=Digest("sha1", "0" * 40)))
    assert "`size`" in misfit(FULL, Asset(name="gpt2", url=FULL.url, path="g", size_bytes=7))
    assert "`url`" in misfit(FULL, Asset(name="gpt2", url="https://else.example", path="g"))


@pytest.mark.parametrize("size", [0, 1, 4 << 20, (4 << 20) + 1, (8 << 20), (9 << 20) + 7])
def test_pieces_are_hashed_beside_the_whole(size: int, tmp_path: Path) -> None:
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    path = tmp_path / "f"
    path.write_bytes(body)
    follower = Follower(path, frozenset({"sha256"}), 4 << 20)
    for stop in (size // 3, size // 2 + 1 if size else 0, size):
        follower.advance(min(stop, size))
    pieces = follower.pieces()
    assert follower.digests()["sha256"].hex == hashlib.sha256(body).hexdigest()
    if size <= 4 << 20:
        assert pieces is None
    else:
        assert pieces is not None
        assert pieces.digests == b"".join(hashlib.sha256(body[at : at + (4 << 20)]).digest() for at in range(0, size, 4 << 20))


@pytest.mark.parametrize(("size", "piece"), [(1, 4 << 20), (4 << 30, 4 << 20), ((4 << 30) + 1, 8 << 20), (100 << 30, 128 << 20)])
def test_there_are_never_more_than_1024_pieces(size: int, piece: int) -> None:
    assert piece_size_for(size) == piece
