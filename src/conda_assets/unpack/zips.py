"""The members of a zip archive, in the order of their bytes.

Read with zipfile, which takes what the central directory says. What it leaves open is checked here: that the local headers say
the same, that no two members share bytes (one block of data in a thousand members is a bomb), and that nothing is encrypted.
"""

from __future__ import annotations

import calendar
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, BinaryIO

from conda_assets.records import dataclass
from conda_assets.unpack.entry import Blocks, Entry, Sort
from conda_assets.unpack.flow import BLOCK_BYTES
from conda_assets.unpack.limits import Limits, Meter
from conda_assets.unpack.names import decode
from conda_assets.unpack.refusal import Refused, reading, shown

__all__ = ["ends_like_zip", "zip_entries"]

# Source: APPNOTE.TXT 6.3.10, 4.3.7, 4.3.12, 4.3.16, 4.4.4, 4.4.5
_LOCAL = struct.Struct("<4s5H3L2H")
_LOCAL_MAGIC = b"PK\x03\x04"
_END_MAGIC = b"PK\x05\x06"
_END_BYTES = 22 + 0xFFFF
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8 = 0x800
_METHODS = {
    1: "shrunk", 6: "imploded", 9: "Deflate64", 10: "IBM TERSE", 93: "Zstandard", 95: "xz", 96: "JPEG", 98: "PPMd", 99: "AES",
}  # fmt: skip
_READABLE = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA} | (
    {93} if hasattr(zipfile, "ZIP_ZSTANDARD") else set()
)
# Systems whose external attributes hold a Unix mode: Unix and macOS.
_UNIX = (3, 19)
_LINK_BYTES = 4096
# Extra fields: extended time stamp, NTFS times, Unicode name. Source: APPNOTE 4.5.5, 4.6.9; Info-ZIP's extrafld.txt
_TIMES, _NTFS, _UNICODE = 0x5455, 0x000A, 0x7075
_FILETIME_OF_1970 = 116_444_736_000_000_000


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a member's bytes may stand: from its local header to the next one."""

    archive: zipfile.ZipFile
    file: BinaryIO
    info: zipfile.ZipInfo
    end: int
    memory_bytes: int
    meter: Meter


def ends_like_zip(file: BinaryIO, size_bytes: int) -> bool:
    """Whether a zip archive stands behind something else, a program that unpacks it for instance."""
    file.seek(max(0, size_bytes - _END_BYTES))
    return _END_MAGIC in file.read(_END_BYTES) and zipfile.is_zipfile(file)


def zip_entries(file: BinaryIO, limits: Limits, meter: Meter) -> list[Entry]:
    """All members. COST: 0.5 kB of memory for each, before anything is written.

    Raises:
        Refused: damaged, a bomb by overlapping members, or more members than `limits`.
    """
    with reading("the zip archive"):
        archive = zipfile.ZipFile(file)
    infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
    if len(infos) > limits.members:
        raise Refused(f"the archive holds more than {limits.members:,} members")
    ends = [*(info.header_offset for info in infos), archive.start_dir][1:]
    entries = []
    for info, end in zip(infos, ends, strict=True):
        if info.header_offset + _LOCAL.size + info.compress_size > end:
            raise _overlap(info)
        entries.append(_entry(_Place(archive, file, info, end, limits.memory_bytes, meter)))
    return entries


def _entry(place: _Place) -> Entry:
    info = place.info
    name = _name(info)
    sort = _sort(info, name)
    if info.flag_bits & _ENCRYPTED:
        raise Refused("the zip archive is encrypted, and there is no password to give", "publish it without a password")
    if sort is Sort.FOLDER and info.file_size:
        raise Refused(f"its folder {shown(name)} holds bytes as if it were a file")
    blocks = _Blocks(place)
    return Entry(
        name=name,
        sort=sort,
        size_bytes=info.file_size if sort is Sort.FILE else 0,
        modified_ns=_time(info),
        executable=sort is Sort.FILE and info.create_system in _UNIX and bool(info.external_attr >> 16 & 0o111),
        leads=_target(info, blocks) if sort is Sort.SYMLINK else "",
        blocks=blocks,
    )


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The bytes of a member, opened when they are asked for: what is not wanted costs nothing."""

    place: _Place

    def __iter__(self) -> Iterator[bytes]:
        place, done = self.place, 0
        with reading("the zip archive"), _open(place) as stream:
            while block := stream.read(BLOCK_BYTES):
                done += len(block)
                place.meter.came(len(block))
                yield block
        if done != place.info.file_size:
            raise Refused(f"the zip archive is damaged: {shown(_name(place.info))} has {done} bytes, not {place.info.file_size}")


def _open(place: _Place) -> IO[bytes]:
    """The member, once its local header has been compared with the directory."""
    info, file = place.info, place.file
    file.seek(info.header_offset)
    fixed = file.read(_LOCAL.size)
    if len(fixed) < _LOCAL.size or fixed[:4] != _LOCAL_MAGIC:
        raise zipfile.BadZipFile(f"no local header at {info.header_offset}")
    _, _, flags, method, _, _, _, _, _, name_bytes, extra_bytes = _LOCAL.unpack(fixed)
    if file.read(name_bytes) != _raw_name(info):
        raise Refused(f"the zip archive gives {shown(_name(info))} two names, one of them hidden")
    if method != info.compress_type or (flags ^ info.flag_bits) & _ENCRYPTED:
        raise Refused(f"the zip archive says two things about {shown(_name(info))}")
    begin = info.header_offset + _LOCAL.size + name_bytes + extra_bytes
    if begin + info.compress_size > place.end:
        raise _overlap(info)
    if info.compress_type not in _READABLE:
        kind = _METHODS.get(info.compress_type, f"method {info.compress_type}")
        raise Refused(
            f"its member {shown(_name(info))} is compressed as {kind}, which is not read here", "pack it again with Deflate"
        )
    if info.compress_type == zipfile.ZIP_LZMA:
        _check_lzma(file, begin, place.memory_bytes)
    return place.archive.open(info)


def _check_lzma(file: BinaryIO, begin: int, memory_bytes: int) -> None:
    """The dictionary's size, which liblzma would take as told. Source: APPNOTE 5.8.8."""
    file.seek(begin)
    head = file.read(9)
    if len(head) == 9 and int.from_bytes(head[5:9], "little") > memory_bytes:
        raise Refused("the zip archive wants more memory than there is for it")


def _sort(info: zipfile.ZipInfo, name: str) -> Sort:
    if name.endswith("/"):
        return Sort.FOLDER
    mode = info.external_attr >> 16 if info.create_system in _UNIX else 0
    for test, sort in (
        (stat.S_ISLNK, Sort.SYMLINK),
        (stat.S_ISDIR, Sort.FOLDER),
        (stat.S_ISFIFO, Sort.FIFO),
        (stat.S_ISSOCK, Sort.SOCKET),
        (stat.S_ISBLK, Sort.DEVICE),
        (stat.S_ISCHR, Sort.DEVICE),
    ):
        if test(mode):
            return sort
    return Sort.FILE


def _target(info: zipfile.ZipInfo, blocks: Blocks) -> str:
    if info.file_size > _LINK_BYTES:
        raise Refused(f"its link {shown(_name(info))} leads to a path of {info.file_size} bytes")
    return decode(b"".join(bytes(block) for block in blocks), "latin-1")


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    """The name's bytes in the directory, which zipfile has decoded as the flag says."""
    return info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")


def _name(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & _UTF8:
        return info.orig_filename
    name = _raw_name(info)
    better = _extra(info, _UNICODE)
    if better[:1] == b"\1" and better[1:5] == struct.pack("<L", zlib.crc32(name)):
        return decode(better[5:], "cp437")
    return decode(name, "cp437")


def _time(info: zipfile.ZipInfo) -> int:
    """Nanoseconds since 1970. The old field is local time of an unknown place: taken as UTC, so that all machines agree."""
    extended = _extra(info, _TIMES)
    if len(extended) >= 5 and extended[0] & 1:
        return int.from_bytes(extended[1:5], "little", signed=True) * 10**9
    ntfs = _extra(info, _NTFS)
    if len(ntfs) >= 16 and ntfs[4:8] == b"\x01\x00\x18\x00":
        return (int.from_bytes(ntfs[8:16], "little") - _FILETIME_OF_1970) * 100
    try:
        return calendar.timegm((*info.date_time, 0, 0, 0)) * 10**9
    except ValueError:  # month 0, day 32 and the like
        return 0


def _extra(info: zipfile.ZipInfo, wanted: int) -> bytes:
    """The data of one extra field; empty where there is none."""
    data, at = info.extra, 0
    while at + 4 <= len(data):
        kind, size = struct.unpack_from("<HH", data, at)
        if kind == wanted:
            return data[at + 4 : at + 4 + size]
        at += 4 + size
    return b""


def _overlap(info: zipfile.ZipInfo) -> Refused:
    return Refused(f"the zip archive lets {shown(_name(info))} share its bytes with another member: it looks like a bomb")
