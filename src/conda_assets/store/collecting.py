"""Taking files out of a store folder, beside runs that use it; and what kills and failures have left there.

A collector is a run too. It notes the time (`since_ns`), then looks who holds what, and only then may anybody be asked what
environments use: whatever is used from then on carries a later mark, and is looked at again under the file's lock before it goes.
A kill leaves a file there or gone, and at most a mark without a file.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from conda_assets.errors import StoreFailed
from conda_assets.model import Stored
from conda_assets.records import dataclass
from conda_assets.store.claim import take
from conda_assets.store.ground import break_ground
from conda_assets.store.refusal import refusals
from conda_assets.store.run import Run, begin_run
from conda_assets.store.staging import leaves
from conda_assets.store.sums import sums_path
from conda_assets.store.tree import Tree
from conda_assets.store.uses import deciding, last_use_ns, live_holds, mark_path

__all__ = ["Collector", "Leftover", "open_collector"]

_DECIDING_S = 5.0
# While anybody is at work, what came or was used in the last minutes stays: someone may be about to ask for it.
_FRESH_NS = 600 * 10**9
# Names that lead nowhere may be those of a file that is just arriving.
_NAMES_NS = 86400 * 10**9


@dataclass(frozen=True, slots=True)
class Leftover:
    """What nobody finished: `kind` is `partial` or `quarantine`. `disk_bytes`: what it takes on the disk."""

    kind: str
    path: Path
    size_bytes: int
    disk_bytes: int
    modified_ns: int


class Collector:
    """The right to take files out of one store folder; `close` it.

    `since_ns`: when it began, by the file system's clock. `held`: what other runs need. `busy`: how many there may be.
    """

    def __init__(self, run: Run) -> None:
        self._run, self._tree = run, run.ground.tree
        self.since_ns = _tick(run)
        self.busy, self.held = live_holds(run)
        if self.busy and not run.locks_work:
            raise StoreFailed(
                f"no locks work on the file system of {self._tree.folder}, and {self.busy} other runs may be using the store"
            )
        self._floor_ns = self.since_ns - (_FRESH_NS if self.busy else 0)

    @property
    def tree(self) -> Tree:
        """The folder."""
        return self._tree

    def close(self) -> None:
        """End the run."""
        self._run.end()

    def is_free(self, stored: Stored) -> bool:
        """No run holds the file or has used it just now, and it has no other name."""
        if stored.sha256 in self.held or last_use_ns(self._tree, stored.sha256) >= self._floor_ns:
            return False
        try:
            return stored.path.lstat().st_nlink == 1
        except FileNotFoundError:
            return False

    def may_remove(self, stored: Stored) -> bool:
        """The system lets us, as far as that can be told.

        Raises:
            FileNotFoundError: it has gone meanwhile.
        """
        folder = stored.path.parent.stat()
        if not os.access(stored.path.parent, os.W_OK):
            return False
        us = os.geteuid() if hasattr(os, "geteuid") else 0
        return not folder.st_mode & stat.S_ISVTX or us in (0, folder.st_uid, stored.path.lstat().st_uid)

    def remove(self, stored: Stored) -> bool:
        """Delete a file unless somebody has come to use it; False then.

        Raises:
            StoreFailed: the system refuses.
        """
        with (
            refusals(self._tree.folder, f"delete {stored.sha256} from"),
            deciding(self._run, stored.sha256, seconds=_DECIDING_S) as alone,
        ):
            if not alone or not self.is_free(stored):
                return False
            if os.name == "nt":
                stored.path.chmod(0o600)
            stored.path.unlink(missing_ok=True)
            for path in (mark_path(self._tree, stored.sha256), sums_path(self._tree, stored.sha256)):
                with suppress(OSError):
                    path.unlink()
            return True

    def leftovers(self, older_than_s: float) -> Iterator[Leftover]:
        """Partial files that nobody has touched for so long, and what failed verification that long ago; ours alone."""
        last_ns = self.since_ns - int(older_than_s * 1e9)
        staging = self._tree.folder / "staging"
        for hall in sorted(staging.iterdir()) if staging.is_dir() else ():
            with suppress(OSError):  # another user's, or gone meanwhile
                found = [_measured("partial", leaf) for leaf in leaves(hall)]
                newest = max((each.modified_ns for each in found), default=0)
                if found and newest < last_ns:
                    size, disk = sum(each.size_bytes for each in found), sum(each.disk_bytes for each in found)
                    yield Leftover("partial", hall, size, disk, newest)
        aside = self._tree.folder / "quarantine"
        for path in sorted(aside.iterdir()) if aside.is_dir() else ():
            with suppress(OSError):
                left = _measured("quarantine", path)
                # A rename keeps the time stamp of the bytes; the inode's own tells when it was moved here.
                if path.lstat().st_ctime_ns < last_ns:
                    yield left

    def clear(self, left: Leftover) -> bool:
        """Delete it; False when somebody goes on with it, or it is another user's."""
        try:
            if left.kind == "quarantine":
                left.path.unlink(missing_ok=True)
                return True
            claim = take(self._run, left.path.name, lambda: None)
            if claim is None:
                return False
            with claim:
                claim.discard()
            return not left.path.exists()
        except (OSError, StoreFailed):
            return False

    def clear_names(self) -> int:
        """Delete what leads to files that are gone: aliases, URLs, marks; how many."""
        count = 0
        last_ns = self.since_ns - _NAMES_NS
        for path, sha256 in self._tree.names():
            with suppress(OSError):
                if path.lstat().st_mtime_ns < last_ns and not self._tree.object(sha256).exists():
                    path.unlink()
                    count += 1
        return count


def open_collector(tree: Tree) -> Collector | None:
    """The right to collect in a store folder; None where there is no store, or this user may not write it.

    Raises:
        StoreFailed: a newer layout; or nothing tells whether others are at work in it.
    """
    if not tree.check_version() or not os.access(tree.folder, os.W_OK):
        return None
    try:
        run = begin_run(break_ground(tree))
    except OSError:
        return None
    try:
        with refusals(tree.folder, "look into"):
            run.clear_others()
            return Collector(run)
    except BaseException:
        run.end()
        raise


def _tick(run: Run) -> int:
    """A time that no mark has which is there already: clocks of file systems stand still for some milliseconds."""
    before = run.touch()
    while (now := run.touch()) == before:
        time.sleep(0.001)
    return now


def _measured(kind: str, path: Path) -> Leftover:
    info = path.lstat()
    size_bytes, disk_bytes, newest = 0, 0, info.st_mtime_ns
    for each in path.iterdir() if stat.S_ISDIR(info.st_mode) else (path,):
        part = each.lstat()
        size_bytes += part.st_size
        disk_bytes += getattr(part, "st_blocks", -(-part.st_size // 512)) * 512
        newest = max(newest, part.st_mtime_ns)
    return Leftover(kind, path, size_bytes, disk_bytes, newest)
