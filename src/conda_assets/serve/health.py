"""What machines ask: is it well (`/healthz`), and its figures in Prometheus' text format (`/metrics`).

Both answer without a token from this machine; from others the figures need one.
Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from conda_assets.serve.centre import Centre
from conda_assets.serve.door import is_here, person_of
from conda_assets.serve.rest.schemas import TEXT, json_of, obj, refusals
from conda_assets.version import __version__

__all__ = ["DESCRIBED", "routes"]

_HEALTH = json_of(obj({"status": {"type": "string", "enum": ["ok", "failing"]}, "version": TEXT}))

#: As the OpenAPI document has it.
DESCRIBED: dict[str, Any] = {
    "/healthz": {
        "get": {
            "operationId": "health",
            "summary": "Is it well?",
            "security": [],
            "responses": {
                "200": {"description": "it is", "content": _HEALTH},
                "503": {"description": "it is not", "content": _HEALTH},
                **refusals(403),
            },
        }
    },
    "/metrics": {
        "get": {
            "operationId": "metrics",
            "summary": "Figures in Prometheus' text format; without a token from the same machine only",
            "security": [{}, {"token": []}, {"session": []}],
            "responses": {
                "200": {"description": "figures", "content": {"text/plain": {"schema": {"type": "string"}}}},
                **refusals(401, 403, 503),
            },
        }
    },
}


def routes(centre: Centre) -> list[Route]:
    """Both."""

    async def health(request: Request) -> Response:
        well = centre.queue.is_alive and centre.database.row("SELECT 1") is not None
        return JSONResponse({"status": "ok" if well else "failing", "version": __version__}, status_code=200 if well else 503)

    async def metrics(request: Request) -> Response:
        if not is_here(request, centre):
            person_of(request, centre)
        return PlainTextResponse(_figures(centre), media_type="text/plain; version=0.0.4")

    return [Route("/healthz", health), Route("/metrics", metrics)]


def _figures(centre: Centre) -> str:
    totals = centre.totals()
    counts, store = totals["jobs"], totals["store"]
    assert isinstance(counts, dict)
    assert isinstance(store, dict)
    row = centre.database.row("SELECT coalesce(sum(bytes_fetched), 0), count(*) FROM jobs WHERE state = 'done'")
    fetched, done = (row[0], row[1]) if row else (0, 0)
    figures = [
        ("jobs", "gauge", "Jobs in sight by state", [(f'{{state="{state}"}}', count) for state, count in counts.items()]),
        ("bytes_per_second", "gauge", "Speed of everything together", [("", totals["bytes_per_s"])]),
        ("connections", "gauge", "Open connections to origins", [("", totals["connections"])]),
        ("fetched_bytes_total", "counter", "Bytes that came over the network for files that are done", [("", fetched)]),
        ("done_total", "counter", "Files that are done", [("", done)]),
        ("store_files", "gauge", "Files in the store", [("", store["files"])]),
        ("store_bytes", "gauge", "What they add up to", [("", store["size_bytes"])]),
        ("store_free_bytes", "gauge", "Room on the store's disk", [("", store["free_bytes"])]),
        ("uptime_seconds", "gauge", "Since the start", [("", round(time.time() - centre.started_at))]),
    ]
    lines = []
    for name, kind, words, values in figures:
        full = f"conda_assets_{name}"
        lines += [f"# HELP {full} {words}", f"# TYPE {full} {kind}", *(f"{full}{labels} {value}" for labels, value in values)]
    return "\n".join(lines) + "\n"
