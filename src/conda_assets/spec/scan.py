"""The section without its meaning: whether a text has one, and the text's data without it."""

from __future__ import annotations

import re
from typing import NamedTuple

from conda_assets.errors import Fault, SpecInvalid
from conda_assets.regexes import regex
from conda_assets.spec.events import Parser, Unreadable, fast_parser, libyaml, unreadable

__all__ = ["has_key", "has_section", "without_section"]

_KEY = r"(?:[&!][^\s,\[\]{}]*[ \t]+)*(?:assets|\"assets\"|'assets')[ \t]*"
_BREAK = r"\n\r\x85\u2028\u2029"
_BLOCK_KEY = regex(rf"(?:\A|[{_BREAK}]|^---[ \t])[ \t\ufeff]*(?:\?[ \t]+)?{_KEY}(?=[:{_BREAK}]|\Z)", re.MULTILINE)
_FLOW_KEY = regex(rf"[{{,]\s*(?:\?\s+)?{_KEY}\s*:")


def has_section(text: str) -> bool:
    """Whether the text may have `assets:` at its top level.

    A scan without YAML, for files that conda reads anyway. False is certain; True is not, where a nested map has such a key.
    """
    return "assets" in text and bool(_BLOCK_KEY.search(text) or _FLOW_KEY.search(text))


def has_key(text: str, key: str) -> bool:
    """Whether a line at the margin begins with the key: a look, for files that are read properly afterwards."""
    return bool(re.search(rf"^[\"']?{re.escape(key)}[\"']?[ \t]*:", text, re.MULTILINE))


def without_section(text: str, source: str = "environment.yml") -> dict[str, object]:
    """The data of the text as conda reads it, without `assets`.

    Where the section's lines stand for themselves they are not even parsed: ruamel.yaml takes 1 s for 1,000 assets.

    Raises:
        SpecInvalid: conda could not read the text; `source` is named.
    """
    import ruamel.yaml
    import ruamel.yaml.error

    rest = _without_lines(text)
    try:
        data = ruamel.yaml.YAML(typ="safe", pure=True).load(rest.text)
    except ruamel.yaml.error.YAMLError as error:
        raise _invalid(source, unreadable(rest.text, error), rest) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise _invalid(source, Unreadable("this is not YAML that conda can read", 1, 1), rest) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise _invalid(source, Unreadable("expected a map at the top level", 1, 1), rest)
    data.pop("assets", None)
    return data


class _Rest(NamedTuple):
    """A text without `cut` lines behind the line `start` (from 1)."""

    text: str
    start: int = 0
    cut: int = 0


def _invalid(source: str, said: Unreadable, rest: _Rest) -> SpecInvalid:
    line = said.line + (rest.cut if said.line > rest.start else 0)
    return SpecInvalid((Fault(source, line, said.column, "", said.message, said.hint),))


def _without_lines(text: str) -> _Rest:
    """The text with a comment for the section's lines, if they can be cut out; else the text."""
    if not fast_parser(text):
        return _Rest(text)
    try:
        lines = _section_lines(text)
    except Unreadable:
        return _Rest(text)
    if lines is None:
        return _Rest(text)
    start, end = lines
    rows = text.splitlines(keepends=True)
    # A comment ends a block scalar above, whose last line breaks may count.
    return _Rest("".join((*rows[:start], "#\n", *rows[end:])), start + 1, end - start - 1)


def _section_lines(text: str) -> tuple[int, int] | None:
    """First line of the section and the line behind it, from 0; None unless it stands alone in a block map at the margin.

    An anchor in it may be used elsewhere: then it does not stand alone.

    Raises:
        Unreadable: libyaml cannot read the text.
    """
    parser = libyaml(text + "\n")
    events = parser.events
    start: int | None = None
    for opening in (events.StreamStartEvent, events.DocumentStartEvent, events.MappingStartEvent):
        event = parser.following()
        if not isinstance(event, opening):
            return None
    if event.flow_style:
        return None
    while not isinstance(key := parser.following(), events.MappingEndEvent):
        if start is not None:
            break
        if not isinstance(key, events.ScalarEvent):
            return None
        anchored = _skip(parser) or key.anchor
        if key.value == "assets":
            if anchored or key.start_mark.column:
                return None
            start = key.start_mark.line
    return None if start is None or key.start_mark.column else (start, key.start_mark.line)


def _skip(parser: Parser) -> bool:
    """Pass over one node; whether an anchor was in it."""
    events = parser.events
    openings = (events.SequenceStartEvent, events.MappingStartEvent)
    endings = (events.SequenceEndEvent, events.MappingEndEvent)
    depth, anchored = 0, False
    while True:
        event = parser.following()
        if isinstance(event, endings):
            depth -= 1
        else:
            depth += isinstance(event, openings)
            anchored = anchored or (event.anchor is not None and not isinstance(event, events.AliasEvent))
        if not depth:
            return anchored
