"""One file over one connection, written from the front; what a thread of the pool does."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from conda_assets.errors import AssetFailed, AssetsError, NetworkFailed, NoSource, NotTheFile, UpstreamChanged
from conda_assets.model import Fresh
from conda_assets.records import dataclass, field
from conda_assets.regexes import regex
from conda_assets.transport import Job, Tiding, pieces
from conda_assets.transport.failures import of_disk
from conda_assets.transport.lead import Lead
from conda_assets.transport.live import pin_of
from conda_assets.transport.partial import Journal, Partial
from conda_assets.web.failures import is_page, is_recoded, of_status, retry_after_s

if TYPE_CHECKING:
    from conda_assets.web.exchange import Exchange, Web
    from conda_assets.web.wire import Wire

__all__ = ["Pace", "Stream"]

_PIECE_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 18
_JOURNAL_S = 0.25
# Fewer bytes in such a time, and the server counts as dead.
_WINDOW_S, _WINDOW_BYTES = 10.0, 10 * 1024
# A cut that has brought less is not gone on from at once: a server that gives ten bytes a request would be asked for ever.
_WORTH_BYTES = 64 * 1024
_CONTENT_RANGE = regex(r"bytes\s+(\d+)-\d+/(\d+|\*)")


class Pace:
    """A limit that several threads share. `bytes_per_s`: None for none."""

    def __init__(self, bytes_per_s: int | None) -> None:
        self.bytes_per_s, self._free_at, self._lock = bytes_per_s, 0.0, threading.Lock()

    def wait(self, count: int, stopping: threading.Event) -> None:
        """Return when that many bytes may have come, or at once when it is time to stop."""
        if not self.bytes_per_s:
            return
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + count / self.bytes_per_s
            left = self._free_at - time.monotonic()
        stopping.wait(max(0.0, left))


class _Stopped(Exception):
    """The driver wants this transfer to end."""


@dataclass(eq=False)
class Stream:
    """A transfer. One thread runs it, another one reads what is known of it and may stop it."""

    job: Job
    web: Web
    wire: Wire
    pace: Pace
    stopping: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    started: bool = False
    done: bool = False
    error: AssetsError | None = None
    crash: BaseException | None = None
    _at: int = 0
    _bits: bytes = b""
    _piece_bytes: int = 0
    _fetched: int = 0
    _active: bool = False
    _speed: tuple[float, int] = (0.0, 0)
    _trouble: OSError | None = None
    _keeping: threading.Lock = field(default_factory=threading.Lock)
    _bytes_per_s: float = 0.0

    def run(self) -> None:
        """Bring the file; how it went stands in `done`, `error` and `crash`."""
        self.started = True
        try:
            if not self.stopping.is_set():
                self._bring()
                self.done = True
        except _Stopped:
            pass
        except AssetsError as error:
            # A connection that we cut ourselves fails like any other.
            self.error = None if self.stopping.is_set() else error
        except OSError as error:
            self.error = of_disk(self.job, error)
        except BaseException as error:  # noqa: BLE001 - a thread's last line: the driver raises it
            self.crash = error
        finally:
            self._active = False
            self.ended.set()

    def stop(self) -> None:
        """Ask it to end; `ended` says when nobody writes the file any more."""
        self.stopping.set()
        self.wire.cut()

    def tiding(self) -> Tiding:
        """What is known now."""
        now, (then, before) = time.monotonic(), self._speed
        if now - then >= 1.0:
            self._bytes_per_s = (self._fetched - before) / (now - then) if then else 0.0
            self._speed = now, self._fetched
        over = self.ended.is_set()
        return Tiding(
            id=self.job.id,
            done_bytes=self._there(),
            size_bytes=self.job.size_bytes,
            front_bytes=self._at,
            fetched_bytes=self._fetched,
            bytes_per_s=0.0 if over else self._bytes_per_s,
            connections=int(self._active),
            done=self.done,
            error=self.error,
            queued=not self.started,
        )

    def _bring(self) -> None:
        job = self.job
        partial, pin = Partial(job.into), pin_of(job)
        left = partial.resume(pin)
        self._at = left.front_bytes if left else 0
        if left is not None and left.complete:
            return
        if left is not None:
            self._piece_bytes, self._bits = left.piece_bytes, left.bits
        descriptor = os.open(job.into, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            # From here on aria2's control file would speak of another file.
            self._keep(partial, file.fileno())
            partial.control.unlink(missing_ok=True)
            try:
                if job.size_bytes != 0:
                    with self._kept(partial, file.fileno()):
                        self._from_any(file.fileno())
                os.ftruncate(file.fileno(), self._at)
            finally:
                if self._trouble is None:
                    self._keep(partial, file.fileno())
                else:
                    # Which of its bytes the disk has lost it does not say.
                    partial.discard()

    def _from_any(self, descriptor: int) -> None:
        """From the first URL that serves.

        Raises:
            AssetsError: of all of them, one that is worth another try before the others.
        """
        errors: list[AssetsError] = []
        for url in self.job.urls:
            try:
                return self._from(url, descriptor)
            except AssetFailed as error:
                if self.stopping.is_set():
                    raise _Stopped from error
                errors.append(error)
        raise next((error for error in errors if error.retryable), errors[0])

    def _from(self, url: str, descriptor: int) -> None:
        scheme = urlsplit(url).scheme.lower()
        if self.job.in_swarm_alone or (scheme not in ("http", "https") and url not in self.job.fresh):
            what = "a torrent" if self.job.in_swarm_alone else f"`{scheme}:`"
            raise NoSource(self.job.id, f"{what} needs aria2c, and there is none", "`conda install -c conda-forge aria2`")
        lead = Lead(self.job.fresh.get(url, lambda: Fresh(url)))
        while True:
            before = self._at
            try:
                self._once(lead, descriptor)
                self._skip()
                if not self._bits or self._at == self.job.size_bytes:
                    return
            except NetworkFailed:
                # A cut or a silence that has brought something is gone on from at once, where it ended and not a piece before.
                if not self.job.resumable or self._at < before + _WORTH_BYTES or self.stopping.is_set():
                    raise
                self._skip()

    def _once(self, lead: Lead, descriptor: int) -> None:
        job = self.job
        headers = self._range() if self._at or self._bits else {}

        def send(fresh: Fresh) -> Exchange:
            return self.web.get(job.id, fresh.url, headers, secret=dict(fresh.headers), wire=self.wire)

        with lead.through(send) as answer:
            if answer.status == 416 and headers:
                # Either the file shrank, or the server refuses ranges: from the start it says which.
                self._start_over()
                return self._once(lead, descriptor)
            expected = self._check(answer)
            if not self._bits:
                os.ftruncate(descriptor, self._at)
            self._active = True
            self._write(answer, descriptor)
        if expected is not None and self._at != expected:
            raise NetworkFailed(job.id, f"{answer.shown} ended after {self._at} of {expected} bytes", cut=True)
        return None

    def _range(self) -> dict[str, str]:
        end = self._gap_end()
        headers = {"Range": f"bytes={self._at}-{'' if end is None else end - 1}"}
        # A mirror has validators of its own.
        condition = (self.job.etag or self.job.modified) if len(self.job.urls) == 1 else None
        return {**headers, "If-Range": condition} if condition else headers

    def _check(self, answer: Exchange) -> int | None:
        """The size that the file will have, after a look at what the answer says of itself; None where it does not say."""
        job, shown, headers = self.job, answer.shown, answer.headers
        if answer.status not in (200, 206):
            raise of_status(job.id, answer.status, shown, retry_after_s(headers.get("Retry-After")))
        if is_recoded(answer.url, headers.get("Content-Encoding")):
            raise NotTheFile(job.id, f"{shown} sends the file compressed ({headers.get('Content-Encoding')})")
        if not job.checked and job.page is False and is_page(headers.get("Content-Type")):
            raise UpstreamChanged(job.id, f"{shown} sends a page in place of the file")
        if len(job.urls) == 1 and _differs(job, headers):
            raise UpstreamChanged(job.id, f"{shown} has another version of the file now")
        total: int | None = None
        if answer.status == 206:
            match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
            if match is None or int(match[1]) != self._at:
                raise NetworkFailed(job.id, f"{shown} sends another part of the file than it was asked for")
            total = None if match[2] == "*" else int(match[2])
        else:
            self._start_over()
            if headers.get("Content-Length", "").isdigit() and "Transfer-Encoding" not in headers:
                total = int(headers["Content-Length"])
        if total is not None and job.size_bytes is not None and total != job.size_bytes:
            raise UpstreamChanged(job.id, f"{shown} announces {total} bytes now, it were {job.size_bytes}")
        if answer.status == 206 and (end := self._gap_end()) is not None:
            return end
        return job.size_bytes if job.size_bytes is not None else total

    def _there(self) -> int:
        """Bytes that are there: all in front, and pieces behind."""
        size_bytes = self.job.size_bytes
        if not self._bits or size_bytes is None:
            return self._at
        behind = pieces.without_spans(self._bits, [(0, self._at)], self._piece_bytes)
        return self._at + pieces.done_bytes(behind, size_bytes, self._piece_bytes)

    def _gap_end(self) -> int | None:
        """Where the first piece begins that is there already, behind what is missing now; None where all the rest is missing."""
        size_bytes = self.job.size_bytes
        if not self._bits or size_bytes is None:
            return None
        count = pieces.count_pieces(size_bytes, self._piece_bytes)
        first = self._at // self._piece_bytes
        end = next((index for index in range(first, count) if pieces.has_piece(self._bits, index)), None)
        return None if end is None else end * self._piece_bytes

    def _skip(self) -> None:
        """Go on to the next piece that is missing."""
        size_bytes = self.job.size_bytes or 0
        while self._bits and self._at < size_bytes and pieces.has_piece(self._bits, self._at // self._piece_bytes):
            self._at = min((self._at // self._piece_bytes + 1) * self._piece_bytes, size_bytes)

    def _write(self, answer: Exchange, descriptor: int) -> None:
        window_at, window_bytes = time.monotonic(), 0
        for block in answer.blocks(_BLOCK_BYTES):
            if self.stopping.is_set():
                raise _Stopped
            if self.job.size_bytes is not None and self._at + len(block) > self.job.size_bytes:
                raise UpstreamChanged(self.job.id, f"{answer.shown} sends more than {self.job.size_bytes} bytes")
            view = memoryview(block)
            while view:
                written = os.pwrite(descriptor, view, self._at)
                self._at, view = self._at + written, view[written:]
            self._fetched += len(block)
            window_bytes += len(block)
            self._look_at_disk()
            now = time.monotonic()
            if now - window_at >= _WINDOW_S:
                if window_bytes < _WINDOW_BYTES and not self.pace.bytes_per_s:
                    raise NetworkFailed(self.job.id, f"{answer.shown}: slower than 1 kB/s")
                window_at, window_bytes = now, 0
            self.pace.wait(len(block), self.stopping)

    @contextmanager
    def _kept(self, partial: Partial, descriptor: int) -> Iterator[None]:
        """Keep the journal meanwhile, in a thread of its own: a disk takes its time, and the server would wait for it."""
        over = threading.Event()

        def keep() -> None:
            try:
                while not over.wait(_JOURNAL_S):
                    self._keep(partial, descriptor)
            except OSError as error:
                # A disk tells it once, so nobody else will be told.
                self._trouble = error

        keeper = threading.Thread(target=keep, name="journal", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()
            self._look_at_disk()

    def _keep(self, partial: Partial, descriptor: int) -> None:
        """Write the journal, the data before it: it is then true even after a power cut."""
        pin = pin_of(self.job)
        if pin.size_bytes is None or pin.size_bytes == 0:
            return
        with self._keeping:
            at, bits, length = self._at, self._bits, self._piece_bytes if self._bits else _PIECE_BYTES
            os.fsync(descriptor)
            count = pieces.count_pieces(at, length) if at == pin.size_bytes else at // length
            bits = pieces.with_pieces(bits or pieces.empty_bits(pin.size_bytes, length), range(count))
            partial.write_journal(Journal(pin, length, bits, synced=True))

    def _look_at_disk(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def _start_over(self) -> None:
        """Nothing of the file is there any more; not while the journal says otherwise."""
        with self._keeping:
            self._at, self._bits = 0, b""


def _differs(job: Job, headers: Mapping[str, str]) -> bool:
    """The answer is about another version than the one that was probed, as far as both say."""
    etag = headers.get("ETag", "")
    if job.etag and etag.startswith('"'):
        return etag != job.etag
    modified = headers.get("Last-Modified")
    return bool(not job.etag and job.modified and modified and modified != job.modified)
