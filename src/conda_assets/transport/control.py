"""aria2's control file (`<data>.aria2`), version 1: read with suspicion, written when ours knows better.

    0001              version, 2 bytes; all numbers are big-endian
    00000000          extension, 4 bytes: 0 for HTTP
    00000000          length of the info hash, 4 bytes: 0 for HTTP
    piece length      4 bytes
    total length      8 bytes
    upload length     8 bytes
    field length      4 bytes, then the bit field
    in-flight count   4 bytes, then for each: index 4, length 4, field length 4, the bit field of its 16 KiB blocks

aria2 fails for ever on a damaged one, and believes a wrong one.

Source: https://aria2.github.io/manual/en/html/technical-notes.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from conda_assets.records import dataclass, replace
from conda_assets.transport import pieces

__all__ = ["BLOCK_BYTES", "Control", "InFlight", "build", "parse", "with_written", "without_spans"]

#: What aria2 counts inside a piece.
BLOCK_BYTES = 16 * 1024
_HEAD = struct.Struct(">HIIIQQI")
_PIECE = struct.Struct(">III")
_COUNT = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class InFlight:
    """A piece that is there in part. `blocks`: bit field of its blocks."""

    index: int
    blocks: bytes


@dataclass(frozen=True, slots=True)
class Control:
    """What is there of a file of `size_bytes`. `bits`: one for each piece of `piece_bytes`."""

    size_bytes: int
    piece_bytes: int
    bits: bytes
    in_flight: tuple[InFlight, ...] = ()

    @property
    def done_bytes(self) -> int:
        """Bytes that are there, whole pieces and blocks."""
        return pieces.done_bytes(self.bits, self.size_bytes, self.piece_bytes) + sum(
            pieces.done_bytes(each.blocks, self._length(each), BLOCK_BYTES) for each in self.in_flight
        )

    @property
    def front_bytes(self) -> int:
        """Bytes before the first piece that is missing."""
        return pieces.front_bytes(self.bits, self.size_bytes, self.piece_bytes)

    @property
    def complete(self) -> bool:
        """Nothing is missing."""
        return self.front_bytes == self.size_bytes

    def _length(self, each: InFlight) -> int:
        return pieces.length_of(each.index, self.size_bytes, self.piece_bytes)


def parse(content: bytes, size_bytes: int) -> Control | None:
    """Read a control file for a file of that size; None unless every byte of it makes sense."""
    try:
        version, extension, hash_bytes, piece_bytes, total, _, field_bytes = _HEAD.unpack_from(content)
        at = _HEAD.size + field_bytes
        bits = content[_HEAD.size : at]
        (count,) = _COUNT.unpack_from(content, at)
        at += _COUNT.size
        if (version, extension, hash_bytes, total) != (1, 0, 0, size_bytes) or not 0 < piece_bytes <= 1 << 30:
            return None
        if not pieces.is_sound(bits, size_bytes, piece_bytes):
            return None
        control = Control(size_bytes, piece_bytes, bits)
        parts: dict[int, InFlight] = {}
        for _ in range(count):
            index, length, block_bytes = _PIECE.unpack_from(content, at)
            at += _PIECE.size
            part = InFlight(index, content[at : at + block_bytes])
            at += block_bytes
            if index in parts or not _fits(control, part, length):
                return None
            parts[index] = part
    except struct.error:
        return None
    return replace(control, in_flight=tuple(parts.values())) if at == len(content) else None


def build(control: Control) -> bytes:
    """The control file that makes aria2 go on from there."""
    parts = [
        _HEAD.pack(1, 0, 0, control.piece_bytes, control.size_bytes, 0, len(control.bits)),
        control.bits,
        _COUNT.pack(len(control.in_flight)),
    ]
    for each in control.in_flight:
        length = pieces.length_of(each.index, control.size_bytes, control.piece_bytes)
        parts += [_PIECE.pack(each.index, length, len(each.blocks)), each.blocks]
    return b"".join(parts)


def without_spans(control: Control, spans: Iterable[tuple[int, int]]) -> Control:
    """The same without every piece and block that touches one of the spans (start, end excluded; in bytes)."""
    spans = tuple(spans)
    if not spans:
        return control
    parts = []
    for each in control.in_flight:
        start = each.index * control.piece_bytes
        length = pieces.length_of(each.index, control.size_bytes, control.piece_bytes)
        near = [(max(0, a - start), min(length, b - start)) for a, b in spans if a < start + length and b > start]
        blocks = pieces.without_spans(each.blocks, near, BLOCK_BYTES)
        if any(blocks):
            parts.append(InFlight(each.index, blocks))
    bits = pieces.without_spans(control.bits, spans, control.piece_bytes)
    return replace(control, bits=bits, in_flight=tuple(parts))


def with_written(control: Control, holes: Iterable[tuple[int, int]]) -> Control:
    """The same and every block that lies between the holes (start, end excluded; in bytes) of a sparse file.

    The block before a hole is left out: its last page may be written in part. Only for files whose digest is checked: a hole that
    the file system fills with zeros of its own would count as written.
    """
    spans, at = [], 0
    for start, end in holes:
        spans.append((at, start))
        at = end
    known = {each.index: each.blocks for each in control.in_flight}
    for start, end in spans:
        for index in range(start // control.piece_bytes, pieces.count_pieces(end, control.piece_bytes)):
            if pieces.has_piece(control.bits, index):
                continue
            begin, length = index * control.piece_bytes, pieces.length_of(index, control.size_bytes, control.piece_bytes)
            first = -(-max(0, start - begin) // BLOCK_BYTES)
            last = (min(length, end - begin) - 1) // BLOCK_BYTES
            if first < last:
                blocks = known.get(index, pieces.empty_bits(length, BLOCK_BYTES))
                known[index] = pieces.with_pieces(blocks, range(first, last))
    return replace(control, in_flight=tuple(InFlight(index, known[index]) for index in sorted(known)))


def _fits(control: Control, part: InFlight, length: int) -> bool:
    if part.index >= pieces.count_pieces(control.size_bytes, control.piece_bytes):
        return False
    expected = pieces.length_of(part.index, control.size_bytes, control.piece_bytes)
    return (
        length == expected
        and pieces.is_sound(part.blocks, expected, BLOCK_BYTES)
        and not pieces.has_piece(control.bits, part.index)
    )
