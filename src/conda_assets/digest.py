"""Digests: parse them, compute them over a stream, follow a file that is still growing."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from conda_assets.records import dataclass, field

__all__ = [
    "ALGORITHMS",
    "Digest",
    "Follower",
    "Pieces",
    "digest_file",
    "digest_part",
    "hash_of",
    "parse_digest",
    "piece_size_for",
    "sum_size_for",
]

#: algorithm → hex digits of its digest
ALGORITHMS = {"sha256": 64, "sha512": 128, "sha1": 40, "md5": 32, "blake3": 64}

# What a core keeps near while a second sum goes over it: 2 GB take 2.5 s in blocks of 1 MiB, 2.3 s so; smaller ones cost calls.
_BLOCK_BYTES = 1 << 18
_LEAST_PIECE_BYTES = 4 << 20
_MOST_PIECES = 1024
_LEAST_SUM_BYTES = 1 << 20
_MOST_SUMS = 16384
# How a piece is told from a damaged one → bytes of its digest.
_PIECE_DIGESTS = {"sha256": 32, "crc32": 4}


@dataclass(frozen=True, slots=True)
class Digest:
    """`algorithm` is one of `ALGORITHMS`, `hex` lower-case digits of the right length."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


@dataclass(frozen=True, slots=True)
class Pieces:
    """The digest of each piece of a file, one after the other; the last piece may be shorter.

    `algorithm`: sha256, 32 bytes each, or crc32, 4 bytes each, which costs a third of a hash beside it: it finds damage, and
    proves nothing to somebody who does not trust the file.
    """

    size_bytes: int
    digests: bytes = field(repr=False)
    algorithm: str = "sha256"

    @property
    def count(self) -> int:
        """How many."""
        return len(self.digests) // _PIECE_DIGESTS[self.algorithm]

    def each(self) -> Iterator[bytes]:
        """Their digests, in order."""
        width = _PIECE_DIGESTS[self.algorithm]
        return (self.digests[at : at + width] for at in range(0, len(self.digests), width))

    def fits(self, size_bytes: int) -> bool:
        """They are as many as a file of that size has."""
        known = self.algorithm in _PIECE_DIGESTS and self.size_bytes > 0
        return known and len(self.digests) == -(-size_bytes // self.size_bytes) * _PIECE_DIGESTS[self.algorithm]


class Hash(Protocol):
    """What hashlib's objects and blake3's have in common."""

    def update(self, data: memoryview, /) -> object:
        """Take in the bytes."""

    def hexdigest(self) -> str:
        """The digest so far, in hex."""

    def digest(self) -> bytes:
        """The digest so far."""


def parse_digest(text: str) -> Digest:
    """Read `algorithm:hex`.

    Raises:
        ValueError: unknown algorithm, wrong length or digits; the text is a sentence for users.
    """
    algorithm, colon, digits = text.partition(":")
    algorithm = algorithm.strip().lower()
    if not colon:
        raise ValueError("expected `algorithm:hex`, for example `sha256:` and 64 hex digits")
    if algorithm not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {algorithm!r}, expected one of {', '.join(ALGORITHMS)}")
    digits = digits.strip().lower()
    if len(digits) != ALGORITHMS[algorithm]:
        raise ValueError(f"expected {ALGORITHMS[algorithm]} hex digits for {algorithm}, got {len(digits)}")
    if set(digits) - set("0123456789abcdef"):
        raise ValueError(f"expected hex digits, got {sorted(set(digits) - set('0123456789abcdef'))}")
    return Digest(algorithm, digits)


def hash_of(algorithm: str) -> Hash:
    """A fresh hash object.

    Raises:
        ModuleNotFoundError: blake3 without its package.
    """
    if algorithm == "blake3":
        import blake3  # optional: hashlib has none

        made: Hash = blake3.blake3()
        return made
    if algorithm == "crc32":
        return _Crc32()
    return hashlib.new(algorithm, usedforsecurity=False)


def piece_size_for(size_bytes: int) -> int:
    """Bytes a piece: a power of two from 4 MiB, so that there are at most 1024 of them (32 KiB of digests)."""
    piece = _LEAST_PIECE_BYTES
    while piece * _MOST_PIECES < size_bytes:
        piece *= 2
    return piece


def sum_size_for(size_bytes: int) -> int:
    """Bytes a check sum: a power of two from 1 MiB, so that there are at most 16384 of them (64 KiB)."""
    piece = _LEAST_SUM_BYTES
    while piece * _MOST_SUMS < size_bytes:
        piece *= 2
    return piece


class _Crc32:
    """zlib's check sum in the clothes of a hash: 3.8 GB/s where sha256 does 1.4."""

    def __init__(self) -> None:
        self._sum = 0

    def update(self, data: memoryview, /) -> None:
        self._sum = zlib.crc32(data, self._sum)

    def digest(self) -> bytes:
        return self._sum.to_bytes(4, "big")

    def hexdigest(self) -> str:
        return self.digest().hex()


class Follower:
    """Hashes the finished front of a file while the rest of it is still arriving.

    `piece_bytes`: hash each piece of that size too, in the same pass, by `piece_algorithm`; 0 for none.
    Not safe for two threads at once; hashlib releases the GIL, so one worker thread a file runs beside the others.
    """

    def __init__(self, path: Path, algorithms: frozenset[str], piece_bytes: int = 0, piece_algorithm: str = "sha256") -> None:
        self._path = path
        self._piece_bytes, self._piece_algorithm = piece_bytes, piece_algorithm
        self._piece, self._pieces = hash_of(piece_algorithm), bytearray()
        self._hashes = {algorithm: hash_of(algorithm) for algorithm in sorted(algorithms)}
        self._buffer = memoryview(bytearray(_BLOCK_BYTES))
        self.done_bytes = 0

    def advance(self, ready_bytes: int) -> None:
        """Take in everything up to `ready_bytes`, an offset from the file's start; never goes back.

        Raises:
            EOFError: the file is shorter than `ready_bytes`.
        """
        if ready_bytes <= self.done_bytes:
            return
        with self._path.open("rb", buffering=0) as file:
            file.seek(self.done_bytes)
            while self.done_bytes < ready_bytes:
                most = min(_BLOCK_BYTES, ready_bytes - self.done_bytes)
                if self._piece_bytes:
                    most = min(most, self._piece_bytes - self.done_bytes % self._piece_bytes)
                count = file.readinto(self._buffer[:most])
                if not count:
                    raise EOFError(f"{self._path} ends at {self.done_bytes}, expected {ready_bytes} bytes")
                block = self._buffer[:count]
                for each in self._hashes.values():
                    each.update(block)
                self.done_bytes += count
                if self._piece_bytes:
                    self._piece.update(block)
                    if self.done_bytes % self._piece_bytes == 0:
                        self._end_piece()

    def pieces(self) -> Pieces | None:
        """The pieces of what was taken in; None for one piece or less, as the file's digest says it."""
        if not self._piece_bytes or self.done_bytes <= self._piece_bytes:
            return None
        last = self._piece.digest() if self.done_bytes % self._piece_bytes else b""
        return Pieces(self._piece_bytes, bytes(self._pieces) + last, self._piece_algorithm)

    def _end_piece(self) -> None:
        self._pieces += self._piece.digest()
        self._piece = hash_of(self._piece_algorithm)

    def digests(self) -> dict[str, Digest]:
        """algorithm → digest of what was taken in so far."""
        return {algorithm: Digest(algorithm, each.hexdigest()) for algorithm, each in self._hashes.items()}


def digest_file(path: Path, algorithms: frozenset[str] = frozenset({"sha256"})) -> dict[str, Digest]:
    """algorithm → digest of the whole file, in one pass over it."""
    follower = Follower(path, algorithms)
    follower.advance(path.stat().st_size)
    return follower.digests()


def digest_part(path: Path, start: int, count: int) -> bytes:
    """The sha256 of so many bytes of a file from `start` on.

    Raises:
        EOFError: it ends before.
    """
    made, end = hash_of("sha256"), start + count
    buffer = memoryview(bytearray(min(_BLOCK_BYTES, count)))
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while start < end:
            got = file.readinto(buffer[: min(_BLOCK_BYTES, end - start)])
            if not got:
                raise EOFError(f"{path} ends at {start}, expected {end} bytes")
            made.update(buffer[:got])
            start += got
    return made.digest()
