"""The store over HTTP: GET /api/v1/store/<algorithm>/<hex>, with ranges, for clients that use the centre as a cache.

A file that is still on its way is served as it grows: a range is answered when its bytes are there. They have not been verified
then; whoever fetches from here compares the digest, as it would with any server.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from conda_assets.digest import ALGORITHMS, Digest, parse_digest
from conda_assets.errors import NotFound
from conda_assets.records import dataclass
from conda_assets.regexes import regex
from conda_assets.serve.centre import Centre
from conda_assets.serve.door import person_of
from conda_assets.serve.jobs import ENDED, JobState
from conda_assets.serve.rest.schemas import refusals

__all__ = ["DESCRIBED", "routes"]

_BLOCK_BYTES = 1 << 20
_LOOK_S = 0.1
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_RANGE = regex(r"bytes=(\d{0,15})-(\d{0,15})")


def _described(name: str, summary: str) -> dict[str, Any]:
    """As the OpenAPI document has it."""
    text = {"type": "string"}
    heads = {name: {"schema": text} for name in ("ETag", "Accept-Ranges", "Content-Disposition")}
    part = {**heads, "Content-Range": {"schema": text}}
    content: dict[str, Any] = {"application/octet-stream": {"schema": {}}} if name == "getStored" else {}
    asked = [{"name": each, "in": "header", "schema": text} for each in ("Range", "If-Range", "If-Match")]
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [
            {"name": "algorithm", "in": "path", "required": True, "schema": {"type": "string", "enum": list(ALGORITHMS)}},
            {"name": "hex", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{32,128}$"}},
            *asked,
        ],
        "security": [{"token": []}, {"session": []}, {"ticket": []}],
        "responses": {
            "200": {"description": "the whole file", "headers": heads, "content": content},
            "206": {"description": "one range of it", "headers": part, "content": content},
            "412": {"description": "`If-Match` names another file"},
            "416": {"description": "there is nothing of the range", "headers": {"Content-Range": {"schema": text}}},
            **refusals(401, 403, 404, 503),
        },
    }


#: As the OpenAPI document has it.
DESCRIBED: dict[str, Any] = {
    "/api/v1/store/{algorithm}/{hex}": {
        "get": _described(
            "getStored", "A stored file, or one that arrives, as far as it is there; bytes are verified by who gets them"
        ),
        "head": _described("headStored", "Its size and ETag"),
    }
}


@dataclass(frozen=True, slots=True)
class _File:
    """An open file and its final size. `key`: of the job that still writes it, empty for a stored one."""

    descriptor: int
    size_bytes: int
    key: str = ""


def routes(centre: Centre) -> list[Route]:
    """The one route."""

    async def get(request: Request) -> Response:
        try:
            digest = parse_digest(f"{request.path_params['algorithm']}:{request.path_params['hex']}")
        except ValueError as error:
            raise NotFound(str(error)) from error
        if not centre.options.open_store and not centre.tickets.holds(request.query_params.get("ticket", ""), digest):
            person_of(request, centre)
        file = await run_in_threadpool(_open, centre, digest)
        if file is None:
            raise NotFound(f"{digest} is not in the store", "`GET /api/v1/store/ask` fetches it")
        return _answer(request, centre, file, f'"{digest.algorithm}-{digest.hex}"')

    return [Route("/api/v1/store/{algorithm}/{hex}", get)]


def _open(centre: Centre, digest: Digest) -> _File | None:
    stored = centre.store.find(digest)
    if stored is not None:
        return _File(os.open(stored.path, _FLAGS), stored.size_bytes)
    job = centre.board.by_key(f"{digest.algorithm}-{digest.hex}")
    heard = centre.carrier.heard(job.key) if job is not None and job.state is JobState.ACTIVE else None
    if heard is None or not heard[0].size_bytes:
        return None
    try:
        return _File(os.open(heard[1], _FLAGS), heard[0].size_bytes, job.key if job else "")
    except FileNotFoundError:
        return None


def _answer(request: Request, centre: Centre, file: _File, etag: str) -> Response:
    headers = {"etag": etag, "accept-ranges": "bytes", "cache-control": "private, no-cache", "content-disposition": "attachment"}
    wanted = request.headers.get("if-match", "*")
    if wanted != "*" and etag not in [each.strip() for each in wanted.split(",")]:
        os.close(file.descriptor)
        return Response(status_code=412, headers=headers)
    span = _span(request, file.size_bytes, etag)
    if span is None:
        os.close(file.descriptor)
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{file.size_bytes}"})
    start, end, partial = span
    headers["content-length"] = str(end - start)
    if partial:
        headers["content-range"] = f"bytes {start}-{end - 1}/{file.size_bytes}"
    status = 206 if partial else 200
    if request.method == "HEAD":
        os.close(file.descriptor)
        return Response(status_code=status, headers=headers, media_type="application/octet-stream")
    return StreamingResponse(_blocks(centre, file, start, end), status, headers, media_type="application/octet-stream")


def _span(request: Request, size_bytes: int, etag: str) -> tuple[int, int, bool] | None:
    """(first byte, byte after the last, whether it is a part); None where there is nothing of what was asked for."""
    said, pin = request.headers.get("range", ""), request.headers.get("if-range")
    match = _RANGE.fullmatch(said.replace(" ", ""))
    # Several ranges at once may be answered with everything. Source: RFC 9110, 14.2.
    if match is None or (pin is not None and pin != etag) or match[0] == "bytes=-":
        return 0, size_bytes, False
    first, last = match[1], match[2]
    if not first:
        start, end = max(0, size_bytes - int(last)), size_bytes
    else:
        start, end = int(first), min(size_bytes, int(last) + 1 if last else size_bytes)
    return (start, end, True) if start < end else None


async def _blocks(centre: Centre, file: _File, start: int, end: int) -> AsyncIterator[bytes]:
    """The bytes, as they are there. A file that will not be whole ends in the middle: the connection is cut."""
    try:
        while start < end:
            ready = end if not file.key else min(end, await _ready(centre, file, start))
            block = await run_in_threadpool(_read, file.descriptor, start, min(_BLOCK_BYTES, ready - start))
            if not block:
                raise ConnectionAbortedError("the file became shorter")
            start += len(block)
            yield block
    finally:
        os.close(file.descriptor)


def _read(descriptor: int, start: int, count: int) -> bytes:
    # Windows has no pread; the descriptor is this answer's own.
    os.lseek(descriptor, start, os.SEEK_SET)
    return os.read(descriptor, count)


async def _ready(centre: Centre, file: _File, beyond: int) -> int:
    """Up to where the file is there, more than `beyond`; waits for it.

    Raises:
        ConnectionAbortedError: it will not come, or begins anew.
    """
    while True:
        job = centre.board.by_key(file.key)
        if job is None or (job.state in ENDED and job.state is not JobState.DONE) or job.state is JobState.PAUSED:
            raise ConnectionAbortedError("the transfer has ended")
        if job.state is JobState.DONE:
            return file.size_bytes
        if (heard := centre.carrier.heard(file.key)) is not None:
            tiding, into = heard
            if not _is_at(file.descriptor, into):
                raise ConnectionAbortedError("the transfer begins anew")
            front = file.size_bytes if tiding.done else tiding.front_bytes
            if front > beyond:
                return front
        await asyncio.sleep(_LOOK_S)


def _is_at(descriptor: int, path: Path) -> bool:
    """The open file still stands there; or it has just been adopted, and nothing does."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return True
