"""Copy a file and say what was copied: the digests are those of the bytes that arrived."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from conda_assets.digest import Digest, digest_file, hash_of
from conda_assets.events import Observer, Progressed

__all__ = ["Meter", "blocks_of", "copy_hashed", "write_hashed"]

_SAY_EVERY_S = 0.25
_BLOCK_BYTES = 1 << 20
# Source: linux/fs.h, _IOW(0x94, 9, int)
_FICLONE = 0x40049409


def copy_hashed(source: Path, target: Path, algorithms: frozenset[str]) -> tuple[dict[str, Digest], int]:
    """A new file with the bytes of `source`, cloned where the file system can; algorithm → digest, and bytes.

    Raises:
        OSError: one of the two cannot be opened or written, or `source` is no regular file.
    """
    with _opened(source) as origin, target.open("xb") as copy:
        if not _cloned(origin, copy):
            return write_hashed(blocks_of(origin), copy, algorithms)
        copy.flush()
    return digest_file(target, algorithms), target.stat().st_size


def write_hashed(blocks: Iterable[bytes], copy: BinaryIO, algorithms: frozenset[str]) -> tuple[dict[str, Digest], int]:
    """Write the blocks; algorithm → digest, and bytes."""
    hashes = {algorithm: hash_of(algorithm) for algorithm in algorithms}
    size_bytes = 0
    for block in blocks:
        view = memoryview(block)
        for each in hashes.values():
            each.update(view)
        copy.write(view)
        size_bytes += len(block)
    return {algorithm: Digest(algorithm, each.hexdigest()) for algorithm, each in hashes.items()}, size_bytes


def blocks_of(file: BinaryIO) -> Iterator[bytes]:
    """The rest of the file, in blocks of 1 MiB."""
    while block := file.read(_BLOCK_BYTES):
        yield block


class Meter:
    """Tells how far many files are that count as one, four times a second."""

    def __init__(self, name: str, size_bytes: int, watch: Observer) -> None:
        self._name, self._size_bytes, self._watch = name, size_bytes, watch
        self._done_bytes, self._said_at = 0, 0.0

    def skip(self, count: int) -> None:
        """So many bytes are there already."""
        self._done_bytes += count

    def measure(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The same blocks."""
        for block in blocks:
            yield block
            self._done_bytes += len(block)
            now = time.monotonic()
            if now - self._said_at >= _SAY_EVERY_S or self._done_bytes == self._size_bytes:
                self._said_at = now
                self._watch(Progressed(self._name, self._done_bytes, self._size_bytes, 0.0, 0, self._done_bytes))


def _opened(path: Path) -> BinaryIO:
    # A pipe of that name would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is no regular file")
    return os.fdopen(descriptor, "rb")


def _cloned(origin: BinaryIO, copy: BinaryIO) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(copy.fileno(), _FICLONE, origin.fileno())
    except OSError:  # another file system, or one that knows no such thing
        return False
    return True
