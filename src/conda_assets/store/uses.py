"""Who uses a stored file, as far as the store itself knows: what live runs hold, and when each file was used last.

    runs/<run>              line by line behind the record, the sha256 of what the run holds
    used/ab/<sha256>        empty; its time stamp is the last use

Whoever wants a file that stands there writes both and looks again, under the lock under which a collector looks at both and
deletes. So a collector that began earlier sees the new time stamp, and one that begins later the hold.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from conda_assets.errors import StoreFailed
from conda_assets.locking import alone
from conda_assets.model import Stored
from conda_assets.store.ground import Ground
from conda_assets.store.run import Run, held_lines, is_run_name
from conda_assets.store.tree import Tree

__all__ = ["deciding", "hold", "last_use_ns", "live_holds", "mark_path", "mark_use"]

# Long, because many processes may want one file, and this machine may be slow.
_LOOKING_S = 60.0


@contextmanager
def deciding(run: Run, name: str, *, seconds: float) -> Iterator[bool]:
    """One decision at a time for this name (and the 1 in 256 that share its lock); False when that takes too long."""
    if not run.locks_work:
        yield True
        return
    folder = run.ground.folder(run.ground.tree.folder / "locks", sticky=False)
    path = folder / hashlib.sha256(name.encode()).hexdigest()[:2]
    with ExitStack() as stack:
        try:
            mine = stack.enter_context(alone(path, seconds=seconds, mode=run.ground.file_mode))
        except PermissionError:
            # Another user's, left without its mode by a kill: the names of the folders decide alone.
            mine = True
        yield mine


def hold(run: Run, sha256: str) -> Stored | None:
    """Keep collectors from a file until the run ends; None when there is none (any more).

    Raises:
        StoreFailed: a collector was stopped in the middle of looking at that file.
        OSError: the file system refuses.
    """
    with deciding(run, sha256, seconds=_LOOKING_S) as alone:
        if not alone:
            raise StoreFailed(f"another process keeps the lock of {sha256} in {run.ground.tree.folder} for over a minute")
        run.hold(sha256)
        mark_use(run.ground, sha256)
        return run.ground.tree.stored(sha256)


def mark_path(tree: Tree, sha256: str) -> Path:
    """Where the last use of a file is kept."""
    return tree.folder / "used" / sha256[:2] / sha256


def mark_use(ground: Ground, sha256: str) -> None:
    """The file is used now, by the file system's clock.

    Raises:
        OSError: the file system refuses.
    """
    path = mark_path(ground.tree, sha256)
    for _ in range(2):
        # Of another user, who was killed before it had its mode: its time is a little old.
        with suppress(PermissionError):
            try:
                os.utime(path, follow_symlinks=os.utime not in os.supports_follow_symlinks)
                return
            except FileNotFoundError:
                ground.folder(path.parent)
            with suppress(FileExistsError):
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, ground.file_mode)
                os.close(descriptor)
                path.chmod(ground.file_mode)
                return


def last_use_ns(tree: Tree, stored: Stored) -> int:
    """When the file was used last: by its mark; else when it came."""
    try:
        return mark_path(tree, stored.sha256).lstat().st_mtime_ns
    except OSError:
        return stored.modified_ns


def live_holds(run: Run) -> tuple[int, frozenset[str]]:
    """How many other runs may be alive, and what they hold."""
    count, held = 0, set[str]()
    now_ns = run.touch()
    for path in sorted(run.path.parent.iterdir()):
        if path.name == run.name or not is_run_name(path.name):
            continue
        try:
            if run.has_ended(path, now_ns):
                continue
            count += 1
            held |= held_lines(path)
        except FileNotFoundError:
            continue  # it ended meanwhile, with all that it did written down
        except PermissionError:
            count += 1  # it has only just begun: its file is open to others before it holds anything
    return count, frozenset(held)
