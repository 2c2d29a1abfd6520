"""Edit a `.condarc` as text: conda-forge first in `channels`, `channel_priority: strict`, every other byte as it was.

YAML is parsed only to find where something stands, and to check the result: an edit whose outcome does not parse to the old
content plus exactly what was asked is refused, never written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from conda_assets.records import dataclass
from conda_assets.regexes import regex
from conda_assets.setup.read import CHANNEL, CHANNELS, NULL, PRIORITY, Unsafe, channels_of, is_channel, parse, root_of, without

__all__ = ["put_channel_first", "set_strict"]

_BREAK = regex(r"\r\n|\n|\r")
_COLON = regex(r"\s*:")
_ITEM_START = regex(r" *-[ \t]+")
_LINE_REST = regex(r"[ \t]*(#[^\r\n]*)?(\r\n|\n|\r|$)")
# conda's own marks in comments: they change an entry's place when files are merged.
_TOP, _BOTTOM = regex(r"#\s*!\s*top\b"), regex(r"#\s*!\s*bottom\b")


@dataclass(frozen=True, slots=True)
class _Edit:
    """Replace `text[start:end]`."""

    start: int
    end: int
    by: str


def put_channel_first(text: str) -> str:
    """The text with conda-forge first in `channels`; the text itself where it is already.

    Raises:
        Unsafe: where and why it cannot be edited.
    """
    content = parse(text)
    key, node = _find(text, CHANNELS)
    if all(name in content for name in CHANNELS):
        raise Unsafe(_line(key), "it has both `channels` and `channel`, which conda refuses")
    if _is_first(text, node):
        return text
    listed = channels_of(content)
    at = next((i for i, each in enumerate(listed) if is_channel(each)), None)
    wanted = [CHANNEL, *listed] if at is None else [listed[at], *listed[:at], *listed[at + 1 :]]

    def right(tried: str, after: dict[str, Any]) -> bool:
        return channels_of(after) == wanted and _is_first(tried, _find(tried, CHANNELS)[1])

    return _first_right(text, _channel_edits(text, key, node), CHANNELS, right, key)


def set_strict(text: str) -> str:
    """The text with `channel_priority: strict`; the text itself where it is already.

    Raises:
        Unsafe: where and why it cannot be edited.
    """
    value = parse(text).get(PRIORITY)
    if isinstance(value, str) and value.lower() == "strict":
        return text
    key, node = _find(text, (PRIORITY,))
    return _first_right(
        text, _priority_edits(text, key, node), (PRIORITY,), lambda _, after: after.get(PRIORITY) == "strict", key
    )


def _find(text: str, names: tuple[str, ...]) -> tuple[Any, Any]:
    """The key's node and its value's; None twice where the key is absent."""
    root = root_of(text)
    if root is None:
        return None, None
    for key, node in root.value:
        if key.value == "<<":
            raise Unsafe(_line(key), "it has a merge key `<<`")
        if key.value in names:
            if key.anchor or any(each.anchor for each in _below(node)):
                raise Unsafe(_line(key), f"`{key.value}` has an anchor or an alias")
            return key, node
    return None, None


def _below(node: Any) -> Iterator[Any]:
    yield node
    for each in node.value if isinstance(node.value, list) else ():
        for inner in each if isinstance(each, tuple) else (each,):
            yield from _below(inner)


def _first_right(
    text: str, ways: Iterator[list[_Edit]], names: tuple[str, ...], right: Callable[[str, dict[str, Any]], bool], key: Any
) -> str:
    before = without(parse(text), *names)
    for edits in ways:
        tried = _apply(text, edits)
        try:
            after = parse(tried)
        except Unsafe:
            continue
        if right(tried, after) and without(after, *names) == before:
            return tried
    raise Unsafe(_line(key), f"`{names[0]}` is written in a way that cannot be edited with certainty")


def _apply(text: str, edits: list[_Edit]) -> str:
    for edit in sorted(edits, key=lambda each: (each.start, each.end), reverse=True):
        text = text[: edit.start] + edit.by + text[edit.end :]
    return text


def _channel_edits(text: str, key: Any, node: Any) -> Iterator[list[_Edit]]:
    if key is None:
        yield from _new_key(text, "channels", f"[{CHANNEL}]", ("channels:", f"  - {CHANNEL}"))
    elif node.tag == NULL:
        yield _fill(text, key, node, f"[{CHANNEL}]")
    elif not _is_list(node):
        raise Unsafe(_line(node), f"`{key.value}` is not a list")
    elif node.flow_style:
        yield from _flow_edits(text, node)
    else:
        yield _block_edits(text, key, node)


def _flow_edits(text: str, node: Any) -> Iterator[list[_Edit]]:
    items = node.value
    spans = [(item.start_mark.index, item.end_mark.index) for item in items]
    if _TOP.search(text, node.start_mark.index, node.end_mark.index):
        raise Unsafe(_line(node), "it marks a channel with `#!top`")
    if not items:
        bracket = text.index("[", node.start_mark.index) + 1
        yield [_Edit(bracket, bracket, CHANNEL)]
        return
    at = next((i for i, item in enumerate(items) if is_channel(item.value)), None)
    first = spans[0][0]
    if at is None:
        yield [_Edit(first, first, f"{CHANNEL}, ")]
        return
    mine = text[slice(*spans[at])]
    gaps = "".join(text[end:start] for (_, end), (start, _) in pairwise(spans))
    if "#" not in gaps:
        # Each entry moves one place on: commas, spaces and line breaks stay.
        moved = [mine, *(text[slice(*span)] for span in spans[:at])]
        yield [_Edit(start, end, by) for (start, end), by in zip(spans, moved, strict=False)]
    # With comments in between, entries stay beside theirs.
    start, end = spans[at]
    comma = re.compile(r"[ \t]*,[ \t]*").match(text, end)
    yield [_Edit(first, first, f"{mine}, "), _Edit(start, comma.end() if comma else end, "")]


def _block_edits(text: str, key: Any, node: Any) -> list[_Edit]:
    items = node.value
    # Directly below the key, so that a comment above the first entry stays with it.
    place = _next_line(text, key.end_mark.index)
    dash = text.find("-", node.start_mark.index)
    indent = " " * (dash - _line_start(text, dash))
    top = " #!top" if _TOP.search(text, node.start_mark.index, node.end_mark.index) else ""
    item = next((item for item in items if is_channel(item.value)), None)
    if item is None:
        return [_Edit(place, place, f"{indent}- {CHANNEL}{top}{_newline(text)}")]
    start, end = _line_start(text, item.start_mark.index), item.end_mark.index
    rest = _LINE_REST.match(text, end)
    if not _ITEM_START.fullmatch(text, start, item.start_mark.index) or rest is None:
        raise Unsafe(_line(item), f"`{CHANNEL}` shares its line with something else")
    line = text[start : rest.start(2)]
    if top or _BOTTOM.search(line):
        line = text[start:end] + top
    return [_Edit(place, place, line + (rest[2] or _newline(text))), _Edit(start, rest.end(), "")]


def _priority_edits(text: str, key: Any, node: Any) -> Iterator[list[_Edit]]:
    if key is None:
        yield from _new_key(text, PRIORITY, "strict", (f"{PRIORITY}: strict",))
    elif node.tag == NULL:
        yield _fill(text, key, node, "strict")
    elif isinstance(node.value, str) and node.style not in ("|", ">"):
        yield [_Edit(node.start_mark.index, node.end_mark.index, "strict")]
    else:
        raise Unsafe(_line(node), f"`{PRIORITY}` is not a word")


def _fill(text: str, key: Any, node: Any, value: str) -> list[_Edit]:
    """Give a value to a key that has none, or a written null."""
    start, end = node.start_mark.index, node.end_mark.index
    if start < end:
        return [_Edit(start, end, value)]
    colon = _COLON.match(text, key.end_mark.index)
    place = colon.end() if colon else start
    return [_Edit(place, place, f" {value}")]


def _new_key(text: str, name: str, value: str, lines: tuple[str, ...]) -> Iterator[list[_Edit]]:
    root, newline = root_of(text), _newline(text)
    if root is not None and root.flow_style:
        brace = text.index("{", root.start_mark.index) + 1
        yield [_Edit(brace, brace, f"{name}: {value}" + (", " if root.value else ""))]
        return
    indent = " " * root.start_mark.column if root is not None else ""
    block = "".join(indent + line + newline for line in lines)
    # An unfinished last line is finished first.
    yield [_Edit(len(text), len(text), (newline if text and not _BREAK.match(text[-1]) and text != "\ufeff" else "") + block)]
    if root is not None:
        # The end is taken: by a `...`, or by a text whose line breaks count.
        top = max(_line_start(text, root.start_mark.index), text.startswith("\ufeff"))
        yield [_Edit(top, top, block)]


def _is_first(text: str, node: Any) -> bool:
    """Whether conda, reading this file, takes conda-forge first; its marks `#!top` and `#!bottom` count."""
    if node is None or not _is_list(node) or not node.value or not is_channel(node.value[0].value):
        return False
    line = text[node.value[0].end_mark.index : _next_line(text, node.value[0].end_mark.index)]
    others_top = _TOP.search(text, node.value[0].end_mark.index + len(line), max(node.end_mark.index, 0))
    return not _BOTTOM.search(line) and (bool(_TOP.search(line)) or not others_top)


def _is_list(node: Any) -> bool:
    return isinstance(node.value, list) and not any(isinstance(each, tuple) for each in node.value)


def _line(node: Any) -> int:
    return node.start_mark.line + 1 if node is not None else 0


def _line_start(text: str, index: int) -> int:
    return max(text.rfind("\n", 0, index), text.rfind("\r", 0, index)) + 1


def _next_line(text: str, index: int) -> int:
    found = _BREAK.search(text, index)
    return found.end() if found else len(text)


def _newline(text: str) -> str:
    found = _BREAK.search(text)
    return found[0] if found else "\n"
