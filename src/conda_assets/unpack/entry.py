"""What every reader gives: the members of an archive, one after the other, with their bytes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from enum import Enum

from conda_assets.records import dataclass, field

__all__ = ["Blocks", "Entry", "Sort", "sane_time", "seconds_as_ns"]

Blocks = Iterable["bytes | memoryview"]

# Zip and FAT hold nothing older, and some tools refuse what is.
_OLDEST_NS = 315_532_800 * 10**9


class Sort(str, Enum):
    """What kind of member. The value is for messages."""

    FILE = "a file"
    FOLDER = "a folder"
    SYMLINK = "a symbolic link"
    HARDLINK = "a hard link"
    DEVICE = "a device"
    FIFO = "a named pipe"
    SOCKET = "a socket"


@dataclass(frozen=True, slots=True)
class Entry:
    """One member. `name` and `leads` (where a link points) as the archive says, not to be trusted.

    `size_bytes`: announced, None if unknown. `blocks`: its bytes; good until the next entry is asked for, and need not be read.
    """

    name: str
    sort: Sort
    size_bytes: int | None = 0
    modified_ns: int = _OLDEST_NS
    executable: bool = False
    leads: str = ""
    blocks: Blocks = field(default=(), repr=False)


#: Readers that know all members at once give a sequence: then sizes are summed up before anything is written.
Entries = Iterable[Entry] | Sequence[Entry]


def sane_time(modified_ns: int) -> int:
    """A time stamp that every file system takes and that is not in the future, in nanoseconds since 1970."""
    return min(max(modified_ns, _OLDEST_NS), time.time_ns())


def seconds_as_ns(seconds: float) -> int:
    """Nanoseconds, of whatever an archive gives for a time; 0 for what is none."""
    return int(seconds * 1e9) if math.isfinite(seconds) and abs(seconds) < 1e11 else 0
