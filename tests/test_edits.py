"""`add` and `remove`: one entry more or less, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab import Lab

TEXT = b"""\xef\xbb\xbf# mine\r
name: lab   # called so\r
dependencies: ['python',"pip"]\r
assets:   # files\r
    -   https://example.org/a.bin   # one\r
    # two\r
    -   name: "b"\r
        url: 'https://example.org/${NOT_SET}'\r
variables: {A: no}\r
# end"""


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    (tmp_path / "environment.yml").write_bytes(TEXT)
    return Lab(tmp_path)


def test_added_and_removed_again_leaves_the_same_bytes(lab: Lab) -> None:
    """Comments, quotes, line ends, the mark in front and the missing line break at the end."""
    words = ["--sha256", "0" * 64, "--env", "W", "--group", "train", "--mirror", "https://m.example/c.bin", "--optional"]
    said = lab.call("add", "https://example.org/c.bin", "--name", "c", "--path", "models/c.bin", "--size", "12", *words)
    assert (said.status, said.out) == (0, "")
    assert said.err == "added to environment.yml; bring it with `conda-assets sync -f environment.yml`\n"
    new = (
        f"    - name: c\r\n      url: https://example.org/c.bin\r\n      mirrors: [https://m.example/c.bin]\r\n"
        f'      sha256: "{"0" * 64}"\r\n      size: 12\r\n      path: models/c.bin\r\n      env: W\r\n      groups: [train]\r\n'
        f"      optional: true\r\n"
    ).encode()
    assert lab.file.read_bytes() == TEXT.replace(b"variables", new + b"variables")
    said = lab.call("remove", "c")
    assert (said.status, said.out) == (0, "")
    assert "sync --prune -f environment.yml" in said.err
    assert lab.file.read_bytes() == TEXT


def test_a_url_without_more_is_one_line(lab: Lab) -> None:
    assert lab.call("add", "https://example.org/c.bin", "-q").err == ""
    assert lab.file.read_bytes() == TEXT.replace(b"variables", b"    - https://example.org/c.bin\r\nvariables")


def test_a_lock_is_told_of(lab: Lab) -> None:
    (lab.folder / "environment.assets.lock").write_text("version: 1\nassets: []\n")
    said = lab.call("add", "https://example.org/c.bin")
    assert said.err.endswith(", and take the change into the lock with `conda-assets lock -f environment.yml`\n")


def test_several_urls_are_several_entries(lab: Lab) -> None:
    assert lab.call("add", "https://example.org/c.bin", "https://example.org/d.bin", "--group", "g", "-q").status == 0
    new = b"".join(b"    - url: https://example.org/%s.bin\r\n      groups: [g]\r\n" % name for name in (b"c", b"d"))
    assert lab.file.read_bytes() == TEXT.replace(b"variables", new + b"variables")
    assert lab.call("add", "https://example.org/1/g", "https://example.org/2/g").status == 0
    assert b"      path: 2/g\r\n" in lab.file.read_bytes(), "told apart by their folders"
    said = lab.call("add", "https://example.org/e.bin", "https://example.org/f.bin", "--name", "x")
    assert (said.status, "--name is for one URL, and 2 are given" in said.err) == (2, True)


def test_a_pattern_gets_a_name_and_a_folder(lab: Lab) -> None:
    lab.call("add", "hf://org/gpt2@abc/*.safetensors")
    assert b"    - name: gpt2\r\n      url: hf://org/gpt2@abc/*.safetensors\r\n      path: gpt2\r\n" in lab.file.read_bytes()


def test_a_dry_run_prints_the_change_and_makes_none(lab: Lab) -> None:
    said = lab.call("add", "https://example.org/c.bin", "--dry-run")
    assert said.status == 0
    assert said.out.splitlines()[:2] == ["--- environment.yml", "+++ environment.yml"]
    assert [line for line in said.out.splitlines()[2:] if line[0] in "+-"] == ["+    - https://example.org/c.bin"]
    document = lab.call("remove", "b", "--dry-run", "--json").json
    assert document["dry_run"] is True
    assert '-    -   name: "b"' in str(document["diff"])
    assert lab.file.read_bytes() == TEXT


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["add", "https://example.org/a.bin"], "the name `a.bin` is taken in line 5"),
        (["add", "https://example.org/c", "--path", "b"], "`b` is the path of `b` in line 7"),
        (["add", "https://example.org/c", "--sha256", "12"], "--sha256: expected 64 hex digits"),
        (["add", "https://example.org/c", "--env", "PATH", "--group", "a b"], "--env: `PATH` belongs to the system"),
        (["add", "./c.bin"], "the URL: no scheme in the URL"),
        (["add", "https://example.org/c", "-f", "other.yml"], "there is no file other.yml"),
        (["add", "https://example.org/c", "-f", "https://example.org/environment.yml"], "on the web cannot be edited"),
        (["add", "https://example.org/c", "-f", "environment.yml", "-f", "assets.yml"], "one file can be edited at a time"),
        (["remove", "bb"], "has no asset 'bb'"),
        (["remove", "a.bin", "bb"], "has no asset 'bb'"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(lab: Lab, words: list[str], says: str) -> None:
    said = lab.call(*words)
    assert (said.status, said.out) == (2, "")
    assert says in said.err
    assert "Hint: " in said.err
    assert lab.file.read_bytes() == TEXT
    assert sorted(each.name for each in lab.folder.iterdir()) == ["environment.yml"]


def test_a_file_that_cannot_be_edited_says_what_to_type(lab: Lab) -> None:
    lab.file.write_text("x: &a [https://example.org/a]\nassets: *a\n")
    said = lab.call("add", "https://example.org/c", "--env", "C")
    assert said.status == 2
    assert "environment.yml:2: `assets:` is an alias of a list elsewhere" in said.err
    assert "put it there by hand: `- {url: https://example.org/c, env: C}`" in said.err


def test_a_faulty_file_is_not_made_longer(lab: Lab) -> None:
    lab.file.write_text("assets:\n- name: a\n  url: gopher://example.org/a\n")
    said = lab.call("add", "https://example.org/c")
    assert said.status == 2
    assert "environment.yml:3:8: assets[0].url (a): unknown scheme `gopher`" in said.err
    assert lab.call("add", "https://example.org/c").status == 2
    assert lab.call("remove", "a").status == 0, "what is wrong can be taken out"
    assert lab.file.read_text() == ""


def test_a_default_file_is_made_where_it_is_named(lab: Lab) -> None:
    lab.file.unlink()
    assert "-f assets.yml" in lab.call("add", "https://example.org/c").err
    document = lab.call("add", "https://example.org/c", "-f", "assets.yml", "--json").json
    assert document["created"] is True
    assert (lab.folder / "assets.yml").read_bytes() == b"assets:\n  - https://example.org/c\n"


def test_a_link_stays_a_link_and_a_mode_a_mode(lab: Lab) -> None:
    real = lab.folder / "real.yml"
    lab.file.rename(real)
    real.chmod(0o640)
    lab.file.symlink_to("real.yml")
    assert lab.call("add", "https://example.org/c").status == 0
    assert os.readlink(lab.file) == "real.yml"
    assert real.stat().st_mode & 0o777 == 0o640
    assert b"example.org/c\r\n" in real.read_bytes()


def test_utf_16_stays_utf_16(lab: Lab) -> None:
    """As PowerShell's `>` writes it."""
    lab.file.write_bytes(b"\xff\xfe" + "assets:\r\n- https://example.org/ä\r\n".encode("utf-16-le"))
    assert lab.call("add", "https://example.org/c", "--name", "c").status == 2, "a name cannot be made of ä alone"
    lab.file.write_bytes(b"\xff\xfe" + "# ä\r\nassets:\r\n- https://example.org/a\r\n".encode("utf-16-le"))
    assert lab.call("add", "https://example.org/c").status == 0
    text = "# ä\r\nassets:\r\n- https://example.org/a\r\n- https://example.org/c\r\n"
    assert lab.file.read_bytes() == b"\xff\xfe" + text.encode("utf-16-le")
