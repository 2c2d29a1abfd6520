"""Locks on open files, in the form that each system has.

filelock has more of them, and costs 40 to 130 ms at import (asyncio): more than all else that a sync of one file adds to its
transfer. A descriptor of ours can also be left to aria2c, which holds the lock when we are killed.
"""

from __future__ import annotations

import errno
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["CHILDREN_INHERIT", "alone", "try_lock", "wait_for_lock"]

_LOOK_S = 0.005
_NO_LOCKS = frozenset(getattr(errno, name) for name in ("ENOLCK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP") if hasattr(errno, name))

if sys.platform == "win32":
    import msvcrt

    #: Whether a child that is given the descriptor keeps the lock alive.
    CHILDREN_INHERIT = False

    # Windows locks bytes, and nobody else can read a locked one: lock one that is never written.
    _BEYOND = 1 << 20

    def try_lock(descriptor: int, *, shared: bool = False) -> bool:
        """Lock, or say False when another one has it. Ends when the descriptor is closed.

        Raises:
            OSError: there are no locks on this file system.
        """
        os.lseek(descriptor, _BEYOND, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                return False
            raise
        return True

else:
    import fcntl

    CHILDREN_INHERIT = True

    def try_lock(descriptor: int, *, shared: bool = False) -> bool:
        """Lock, or say False when another one has it. Ends when the last copy of the descriptor is closed.

        Raises:
            OSError: there are no locks on this file system.
        """
        # flock, not lockf: lockf wants a writable descriptor, and ends when any descriptor of the file is closed.
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise
        return True


@contextmanager
def alone(path: Path, *, seconds: float, mode: int = 0o666) -> Iterator[bool]:
    """Hold the lock of this file, which is made where it is missing and stays; False when another one keeps it for so long.

    `mode`: of a new file, whatever the umask. On a file system without locks nobody is kept out.

    Raises:
        OSError: the file cannot be opened.
    """
    descriptor = _opened(path, mode)
    try:
        yield wait_for_lock(descriptor, seconds=seconds)
    finally:
        os.close(descriptor)


def wait_for_lock(descriptor: int, *, seconds: float = math.inf) -> bool:
    """Lock, waiting for it; False when another one keeps it for so long. On a file system without locks nobody is kept out.

    Raises:
        OSError: as the system says.
    """
    deadline = time.monotonic() + seconds
    try:
        while not (held := try_lock(descriptor)) and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return True
    return held


def _opened(path: Path, mode: int) -> int:
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        pass
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return os.open(path, flags)
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)
    return descriptor
