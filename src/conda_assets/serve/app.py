"""The ASGI application: every route, behind the door."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from conda_assets.errors import AssetsError, CentreRefused
from conda_assets.serve import health, pages, shelf, stream, tracker
from conda_assets.serve.aria2 import endpoint as aria2
from conda_assets.serve.centre import Centre
from conda_assets.serve.door import Door, refused
from conda_assets.serve.rest import routes as rest

__all__ = ["make_app"]

_LOG = logging.getLogger("conda_assets.serve")


def make_app(centre: Centre) -> tuple[Door, Callable[[], None]]:
    """(the application, a function that ends what listens for news, so that a stop need not wait for it)."""
    ticker = stream.Ticker(centre)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        ticking = asyncio.get_running_loop().create_task(ticker.run())
        try:
            yield
        finally:
            ticking.cancel()
            with suppress(asyncio.CancelledError):
                await ticking

    app = Starlette(
        routes=[
            *pages.routes(),
            # The table first: `/store/ask` is no file.
            *rest.routes(centre, stream.DESCRIBED, shelf.DESCRIBED, health.DESCRIBED, tracker.DESCRIBED),
            *shelf.routes(centre),
            *tracker.routes(centre),
            *health.routes(centre),
            *stream.routes(centre, ticker),
            *aria2.routes(centre, ticker),
        ],
        exception_handlers={AssetsError: _of_error, HTTPException: _of_status, Exception: _of_crash},
        lifespan=lifespan,
    )
    return Door(app, centre.options), ticker.end


async def _of_error(request: Request, error: Exception) -> Response:
    if isinstance(error, CentreRefused):
        return refused(error)
    # Nothing that was asked for is wrong: a full disk, a database that cannot be written.
    assert isinstance(error, AssetsError)
    _LOG.error("%s %s: %s", request.method, request.url.path, error)
    return JSONResponse({"error": error.to_json()}, status_code=503)


async def _of_status(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = {"code": "http", "message": str(error.detail), "hints": ["`/api/openapi.json` lists what there is"]}
    return JSONResponse({"error": said}, status_code=error.status_code, headers=error.headers)


async def _of_crash(request: Request, error: Exception) -> Response:
    _LOG.error("%s %s", request.method, request.url.path, exc_info=error)
    said = {"code": "crash", "message": "the centre stumbled over this", "hints": ["its log says more"]}
    return JSONResponse({"error": said}, status_code=500)
