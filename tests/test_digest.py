"""Digests of text, of files, and of files that are still growing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conda_assets.digest import ALGORITHMS, Digest, Follower, digest_file, parse_digest


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_digest_survives_its_text(algorithm: str) -> None:
    digest = Digest(algorithm, "0f" * (ALGORITHMS[algorithm] // 2))
    assert parse_digest(str(digest)) == digest
    assert parse_digest(f" {algorithm.upper()} : {digest.hex.upper()} ") == digest


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0f" * 32, "expected `algorithm:hex`, for example `sha256:` and 64 hex digits"),
        ("crc:00", "unknown algorithm 'crc', expected one of sha256, sha512, sha1, md5, blake3"),
        ("md5:00", "expected 32 hex digits for md5, got 2"),
        ("md5:" + "g" * 32, "expected hex digits, got ['g']"),
    ],
    ids=["bare", "unknown", "short", "letters"],
)
def test_what_is_no_digest_says_what_is_expected(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        parse_digest(text)
    assert str(caught.value) == says


def test_a_file_is_hashed_in_one_pass_by_several_algorithms(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3_000_001)
    digests = digest_file(path, frozenset({"sha256", "md5"}))
    assert digests == {
        "md5": Digest("md5", hashlib.md5(b"x" * 3_000_001).hexdigest()),
        "sha256": Digest("sha256", hashlib.sha256(b"x" * 3_000_001).hexdigest()),
    }


@given(body=st.binary(max_size=5000), cuts=st.lists(st.integers(0, 5000), max_size=8))
def test_a_growing_file_gives_the_digest_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("grow") / "file"
    follower = Follower(path, frozenset({"sha256"}))
    written = 0
    with path.open("wb", buffering=0) as file:
        for cut in [*sorted(min(cut, len(body)) for cut in cuts), len(body)]:
            file.write(body[written:cut])
            written = max(written, cut)
            follower.advance(written)
            assert follower.done_bytes == written
    assert follower.digests()["sha256"].hex == hashlib.sha256(body).hexdigest()


def test_a_file_that_shrank_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"short")
    with pytest.raises(EOFError):
        Follower(path, frozenset({"sha256"})).advance(6)
