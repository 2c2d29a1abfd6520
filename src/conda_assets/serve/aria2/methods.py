"""The methods that there are. Each takes a person and its parameters, and works on the queue like the page does."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from conda_assets.digest import Digest, parse_digest
from conda_assets.errors import CentreRefused, NotFound, OutOfTurn
from conda_assets.records import replace
from conda_assets.regexes import regex
from conda_assets.serve.accounts import Person
from conda_assets.serve.aria2.rows import FOLDER, files_of, row_of, servers_of, uris_of
from conda_assets.serve.centre import Centre
from conda_assets.serve.intake import read_text, read_torrent_file, wanted_url
from conda_assets.serve.jobs import ENDED, Job, JobState
from conda_assets.serve.pace import Pace
from conda_assets.settings import parse_rate

__all__ = ["METHODS", "NOTIFICATIONS", "Method"]

Method = Callable[[Centre, Person, Sequence[Any]], object]

#: What is told to WebSockets, by state that a job comes into.
NOTIFICATIONS = {
    JobState.ACTIVE: "aria2.onDownloadStart",
    JobState.PAUSED: "aria2.onDownloadPause",
    JobState.CANCELLED: "aria2.onDownloadStop",
    JobState.DONE: "aria2.onDownloadComplete",
    JobState.FAILED: "aria2.onDownloadError",
}
# Options of a download that mean something here, and those that are accepted because the centre decides on them anyhow.
_MEANT = frozenset({"checksum", "pause"})
_DECIDED = frozenset(
    {"split", "max-connection-per-server", "min-split-size", "piece-length", "continue", "timeout", "connect-timeout"}
    | {"max-tries", "retry-wait"}
)
# What `getOption` says of every download: a front end that tries one again hands it back, and it changes nothing.
_HOLDS = {"dir": FOLDER, "max-download-limit": "0"}
_GID = regex(r"[0-9a-f]{16}")
_VERSION = "1.37.0"
_MOST_ROWS = 1000
# Global options that an administrator may change.
_LIMIT, _FILES, _MOST_FILES = "max-overall-download-limit", "max-concurrent-downloads", 64


def _job(centre: Centre, said: Sequence[Any], at: int = 0) -> Job:
    gid = said[at] if len(said) > at else None
    if not isinstance(gid, str) or not _GID.fullmatch(gid):
        raise CentreRefused("Invalid GID")
    try:
        return centre.board.get(gid)
    except NotFound:
        raise NotFound(f"GID {gid} is not found") from None


def _keys(said: Sequence[Any], at: int) -> list[str]:
    keys = said[at] if len(said) > at else []
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise CentreRefused("keys: expected a list of texts")
    return keys


def _options(said: Sequence[Any], at: int, meant: frozenset[str] = _MEANT) -> Mapping[str, Any]:
    options = said[at] if len(said) > at else {}
    if not isinstance(options, dict):
        raise CentreRefused("options: expected a struct")
    for name, value in options.items():
        if name not in meant | _DECIDED and _HOLDS.get(name) != value:
            raise CentreRefused(f"the option {name[:60]!r} is not allowed here")
        if not isinstance(value, str):
            raise CentreRefused(f"the option {name}: expected a text")
    return options


def _checksum(options: Mapping[str, Any]) -> Digest | None:
    """`sha-256=0192…`, as aria2 writes it."""
    if not options.get("checksum"):
        return None
    kind, _, digits = str(options["checksum"]).partition("=")
    try:
        return parse_digest(f"{kind.replace('-', '').lower()}:{digits}")
    except ValueError as error:
        raise CentreRefused(f"checksum: {error}") from error


def _add_uri(centre: Centre, person: Person, said: Sequence[Any]) -> object:
    person.must("member")
    uris = said[0] if said else None
    if not isinstance(uris, list) or not 0 < len(uris) <= 100 or not all(isinstance(each, str) for each in uris):
        raise CentreRefused("URIs: expected a list of 1 to 100 texts")
    options = _options(said, 1)
    private = centre.options.allow_private
    wanted = [wanted_url(each, _checksum(options), None, private=private) for each in uris]
    asset = replace(wanted[0].asset, mirrors=tuple(each.asset.url for each in wanted[1:]))
    position = said[2] if len(said) > 2 else None
    (job,) = centre.desk.ask([replace(wanted[0], asset=asset)], person, paused=options.get("pause") == "true")
    if isinstance(position, int) and not isinstance(position, bool) and job.state not in ENDED:
        _move(centre, person, job, position)
    return job.id


def _add_metalink(centre: Centre, person: Person, said: Sequence[Any]) -> object:
    person.must("member")
    # The hashes stand in it.
    options = _options(said, 1, _MEANT - {"checksum"})
    try:
        text = base64.b64decode(str(said[0]) if said else "", validate=True).decode()
    except ValueError as error:
        raise CentreRefused("metalink: expected base64") from error
    taken = read_text(text, private=centre.options.allow_private)
    return [job.id for job in centre.desk.ask(taken.wanted, person, paused=options.get("pause") == "true")]


def _add_torrent(centre: Centre, person: Person, said: Sequence[Any]) -> object:
    person.must("member")
    # Between the torrent and the options there may be web seeds: they are not used.
    options = _options(said, 2, _MEANT - {"checksum"})
    try:
        content = base64.b64decode(str(said[0]) if said else "", validate=True)
    except ValueError as error:
        raise CentreRefused("torrent: expected base64") from error
    taken = read_torrent_file(content, private=centre.options.allow_private)
    return centre.desk.ask(taken.wanted, person, paused=options.get("pause") == "true")[0].id


def _acting(action: str) -> Method:
    def run(centre: Centre, person: Person, said: Sequence[Any]) -> object:
        person.must("member")
        job = _job(centre, said)
        getattr(centre.desk, action)(job, person)
        return job.id

    return run


def _acting_on_all(action: str, states: set[JobState]) -> Method:
    def run(centre: Centre, person: Person, said: Sequence[Any]) -> object:
        person.must("member")
        for job in centre.board.waiting():
            if job.state in states and (person.may("admin") or job.user_id == person.id):
                getattr(centre.desk, action)(job, person)
        return "OK"

    return run


def _forget(centre: Centre, person: Person, said: Sequence[Any]) -> object:
    person.must("member")
    centre.desk.forget(_job(centre, said), person)
    return "OK"


def _purge(centre: Centre, person: Person, said: Sequence[Any]) -> object:
    person.must("member")
    for job in centre.board.shown():
        if job.state in ENDED and (person.may("admin") or job.user_id == person.id):
            centre.desk.forget(job, person)
    return "OK"


def _tell_status(centre: Centre, person: Person, said: Sequence[Any]) -> object:
    return row_of(_job(centre, said), centre.carrier, _keys(said, 1))


def _tell_active(centre: Centre, person: Person, said: Sequence[Any]) -> object:
    keys = _keys(said, 0)
    return [row_of(job, centre.carrier, keys) for job in centre.board.waiting() if job.state is JobState.ACTIVE]


def _telling(of: Callable[[Centre], list[Job]]) -> Method:
    def run(centre: Centre, person: Person, said: Sequence[Any]) -> object:
        numbers = said[:2]
        if len(numbers) != 2 or not all(isinstance(each, int) and not isinstance(each, bool) for each in numbers):
            raise CentreRefused("expected an offset and a number")
        offset, count = numbers
        keys = _keys(said, 2)
        return [row_of(job, centre.carrier, keys) for job in _part(of(centre), offset, min(max(count, 0), _MOST_ROWS))]

    return run


def _part(jobs: list[Job], offset: int, count: int) -> list[Job]:
    """aria2's way to count: from the front, or for a negative offset from the back, backwards."""
    if offset >= 0:
        return jobs[offset : offset + count]
    return list(reversed(jobs))[-offset - 1 : -offset - 1 + count]


def _waiting(centre: Centre) -> list[Job]:
    return [job for job in centre.board.waiting() if job.state is not JobState.ACTIVE]


def _stopped(centre: Centre) -> list[Job]:
    return [job for job in reversed(centre.board.shown()) if job.state in ENDED]


def _global_stat(centre: Centre, person: Person, said: Sequence[Any]) -> object:
    jobs = centre.board.shown()
    active = [job for job in jobs if job.state is JobState.ACTIVE]
    stopped = sum(job.state in ENDED for job in jobs)
    return {
        "downloadSpeed": str(round(sum(job.bytes_per_s for job in active))),
        "uploadSpeed": "0",
        "numActive": str(len(active)),
        "numWaiting": str(len(jobs) - len(active) - stopped),
        "numStopped": str(stopped),
        "numStoppedTotal": str(stopped),
    }


def _change_position(centre: Centre, person: Person, said: Sequence[Any]) -> object:
    person.must("member")
    job = _job(centre, said)
    if len(said) < 3 or isinstance(said[1], bool) or not isinstance(said[1], int):
        raise CentreRefused("expected a GID, a number and POS_SET, POS_CUR or POS_END")
    waiting = _waiting(centre)
    if job not in waiting:
        raise OutOfTurn(f"GID {job.id} not found in the waiting queue")
    starts = {"POS_SET": 0, "POS_CUR": waiting.index(job), "POS_END": len(waiting) - 1}
    if said[2] not in starts:
        raise CentreRefused("expected POS_SET, POS_CUR or POS_END")
    return _move(centre, person, job, starts[said[2]] + said[1])


def _move(centre: Centre, person: Person, job: Job, position: int) -> int:
    """aria2 counts among those that wait, the queue among all that have not ended."""
    active = len(centre.board.waiting()) - len(_waiting(centre))
    return max(0, centre.desk.move(job, person, active + max(0, position)) - active)


def _get_option(centre: Centre, person: Person, said: Sequence[Any]) -> object:
    job = _job(centre, said)
    checksum = {"checksum": f"{job.digest.algorithm.replace('sha', 'sha-')}={job.digest.hex}"} if job.digest else {}
    return {**_HOLDS, **checksum}


def _change_option(centre: Centre, person: Person, said: Sequence[Any]) -> object:
    person.must("member")
    _job(centre, said)
    if meant := set(_options(said, 1)) & _MEANT:
        raise CentreRefused(f"the option {min(meant)} cannot be changed any more")
    return "OK"


def _get_global_option(centre: Centre, person: Person, said: Sequence[Any]) -> object:
    return {
        "dir": FOLDER,
        "max-overall-download-limit": str(centre.queue.pace.limit_rate or 0),
        "max-concurrent-downloads": str(centre.queue.files),
    }


def _change_global_option(centre: Centre, person: Person, said: Sequence[Any]) -> object:
    person.must("admin")
    options = said[0] if said else None
    if not isinstance(options, dict) or set(options) - {_LIMIT, _FILES}:
        raise CentreRefused(f"only `{_LIMIT}` and `{_FILES}` can be changed here")
    files = str(options.get(_FILES, "1"))
    if not re.fullmatch("[0-9]{1,2}", files) or not 1 <= int(files) <= _MOST_FILES:
        raise CentreRefused(f"{_FILES}: expected a number from 1 to {_MOST_FILES}")
    if _LIMIT in options:
        centre.set_pace(Pace(parse_rate(str(options[_LIMIT])) or None, centre.queue.pace.windows))
    if _FILES in options:
        centre.set_files(int(files))
    return "OK"


def _version(centre: Centre, person: Person, said: Sequence[Any]) -> object:
    return {"version": _VERSION, "enabledFeatures": ["HTTPS", "Message Digest", "Metalink"]}


def _session(centre: Centre, person: Person, said: Sequence[Any]) -> object:
    return {"sessionId": f"{int(centre.started_at * 1000):040x}"}


_UNFINISHED = {JobState.QUEUED, JobState.ACTIVE}

#: Name → what it does; a reader may look, more needs the role that the method asks for.
METHODS: dict[str, Method] = {
    "aria2.addMetalink": _add_metalink,
    "aria2.addTorrent": _add_torrent,
    "aria2.addUri": _add_uri,
    "aria2.changeGlobalOption": _change_global_option,
    "aria2.changeOption": _change_option,
    "aria2.changePosition": _change_position,
    "aria2.forcePause": _acting("pause"),
    "aria2.forcePauseAll": _acting_on_all("pause", _UNFINISHED),
    "aria2.forceRemove": _acting("cancel"),
    "aria2.getFiles": lambda centre, person, said: files_of(_job(centre, said)),
    "aria2.getGlobalOption": _get_global_option,
    "aria2.getGlobalStat": _global_stat,
    "aria2.getOption": _get_option,
    "aria2.getPeers": lambda centre, person, said: _job(centre, said) and [],
    "aria2.getServers": lambda centre, person, said: servers_of(_job(centre, said)),
    "aria2.getSessionInfo": _session,
    "aria2.getUris": lambda centre, person, said: uris_of(_job(centre, said)),
    "aria2.getVersion": _version,
    "aria2.pause": _acting("pause"),
    "aria2.pauseAll": _acting_on_all("pause", _UNFINISHED),
    "aria2.purgeDownloadResult": _purge,
    "aria2.remove": _acting("cancel"),
    "aria2.removeDownloadResult": _forget,
    "aria2.saveSession": lambda centre, person, said: "OK",
    "aria2.tellActive": _tell_active,
    "aria2.tellStatus": _tell_status,
    "aria2.tellStopped": _telling(_stopped),
    "aria2.tellWaiting": _telling(_waiting),
    "aria2.unpause": _acting("resume"),
    "aria2.unpauseAll": _acting_on_all("resume", {JobState.PAUSED}),
}
