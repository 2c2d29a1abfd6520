"""Bit fields of pieces, as aria2 keeps them: piece 0 is the highest bit of the first byte, spare bits are 0."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "count_pieces",
    "done_bytes",
    "empty_bits",
    "front_bytes",
    "has_piece",
    "is_sound",
    "length_of",
    "piece_bytes_for",
    "with_pieces",
    "without_spans",
]

_MIB = 1 << 20
#: The smallest piece that aria2 takes, and the largest that we ask for. Source: aria2c(1), --piece-length.
_SMALLEST, _LARGEST = _MIB, 16 * _MIB
# Pieces for each connection. Each holds two at a time, so the front lags 1/16 of the file at most.
_EACH = 32


def piece_bytes_for(size_bytes: int, connections: int) -> int:
    """The piece length for a file: a power of two, as large as the front and the tail of the transfer bear.

    With 16 connections: 1 MiB below 1 GB, 4 MiB from 2.1 GB, 16 MiB from 8.6 GB on. Larger pieces mean fewer requests; smaller
    ones let the hash follow closely and let all connections end together.
    """
    target = size_bytes // (max(1, connections) * _EACH)
    length = _SMALLEST
    while length * 2 <= min(target, _LARGEST):
        length *= 2
    return length


def count_pieces(size_bytes: int, piece_bytes: int) -> int:
    """How many pieces a file has."""
    return -(-size_bytes // piece_bytes)


def empty_bits(size_bytes: int, piece_bytes: int) -> bytes:
    """The field of a file of which nothing is there."""
    return bytes(-(-count_pieces(size_bytes, piece_bytes) // 8))


def is_sound(bits: bytes, size_bytes: int, piece_bytes: int) -> bool:
    """The field has the length that fits the file, and no spare bit is set."""
    pieces = count_pieces(size_bytes, piece_bytes)
    spare = len(bits) * 8 - pieces
    return len(bits) == -(-pieces // 8) and (not bits or not bits[-1] & ((1 << spare) - 1))


def has_piece(bits: bytes, index: int) -> bool:
    """That piece is there."""
    return bool(bits[index >> 3] & (0x80 >> (index & 7)))


def length_of(index: int, size_bytes: int, piece_bytes: int) -> int:
    """Bytes of that piece; the last one may be shorter."""
    return min(piece_bytes, size_bytes - index * piece_bytes)


def front_bytes(bits: bytes, size_bytes: int, piece_bytes: int) -> int:
    """Bytes before the first piece that is missing."""
    whole = len(bits) - len(bits.lstrip(b"\xff"))
    pieces = whole * 8
    if whole < len(bits):
        first = bits[whole]
        while first & 0x80:
            pieces, first = pieces + 1, (first << 1) & 0xFF
    return min(pieces * piece_bytes, size_bytes)


def done_bytes(bits: bytes, size_bytes: int, piece_bytes: int) -> int:
    """Bytes of all pieces that are there."""
    total = int.from_bytes(bits, "big").bit_count() * piece_bytes
    last = count_pieces(size_bytes, piece_bytes) - 1
    if last >= 0 and has_piece(bits, last):
        total -= piece_bytes - length_of(last, size_bytes, piece_bytes)
    return total


def with_pieces(bits: bytes, indexes: Iterable[int]) -> bytes:
    """The field with those pieces set."""
    field = bytearray(bits)
    for index in indexes:
        field[index >> 3] |= 0x80 >> (index & 7)
    return bytes(field)


def without_spans(bits: bytes, spans: Iterable[tuple[int, int]], piece_bytes: int) -> bytes:
    """The field without every piece that touches one of the spans (start, end excluded; in bytes)."""
    field = bytearray(bits)
    for start, end in spans:
        for index in range(start // piece_bytes, min(-(-end // piece_bytes), len(bits) * 8)):
            field[index >> 3] &= ~(0x80 >> (index & 7))
    return bytes(field)
