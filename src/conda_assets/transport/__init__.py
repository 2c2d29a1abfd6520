"""Moving bytes: jobs in, tidings out.

A transport writes `Job.into` and nothing else; it never decides whether bytes are right, and never gives a file its final name.
Two of them keep the one protocol below: `aria2` (many connections a file) and `pool` (plain HTTP, when there is no aria2c).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from conda_assets.errors import AssetsError
from conda_assets.model import Fresh
from conda_assets.records import dataclass, field
from conda_assets.torrent import Swarm

__all__ = ["Job", "Tiding", "Transport"]


@dataclass(frozen=True, slots=True)
class Job:
    """One file to bring. `id` is unique in the run and safe as a file name.

    `into`: file to write, in an existing folder of ours (0700); what is there already is resumed when it can be trusted.
    `urls`: same bytes, best first. `fresh`: whom to ask for a link, and for what to send there, in place of a member of `urls`
    that expires or wants credentials; that member is then only shown.
    `size_bytes`: what the probe said, None if unknown. `resumable`: the server serves ranges; else one
    connection, from the start.
    `etag`: strong one to pin the file with, or None. `modified`: Last-Modified as sent, the pin where there is no ETag.
    `piece_bytes`: several `urls` do not mix within such a piece, as far as the transport can see to it; 0 where that is all one.
    `most_requests`: how many the server likes to get for the whole file, None where that does not matter.
    `swarm`: whom to ask in place of `urls`, which are then only shown; or beside them, where it has a tracker of ours.
    `page`: the file is served as a web page, or is not; None if unknown.
    `checked`: the caller compares the result with a digest, so bytes may be kept on circumstantial evidence after a kill.
    """

    id: str
    urls: tuple[str, ...] = field(repr=False)
    into: Path
    size_bytes: int | None = None
    resumable: bool = True
    etag: str | None = None
    modified: str | None = None
    fresh: Mapping[str, Callable[[], Fresh]] = field(default_factory=dict, repr=False)
    connections: int = 16
    piece_bytes: int = 0
    most_requests: int | None = None
    checked: bool = False
    page: bool | None = None
    swarm: Swarm | None = None

    @property
    def in_swarm_alone(self) -> bool:
        """No server has it."""
        return self.swarm is not None and not self.swarm.tracker


@dataclass(frozen=True, slots=True)
class Tiding:
    """What is known of one job now. All counts in bytes.

    `front_bytes`: the file is complete and final up to here (what a hash may follow). `fetched_bytes`: came over the network in
    this run. `done`: all bytes are in `into` and nobody writes it any more. `error`: the job has ended without success;
    progress is kept. `queued`: it waits for its turn, nobody has been asked yet. `bits`: one bit a piece of `piece_bytes`,
    highest bit first, set where the piece is there; empty if unknown.
    """

    id: str
    done_bytes: int
    size_bytes: int | None
    front_bytes: int
    fetched_bytes: int
    bytes_per_s: float
    connections: int
    done: bool = False
    error: AssetsError | None = None
    queued: bool = False
    bits: bytes = field(default=b"", repr=False)
    piece_bytes: int = 0


class Transport(Protocol):
    """Brings files. One thread drives it: `start` some jobs, `poll` until each is done or has an error, `close`."""

    @property
    def name(self) -> str:
        """What moves the bytes, for people: `aria2 1.37.0 (/usr/bin/aria2c)`."""

    def start(self, jobs: Sequence[Job]) -> None:
        """Begin these transfers; returns at once."""

    def poll(self) -> list[Tiding]:
        """One tiding for each job that was started and has not been reported as ended. Does not block for longer than a request.

        Raises:
            EngineFailed: the engine itself is gone.
        """

    def stop(self, job_id: str) -> None:
        """End one transfer, keep what has arrived in a form that resumes; returns when nobody writes the file any more."""

    def limit(self, bytes_per_s: int | None) -> None:
        """How fast all transfers together may be from now on; None for no limit."""

    def close(self) -> None:
        """End everything, keep partial files; returns when no process or thread of ours writes any more. Safe to call twice."""
