"""Live news for pages: server-sent events, each with the number of the change up to which it tells.

    event: jobs      id: 812   data: {"version": 812, "anew": false, "jobs": […], "gone": ["…"]}
    event: totals              data: {"bytes_per_s": …, …}

A browser that comes back says which number it has seen last, and is told the rest: nothing is missed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from conda_assets.errors import AssetsError, CentreRefused
from conda_assets.serve.centre import Centre
from conda_assets.serve.door import person_of
from conda_assets.serve.rest.checking import from_text
from conda_assets.serve.rest.schemas import refusals

__all__ = ["DESCRIBED", "Ticker", "routes"]

_TICK_S = 0.5
_TICKS_PER_SAMPLE = 2
# A listener without news hears something now and then, or a proxy in between hangs up; and is asked who he is.
_QUIET_TICKS = 30
_VERSION: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 999_999_999_999_999}

#: As the OpenAPI document has it.
DESCRIBED: dict[str, Any] = {
    "/api/v1/events": {
        "get": {
            "operationId": "listen",
            "summary": "Live news as server-sent events, which do not end: `jobs` with `News`, `totals` with `Totals`",
            "parameters": [
                {
                    "name": "since",
                    "in": "query",
                    "description": "the `version` up to which you know everything; without it all jobs come first",
                    "schema": _VERSION,
                },
                {
                    "name": "Last-Event-ID",
                    "in": "header",
                    "description": "the same, as browsers send it when they come back; it goes before `since`",
                    "schema": {"type": "string"},
                },
            ],
            "responses": {
                "200": {
                    "description": "news, until you hang up",
                    "content": {"text/event-stream": {"schema": {"type": "string"}}},
                },
                **refusals(400, 401, 403, 503),
            },
        }
    }
}


class Ticker:
    """Twice a second: makes the news once for all who listen."""

    def __init__(self, centre: Centre) -> None:
        self._centre = centre
        self._made: dict[int, tuple[int, bytes]] = {}
        self._tick = asyncio.Event()
        self.totals = b""
        self.ended = False

    async def run(self) -> None:
        """Until it is cancelled."""
        count = 0
        while True:
            await asyncio.sleep(_TICK_S)
            self._made.clear()
            totals = self._centre.totals()
            self.totals = _event("totals", totals)
            if count % _TICKS_PER_SAMPLE == 0:
                speed = totals["bytes_per_s"]
                self._centre.meter.sample(speed if isinstance(speed, int) else 0)
            count += 1
            tick, self._tick = self._tick, asyncio.Event()
            tick.set()

    def end(self) -> None:
        """Nobody shall listen any more."""
        self.ended = True
        self._tick.set()

    async def next(self) -> None:
        """Wait for the next tick."""
        await self._tick.wait()

    def news(self, version: int) -> tuple[int, bytes]:
        """(version now, the event that tells what is new since then; empty when nothing is)."""
        if version not in self._made:
            now, jobs, gone, anew = self._centre.board.since(version)
            event = b""
            if anew or jobs or gone:
                names = self._centre.names()
                rows = [job.to_json(names) for job in jobs]
                event = _event("jobs", {"version": now, "anew": anew, "jobs": rows, "gone": gone}, now)
            self._made[version] = now, event
        return self._made[version]


def routes(centre: Centre, ticker: Ticker) -> list[Route]:
    """The one route."""

    async def events(request: Request) -> Response:
        person_of(request, centre)
        since = from_text(request.query_params.get("since", "0"), _VERSION, "since")
        # What a browser repeats is not its user's fault: without sense it means that nothing is known.
        with suppress(CentreRefused):
            since = from_text(request.headers.get("last-event-id", ""), _VERSION, "Last-Event-ID")
        assert isinstance(since, int)
        return StreamingResponse(
            _told(request, centre, ticker, since), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )

    return [Route("/api/v1/events", events)]


async def _told(request: Request, centre: Centre, ticker: Ticker, version: int) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    quiet = 0
    while not ticker.ended:
        version, event = ticker.news(version)
        quiet = 0 if event else quiet + 1
        if quiet >= _QUIET_TICKS:
            quiet = 0
            try:
                person_of(request, centre)
            except AssetsError:
                return
            event = b": still here\n\n"
        if event or ticker.totals:
            yield event + ticker.totals
        await ticker.next()


def _event(kind: str, value: object, number: int | None = None) -> bytes:
    head = f"event: {kind}\n" + (f"id: {number}\n" if number is not None else "")
    return f"{head}data: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
