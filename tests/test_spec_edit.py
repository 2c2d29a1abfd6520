"""Entries come and go, every other byte stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conda_assets import spec
from conda_assets.spec.edit import drop, put
from conda_assets.spec.entry import block_lines, flow_text
from conda_assets.spec.layout import layout_of
from conda_assets.spec.lines import Uneditable

URL = {"url": "https://example.org/new.bin"}
FULL = {
    "name": "new",
    "url": "https://example.org/w.bin?x=1&y=#2",
    "sha256": "0" * 64,
    "env": "NEW",
    "groups": ["a", "b"],
    "size": 12,
}


def count(text: str) -> int:
    section = layout_of(text).section
    return len(section.items) if section else 0


CASES = {
    "behind the last": ("a: 1\nassets:\n  - x:y\nb: 2\n", "a: 1\nassets:\n  - x:y\n  - https://example.org/new.bin\nb: 2\n"),
    "no final newline": ("assets:\n- x:y", "assets:\n- x:y\n- https://example.org/new.bin"),
    "crlf": ("assets:\r\n- x:y  # one\r\nb: 1\n", "assets:\r\n- x:y  # one\r\n- https://example.org/new.bin\r\nb: 1\n"),
    "a comment of the last": (
        "assets:\n  - url: x:y\n    # why\n  # next\n",
        "assets:\n  - url: x:y\n    # why\n  - https://example.org/new.bin\n  # next\n",
    ),
    "blank lines between": (
        "assets:\n  - x:y\n\n  - url: x:z\n\nb: 1\n",
        "assets:\n  - x:y\n\n  - url: x:z\n\n  - https://example.org/new.bin\n\nb: 1\n",
    ),
    "no section": ("name: x\n# end\n", "name: x\n# end\nassets:\n  - https://example.org/new.bin\n"),
    "an indented file": ("  name: x\n", "  name: x\n  assets:\n    - https://example.org/new.bin\n"),
    "an empty file": ("", "assets:\n  - https://example.org/new.bin\n"),
    "comments only": ("# hello", "# hello\nassets:\n  - https://example.org/new.bin"),
    "before the end mark": ("---\na: 1\n...\n", "---\na: 1\nassets:\n  - https://example.org/new.bin\n...\n"),
    "empty brackets": ("assets: []  # none\nb: 1\n", "assets:  # none\n  - https://example.org/new.bin\nb: 1\n"),
    "nothing": ("assets:\nb: 1\n", "assets:\n  - https://example.org/new.bin\nb: 1\n"),
    "a written null": ("assets: ~\n", "assets:\n  - https://example.org/new.bin\n"),
    "brackets": ("assets: [x:y, {url: x:z}] # c\n", "assets: [x:y, {url: x:z}, https://example.org/new.bin] # c\n"),
    "brackets over lines": (
        "assets: [\n  x:y, # one\n  x:z,\n]\n",
        "assets: [\n  x:y, # one\n  x:z,\n  https://example.org/new.bin,\n]\n",
    ),
    "JSON": ('{"a": 1, "assets": ["x:y"]}', '{"a": 1, "assets": ["x:y", "https://example.org/new.bin"]}'),
    "JSON without a section": ('{"a": 1}\n', '{"a": 1, "assets": ["https://example.org/new.bin"]}\n'),
    "a text at the end": (
        "assets:\n- url: |\n    x:y\n\nb: 1\n",
        "assets:\n- url: |\n    x:y\n\n- https://example.org/new.bin\nb: 1\n",
    ),
    "an anchor on the list": ("assets: &all\n- x:y\n", "assets: &all\n- x:y\n- https://example.org/new.bin\n"),
}


@pytest.mark.parametrize(("text", "wanted"), CASES.values(), ids=CASES)
def test_an_entry_goes_behind_the_last_one(text: str, wanted: str) -> None:
    assert put(text, [URL]) == wanted


GOES_EMPTY = ("empty brackets", "nothing", "a written null", "JSON without a section")


@pytest.mark.parametrize("name", [name for name in CASES if name not in GOES_EMPTY])
def test_what_was_put_can_be_taken_out_again(name: str) -> None:
    text, _ = CASES[name]
    for fields in (URL, FULL):
        there = put(text, [fields])
        assert drop(there, count(there) - 1) == text


@pytest.mark.parametrize(
    ("text", "index", "wanted"),
    [
        ("assets:\n  # one\n  - x:y\n  # two\n  - x:z  # z\nb: 1\n", 0, "assets:\n  # one\n  # two\n  - x:z  # z\nb: 1\n"),
        ("assets:\n  # one\n  - x:y\n  # two\n  - x:z  # z\nb: 1\n", 1, "assets:\n  # one\n  - x:y\n  # two\nb: 1\n"),
        ("assets:\n- x:a\n\n- x:b\n\n- x:c\n", 1, "assets:\n- x:a\n\n- x:c\n"),
        ("assets:\n-\n  url: x:a\n- x:b", 1, "assets:\n-\n  url: x:a"),
        ("assets:\n-\n  # c\n  url: x:a\n- x:b\n", 0, "assets:\n- x:b\n"),
        ("a: 1\nassets:\n- x:a\nb: 2\n", 0, "a: 1\nb: 2\n"),
        ("a: 1\nassets: # mine\n- x:a\nb: 2\n", 0, "a: 1\nassets: # mine\nb: 2\n"),
        ("assets: [x:a, x:b, x:c]\n", 0, "assets: [x:b, x:c]\n"),
        ("assets: [x:a, x:b, x:c]\n", 1, "assets: [x:a, x:c]\n"),
        ("assets: [ x:a, ]\n", 0, "assets: [  ]\n"),
        ("b: {assets: []}\nassets:\n- {url: x:a,\n  name: b}\n", 0, "b: {assets: []}\n"),
        ("assets:\n- url: |\n    x:a\n- name: b\n  url: x:b\n    # deep\nb: 1\n", 1, "assets:\n- url: |\n    x:a\nb: 1\n"),
        ("? assets\n: - x:a\n  - x:b\n", 1, "? assets\n: - x:a\n"),
    ],
)
def test_an_entry_goes_with_its_lines_and_leaves_the_comments(text: str, index: int, wanted: str) -> None:
    assert drop(text, index) == wanted


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("x: &a [x:y]\nassets: *a\n", 2, "alias"),
        ("assets: {url: x:y}\n", 1, "not a list"),
        ("x: &a [x:y]\nb: *a\n<<: {assets: [x:y]}\n", 0, "cannot be edited"),
        ("assets: &a [x:y]\nb: *a\n", 1, "cannot be edited"),
        ("assets: !mine\n- x:y\n", 1, "cannot be edited"),
    ],
)
def test_what_cannot_be_edited_with_certainty_is_refused(text: str, line: int, said: str) -> None:
    with pytest.raises(Uneditable, match=said) as caught:
        put(text, [URL])
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("assets:\n- &a {url: x:y}\n- {<<: *a, name: z}\n", 0),
        ("? assets\n: - x:a\n  - x:b\n", 0),
        ("assets: [x:a, # one\n  x:b]\n", 1),
    ],
)
def test_an_entry_that_others_hang_on_stays(text: str, index: int) -> None:
    with pytest.raises(Uneditable):
        drop(text, index)


VALUES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12) | st.sampled_from(
    [
        "no",
        "0123",
        "12:30",
        "a: b",
        "a #b",
        "- x",
        "*",
        "*.bin",
        "&x",
        "!x",
        "true",
        "~",
        "null",
        "'",
        '"',
        "{a}",
        "x:",
        "hf://o/r/*.x",
    ]
)


@given(VALUES, VALUES)
@settings(deadline=None, derandomize=True, max_examples=200)
def test_every_text_is_read_as_it_was_meant(one: str, other: str) -> None:
    fields = {"name": one, "url": other, "mirrors": [one, other], "headers": {one: other}}
    as_block = "\n".join(f"{'- ' if not index else '  '}{line}" for index, line in enumerate(block_lines(fields)))
    expected = [[("text", one), ("text", other)]]
    for text in (f"assets:\n{as_block}\n", f"assets: [{flow_text(fields)}]", f"assets: [{flow_text(fields, as_json=True)}]"):
        (entry,) = spec.edit._content(text)["assets"]
        pairs = {key[1]: value for key, value in entry[1]}
        assert (pairs["name"], pairs["url"]) == (("text", one), ("text", other)), text
        assert pairs["mirrors"] == [("text", one), ("text", other)]
    assert expected


COMMENT = st.sampled_from(["# one", "#", "# - https://example.org/old.bin", "# assets:", "#: [", "# 'quote"])
BLANK = st.sampled_from(["", "  ", "\t"])
ITEM = st.sampled_from(
    [
        ["https://example.org/{n}.bin"],
        ["https://example.org/{n}.bin   # a tail"],
        ["'https://example.org/{n}.bin'"],
        ["name: n{n}", "url: https://example.org/w.bin", "", "# inner", "sha256: '" + "a" * 64 + "'"],
        ["{{name: n{n}, url: 'https://example.org/w.bin'}}  # brackets"],
        ["url: >-", "  https://example.org/{n}.bin", ""],
        ["", "  name: n{n}", "  url: https://example.org/w.bin"],
        ["name: n{n}", "url: https://example.org/w.bin", "unpack: {{strip: 1,", "  include: ['*']}}", "  # deep"],
    ]
)


@st.composite
def files(draw: st.DrawFn) -> str:
    """An environment.yml full of comments, in any order, with any line ends."""
    around = st.lists(COMMENT | BLANK, max_size=2)
    lines: list[str] = [
        *draw(around),
        *draw(st.sampled_from([["name: x  # me"], ["dependencies:", "- python  # v", "- pip:", "  - x"], []])),
    ]
    items = draw(st.lists(ITEM, max_size=4))
    if items:
        indent = draw(st.sampled_from(["", "  ", "    "]))
        lines += [*draw(around), "assets:" + draw(st.sampled_from(["", "  # ours"]))]
        for n, item in enumerate(items):
            lines += [indent + each if each and not each.startswith("\t") else each.strip("\t") for each in draw(around)]
            first, *rest = (each.format(n=n) for each in item)
            lines += [f"{indent}- {first}", *(f"{indent}  {each}" if each else "" for each in rest)]
        lines += draw(st.lists(COMMENT, max_size=1))
    lines += draw(st.sampled_from([["variables:", "  A: |", "    text", ""], ["channels: [a]  # c"], []]))
    lines += ["..."] if any(line[:1].isalpha() for line in lines) and draw(st.booleans()) else []
    newline = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    return newline.join(lines) + draw(st.sampled_from(["", newline, newline * 2]))


@given(files(), st.sampled_from([URL, FULL]))
@settings(deadline=None, derandomize=True, max_examples=300)
def test_putting_in_and_taking_out_gives_the_same_bytes(text: str, fields: dict[str, object]) -> None:
    if "\t" in text:
        text = text.replace("\t", " ")
    before = count(text)
    there = put(text, [fields])
    assert count(there) == before + 1
    kept = [line for line in text.splitlines() if line.strip()]
    assert [line for line in there.splitlines() if line in kept or not line.strip()] or not kept
    assert drop(there, before) == text


@given(files(), st.integers(0, 3))
@settings(deadline=None, derandomize=True, max_examples=200)
def test_taking_out_an_entry_keeps_every_line_of_others(text: str, index: int) -> None:
    text = text.replace("\t", " ")
    if index >= count(text):
        return
    after = drop(text, index)
    assert count(after) == count(text) - 1
    rest = iter(text.splitlines())
    assert all(any(line == other for other in rest) for line in after.splitlines()), "a part of the lines, in their order"


def test_files_of_the_test_data_come_back(tmp_path: Path) -> None:
    for file in sorted((Path(__file__).parent / "data" / "valid").glob("*.yml")):
        text = file.read_bytes().decode("utf-8-sig")
        try:
            there = put(text, [FULL])
        except Uneditable:
            assert file.name == "top-merge.yml"
            continue
        if count(text):
            assert drop(there, count(there) - 1) == text, file.name
