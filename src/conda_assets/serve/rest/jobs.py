"""Operations on jobs: ask, look, steer."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import astuple

from conda_assets.errors import CentreRefused
from conda_assets.serve.intake import read_text, read_torrent_file
from conda_assets.serve.jobs import Job
from conda_assets.serve.rest import schemas as s
from conda_assets.serve.rest.table import Call, Operation

__all__ = ["OPERATIONS"]

_TEXT_BYTES = 4 << 20
_TAKEN = s.obj({"kind": s.TEXT, "jobs": s.array(s.ref("Job")), "refused": s.array(s.obj({"name": s.TEXT, "message": s.TEXT}))})


def job_of(call: Call) -> Job:
    """The job that the path names.

    Raises:
        NotFound: none.
    """
    return call.centre.board.get(call.words["id"])


def _list(call: Call) -> object:
    rows, made = call.centre.listing()
    states, words = call.query.get("state"), str(call.query.get("search", "")).lower()
    if not states and not words:
        return made
    shown = [row for row in rows if (not states or row["state"] == states) and (not words or _has(row, words))]
    return {"jobs": shown, "version": call.centre.board.version}


def _has(row: dict[str, object], words: str) -> bool:
    text = " ".join(str(row[key] or "") for key in ("name", "url", "sha256", "by", "environments"))
    return words in text.lower()


def _history(call: Call) -> object:
    limit, offset = int(call.query.get("limit", 50)), int(call.query.get("offset", 0))
    count, jobs = call.centre.board.history(str(call.query.get("search", "")), limit=limit, offset=offset)
    names = call.centre.names()
    return {"count": count, "jobs": [job.to_json(names) for job in jobs]}


def _ask(call: Call) -> object:
    body, private = call.body, call.centre.options.allow_private
    if "torrent" in body:
        taken = read_torrent_file(_decoded(body["torrent"]), private=private)
    else:
        taken = read_text(body["text"], private=private, name=body.get("name", ""))
    wanted, unlisted = call.centre.listed(taken.wanted)
    jobs = call.centre.desk.ask(wanted, call.person, paused=bool(body.get("paused")))
    for job in jobs:
        call.note("ask", f"{job.id} {job.name}")
    names = call.centre.names()
    unique = list(dict.fromkeys(jobs))
    refused = [{"name": name, "message": message} for name, message in [*map(astuple, taken.refused), *unlisted]]
    return {"kind": taken.kind, "jobs": [job.to_json(names) for job in unique], "refused": refused}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise CentreRefused("torrent: expected base64") from error


def _get(call: Call) -> object:
    return job_of(call).to_json(call.centre.names())


def _change(call: Call) -> object:
    job, desk = job_of(call), call.centre.desk
    if "priority" in call.body:
        desk.prefer(job, call.person, call.body["priority"])
    if "position" in call.body:
        desk.move(job, call.person, call.body["position"])
    call.note("change", f"{job.id} {job.name}")
    return job.to_json(call.centre.names())


def _act(action: str) -> Callable[[Call], object]:
    def run(call: Call) -> object:
        job, desk = job_of(call), call.centre.desk
        acts = {"pause": desk.pause, "resume": desk.resume, "cancel": desk.cancel, "retry": desk.retry}
        acts[action](job, call.person)
        call.note(action, f"{job.id} {job.name}")
        return job.to_json(call.centre.names())

    return run


def _forget(call: Call) -> object:
    job = job_of(call)
    call.centre.desk.forget(job, call.person)
    call.note("forget", f"{job.id} {job.name}")
    return {"done": True}


_ACTIONS = {
    "pause": "Halt it until it is resumed",
    "resume": "Let it have its turn again",
    "cancel": "Give it up; where others need it too, only for you",
    "retry": "Another turn for one that failed or was cancelled",
}
_EXAMPLE = f"https://example.org/w.bin sha256:{'0123456789abcdef' * 4}"
_SEARCH = s.text(200)

OPERATIONS = (
    Operation(
        "GET",
        "/jobs",
        "listJobs",
        "All jobs that have not ended, and the latest ended ones",
        _list,
        s.ref("Jobs"),
        query={"state": s.STATE, "search": _SEARCH},
    ),
    Operation(
        "POST",
        "/jobs",
        "addJobs",
        "Ask for files: URLs one a line, or the text of an environment.yml, a lock or a Metalink; or a torrent in base64",
        _ask,
        _TAKEN,
        role="member",
        status=201,
        slow=True,
        most_bytes=_TEXT_BYTES + 4096,
        links=dict.fromkeys(["getJob", "changeJob", "forgetJob", *(f"{action}Job" for action in _ACTIONS)], "/jobs/0/id"),
        body=s.obj(
            {
                "text": s.text(_TEXT_BYTES, least=1) | {"examples": [_EXAMPLE]},
                "torrent": s.text(_TEXT_BYTES, least=1) | {"contentEncoding": "base64"},
                "name": s.text(200),
                "paused": {"type": "boolean"},
            },
            optional=("text", "torrent", "name", "paused"),
            closed=True,
        )
        | {"anyOf": [{"required": ["text"]}, {"required": ["torrent"]}]},
    ),
    Operation(
        "GET",
        "/history",
        "listHistory",
        "Ended jobs, latest first",
        _history,
        s.obj({"count": s.INTEGER, "jobs": s.array(s.ref("Job"))}),
        query={
            "search": _SEARCH,
            "limit": {"type": "integer", "minimum": 1, "maximum": 500},
            "offset": {"type": "integer", "minimum": 0, "maximum": 10_000_000},
        },
    ),
    Operation("GET", "/jobs/{id}", "getJob", "One job", _get, s.ref("Job")),
    Operation(
        "PATCH",
        "/jobs/{id}",
        "changeJob",
        "Set its priority, or its place in the queue, 0 is the front",
        _change,
        s.ref("Job"),
        role="member",
        refuses=(409,),
        body=s.obj(
            {"priority": s.PRIORITY, "position": {"type": "integer", "minimum": 0, "maximum": 1_000_000}},
            optional=("priority", "position"),
            closed=True,
        )
        | {"minProperties": 1},
    ),
    Operation(
        "DELETE",
        "/jobs/{id}",
        "forgetJob",
        "Strike an ended job from the history; its file stays",
        _forget,
        s.ref("Done"),
        role="member",
        refuses=(409,),
    ),
    *(
        Operation(
            "POST", f"/jobs/{{id}}/{action}", f"{action}Job", words, _act(action), s.ref("Job"), role="member", refuses=(409,)
        )
        for action, words in _ACTIONS.items()
    ),
)
