"""What is to come, in which order: begins jobs as room is, steers them, writes down how they end.

Each job that has its turn is one run of `fetch` in a thread of its own; all share the store and the carrier's engine. A halt ends
the run, and what has arrived waits in the store's staging for the next one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from conda_assets.api.sync import want_key
from conda_assets.errors import AssetsError, NotAllowed, OutOfTurn, OverQuota
from conda_assets.fetch import Arrival, Limits, Want, fetch
from conda_assets.model import Asset, Locked, Stored, shown_size
from conda_assets.serve.accounts import Person
from conda_assets.serve.board import Board
from conda_assets.serve.carrier import Attended, Carrier, Halt, Halted
from conda_assets.serve.hearing import Hearing
from conda_assets.serve.jobs import ENDED, Job, JobState, Need, new_job
from conda_assets.serve.pace import Pace

if TYPE_CHECKING:
    from conda_assets.store import Store

__all__ = ["Queue", "Wanted"]

_LOG = logging.getLogger("conda_assets.serve")
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks for: an asset, and the environment whose file names it; empty where it is asked for alone."""

    asset: Asset
    environment: str = ""


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
        self.board, self._store, self._carrier, self._probe = board, store, carrier, probe
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

    # Asking

    def ask(self, wanted: Sequence[Wanted], person: Person, *, paused: bool = False, first: bool = False) -> list[Job]:
        """A job for each: the one there is, if somebody has asked for these bytes before. `first`: before all others.

        Raises:
            OverQuota: more than the person may ask for; nothing is asked for then.
        """
        with self.board.lock:
            self._check_quota(wanted, person)
            waiting = self.board.waiting()
            low, high = (min(job.rank for job in waiting), max(job.rank for job in waiting)) if waiting else (0.0, 0.0)
            jobs = []
            for number, each in enumerate(wanted, 1):
                rank = low - len(wanted) + number - 1 if first else high + number
                jobs.append(self._ask_one(each, person, rank, paused=paused))
        self._wake.set()
        return jobs

    def _ask_one(self, wanted: Wanted, person: Person, rank: float, *, paused: bool) -> Job:
        asset, now = wanted.asset, time.time()
        job = self.board.by_key(want_key(asset))
        if job is None or (job.state in ENDED and not self._still_there(job)):
            stored = self._store.find(asset.digest, asset.size_bytes) if asset.digest else self._store.find_url(asset.url)
            job = new_job(asset, person.id, rank)
            job.state = JobState.PAUSED if paused else JobState.QUEUED
            if stored is not None:
                _ended(job, stored)
            self.board.add(job)
        self.board.need(job, Need(person.id, wanted.environment, asset.name, asset.path), now)
        return job

    def _still_there(self, job: Job) -> bool:
        if job.state is not JobState.DONE or job.sha256 is None:
            return False
        found = self._store.find(job.digest) if job.digest else self._store.find_url(job.url)
        return found is not None

    def _check_quota(self, wanted: Sequence[Wanted], person: Person) -> None:
        if person.quota_bytes is None:
            return
        more = sum(each.asset.size_bytes or 0 for each in wanted if self.board.by_key(want_key(each.asset)) is None)
        used = self.board.used_bytes(person.id)
        if used + more > person.quota_bytes or used >= person.quota_bytes:
            said = f"{shown_size(person.quota_bytes)}, has {shown_size(used)} and asks for {shown_size(more)}"
            raise OverQuota(f"{person.name} may ask for {said}", "an administrator can raise the quota")

    # Steering

    def pause(self, job: Job, person: Person) -> None:
        """Halt it until it is resumed.

        Raises:
            OutOfTurn: it has ended. NotAllowed: it is another person's.
        """
        self._steer(job, person, {JobState.QUEUED, JobState.ACTIVE}, JobState.PAUSED)

    def resume(self, job: Job, person: Person) -> None:
        """Let it have its turn again.

        Raises:
            OutOfTurn: it is not paused. NotAllowed: it is another person's.
        """
        self._steer(job, person, {JobState.PAUSED}, JobState.QUEUED)

    def cancel(self, job: Job, person: Person) -> None:
        """Give it up; where others need it as well, only for that person.

        Raises:
            OutOfTurn: it has ended. NotAllowed: the person does not need it.
        """
        others = {need.user_id for need in job.needs} - {person.id}
        if others and not person.may("admin"):
            if not any(need.user_id == person.id for need in job.needs):
                raise NotAllowed(f"{job.name} is asked for by others")
            self.board.leave(job, person.id)
            return
        self._steer(job, person, {JobState.QUEUED, JobState.ACTIVE, JobState.PAUSED}, JobState.CANCELLED)

    def retry(self, job: Job, person: Person) -> None:
        """Another turn for one that failed or was cancelled.

        Raises:
            OutOfTurn: it has not. NotAllowed: it is another person's.
        """
        self._steer(job, person, {JobState.FAILED, JobState.CANCELLED}, JobState.QUEUED)

    def forget(self, job: Job, person: Person) -> None:
        """Strike an ended one from the history.

        Raises:
            OutOfTurn: it has not ended. NotAllowed: it is another person's.
        """
        _check_mine(job, person)
        with self.board.lock:
            if job.state not in ENDED:
                raise OutOfTurn(f"{job.name} is {job.state.value}", "cancel it first")
            self.board.forget(job)

    def prefer(self, job: Job, person: Person, priority: int) -> None:
        """Set its priority: -1, 0 or 1.

        Raises:
            NotAllowed: it is another person's.
        """
        _check_mine(job, person)
        with self.board.lock:
            job.priority = priority
            self.board.save(job)
        self._wake.set()

    def move(self, job: Job, person: Person, position: int) -> int:
        """Put it at a place among all that have not ended, 0 is the front; gives the place that it has now.

        Raises:
            OutOfTurn: it has ended. NotAllowed: it is another person's.
        """
        _check_mine(job, person)
        with self.board.lock:
            others = [each for each in self.board.waiting() if each is not job]
            if job.state in ENDED:
                raise OutOfTurn(f"{job.name} is {job.state.value}, and has no place in the queue")
            position = max(0, min(position, len(others)))
            others.insert(position, job)
            for rank, each in enumerate(others, 1):
                if each.rank != rank:
                    each.rank = float(rank)
                    self.board.save(each)
            place = self.board.waiting().index(job)
        self._wake.set()
        return place

    def _steer(self, job: Job, person: Person, among: set[JobState], to: JobState) -> None:
        _check_mine(job, person)
        with self.board.lock:
            if job.state not in among:
                raise OutOfTurn(
                    f"{job.name} is {job.state.value}",
                    f"expected one that is {' or '.join(sorted(each.value for each in among))}",
                )
            self.board.bring_back(job)
            job.state, job.error = to, None
            job.ended_at = time.time() if to in ENDED else None
            job.rest()
            self.board.save(job)
            if job.id in self._running:
                self._running[job.id][0].set()
        self._wake.set()

    # Driving

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
        with self.board.lock:
            waiting = [job for job in self.board.waiting() if job.state is JobState.QUEUED and job.id not in self._running]
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
            self.board.save(job)
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
                watch=Hearing(job, self.board, self._carrier, self._quota),
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
        with self.board.lock:
            self._running.pop(job.id, None)
            job.rest()
            if arrived is not None:
                error = error or arrived.error
                job.bytes_fetched += arrived.bytes_fetched
                job.seconds += arrived.seconds
                job.source = arrived.source
            if arrived is not None and arrived.stored is not None:
                _ended(job, arrived.stored)
            elif job.state is JobState.ACTIVE:
                job.state = JobState.QUEUED
                if error is not None:
                    job.state, job.error, job.ended_at = JobState.FAILED, error.to_json(), time.time()
            self.board.save(job)
        if job.state is JobState.DONE:
            self._arrived()


def _ended(job: Job, stored: Stored) -> None:
    job.state, job.sha256, job.ended_at, job.error = JobState.DONE, stored.sha256, time.time(), None
    job.size_bytes = job.done_bytes = job.verified_bytes = stored.size_bytes
    job.pieces = ""


def _check_mine(job: Job, person: Person) -> None:
    if not person.may("admin") and job.user_id != person.id:
        raise NotAllowed(f"{job.name} was asked for by somebody else", "ask them, or an administrator")
