"""Reading files to the last byte, on all cores: several at once, and one whose pieces a lock tells by several threads.

A sha256 of a whole file is a chain that one core has to follow. The digests of its pieces, from a lock that was made in the same
pass, prove as much and need no order; where one is wrong, the whole file is read to say what it is now.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import TypeVar

from conda_assets.digest import Follower, Pieces, digest_part
from conda_assets.events import Observer, Progressed
from conda_assets.records import dataclass, field

__all__ = ["File", "Reader", "Stopped", "await_all", "cores"]

_T = TypeVar("_T")

# After so many bytes it is looked whether to stop, and progress is told.
_STRIDE_BYTES = 16 << 20
# A thread takes as much of a file at a time: enough to read in one go, little enough for all to end together.
_PART_BYTES = 64 << 20
_POLL_S = 0.5


class Stopped(Exception):
    """The run is over."""


@dataclass(eq=False, slots=True)
class File:
    """A file as it is to be. `name`: under which its progress is told; `known`: its pieces, None where nobody knows them."""

    name: str
    path: Path
    sha256: str
    size_bytes: int
    known: Pieces | None = None
    done_bytes: int = 0
    began: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def parts(self) -> list[range]:
        """Groups of pieces that a thread takes at a time; none where it has to be read in order."""
        known = self.known
        if known is None or known.algorithm != "sha256" or not known.fits(self.size_bytes):
            return []
        step = max(1, _PART_BYTES // known.size_bytes)
        return [range(at, min(at + step, known.count)) for at in range(0, known.count, step)]


class Reader:
    """Threads that read, a block of memory each. As a context manager: what is under way at its end stops within a stride."""

    def __init__(self, watch: Observer) -> None:
        self._watch = watch
        self._stopping = threading.Event()
        self._workers = ThreadPoolExecutor(max_workers=cores(), thread_name_prefix="verify")

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._workers.shutdown(cancel_futures=True)

    def submit(self, job: Callable[[], _T]) -> Future[_T]:
        """Run it beside the reading; it calls `check` now and then."""
        return self._workers.submit(job)

    def digests(self, files: Iterable[File]) -> dict[File, str | OSError]:
        """The sha256 of each file; an OSError where it cannot be read."""
        # The longest first, so that none is left to one thread at the end.
        ordered = sorted(files, key=lambda file: -file.size_bytes)
        parts = {file: [self.submit(partial(self._is_right, file, part)) for part in file.parts()] for file in ordered}
        whole = {file: self.submit(partial(self._read, file)) for file in ordered if not parts[file]}
        await_all(list(whole.values()))
        await_all([job for jobs in parts.values() for job in jobs])
        for file, jobs in parts.items():
            if jobs and not all(job.result() for job in jobs):
                file.done_bytes = 0
                whole[file] = self.submit(partial(self._read, file))
        await_all(list(whole.values()))
        return {file: whole[file].result() if file in whole else file.sha256 for file in ordered}

    def check(self) -> None:
        """Go on.

        Raises:
            Stopped: it is time to end.
        """
        if self._stopping.is_set():
            raise Stopped

    def _tell(self, file: File, count: int) -> None:
        self.check()
        with file.lock:
            now = time.monotonic()
            file.began = file.began or now
            file.done_bytes += count
            rate = file.done_bytes / (now - file.began) if now > file.began else 0.0
            self._watch(Progressed(file.name, file.done_bytes, file.size_bytes, rate, 0, file.done_bytes))

    def _read(self, file: File) -> str | OSError:
        self._tell(file, 0)
        follower = Follower(file.path, frozenset({"sha256"}))
        try:
            while follower.done_bytes < file.size_bytes:
                before = follower.done_bytes
                follower.advance(min(before + _STRIDE_BYTES, file.size_bytes))
                self._tell(file, follower.done_bytes - before)
        except EOFError as error:
            return OSError(str(error))
        except OSError as error:
            return error
        return follower.digests()["sha256"].hex

    def _is_right(self, file: File, part: range) -> bool:
        """All those pieces are as they were."""
        assert file.known is not None
        self._tell(file, 0)
        expected = list(file.known.each())
        try:
            for index in part:
                start = index * file.known.size_bytes
                length = min(file.known.size_bytes, file.size_bytes - start)
                if digest_part(file.path, start, length) != expected[index]:
                    return False
                self._tell(file, length)
        except (OSError, EOFError):
            return False
        return True


def await_all(jobs: Sequence[Future[_T]]) -> None:
    """Until all are through.

    Raises:
        BaseException: the first that a job raised.
    """
    # Short waits, because a long one cannot be interrupted on Windows.
    while wait(jobs, timeout=_POLL_S, return_when=FIRST_EXCEPTION).not_done:
        if any(job.done() and job.exception() for job in jobs):
            break
    for job in jobs:
        if job.done():
            job.result()


def cores() -> int:
    """How many this process may use: fewer than there are in a batch job, or a container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
