"""Folders held open while we work in them: nobody can exchange one, or a folder above it, for a link meanwhile.

Below the stages, because placing files and unpacking archives have the same guard to stand.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from conda_assets.errors import AssetsError, DiskFull, DiskRefused, UnsafePath
from conda_assets.records import dataclass

__all__ = ["LastSpot", "Spot", "hold", "open_spot", "refused"]

# Relative to open folders where the system can; else by path, checked name by name (Windows).
_HELD = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_READABLE = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
# Without the right to list where the system has it: a folder that may only be searched is enough to go through.
_FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", os.O_RDONLY)
_TURNS = 40  # links inside `within` that lead to links; as many as Linux follows


@dataclass(frozen=True, slots=True)
class Spot:
    """One open folder. `descriptor` is None where the system has no such thing; `path` is for messages and for that case."""

    path: Path
    descriptor: int | None

    def at(self, name: str) -> str:
        """The name as the functions of `os` want it, together with `dir_fd=spot.descriptor`."""
        return name if self.descriptor is not None else str(self.path / name)

    def look(self, name: str) -> os.stat_result | None:
        """What stands at the name; links are not followed."""
        try:
            return os.lstat(self.at(name), dir_fd=self.descriptor)
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        """What stands in the folder, in no order.

        Raises:
            OSError: it may not be listed.
        """
        if self.descriptor is None:
            return os.listdir(self.path)  # noqa: PTH208 - one call for both forms
        descriptor = os.open(".", _READABLE, dir_fd=self.descriptor)
        try:
            return os.listdir(descriptor)  # noqa: PTH208
        finally:
            os.close(descriptor)

    def remove(self, name: str) -> bool:
        """Delete a file or link; False when there is none."""
        try:
            os.unlink(self.at(name), dir_fd=self.descriptor)
        except FileNotFoundError:
            return False
        except PermissionError:
            if not _unlock(self, name):
                raise
            os.unlink(self.at(name), dir_fd=self.descriptor)
        return True

    def unlock(self, name: str) -> None:
        """Let the owner of the folder `name` list and change it; if that is not us, who tries next is told so."""
        info = self.look(name)
        if info is not None and stat.S_ISDIR(info.st_mode) and info.st_mode & 0o700 != 0o700:
            with suppress(OSError):
                os.chmod(self.at(name), stat.S_IMODE(info.st_mode) | 0o700, dir_fd=self.descriptor)

    def remove_tree(self, name: str) -> None:
        """Delete a file, link or folder with all that is in it; links are deleted, never followed. Nothing there is fine.

        Raises:
            OSError: something in it cannot be deleted.
        """
        info = self.look(name)
        if info is None:
            return
        if not stat.S_ISDIR(info.st_mode) or _is_link(info):
            self.remove(name)
            return
        self.unlock(name)
        with hold(self, name) as inside:
            for each in inside.names():
                inside.remove_tree(each)
        with suppress(FileNotFoundError):
            os.rmdir(self.at(name), dir_fd=self.descriptor)

    def rename(self, old: str, new: str, into: Spot | None = None) -> None:
        """Rename within the folder, or into another one, replacing a file that stands at `new`."""
        there = into or self
        try:
            os.replace(self.at(old), there.at(new), src_dir_fd=self.descriptor, dst_dir_fd=there.descriptor)
        except PermissionError:
            if not _unlock(there, new):
                raise
            os.replace(self.at(old), there.at(new), src_dir_fd=self.descriptor, dst_dir_fd=there.descriptor)


@contextmanager
def hold(above: Spot, name: str) -> Iterator[Spot]:
    """The folder `name` in `above`, open; never a link.

    Raises:
        OSError: no folder stands there.
    """
    with ExitStack() as stack:
        yield _hold(stack, above, name)


@contextmanager
def open_spot(target: Path, within: Path, asset: str, *, create: bool) -> Iterator[tuple[Spot, ...]]:
    """The folders from `within` to the one that holds the target, open; with `create` they are made.

    `within` itself may be reached through links; below it a link may stand only if it stays inside.

    Raises:
        UnsafePath: the target is not below `within`, a link leads out of it, or a file stands where a folder should.
        FileNotFoundError: a folder is missing and may not be made.
    """
    try:
        parts = target.relative_to(within).parts[:-1]
    except ValueError as error:
        raise UnsafePath(asset, f"{target} is not below {within}") from error
    if ".." in target.parts or target == within:
        raise UnsafePath(asset, f"{target} is not below {within}")
    if create:
        within.mkdir(parents=True, exist_ok=True)
    for _ in range(_TURNS):
        with ExitStack() as stack:
            spots = [_hold(stack, Spot(within, None), "")]
            turned = _descend(stack, spots, parts, asset, create)
            if turned is None:
                yield tuple(spots)
                return
            parts = turned
    raise UnsafePath(asset, f"{target}: the links above it lead in circles")


class LastSpot:
    """The folder that the last target stands in, kept open for the next one: thousands of files go into the same.

    Not safe for several threads at once.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._of: tuple[str, Path] | None = None
        self._spot: Spot | None = None
        self._is: os.stat_result | None = None

    def at(self, target: Path, within: Path, asset: str) -> Spot:
        """As `open_spot` with `create`, and with its errors; open until the next call for another folder, or `close`."""
        folder, _, name = os.fspath(target).rpartition(os.sep)
        of = (folder, within)
        if self._spot is None or self._of != of or not self._is_there(self._spot):
            self.close()
            self._spot = self._stack.enter_context(open_spot(target, within, asset, create=True))[-1]
            self._of, self._is = of, None if self._spot.descriptor is None else os.fstat(self._spot.descriptor)
        elif name in ("", ".."):
            raise UnsafePath(asset, f"{target} is no name of a file")
        return self._spot

    def close(self) -> None:
        """Safe to call twice."""
        self._stack.close()
        self._of = self._spot = self._is = None

    def _is_there(self, spot: Spot) -> bool:
        """Its path still leads to just this folder: nobody has renamed it, or put another one in its place."""
        if self._is is None:
            return False
        try:
            return os.path.samestat(os.stat(spot.path), self._is)  # noqa: PTH116 - for each of thousands
        except OSError:
            return False


def refused(error: OSError, asset: str, folder: Path, needed_bytes: int = 1) -> AssetsError:
    """What the system refused while something was made in `folder`, as an error of ours."""
    if error.errno == errno.ENOSPC:
        near = next((each for each in (folder, *folder.parents) if os.path.exists(each)), folder)  # noqa: PTH110
        return DiskFull(str(folder), needed_bytes, shutil.disk_usage(near).free, asset)
    if error.errno in (errno.EISDIR, errno.ENOTEMPTY) or isinstance(error, FileExistsError):
        return UnsafePath(asset, f"something else was put into {folder} just now: {error.strerror}")
    return DiskRefused(asset, f"cannot write into {folder}: {error.strerror or error}")


def _descend(stack: ExitStack, spots: list[Spot], parts: tuple[str, ...], asset: str, create: bool) -> tuple[str, ...] | None:
    """Open one folder after the other into `spots`; other parts to try when a link was met that stays inside."""
    for index, name in enumerate(parts):
        here = spots[-1]
        if create:
            with suppress(FileExistsError):
                os.mkdir(here.at(name), dir_fd=here.descriptor)
        try:
            spots.append(_hold(stack, here, name))
        except OSError as error:
            info = here.look(name)
            if info is None or error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            if stat.S_ISDIR(info.st_mode) and not _is_link(info):
                return parts  # exchanged just now
            if not _is_link(info):
                raise UnsafePath(asset, f"{here.path / name} is a file, expected a folder") from error
            try:
                return (*_inside(here.path / name, spots[0].path, asset), *parts[index + 1 :])
            except OSError:
                return parts  # exchanged again while it was followed
    return None


def _hold(stack: ExitStack, above: Spot, name: str) -> Spot:
    """Open the folder `name` in `above` (or `above` itself, links followed), until the stack ends."""
    path = above.path / name
    if not _HELD:
        info = path.stat() if not name else path.lstat()
        if not stat.S_ISDIR(info.st_mode) or (name and _is_link(info)):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        return Spot(path, None)
    descriptor = os.open(name, _FOLDER | _NOFOLLOW, dir_fd=above.descriptor) if name else os.open(path, _FOLDER)
    stack.callback(os.close, descriptor)
    return Spot(path, descriptor)


def _inside(link: Path, within: Path, asset: str) -> tuple[str, ...]:
    """Where the link leads, as parts below `within`."""
    leads = Path(os.path.realpath(link))
    try:
        return leads.relative_to(os.path.realpath(within)).parts
    except ValueError as error:
        raise UnsafePath(asset, f"{link} is a link that leads out of {within}, to {leads}") from error


def _is_link(info: os.stat_result) -> bool:
    """A symlink, or what Windows calls a junction."""
    reparse = getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0) & getattr(info, "st_file_attributes", 0)
    return stat.S_ISLNK(info.st_mode) or bool(reparse)


def _unlock(spot: Spot, name: str) -> bool:
    """Take the read-only mark off a file, where that mark forbids to delete it.

    Windows only: elsewhere the mode of the folder decides, and the mode of a hardlink is that of the stored file.
    """
    if os.name != "nt":
        return False
    (spot.path / name).chmod(stat.S_IWRITE)
    return True
