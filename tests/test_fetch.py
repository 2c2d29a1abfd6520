"""How a run ends: with a transport that does what it is told, and a real store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from conda_assets.errors import NetworkFailed, UpstreamChanged
from conda_assets.events import Event, Retrying
from conda_assets.fetch import Limits, Want, fetch
from conda_assets.model import Asset, Locked
from conda_assets.store import open_stores
from conda_assets.transport import Job, Tiding


class Restless:
    """Brings half of every file, and finds each time that it has been replaced."""

    name = "restless"

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.started = 0

    def start(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs
        self.started += len(jobs)

    def poll(self) -> list[Tiding]:
        jobs, self.jobs = self.jobs, []
        changed = [UpstreamChanged(job.id, "it was replaced") for job in jobs]
        return [Tiding(job.id, 5, 10, 0, 5, 1.0, 1, error=error) for job, error in zip(jobs, changed, strict=True)]

    def stop(self, job_id: str) -> None:
        self.jobs = [job for job in self.jobs if job.id != job_id]

    def close(self) -> None:
        self.jobs.clear()


def test_a_file_that_changes_all_the_time_is_given_up(tmp_path: Path) -> None:
    """Each try brings bytes, so they are no sign of getting on."""
    asset, transport, seen = Asset(name="log", url="https://x.example/log", path="log"), Restless(), list[Event]()
    arrivals = fetch(
        [Want("url-log", (asset,))],
        store=open_stores((tmp_path / "store",)),
        transport=lambda: transport,
        probe=lambda asked, url: Locked(asked, url, url, 10, etag=None, modified=None, resumable=True, same_host=True),
        limits=Limits(tries=2),
        watch=seen.append,
    )
    (arrival,) = list(arrivals)
    assert isinstance(arrival.error, UpstreamChanged)
    assert (transport.started, len([event for event in seen if isinstance(event, Retrying)])) == (2, 1)


class Silent:
    """Takes jobs, and says of them that nothing has come, or that nobody has been asked."""

    name = "silent"

    def __init__(self, *, queued_for_s: float = 0.0) -> None:
        self.jobs: list[Job] = []
        self.until = time.monotonic() + queued_for_s

    def start(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs

    def poll(self) -> list[Tiding]:
        queued = time.monotonic() < self.until
        return [Tiding(job.id, 0, 10, 0, 0, 0.0, 16, queued=queued) for job in self.jobs]

    def stop(self, job_id: str) -> None:
        self.jobs = [job for job in self.jobs if job.id != job_id]

    def close(self) -> None:
        self.jobs.clear()


@pytest.mark.parametrize("queued_for_s", [0.0, 0.8])
def test_silence_ends_however_patient_the_transport_is(tmp_path: Path, queued_for_s: float) -> None:
    """What waits for its turn is not silent."""
    asset, transport = Asset(name="w", url="https://x.example/w", path="w"), Silent(queued_for_s=queued_for_s)
    began = time.monotonic()
    arrivals = fetch(
        [Want("url-w", (asset,))],
        store=open_stores((tmp_path / "store",)),
        transport=lambda: transport,
        probe=lambda asked, url: Locked(asked, url, url, 10, etag=None, modified=None, resumable=True, same_host=True),
        limits=Limits(patience_s=0.5),
        watch=lambda event: None,
    )
    (arrival,) = list(arrivals)
    assert isinstance(arrival.error, NetworkFailed)
    assert arrival.error.message == "w: no byte from https://x.example/w for 0 s, over all tries"
    assert 0.3 + queued_for_s <= time.monotonic() - began < 5.0
    assert transport.jobs == []


class Prompt:
    """Has brought what it is told to bring when it is asked."""

    name = "prompt"

    def __init__(self, body: bytes) -> None:
        self.jobs: list[Job] = []
        self.body = body

    def start(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs

    def poll(self) -> list[Tiding]:
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            job.into.write_bytes(self.body)
        size = len(self.body)
        return [Tiding(job.id, size, size, size, size, 1.0, 1, done=True) for job in jobs]

    def stop(self, job_id: str) -> None:
        self.jobs = [job for job in self.jobs if job.id != job_id]

    def close(self) -> None:
        self.jobs.clear()


def test_a_transfer_does_not_wait_for_the_clock_to_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conda_assets.fetch.run._TICK_S", 60.0)
    asset, began = Asset(name="w", url="https://x.example/w", path="w"), time.monotonic()
    arrivals = fetch(
        [Want("url-w", (asset,))],
        store=open_stores((tmp_path / "store",)),
        transport=lambda: Prompt(b"0123456789"),
        probe=lambda asked, url: Locked(asked, url, url, 10, etag=None, modified=None, resumable=True, same_host=True),
        limits=Limits(),
        watch=lambda event: None,
    )
    (arrival,) = list(arrivals)
    assert arrival.error is None
    assert time.monotonic() - began < 30.0
