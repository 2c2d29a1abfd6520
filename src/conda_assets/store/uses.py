"""Who uses a stored file, as far as the store itself knows: what live runs hold, and when each file was used last.

    runs/<run>              line by line behind the record, the sha256 of what the run holds
    used/ab/<sha256>        empty; its time stamp is the last use, where that is not when the file came

Whoever wants a file that stands there writes both and looks again, under the lock under which a collector looks at both and
deletes. So a collector that began earlier sees the new time stamp, and one that begins later the hold.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from conda_assets.errors import StoreFailed
from conda_assets.locking import alone
from conda_assets.model import Stored
from conda_assets.store.ground import Ground
from conda_assets.store.run import Run, brought_lines, held_lines, is_run_name, probe
from conda_assets.store.staging import BATCH, is_taken
from conda_assets.store.tree import Tree

__all__ = ["bring", "deciding", "hold", "last_use_ns", "live_holds", "mark_path", "mark_use", "who_brings"]

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


def last_use_ns(tree: Tree, sha256: str) -> int:
    """When the file was used last: by its mark, or when it came, if that is later. A mark may outlive its file."""
    times = [0]
    for path in (mark_path(tree, sha256), tree.object(sha256)):
        with suppress(OSError):
            times.append(path.lstat().st_mtime_ns)
    return max(times)


def bring(run: Run, names: Sequence[str]) -> frozenset[str]:
    """Say that this run brings small files, by the names of their keys, but for those that others are bringing, which it says.

    Raises:
        StoreFailed: nobody lets us look for a minute.
        OSError: the file system refuses.
    """
    with deciding(run, "small files", seconds=_LOOKING_S) as alone:
        if not alone:
            raise StoreFailed(f"another process keeps the lock of small files in {run.ground.tree.folder} for over a minute")
        others = set().union(*(brought for _, brought in _lines_of_others(run, brought_lines)))
        staging = run.ground.tree.folder / "staging"
        claimed = {name for name in _names_in(staging) if not name.startswith(BATCH)}.intersection(names)
        others |= {name for name in claimed if is_taken(run, staging / name)}
        if mine := [name for name in names if name not in others]:
            run.bring(mine)
    return frozenset(others.intersection(names))


def who_brings(run: Run, name: str) -> str:
    """Who is bringing that small file, for people."""
    with suppress(OSError):
        for other, brought in _lines_of_others(run, brought_lines):
            if name in brought:
                _, who = probe(run.path.with_name(other))
                return str(who or "another process")
    return "another process"


def live_holds(run: Run) -> tuple[int, frozenset[str]]:
    """How many other runs may be alive, and what they hold."""
    found = list(_lines_of_others(run, held_lines))
    return len(found), frozenset().union(*(held for _, held in found))


def _lines_of_others(run: Run, read: Callable[[Path], set[str]]) -> Iterator[tuple[str, set[str]]]:
    """Of each other run that may be alive: its name, and what its file says."""
    now_ns = run.touch()
    for path in sorted(run.path.parent.iterdir()):
        if path.name == run.name or not is_run_name(path.name):
            continue
        try:
            if not run.has_ended(path, now_ns):
                yield path.name, read(path)
        except FileNotFoundError:
            continue  # it ended meanwhile, with all that it did written down
        except PermissionError:
            yield path.name, set()  # it has only just begun: its file is open to others before it says anything


def _names_in(folder: Path) -> list[str]:
    with suppress(FileNotFoundError):
        return [path.name for path in folder.iterdir()]
    return []
