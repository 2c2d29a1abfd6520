"""Stands in for the `tests/conftest.py` of aria2p: where its suite starts an aria2c, a download centre is started.

`test_serve_aria2p.py` puts it there. What a session file asks for is put into the queue under the GIDs that it names; files of a
running session come from an origin of ours instead of localhost:8779, which nobody asks about those that are paused.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import aria2p
import pytest

import centre as centres
from conda_assets.serve.intake import wanted_url
from conda_assets.serve.jobs import JobState, Need, new_job
from server import Faults, Server, Virtual

_HERE = Path(__file__).parent / "data"
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20}


class Aria2Server:
    """As theirs is used: a context with `client`, `api` and `tmp_dir`. `secret`: becomes a token of the administrator."""

    def __init__(self, tmp_dir: Path, port: int, config: Path | None = None, session: object = None, secret: str = "") -> None:
        self.tmp_dir, self._config, self._session, self._secret = tmp_dir, config, session, secret
        self._open = ExitStack()

    def __enter__(self) -> Aria2Server:
        origin = self._open.enter_context(Server())
        centre, client = self._open.enter_context(centres.running(self.tmp_dir))
        if self._config and (most := re.search(r"max-concurrent-downloads=(\d+)", Path(self._config).read_text())):
            centre.queue.files = int(most[1])
        if self._secret:
            digest = hashlib.sha256(self._secret.encode()).hexdigest()
            statement = "INSERT INTO tokens (user_id, label, digest, created_at) VALUES (1, 'theirs', ?, 0)"
            centre.database.run(statement, (digest,))
        self._fill(centre, origin)
        port = int(client.url.rpartition(":")[2])
        self.client = aria2p.Client(port=port, secret=self._secret or client.token, timeout=20)
        self.api = aria2p.API(self.client)
        return self

    def __exit__(self, *unused: object) -> None:
        self._open.close()

    def _fill(self, centre, origin: Server) -> None:
        if self._session is None:
            return
        path = _HERE / "sessions" / self._session
        for rank, entry in enumerate(re.findall(r"^(\S.*)\n((?:[ \t].*\n?)*)", path.read_text(), re.MULTILINE)):
            uris, paused = entry[0].split("\t"), "pause=true" in entry[1]
            gid = re.search(r"gid=([0-9a-f]{16})", entry[1])[1]
            if not paused:
                uris = [_served(uri, origin, rank) for uri in uris]
            first, *others = [wanted_url(uri, None, None, private=True).asset for uri in uris]
            job = new_job(replace(first, mirrors=tuple(each.url for each in others)), 1, float(rank))
            job.id, job.state = gid, JobState.PAUSED if paused else JobState.QUEUED
            centre.board.add(job)
            centre.board.need(job, Need(1, "", job.name, job.name), 0.0)
        centre.queue.nudge()
        running = [job for job in centre.board.shown() if job.state is not JobState.PAUSED]
        if running:
            # aria2c has begun when it answers.
            centres.until(lambda: {"state": running[0].state}, lambda seen: seen["state"] is not JobState.QUEUED)


def _served(uri: str, origin: Server, rank: int) -> str:
    number, unit = re.fullmatch(r".*/(\d+)([km]?)", uri).groups()
    size_bytes = int(number) * _UNITS[unit]
    rate = 200_000.0 if size_bytes > 1 << 20 else None
    return origin.add(f"/{rank}/{number}{unit}", Virtual(size_bytes, seed=rank), Faults(rate=rate))


@pytest.fixture
def port() -> int:
    return 0


@pytest.fixture
def server(tmp_path: Path, port: int):
    with Aria2Server(tmp_path, port) as server:
        yield server


@pytest.fixture(autouse=True)
def store(tmp_path_factory, monkeypatch) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("CONDA_ASSETS_STORE", str(home / "store"))
