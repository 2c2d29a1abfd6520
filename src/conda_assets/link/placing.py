"""Placing: what stands there already, and the choice between a free name and an exchange."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from conda_assets.errors import UnsafePath
from conda_assets.link.making import fresh_name, make, make_private
from conda_assets.model import LinkMode, LinkType, Stored
from conda_assets.paths import LastSpot, Spot, open_spot, refused

__all__ = ["place", "place_if_free"]


def place(stored: Stored, target: Path, *, mode: LinkMode, within: Path, replace: bool, asset: str = "",
          last: LastSpot | None = None) -> LinkType:  # fmt: skip
    """Put a stored file at `target`, making the folders above it; says how.

    With `LinkMode.AUTO` the result is read-only, with `COPY` a writable file of its own (a reflink, where that can be had).
    Safe to call again, and for several processes at once: each leaves the whole file.

    Args:
        stored: what `Store.find` or `Claim.adopt` gave.
        target: absolute; `within` is a folder above it, and the one that nothing is written outside of.
        replace: whatever file or link stands at `target` may go. Else it must be free, or hold this very file, placed before
            and unchanged as far as size and time stamp tell (then that is what is returned).
        asset: its name, for errors.
        last: for who places many; keeps the folder open.

    Raises:
        UnsafePath: something that may not go stands at the target, or a link above it leads out of `within`.
        DiskRefused: the system refuses.
        DiskFull: no room for a copy.
        StoreFailed: the file is gone from the store.
    """
    asset = asset or target.name
    try:
        if last is not None:
            return _place(stored, last.at(target, within, asset), target, mode, replace, asset)
        with open_spot(target, within, asset, create=True) as spots:
            return _place(stored, spots[-1], target, mode, replace, asset)
    except OSError as error:
        raise refused(error, asset, target.parent, stored.size_bytes) from error


def place_if_free(
    stored: Stored, target: Path, *, mode: LinkMode, within: Path, asset: str = "", last: LastSpot | None = None
) -> LinkType | None:
    """`place` where nothing stands; None where something does, which stays as it is.

    Raises:
        UnsafePath, DiskRefused, DiskFull, StoreFailed: as `place`.
    """
    asset = asset or target.name
    try:
        if last is not None:
            return _place_if_free(stored, last.at(target, within, asset), target.name, mode)
        with open_spot(target, within, asset, create=True) as spots:
            return _place_if_free(stored, spots[-1], target.name, mode)
    except OSError as error:
        raise refused(error, asset, target.parent, stored.size_bytes) from error


def _place_if_free(stored: Stored, spot: Spot, name: str, mode: LinkMode) -> LinkType | None:
    # Else a copy would be made for nothing.
    if spot.look(name) is not None:
        return None
    try:
        return make(stored, spot, name) if mode is LinkMode.AUTO else make_private(stored, spot, name)
    except FileExistsError:
        return None


def _place(stored: Stored, spot: Spot, target: Path, mode: LinkMode, replace: bool, asset: str) -> LinkType:
    name = target.name
    maker = make if mode is LinkMode.AUTO else make_private
    while (info := spot.look(name)) is None:
        # Taken by a rival meanwhile: see what he has put there.
        with suppress(FileExistsError):
            return maker(stored, spot, name)
    if stat.S_ISDIR(info.st_mode):
        raise UnsafePath(asset, f"{target} is a folder, expected a file or nothing: move it away")
    if same := _as_placed(stored, spot, name, info, mode, replace):
        return same
    if not replace:
        raise UnsafePath(asset, f"{target} was not placed by conda-assets and is left as it is: move it away")
    fresh = fresh_name()
    try:
        link_type = maker(stored, spot, fresh)
        spot.rename(fresh, name)
    finally:
        # Still there after an error, or when both are names of one file: then rename does nothing.
        spot.remove(fresh)
    return link_type


def _as_placed(stored: Stored, spot: Spot, name: str, info: os.stat_result, mode: LinkMode, replace: bool) -> LinkType | None:
    """How the stored file stands there already, as far as that can be told without reading it; None if it does not."""
    if mode is LinkMode.AUTO:
        if stat.S_ISLNK(info.st_mode):
            leads = os.readlink(spot.at(name), dir_fd=spot.descriptor).removeprefix("\\\\?\\")
            return LinkType.SYMLINK if leads == os.path.abspath(stored.path) else None
        if _is_same_file(info, stored):
            return LinkType.HARDLINK
    # A copy carries the time stamp of the stored file. Good enough to leave it alone, not to keep it from being replaced.
    alike = stat.S_ISREG(info.st_mode) and (info.st_size, info.st_mtime_ns) == (stored.size_bytes, stored.modified_ns)
    fits = mode is LinkMode.AUTO or (bool(info.st_mode & stat.S_IWUSR) and not _is_same_file(info, stored))
    return LinkType.COPY if alike and fits and not replace else None


def _is_same_file(info: os.stat_result, stored: Stored) -> bool:
    try:
        return os.path.samestat(info, os.lstat(stored.path))
    except FileNotFoundError:
        return False  # said by whoever reads the stored file
