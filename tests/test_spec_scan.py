"""Finding the section without YAML, and the rest of a file without the section."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from conda_assets.errors import SpecInvalid
from conda_assets.spec import has_section, without_section
from test_spec_files import VALID

WITH = {
    "plain": "name: x\nassets:\n- a\n",
    "first": "assets: [a]",
    "quoted": '"assets": [a]',
    "single quotes": "'assets' : [a]",
    "space": "assets : [a]",
    "null": "name: x\nassets:",
    "windows": "name: x\r\nassets:\r\n",
    "old mac": "name: x\rassets:\r",
    "byte-order mark": "\ufeffassets: []",
    "json": '{"name": "x", "assets": []}',
    "json over lines": '{\n  "name": "x",\n  "assets":\n []\n}',
    "flow": "{assets: [a]}",
    "indented": "  name: x\n  assets: []\n",
    "explicit": "? assets\n: []\n",
    "document mark": "--- {assets: []}",
    "after the mark": "---\nassets: []\n",
    "anchor": "&a assets: []\n",
    "tag": "!!str assets: []\n",
    "merged": "x: &x\n  assets: []\n<<: *x\n",
}
WITHOUT = {
    "empty": "",
    "other": "name: x\ndependencies: [python]\n",
    "comment": "# assets: [a]\nname: x\n",
    "comment at the end": "name: x  # assets:\n",
    "in a value": "name: my assets: yes\n".replace(": yes", ""),
    "longer": "my-assets: 1\nassets2: 2\nassetsx: 3\n",
    "package": "dependencies:\n  - conda-assets\n  - assets\n",
    "in a URL": "channels: [https://x.org/assets:8080]\n",
}


@pytest.mark.parametrize("text", WITH.values(), ids=WITH)
def test_a_section_is_found_however_its_key_is_written(text: str) -> None:
    data = YAML(typ="safe", pure=True).load(text.removeprefix("\ufeff"))
    assert "assets" in data
    assert has_section(text)


@pytest.mark.parametrize("text", WITHOUT.values(), ids=WITHOUT)
def test_a_file_without_a_section_is_left_alone(text: str) -> None:
    assert not has_section(text)


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_the_rest_is_what_conda_reads(path: Path) -> None:
    text = path.read_text(encoding="utf-8-sig")
    whole = YAML(typ="safe", pure=True).load(text) or {}
    whole.pop("assets", None)
    assert without_section(text) == whole


REST = {
    "block scalar above": "description: |+\n  text\n\nassets:\n- a\n\nname: x\n",
    "at the end": "name: x\nassets:\n- a",
    "in the middle": "name: x\nassets:\n  - a\n\n  # c\n\nchannels: [a]\n",
    "comment behind": "name: x\nassets: []\n# the end\n",
    "document end": "name: x\nassets: []\n...\n",
    "anchor used below": "assets:\n- &a b\nname: *a\n",
    "anchor used above": "name: &a b\nassets: [*a]\n",
    "key with an anchor": "&k assets: []\nname: *k\n",
    "merged": "x: &x {assets: [a], name: y}\n<<: *x\n",
    "scalar over lines": "name: x\n  y\nassets: a\n  b\nchannels: []\n",
    "key that is a list": "? [a, b]\n: c\nassets: [a]\n",
    "words of YAML 1.2": "variables: {A: no, B: 012, C: 12:30, D: 1e3}\nassets: []\n",
    "null": "assets:\nname: x\n",
}


@pytest.mark.parametrize("text", REST.values(), ids=REST)
def test_cutting_the_section_out_changes_nothing_else(text: str) -> None:
    whole = YAML(typ="safe", pure=True).load(text)
    whole.pop("assets", None)
    assert without_section(text) == whole


def test_the_lines_of_the_section_are_not_parsed_again() -> None:
    """1,000 assets cost ruamel.yaml a second; conda gets a copy without them."""
    rest = "name: x\ndependencies: [python]\n"
    section = "assets:\n" + "- {url: https://x.org/a, size: 5}\n" * 300
    assert _python_calls(rest + section) == _python_calls(rest + "assets: [a]\n")


def _python_calls(text: str) -> int:
    """Calls inside ruamel.yaml, which is pure Python and so can be counted."""
    without_section(text)
    count = 0

    def profile(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event == "call" and "ruamel" in frame.f_code.co_filename  # type: ignore[attr-defined]

    sys.setprofile(profile)
    try:
        without_section(text)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nassets:\n- x\n- y\nb: {c: 1, c: 2}\n", 5),
        ("a: 1\nb: [c\n", 3),
        ("a: 1\na: 2\n", 2),
        ("- a\n", 1),
        ("a: " + "[" * 5000, 1),
        ("a: !x b", 1),
    ],
    ids=["behind the section", "syntax", "a key twice", "a list", "deep", "tag"],
)
def test_what_conda_cannot_read_is_a_fault_of_the_file(text: str, line: int) -> None:
    with pytest.raises(SpecInvalid) as caught:
        without_section(text, "e.yml")
    (fault,) = caught.value.faults
    assert (fault.file, fault.line) == ("e.yml", line)
