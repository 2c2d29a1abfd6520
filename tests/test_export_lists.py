"""`export --format`: what was placed as a section again, and what others can download."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from conda_assets.spec.importers import read_list
from lab import Lab
from server import Server

pytestmark = pytest.mark.slow

BODY = b"w" * 5000
SHA = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        for path in ("/w.bin", "/q.bin", "/p.bin"):
            server.add(path, BODY)
        yield server


def test_an_environments_section_brings_the_same_again(tmp_path: Path, server: Server) -> None:
    lab = Lab(tmp_path)
    lab.write(
        [
            server.url("/w.bin"),
            {"name": "q", "url": server.url("/q.bin") + "?key=hunter2", "path": "sub/q.bin", "env": "Q", "link": "copy"},
            {"name": "p", "url": server.url("/p.bin"), "root": "project", "groups": ["g"], "optional": True},
        ]
    )
    assert lab.call("sync", "-p", str(lab.prefix()), "--all-groups", "-q").status == 0
    said = lab.call("export", "--spec", "-p", str(lab.prefix()))
    assert (said.status, said.err) == (0, "")
    assert "hunter2" not in said.out
    assert "name: q  # its URL is not known in full" in said.out
    section = {"sha256": SHA, "size": 5000}
    assert yaml.safe_load(said.out) == {
        "assets": [
            {"name": "p", "url": server.url("/p.bin"), **section, "root": "project", "groups": ["g"], "optional": True},
            {"name": "q", "url": server.url("/q.bin"), **section, "path": "sub/q.bin", "env": "Q", "link": "copy"},
            {"url": server.url("/w.bin"), **section},
        ]
    }
    other = Lab(tmp_path / "other")
    other.folder.mkdir()
    (other.folder / "assets.yml").write_text(said.out)
    assert other.call("sync", "-p", str(other.prefix()), "--all-groups", "--offline", "-q").status == 0
    assert other.placed("sub/q.bin").read_bytes() == BODY


@pytest.fixture
def lists(tmp_path: Path) -> Lab:
    lab = Lab(tmp_path)
    lab.write(
        [
            {
                "name": "w",
                "url": "https://example.org/a.bin?x=1&y=2",
                "mirrors": ["https://m.example/a.bin", "s3://b/k"],
                "sha256": SHA,
                "size": 5000,
                "path": "m/a&b.bin",
            },
            {"name": "h", "url": "hf://org/gpt@abc/model.bin", "hash": f"md5:{MD5}", "headers": {"X-A": "b"}},
            {"name": "v", "url": "https://example.org/${WHO}/v.bin", "sha256": SHA},
            {"name": "s", "url": "s3://bucket/key", "sha256": SHA},
            {"name": "n", "url": "https://example.org/n.zip", "unpack": True},
            {"name": "b", "url": "https://example.org/b.bin", "hash": "blake3:" + "0" * 64},
        ]
    )
    return lab


NOTES = [
    "Note: w: 1 of its URLs are left out",
    "Note: h: its headers are left out, as they may hold secrets",
    "Note: v is left out: its URL has a variable in it",
    "Note: s is left out: nobody else knows `s3:` URLs",
    "Note: n: the archive is listed, `unpack` is not",
    "Note: n has no hash; `conda assets lock` finds one",
    "Note: b: the blake3 is left out, such lists have none",
]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["metalink", "aria2"])
def test_others_can_download_what_is_listed(lists: Lab, form: str) -> None:
    said = lists.run("export", "--format", form, environ={"WHO": "me"})
    assert said.status == 0
    assert [line for line in said.err.splitlines() if line.startswith("Note")] == NOTES
    entries = read_list("x", said.out).entries
    assert [each["url"] for each in entries] == [
        "https://example.org/a.bin?x=1&y=2",
        "https://huggingface.co/org/gpt/resolve/abc/model.bin",
        "https://example.org/n.zip",
        "https://example.org/b.bin",
    ]
    assert (entries[0]["mirrors"], entries[0]["sha256"], entries[0]["path"]) == (["https://m.example/a.bin"], SHA, "m/a&b.bin")
    assert entries[1]["hash"] == f"md5:{MD5}"
    lists.run("export", "--format", form, "-o", "list.txt", "--only", "w", environ={"WHO": "me"})
    assert (lists.folder / "list.txt").read_text().count("https://example.org") == 1


def test_a_bundle_needs_a_place(lists: Lab) -> None:
    assert lists.run("export", environ={"WHO": "me"}).status == 2
