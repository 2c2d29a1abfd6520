"""One non-blocking lock on an open file, in the form that each system has."""

from __future__ import annotations

import errno
import os
import sys

__all__ = ["CHILDREN_INHERIT", "try_lock"]

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
