"""The types of fields: each one reads a node and draws its own part of the JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Generic, Protocol, TypeVar

from conda_assets.model import Unpack
from conda_assets.records import dataclass, field
from conda_assets.spec.nodes import Items, Node, Pairs, Scalar
from conda_assets.spec.values import MAX_BYTES, SIZE, Size, Wrong, nearest, read_size, shown
from conda_assets.spec.walk import Walk, gather, said, text_of

__all__ = ["Choice", "Field", "Flag", "ListOf", "Schema", "SizeOf", "Text", "Type", "Unpacking", "Whole", "anchored", "schema_of"]

Schema = dict[str, object]
T = TypeVar("T", bound=Enum)


class Type(Protocol):
    """What a field holds."""

    def read(self, node: Node, at: str, walk: Walk) -> object | None:
        """The value of the node at the path `at`; None after a fault."""

    def schema(self) -> Schema:
        """The JSON Schema of what `read` takes, as far as a schema can say it."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an asset: all that is said about it anywhere comes from here.

    `about`: for people, as an editor shows it; `also`: what other tools call it, in lower case.
    """

    type: Type
    about: str
    examples: tuple[object, ...]
    also: tuple[str, ...] = ()
    default: object = None


def schema_of(fields: Mapping[str, Field]) -> Schema:
    """`properties` for the fields."""
    properties: Schema = {}
    for name, each in fields.items():
        drawn: Schema = {"description": each.about, **each.type.schema(), "examples": list(each.examples)}
        if each.default is not None:
            drawn["default"] = each.default
        properties[name] = drawn
    return properties


def anchored(pattern: str) -> str:
    """The pattern for the whole text; Python alone lets `$` match before a last line break."""
    return f"^(?:{pattern})$(?!\\n)"


@dataclass(frozen=True, slots=True)
class Text:
    """Text with a meaning. `reader` raises Wrong; the schema shows `pattern`, or all the `words` there are."""

    expected: str
    pattern: str
    reader: Callable[[str], object]
    words: tuple[str, ...] = ()

    def read(self, node: Node, at: str, walk: Walk) -> object | None:
        text = text_of(node, at, walk, self.expected)
        if text is None:
            return None
        try:
            return self.reader(text)
        except Wrong as wrong:
            if "\n" in text:
                hint = "write the value behind its key, on one line"
                walk.fault(node, at, f"expected {self.expected}, got text with a line break", hint)
            else:
                walk.wrong(node, at, wrong)
        return None

    def schema(self) -> Schema:
        if self.words:
            return {"enum": list(self.words)}
        return {"type": "string", "pattern": anchored(self.pattern)}


@dataclass(frozen=True, slots=True)
class Choice(Generic[T]):
    """One of a few words."""

    words: type[T]

    def read(self, node: Node, at: str, walk: Walk) -> T | None:
        known = [each.value for each in self.words]
        expected = " or ".join(f"`{word}`" for word in known)
        text = text_of(node, at, walk, expected)
        if text is None:
            return None
        if text in known:
            return self.words(text)
        meant = nearest(text, known)
        walk.fault(node, at, f"expected {expected}, got {shown(text)}", f"did you mean `{meant}`?" if meant else "")
        return None

    def schema(self) -> Schema:
        return {"enum": [each.value for each in self.words]}


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def read(self, node: Node, at: str, walk: Walk) -> bool | None:
        if isinstance(node, Scalar) and node.kind == "boolean":
            return node.text.lower() == "true"
        hint = ""
        if isinstance(node, Scalar) and node.text.lower() in ("yes", "on", "y", "1", "no", "off", "n", "0", "true", "false"):
            hint = f"write `{'true' if node.text.lower() in ('yes', 'on', 'y', '1', 'true') else 'false'}`, without quotes"
        walk.fault(node, at, f"expected true or false, got {_quoted(node)}", hint)
        return None

    def schema(self) -> Schema:
        return {"type": "boolean"}


def _quoted(node: Node) -> str:
    if isinstance(node, Scalar) and node.kind in ("text", "integer", "number") and node.text:
        return shown(node.text)
    return said(node)


def _whole(text: str) -> int:
    """A YAML integer as ruamel.yaml reads it: `017` is 17, `0o17` is 15."""
    if text.isdecimal():
        return int(text)
    digits = text.replace("_", "").lower()
    bare = digits.lstrip("+-")
    for prefix, base in (("0b", 2), ("0o", 8), ("0x", 16)):
        if bare.startswith(prefix):
            return int(digits.replace(prefix, "", 1), base)
    return int(digits)


def _count(node: Scalar, maximum: int) -> int:
    """A count that is written as a number.

    Raises:
        Wrong: negative, above the maximum, or no digits at all (`_`, `+`).
    """
    # Python refuses to convert more than 4300 digits at once; 40 are too many for a file already.
    if len(node.text) > 40:
        raise Wrong("a number with too many digits")
    try:
        count = _whole(node.text)
    except ValueError as error:
        raise Wrong(f"cannot read {shown(node.text)} as a number") from error
    if not 0 <= count <= maximum:
        raise Wrong(f"expected a number from 0 to {maximum}, got {count}")
    return count


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from 0."""

    maximum: int

    def read(self, node: Node, at: str, walk: Walk) -> int | None:
        try:
            if isinstance(node, Scalar) and node.kind == "integer":
                return _count(node, self.maximum)
            digits = isinstance(node, Scalar) and node.kind == "text" and node.text.isdecimal()
            raise Wrong(f"expected a whole number, got {_quoted(node)}", "take the quotes away" if digits else "")
        except Wrong as wrong:
            walk.wrong(node, at, wrong)
        return None

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": 0, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class SizeOf:
    """Bytes, as a number or as text with a unit."""

    def read(self, node: Node, at: str, walk: Walk) -> Size | None:
        hint = 'write whole bytes, or a figure with a unit: "4.9 GB"'
        try:
            if isinstance(node, Scalar):
                if node.kind == "integer":
                    return Size(_count(node, MAX_BYTES), 0)
                if node.kind == "text":
                    return read_size(node.text)
            raise Wrong(f"expected a size, got {_quoted(node)}", hint)
        except Wrong as wrong:
            walk.wrong(node, at, wrong)
        return None

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_BYTES}, {"type": "string", "pattern": anchored(SIZE)}]}


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of one type; what is there twice counts once. `empty`: what an empty list would mean, if it is not allowed."""

    type: Type
    expected: str
    empty: str = ""

    def read(self, node: Node, at: str, walk: Walk) -> tuple[object, ...] | None:
        if not isinstance(node, Items):
            text = isinstance(node, Scalar) and node.kind == "text"
            hint = f"write `{at.rpartition('.')[2]}: […]`, or a line with `- ` for each" if text else ""
            hint = "give it a list or delete the line" if isinstance(node, Scalar) and node.kind == "null" else hint
            walk.fault(node, at, f"expected a list of {self.expected}, got {said(node)}", hint)
            return None
        read = [self.type.read(item, f"{at}[{index}]", walk) for index, item in enumerate(node.items)]
        if self.empty and not read:
            walk.fault(node, at, "an empty list", self.empty)
            return None
        return tuple(dict.fromkeys(value for value in read if value is not None))

    def schema(self) -> Schema:
        return {"type": "array", "items": self.type.schema(), **({"minItems": 1} if self.empty else {})}


@dataclass(frozen=True, slots=True)
class Unpacking:
    """True, or a map of how."""

    fields: Mapping[str, Field] = field(repr=False)

    def read(self, node: Node, at: str, walk: Walk) -> Unpack | None:
        if isinstance(node, Scalar) and node.kind == "boolean":
            return Unpack() if node.text.lower() == "true" else None
        if not isinstance(node, Pairs):
            hint = "write `unpack: true`, or `unpack: {strip: 1}`"
            walk.fault(node, at, f"expected true or a map, got {_quoted(node)}", hint)
            return None
        values = {
            name: self.fields[name].type.read(value, f"{at}.{name}", walk)
            for name, value in gather(node, at, self.fields, walk).items()
        }
        strip, include = values.get("strip"), values.get("include")
        return Unpack(
            strip if isinstance(strip, int) else 0,
            tuple(str(glob) for glob in include) if isinstance(include, tuple) else (),
        )

    def schema(self) -> Schema:
        how = {"type": "object", "properties": schema_of(self.fields), "additionalProperties": False}
        return {"anyOf": [{"type": "boolean"}, how]}
