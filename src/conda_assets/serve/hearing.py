"""What a job's run tells, taken into the job: whoever looks at the board sees it move."""

from __future__ import annotations

import time
from collections.abc import Callable

from conda_assets.errors import OverQuota
from conda_assets.events import Event, Noted, Progressed, Retrying, Started, Waiting
from conda_assets.model import shown_size
from conda_assets.serve.board import Board
from conda_assets.serve.carrier import Carrier
from conda_assets.serve.jobs import Job
from conda_assets.serve.pieces import picture

__all__ = ["Hearing"]

# A job changes its look at most so often.
_SHOWN_S = 0.25


class Hearing:
    """An observer of one run. `quota`: bytes that a user may ask for."""

    def __init__(self, job: Job, board: Board, carrier: Carrier, quota: Callable[[int], int | None]) -> None:
        self._job, self._board, self._carrier, self._quota = job, board, carrier, quota
        self._shown_at = 0.0

    def __call__(self, event: Event) -> None:
        """Take it in.

        Raises:
            OverQuota: the file turns out to be larger than its person may ask for.
        """
        if isinstance(event, Started):
            self._started(event)
        elif isinstance(event, Progressed):
            self._progressed(event)
        elif isinstance(event, (Retrying, Waiting, Noted)):
            with self._board.lock:
                self._job.note = _clause(event)
                self._board.touch(self._job)

    def _started(self, event: Started) -> None:
        job, user_id = self._job, self._job.user_id or 0
        with self._board.lock:
            job.size_bytes, job.done_bytes, job.source, job.note = event.size_bytes, event.done_bytes, event.source, ""
            self._board.save(job)
        quota = self._quota(user_id)
        if quota is not None and job.asked_bytes is None and self._board.used_bytes(user_id) > quota:
            raise OverQuota(f"{job.name} has {shown_size(job.weight_bytes)}, more than is left of the quota")

    def _progressed(self, event: Progressed) -> None:
        now, job = time.monotonic(), self._job
        if now - self._shown_at < _SHOWN_S:
            return
        self._shown_at = now
        heard = self._carrier.heard(job.key)
        with self._board.lock:
            job.done_bytes, job.size_bytes = event.done_bytes, event.size_bytes
            job.bytes_per_s, job.connections, job.verified_bytes = event.bytes_per_s, event.connections, event.verified_bytes
            job.pieces = picture(heard[0], event.size_bytes) if heard else job.pieces
            self._board.touch(job)


def _clause(event: Retrying | Waiting | Noted) -> str:
    if isinstance(event, Retrying):
        return f"try {event.attempt} failed ({event.because}), another one in {event.after_s:.0f} s"
    if isinstance(event, Waiting):
        return f"waits for {event.holder}, which fetches the same file"
    return event.text
