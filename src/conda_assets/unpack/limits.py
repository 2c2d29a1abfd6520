"""How much an archive may ask of a machine, and who counts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from conda_assets.errors import DiskFull
from conda_assets.model import shown_size
from conda_assets.records import dataclass
from conda_assets.unpack.refusal import Refused

__all__ = ["Limits", "Meter", "Room", "room_of"]

# How much is written between two looks at the free space: far below the reserve.
_LOOK_EVERY_BYTES = 64 << 20
_LOOK_EVERY_MEMBERS = 4096
_KEEP_INODES = 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that data sets do not meet and bombs do.

    `total_bytes`: unpacked, all together. `ratio`: unpacked bytes for each byte of the archive, once more than
    `ratio_floor_bytes` have come (gzip reaches 1032, tables of text seldom 50).
    `members`: files, folders and links, those made on the way included; 0.4 kB of memory each.
    `depth`: folders above a file. `path_bytes`: of a member's whole path (PATH_MAX of macOS), `part_bytes`: of each part.
    `link_copies`: files that stand in for links to folders.
    `reserve_bytes`: what stays free on the disk. `memory_bytes`: what decoders and metadata of an archive may ask for
    (`zstd --long=31` needs 2 GiB).
    """

    total_bytes: int = 16 << 40
    ratio: int = 200
    ratio_floor_bytes: int = 1 << 30
    members: int = 10_000_000
    depth: int = 64
    path_bytes: int = 1024
    part_bytes: int = 255
    link_copies: int = 100_000
    reserve_bytes: int = 256 << 20
    memory_bytes: int = (2 << 30) + (64 << 20)


@dataclass(frozen=True, slots=True)
class Room:
    """What a disk has left; `inodes` is None where they do not run out."""

    free_bytes: int
    inodes: int | None


def room_of(folder: Path) -> Room:
    """The room on the disk of an existing folder, for who may not use what is kept for root."""
    if not hasattr(os, "statvfs"):
        return Room(shutil.disk_usage(folder).free, None)
    info = os.statvfs(folder)
    return Room(info.f_bavail * info.f_frsize, info.f_favail if info.f_files else None)


class Meter:
    """Counts what one archive has cost, and stops it. `beat` is called with every member and block.

    `folder`: on the disk that is written to.
    """

    def __init__(
        self,
        limits: Limits,
        archive_bytes: int,
        folder: Path,
        *,
        room: Callable[[Path], Room] = room_of,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._limits, self._archive_bytes, self._folder, self._room, self._beat = limits, archive_bytes, folder, room, beat
        self._members = self._written = 0
        self._out_bytes = 0  # came out of the decoder, or will have to be hashed
        self._look_at = 0

    def came(self, count: int) -> None:
        """Bytes came out of the archive, wanted or not.

        Raises:
            Refused: a bomb.
        """
        self._out_bytes += count
        self._check(self._out_bytes)
        self._beat()

    def announced(self, size_bytes: int) -> None:
        """The archive says what follows, before it is read.

        Raises:
            Refused: a bomb.
            DiskFull: no room for it.
        """
        self._check(self._out_bytes + size_bytes)
        if size_bytes >= _LOOK_EVERY_BYTES:
            self._look(size_bytes)

    def wrote(self, count: int) -> None:
        """Bytes went to the disk.

        Raises:
            DiskFull: the disk is down to its reserve.
        """
        self._written += count
        if self._written >= self._look_at:
            self._look_at = self._written + _LOOK_EVERY_BYTES
            self._look(0)

    def member(self) -> None:
        """A file, folder or link more.

        Raises:
            Refused: too many.
            DiskFull: the disk is down to its reserve, or has no names left.
        """
        self._beat()
        self._members += 1
        if self._members > self._limits.members:
            raise Refused(f"the archive holds more than {self._limits.members:,} members")
        if self._members % _LOOK_EVERY_MEMBERS == 0:
            self._look(0)

    def _check(self, total_bytes: int) -> None:
        limits = self._limits
        if total_bytes > limits.total_bytes:
            raise Refused(f"the archive unpacks to more than {shown_size(limits.total_bytes)}")
        if total_bytes > limits.ratio_floor_bytes and total_bytes > limits.ratio * self._archive_bytes:
            came, size = shown_size(total_bytes), shown_size(self._archive_bytes)
            raise Refused(
                f"{came} come out of an archive of {size}, more than {limits.ratio} times its size: it looks like a bomb"
            )

    def _look(self, coming_bytes: int) -> None:
        room = self._room(self._folder)
        if room.free_bytes - coming_bytes < self._limits.reserve_bytes:
            raise DiskFull(str(self._folder), coming_bytes + self._limits.reserve_bytes, room.free_bytes)
        if room.inodes is not None and room.inodes < _KEEP_INODES:
            raise Refused(f"the disk of {self._folder} has no room for more files: {room.inodes} are left")
