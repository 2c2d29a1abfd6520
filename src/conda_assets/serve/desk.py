"""Where people ask for files, and steer what they have asked for; the queue then does it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from conda_assets.api.sync import want_key
from conda_assets.errors import NotAllowed, OutOfTurn, OverQuota
from conda_assets.model import shown_size
from conda_assets.serve.accounts import Person
from conda_assets.serve.board import Board
from conda_assets.serve.jobs import ENDED, Job, JobState, Need, Wanted, new_job
from conda_assets.serve.queue import Queue

if TYPE_CHECKING:
    from conda_assets.store import Store

__all__ = ["Desk"]


class Desk:
    """Its methods may be called from any thread."""

    def __init__(self, board: Board, store: Store, queue: Queue) -> None:
        self.board, self._store, self._queue = board, store, queue

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
        self._queue.nudge()
        return jobs

    def _ask_one(self, wanted: Wanted, person: Person, rank: float, *, paused: bool) -> Job:
        asset, now = wanted.asset, time.time()
        job = self.board.by_key(want_key(asset))
        if job is None or (job.state in ENDED and not self._still_there(job)):
            stored = self._store.find(asset.digest, asset.size_bytes) if asset.digest else self._store.find_url(asset.url)
            job = new_job(asset, person.id, rank)
            job.state = JobState.PAUSED if paused else JobState.QUEUED
            if stored is not None:
                job.end(stored)
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
        self._queue.nudge()

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
        self._queue.nudge()
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
            self._queue.halt(job)
        self._queue.nudge()


def _check_mine(job: Job, person: Person) -> None:
    if not person.may("admin") and job.user_id != person.id:
        raise NotAllowed(f"{job.name} was asked for by somebody else", "ask them, or an administrator")
