"""The `assets:` of another spec file, or of what `export --spec` printed: entries as they are written there."""

from __future__ import annotations

from collections.abc import Iterator

from conda_assets.errors import Fault
from conda_assets.spec.entry import Fields, Value
from conda_assets.spec.events import Unreadable as NotYaml
from conda_assets.spec.events import fast_parser
from conda_assets.spec.fields import FIELDS
from conda_assets.spec.importers.found import Found, Unreadable, note
from conda_assets.spec.nodes import Items, Node, Pairs, Scalar, entries
from conda_assets.spec.values import shown
from conda_assets.spec.walk import said

__all__ = ["read"]


def read(text: str, base_url: str) -> Found:
    """All entries, in the order of the file. `base_url` is not needed."""
    notes: list[Fault] = []
    try:
        made = [fields for item in _items(text) if (fields := _fields(item, notes))]
    except NotYaml as error:
        raise Unreadable(error.line, error.message, error.hint) from error
    return Found(tuple(made), tuple(notes))


def _items(text: str) -> Iterator[Node]:
    for key, value in entries(text, fast=fast_parser(text)):
        if not (isinstance(key, Scalar) and key.text == "assets"):
            continue
        if isinstance(value, Items):
            yield from value.items
        elif not (isinstance(value, Scalar) and value.kind == "null"):
            raise Unreadable(value.line, f"`assets:` is {said(value)}, expected a list")


def _fields(item: Node, notes: list[Fault]) -> Fields | None:
    if isinstance(item, Scalar) and item.kind == "text":
        return {"url": item.text}
    if not isinstance(item, Pairs):
        notes.append(note(item.line, "", f"an entry is {said(item)}; it is left out"))
        return None
    fields: dict[str, Value] = {}
    for key, value in item.pairs:
        name = key.text if isinstance(key, Scalar) else ""
        if name not in FIELDS:
            notes.append(note(key.line, str(fields.get("name", "")), f"{shown(name)} is no field of an asset; it is left out"))
        elif (read_value := _value(value)) is not None:
            fields[name] = read_value
    if "url" not in fields:
        notes.append(note(item.line, str(fields.get("name", "")), "the entry has no `url`; it is left out"))
        return None
    return fields


def _value(node: Node) -> Value | None:
    """What the node says, for an entry; numbers that are no whole ones stay text, and the check of the entry refuses them."""
    if isinstance(node, Items):
        return [str(value) for item in node.items if (value := _value(item)) is not None]
    if isinstance(node, Pairs):
        pairs = ((key.text, _value(value)) for key, value in node.pairs if isinstance(key, Scalar))
        return {key: value for key, value in pairs if value is not None}
    if node.kind == "boolean":
        return node.text.lower() == "true"
    if node.kind == "integer" and node.text.isdecimal():
        return int(node.text)
    return None if node.kind == "null" else node.text
