"""Making one link or copy at a free name: whole at once, or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

from conda_assets.errors import StoreFailed
from conda_assets.model import LinkType, Stored
from conda_assets.paths import Spot

__all__ = ["fresh_name", "make", "make_private"]

# Source: linux/fs.h, _IOW(0x94, 9, int)
_FICLONE = 0x40049409
# Source: macOS sys/clonefile.h and sys/fcntl.h
_CLONE_NOFOLLOW_NOOWNERCOPY, _AT_FDCWD = 3, -2
_BINARY = getattr(os, "O_BINARY", 0)
_PREFIX = ".conda-assets-"
_BLOCK_BYTES = 1 << 20
# From and to which device the system has refused to share blocks, for good: each try costs as much as all of a link.
_HOPELESS: set[tuple[int, int]] = set()
_NEVER = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV, errno.ENOTTY, errno.ENOSYS})
# A copy that has not grown for so long was killed.
_FORSAKEN_NS = 3600 * 10**9


def make(stored: Stored, spot: Spot, name: str) -> LinkType:
    """The stored file under a free name, by the cheapest way that the file systems allow; read-only.

    Raises:
        FileExistsError: the name is taken.
        StoreFailed: the file is gone from the store, or is not what it was.
        OSError: not even a copy can be made.
    """
    devices = (_device_of(stored), _device_at(spot))
    for link_type, way in _WAYS:
        if link_type is LinkType.REFLINK and devices in _HOPELESS:
            continue
        try:
            way(stored, spot, name)
        except FileExistsError:
            raise
        except OSError:
            # Another file system, one without such links, a link to another user's file forbidden (EPERM), too many (EMLINK).
            # What is wrong for good is said by the copy, which can do with the least.
            continue
        return link_type
    return _write(stored, spot, name, private=False)


def make_private(stored: Stored, spot: Spot, name: str) -> LinkType:
    """A writable file of its own under a free name, 0644 less the umask; blocks may be shared until one of the two is written.

    Raises:
        FileExistsError, StoreFailed, OSError: as `make`.
    """
    try:
        _reflink(stored, spot, name, private=True)
    except FileExistsError:
        raise
    except OSError:
        return _write(stored, spot, name, private=True)
    return LinkType.REFLINK


def fresh_name() -> str:
    """A name that nothing has."""
    return f"{_PREFIX}{secrets.token_hex(8)}"


def _reflink(stored: Stored, spot: Spot, name: str, *, private: bool = False) -> None:
    clone = _clonefileat()
    if clone is None:
        _write(stored, spot, name, private=private, only_clone=True)
        return
    # macOS copies mode and time stamps along.
    mode = _new_file_mode(spot) if private else 0o444
    draft = fresh_name()
    try:
        clone(os.fsencode(stored.path), _AT_FDCWD if spot.descriptor is None else spot.descriptor, os.fsencode(spot.at(draft)))
        os.chmod(spot.at(draft), mode, dir_fd=spot.descriptor)
        _name_exclusively(spot, draft, name)
    finally:
        spot.remove(draft)


def _hardlink(stored: Stored, spot: Spot, name: str) -> None:
    os.link(stored.path, spot.at(name), dst_dir_fd=spot.descriptor)


def _symlink(stored: Stored, spot: Spot, name: str) -> None:
    os.symlink(os.path.abspath(stored.path), spot.at(name), dir_fd=spot.descriptor)


def _device_of(stored: Stored) -> int:
    """Where the stored file is; it can be read, and is what it was, as far as its size tells.

    Raises:
        StoreFailed: it is gone, or is not.
    """
    if hasattr(os, "geteuid"):
        # One question where most need no more: it is a file of ours.
        with suppress(OSError):
            info = os.lstat(stored.path)
            ours = info.st_uid == os.geteuid() and info.st_mode & stat.S_IRUSR
            if ours and stat.S_ISREG(info.st_mode) and info.st_size == stored.size_bytes:
                return info.st_dev
    source = _open_stored(stored)
    try:
        return os.fstat(source).st_dev
    finally:
        os.close(source)


def _device_at(spot: Spot) -> int:
    return (spot.path.stat() if spot.descriptor is None else os.fstat(spot.descriptor)).st_dev


_WAYS: tuple[tuple[LinkType, Callable[[Stored, Spot, str], None]], ...] = (
    (LinkType.REFLINK, _reflink),
    (LinkType.HARDLINK, _hardlink),
    (LinkType.SYMLINK, _symlink),
)


def _write(stored: Stored, spot: Spot, name: str, *, private: bool, only_clone: bool = False, named: bool = False) -> LinkType:
    """A new file with the stored bytes, cloned where possible, else (unless `only_clone`) copied and synced.

    `named`: it has a name from the start.
    """
    source = _open_stored(stored)
    try:
        with _draft(spot, 0o644 if private else 0o600, named=named) as (descriptor, draft):
            cloned = _ficlone(descriptor, source)
            if only_clone and not cloned:
                raise OSError(errno.ENOTSUP, "no reflink here")
            if not cloned:
                _copy(source, descriptor, stored)
            _finish(spot, descriptor, draft, stored, private)
            if draft is None:
                # An unnamed file gets its name by way of /proc; nothing of it is left should we be killed before.
                try:
                    os.link(f"/proc/self/fd/{descriptor}", spot.at(name), dst_dir_fd=spot.descriptor, follow_symlinks=True)
                except FileExistsError:
                    raise
                except OSError:  # a sandbox without hardlinks
                    return _write(stored, spot, name, private=private, only_clone=only_clone, named=True)
        if draft is not None:
            _name_exclusively(spot, draft, name)
    finally:
        os.close(source)
    return LinkType.REFLINK if cloned else LinkType.COPY


@contextmanager
def _draft(spot: Spot, mode: int, *, named: bool) -> Iterator[tuple[int, str | None]]:
    """A new file, open for writing, and its name if it has one; with an error it goes."""
    descriptor, draft = -1 if named else _unnamed(spot, mode), None
    if descriptor < 0:
        draft = fresh_name()
        descriptor = os.open(spot.at(draft), os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, mode, dir_fd=spot.descriptor)
    try:
        if draft is not None:
            _clear_forsaken(spot, os.fstat(descriptor).st_mtime_ns)
        yield descriptor, draft
    except BaseException:
        os.close(descriptor)
        if draft is not None:
            spot.remove(draft)
        raise
    os.close(descriptor)


if sys.platform == "win32":

    def _ficlone(descriptor: int, source: int) -> bool:
        """ASSUME: ReFS block cloning is left to CopyFile, which is not used here."""
        return False

else:
    import fcntl

    def _ficlone(descriptor: int, source: int) -> bool:
        """Let the new file share the blocks of the source, where the file system can."""
        try:
            fcntl.ioctl(descriptor, _FICLONE, source)
        except OSError as error:
            if error.errno in _NEVER:
                _HOPELESS.add((os.fstat(source).st_dev, os.fstat(descriptor).st_dev))
            return False
        return True


def _unnamed(spot: Spot, mode: int) -> int:
    """A new file without a name, or -1 where there is no such thing or no way to name it later."""
    if not hasattr(os, "O_TMPFILE"):
        return -1
    try:
        descriptor = os.open(spot.at("."), os.O_TMPFILE | os.O_RDWR, mode, dir_fd=spot.descriptor)
    except OSError:
        return -1
    # Not where /proc is missing, or closed to a process that has changed its user.
    if os.path.exists(f"/proc/self/fd/{descriptor}"):  # noqa: PTH110
        return descriptor
    os.close(descriptor)
    return -1


def _copy(source: int, descriptor: int, stored: Stored) -> None:
    with open(source, "rb", closefd=False) as reader, open(descriptor, "wb", closefd=False) as writer:
        shutil.copyfileobj(reader, writer, _BLOCK_BYTES)
    if os.fstat(descriptor).st_size != stored.size_bytes:
        raise StoreFailed(f"{stored.path} changed while it was copied")


def _finish(spot: Spot, descriptor: int, draft: str | None, stored: Stored, private: bool) -> None:
    """The time stamp of the stored file, read-only unless private, on the disk."""
    if not private:
        with suppress(PermissionError):  # a file system that has no modes
            if os.chmod in os.supports_fd:
                os.chmod(descriptor, 0o444)
            elif draft is not None:
                (spot.path / draft).chmod(0o444)
    times = (stored.modified_ns, stored.modified_ns)
    if os.utime in os.supports_fd:
        os.utime(descriptor, ns=times)
    elif draft is not None:
        os.utime(spot.at(draft), ns=times)
    os.fsync(descriptor)


def _name_exclusively(spot: Spot, draft: str, name: str) -> None:
    """Give a complete file its name, unless that is taken."""
    try:
        os.link(spot.at(draft), spot.at(name), src_dir_fd=spot.descriptor, dst_dir_fd=spot.descriptor)
    except FileExistsError:
        raise
    except OSError as error:  # no hardlinks here
        # ASSUME: nobody puts a file there between look and rename (on POSIX; Windows does not replace).
        if spot.look(name) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name) from error
        os.rename(spot.at(draft), spot.at(name), src_dir_fd=spot.descriptor, dst_dir_fd=spot.descriptor)
    finally:
        spot.remove(draft)


def _open_stored(stored: Stored) -> int:
    """A descriptor to read the stored file with."""
    try:
        descriptor = os.open(stored.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    except OSError as error:
        raise StoreFailed(f"the stored file {stored.path} cannot be read: {error.strerror}") from error
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode) or info.st_size != stored.size_bytes:
        os.close(descriptor)
        raise StoreFailed(f"{stored.path} has {info.st_size} bytes, expected {stored.size_bytes}: verify the store")
    return descriptor


def _clear_forsaken(spot: Spot, now_ns: int) -> None:
    """Remove what killed copies left in this folder."""
    with suppress(OSError):  # a folder that may not be listed
        for path in spot.path.iterdir():
            if path.name.startswith(_PREFIX) and (info := spot.look(path.name)) and now_ns - info.st_mtime_ns > _FORSAKEN_NS:
                spot.remove(path.name)


def _new_file_mode(spot: Spot) -> int:
    """0644 less the umask, which only a new file tells without changing it for other threads."""
    name = fresh_name()
    descriptor = os.open(spot.at(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=spot.descriptor)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        spot.remove(name)


@cache
def _clonefileat() -> Callable[[bytes, int, bytes], None] | None:
    """macOS's clone call, which wants a name that does not exist; None elsewhere."""
    if hasattr(os, "O_TMPFILE"):
        return None  # Linux: spares loading ctypes
    import ctypes

    try:
        call = ctypes.CDLL(None, use_errno=True).clonefileat
    except (OSError, TypeError, AttributeError):
        return None

    def clone(source: bytes, folder: int, name: bytes) -> None:
        if call(_AT_FDCWD, source, folder, name, _CLONE_NOFOLLOW_NOOWNERCOPY):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return clone
