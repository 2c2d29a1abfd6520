"""One engine for all jobs: each `fetch` drives what it takes for a transport of its own, and all of them share one aria2c."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from conda_assets.digest import Digest, Pieces
from conda_assets.errors import EngineFailed
from conda_assets.fetch import Claim, Warehouse
from conda_assets.model import Stored
from conda_assets.transport import Job, Tiding, Transport

__all__ = ["Attended", "Carrier", "Halt", "Halted"]

# However many listen, aria2 is asked so often.
_ASK_S = 0.15


class Halted(Exception):
    """The fetch shall end here, and keep what it has: no failure, and nothing of the package catches it."""


class Halt:
    """Told from another thread that a fetch shall end; whoever works for it looks here."""

    def __init__(self) -> None:
        self._set = threading.Event()

    def set(self) -> None:
        """End it as soon as may be."""
        self._set.set()

    def check(self) -> None:
        """Raises Halted when it is time."""
        if self._set.is_set():
            raise Halted


class Carrier:
    """The engine, made when first wanted and again after it died. Safe for several threads."""

    def __init__(self, make: Callable[[], Transport]) -> None:
        self._make, self._lock = make, threading.RLock()
        self._engine: Transport | None = None
        self._number = 0
        self._heard: dict[str, Tiding] = {}
        self._last: dict[str, Tiding] = {}
        self._into: dict[str, Path] = {}
        self._asked_at = 0.0
        self._limit_rate: int | None = None

    @property
    def name(self) -> str:
        """The engine, for people."""
        return self._engine.name if self._engine else ""

    def share(self, halt: Halt) -> Transport:
        """A transport for one fetch; closing it ends its transfers and nobody else's.

        Raises:
            EngineFailed: the engine does not start.
        """
        with self._lock:
            if self._engine is None:
                self._engine = self._make()
                self._number += 1
                self._engine.limit(self._limit_rate)
            return _Share(self, self._number, halt)

    def limit(self, bytes_per_s: int | None) -> None:
        """How fast all together may be from now on."""
        with self._lock:
            if bytes_per_s != self._limit_rate:
                self._limit_rate = bytes_per_s
                if self._engine is not None:
                    self._engine.limit(bytes_per_s)

    def heard(self, key: str) -> tuple[Tiding, Path] | None:
        """What was last heard of a transfer whose fetch goes on, and the file that it writes."""
        with self._lock:
            tiding, into = self._last.get(key), self._into.get(key)
            return (tiding, into) if tiding is not None and into is not None else None

    def close(self) -> None:
        """End the engine."""
        with self._lock:
            engine, self._engine = self._engine, None
            if engine is not None:
                engine.close()

    # For shares

    def start(self, number: int, jobs: Sequence[Job]) -> None:
        """Order transfers."""
        with self._lock:
            self._living(number).start(jobs)
            self._into.update({job.id: job.into for job in jobs})

    def poll(self, number: int, keys: set[str]) -> list[Tiding]:
        """What is known of some transfers; those that have ended are told of once."""
        with self._lock:
            engine = self._living(number)
            if time.monotonic() - self._asked_at >= _ASK_S:
                self._asked_at = time.monotonic()
                try:
                    heard = engine.poll()
                except EngineFailed:
                    self._lose()
                    raise
                self._heard.update({tiding.id: tiding for tiding in heard})
                self._last.update({tiding.id: tiding for tiding in heard})
            tidings = [self._heard[key] for key in keys if key in self._heard]
            for tiding in tidings:
                if tiding.done or tiding.error is not None:
                    del self._heard[tiding.id]
            return tidings

    def stop(self, number: int, keys: set[str]) -> None:
        """End some transfers, and forget them; those that have ended are only forgotten."""
        with self._lock:
            for key in keys:
                if number == self._number and self._engine is not None:
                    self._engine.stop(key)
                for known in (self._heard, self._last, self._into):
                    known.pop(key, None)

    def _living(self, number: int) -> Transport:
        if number != self._number or self._engine is None:
            raise EngineFailed("the engine was started anew")
        return self._engine

    def _lose(self) -> None:
        engine, self._engine = self._engine, None
        self._heard.clear()
        self._last.clear()
        if engine is not None:
            engine.close()


class _Share:
    """See `Transport`."""

    def __init__(self, carrier: Carrier, number: int, halt: Halt) -> None:
        self._carrier, self._number, self._halt = carrier, number, halt
        self._keys: set[str] = set()

    @property
    def name(self) -> str:
        return self._carrier.name

    def start(self, jobs: Sequence[Job]) -> None:
        self._carrier.start(self._number, jobs)
        self._keys.update(job.id for job in jobs)

    def poll(self) -> list[Tiding]:
        self._halt.check()
        return self._carrier.poll(self._number, self._keys)

    def stop(self, job_id: str) -> None:
        self._carrier.stop(self._number, {job_id})
        self._keys.discard(job_id)

    def limit(self, bytes_per_s: int | None) -> None:
        self._carrier.limit(bytes_per_s)

    def close(self) -> None:
        self._carrier.stop(self._number, self._keys)
        self._keys = set()


class Attended:
    """A store as one fetch sees it: who waits for another process's claim looks at the halt each time it asks again."""

    def __init__(self, store: Warehouse, halt: Halt) -> None:
        self._store, self._halt = store, halt

    @property
    def folder(self) -> Path:
        return self._store.folder

    def find(self, digest: Digest) -> Stored | None:
        return self._store.find(digest)

    def find_url(self, url: str) -> Stored | None:
        return self._store.find_url(url)

    def claim(self, key: str) -> Claim | None:
        self._halt.check()
        return self._store.claim(key)

    def holder(self, key: str) -> str:
        return self._store.holder(key)

    def note_pieces(self, stored: Stored, pieces: Pieces) -> None:
        self._store.note_pieces(stored, pieces)

    def staged_bytes(self, key: str) -> int:
        return self._store.staged_bytes(key)

    def free_bytes(self) -> int:
        return self._store.free_bytes()
