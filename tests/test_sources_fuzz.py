"""Whatever stands in a URL or comes from a server: an answer or an error of ours, never another exception."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from conda_assets.errors import AssetsError, UnsafePath
from conda_assets.sources.asking import Answer, links_of
from conda_assets.sources.checksums import of_headers, of_listing
from conda_assets.sources.github import _place
from conda_assets.sources.hub import read_place
from conda_assets.sources.metalink import read_metalink
from conda_assets.sources.patterns import is_safe, matching
from conda_assets.sources.signed import good_for_s

_TEXT = st.text(max_size=60)
_PATHS = st.lists(st.text("ab/.*\\:[]?\x00é", max_size=12), max_size=6)
_NAMES = ("Repr-Digest", "Digest", "ETag", "Server", "x-goog-hash", "Content-MD5", "x-amz-checksum-sha256", "X-Checksum-md5")
_HEX = st.text("0123456789abcdefABCDEF", min_size=28, max_size=130)


@given(st.text("hf:/@datasets.*?%2eF-_ é", max_size=60))
@settings(max_examples=300, deadline=None)
def test_urls(text: str) -> None:
    for read in (read_place, _place):
        with suppress(AssetsError):
            place = read("weights", f"x:{text}")
            if read is read_place:
                assert read_place("weights", place.url) == place  # type: ignore[union-attr]


@given(_TEXT, _PATHS)
@settings(max_examples=300, deadline=None)
def test_names_in_a_list(pattern: str, paths: list[str]) -> None:
    with suppress(UnsafePath):
        found = matching("weights", "somebody", pattern, paths)
        assert all(is_safe(path) for path, _ in found)
        assert list(found) == sorted(found)


@given(st.dictionaries(st.sampled_from(_NAMES), _TEXT | _HEX | st.just("AmazonS3")), st.sampled_from([200, 206]))
@settings(max_examples=300, deadline=None)
def test_headers(headers: dict[str, str], status: int) -> None:
    of_headers(headers, status, "files.example")


@given(st.lists(st.one_of(_TEXT, st.builds("{}  {}".format, _HEX, _TEXT), st.builds("SHA256 ({}) = {}".format, _TEXT, _HEX))))
@settings(max_examples=300, deadline=None)
def test_files_of_checksums(lines: list[str]) -> None:
    for alone in (True, False):
        of_listing("\n".join(lines), "w.bin", alone=alone)


@given(st.binary(max_size=80) | st.text("<>/metalink file=\"'&;![", max_size=80).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_metalinks(text: bytes) -> None:
    with suppress(ValueError):
        read_metalink(b'<metalink xmlns="urn:ietf:params:xml:ns:metalink">' + text)


@given(st.text('<>;="rel next, pri\\:/[]', max_size=80))
@settings(max_examples=300, deadline=None)
def test_links(text: str) -> None:
    links_of(Answer(200, "https://files.example/w.bin", {"Link": text}, b""))


@given(st.text("X-Amz-DateExpires=&TZ0123456789:se%", max_size=80))
@settings(max_examples=300, deadline=None)
def test_signatures(query: str) -> None:
    seconds = good_for_s(f"https://files.example/w.bin?{query}")
    assert seconds is None or seconds >= 0
