"""What a torrent says: its files, and the hash that names it. Of version 1 (and hybrids), in bencoding.

    d 8:announce 28:https://tracker.example/annc 4:info
      d 6:length i1024e 4:name 5:w.bin 12:piece length i16384e 6:pieces 20:… e
    e

Source: https://www.bittorrent.org/beps/bep_0003.html, bep_0009 (magnet links), bep_0047 (padding files)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import BinaryIO
from urllib.parse import parse_qs, urlsplit

from conda_assets.records import dataclass, field

__all__ = [
    "Swarm",
    "Torrent",
    "TorrentFile",
    "info_hash_of",
    "make_torrent",
    "read_torrent",
    "torrent_piece_bytes",
    "torrent_pieces",
]

_DEEPEST = 32
_MOST_FILES = 100_000
# Of torrents of ours. Small, since only whole pieces are passed on; few, since they stand in the lock (40 kB at most).
_LEAST_PIECE_BYTES = 256 << 10
_MOST_PIECES = 2048


@dataclass(frozen=True, slots=True)
class TorrentFile:
    """`index`: counts from 1, as aria2 has it. `path`: relative to the torrent's own folder, POSIX, as it stands there."""

    index: int
    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Torrent:
    """`info_hash`: 40 hex digits. `trackers`: their addresses, which may be secret."""

    name: str
    info_hash: str
    files: tuple[TorrentFile, ...]
    trackers: tuple[str, ...] = field(default=(), repr=False)

    def pick(self, path: str | None) -> TorrentFile:
        """The file of that path; without one the only file.

        Raises:
            LookupError: none or several; the text says what there is.
        """
        found = [each for each in self.files if path in (None, each.path)]
        if len(found) == 1:
            return found[0]
        some = ", ".join(f"`#{each.path}`" for each in self.files[:5]) + (" …" if len(self.files) > 5 else "")
        raise LookupError(f"has no file {path}; it has {some}" if path else f"has {len(self.files)} files: add one of {some}")


@dataclass(frozen=True, slots=True)
class Swarm:
    """Whom a file comes from where that is no server. Trackers' addresses may be secret.

    `metadata`: the torrent, None where only a magnet link is known; `path`: of the file in it, None for the only one.
    `tracker`: of a torrent of ours, whose bytes the publisher's servers have as well; empty for a publisher's own torrent.
    `upload_bytes_per_s`: what others may be given, None for no limit.
    """

    info_hash: str
    path: str | None
    metadata: bytes | None = field(default=None, repr=False)
    magnet: str = field(default="", repr=False)
    tracker: str = field(default="", repr=False)
    upload_bytes_per_s: int | None = 256 << 10


def torrent_piece_bytes(size_bytes: int) -> int:
    """Bytes of a piece in a torrent of ours: from 256 KiB, so that there are at most 2048."""
    length = _LEAST_PIECE_BYTES
    while length * _MOST_PIECES < size_bytes:
        length *= 2
    return length


def torrent_pieces(file: BinaryIO, size_bytes: int) -> bytes:
    """The sha1 of each piece, 20 bytes each, as a torrent of ours wants them."""
    digests, length = bytearray(), torrent_piece_bytes(size_bytes)
    while block := file.read(length):
        digests += hashlib.sha1(block, usedforsecurity=False).digest()
    return bytes(digests)


def make_torrent(sha256: str, size_bytes: int, pieces: bytes) -> bytes:
    """The torrent of a file: the same for the same bytes, whoever makes it; private, so peers come from the tracker alone.

    >>> read_torrent(make_torrent("ab" * 32, 5, bytes(20))).info_hash
    '6ce06b2aa809cb42f0285ffd493b3d2e258790a1'
    """
    length = torrent_piece_bytes(size_bytes)
    head = b"d4:infod6:lengthi%de4:name64:%s12:piece lengthi%de6:pieces%d:" % (size_bytes, sha256.encode(), length, len(pieces))
    return head + pieces + b"7:privatei1eee"


def info_hash_of(magnet: str) -> str | None:
    """The 40 hex digits that a magnet link names a torrent by; None for links to something else."""
    for topic in parse_qs(urlsplit(magnet).query).get("xt", []):
        kind, _, text = topic.rpartition(":")
        if kind.lower() != "urn:btih":
            continue
        if re.fullmatch("[0-9a-fA-F]{40}", text):
            return text.lower()
        try:
            return base64.b32decode(text.upper()).hex() if len(text) == 32 else None
        except binascii.Error:
            return None
    return None


def read_torrent(content: bytes) -> Torrent:
    """Read the content of a `.torrent`.

    Raises:
        ValueError: it is none, or one of version 2 alone; the text is a clause for people.
    """
    reader = _Reader(content)
    top = reader.whole()
    info = top.get(b"info") if isinstance(top, dict) else None
    if not isinstance(info, dict):
        raise ValueError("it has no `info`")
    if not isinstance(info.get(b"pieces"), bytes):
        raise ValueError("it is of BitTorrent 2, which aria2 does not know")
    files = tuple(_files(info))
    if not files:
        raise ValueError("it has no files")
    start, end = reader.info
    digest = hashlib.sha1(content[start:end], usedforsecurity=False).hexdigest()
    return Torrent(_text(info.get(b"name")), digest, files, _trackers(top if isinstance(top, dict) else {}))


def _trackers(top: dict[bytes, object]) -> tuple[str, ...]:
    tiers = top.get(b"announce-list")
    listed = [each for tier in tiers if isinstance(tier, list) for each in tier] if isinstance(tiers, list) else []
    found = [each.decode("utf-8", "replace") for each in (top.get(b"announce"), *listed) if isinstance(each, bytes)]
    return tuple(dict.fromkeys(found))


def _files(info: dict[bytes, object]) -> list[TorrentFile]:
    rows = info.get(b"files")
    if rows is None:
        return [TorrentFile(1, _text(info.get(b"name")), _size(info.get(b"length")))]
    if not isinstance(rows, list) or len(rows) > _MOST_FILES:
        raise ValueError(f"it has more than {_MOST_FILES} files, or a list of files that is none")
    found = []
    for index, row in enumerate(rows, 1):
        parts = row.get(b"path") if isinstance(row, dict) else None
        if not isinstance(parts, list) or not parts:
            raise ValueError("a file in it has no path")
        if b"p" not in (row.get(b"attr") or b""):
            found.append(TorrentFile(index, "/".join(map(_text, parts)), _size(row.get(b"length"))))
    return found


def _text(value: object) -> str:
    if not isinstance(value, bytes):
        raise ValueError("a name in it is no text")
    return value.decode("utf-8", "replace")


def _size(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("a file in it has no length")
    return value


class _Reader:
    """Bencoding; `info`: where the value of the top dictionary's `info` begins and ends."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0
        self.info = (0, 0)

    def whole(self) -> object:
        value = self._value(0)
        if self._at != len(self._content):
            raise ValueError("it goes on behind its end")
        return value

    def _value(self, depth: int) -> object:
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        sign = self._content[self._at : self._at + 1]
        if sign == b"i":
            return self._number(self._at + 1, b"e")
        if sign == b"l":
            self._at += 1
            values = []
            while not self._ended():
                values.append(self._value(depth + 1))
            return values
        if sign == b"d":
            self._at += 1
            return self._pairs(depth)
        if sign.isdigit():
            return self._bytes()
        raise ValueError("it is not bencoded")

    def _pairs(self, depth: int) -> dict[bytes, object]:
        pairs: dict[bytes, object] = {}
        while not self._ended():
            key = self._bytes()
            start = self._at
            pairs[key] = self._value(depth + 1)
            if depth == 0 and key == b"info":
                self.info = (start, self._at)
        return pairs

    def _ended(self) -> bool:
        if self._content[self._at : self._at + 1] != b"e":
            return False
        self._at += 1
        return True

    def _bytes(self) -> bytes:
        count = self._number(self._at, b":")
        if not 0 <= count <= len(self._content) - self._at:
            raise ValueError("it ends in the middle")
        self._at += count
        return self._content[self._at - count : self._at]

    def _number(self, start: int, stop: bytes) -> int:
        end = self._content.find(stop, start, start + 21)
        text = self._content[start:end] if end > start else b""
        if not re.fullmatch(rb"-?\d+", text):
            raise ValueError("it is not bencoded")
        self._at = end + 1
        return int(text)
