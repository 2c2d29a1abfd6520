"""What web servers say a file's bytes are: headers, Metalinks, files of checksums beside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from requests.structures import CaseInsensitiveDict

from conda_assets import sources
from conda_assets.digest import Digest
from conda_assets.errors import DigestMismatch
from conda_assets.model import Asset, Locked, State
from conda_assets.sources.checksums import of_headers, of_listing
from conda_assets.sources.metalink import Entry, of_name, read_metalink
from lab import Lab
from server import Server, Virtual
from source_rules import BODY, CANARY, DIGEST, NETWORK

SHA512 = Digest("sha512", hashlib.sha512(BODY).hexdigest())
SHA1 = Digest("sha1", hashlib.sha1(BODY, usedforsecurity=False).hexdigest())
MD5 = Digest("md5", hashlib.md5(BODY, usedforsecurity=False).hexdigest())
OTHER = Digest("sha256", hashlib.sha256(b"other").hexdigest())


def b64(digest: Digest) -> str:
    return base64.b64encode(bytes.fromhex(digest.hex)).decode()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def asset(url: str, **fields: object) -> Asset:
    return Asset(**{"name": "weights", "url": url, "path": "weights", **fields})


def vouched(url: str, **fields: object) -> Locked:
    made = asset(url, **fields)
    return sources.vouch(made, sources.probe(made, url, NETWORK), NETWORK)


@pytest.mark.parametrize(
    ("headers", "digest", "who"),
    [
        ({"Repr-Digest": f"sha-512=:{b64(SHA512)}:, sha-256=:{b64(DIGEST)}:"}, DIGEST, "Repr-Digest"),
        ({"Repr-Digest": f"sha-512=:{b64(SHA512)}:;x=1, crc32c=:AAAAAA==:"}, SHA512, "Repr-Digest"),
        ({"Digest": f"MD5={b64(MD5)},SHA-256={b64(DIGEST)}"}, DIGEST, "Digest"),
        ({"Digest": f"sha={b64(SHA1)}, UNIXsum=30637"}, SHA1, "Digest"),
        ({"x-goog-hash": f"crc32c=n03x6A==,md5={b64(MD5)}"}, MD5, "x-goog-hash"),
        ({"x-goog-hash": "crc32c=n03x6A==", "x-goog-component-count": "3"}, None, ""),
        ({"x-goog-hash": f"md5={b64(MD5)}", "x-goog-stored-content-encoding": "gzip"}, None, ""),
        ({"x-amz-checksum-sha256": b64(DIGEST)}, DIGEST, "x-amz-checksum"),
        ({"x-amz-checksum-sha1": b64(SHA1)}, SHA1, "x-amz-checksum"),
        ({"x-amz-checksum-sha256": f"{b64(DIGEST)}-17"}, None, ""),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, None, ""),
        ({"x-ms-blob-content-md5": b64(MD5)}, MD5, "x-ms-blob-content-md5"),
        ({"X-Checksum-Sha1": SHA1.hex, "X-Checksum-Sha256": DIGEST.hex.upper()}, DIGEST, "X-Checksum"),
        ({"X-Linked-Etag": f'"{DIGEST.hex}"'}, DIGEST, "X-Linked-Etag"),
        ({"X-Linked-Etag": f'"{SHA1.hex}"'}, None, ""),
        ({"ETag": f'"{MD5.hex}"', "Server": "AmazonS3"}, MD5, "ETag"),
        ({"ETag": f'"{MD5.hex}"', "Server": "AmazonS3", "x-amz-server-side-encryption": "AES256"}, MD5, "ETag"),
        ({"ETag": f'"{MD5.hex}"', "Server": "AmazonS3", "x-amz-server-side-encryption": "aws:kms"}, None, ""),
        ({"ETag": f'"{MD5.hex}-17"', "Server": "AmazonS3"}, None, ""),
        ({"ETag": f'W/"{MD5.hex}"', "Server": "AmazonS3"}, None, ""),
        ({"ETag": f'"{MD5.hex}"', "Server": "nginx"}, None, ""),
        ({"ETag": f'"{DIGEST.hex}"'}, None, ""),
        ({"Content-Digest": f"sha-256=:{b64(DIGEST)}:"}, None, ""),
        ({"Repr-Digest": "sha-256=:AAAA:", "Digest": "SHA-256=%%%"}, None, ""),
        ({}, None, ""),
    ],
)  # fmt: skip
def test_a_header_vouches_where_it_is_about_the_whole_file(headers: dict[str, str], digest: Digest | None, who: str) -> None:
    expected = (digest, f"its server ({who})") if digest else None
    assert of_headers(CaseInsensitiveDict(headers), 206, "files.example") == expected


def test_content_md5_of_a_part_is_not_of_the_file() -> None:
    said = {"Content-MD5": b64(MD5)}
    assert of_headers(said, 206, "") is None
    assert of_headers(said, 200, "") == (MD5, "its server (Content-MD5)")


def test_an_etag_of_a_directory_bucket_is_no_digest() -> None:
    said = {"ETag": f'"{MD5.hex}"', "Server": "AmazonS3"}
    assert of_headers(said, 206, "lab--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com") is None


@pytest.mark.parametrize(
    ("text", "alone", "digest"),
    [
        (f"{DIGEST.hex}  w.bin\n{OTHER.hex}  x.bin\n", False, DIGEST),
        (f"{DIGEST.hex} *w.bin\r\n", False, DIGEST),
        (f"{DIGEST.hex}  ./w.bin\n", False, DIGEST),
        (f"SHA256 (w.bin) = {DIGEST.hex}\n", False, DIGEST),
        (f"SHA2-256(w.bin)= {DIGEST.hex}\n", False, DIGEST),
        (f"MD5 (w.bin) = {MD5.hex}\nSHA256 (w.bin) = {DIGEST.hex}\n", False, DIGEST),
        (f"{SHA512.hex}  w.bin", False, SHA512),
        (f"{DIGEST.hex}  sub/w.bin\n", False, None),
        (f"{OTHER.hex}  x.bin\n", False, None),
        (f"{DIGEST.hex}\n", False, None),
        (f"{DIGEST.hex}\n", True, DIGEST),
        (f"{DIGEST.hex.upper()}  dist/w.bin\n", True, DIGEST),
        (f"{DIGEST.hex}  C:\\out\\w.bin\n", True, DIGEST),
        (f"{OTHER.hex}  x.bin\n", True, None),
        (f"{DIGEST.hex}  w.bin\n{OTHER.hex}  w.bin\n", False, None),
        (f"{DIGEST.hex}  w.bin\n{DIGEST.hex} *w.bin\n", False, DIGEST),
        (f"MD5 (w.bin) = {DIGEST.hex}\n", False, None),
        ("404 not found", True, None),
        ("", True, None),
    ],
)  # fmt: skip
def test_a_file_of_checksums_is_read_as_the_tools_write_it(text: str, alone: bool, digest: Digest | None) -> None:
    assert of_listing(text, "w.bin", alone=alone) == digest


def test_headers_are_free_and_the_rest_is_asked_for_on_demand(server: Server) -> None:
    url = server.add("/d/w.bin", BODY, headers={"Repr-Digest": f"sha-256=:{b64(DIGEST)}:"})
    locked = sources.probe(asset(url), url, NETWORK)
    assert (locked.digest, locked.vouched_by) == (DIGEST, "its server (Repr-Digest)")
    assert len(server.requests) == 1
    assert sources.vouch(asset(url), locked, NETWORK) is locked
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("path", "text", "digest"),
    [
        ("/d/w.bin.sha256", DIGEST.hex, DIGEST),
        ("/d/w.bin.sha256sum", f"{DIGEST.hex}  w.bin", DIGEST),
        ("/d/SHA256SUMS", f"{DIGEST.hex}  w.bin", DIGEST),
        ("/d/sha256sums.txt", f"{DIGEST.hex} *w.bin", DIGEST),
        ("/d/w.bin.sha512", SHA512.hex, SHA512),
        ("/d/SHA512SUMS", f"{SHA512.hex}  w.bin", SHA512),
        ("/d/w.bin.md5", f"MD5 (w.bin) = {MD5.hex}", MD5),
        ("/d/MD5SUMS", f"{MD5.hex}  w.bin", MD5),
    ],
)
def test_a_file_of_checksums_beside_it_vouches(server: Server, path: str, text: str, digest: Digest) -> None:
    url = server.add("/d/w.bin", BODY)
    server.add(path, text.encode(), content_type="text/plain")
    locked = vouched(url)
    assert (locked.digest, locked.vouched_by) == (digest, f"{path[3:]} beside the file")
    assert len(server.requests) <= 10


def test_powershells_text_is_read(server: Server) -> None:
    url = server.add("/d/w.bin", BODY)
    server.add("/d/w.bin.sha256", f"{DIGEST.hex}  w.bin\r\n".encode("utf-16"))
    assert vouched(url).digest == DIGEST


def test_a_folders_list_is_asked_for_once(server: Server) -> None:
    urls = [server.add(f"/d/{name}", BODY) for name in ("w.bin", "x.bin", "y.bin")]
    server.add("/d/SHA256SUMS", f"{DIGEST.hex}  w.bin\n{DIGEST.hex}  x.bin\n{DIGEST.hex}  y.bin\n".encode())
    assert [vouched(url).digest for url in urls] == [DIGEST] * 3
    assert len(server.seen("/d/SHA256SUMS")) <= 2, "twice where a minute ends meanwhile"


def test_a_page_is_no_checksum_and_ends_the_search(server: Server) -> None:
    url = server.add("/d/w.bin", BODY)
    server.add("/d/w.bin.sha256", b"", html=True)
    server.add("/d/SHA256SUMS", f"{DIGEST.hex}  w.bin".encode())
    assert vouched(url).digest is None
    assert server.seen("/d/SHA256SUMS") == []


def test_what_cannot_be_read_vouches_for_nothing(server: Server) -> None:
    url = server.add("/d/w.bin", BODY)
    server.add("/d/w.bin.sha256", DIGEST.hex.encode() + b" " * (5 << 20))
    locked = vouched(url)
    assert (locked.digest, locked.vouched_by) == (None, "")


def test_nothing_lies_beside_a_url_with_a_query(server: Server) -> None:
    url = server.add("/d/w.bin", BODY) + "?id=3"
    assert vouched(url).digest is None
    assert {request.path for request in server.requests} == {"/d/w.bin"}


def test_the_assets_headers_go_to_its_own_host_only(server: Server) -> None:
    with Server() as elsewhere:
        token = {"Authorization": CANARY}
        away = elsewhere.add("/w.meta4", b"<metalink/>")
        link = {"Link": f'<{away}>; rel=describedby; type="application/metalink4+xml"'}
        url = server.add("/d/w.bin", BODY, needs=("Authorization", CANARY), headers=link)
        server.add("/d/w.bin.sha256", DIGEST.hex.encode(), needs=("Authorization", CANARY))
        assert vouched(url, headers=token).digest == DIGEST
        assert [request.headers.get("authorization") for request in elsewhere.requests] == [None]


METALINK = f"""<?xml version="1.0" encoding="UTF-8"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink">
  <published>2009-05-15T12:23:23Z</published>
  <file name="w.bin">
    <size>{len(BODY)}</size>
    <hash type="md5">{MD5.hex}</hash>
    <hash type="sha-256">{DIGEST.hex}</hash>
    <pieces length="1048576" type="sha-1"><hash>{SHA1.hex}</hash></pieces>
    <url location="de" priority="2">http://two.example/w.bin</url>
    <url>http://last.example/w.bin</url>
    <url priority="1">http://one.example/w.bin</url>
    <url priority="1">ftp://ftp.example/w.bin</url>
    <metaurl mediatype="torrent">http://one.example/w.torrent</metaurl>
  </file>
</metalink>
"""
MIRRORS = ("http://one.example/w.bin", "http://two.example/w.bin", "http://last.example/w.bin")


def test_a_metalink_is_read(server: Server) -> None:
    assert read_metalink(METALINK.encode()) == (Entry("w.bin", len(BODY), (MD5, DIGEST), MIRRORS),)


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><metalink xmlns="urn:ietf:params:xml:ns:metalink">&b;</metalink>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd"><metalink xmlns="urn:ietf:params:xml:ns:metalink"/>',
        "<html></html>",
        '<metalink version="3.0"/>',
        "no xml",
        "",
    ],
    ids=["entities", "outside", "html", "version-3", "text", "empty"],
)
def test_what_is_no_metalink_or_a_trap_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="it "):
        read_metalink(text.encode())


def test_an_entry_is_chosen_by_name_or_because_it_is_alone() -> None:
    one, two = Entry("a", 1, (), ()), Entry("b", 1, (), ())
    assert (of_name((one, two), "b"), of_name((one, two), "c"), of_name((one,), "c")) == (two, None, one)


def linked(server: Server, text: str, *more: str) -> str:
    meta = server.add("/w.meta4", text.encode(), content_type="application/metalink4+xml")
    link = ", ".join([f'<{meta}>; rel=describedby; type="application/metalink4+xml"', *more])
    return server.add("/d/w.bin", BODY, headers={"Link": link})


def test_a_metalink_that_the_server_names_vouches_and_brings_mirrors(server: Server) -> None:
    locked = vouched(linked(server, METALINK))
    assert (locked.digest, locked.vouched_by, locked.also_at) == (DIGEST, "the Metalink that its server names", MIRRORS)
    assert len(server.requests) == 3


def test_a_metalink_of_another_size_or_a_broken_one_vouches_for_nothing(server: Server) -> None:
    server.add("/d/w.bin.sha256", DIGEST.hex.encode())
    for text in (METALINK.replace(str(len(BODY)), "17"), METALINK[:200]):
        assert vouched(linked(server, text)).vouched_by == "w.bin.sha256 beside the file"


def test_mirrors_of_a_header_are_taken_with_a_digest_only(server: Server) -> None:
    first, second = '</other/w.bin>; rel="duplicate"; pri=1', "<http://b.example/w.bin>; rel=duplicate; pri=2"
    mirrors = f"{second}, {first}, <ftp://c.example/w>; rel=duplicate"
    url = server.add("/d/w.bin", BODY, headers={"Link": mirrors})
    assert sources.probe(asset(url), url, NETWORK).also_at == ()
    expected = (server.url("/other/w.bin"), "http://b.example/w.bin")
    assert sources.probe(asset(url, digest=DIGEST), url, NETWORK).also_at == expected
    url = server.add("/d/w.bin", BODY, headers={"Link": mirrors, "Digest": f"SHA-256={b64(DIGEST)}"})
    assert sources.probe(asset(url), url, NETWORK).also_at == expected


def test_bytes_that_their_server_denies_are_not_taken(server: Server, tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    good = server.add("/good.bin", BODY, headers={"Digest": f"SHA-256={b64(DIGEST)}"})
    bad = server.add("/bad.bin", BODY, headers={"Digest": f"SHA-256={b64(OTHER)}"})
    lab.write([{"name": "good", "url": good}, {"name": "bad", "url": bad}])
    first, second = lab.sync().outcomes
    assert (first.state, first.sha256) == (State.FETCHED, DIGEST.hex)
    assert isinstance(second.error, DigestMismatch)
    assert second.error.expected == OTHER.hex


def test_bytes_that_one_server_denies_are_taken_from_the_next(server: Server, tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    denied = {"Digest": f"SHA-256={b64(DIGEST)}"}
    wrong = server.add("/wrong.bin", BODY, headers=denied, flip=(5,))
    lab.write([{"name": "w", "url": wrong, "mirrors": [server.add("/right.bin", BODY)], "sha256": DIGEST.hex}])
    (outcome,) = lab.sync().outcomes
    assert (outcome.state, outcome.sha256) == (State.FETCHED, DIGEST.hex), outcome


def test_a_lock_downloads_nothing_that_a_list_vouches_for(server: Server, tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.write([{"name": "weights", "url": server.add("/d/w.bin", Virtual(5_000_000))}])
    server.add("/d/SHA256SUMS", f"{Virtual(5_000_000).sha256}  w.bin\n".encode())
    said = lab.run("lock", "-f", str(lab.file))
    assert said.status == 0, said.err
    lock = (tmp_path / "environment.assets.lock").read_text()
    assert Virtual(5_000_000).sha256 in lock
    assert "SHA256SUMS beside the file" in lock
    assert server.sent("/d/w.bin") <= 10


def test_a_mirror_that_the_server_names_brings_the_file_when_the_server_does_not(server: Server, tmp_path: Path) -> None:
    content = Virtual(3_000_000)
    with Server() as mirror:
        said = {
            "Digest": f"SHA-256={b64(Digest('sha256', content.sha256))}",
            "Link": f"<{mirror.add('/w.bin', content)}>; rel=duplicate",
        }
        url = server.add("/w.bin", content, headers=said, status=404, spare_probe=True)
        lab = Lab(tmp_path)
        lab.write([{"name": "weights", "url": url}])
        (row,) = lab.sync().outcomes
        assert (row.error, row.state, row.sha256) == (None, State.FETCHED, content.sha256)
        assert mirror.sent("/w.bin") >= content.size
