"""Writing members into a fresh folder of ours: whole, hashed on the way, read-only unless the user wants them for himself."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from functools import cache

from conda_assets.paths import Spot
from conda_assets.records import replace
from conda_assets.unpack.entry import Entry, Sort, sane_time
from conda_assets.unpack.flow import BLOCK_BYTES
from conda_assets.unpack.limits import Meter
from conda_assets.unpack.manifest import Member
from conda_assets.unpack.refusal import Refused, shown

__all__ = ["Tree", "sync_folder"]

_BINARY = getattr(os, "O_BINARY", 0)
_FRESH = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | _BINARY
_MODE, _PROGRAM, _WRITABLE = 0o444, 0o111, 0o200


class Tree:
    """A folder that only we know of, so that names below it need no guard of their own."""

    def __init__(self, root: Spot, meter: Meter, *, writable: bool = False) -> None:
        self._root, self._meter, self._writable = root, meter, writable
        self._folders = {""}

    def folder(self, path: str) -> None:
        """Make a folder and those above it; fine if it was made before.

        Raises:
            OSError: the file system refuses.
        """
        if path in self._folders:
            return
        self.folder(path.rpartition("/")[0])
        os.mkdir(self._root.at(path), dir_fd=self._root.descriptor)
        self._folders.add(path)

    def write(self, path: str, entry: Entry) -> Member:
        """Write a file.

        Raises:
            Refused: it is not as long as announced, or its reader refuses.
            DiskFull: the disk is down to its reserve.
            OSError: the file system refuses.
        """
        if entry.size_bytes is not None:
            self._meter.announced(entry.size_bytes)
        self.folder(path.rpartition("/")[0])
        descriptor = os.open(self._root.at(path), _FRESH, 0o600, dir_fd=self._root.descriptor)
        try:
            sha256, size_bytes = self._pour(descriptor, entry)
            modified_ns = self._finish(descriptor, entry)
        finally:
            os.close(descriptor)
        if modified_ns is None:
            modified_ns = self._finish_by_name(path, entry)
        if entry.size_bytes is not None and size_bytes != entry.size_bytes:
            raise Refused(f"its member {shown(path)} has {size_bytes} bytes, {entry.size_bytes} were announced")
        return Member(path, size_bytes, modified_ns, sha256, entry.executable)

    def copy(self, path: str, source: Member) -> Member:
        """Give a file that was written another name; its bytes are shared if nobody may change them and the file system can.

        Raises:
            Refused, DiskFull, OSError: as `write`.
        """
        # Shared bytes cost nothing, but are hashed for each name.
        self._meter.came(source.size_bytes)
        self.folder(path.rpartition("/")[0])
        if not self._writable and self._link(source.path, path):
            return replace(source, path=path)
        blocks = self._read(source)
        entry = Entry(path, Sort.FILE, source.size_bytes, source.modified_ns, source.executable, blocks=blocks)
        return self.write(path, entry)

    def sync(self) -> None:
        """Have everything on the disk, before it gets its name.

        Raises:
            OSError: the disk refuses.
        """
        if not hasattr(os, "O_DIRECTORY"):
            return
        sync = _syncfs()
        for path in [""] if sync else sorted(self._folders):
            sync_folder(self._root, path or ".", sync or os.fsync)

    def _link(self, path: str, name: str) -> bool:
        root = self._root
        try:
            os.link(root.at(path), root.at(name), src_dir_fd=root.descriptor, dst_dir_fd=root.descriptor)
        except FileExistsError:
            raise
        except OSError:  # no hard links here, or too many of one file
            return False
        return True

    def _pour(self, descriptor: int, entry: Entry) -> tuple[str, int]:
        digest, size_bytes = hashlib.sha256(usedforsecurity=False), 0
        for block in entry.blocks:
            digest.update(block)
            view = memoryview(block)
            while view:
                view = view[os.write(descriptor, view) :]
            size_bytes += len(block)
            self._meter.wrote(len(block))
        return digest.hexdigest(), size_bytes

    def _finish(self, descriptor: int, entry: Entry) -> int | None:
        """Mode and time stamp; returns the latter as the file system keeps it, None where an open file takes neither."""
        if _syncfs() is None:
            os.fsync(descriptor)
        if os.utime not in os.supports_fd or os.chmod not in os.supports_fd:
            return None
        time_ns = sane_time(entry.modified_ns)
        os.utime(descriptor, ns=(time_ns, time_ns))
        os.chmod(descriptor, self._mode(entry))
        return os.fstat(descriptor).st_mtime_ns

    def _finish_by_name(self, path: str, entry: Entry) -> int:
        """As `_finish`, for Windows; the mode last: a read-only file takes no time stamp there."""
        file, time_ns = self._root.path / path, sane_time(entry.modified_ns)
        os.utime(file, ns=(time_ns, time_ns))
        file.chmod(self._mode(entry))
        return file.stat().st_mtime_ns

    def _mode(self, entry: Entry) -> int:
        return _MODE | (_PROGRAM if entry.executable else 0) | (_WRITABLE if self._writable else 0)

    def _read(self, source: Member) -> Iterator[bytes]:
        descriptor = os.open(self._root.at(source.path), os.O_RDONLY | _BINARY, dir_fd=self._root.descriptor)
        with os.fdopen(descriptor, "rb", buffering=0) as reader:
            while block := reader.read(BLOCK_BYTES):
                yield block


def sync_folder(above: Spot, name: str, sync: Callable[[int], None] = os.fsync) -> None:
    """Have the names in a folder on the disk, where folders can be synced.

    Raises:
        OSError: the disk refuses.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(above.at(name), os.O_RDONLY | os.O_DIRECTORY, dir_fd=above.descriptor)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


@cache
def _syncfs() -> Callable[[int], None] | None:
    """Linux's call that syncs one whole file system: one wait instead of one for each of 15,000 small files; None elsewhere."""
    import ctypes

    try:
        call = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, TypeError, AttributeError):
        return None

    def sync(descriptor: int) -> None:
        if call(descriptor):
            number = ctypes.get_errno()
            if number not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
                raise OSError(number, os.strerror(number))
            os.sync()

    return sync
