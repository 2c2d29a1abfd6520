"""A file that is only compressed: an archive of one member."""

from __future__ import annotations

import struct
from typing import BinaryIO

from conda_assets.unpack.codecs import Codec
from conda_assets.unpack.entry import Entry, Sort
from conda_assets.unpack.flow import Flow
from conda_assets.unpack.kinds import name_inside
from conda_assets.unpack.limits import Limits

__all__ = ["gzip_time", "single_entry"]


def single_entry(flow: Flow, codec: Codec, name: str, modified_ns: int, limits: Limits) -> Entry:
    """The one file; `modified_ns`: what its time stamp shall be."""
    inside = name_inside(name, codec, limits)
    return Entry(inside, Sort.FILE, size_bytes=None, modified_ns=modified_ns, blocks=flow.pieces(None))


def gzip_time(file: BinaryIO) -> int | None:
    """The time stamp in a gzip header, in nanoseconds since 1970; None where there is none. Source: RFC 1952, 2.3."""
    file.seek(4)
    data = file.read(4)
    file.seek(0)
    seconds: int = struct.unpack("<L", data)[0] if len(data) == 4 else 0
    return seconds * 10**9 or None
