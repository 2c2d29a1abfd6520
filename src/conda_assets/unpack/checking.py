"""Is what was unpacked still there? By a look at each file, or by reading all of them; and taking it away again."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

from conda_assets.errors import UnsafePath
from conda_assets.paths import Spot, hold, open_spot, refused
from conda_assets.records import dataclass
from conda_assets.unpack.carrying import Ours, discard
from conda_assets.unpack.flow import BLOCK_BYTES
from conda_assets.unpack.manifest import Manifest, Member

__all__ = ["LOOK_AT_MOST", "Damaged", "remove_unpacked", "stands", "verify_members"]

#: More files than this are not all looked at by `stands`: every second, third … one is.
LOOK_AT_MOST = 200_000
_BATCH = 1000
_STRIDE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Damaged:
    """A member that is not as it was unpacked. `cause`: a clause; `missing`: nothing stands there."""

    path: str
    cause: str
    missing: bool = False


def stands(manifest: Manifest, folder: Path) -> bool:
    """Whether the folder looks as it was unpacked: sizes and time stamps, at the cost of a stat a file; bytes are not read.

    Of more than 200,000 files as many are looked at, spread evenly. Files that are not in the manifest do not matter.
    """
    members = manifest.members
    step = -(-len(members) // LOOK_AT_MOST) or 1
    base = f"{folder}{os.sep}"
    try:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            return False
        for member in members[::step]:
            info = os.lstat(base + member.path)
            if (info.st_size, info.st_mtime_ns) != (member.size_bytes, member.modified_ns) or not stat.S_ISREG(info.st_mode):
                return False
    except OSError:
        return False
    return True


def verify_members(
    manifest: Manifest, folder: Path, *, progress: Callable[[int], None] = lambda done_bytes: None
) -> list[Damaged]:
    """Read every member and compare; those that are missing or other than they were, by path.

    All cores work. `progress` gets the bytes that are done, of `manifest.size_bytes`, in steps of 64 MiB or more, from
    any thread.
    """
    tally = _Tally(progress)
    members = manifest.members
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2, thread_name_prefix="verify") as workers:
        try:
            batches = (members[at : at + _BATCH] for at in range(0, len(members), _BATCH))
            found = [
                damaged
                for batch in batches
                for damaged in workers.map(lambda member: _look(folder, member, tally), batch)
                if damaged is not None
            ]
        except BaseException:
            workers.shutdown(cancel_futures=True)
            raise
    tally.tell()
    return found


def remove_unpacked(manifest: Manifest, folder: Path, *, within: Path, asset: str = "") -> list[str]:
    """Delete what was unpacked, and the folders that are empty then, up to `within`, which stays.

    Files that are not in the manifest, or were changed since, stay; their paths below `folder` are returned.

    Raises:
        UnsafePath: no folder stands there, or a link above it leads out of `within`.
        DiskRefused: the system refuses.
    """
    asset = asset or folder.name
    try:
        with open_spot(folder, within, asset, create=False) as spots, ExitStack() as stack:
            info = spots[-1].look(folder.name)
            if info is None:
                return []
            if not stat.S_ISDIR(info.st_mode):
                raise UnsafePath(asset, f"{folder} is not a folder: left as it is")
            spots[-1].unlock(folder.name)
            stay = discard(stack.enter_context(hold(spots[-1], folder.name)), Ours.of(manifest, None))
            with suppress(OSError):  # the first one that is not empty, or is in use
                for spot, name in ((spots[-1], folder.name), *((up, down.path.name) for up, down in _pairs_up(spots))):
                    os.rmdir(spot.at(name), dir_fd=spot.descriptor)
            return stay
    except FileNotFoundError:
        return []
    except OSError as error:
        raise refused(error, asset, folder) from error


class _Tally:
    """Bytes that several threads have done."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self._progress, self._lock = progress, threading.Lock()
        self._done_bytes = self._told_bytes = 0

    def add(self, count: int) -> None:
        with self._lock:
            self._done_bytes += count
            due = self._done_bytes - self._told_bytes >= _STRIDE_BYTES
            if due:
                self._told_bytes = self._done_bytes
        if due:
            self.tell()

    def tell(self) -> None:
        self._progress(self._done_bytes)


def _look(folder: Path, member: Member, tally: _Tally) -> Damaged | None:
    path = folder / member.path
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
        try:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                return Damaged(member.path, "it is not a file any more")
            if info.st_size != member.size_bytes:
                return Damaged(member.path, f"expected {member.size_bytes} bytes, got {info.st_size}")
            got = _digest(descriptor, tally)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        return Damaged(member.path, "it is missing", missing=True)
    except OSError as error:
        kind = "it is a link now" if error.errno == errno.ELOOP else f"it cannot be read: {error.strerror}"
        return Damaged(member.path, kind)
    return None if got == member.sha256 else Damaged(member.path, f"expected sha256 {member.sha256}, got {got}")


def _digest(descriptor: int, tally: _Tally) -> str:
    digest = hashlib.sha256(usedforsecurity=False)
    while block := os.read(descriptor, BLOCK_BYTES):
        digest.update(block)
        tally.add(len(block))
    return digest.hexdigest()


def _pairs_up(spots: tuple[Spot, ...]) -> list[tuple[Spot, Spot]]:
    """(folder, folder in it), from the innermost on."""
    return list(reversed(list(itertools.pairwise(spots))))
