"""Does a value fit a schema? The part of JSON Schema that our operations use, so that what the document says is what holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from conda_assets.errors import CentreRefused

__all__ = ["check", "from_text"]

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def check(value: object, schema: Mapping[str, Any], at: str = "body") -> None:
    """Refuse a value that does not fit.

    Raises:
        CentreRefused: the first thing that is wrong, and where.
    """
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        raise CentreRefused(f"{at}: expected {' or '.join(kinds)}, got {_kind(value)}")
    if "enum" in schema and value not in schema["enum"]:
        raise CentreRefused(f"{at}: expected one of {', '.join(map(str, schema['enum']))}")
    if "anyOf" in schema and not any(_fits(value, each, at) for each in schema["anyOf"]):
        raise CentreRefused(f"{at}: expected {' or '.join(' and '.join(each['required']) for each in schema['anyOf'])}")
    if isinstance(value, str):
        _check_text(value, schema, at)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = schema.get("minimum"), schema.get("maximum")
        if (low is not None and value < low) or (high is not None and value > high):
            raise CentreRefused(f"{at}: expected a number from {low} to {high}")
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            raise CentreRefused(f"{at}: expected {schema.get('minItems', 0)} to {schema.get('maxItems')} items, got {len(value)}")
        for index, item in enumerate(value):
            check(item, schema.get("items", {}), f"{at}[{index}]")
    elif isinstance(value, dict):
        _check_map(value, schema, at)


def from_text(text: str, schema: Mapping[str, Any], at: str) -> object:
    """The value of a query parameter.

    Raises:
        CentreRefused: it does not fit.
    """
    value: object = text
    if schema.get("type") == "integer":
        if not re.fullmatch(r"-?[0-9]{1,15}", text):
            raise CentreRefused(f"{at}: expected integer")
        value = int(text)
    check(value, schema, at)
    return value


def _check_text(value: str, schema: Mapping[str, Any], at: str) -> None:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1 << 30):
        raise CentreRefused(
            f"{at}: expected {schema.get('minLength', 0)} to {schema.get('maxLength')} characters, got {len(value)}"
        )
    if "pattern" in schema and not re.fullmatch(schema["pattern"], value):
        raise CentreRefused(f"{at}: expected what matches {schema['pattern']}")
    if any("\ud800" <= sign <= "\udfff" for sign in value):
        raise CentreRefused(f"{at}: has characters that are none")


def _check_map(value: Mapping[str, object], schema: Mapping[str, Any], at: str) -> None:
    known = schema.get("properties", {})
    for key in schema.get("required", ()):
        if key not in value:
            raise CentreRefused(f"{at}: {key} is missing")
    if len(value) < schema.get("minProperties", 0):
        raise CentreRefused(f"{at}: nothing in it", f"expected {', '.join(known)}")
    for key, each in value.items():
        if key in known:
            check(each, known[key], f"{at}.{key}")
        elif schema.get("additionalProperties") is False:
            raise CentreRefused(f"{at}: no such field {key[:60]!r}", f"expected {', '.join(known)}")


def _fits(value: object, schema: Mapping[str, Any], at: str) -> bool:
    try:
        check(value, schema, at)
    except CentreRefused:
        return False
    return True


def _is(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES[kind])


def _kind(value: object) -> str:
    return next((kind for kind in ("boolean", "object", "array", "string", "integer", "number", "null") if _is(value, kind)), "?")
