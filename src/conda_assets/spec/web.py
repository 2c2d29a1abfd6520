"""The types of fields that go out to the network: URLs and request headers."""

from __future__ import annotations

from conda_assets.records import dataclass
from conda_assets.spec.nodes import Node, Pairs, Scalar
from conda_assets.spec.types import Schema, anchored
from conda_assets.spec.urls import (
    HEADER_NAME,
    HEADER_VALUE,
    URL,
    header_warning,
    read_header_name,
    read_header_value,
    read_url,
    url_warning,
)
from conda_assets.spec.values import Wrong, one_line
from conda_assets.spec.walk import Walk, said, text_of

__all__ = ["HeaderMap", "Url"]


@dataclass(frozen=True, slots=True)
class Url:
    """A URL, expanded from the environment."""

    def read(self, node: Node, at: str, walk: Walk) -> str | None:
        text = text_of(node, at, walk, "a URL")
        if text is None:
            return None
        try:
            url = read_url(text, walk.environ).text
        except Wrong as wrong:
            walk.wrong(node, at, wrong)
            return None
        if warning := url_warning(text):
            walk.warn(node, at, warning)
        return url

    def schema(self) -> Schema:
        return {"$ref": "#/$defs/url"}

    @staticmethod
    def definition() -> Schema:
        """What `#/$defs/url` stands for."""
        return {"type": "string", "pattern": anchored(URL)}


@dataclass(frozen=True, slots=True)
class HeaderMap:
    """Request headers: name → value, expanded from the environment."""

    def read(self, node: Node, at: str, walk: Walk) -> dict[str, str] | None:
        if not isinstance(node, Pairs):
            hint = "write one line a header: `Authorization: Bearer ${TOKEN}`"
            walk.fault(node, at, f"expected a map of headers, got {said(node)}", hint)
            return None
        headers: dict[str, str] = {}
        seen: set[str] = set()
        for key, value in node.pairs:
            if not isinstance(key, Scalar) or key.kind != "text":
                walk.fault(key, at, f"expected the name of a header, got {said(key)}", "quote it")
                continue
            name = key.text
            here = f"{at}.{one_line(name)}"
            if name.lower() in seen:
                walk.fault(key, here, "the header is there twice", "names of headers do not depend on case; keep one")
                continue
            seen.add(name.lower())
            read = self._value(name, key, value, here, walk)
            if read is not None:
                headers[name] = read
        return headers

    def _value(self, name: str, key: Node, value: Node, at: str, walk: Walk) -> str | None:
        try:
            read_header_name(name)
        except Wrong as wrong:
            walk.wrong(key, at, wrong)
            return None
        if isinstance(value, Scalar) and value.kind not in ("text", "null", "tagged"):
            # Its text is not repeated: it may be a secret.
            walk.fault(value, at, f"YAML reads this value as {said(value)}, not as text", "quote this value")
            return None
        text = text_of(value, at, walk, "a value for the header")
        if text is None:
            return None
        try:
            read = read_header_value(text, walk.environ).text
        except Wrong as wrong:
            walk.wrong(value, at, wrong)
            return None
        if warning := header_warning(name, text):
            walk.warn(value, at, warning)
        return read

    def schema(self) -> Schema:
        value = {"type": "string", "pattern": anchored(HEADER_VALUE)}
        return {"type": "object", "propertyNames": {"pattern": anchored(HEADER_NAME)}, "additionalProperties": value}
