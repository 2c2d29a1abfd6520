"""The folders in which files arrive: `staging/<key>/<run>` while a run has it, `staging/<key>/free.<run>` when given back."""

from __future__ import annotations

import hashlib
import stat
import time
from contextlib import suppress
from pathlib import Path

from conda_assets.errors import StoreFailed
from conda_assets.regexes import regex
from conda_assets.store.run import Run, is_run_name

__all__ = ["BATCH", "is_taken", "key_name", "leaves", "occupy", "remove", "sweep", "tidy", "vacate"]

_FREE = "free."
#: Begins the key of many small files under one claim; what is left of them is not gone on with.
BATCH = "batch-"
# Making a folder takes milliseconds; on a file server with a clock of its own it may seem minutes.
_MAKING_S = 3600.0
# At most so many keys are looked at when a run begins.
_SWEPT_AT_ONCE = 200
# Lower case only: some file systems do not tell case apart.
_PLAIN_KEY = regex(r"[a-z0-9][a-z0-9-]{0,127}")


def key_name(key: str) -> str:
    """The key as a folder name."""
    return key if _PLAIN_KEY.fullmatch(key) else hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def leaves(hall: Path) -> list[Path]:
    """The folders of all runs, of those that are over too."""
    try:
        names = sorted(each.name for each in hall.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [hall / name for name in names if is_run_name(name.removeprefix(_FREE))]


def is_taken(run: Run, hall: Path) -> bool:
    """Whether another run has the key, and is not over."""
    return any(is_run_name(leaf.name) and leaf.name != run.name and not run.is_over(leaf.name, leaf) for leaf in leaves(hall))


def occupy(run: Run, hall: Path) -> Path:
    """A folder in the run's name: the fullest of what this user's earlier runs left, or a new one."""
    mine = hall / run.name
    left = [leaf for leaf in leaves(hall) if _is_ours(leaf, run.uid) and _is_left(leaf, run)]
    for leaf in sorted(left, key=_held_bytes, reverse=True):
        # Renamed in one step, so that a rival finds a folder whole or not at all; what goes inside is tidied away.
        with suppress(FileNotFoundError):
            leaf.rename(mine / leaf.name if mine.exists() else mine)
    for _ in range(100):
        try:
            mine.mkdir(0o700, exist_ok=True)
            break
        except FileNotFoundError:
            run.ground.folder(hall)  # whoever left last took it away
    if not _is_ours(mine, run.uid):
        raise StoreFailed(f"{mine} is not a folder of uid {run.uid}; nothing was written there")
    return mine


def tidy(leaf: Path, uid: int) -> None:
    """Leave only plain files of ours, writable ones: a link or a second name could lead a transport elsewhere."""
    mode = leaf.lstat().st_mode
    if mode & 0o777 != 0o700:
        # The setgid bit stays: quotas of project folders go by group.
        leaf.chmod(mode & stat.S_ISGID | 0o700)
    for path in leaf.iterdir():
        info = path.lstat()
        if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1 or info.st_uid != uid:
            remove(path)
        elif info.st_mode & 0o600 != 0o600:
            # A kill between seal and rename leaves it read-only.
            path.chmod(0o600)


def vacate(leaf: Path) -> None:
    """Leave a folder to whoever comes next; an empty one goes."""
    try:
        leaf.rmdir()
    except FileNotFoundError:
        return  # the store was removed meanwhile
    except OSError:
        leaf.rename(leaf.with_name(_FREE + leaf.name))
        return
    with suppress(OSError):  # others have theirs there
        leaf.parent.rmdir()


def sweep(run: Run) -> None:
    """Take away the empty folders that kills have left, and what they left of small files."""
    staging = run.ground.tree.folder / "staging"
    if not staging.is_dir():
        return
    now_s = time.time()
    for hall in sorted(staging.iterdir())[:_SWEPT_AT_ONCE]:
        with suppress(OSError):  # in use after all, or another user's
            # A folder that another process makes gets its name in a moment.
            if hall.name.startswith(".") and now_s - hall.lstat().st_mtime < _MAKING_S:
                continue
            for leaf in leaves(hall):
                if not _is_ours(leaf, run.uid) or not _is_left(leaf, run):
                    continue
                if hall.name.startswith(BATCH):
                    remove(leaf)
                elif not any(leaf.iterdir()):
                    leaf.rmdir()
            hall.rmdir()


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it; links are not followed."""
    if stat.S_ISDIR(path.lstat().st_mode):
        for each in path.iterdir():
            remove(each)
        path.rmdir()
    else:
        path.unlink()


def _is_left(leaf: Path, run: Run) -> bool:
    return leaf.name.startswith(_FREE) or (leaf.name != run.name and run.is_over(leaf.name, leaf))


def _is_ours(leaf: Path, uid: int) -> bool:
    try:
        info = leaf.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == uid


def _held_bytes(leaf: Path) -> int:
    try:
        info = (leaf / "data").lstat()
    except OSError:
        return 0
    return getattr(info, "st_blocks", info.st_size)
