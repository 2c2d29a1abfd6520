"""Operations that look at the whole: totals, environments, speed limits."""

from __future__ import annotations

from typing import Any

from conda_assets.serve.pace import read_pace
from conda_assets.serve.rest import schemas as s
from conda_assets.serve.rest.table import Call, Operation
from conda_assets.version import __version__

__all__ = ["OPERATIONS"]


def _totals(call: Call) -> object:
    return call.centre.totals()


def _speeds(call: Call) -> object:
    return {"every_s": 1, "bytes_per_s": list(call.centre.meter.speeds)}


def _about(call: Call) -> object:
    centre = call.centre
    return {
        "version": __version__,
        "engine": centre.carrier.name,
        "started_at": centre.started_at,
        "store": str(centre.store.folder),
    }


def _environments(call: Call) -> object:
    """Environment → who needs it and its files, of all jobs in sight."""
    names = call.centre.names()
    found: dict[str, dict[str, Any]] = {}
    for job in call.centre.board.shown():
        for need in job.needs:
            if need.environment:
                row = found.setdefault(need.environment, {"people": set(), "jobs": {}})
                row["people"].add(names.get(need.user_id, "?"))
                row["jobs"][job.id] = {"id": job.id, "name": need.name, "path": need.path, "state": job.state.value}
    rows = [
        {"name": name, "people": sorted(row["people"]), "files": sorted(row["jobs"].values(), key=lambda each: each["name"])}
        for name, row in sorted(found.items())
    ]
    return {"environments": rows}


def _pace(call: Call) -> object:
    return call.centre.queue.pace.to_json()


def _set_pace(call: Call) -> object:
    pace = read_pace(call.body)
    call.centre.set_pace(pace)
    call.note("set pace", str(pace.to_json()))
    return pace.to_json()


_FILE = s.obj({"id": s.JOB_ID, "name": s.TEXT, "path": s.TEXT, "state": s.STATE})
_ENVIRONMENT = s.obj({"name": s.TEXT, "people": s.array(s.TEXT), "files": s.array(_FILE)})

OPERATIONS = (
    Operation("GET", "/totals", "totals", "Speed, counts and disk, now", _totals, s.ref("Totals")),
    Operation(
        "GET",
        "/speeds",
        "speeds",
        "The speed of the last ten minutes, a number a second, latest last",
        _speeds,
        s.obj({"every_s": s.INTEGER, "bytes_per_s": s.array(s.BYTES)}),
    ),
    Operation(
        "GET",
        "/about",
        "about",
        "Version and engine",
        _about,
        s.obj({"version": s.TEXT, "engine": s.TEXT, "started_at": s.NUMBER, "store": s.TEXT}),
    ),
    Operation(
        "GET",
        "/environments",
        "listEnvironments",
        "Which environment needs which files",
        _environments,
        s.obj({"environments": s.array(_ENVIRONMENT)}),
    ),
    Operation("GET", "/pace", "getPace", "Speed limit, and windows in which another one holds", _pace, s.ref("Pace")),
    Operation(
        "PUT",
        "/pace",
        "setPace",
        "Set them; 0 bytes per second lets nothing move, null is no limit",
        _set_pace,
        s.ref("Pace"),
        role="admin",
        body=s.obj({"limit_rate": s.MAYBE_BYTES, "windows": s.array(s.WINDOW_IN, 16)}, optional=("windows",), closed=True),
    ),
)
