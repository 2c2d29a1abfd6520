"""The OpenAPI 3.1 document, made from the table. Source: https://spec.openapis.org/oas/v3.1.1"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conda_assets.serve.door import COOKIE
from conda_assets.serve.rest.schemas import COMPONENTS, RESPONSES, Schema, json_of, ref, refusals
from conda_assets.serve.rest.table import Operation
from conda_assets.version import __version__

__all__ = ["document"]

_HEADERS: dict[int, Schema] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    429: {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}},
}


def document(operations: Sequence[Operation], *others: Mapping[str, Schema]) -> dict[str, Any]:
    """The document for these operations, below /api/v1, and for paths that are described where they are served."""
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(f"/api/v1{each.path}", {})[each.method.lower()] = _operation(each)
    for described in others:
        paths |= described
    return {
        "openapi": "3.1.0",
        "info": {"title": "conda-assets download centre", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": COMPONENTS,
            "responses": {name: _refusal(status, words) for status, (name, words) in RESPONSES.items()},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
                "ticket": {"type": "apiKey", "in": "query", "name": "ticket"},
            },
        },
        "security": [{"token": []}, {"session": []}],
    }


def _operation(each: Operation) -> dict[str, Any]:
    done: Schema = {"description": "done", "content": json_of(each.gives)}
    if each.links:
        done["links"] = {
            name: {"operationId": name, "parameters": {"id": f"$response.body#{where}"}} for name, where in each.links.items()
        }
    made: dict[str, Any] = {
        "operationId": each.name,
        "summary": each.summary + (f"; needs a {each.role}" if each.role in ("member", "admin") else ""),
        "responses": {str(each.status): done, **refusals(*each.statuses)},
    }
    words = [{"name": "id", "in": "path", "required": True, "schema": each.word}] if "{id}" in each.path else []
    asked = [
        {"name": name, "in": "query", "required": name in each.must, "schema": schema} for name, schema in each.query.items()
    ]
    if words or asked:
        made["parameters"] = words + asked
    if each.body is not None:
        made["requestBody"] = {"required": True, "content": json_of(each.body)}
    if not each.role:
        made["security"] = []
    return made


def _refusal(status: int, words: str) -> Schema:
    made: Schema = {"description": words, "content": json_of(ref("Error"))}
    return made | ({"headers": _HEADERS[status]} if status in _HEADERS else {})
