"""Edit the `assets:` section as text: entries come and go, every other byte stays.

    put(text, [fields, …])      entries behind the last one; a section at the end where there is none
    drop(text, index)           an entry's own lines; comments above and below it stay

    drop(put(text, [fields]), last) == text      unless the section was there and empty

Marks (`layout`) say where; whether an edit was right is read from the outcome: it must say what the text said, plus or minus the
entry, and nothing else. Ways that fail this test are not taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from conda_assets.spec.dropping import drop_ways
from conda_assets.spec.entry import Fields, flow_text
from conda_assets.spec.events import Unreadable, fast_parser
from conda_assets.spec.layout import layout_of
from conda_assets.spec.lines import Uneditable, line_of
from conda_assets.spec.nodes import Items, Node, Pairs, Scalar, entries
from conda_assets.spec.putting import put_ways

__all__ = ["drop", "put"]


def put(text: str, new: Sequence[Fields]) -> str:
    """The text with these entries behind the others.

    Raises:
        Uneditable: where and why it cannot be edited.
        Unreadable: the text is not YAML.
    """
    layout = layout_of(text)
    section = layout.section
    if section is not None and section.kind in ("alias", "other"):
        what = "is an alias of a list elsewhere" if section.kind == "alias" else "is not a list"
        raise Uneditable(line_of(text, section.key.start), f"`assets:` {what}")
    before = _content(text)
    wanted = [*_entries_of(before), *(_content(f"assets: [{flow_text(fields)}]")["assets"][0] for fields in new)]
    for tried in put_ways(text, layout, new):
        if _is(tried, before, wanted):
            return tried
    raise Uneditable(line_of(text, section.key.start) if section else 0, "`assets:` is written in a way that cannot be edited")


def drop(text: str, index: int) -> str:
    """The text without the entry number `index` (from 0); a bare `assets:` goes with its last one.

    Raises:
        Uneditable: where and why it cannot be edited.
        Unreadable: the text is not YAML.
    """
    layout = layout_of(text)
    section = layout.section
    if section is None or section.kind != "items" or not 0 <= index < len(section.items):
        raise Uneditable(line_of(text, section.key.start) if section else 0, "`assets:` has no such entry of its own")
    before = _content(text)
    wanted = list(_entries_of(before))
    del wanted[index]
    for tried in drop_ways(text, layout, section, index):
        if _is(tried, before, wanted):
            return tried
    line = line_of(text, section.items[index].start)
    raise Uneditable(line, "the entry shares its lines with something else, or its anchor is used elsewhere")


# What the text says, without places: what must be equal before and after.


def _content(text: str) -> dict[str, list[object]]:
    """Top-level key → its plain values; `assets` has its entries."""
    if fast_parser(text):
        with suppress(Unreadable):  # the other parser has the last word
            return _said(text, fast=True)
    return _said(text, fast=False)


def _said(text: str, *, fast: bool) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    for key, value in entries(text, fast=fast):
        name = key.text if isinstance(key, Scalar) and key.text == "assets" else repr(_plain(key))
        if name == "assets" and isinstance(value, Items):
            found[name] = [_plain(item) for item in value.items]
        elif name == "assets" and isinstance(value, Scalar) and value.kind == "null":
            found[name] = []
        else:
            found.setdefault(name, []).append(_plain(value))
    return found


def _plain(node: Node) -> object:
    if isinstance(node, Items):
        return [_plain(item) for item in node.items]
    if isinstance(node, Pairs):
        return ("map", [(_plain(key), _plain(value)) for key, value in node.pairs])
    return (node.kind, node.text)


def _entries_of(content: dict[str, list[object]]) -> list[object]:
    return content.get("assets", [])


def _is(tried: str, before: dict[str, list[object]], wanted: list[object]) -> bool:
    try:
        after = _content(tried)
    except Unreadable:
        return False
    same = {key: value for key, value in after.items() if key != "assets"} == {
        key: value for key, value in before.items() if key != "assets"
    }
    return same and _entries_of(after) == wanted
