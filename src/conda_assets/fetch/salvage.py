"""What a damaged file leaves: its good pieces are taken over, so that only the others have to come."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from conda_assets.digest import Pieces, hash_of
from conda_assets.fetch.want import Salvage
from conda_assets.transport import Job, pieces
from conda_assets.transport.live import pin_of
from conda_assets.transport.partial import Journal, Partial

__all__ = ["salve"]


def salve(salvage: Salvage, job: Job, stopping: Callable[[], bool]) -> int:
    """Put the good pieces where the job's transport goes on from them, and say how many bytes they are; runs in a worker.

    They are copied to `job.into`, or stay where they are when that is the damaged file itself. 0 where nothing can be used: then
    nothing is at `job.into`.
    """
    known, pin = salvage.known, pin_of(job)
    partial = Partial(job.into)
    try:
        if known is None or pin.size_bytes is None or not known.fits(pin.size_bytes):
            partial.discard()
            return 0
        good = list(_good(salvage.path, known, None if salvage.path == job.into else job.into, pin.size_bytes, stopping))
        if not good or len(good) == known.count:
            # All right, and yet not the file: whoever said how the pieces are was wrong.
            partial.discard()
            return 0
        bits = pieces.with_pieces(pieces.empty_bits(pin.size_bytes, known.size_bytes), good)
        partial.control.unlink(missing_ok=True)
        partial.write_journal(Journal(pin, known.size_bytes, bits))
    except OSError:
        with suppress(OSError):
            partial.discard()
        return 0
    return pieces.done_bytes(bits, pin.size_bytes, known.size_bytes)


def _good(path: Path, known: Pieces, into: Path | None, size_bytes: int, stopping: Callable[[], bool]) -> Iterator[int]:
    """Indexes of the pieces that are right, each written to `into`."""
    block = memoryview(bytearray(min(known.size_bytes, size_bytes)))
    with ExitStack() as files:
        file = files.enter_context(path.open("rb", buffering=0))
        copy = files.enter_context(_fresh(into)) if into else None
        for index, expected in enumerate(known.each()):
            if stopping():
                return
            start = index * known.size_bytes
            piece = block[: min(known.size_bytes, size_bytes - start)]
            if not _read(file, start, piece) or _digest(piece, known.algorithm) != expected:
                continue
            if copy is not None:
                copy.seek(start)
                copy.write(piece)
            yield index


def _fresh(path: Path) -> BinaryIO:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o600), "r+b")


def _read(file: FileIO, start: int, piece: memoryview) -> bool:
    """Fill the piece; False where the file ends before, or the disk cannot read it any more."""
    at = 0
    try:
        file.seek(start)
        while at < len(piece):
            count = file.readinto(piece[at:])
            if not count:
                return False
            at += count
    except OSError:
        return False
    return True


def _digest(piece: memoryview, algorithm: str) -> bytes:
    made = hash_of(algorithm)
    made.update(piece)
    return made.digest()
