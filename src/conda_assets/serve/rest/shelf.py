"""The questions that a client asks before it goes to a file's origin, or to others that have it."""

from __future__ import annotations

from conda_assets.digest import ALGORITHMS, parse_digest
from conda_assets.serve.intake import wanted_url
from conda_assets.serve.jobs import ENDED, JobState
from conda_assets.serve.rest import schemas as s
from conda_assets.serve.rest.table import Call, Operation
from conda_assets.serve.tickets import PASS, PASS_S

__all__ = ["OPERATIONS"]

_DIGEST = f"^({'|'.join(f'{algorithm}:[0-9a-f]{{{digits}}}' for algorithm, digits in ALGORITHMS.items())})$"


def _ask(call: Call) -> object:
    """`here`: can be had now, also while it still arrives; `coming`: ask again soon; `missing`: the centre does not fetch it."""
    centre = call.centre
    digest = parse_digest(call.query["digest"])
    path = f"/api/v1/store/{digest.algorithm}/{digest.hex}?ticket={centre.tickets.issue(digest)}"
    stored = centre.store.find(digest)
    if stored is not None:
        return _said("here", path, stored.size_bytes)
    job = centre.board.by_key(f"{digest.algorithm}-{digest.hex}")
    # Over a session a page elsewhere could make a browser ask; a program has a token.
    if (job is None or job.state in ENDED) and "url" in call.query and call.person.may("member") and not call.person.csrf:
        wanted = wanted_url(call.query["url"], digest, call.query.get("size_bytes"), private=centre.options.allow_private)
        if job is None or job.state is not JobState.FAILED:
            (job,) = centre.desk.ask([wanted], call.person, first=True)
            call.note("pull through", f"{job.id} {job.name}")
    if job is None or job.state in ENDED or job.state is JobState.PAUSED:
        return _said("missing", None, None)
    heard = centre.carrier.heard(job.key)
    if heard is not None and heard[0].size_bytes:
        return _said("here", path, heard[0].size_bytes)
    return _said("coming", None, job.size_bytes)


def _said(state: str, path: str | None, size_bytes: int | None) -> dict[str, object]:
    return {"state": state, "path": path, "size_bytes": size_bytes}


def _tracker(call: Call) -> object:
    return {"path": f"/announce/{call.centre.tickets.issue(PASS, PASS_S)}"}


OPERATIONS = (
    Operation(
        "GET",
        "/tracker",
        "getTracker",
        "Where a BitTorrent client announces itself: a path that holds for a day and opens nothing else",
        _tracker,
        s.obj({"path": s.TEXT}),
    ),
    Operation(
        "GET",
        "/store/ask",
        "askStore",
        "Can a file be had here? With `url`, and a token of a member, it is fetched when it is missing",
        _ask,
        s.obj(
            {
                "state": {"type": "string", "enum": ["here", "coming", "missing"]},
                "path": s.MAYBE_TEXT,
                "size_bytes": s.MAYBE_BYTES,
            }
        ),
        query={
            "digest": {"type": "string", "pattern": _DIGEST},
            "url": s.text(8000),
            "size_bytes": s.BYTES,
        },
        must=frozenset({"digest"}),
        slow=True,
    ),
)
