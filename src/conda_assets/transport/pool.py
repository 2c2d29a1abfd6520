"""Plain HTTP for machines without aria2c: one connection a file, several files at once, resumed like the others."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from conda_assets.errors import EngineFailed
from conda_assets.settings import Network
from conda_assets.transport import Job, Tiding
from conda_assets.transport.stream import Pace, Stream

if TYPE_CHECKING:
    from conda_assets.web.exchange import Web

__all__ = ["Pool"]

# Beyond what a cut connection needs to wake its thread up: a write to a slow disk must end by itself.
_STOP_S = 120.0


class Pool:
    """See `Transport`. Threads start with the first jobs. `limit_rate`: bytes per second in all; `files_at_once`: others wait."""

    def __init__(self, network: Network, *, limit_rate: int | None = None, files_at_once: int = 4) -> None:
        self._network, self._files = network, max(1, files_at_once)
        self._pace = Pace(limit_rate)
        self._web: Web | None = None
        self._queue: queue.SimpleQueue[Stream | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._streams: dict[str, Stream] = {}
        self._closed = False

    @property
    def name(self) -> str:
        """For people."""
        return "plain HTTP, one connection a file"

    def start(self, jobs: Sequence[Job]) -> None:
        """See `Transport`."""
        from conda_assets.web.exchange import Web  # requests: 50 ms that only those who use the network pay
        from conda_assets.web.wire import Wire

        if self._closed:
            raise EngineFailed("this transport is closed")
        if self._web is None:
            self._web = Web(self._network, connections=self._files)
        for job in jobs:
            self._streams[job.id] = stream = Stream(job, self._web, Wire(), self._pace)
            self._queue.put(stream)
        while len(self._threads) < min(self._files, len(self._streams)):
            thread = threading.Thread(target=self._work, name=f"pool-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def poll(self) -> list[Tiding]:
        """See `Transport`."""
        tidings = []
        for stream in list(self._streams.values()):
            over = stream.ended.is_set()
            tiding = stream.tiding()
            if over:
                del self._streams[stream.job.id]
                if stream.crash is not None:
                    raise stream.crash
            tidings.append(tiding)
        return tidings

    def stop(self, job_id: str) -> None:
        """See `Transport`."""
        stream = self._streams.pop(job_id, None)
        if stream is not None:
            stream.stop()
            self._await(stream)

    def limit(self, bytes_per_s: int | None) -> None:
        """See `Transport`."""
        self._pace.bytes_per_s = bytes_per_s

    def close(self) -> None:
        """See `Transport`."""
        self._closed = True
        streams, self._streams = list(self._streams.values()), {}
        for stream in streams:
            stream.stop()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(_STOP_S)
        self._threads.clear()
        if self._web is not None:
            self._web.close()
            self._web = None

    def _await(self, stream: Stream) -> None:
        # One that still waits for a thread has written nothing, and will not.
        if stream.started and not stream.ended.wait(_STOP_S):
            raise EngineFailed(f"a transfer does not end within {_STOP_S:.0f} s")

    def _work(self) -> None:
        while (stream := self._queue.get()) is not None:
            stream.run()
