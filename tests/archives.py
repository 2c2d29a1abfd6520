"""Archives for tests, also such as no packer makes: every field can be given, right or wrong."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

__all__ = ["COMPRESSORS", "TarMember", "ZipMember", "pax", "rar", "seven_zip", "tar", "wrap", "zip_", "zstd_compress"]

BLOCK = 512
MTIME_S = 1_700_000_000


def zstd_compress(data: bytes) -> bytes:
    """One frame with a checksum."""
    zstd = _zstd()
    compressed: bytes = zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})
    return compressed


def _zstd() -> Any:
    try:
        from compression import zstd
    except ImportError:
        zstd = pytest.importorskip("backports.zstd", reason="no Zstandard for this Python")
    return zstd


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd_compress,
}


@dataclass(frozen=True)
class TarMember:
    """One header and what follows it. `size`: what the header says, else the length of `data`."""

    name: bytes | str
    data: bytes = b""
    type: bytes = b"0"
    link: bytes | str = b""
    mode: int = 0o644
    mtime: int = MTIME_S
    size: int | None = None
    magic: bytes = b"ustar\x0000"
    prefix: bytes = b""
    extra: bytes = b""  # from offset 345 on, instead of the prefix
    checksum: int | None = None

    def to_bytes(self) -> bytes:
        size = len(self.data) if self.size is None else self.size
        block = bytearray(BLOCK)
        block[0:100] = _padded(self.name, 100)
        block[100:108] = b"%07o\0" % self.mode
        block[108:124] = b"0000000\0" * 2
        block[124:136] = _number(size)
        block[136:148] = _number(self.mtime)
        block[148:156] = b" " * 8
        block[156:157] = self.type
        block[157:257] = _padded(self.link, 100)
        block[257:265] = self.magic
        block[345:500] = _padded(self.prefix, 155)
        if self.extra:
            block[345 : 345 + len(self.extra)] = self.extra
        checksum = sum(block) if self.checksum is None else self.checksum
        block[148:156] = b"%06o\0 " % checksum
        return bytes(block) + self.data + b"\0" * (-len(self.data) % BLOCK)


def _padded(text: bytes | str, size: int) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    assert len(data) <= size
    return data.ljust(size, b"\0")


def _number(value: int) -> bytes:
    """Octal, or binary where that does not fit."""
    if 0 <= value < 8**11:
        return b"%011o\0" % value
    return (b"\xff" if value < 0 else b"\x80") + (value % (1 << 88)).to_bytes(11, "big")


def pax(records: Sequence[tuple[str, bytes]], type: bytes = b"x") -> TarMember:
    """An extended header."""
    data = b""
    for keyword, value in records:
        rest = b" " + keyword.encode() + b"=" + value + b"\n"
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length = len(str(length)) + len(rest)
        data += str(length).encode() + rest
    return TarMember("PaxHeaders/x", data, type)


def tar(*members: TarMember, end: bytes = b"\0" * 1024) -> bytes:
    """The members and the end mark."""
    return b"".join(member.to_bytes() for member in members) + end


def wrap(codec: str, data: bytes) -> bytes:
    """Compressed, or as it is for the empty codec."""
    return COMPRESSORS[codec](data) if codec else data


@dataclass(frozen=True)
class ZipMember:
    """One member of a zip archive. What the local header says can differ from what the directory says."""

    name: bytes | str
    data: bytes = b""
    method: int = 8
    mode: int = stat.S_IFREG | 0o644
    system: int = 3
    flags: int = 0
    size: int | None = None
    crc: int | None = None
    extra: bytes = b""
    local_name: bytes | None = None
    local_flags: int | None = None
    body: bytes | None = field(default=None, repr=False)  # instead of the compressed data
    at: int | None = None  # offset of the local header that the directory gives
    compressed: int | None = None

    @property
    def raw_name(self) -> bytes:
        return self.name.encode() if isinstance(self.name, str) else self.name


def zip_(*members: ZipMember, comment: bytes = b"", prefix: bytes = b"") -> bytes:
    """Local headers, directory, end."""
    out, directory = bytearray(prefix), bytearray()
    date, time = ((2023 - 1980) << 9) | (11 << 5) | 14, (22 << 11) | (13 << 5) | 10
    for member in members:
        body = member.body if member.body is not None else _deflate(member)
        crc = zlib.crc32(member.data) if member.crc is None else member.crc
        size = len(member.data) if member.size is None else member.size
        length = len(body) if member.compressed is None else member.compressed
        at = len(out) - len(prefix) if member.at is None else member.at
        flags = member.flags | (0x800 if isinstance(member.name, str) and not member.name.isascii() else 0)
        local_flags = flags if member.local_flags is None else member.local_flags
        local = member.raw_name if member.local_name is None else member.local_name
        common = (member.method, time, date, crc, length, size)
        if member.at is None:
            out += struct.pack("<4s2H3H3L2H", b"PK\x03\x04", 20, local_flags, *common, len(local), len(member.extra))
            out += local + member.extra + body
        directory += struct.pack(
            "<4sBBHHHHHLLLHHHHHLL", b"PK\x01\x02", 20, member.system, 20, flags, *common, len(member.raw_name),
            len(member.extra), 0, 0, 0, member.mode << 16, at,
        )  # fmt: skip
        directory += member.raw_name + member.extra
    count, start = len(members) & 0xFFFF, len(out) - len(prefix)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), start, len(comment))
    return bytes(out + directory) + end + comment


def _deflate(member: ZipMember) -> bytes:
    if member.method != 8:
        return member.data
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(member.data) + packer.flush()


def seven_zip(folder: Path, members: Sequence[tuple[str, bytes, dict[str, Any]]]) -> bytes:
    """A 7z archive, made by libarchive; the last of each triple are attributes of the entry."""
    libarchive = pytest.importorskip("libarchive", reason="no libarchive-c", exc_type=Exception)
    path = folder / "made.7z"
    with libarchive.file_writer(str(path), "7zip") as archive:
        for name, data, attributes in members:
            archive.add_file_from_memory(name, len(data), data, **attributes)
    made = path.read_bytes()
    path.unlink()
    return made


def rar(*members: tuple[bytes, bytes]) -> bytes:
    """A RAR 4 archive of stored files. Source: RAR 4.x technote, block headers."""
    out = io.BytesIO()
    out.write(b"Rar!\x1a\x07\x00")
    _rar_block(out, 0x73, 0, b"\0" * 6)
    for name, data in members:
        fixed = struct.pack("<LLBLLBBHL", len(data), len(data), 3, zlib.crc32(data), 0x576E6DAD, 20, 0x30, len(name), 0o100644)
        _rar_block(out, 0x74, 0x8000, fixed + name)
        out.write(data)
    _rar_block(out, 0x7B, 0x4000, b"")
    return out.getvalue()


def _rar_block(out: io.BytesIO, kind: int, flags: int, rest: bytes) -> None:
    body = struct.pack("<BHH", kind, flags, 7 + len(rest)) + rest
    out.write(struct.pack("<H", zlib.crc32(body) & 0xFFFF) + body)
