"""Where the `assets:` section stands in a text, sign by sign, for edits that leave every other byte as it is.

Only parser events are looked at. What a mark says is a belief: whoever edits by it reads the outcome and compares.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

from conda_assets.regexes import regex
from conda_assets.spec.events import Parser, Unreadable, fast_parser, libyaml, ruamel

__all__ = ["Layout", "Section", "Span", "layout_of"]

#: White space and comments, as they may stand between two tokens.
GAP = regex(r"(?:[ \t\r\n\ufeff]|(?:(?<=[ \t\r\n,\[{])|^)#[^\r\n]*)*")


class Span(NamedTuple):
    """`text[start:end]`; comments and line breaks behind the last sign do not belong to it."""

    start: int
    end: int


class Section(NamedTuple):
    """`assets:`. `kind`: items, null, alias, or other; `flow`: written in brackets. `value` is empty where nothing is written."""

    key: Span
    kind: str
    value: Span
    flow: bool
    items: tuple[Span, ...]


class Layout(NamedTuple):
    """`flow`: the whole file is one `{…}`, as JSON is. `top`: the map, empty in an empty file; `indent`: columns before its keys.

    `ended`: where the document's end is marked (`...`), else None.
    """

    top: Span
    flow: bool
    indent: int
    section: Section | None
    ended: int | None


def layout_of(text: str) -> Layout:
    """The places in a text without a byte-order mark.

    Raises:
        Unreadable: not YAML, or no map at the top.
    """
    if text.isascii() and fast_parser(text):
        with suppress(Unreadable):  # the other parser has the last word
            return _read(libyaml(text))
    return _read(ruamel(text))


def _read(parser: Parser) -> Layout:
    try:
        return _Reader(parser).layout()
    finally:
        parser.close()


class _Reader:
    """Follows the events; `_end` is where the last written sign ended.

    The end mark of a block collection is where the next token starts, which is past comments: it is not looked at.
    """

    def __init__(self, parser: Parser) -> None:
        self._following, self._events = parser.following, parser.events
        self._end = 0

    def layout(self) -> Layout:
        events = self._events
        self._next()
        if not isinstance(self._next(), events.DocumentStartEvent):
            return Layout(Span(0, 0), False, 0, None, None)
        top = self._next()
        if not isinstance(top, events.MappingStartEvent):
            # Nothing but comments between `---` and `...`, or something that is no map.
            if isinstance(top, events.ScalarEvent) and top.implicit[0] and not top.value:
                return Layout(Span(self._end, self._end), False, 0, None, self._ended(top.end_mark.index))
            raise Unreadable("expected a map at the top level", top.start_mark.line + 1, top.start_mark.column + 1)
        section: Section | None = None
        while not isinstance(key := self._next(), events.MappingEndEvent):
            span = self._node(key)
            if section is None and isinstance(key, events.ScalarEvent) and key.value == "assets":
                section = self._section(span)
            else:
                self._node(self._next())
        span = Span(top.start_mark.index, self._end)
        return Layout(span, bool(top.flow_style), top.start_mark.column, section, self._ended(span.end))

    def _ended(self, least: int) -> int | None:
        event = self._next()
        if isinstance(event, self._events.DocumentEndEvent) and event.explicit:
            return max(int(event.start_mark.index), least)
        return None

    def _section(self, key: Span) -> Section:
        events = self._events
        event = self._next()
        if not isinstance(event, events.SequenceStartEvent):
            value = self._node(event)
            kind = "other"
            if isinstance(event, events.AliasEvent):
                kind = "alias"
            elif isinstance(event, events.ScalarEvent) and event.implicit[0] and event.tag is None and event.anchor is None:
                kind = "null" if event.value in ("", "~", "null", "Null", "NULL") else "other"
            return Section(key, kind, value, False, ())
        items: list[Span] = []
        while not isinstance(event_in := self._next(), events.SequenceEndEvent):
            items.append(self._node(event_in))
        flow = bool(event.flow_style)
        return Section(key, "items", Span(event.start_mark.index, self._end), flow, tuple(items))

    def _node(self, event: Any) -> Span:
        """Pass over a node, from its first event on."""
        events = self._events
        openings = (events.SequenceStartEvent, events.MappingStartEvent)
        endings = (events.SequenceEndEvent, events.MappingEndEvent)
        start, depth = event.start_mark.index, int(isinstance(event, openings))
        while depth:
            event_in = self._next()
            depth += isinstance(event_in, openings) - isinstance(event_in, endings)
        return Span(start, max(start, self._end))

    def _next(self) -> Any:
        event = self._following()
        events = self._events
        ends = isinstance(event, (events.SequenceEndEvent, events.MappingEndEvent))
        # A bracket is one sign wide; the end of a block is no sign at all.
        if event.end_mark.index > event.start_mark.index or not ends:
            self._end = event.end_mark.index if self._is_written(event) else self._end
        return event

    def _is_written(self, event: Any) -> bool:
        events = self._events
        if isinstance(event, (events.SequenceStartEvent, events.MappingStartEvent)):
            return bool(event.flow_style)
        return isinstance(event, (events.ScalarEvent, events.AliasEvent, events.SequenceEndEvent, events.MappingEndEvent))
