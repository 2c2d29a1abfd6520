"""What is to come, in which order: begins jobs as room is, halts them, writes down how they end.

Each job that has its turn is one run of `fetch` in a thread of its own; all share the store and the carrier's engine. A halt ends
the run, and what has arrived waits in the store's staging for the next one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

from conda_assets.errors import AssetsError, OutOfTurn
from conda_assets.fetch import Arrival, Limits, Want, fetch
from conda_assets.model import Asset, Locked
from conda_assets.serve.board import Board
from conda_assets.serve.carrier import Attended, Carrier, Halt, Halted
from conda_assets.serve.hearing import Hearing
from conda_assets.serve.jobs import Job, JobState
from conda_assets.serve.pace import Pace

if TYPE_CHECKING:
    from conda_assets.store import Store

__all__ = ["Queue"]

_LOG = logging.getLogger("conda_assets.serve")
_LOOK_S = 1.0


class Queue:
    """See the module. Its methods may be called from any thread.

    `files`: jobs that may move at once; `arrived` is called when a file has come.
    """

    def __init__(
        self,
        board: Board,
        store: Store,
        carrier: Carrier,
        probe: Callable[[Asset, str], Locked],
        *,
        limits: Limits,
        files: int,
        quota: Callable[[int], int | None],
        arrived: Callable[[], None],
    ) -> None:
        self._board, self._store, self._carrier, self._probe = board, store, carrier, probe
        self._limits, self.files, self._quota = limits, files, quota
        self._arrived = arrived
        self.pace = Pace()
        self._wake = threading.Event()
        self._ending = False
        self._running: dict[str, tuple[Halt, threading.Thread]] = {}
        self._thread = threading.Thread(target=self._drive, name="queue", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Halt everything; every job goes on where it is at the next start. Returns when nothing moves any more."""
        self._ending = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        for halt, _ in list(self._running.values()):
            halt.set()
        for _, thread in list(self._running.values()):
            thread.join()

    @property
    def is_alive(self) -> bool:
        """It looks after its jobs."""
        return self._thread.is_alive()

    def nudge(self) -> None:
        """Look at once whether there is something to do."""
        self._wake.set()

    def pace_now(self) -> int | None:
        """Bytes per second for everything together at this time of the day, None for no limit."""
        return self.pace.at(datetime.now())

    def halt(self, job: Job) -> None:
        """Let its run end, if there is one. Hold the board's lock."""
        if job.id in self._running:
            self._running[job.id][0].set()

    def _drive(self) -> None:
        while not self._ending:
            self._wake.clear()
            try:
                self._look()
            except AssetsError as error:
                _LOG.error("the queue: %s", error)
            self._wake.wait(_LOOK_S)

    def _look(self) -> None:
        """Begin what has its turn, halt what may not move now."""
        limit_rate = self.pace_now()
        self._carrier.limit(limit_rate or None)
        with self._board.lock:
            waiting = [job for job in self._board.waiting() if job.state is JobState.QUEUED and job.id not in self._running]
            if limit_rate == 0:
                for halt, _ in self._running.values():
                    halt.set()
                return
            for job in waiting[: max(0, self.files - len(self._running))]:
                self._begin(job)

    def _begin(self, job: Job) -> None:
        halt = Halt()
        thread = threading.Thread(target=self._carry, args=(job, halt), name=f"job-{job.id}", daemon=True)
        job.state, job.note, job.error = JobState.ACTIVE, "", None
        job.started_at = job.started_at or time.time()
        try:
            self._board.save(job)
        except AssetsError:
            # A full disk: another look at it comes in a second.
            job.state = JobState.QUEUED
            raise
        self._running[job.id] = halt, thread
        thread.start()

    def _carry(self, job: Job, halt: Halt) -> None:
        """Bring one file: a job's thread."""
        error: AssetsError | None = None
        arrived: Arrival | None = None
        try:
            wants = [Want(job.key, (job.asset,))]
            run = fetch(
                wants,
                store=Attended(self._store, halt),
                transport=lambda: self._carrier.share(halt),
                probe=self._probe,
                limits=self._limits,
                watch=Hearing(job, self._board, self._carrier, self._quota),
            )
            with closing(run):  # type: ignore[type-var]
                arrived = next(iter(run))
        except Halted:
            pass
        except AssetsError as failure:
            error = failure
        except Exception:  # noqa: BLE001 - a thread's last line: the job shall not stay active for ever
            _LOG.exception("job %s", job.id)
            error = OutOfTurn("the centre stumbled over this file", "its log says more")
        finally:
            self._end(job, arrived, error)
            self._wake.set()

    def _end(self, job: Job, arrived: Arrival | None, error: AssetsError | None) -> None:
        with self._board.lock:
            self._running.pop(job.id, None)
            job.rest()
            if arrived is not None:
                error = error or arrived.error
                job.bytes_fetched += arrived.bytes_fetched
                job.seconds += arrived.seconds
                job.source = arrived.source
            if arrived is not None and arrived.stored is not None:
                job.end(arrived.stored)
            elif job.state is JobState.ACTIVE:
                job.state = JobState.QUEUED
                if error is not None:
                    job.state, job.error, job.ended_at = JobState.FAILED, error.to_json(), time.time()
            self._board.save(job)
        if job.state is JobState.DONE:
            self._arrived()
