"""Walking over nodes: faults and warnings are gathered with their place, and the walk goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from conda_assets.errors import Fault
from conda_assets.spec.nodes import Items, Node, Pairs, Scalar
from conda_assets.spec.values import Wrong, nearest, one_line, shown

__all__ = ["Known", "Walk", "gather", "text_of"]


class Known(Protocol):
    """What a map may hold: a field's name and what people call it elsewhere."""

    @property
    def also(self) -> tuple[str, ...]:
        """Names that other tools have for it, in lower case."""


class Walk:
    """What has been found in one file so far.

    `asset`: the name of the asset in hand, as far as it is known, to be named in each fault.
    """

    def __init__(self, file: str, environ: Mapping[str, str]) -> None:
        self.file, self.environ = file, environ
        self.asset = ""
        self.faults: list[Fault] = []
        self.warnings: list[str] = []

    def fault(self, node: Node, at: str, message: str, hint: str = "") -> None:
        """Note that the value at `node` is wrong; `at` is its path in the document."""
        self.faults.append(Fault(self.file, node.line, node.column, at, message, hint, self.asset))

    def wrong(self, node: Node, at: str, wrong: Wrong) -> None:
        """Note what a reader of values said."""
        self.fault(node, at, wrong.message, wrong.hint)

    def warn(self, node: Node, at: str, message: str) -> None:
        """Note something that works and is a bad idea."""
        self.warnings.append(str(Fault(self.file, node.line, node.column, at, message, "", self.asset)))


_READ_AS = {
    "integer": "a number",
    "number": "a number",
    "boolean": "a boolean",
    "date": "a date",
    "merge": "a merge key",
}


def said(node: Node) -> str:
    """What a node is, for `expected …, got …`."""
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Pairs):
        return "a map"
    if node.kind == "null":
        return "nothing"
    if node.kind == "tagged":
        return f"a value with the tag {shown(node.text.replace('tag:yaml.org,2002:', '!!'))}"
    return _READ_AS.get(node.kind, "text")


def text_of(node: Node, at: str, walk: Walk, expected: str) -> str | None:
    """The text of a node that has to be text; None after a fault.

    Digits, dates and `true` without quotes are not text to YAML, whatever they look like: the fault says to quote them.
    """
    if isinstance(node, Scalar):
        if node.kind == "text":
            text = node.text
            if text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text):
                return text
            walk.fault(node, at, "half of a surrogate pair in the text", "escape the whole sign: `\\U0001F600`")
            return None
        if node.kind == "null":
            walk.fault(node, at, f"expected {expected}, got nothing", "give it a value or delete the line")
            return None
        if node.kind in _READ_AS:
            cut = node.text if len(node.text) <= 24 else f"{node.text[:20]}…"
            key = at.rpartition(".")[2]
            quoted = f'"{cut}"' if "[" in key else f'{key}: "{cut}"'
            walk.fault(node, at, f"YAML reads `{cut}` as {_READ_AS[node.kind]}, not as text", f"quote this value: `{quoted}`")
            return None
    walk.fault(node, at, f"expected {expected}, got {said(node)}")
    return None


def gather(node: Pairs, at: str, known: Mapping[str, Known], walk: Walk) -> dict[str, Node]:
    """key → value of a map with a known set of keys; faults for strange keys and for those that are written twice."""
    found: dict[str, Node] = {}
    for key, value in node.pairs:
        if not isinstance(key, Scalar):
            walk.fault(key, at, f"expected the name of a field, got {said(key)}")
        elif key.text in found:
            first = found[key.text].line
            walk.fault(key, f"{at}.{one_line(key.text)}", f"the key is there twice, first in line {first}", "keep one of them")
        elif key.text in known:
            found[key.text] = value
        elif key.kind == "merge":
            walk.fault(key, at, f"`<<` merges maps, got {said(value)}", "give it an alias of a map: `<<: *defaults`")
        else:
            walk.fault(key, f"{at}.{one_line(key.text)}", "unknown field", _meant(key.text, known))
    return found


def _meant(word: str, known: Mapping[str, Known]) -> str:
    folded = word.lower()
    for name, field in known.items():
        if folded == name or folded in field.also:
            return f"did you mean `{name}`?"
    meant = nearest(word, known)
    return f"did you mean `{meant}`?" if meant else f"known fields: {', '.join(known)}"
