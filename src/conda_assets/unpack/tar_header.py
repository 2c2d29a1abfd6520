"""One 512-byte header of a tar archive, and the records that extend it.

    offset  size  field                     numbers are octal text, or binary behind a first byte of 0x80 or 0xff (GNU)
         0   100  name
       100     8  mode
       124    12  size
       136    12  mtime
       148     8  checksum                  sum of all bytes, its own field taken as spaces
       156     1  type
       157   100  link name
       257     8  magic and version         "ustar\\0" "00" (POSIX) or "ustar  \\0" (GNU); none in the oldest
       345   155  prefix of the name        POSIX only
       386    96  four (offset, size) of a sparse file, then at 482 a flag for more, at 483 its real size: GNU only

Read here rather than by tarfile: that one keeps every member in memory, takes headers of any size, and has known holes in the
Pythons that people have (CVE-2024-6232: time; CVE-2025-8194: no end; CVE-2025-4517: paths).

Source: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar 1.35 manual, "Basic Tar Format".
"""

from __future__ import annotations

from conda_assets.records import dataclass
from conda_assets.unpack.refusal import Refused

__all__ = ["HEADER_BYTES", "Header", "is_header", "number", "parse_header", "parse_records"]

HEADER_BYTES = 512
_DIGITS_OF_A_LENGTH = 20


@dataclass(frozen=True, slots=True)
class Header:
    """A header whose checksum is right. Names are bytes as they stand there. `block`: the whole of it."""

    name: bytes
    mode: int
    size_bytes: int
    modified_s: int
    type: bytes
    leads: bytes
    block: bytes


def is_header(block: bytes) -> bool:
    """Whether 512 bytes are a header: the checksum says so, which other data meets by chance only."""
    if len(block) != HEADER_BYTES or not block.rstrip(b"\0"):
        return False
    try:
        said = number(block[148:156])
    except Refused:
        return False
    return said in _checksums(block)


def parse_header(block: bytes) -> Header:
    """Take a header apart.

    Raises:
        Refused: the checksum or a number is wrong.
    """
    if not is_header(block):
        raise Refused("the tar archive is damaged: a header has a wrong checksum")
    name = _text(block[0:100])
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
        name = prefix + b"/" + name
    return Header(
        name=name,
        mode=number(block[100:108]),
        size_bytes=number(block[124:136]),
        modified_s=number(block[136:148], signed=True),
        type=block[156:157],
        leads=_text(block[157:257]),
        block=block,
    )


def number(field: bytes, *, signed: bool = False) -> int:
    """The number in a field; 0 where it is empty.

    Raises:
        Refused: none, or a negative one where that means nothing.
    """
    if field[:1] in (b"\x80", b"\xff"):
        value = int.from_bytes(field[1:], "big", signed=False)
        if field[:1] == b"\xff":
            value -= 1 << (8 * (len(field) - 1))
    else:
        digits = field.split(b"\0", 1)[0].strip()
        if digits.strip(b"01234567"):
            raise Refused(f"the tar archive is damaged: {field!r} is not a number")
        value = int(digits or b"0", 8)
    if value < 0 and not signed:
        raise Refused("the tar archive is damaged: a size is negative")
    return value


def parse_records(data: bytes) -> dict[str, bytes]:
    """The records `length keyword=value\\n` of an extended header; later ones win.

    Raises:
        Refused: a record does not fit.
    """
    records: dict[str, bytes] = {}
    at = 0
    while at < len(data) and data[at : at + 1] != b"\0":
        space = data.find(b" ", at, at + _DIGITS_OF_A_LENGTH)
        digits = data[at:space] if space > at else b""
        length = int(digits) if digits.isdigit() else 0
        record = data[at : at + length]
        keyword, equals, value = record[space - at + 1 : -1].partition(b"=")
        if not equals or len(record) != length or record[-1:] != b"\n":
            raise Refused("the tar archive is damaged: an extended header cannot be read")
        records[keyword.decode("utf-8", "replace")] = value
        at += length
    return records


def _checksums(block: bytes) -> tuple[int, int]:
    """The sum as the standard has it, and as some old tars did: of signed bytes."""
    unsigned = sum(block[:148]) + sum(block[156:]) + 8 * ord(" ")
    above = sum(byte > 127 for byte in block[:148] + block[156:])
    return unsigned, unsigned - 256 * above


def _text(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]
