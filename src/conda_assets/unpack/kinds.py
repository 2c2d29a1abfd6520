"""Which kind of archive a file is: its first bytes say so, not its name."""

from __future__ import annotations

from enum import Enum
from typing import BinaryIO

from conda_assets.unpack.codecs import Codec
from conda_assets.unpack.limits import Limits
from conda_assets.unpack.names import split
from conda_assets.unpack.refusal import NoArchive, Refused
from conda_assets.unpack.tar_header import HEADER_BYTES
from conda_assets.unpack.tars import looks_like_tar
from conda_assets.unpack.zips import ends_like_zip

__all__ = ["Container", "kind_of", "name_inside"]

_CODECS = (
    (Codec.GZIP, b"\x1f\x8b\x08"),
    (Codec.BZIP2, b"BZh"),
    (Codec.XZ, b"\xfd7zXZ\x00"),
    (Codec.ZSTD, b"\x28\xb5\x2f\xfd"),
)
# A frame to pass over, which some compressors begin with: 0x184D2A50 to 5F. Source: RFC 8878, 3.1.2
_SKIPPABLE = b"\x2a\x4d\x18"
_KNOWN = "zip, tar, tar.gz, tar.bz2, tar.xz, tar.zst, 7z, rar, gz, bz2, xz, zst"
_OTHERS = (
    (b"%PDF", "a PDF document"), (b"\x89HDF", "an HDF5 file"), (b"\x89PNG", "a picture"), (b"\xff\xd8\xff", "a picture"),
    (b"SQLite format 3", "a database"), (b"\x04\x22\x4d\x18", "an .lz4 file"), (b"\x1f\x9d", "a .Z file"),
    (b"LZIP", "an .lz file"), (b"MSCF", "a .cab file"), (b"!<arch>", "an `ar` archive"), (b"xar!", "an .xar archive"),
    (b"\x93NUMPY", "a NumPy array"), (b"PAR1", "a Parquet file"), (b"\x7fELF", "a program"), (b"MZ", "a program"),
)  # fmt: skip


class Container(str, Enum):
    """What holds members. The value is the usual suffix."""

    ZIP = "zip"
    TAR = "tar"
    SEVEN_ZIP = "7z"
    RAR = "rar"


def kind_of(file: BinaryIO, size_bytes: int, name: str) -> Container | Codec:
    """A container, or what the file is compressed with; the file is left at its start.

    `name` decides only where the bytes allow two readings.

    Raises:
        NoArchive: none of those known.
    """
    try:
        file.seek(0)
        head = file.read(HEADER_BYTES)
        return _kind(file, size_bytes, head, name)
    except OSError as error:
        raise Refused(f"the archive cannot be read: {error.strerror or error}") from error
    finally:
        file.seek(0)


def name_inside(name: str, codec: Codec, limits: Limits) -> str:
    """What the one file in a compressed file is called: `name` without the suffix, `data` where that says nothing."""
    bare = name.replace("\\", "/").rsplit("/", 1)[-1]
    stem, dot, suffix = bare.rpartition(".")
    if dot and stem and suffix.lower() in (codec.value, *_ALIASES[codec]):
        bare = stem
    try:
        return "/".join(split(bare, limits)) or "data"
    except Refused:
        return "data"


_ALIASES = {
    Codec.GZIP: ("gzip", "tgz", "bgz", "z"),
    Codec.BZIP2: ("bzip2", "bz", "tbz", "tbz2"),
    Codec.XZ: ("txz",),
    Codec.ZSTD: ("zstd", "tzst"),
}


def _kind(file: BinaryIO, size_bytes: int, head: bytes, name: str) -> Container | Codec:
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06") and not (looks_like_tar(head, name) and ".tar" in name.lower()):
        return Container.ZIP
    if looks_like_tar(head, name):
        return Container.TAR
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        return Container.SEVEN_ZIP
    if head.startswith(b"Rar!\x1a\x07"):
        return Container.RAR
    for codec, magic in _CODECS:
        if head.startswith(magic):
            return codec
    if head[1:4] == _SKIPPABLE and head[0] >> 4 == 5:
        return Codec.ZSTD
    if ends_like_zip(file, size_bytes):
        return Container.ZIP
    raise NoArchive(_described(head))


def _described(head: bytes) -> str:
    if not head:
        return f"it is empty, expected an archive ({_KNOWN})"
    text = head.lstrip()[:15].lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page, not an archive: the server may want a login or a click"
    kind = next((f"it is {kind}" for magic, kind in _OTHERS if head.startswith(magic)), f"it begins with {head[:8].hex(' ')}")
    return f"{kind}, expected an archive ({_KNOWN})"
