"""One transfer that aria2 has: what it says of it, and what we keep of that on the disk."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from conda_assets.errors import AssetsError
from conda_assets.model import without_user
from conda_assets.records import dataclass, field
from conda_assets.transport import Job, Tiding, pieces
from conda_assets.transport.partial import Journal, Partial, Pin

if TYPE_CHECKING:
    from conda_assets.transport.broker import Route

__all__ = ["KEYS", "Live", "Row", "pin_of", "read_rows"]

#: What is asked for; all keys would cost ten times as much.
KEYS = (
    "gid",
    "status",
    "totalLength",
    "completedLength",
    "downloadSpeed",
    "connections",
    "pieceLength",
    "bitfield",
    "errorCode",
    "errorMessage",
)
# A journal is 200 bytes and a rename; often enough to lose little, seldom enough to cost nothing.
_JOURNAL_S = 0.2
# One piece: it is there or not, and a thousand of them need no journals.
_SMALL_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """What aria2 says of one transfer. `status`: active, waiting, paused, error, complete or removed; counts in bytes."""

    gid: str
    status: str
    size_bytes: int
    done_bytes: int
    bytes_per_s: float
    connections: int
    piece_bytes: int
    bits: bytes
    code: int
    said: str


def read_rows(result: object) -> list[Row]:
    """The rows of a tellActive or tellStopped; what is not a row is left out."""
    return [_row(each) for each in result if isinstance(each, Mapping)] if isinstance(result, list) else []


def _row(said: Mapping[str, object]) -> Row:
    def number(key: str) -> int:
        return int(str(said.get(key) or 0))

    return Row(
        gid=str(said.get("gid", "")),
        status=str(said.get("status", "")),
        size_bytes=number("totalLength"),
        done_bytes=number("completedLength"),
        bytes_per_s=float(number("downloadSpeed")),
        connections=number("connections"),
        piece_bytes=number("pieceLength"),
        bits=bytes.fromhex(str(said.get("bitfield") or "")),
        code=number("errorCode"),
        said=str(said.get("errorMessage") or ""),
    )


def pin_of(job: Job) -> Pin:
    """What makes the file of this job the same file; none for one that cannot be resumed, or is not worth it."""
    worth = job.resumable and job.size_bytes is not None and job.size_bytes > _SMALL_BYTES
    return Pin(job.size_bytes if worth else None, job.etag, job.modified)


@dataclass(eq=False, slots=True)
class Live:
    """A job that aria2 has. `before_bytes`: what an earlier run left; `plain`: asked without pipelining.

    `routes`: what stands in for some of the job's URLs. `said_bytes`: how much aria2c had said before it got the job.
    `metadata`: what comes is a magnet link's torrent, not yet the file.
    """

    job: Job
    gid: str
    partial: Partial
    before_bytes: int
    plain: bool
    routes: Mapping[str, Route] = field(default_factory=dict)
    said_bytes: int = 0
    metadata: bool = False
    row: Row | None = None
    moved_at: float = field(default_factory=time.monotonic)
    _kept_bits: bytes = b""
    _kept_at: float = 0.0

    @property
    def urls(self) -> tuple[str, ...]:
        """What aria2 asks."""
        return tuple(self.routes[url].url if url in self.routes else without_user(url) for url in self.job.urls)

    @property
    def blind(self) -> bool:
        """No digest will tell whether the bytes are right."""
        return not self.job.checked and self.job.swarm is None

    def hear(self, row: Row) -> bool:
        """Take in what aria2 says, and whether it moved; remembers when the last byte came, and keeps the journal."""
        now = time.monotonic()
        moved = self.row is None or self.row.status != row.status or row.done_bytes != self.row.done_bytes
        if moved:
            self.moved_at = now
        self.row = row
        if row.bits != self._kept_bits and now - self._kept_at >= _JOURNAL_S:
            self.keep()
        return moved

    def keep(self, *, complete: bool = False) -> None:
        """Write the journal. `complete`: aria2 has the whole file on the disk."""
        pin, row = pin_of(self.job), self.row
        if pin.size_bytes is None or row is None or not row.piece_bytes:
            return
        bits = row.bits
        if complete:
            count = pieces.count_pieces(pin.size_bytes, row.piece_bytes)
            bits = pieces.with_pieces(pieces.empty_bits(pin.size_bytes, row.piece_bytes), range(count))
        if not pieces.is_sound(bits, pin.size_bytes, row.piece_bytes):
            return
        self._kept_at = time.monotonic()
        if self.partial.write_journal(Journal(pin, row.piece_bytes, bits, synced=complete)):
            self._kept_bits = bits

    def tiding(self, *, done: bool = False, error: AssetsError | None = None) -> Tiding:
        """What is known now."""
        row, size_bytes = self.row, self.job.size_bytes
        if row is None:
            return Tiding(self.job.id, self.before_bytes, size_bytes, 0, 0, 0.0, 0, done, error, queued=not (done or error))
        front = 0
        # What a torrent brings is elsewhere until it is whole, and its pieces are those of all its files.
        if self.job.swarm:
            done_bytes = size_bytes if done and size_bytes else min(row.done_bytes, size_bytes or row.done_bytes)
            return Tiding(
                id=self.job.id,
                done_bytes=done_bytes,
                size_bytes=size_bytes,
                front_bytes=done_bytes if done else 0,
                fetched_bytes=done_bytes,
                bytes_per_s=0.0 if done or error else row.bytes_per_s,
                connections=0 if done or error else row.connections,
                done=done,
                error=error,
            )
        if size_bytes and row.piece_bytes and pieces.is_sound(row.bits, size_bytes, row.piece_bytes):
            front = pieces.front_bytes(row.bits, size_bytes, row.piece_bytes)
        return Tiding(
            id=self.job.id,
            done_bytes=row.done_bytes,
            size_bytes=size_bytes or row.size_bytes or None,
            front_bytes=row.done_bytes if done else front,
            fetched_bytes=max(0, row.done_bytes - self.before_bytes),
            bytes_per_s=0.0 if done or error else row.bytes_per_s,
            connections=0 if done or error else row.connections,
            done=done,
            error=error,
            bits=row.bits,
            piece_bytes=row.piece_bytes,
        )
