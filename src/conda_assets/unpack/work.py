"""The work folder: everything between the first byte and the swap happens in it, beside the target.

    <parent>/.<target's name>.<host>-<pid>.unpacking/
        new/           the folder that is being written; becomes the target
        new.json       its manifest, once it is complete
        old.json       the manifest of what stood at the target
        old-0/         what stood at the target, while it is replaced

A run holds a lock on the folder, and touches it while it works. One that was killed leaves its folder behind; the next run for
the same target heals it: before the swap all of it goes, after the first rename the old folder gets its name back, after the
second one the user's files are moved over from the old folder as the killed run would have done.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from conda_assets.locking import wait_for_lock
from conda_assets.paths import Spot, hold
from conda_assets.records import dataclass

__all__ = ["NEW", "NEW_MANIFEST", "OLD", "OLD_MANIFEST", "Work", "alone", "forsaken", "open_work"]

NEW, NEW_MANIFEST, OLD, OLD_MANIFEST = "new", "new.json", "old-", "old.json"
_SUFFIX = ".unpacking"
_NAME_BYTES = 150
# A run whose lock or process cannot be looked at, on another host for instance, is dead when it has touched nothing so long.
_SILENT_S = 3600.0
_TOUCH_EVERY_S = 60.0
_RUN = "(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]{1,10})(?:-[0-9a-f]{8})?"
# Two threads of one process: nobody may take a folder for forsaken between its making and its locking.
_STARTING = threading.Lock()
# Windows cannot lock folders.
_LOCKS = sys.platform != "win32"


@dataclass(slots=True)
class Work:
    """An open work folder. `above`: the folder that it and the target stand in."""

    above: Spot
    name: str
    spot: Spot
    _touched: float = 0.0

    def touch(self) -> None:
        """Say that this run is alive; cheap to call often."""
        if time.monotonic() - self._touched > _TOUCH_EVERY_S:
            self._touched = time.monotonic()
            with suppress(OSError):  # gone: then the next write says so
                os.utime(self.above.at(self.name), dir_fd=self.above.descriptor)


@contextmanager
def open_work(above: Spot, target: str) -> Iterator[Work]:
    """A fresh work folder for the target, locked; deleted at the end, unless an old folder is still in it: `forsaken` finds that.

    Raises:
        OSError: the file system refuses.
    """
    with ExitStack() as stack:
        with _STARTING:
            name = _make(above, target)
            spot = stack.enter_context(hold(above, name))
            stack.enter_context(_locked(above, name))
        try:
            yield Work(above, name, spot)
        finally:
            if not any(each.startswith(OLD) for each in spot.names()):
                above.remove_tree(name)


def forsaken(above: Spot, target: str) -> Iterator[Work]:
    """Work folders for the target whose runs are dead, one after the other; the caller heals and deletes them."""
    pattern = re.compile(re.escape(_prefix(target)) + _RUN + re.escape(_SUFFIX))
    for name in sorted(above.names()):
        run = pattern.fullmatch(name)
        if run is None:
            continue
        with ExitStack() as stack:
            try:
                with _STARTING:
                    spot = stack.enter_context(hold(above, name))
                    free = stack.enter_context(_locked(above, name))
            except FileNotFoundError:
                continue  # another run has healed it
            if free and _is_dead(above, name, run["host"], int(run["pid"])):
                yield Work(above, name, spot)


@contextmanager
def alone(above: Spot) -> Iterator[None]:
    """No other run swaps or heals in this folder meanwhile: waits for it. A lock on the folder itself leaves no file behind.

    Raises:
        OSError: the folder cannot be opened.
    """
    if not _LOCKS:
        yield
        return
    descriptor = os.open(above.at("."), os.O_RDONLY | os.O_DIRECTORY, dir_fd=above.descriptor)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _prefix(target: str) -> str:
    """The beginning of a work folder's name; short, because file systems take no more than 255 bytes."""
    if len(target.encode()) > _NAME_BYTES:
        target = hashlib.sha256(target.encode()).hexdigest()[:32]
    return f".{target}."


def _make(above: Spot, target: str) -> str:
    name = f"{_prefix(target)}{_host()}-{os.getpid()}{_SUFFIX}"
    while True:
        try:
            os.mkdir(above.at(name), 0o700, dir_fd=above.descriptor)
        except FileExistsError:
            name = f"{_prefix(target)}{_host()}-{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"
        else:
            return name


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _is_dead(above: Spot, name: str, host: str, pid: int) -> bool:
    """Nobody has the lock, which on some network file systems says nothing: then the process or the silence must."""
    info = above.look(name)
    if info is None:
        return False
    return time.time() - info.st_mtime > _SILENT_S or (host == _host() and not _runs(pid))


def _runs(pid: int) -> bool:
    """Whether that process of this host lives, and is not this one."""
    if pid == os.getpid():
        # Ours would have the lock; without locks only silence tells two threads apart.
        return not _LOCKS
    if os.name != "posix":
        return True  # asking is killing there: os.kill(pid, 0) ends the process
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


@contextmanager
def _locked(above: Spot, name: str) -> Iterator[bool]:
    """The folder's lock while the context lasts; False when another run has it."""
    if not _LOCKS:
        yield True
        return
    descriptor = os.open(above.at(name), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above.descriptor)
    try:
        yield _lock(descriptor, seconds=0)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, seconds: float = math.inf) -> bool:
    """False when another run keeps it for so long."""
    try:
        return wait_for_lock(descriptor, seconds=seconds)
    except OSError:
        # NFS wants a descriptor that may be written, which a folder has not: as without locks.
        return True
