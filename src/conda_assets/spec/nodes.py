"""YAML to nodes: what a file says, value by value, each with its line and column.

Nodes come from parser events, so that nothing of a long `assets:` list is in memory but the entry in hand.

What a plain scalar means is decided here, by the rules of YAML 1.2 as ruamel.yaml has them, so that conda and this package read
the same: `no` and `12:30` are text, `0123` is 123.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from conda_assets.regexes import regex
from conda_assets.spec.events import Parser, Unreadable, libyaml, ruamel

__all__ = ["Items", "Node", "Pairs", "Scalar", "entries"]

#: Deeper than any real file; keeps a hostile one from exhausting Python's stack.
MAX_DEPTH = 64


class Scalar(NamedTuple):
    """A single value. `kind`: text, integer, number, boolean, date, null, merge, or tagged (then `text` is the tag)."""

    kind: str
    text: str
    line: int
    column: int


class Items(NamedTuple):
    """A list. `items` of a top-level list can be iterated once only: it is read while it is iterated."""

    items: Iterable[Node]
    line: int
    column: int


class Pairs(NamedTuple):
    """A map, merge keys (`<<`) resolved; a key that is written twice is here twice."""

    pairs: Sequence[tuple[Node, Node]]
    line: int
    column: int


Node = Scalar | Items | Pairs


def entries(text: str, *, fast: bool) -> Iterator[tuple[Node, Node]]:
    """The top-level keys and values, in file order; merged ones last. Reads on while it is iterated.

    `fast`: with libyaml; only where `fast_parser(text)` says so, and an `Unreadable` from it is not final.

    Raises:
        Unreadable: not YAML, more than one document, or no map at the top.
    """
    parser = libyaml(text) if fast else ruamel(text)
    try:
        yield from _Composer(parser).entries()
    finally:
        parser.close()


_BOOLEAN = frozenset(("true", "True", "TRUE", "false", "False", "FALSE"))
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_FIRST = frozenset("-+.0123456789")
# What begins no word that means something else.
_PLAIN_TEXT = frozenset("abcdeghijklmopqrsuvwxyzABCDEGHIJKLMOPQRSUVWXYZ/_")
_INTEGER = regex(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|[0-9_]+|0x[0-9a-fA-F_]+)")
_NUMBER = regex(
    r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_DATE = regex(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?"
    r"(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?"
)


def plain_kind(text: str) -> str:
    """What an unquoted scalar is.

    Source: https://yaml.org/spec/1.2.2/#103-core-schema, with the deviations of ruamel.yaml's resolver.
    """
    first = text[:1]
    if first in _PLAIN_TEXT:
        return "text"  # nearly all
    if first in _FIRST:
        if _INTEGER.fullmatch(text):
            return "integer"
        if _NUMBER.fullmatch(text):
            return "number"
        return "date" if _DATE.fullmatch(text) else "text"
    if text in _NULL:
        return "null"
    if text in _BOOLEAN:
        return "boolean"
    return "merge" if text == "<<" else "text"


_CORE = "tag:yaml.org,2002:"
_TAGGED_SCALARS = {
    "!": "text",
    _CORE + "str": "text",
    _CORE + "int": "integer",
    _CORE + "float": "number",
    _CORE + "bool": "boolean",
    _CORE + "null": "null",
    _CORE + "timestamp": "date",
    _CORE + "merge": "merge",
}
_PLAIN_COLLECTIONS = frozenset((None, "!", _CORE + "seq", _CORE + "map"))


class _Composer:
    """Events to nodes."""

    def __init__(self, parser: Parser) -> None:
        self._next, events = parser.following, parser.events
        self._scalar_type, self._alias_type = events.ScalarEvent, events.AliasEvent
        self._list_type, self._map_type = events.SequenceStartEvent, events.MappingStartEvent
        self._list_end, self._map_end = events.SequenceEndEvent, events.MappingEndEvent
        self._document_type = events.DocumentStartEvent
        self._anchors: dict[str, Node] = {}

    def entries(self) -> Iterator[tuple[Node, Node]]:
        self._next()  # the stream starts
        if type(self._next()) is not self._document_type:
            return  # an empty file
        top = self._next()
        if type(top) is self._map_type:
            yield from self._top_level()
        else:
            node = self._node(top, 0)
            if not (isinstance(node, Scalar) and node.kind == "null"):
                hint = "put `assets:` above the list, and indent it" if isinstance(node, Items) else ""
                raise Unreadable("expected a map with `assets:` at the top level", node.line, node.column, hint)
        self._next()  # the document ends
        after = self._next()
        if type(after) is self._document_type:
            mark = after.start_mark
            raise Unreadable("a second YAML document starts here", mark.line + 1, mark.column + 1, "keep one, or split the file")

    def _top_level(self) -> Iterator[tuple[Node, Node]]:
        seen: set[str] = set()
        merges: list[tuple[Node, Node]] = []
        while type(event := self._next()) is not self._map_end:
            key = self._node(event, 1)
            event = self._next()
            if type(event) is self._list_type and event.anchor is None and event.tag is None:
                items = self._items(2)
                yield key, Items(items, event.start_mark.line + 1, event.start_mark.column + 1)
                for _ in items:  # what nobody wanted to see
                    pass
            elif isinstance(key, Scalar) and key.kind == "merge":
                merges.append((key, _placed(self._node(event, 1), key)))
                continue
            else:
                yield key, _placed(self._node(event, 1), key)
            if isinstance(key, Scalar):
                seen.add(key.text)
        for key, value in _flat(merges) if merges else ():
            if not (isinstance(key, Scalar) and key.text in seen):
                yield key, value

    def _node(self, event: Any, depth: int) -> Node:
        kind, mark, anchor = type(event), event.start_mark, event.anchor
        line, column = mark.line + 1, mark.column + 1
        if kind is self._scalar_type:
            text: str = event.value
            tag = event.tag
            if tag is None:
                found: Node = Scalar(plain_kind(text) if event.implicit[0] else "text", text, line, column)
            else:
                means = _TAGGED_SCALARS.get(str(tag))
                found = Scalar(means, text, line, column) if means else Scalar("tagged", str(tag), line, column)
        elif kind is self._alias_type:
            if anchor not in self._anchors:
                raise Unreadable(f"the alias `*{anchor}` has no anchor `&{anchor}` that ends above it", line, column)
            return self._anchors[anchor]._replace(line=line, column=column)
        elif depth > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH} levels", line, column)
        else:
            found = (
                Items(list(self._items(depth + 1)), line, column) if kind is self._list_type else self._map(depth, line, column)
            )
            if (tag := event.tag and str(event.tag)) not in _PLAIN_COLLECTIONS:
                found = Scalar("tagged", str(tag), line, column)
        if anchor is not None:
            self._anchors[anchor] = found
        return found

    def _items(self, depth: int) -> Iterator[Node]:
        while type(event := self._next()) is not self._list_end:
            yield self._node(event, depth)

    def _map(self, depth: int, line: int, column: int) -> Pairs:
        pairs: list[tuple[Node, Node]] = []
        merging = False
        while type(event := self._next()) is not self._map_end:
            key = self._node(event, depth + 1)
            value = self._node(self._next(), depth + 1)
            if value.__class__ is Scalar and not value.text:
                value = _placed(value, key)
            if key.__class__ is Scalar and key.kind == "merge":
                merging = True
            pairs.append((key, value))
        return Pairs(_flat(pairs) if merging else pairs, line, column)


def _placed(value: Node, key: Node) -> Node:
    """A value that is not there stands where its key does: the two parsers disagree on its own place."""
    if isinstance(value, Scalar) and not value.text:
        return value._replace(line=key.line, column=key.column)
    return value


def _flat(pairs: Sequence[tuple[Node, Node]]) -> list[tuple[Node, Node]]:
    """The pairs with merge keys resolved: own keys win over merged ones, earlier maps over later ones.

    Merged maps are flat already, as an anchor ends before its alias; so no chain of merges can explode. A merge of
    something else than maps stays as it is.

    Source: https://yaml.org/type/merge.html
    """
    own = [pair for pair in pairs if not (isinstance(pair[0], Scalar) and pair[0].kind == "merge")]
    seen = {key.text for key, _ in own if isinstance(key, Scalar)}
    for key, value in pairs:
        if not (isinstance(key, Scalar) and key.kind == "merge"):
            continue
        sources = list(value.items) if isinstance(value, Items) else [value]
        if not all(isinstance(source, Pairs) for source in sources):
            own.append((key, value))
            continue
        for source in sources:
            for merged in source.pairs if isinstance(source, Pairs) else ():
                if isinstance(merged[0], Scalar) and merged[0].text not in seen:
                    seen.add(merged[0].text)
                    own.append(merged)
    return own
