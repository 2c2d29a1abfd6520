"""The OpenAPI 3.1 document, made from the table. Source: https://spec.openapis.org/oas/v3.1.1"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from conda_assets.serve.rest.schemas import COMPONENTS, ref
from conda_assets.serve.rest.table import Operation
from conda_assets.version import __version__

__all__ = ["document"]


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The document for these operations, below /api/v1."""
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(f"/api/v1{each.path}", {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "conda-assets download centre", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": COMPONENTS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "session"},
            },
        },
        "security": [{"token": []}, {"session": []}],
    }


def _operation(each: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": each.name,
        "summary": each.summary + (f"; needs a {each.role}" if each.role in ("member", "admin") else ""),
        "responses": {
            str(each.status): {"description": "done", "content": {"application/json": {"schema": each.gives}}},
            "default": {"description": "refused, and why", "content": {"application/json": {"schema": ref("Error")}}},
        },
    }
    words = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", each.path)
    ]
    asked = [
        {"name": name, "in": "query", "required": name in each.must, "schema": schema} for name, schema in each.query.items()
    ]
    if words or asked:
        made["parameters"] = words + asked
    if each.body is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": each.body}}}
    if not each.role:
        made["security"] = []
    return made
