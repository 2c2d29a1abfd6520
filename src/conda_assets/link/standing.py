"""What was placed before: does it stand, take it away, or keep what is not ours."""

from __future__ import annotations

import itertools
import os
import stat
from contextlib import suppress
from pathlib import Path

from conda_assets.errors import UnsafePath
from conda_assets.model import LinkType, Placed
from conda_assets.paths import open_spot, refused

__all__ = ["remove_placed", "set_aside", "stamp", "stands"]


def stamp(target: Path) -> tuple[int, int]:
    """Size in bytes and time stamp in nanoseconds of what was placed, as a receipt keeps them; links are followed.

    Raises:
        OSError: nothing stands there.
    """
    info = target.stat()
    return info.st_size, info.st_mtime_ns


def stands(target: Path, placed: Placed) -> bool:
    """Whether it looks as it was placed: kind, size and time stamp, at the cost of two stats; bytes are not read."""
    try:
        info = target.lstat()
        if placed.link is LinkType.SYMLINK:
            # A stored file is named by its sha256.
            if not stat.S_ISLNK(info.st_mode) or target.readlink().name != placed.sha256:
                return False
            info = target.stat()
    except OSError:
        return False
    return stat.S_ISREG(info.st_mode) and (info.st_size, info.st_mtime_ns) == (placed.size_bytes, placed.modified_ns)


def set_aside(target: Path, *, within: Path, asset: str = "") -> Path:
    """Rename a file that is not ours, or no longer, to `<name>.orig`, `<name>.orig.1` …, whichever is free; the new path.

    Raises:
        UnsafePath: a folder stands there, or a link above it leads out of `within`.
        DiskRefused: the system refuses, or nothing stands there.
    """
    asset = asset or target.name
    try:
        with open_spot(target, within, asset, create=False) as spots:
            spot = spots[-1]
            info = spot.look(target.name)
            if info is not None and stat.S_ISDIR(info.st_mode):
                raise UnsafePath(asset, f"{target} is a folder, expected a file: move it away")
            for number in itertools.count():
                name = f"{target.name}.orig" + (f".{number}" if number else "")
                try:
                    # Taken first, so that the rename replaces nothing but this empty file.
                    os.close(os.open(spot.at(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=spot.descriptor))
                except FileExistsError:
                    continue
                try:
                    spot.rename(target.name, name)
                except BaseException:
                    spot.remove(name)
                    raise
                return target.with_name(name)
    except OSError as error:
        raise refused(error, asset, target.parent) from error
    raise AssertionError("unreachable: numbers do not end")


def remove_placed(target: Path, within: Path, *, asset: str = "") -> bool:
    """Delete what was placed, and the folders that are empty then, up to `within`, which stays. False if it was gone.

    Raises:
        UnsafePath: a folder stands there, or a link above it leads out of `within`.
        DiskRefused: the system refuses.
    """
    asset = asset or target.name
    try:
        with open_spot(target, within, asset, create=False) as spots:
            info = spots[-1].look(target.name)
            if info is not None and stat.S_ISDIR(info.st_mode):
                raise UnsafePath(asset, f"{target} is a folder, expected a file: left as it is")
            was = spots[-1].remove(target.name)
            with suppress(OSError):  # the first one that is not empty, or is in use
                for above, spot in reversed(list(itertools.pairwise(spots))):
                    os.rmdir(above.at(spot.path.name), dir_fd=above.descriptor)
            return was
    except FileNotFoundError:
        return False
    except OSError as error:
        raise refused(error, asset, target.parent) from error
