"""The two YAML parsers must say the same, and the same as conda's reader."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from conda_assets.errors import Fault, SpecInvalid
from conda_assets.spec import has_section, load_texts, without_section
from conda_assets.spec.events import Unreadable, fast_parser
from conda_assets.spec.nodes import Items, Node, Pairs, Scalar, entries, plain_kind
from test_spec_files import INVALID, VALID

with_libyaml = pytest.mark.skipif(not fast_parser("a: b"), reason="PyYAML has no libyaml here")

# fmt: off
TOKENS = st.sampled_from([
    *"{}[],:'\"#|>!?-%@`\\~=+_&* \n\t\r\0\x07\x85é😀\u2028\ufeff",
    "- ", "  ", "    ", ": ", "? ", "&a ", "*a", "<<", "<<: *a", "!!str ", "---\n", "...\n", "\r\n", "\n\n", "|-\n", ">+\n",
    "assets:\n", "assets: ", '"assets":', "- url: https://x.org/a\n", "name: b\n", "url", "null", "true", "1e5", "0x1", "12:30",
    "2020-01-01", "a\n b", "\\x41", "%YAML 1.1\n", "!t!x", "[a, b]", "{a: b}", "'a'", '"a\\n"', "k: v\n", "- v\n", "a: [", "b: {",
])
# fmt: on
SNIPPETS = st.sampled_from([path.read_bytes().decode() for path in (*VALID, *INVALID)])


@st.composite
def broken_files(draw: st.DrawFn) -> str:
    """A real file, or nothing, with a few pieces cut out and put in."""
    text = draw(SNIPPETS | st.just("") | st.just("assets:\n- https://x.org/a\nname: x\n"))
    if len(text) > 400:
        start = draw(st.integers(0, len(text) - 300))
        text = text[start : start + 300]
    for _ in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 0, 1, 3, 20])))
        text = text[:start] + draw(TOKENS) + text[end:]
    return text


def frozen(node: Node) -> object:
    """A node without what a value that is not there has for a place: there the parsers disagree."""
    if isinstance(node, Items):
        return ("list", node.line, node.column, [frozen(item) for item in node.items])
    if isinstance(node, Pairs):
        return ("map", node.line, node.column, [(frozen(key), frozen(value)) for key, value in node.pairs])
    return tuple(node) if node.text else (node.kind,)


def read(text: str, *, fast: bool) -> object:
    try:
        return [(frozen(key), frozen(value)) for key, value in entries(text, fast=fast)]
    except Unreadable as error:
        return error


def refusal(text: str) -> tuple[Fault, ...]:
    """The faults of a text, each of which can be printed; none if it is fine."""
    try:
        load_texts([("e.yml", text)], environ={}, base=Path())
    except SpecInvalid as error:
        return error.faults if str(error) else ()
    return ()


def conda_reads(text: str) -> object:
    """What conda's reader makes of a text; an exception object if it cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return YAML(typ="safe", pure=True).load(text)
        except Exception as error:
            return error


FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@with_libyaml
@FUZZ
@given(broken_files())
def test_libyaml_reads_what_ruamel_reads_or_complains(text: str) -> None:
    if fast_parser(text):
        fast = read(text, fast=True)
        assert isinstance(fast, Unreadable) or fast == read(text, fast=False)


@FUZZ
@given(broken_files())
def test_nothing_but_our_errors_comes_out_and_each_has_a_place(text: str) -> None:
    lines = sum(map(text.count, "\n\r\x85\u2028\u2029")) + 1
    for fault in refusal(text):
        assert 1 <= fault.line <= lines + 1, fault
        assert fault.column >= 1


@FUZZ
@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    refusal(text)


@FUZZ
@given(broken_files())
def test_the_rest_of_a_file_is_what_conda_reads(text: str) -> None:
    whole = conda_reads(text)
    if isinstance(whole, dict):
        assert has_section(text) or "assets" not in whole
        whole.pop("assets", None)
        assert repr(without_section(text)) == repr(whole)


# fmt: off
WORDS = st.sampled_from([
    *"0123456789+-._:eExobTZ ~=", "12", "1_0", "true", "null", "inf", "nan", "2020-01-02", "NO", "yes", "<<",
])
# fmt: on


@FUZZ
@given(st.lists(WORDS, min_size=1, max_size=8).map("".join))
def test_a_plain_word_is_of_the_kind_that_conda_takes_it_for(word: str) -> None:
    read = conda_reads(f"[{word}]")
    kinds = {bool: "boolean", int: "integer", float: "number", str: "text", type(None): "null"}
    if isinstance(read, list) and len(read) == 1 and word == word.strip() and not isinstance(read[0], (dict, list)):
        assert plain_kind(word) == kinds.get(type(read[0]), "date")


@pytest.mark.parametrize("fast", [pytest.param(True, marks=with_libyaml), False], ids=["libyaml", "ruamel"])
def test_a_text_that_nobody_understands_says_where(fast: bool) -> None:
    said = read("a: 1\nb: [c\n", fast=fast)
    assert isinstance(said, Unreadable)
    assert said.line in (2, 3)


@pytest.mark.parametrize("text", ["a: \ud800", "a: '\udfff'"], ids=["lone high", "lone low"])
def test_half_a_surrogate_pair_is_refused(text: str) -> None:
    assert len(refusal(text)) == 1


def test_nodes_of_a_long_list_are_not_kept() -> None:
    """The list is read while it is walked: an entry is gone before the next one comes."""
    stream = entries("assets:\n- a\n- b\nname: x\n", fast=False)
    _, value = next(stream)
    assert isinstance(value, Items)
    assert [item.text for item in value.items if isinstance(item, Scalar)] == ["a", "b"]
    assert [item.text for item in value.items if isinstance(item, Scalar)] == []
    key, _ = next(stream)
    assert isinstance(key, Scalar)
    assert key.text == "name"


def test_what_nobody_reads_of_a_list_is_passed_over() -> None:
    stream = entries("channels: [a, [b, {c: d}]]\nname: x\n", fast=False)
    assert [key.text for key, _ in stream if isinstance(key, Scalar)] == ["channels", "name"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@FUZZ
@given(st.dictionaries(st.sampled_from(["name", "dependencies", "channels", "assets", "zz"]), JSON), st.booleans())
def test_the_section_is_found_and_cut_out_of_any_data(data: dict[str, object], flow: bool) -> None:
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = flow
    out = io.StringIO()
    writer.dump(data, out)
    text = out.getvalue()
    whole = conda_reads(text)
    if isinstance(whole, dict):  # ruamel.yaml writes some keys in a way that it cannot read
        assert has_section(text) or "assets" not in data
        whole.pop("assets", None)
        assert without_section(text) == whole
