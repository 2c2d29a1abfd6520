"""The transports that this machine has, and how to drive one to its end."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from conda_assets.settings import Network
from conda_assets.transport import Job, Tiding, Transport
from conda_assets.transport.aria2 import Aria2
from conda_assets.transport.locate import Found, candidates
from conda_assets.transport.pool import Pool
from server import Virtual

__all__ = ["ARIA2CS", "MIB", "PATIENT", "Engine", "aria2_engines", "engines", "sha256", "written_by"]

MIB = 1 << 20
#: Short limits, so that a server that is silent is noticed within a test.
PATIENT = Network(connect_timeout_s=5, read_timeout_s=5)

_SEEN = list(candidates(None, None, {"PATH": os.environ.get("PATH", "") + ":/usr/bin:/usr/local/bin"}))
#: One of each version.
ARIA2CS: dict[str, Found] = {}
for _each in _SEEN:
    if not _each.why_not:
        ARIA2CS.setdefault(_each.version, Found(_each.path, _each.origin, _each.version))
_WHY = "no usable aria2c: " + ("; ".join(f"{each.path}: {each.why_not}" for each in _SEEN) or "none on PATH, none from PyPI")


@dataclass
class Engine:
    """A way to make transports of one kind; those still open are closed at the end of the test."""

    make: Callable[..., Transport]
    is_aria2: bool
    open: list[Transport] = field(default_factory=list)

    def __call__(self, network: Network = PATIENT, **options: object) -> Transport:
        made = self.make(network, **options)
        self.open.append(made)
        return made

    def run(
        self, jobs: Iterable[Job], network: Network = PATIENT, *, seconds: float = 30.0, **options: object
    ) -> dict[str, Tiding]:
        """The last tiding of each job, by a transport that is made and closed for them."""
        with closing(self(network, **options)) as transport:
            return drive(transport, list(jobs), seconds=seconds)

    def bring(self, job: Job, network: Network = PATIENT, **options: object) -> Tiding:
        return self.run([job], network, **options)[job.id]


@contextmanager
def closing(transport: Transport) -> Iterator[Transport]:
    try:
        yield transport
    finally:
        transport.close()


def drive(
    transport: Transport, jobs: list[Job], *, seconds: float = 30.0, until: Callable[[Tiding], bool] | None = None
) -> dict[str, Tiding]:
    """Start the jobs and poll; returns the last tiding of each when all have ended, or when one makes `until` true."""
    transport.start(jobs)
    last: dict[str, Tiding] = {}
    open_jobs = {job.id for job in jobs}
    deadline = time.monotonic() + seconds
    while open_jobs:
        for tiding in transport.poll():
            last[tiding.id] = tiding
            if tiding.done or tiding.error is not None:
                open_jobs.discard(tiding.id)
            if until is not None and until(tiding):
                return last
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {[last.get(each) for each in sorted(open_jobs)][:5]}")
        time.sleep(0.01)
    return last


def aria2_engine(found: Found, scratch: Path) -> Engine:
    def make(network: Network, **options: object) -> Aria2:
        folder = scratch / f"s{len(list(scratch.iterdir()))}"
        folder.mkdir(mode=0o700)
        return Aria2(found.path, network, scratch=folder, **options)  # type: ignore[arg-type]

    return Engine(make, is_aria2=True)


def pool_engine() -> Engine:
    def make(network: Network, **options: object) -> Pool:
        options.pop("stall_s", None)
        return Pool(network, **options)  # type: ignore[arg-type]

    return Engine(make, is_aria2=False)


def aria2_engines() -> list[object]:
    """Parameters for a test that runs with every aria2c of this machine, with the newest of them in the fast part."""
    if not ARIA2CS:
        return [pytest.param(None, marks=pytest.mark.skip(reason=_WHY), id="aria2")]
    *older, newest = sorted(ARIA2CS.items())
    slow = [pytest.param(found, id=f"aria2-{version}", marks=pytest.mark.slow) for version, found in older]
    return [*slow, pytest.param(newest[1], id=f"aria2-{newest[0]}")]


def engines() -> list[object]:
    """The same, and the plain one."""
    return [*aria2_engines(), pytest.param("pool", id="pool")]


def made_of(parameter: object, scratch: Path) -> Engine:
    return aria2_engine(parameter, scratch) if isinstance(parameter, Found) else pool_engine()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def written_by(path: Path, content: Virtual | bytes) -> bool:
    """The file has exactly that content."""
    if isinstance(content, bytes):
        return path.read_bytes() == content
    return path.stat().st_size == content.size and sha256(path) == content.sha256
