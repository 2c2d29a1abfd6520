"""Other tools' lists become entries; what an entry cannot say is named, with its line."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conda_assets.api.editing import check_entry
from conda_assets.errors import SpecInvalid, UsageError
from conda_assets.spec.importers import KINDS, Found, kind_of, read_list, unique
from lab import Lab

SHA = "0123456789abcdef" * 4
MD5 = "0123456789abcdef" * 2


def read(text: str, source: str = "list", **rest: str) -> Found:
    return read_list(source, text, **rest)


def notes(found: Found) -> list[str]:
    return [str(each) for each in found.notes]


# Every form of download that projects of a public gallery have, and those of the reference that they have not.
PROJECT = f"""\
name: corals
packages: [python]
commands:
  serve: {{notebook: corals.ipynb}}
variables: {{}}
downloads:
  REEFS: https://example.org/reefs.csv
  TILES:
    url: https://example.org/tiles.ZIP
  CORALS:
    url: https://example.org/corals.zip
    description: |
      Corals of a year,
      one a line
    filename: data/corals.parq
    unzip: true
  KEPT:
    url: https://example.org/kept.zip
    filename: data/kept.zip
    sha256: {SHA}
  AS_IT_IS: {{url: 'https://example.org/as is.zip', unzip: no, unzip: false, md5: {MD5}}}
  OLD: {{url: 'https://example.org/old.bin?v=${{1}}', sha224: abcd, mirror: https://m.example/old.bin}}
  PATH: {{url: 'https://example.org/path.bin', filename: data/path.bin, sha512: '12'}}
  lower_case: {{url: 'https://example.org/', description: }}
  NOTHING: {{filename: x}}
  LISTED: [https://example.org/x]
"""


def test_all_downloads_of_an_anaconda_project_come_over() -> None:
    text = PROJECT.replace("unzip: no, ", "")
    found = read(text, "anaconda-project.yml")
    assert [dict(each) for each in found.entries] == [
        {"name": "REEFS", "url": "https://example.org/reefs.csv", "path": "reefs.csv", "root": "project", "env": "REEFS"},
        {
            "name": "TILES",
            "url": "https://example.org/tiles.ZIP",
            "path": "tiles",
            "root": "project",
            "env": "TILES",
            "unpack": True,
        },
        {
            "name": "CORALS",
            "url": "https://example.org/corals.zip",
            "path": "data/corals.parq",
            "root": "project",
            "env": "CORALS",
            "unpack": True,
            "about": "Corals of a year,\none a line\n",
        },
        {
            "name": "KEPT",
            "url": "https://example.org/kept.zip",
            "path": "data/kept.zip",
            "root": "project",
            "env": "KEPT",
            "sha256": SHA,
        },
        {
            "name": "AS_IT_IS",
            "url": "https://example.org/as%20is.zip",
            "path": "as is.zip",
            "root": "project",
            "env": "AS_IT_IS",
            "hash": f"md5:{MD5}",
        },
        {"name": "OLD", "url": "https://example.org/old.bin?v=$${1}", "path": "old.bin", "root": "project", "env": "OLD"},
        {"name": "PATH", "url": "https://example.org/path.bin", "path": "data/path.bin", "root": "project"},
        {"name": "lower_case", "url": "https://example.org/", "path": "lower_case", "root": "project", "env": "lower_case"},
    ]
    drops = "anaconda-project drops a single top folder that is called {}; `unpack` keeps it"
    fix = " (if the archive has one: `unpack: {strip: 1}`)"
    assert notes(found) == [
        (
            "anaconda-project.yml: `packages`, `commands` left out: only `downloads` are taken over "
            "(packages and channels stand in environment.yml)"
        ),
        f"anaconda-project.yml:9:0: TILES: {drops.format('`tiles`')}{fix}",
        f"anaconda-project.yml:11:0: CORALS: {drops.format('`corals.parq`')}{fix}",
        "anaconda-project.yml:22:0: OLD: `mirror` is not known in a download; it is left out",
        "anaconda-project.yml:22:0: OLD: `sha224` cannot be checked here; the hash is left out",
        (
            "anaconda-project.yml:23:0: PATH: the variable is left out: `PATH` belongs to the system, the shell or conda: "
            "setting it would break them (choose another name)"
        ),
        "anaconda-project.yml:23:0: PATH: the hash is left out: expected 128 hex digits for sha512, got 2",
        "anaconda-project.yml:25:0: NOTHING: the download has no `url`; it is left out",
        "anaconda-project.yml:26:0: LISTED: a download is a list; it is left out (a URL, or a map with `url:`)",
    ]


@pytest.mark.parametrize("text", ["downloads: {}\n", "downloads:\n", "name: x\n", ""])
def test_a_project_without_downloads_has_nothing_to_import(text: str) -> None:
    assert read(text, "sub/anaconda-project.yml") == Found(())


def test_a_pooch_registry() -> None:
    text = f"# data\n\na.csv {SHA}\nsub/b.csv md5:{MD5}  https://m.example/b\n'c d.nc' xxh128:{MD5}\ne.bin sha1:12\n"
    found = read(text, base_url="https://example.org/v1/")
    assert found.entries == (
        {"name": "a.csv", "url": "https://example.org/v1/a.csv", "path": "a.csv", "sha256": SHA},
        {"name": "sub-b.csv", "url": "https://m.example/b", "path": "sub/b.csv", "hash": f"md5:{MD5}"},
        {"name": "c-d.nc", "url": "https://example.org/v1/c%20d.nc", "path": "c d.nc"},
        {"name": "e.bin", "url": "https://example.org/v1/e.bin", "path": "e.bin"},
    )
    assert notes(found) == [
        "list:5:0: c d.nc: `xxh128` cannot be checked here; the hash is left out",
        "list:6:0: e.bin: the hash is left out: expected 40 hex digits for sha1, got 2",
    ]
    with pytest.raises(SpecInvalid, match="--base-url"):
        read(text)


METALINK_4 = f"""<?xml version="1.0" encoding="UTF-8"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink">
  <file name="iso/a b.iso">
    <size>14</size><identity>A disk</identity>
    <hash type="sha-1">{"0" * 40}</hash><hash type="sha-256">{SHA}</hash>
    <pieces length="8" type="sha-256"><hash>{SHA}</hash></pieces>
    <signature mediatype="application/pgp-signature">x</signature>
    <metaurl mediatype="torrent">https://example.org/a.torrent</metaurl>
    <url priority="2" location="de">https://m.example/a.iso</url>
    <url priority="1">https://example.org/a.iso?x=1&amp;y=2</url>
  </file>
  <file name="none"/>
</metalink>
"""
METALINK_3 = f"""<metalink version="3.0" xmlns="http://www.metalinker.org/"><files><file name="a.iso">
<size>14</size><verification><hash type="md5">{MD5}</hash><hash type="tiger">00</hash></verification>
<resources><url type="http" preference="10">https://m.example/a.iso</url><url type="http" preference="90">https://example.org/a.iso</url>
</resources></file></files></metalink>
"""


def test_metalink_of_both_versions() -> None:
    found = read(METALINK_4)
    assert found.entries == (
        {
            "url": "https://example.org/a.iso?x=1&y=2",
            "mirrors": ["https://m.example/a.iso"],
            "name": "iso-a-b.iso",
            "path": "iso/a b.iso",
            "size": 14,
            "about": "A disk",
            "sha256": SHA,
        },
    )
    assert [each.line for each in found.notes] == [8, 6, 7, 12]
    assert all(each.message for each in found.notes)
    found = read(METALINK_3)
    assert found.entries == (
        {
            "url": "https://example.org/a.iso",
            "mirrors": ["https://m.example/a.iso"],
            "name": "a.iso",
            "size": 14,
            "hash": f"md5:{MD5}",
        },
    )
    assert notes(found) == ["list:2:0: a.iso: a hash is left out: `tiger` cannot be checked here"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('<!DOCTYPE x [<!ENTITY a "b">]><metalink>&a;</metalink>', "refused: a DOCTYPE"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><metalink/>', "refused: a DOCTYPE"),
        ("<metalink>&a;</metalink>", "not XML: undefined entity"),
        ("<a>" * 40, "refused: nested deeper"),
        ("<metalink><file>", "not XML: no element found"),
        ("<rss/>", "expected a `metalink` document, got `rss`"),
    ],
)
def test_hostile_and_broken_xml_is_refused(text: str, says: str) -> None:
    with pytest.raises(SpecInvalid, match=says):
        read(text)


def test_a_list_for_aria2() -> None:
    text = (
        "# two\n"
        "https://example.org/a.iso\thttps://m.example/a.iso\n"
        f"  out=iso/b.iso\n  checksum=sha-256={SHA}\n  dir=disks\n  split=4\n  header=X-A: b\n  referer=https://example.org/\n"
        "  http-passwd=hunter2\n  bt-tracker=udp://x\n  checksum=adler32=12\n"
        "ftp://example.org/c.bin?x\n"
        "  dir=/var/data\n"
        "hf://org/repo/*.bin\n"
    )
    found = read(text)
    assert found.entries == (
        {
            "url": "https://example.org/a.iso",
            "mirrors": ["https://m.example/a.iso"],
            "sha256": SHA,
            "headers": {"X-A": "b", "Referer": "https://example.org/"},
            "name": "b.iso",
            "path": "disks/iso/b.iso",
        },
        {"url": "ftp://example.org/c.bin?x", "mirrors": []},
        {"url": "hf://org/repo/*.bin", "mirrors": [], "name": "repo"},
    )
    said = notes(found)
    assert "hunter2" not in "".join(said)
    assert [each.split(": ", 1)[1].split(" (")[0] for each in said] == [
        "a.iso: `split` is left out: how files are fetched is found out for each server",
        "a.iso: `http-passwd` is left out",
        "a.iso: `bt-tracker` is left out: there is nothing like it",
        "a.iso: `adler32` cannot be checked here; the checksum is left out",
        "c.bin: `dir=/var/data` is left out: paths are below the environment",
    ]


def test_the_section_of_another_file() -> None:
    text = (
        "name: x\nassets:\n- https://example.org/${A}/a.bin\n"
        "- {name: b, url: 'https://example.org/b', sha256: 0x12, size: 12, optional: true, unpack: {strip: 1, include: ['*']},\n"
        "   groups: [a, b], headers: {X-A: '${T}'}, colour: red, env: }\n- {name: c}\n- 12\n"
    )
    found = read(text)
    assert found.entries == (
        {"url": "https://example.org/${A}/a.bin"},
        {
            "name": "b",
            "url": "https://example.org/b",
            "sha256": "0x12",
            "size": 12,
            "optional": True,
            "unpack": {"strip": 1, "include": ["*"]},
            "groups": ["a", "b"],
            "headers": {"X-A": "${T}"},
        },
    )
    assert notes(found) == [
        "list:5:0: b: `colour` is no field of an asset; it is left out",
        "list:6:0: c: the entry has no `url`; it is left out",
        "list:7:0: an entry is a number; it is left out",
    ]
    assert read("assets:\n") == Found(())
    with pytest.raises(SpecInvalid, match="expected a list"):
        read("assets: x\n")


@pytest.mark.parametrize(
    ("source", "text", "kind"),
    [
        ("x", "\ufeff<metalink/>", "metalink"),
        ("x.yml", "a: 1\ndownloads:\n  A: https://x\n", "anaconda-project"),
        ("anaconda-project.yml", "a: 1\n", "anaconda-project"),
        ("x", "\n# c\nhttps://example.org/a\n", "aria2"),
        ("x", f"magnet:?xt=urn:btih:{MD5}\n", "aria2"),
        ("x", f"a.csv {SHA}\n", "pooch"),
        ("x", f"a.csv md5:{MD5} https://x\n", "pooch"),
        ("x.yml", "a: 1\nassets: []\n", "spec"),
        ("x", "hello world\n", ""),
        ("x", "a: 1\n", ""),
        ("x", "", ""),
    ],
)
def test_a_list_is_known_by_what_is_in_it(source: str, text: str, kind: str) -> None:
    assert kind_of(source, text) == kind


def test_a_text_that_is_no_list_says_how_to_go_on() -> None:
    with pytest.raises(UsageError, match="none of the lists") as caught:
        read("hello")
    assert "--from" in caught.value.hint


def test_equal_names_are_told_apart_by_their_folders() -> None:
    entries = [{"url": f"https://example.org/{part}/x.csv"} for part in ("train", "test", "test", "val")]
    assert [(each.get("name"), each.get("path")) for each in unique(entries, ["X.csv"])] == [
        ("train-x.csv", "train/x.csv"),
        ("test-x.csv", "test/x.csv"),
        ("x.csv-2", None),
        ("val-x.csv", "val/x.csv"),
    ]


def test_import_puts_them_behind_the_entries_of_the_file(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.file.write_text("name: x  # me\nassets:\n- https://example.org/reefs.csv\n")
    (tmp_path / "anaconda-project.yml").write_text(PROJECT.replace("unzip: no, ", ""))
    (tmp_path / "urls.txt").write_text(
        "https://example.org/train/x.csv\nhttps://example.org/test/x.csv\ngopher://example.org/y\n"
    )
    before = lab.file.read_bytes()
    said = lab.call("import", "anaconda-project.yml", "--dry-run")
    assert (said.status, lab.file.read_bytes()) == (0, before)
    said = lab.call("import", "anaconda-project.yml")
    assert said.status == 0
    assert "Note: anaconda-project.yml:22:0: OLD: `sha224` cannot be checked here" in said.err
    assert "7 added to environment.yml, 1 there already" in said.err
    assert lab.file.read_bytes().startswith(before)
    assert b"- name: CORALS  # Corals of a year, one a line\n" in lab.file.read_bytes()
    document = lab.call("import", "urls.txt", "--group", "raw", "--json")
    assert document.status == 1, "one of them could not be taken over"
    assert document.json["totals"] == {"added": 2, "left_out": 1, "known": 0}
    assert "unknown scheme `gopher`" in str(document.json["notes"])
    assets = {each.name: each for each in lab.spec().assets}
    assert len(assets) == 10
    assert (assets["x.csv"].groups, assets["test-x.csv"].path) == (("raw",), "test/x.csv")


@pytest.mark.parametrize("kind", ["spec", "anaconda-project", "pooch", "aria2", "metalink"])
def test_a_url_that_cannot_be_read_is_named_without_its_secrets(tmp_path: Path, kind: str) -> None:
    lab = Lab(tmp_path)
    lab.file.write_text("name: x\n")
    texts = {
        "spec": "assets: ['https://me:hunter2@[::1/?key=hunter2']\n",
        "anaconda-project": "downloads: {A: 'https://me:hunter2@[::1/?key=hunter2'}\n",
        "pooch": f"a.bin {SHA} https://me:hunter2@[::1/?key=hunter2\n",
        "aria2": "https://me:hunter2@[::1\n  split=5\nhttps://me:hunter2@example.org\n  split=5\n",
        "metalink": "<metalink><file name='a'><url>https://me:hunter2@[::1</url></file></metalink>",
    }
    (tmp_path / "list").write_text(texts[kind])
    said = lab.call("import", "list", "--from", kind)
    assert said.status == 1
    assert "left out" in said.err
    assert "Traceback" not in said.err
    assert "hunter2" not in said.err
    assert lab.file.read_text() == "name: x\n"


PIECES = [
    *(
        "assets:",
        "- ",
        "downloads:",
        "\n",
        "  ",
        "A:",
        " ",
        "url:",
        "https://x.org/a",
        "<metalink>",
        "</metalink>",
        "<file name='a'>",
        "</file>",
    ),
    *("<url>", "</url>", "\t", "checksum=", "sha-256=", SHA, "'", '"', "[", "]", "{", "}", "&a", "*a", "#", "out=", "../", "/"),
    *(
        "dir=",
        "md5:",
        "\x00",
        "é",
        "filename:",
        "unzip: yes",
        "https://[::1",
        "http://a:b@c",
        "magnet:?",
        "<!DOCTYPE x>",
        "x y z",
    ),
]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join), st.sampled_from([*KINDS, ""]))
@settings(deadline=None, derandomize=True, max_examples=400)
def test_nonsense_is_a_fault_and_never_a_crash(text: str, kind: str) -> None:
    try:
        found = read(text, kind=kind, base_url="https://b.example/")
    except (SpecInvalid, UsageError):
        return
    for fields in unique(found.entries, ["a"]):
        with suppress(UsageError):
            check_entry(fields)


def test_print_changes_no_file(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    (tmp_path / "urls.txt").write_text("https://example.org/a.csv\n")
    said = lab.call("import", "urls.txt", "--print")
    assert (said.status, said.out) == (0, "assets:\n  - https://example.org/a.csv\n")
    assert lab.call("import", "urls.txt").status == 2, "no file to put it into"
    assert [each.name for each in tmp_path.iterdir()] == ["urls.txt"]
    assert lab.call("import", "urls.txt", "-f", "assets.yml").status == 0
    assert lab.call("import", "urls.txt", "-f", "assets.yml").err == "nothing to add to assets.yml, 1 there already\n"
    assert (tmp_path / "assets.yml").read_text() == said.out
