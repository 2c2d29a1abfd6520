"""Files of this machine: copied by the kernel, as reflinks where the file system has them; and the choice of who moves what."""

from __future__ import annotations

import errno
import os
import queue
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

from conda_assets.errors import AssetFailed, AssetsError, EngineFailed, NetworkFailed, UpstreamChanged
from conda_assets.model import path_of_url
from conda_assets.transport import Job, Tiding, Transport
from conda_assets.transport.failures import of_disk

__all__ = ["ByScheme", "Copier"]

# Progress and a stop are looked at as often; a reflink of any size is one step's work.
_STEP_BYTES = 32 << 20
_BLOCK_BYTES = 1 << 20
_STOP_S = 120.0
# The kernel cannot do it between these two: older ones not across file systems, some file systems not at all.
_NO_KERNEL_COPY = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF, errno.ETXTBSY})


class _Copy:
    """One file on its way. The thread writes the counts, others read them."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.done_bytes = 0
        self.error: AssetsError | None = None
        self.stopping, self.ended = threading.Event(), threading.Event()
        self.started = False

    def run(self) -> None:
        self.started = True
        try:
            if not self.stopping.is_set():
                self._copy()
        except AssetsError as error:
            self.error = error
        finally:
            self.ended.set()

    def tiding(self) -> Tiding:
        over = self.ended.is_set()
        done, size = self.done_bytes, self.job.size_bytes
        return Tiding(
            id=self.job.id,
            done_bytes=done,
            size_bytes=size,
            front_bytes=done,
            fetched_bytes=done,
            bytes_per_s=0.0,
            connections=0 if over else 1,
            done=over and self.error is None,
            error=self.error,
            queued=not self.started,
        )

    def _copy(self) -> None:
        job, path = self.job, path_of_url(self.job.urls[0])
        try:
            source = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise AssetFailed(job.id, f"{path} cannot be read: {error.strerror}") from error
        try:
            before = os.fstat(source)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
            target = os.open(job.into, flags, 0o600)
            try:
                self._fill(source, target)
            finally:
                os.close(target)
            after = os.fstat(source)
        except OSError as error:
            raise of_disk(job, error) from error
        finally:
            os.close(source)
        if self.stopping.is_set():
            raise NetworkFailed(job.id, "stopped")
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or self.done_bytes != (
            job.size_bytes if job.size_bytes is not None else after.st_size
        ):
            raise UpstreamChanged(job.id, f"{path} was changed while it was copied")

    def _fill(self, source: int, target: int) -> None:
        by_kernel = hasattr(os, "copy_file_range")
        while not self.stopping.is_set():
            if by_kernel:
                try:
                    count = os.copy_file_range(source, target, _STEP_BYTES)
                except OSError as error:
                    if error.errno not in _NO_KERNEL_COPY:
                        raise
                    by_kernel = False
                    continue
                # Some file systems that make their content up have nothing for the kernel to copy.
                if not count and not self.done_bytes:
                    by_kernel = False
                    continue
            else:
                count = _write_all(target, os.read(source, _BLOCK_BYTES))
            if not count:
                return
            self.done_bytes += count


class Copier:
    """See `Transport`. `at_once`: copies under way together; more only make a disk seek."""

    def __init__(self, at_once: int = 2) -> None:
        self._at_once = at_once
        self._queue: queue.SimpleQueue[_Copy | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._copies: dict[str, _Copy] = {}

    @property
    def name(self) -> str:
        """For people."""
        return "copies"

    def start(self, jobs: Sequence[Job]) -> None:
        """See `Transport`."""
        for job in jobs:
            self._copies[job.id] = copy = _Copy(job)
            self._queue.put(copy)
        while len(self._threads) < min(self._at_once, len(self._copies)):
            thread = threading.Thread(target=self._work, name=f"copy-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def poll(self) -> list[Tiding]:
        """See `Transport`."""
        tidings = [copy.tiding() for copy in self._copies.values()]
        for tiding in tidings:
            if tiding.done or tiding.error is not None:
                del self._copies[tiding.id]
        return tidings

    def stop(self, job_id: str) -> None:
        """See `Transport`."""
        copy = self._copies.pop(job_id, None)
        if copy is not None:
            copy.stopping.set()
            if copy.started and not copy.ended.wait(_STOP_S):
                raise EngineFailed(f"a copy does not end within {_STOP_S:.0f} s")

    def limit(self, bytes_per_s: int | None) -> None:
        """Nothing: a limit is for the network."""

    def close(self) -> None:
        """See `Transport`."""
        copies, self._copies = self._copies, {}
        for copy in copies.values():
            copy.stopping.set()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(_STOP_S)
        self._threads.clear()

    def _work(self) -> None:
        while (copy := self._queue.get()) is not None:
            copy.run()


class ByScheme:
    """See `Transport`: files of this machine are copied, everything else is `network`'s."""

    def __init__(self, network: Transport) -> None:
        self._network, self._local = network, Copier()

    @property
    def name(self) -> str:
        """For people."""
        return self._network.name

    def start(self, jobs: Sequence[Job]) -> None:
        """See `Transport`."""
        here = [job for job in jobs if is_local(job)]
        if here:
            self._local.start(here)
        if there := [job for job in jobs if not is_local(job)]:
            self._network.start(there)

    def poll(self) -> list[Tiding]:
        """See `Transport`."""
        return [*self._local.poll(), *self._network.poll()]

    def stop(self, job_id: str) -> None:
        """See `Transport`."""
        self._local.stop(job_id)
        self._network.stop(job_id)

    def limit(self, bytes_per_s: int | None) -> None:
        """See `Transport`."""
        self._network.limit(bytes_per_s)

    def close(self) -> None:
        """See `Transport`."""
        self._local.close()
        self._network.close()


def is_local(job: Job) -> bool:
    """The job's bytes are on this machine."""
    return job.swarm is None and urlsplit(job.urls[0]).scheme.lower() == "file"


def _write_all(target: int, block: bytes) -> int:
    view = memoryview(block)
    while view:
        view = view[os.write(target, view) :]
    return len(block)
