"""Files that a Metalink describes: found by its mirrors, held against its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from conda_assets import sources
from conda_assets.errors import AssetFailed, DigestMismatch, NotTheFile, NotThere, SizeMismatch, UnsafePath
from conda_assets.model import Asset, Locked, State
from conda_assets.settings import Network
from lab import Lab
from server import Server

BODY, OTHER = b"described bytes\n" * 5000, b"others\n" * 100


def sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def meta4(*files: tuple[str, bytes, list[str]]) -> bytes:
    listed = ""
    for name, body, urls in files:
        mirrors = "".join(f'<url priority="{at}">{url}</url>' for at, url in enumerate(urls, 1))
        listed += f'<file name="{name}"><size>{len(body)}</size><hash type="sha-256">{sha(body)}</hash>{mirrors}</file>'
    return f'<?xml version="1.0"?><metalink xmlns="urn:ietf:params:xml:ns:metalink">{listed}</metalink>'.encode()


def metalink3(name: str, body: bytes, urls: list[str]) -> bytes:
    mirrors = "".join(f'<url type="http" preference="{90 - at}">{url}</url>' for at, url in enumerate(urls))
    return (
        '<?xml version="1.0"?><metalink version="3.0" xmlns="http://www.metalinker.org/"><files>'
        f'<file name="{name}"><size>{len(body)}</size><verification><hash type="sha1">{"0" * 40}</hash>'
        f'<hash type="sha256">{sha(body)}</hash><pieces type="sha1" length="9"><hash piece="0">{"1" * 40}</hash></pieces>'
        f"</verification><resources>{mirrors}</resources></file></files></metalink>"
    ).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        server.add("/far/w.bin", BODY)
        server.add("/near/w.bin", BODY)
        server.add("/o.bin", OTHER)
        one = [server.url("/gone.bin"), server.url("/far/w.bin"), server.url("/near/w.bin")]
        server.add("/w.bin.meta4", meta4(("w.bin", BODY, one)))
        server.add("/old.metalink", metalink3("w.bin", BODY, one))
        server.add("/set.meta4", meta4(("w.bin", BODY, one), ("sub/o.bin", OTHER, [server.url("/o.bin")])))
        yield server


def ask(url: str, **fields: object) -> Locked:
    asset = Asset(name="w", url=url, path="w", **fields)  # type: ignore[arg-type]
    return sources.probe(asset, url, Network())


@pytest.mark.parametrize("path", ["/w.bin.meta4", "/old.metalink", "/set.meta4#w.bin"])
def test_the_first_mirror_that_answers_is_asked_and_the_hash_holds(server: Server, tmp_path: Path, path: str) -> None:
    url = server.url(path)
    said = ask(url)
    assert (said.url, said.final_url, said.size_bytes) == (url, server.url("/far/w.bin"), len(BODY))
    assert said.digest is not None
    assert (said.digest.hex, said.vouched_by) == (sha(BODY), f"the Metalink {path[1:].partition('#')[0]}")
    assert said.also_at == (server.url("/gone.bin"), server.url("/near/w.bin"))
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": url}])
    (row,) = lab.sync().outcomes
    assert (row.state, row.error) == (State.FETCHED, None)
    assert lab.placed("w").read_bytes() == BODY


def test_one_on_this_machine_leads_to_the_web(server: Server, tmp_path: Path) -> None:
    (tmp_path / "w.meta4").write_bytes(meta4(("w.bin", BODY, [server.url("/far/w.bin")])))
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": f"file://{tmp_path}/w.meta4"}])
    assert [row.state for row in lab.sync().outcomes] == [State.FETCHED]


def test_a_mirror_with_other_bytes_is_found_out(server: Server, tmp_path: Path) -> None:
    evil = BODY.replace(b"bytes", b"evils")
    server.add("/far/w.bin", evil)
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": server.url("/w.bin.meta4")}])
    (row,) = lab.sync().outcomes
    assert row.state is State.FETCHED or isinstance(row.error, DigestMismatch)
    assert not lab.placed("w").exists() or lab.placed("w").read_bytes() == BODY


def test_a_mirror_with_another_size_is_passed_over(server: Server) -> None:
    server.add("/far/w.bin", BODY[:-1])
    assert ask(server.url("/w.bin.meta4")).final_url == server.url("/near/w.bin")


def test_its_size_is_held_against_the_assets(server: Server) -> None:
    with pytest.raises(SizeMismatch):
        ask(server.url("/w.bin.meta4"), size_bytes=1)


def test_a_pattern_names_its_files(server: Server) -> None:
    asset = Asset(name="w", url=server.url("/set.meta4#"), path="w")
    assert sources.is_pattern(asset)
    found = sources.expand(asset, Network())
    assert found == (("sub/o.bin", server.url("/set.meta4#sub/o.bin")), ("w.bin", server.url("/set.meta4#w.bin")))
    assert ask(found[0][1]).size_bytes == len(OTHER)
    server.add("/evil.meta4", meta4(("../evil", BODY, [])))
    with pytest.raises(UnsafePath):
        sources.expand(Asset(name="w", url=server.url("/evil.meta4#"), path="w"), Network())


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/set.meta4", AssetFailed, "has 2 files: add one as `#w.bin`, `#sub/o.bin`, or `#` for all"),
        ("/set.meta4#v.bin", NotThere, "has no file v.bin; it has"),
        ("/page.meta4", NotTheFile, "is no Metalink: it is not XML"),
        ("/doctype.meta4", NotTheFile, "it has a document type"),
        ("/none.meta4", NotThere, "names no http or https server"),
        ("/nowhere.meta4", NotThere, "404"),
    ],
)
def test_what_is_wrong_is_said(server: Server, path: str, kind: type[AssetFailed], words: str) -> None:
    server.add("/page.meta4", b"hello")
    server.add("/doctype.meta4", b'<!DOCTYPE a [<!ENTITY b "c">]><metalink/>')
    server.add("/none.meta4", meta4(("w.bin", BODY, ["ftp://x.org/w.bin"])))
    with pytest.raises(kind, match=words):
        ask(server.url(path))


def test_the_assets_headers_go_to_its_own_host_only(server: Server) -> None:
    with Server() as other:
        other.add("/w.bin", BODY)
        server.add("/w.bin.meta4", meta4(("w.bin", BODY, [other.url("/w.bin", host="localhost")])))
        ask(server.url("/w.bin.meta4"), headers={"Authorization": "Bearer canary"})
        assert all("authorization" in each.headers for each in server.seen("/w.bin.meta4"))
        assert [each for each in other.requests if "authorization" in each.headers] == []
