"""The page and its parts, from the package: no other server is asked for anything."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from conda_assets.errors import NotFound
from conda_assets.serve.door import refused

__all__ = ["routes"]

_KINDS = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "json": "application/json",
}


def routes() -> list[Route]:
    """`/` and `/static/…`."""
    parts: dict[str, tuple[bytes, str, str]] = {}
    for each in files(__package__).joinpath("static").iterdir():
        kind = _KINDS.get(each.name.rpartition(".")[2])
        if kind is not None:
            content = each.read_bytes()
            parts[each.name] = content, kind, f'"{hashlib.sha256(content).hexdigest()[:32]}"'

    async def page(request: Request) -> Response:
        return _part(request, "index.html", parts)

    async def part(request: Request) -> Response:
        return _part(request, str(request.path_params["name"]), parts)

    return [Route("/", page), Route("/static/{name}", part)]


def _part(request: Request, name: str, parts: dict[str, tuple[bytes, str, str]]) -> Response:
    if name not in parts:
        return refused(NotFound(f"no page {name[:100]!r}"))
    content, kind, etag = parts[name]
    headers = {"etag": etag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)
