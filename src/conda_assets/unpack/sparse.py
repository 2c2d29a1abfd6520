"""Sparse files in tar archives: the map of what is stored, in its four GNU forms, and the bytes with the holes filled.

    old GNU   type `S`; four (offset, size) in the header, 21 in each block that follows while a flag says so
    0.0       pax records GNU.sparse.offset, GNU.sparse.numbytes, repeated: later ones win in our reading, so it is refused
    0.1       pax record GNU.sparse.map=offset,size,offset,size…
    1.0       the stored data begins with the map: decimal lines, first the number of pairs, padded to 512 bytes

Source: GNU tar 1.35 manual, "Storing Sparse Files".
"""

from __future__ import annotations

from collections.abc import Iterator

from conda_assets.records import dataclass
from conda_assets.unpack.flow import Flow
from conda_assets.unpack.refusal import Refused
from conda_assets.unpack.tar_header import HEADER_BYTES, Header, number

__all__ = ["Sparse", "read_sparse"]

_DAMAGED = "the tar archive is damaged: the map of a sparse file cannot be read"
# 1 million pieces: 16 MB of memory, and a map of 20 MB. Real ones have thousands.
_PIECES = 1_000_000
_LINE_BYTES = 32
_ZEROS = memoryview(bytes(1 << 20))


@dataclass(frozen=True, slots=True)
class Sparse:
    """`pieces`: (offset, size) in bytes, in order; `map_bytes`: how many stored bytes the map itself took."""

    pieces: tuple[tuple[int, int], ...]
    size_bytes: int
    map_bytes: int = 0

    def expand(self, flow: Flow) -> Iterator[bytes | memoryview]:
        """The whole file, zeros for the holes; `flow` stands at the first stored piece.

        Raises:
            Refused: as `Flow.pieces`.
        """
        at = 0
        for offset, size in (*self.pieces, (self.size_bytes, 0)):
            while at < offset:
                hole = _ZEROS[: min(len(_ZEROS), offset - at)]
                at += len(hole)
                yield hole
            yield from flow.pieces(size)
            at += size


def read_sparse(header: Header, records: dict[str, bytes], flow: Flow, stored_bytes: int) -> Sparse | None:
    """The map, if the member is a sparse file; `flow` stands after the header, and then at the first piece.

    Raises:
        Refused: the map is wrong.
    """
    if header.type == b"S":
        return _checked(_old(header, flow), number(header.block[483:495]), stored_bytes)
    if "GNU.sparse.map" in records:
        numbers = [_decimal(each) for each in records["GNU.sparse.map"].split(b",")]
        return _checked(_pairs(numbers), _decimal(records.get("GNU.sparse.size", b"")), stored_bytes)
    if records.get("GNU.sparse.major") == b"1":
        pairs, map_bytes = _leading(flow, stored_bytes)
        return _checked(pairs, _decimal(records.get("GNU.sparse.realsize", b"")), stored_bytes, map_bytes)
    if any(keyword.startswith("GNU.sparse.") for keyword in records):
        raise Refused("it holds a sparse file of a form that is not read here", "pack it again without `--sparse`")
    return None


def _old(header: Header, flow: Flow) -> list[tuple[int, int]]:
    pairs = _fields(header.block[386:482], 4)
    more = header.block[482]
    while more:
        block = flow.read(HEADER_BYTES)
        if len(block) != HEADER_BYTES or len(pairs) > _PIECES:
            raise Refused(_DAMAGED)
        pairs += _fields(block[:504], 21)
        more = block[504]
    return pairs


def _fields(data: bytes, count: int) -> list[tuple[int, int]]:
    """(offset, size) in fields of 12 bytes each; an empty one ends them."""
    raws = [data[24 * index : 24 * index + 24] for index in range(count)]
    used = [each for each in raws if each.rstrip(b"\0")]
    return [(number(each[:12]), number(each[12:])) for each in used]


def _leading(flow: Flow, stored_bytes: int) -> tuple[list[tuple[int, int]], int]:
    """The map that stands before the data, and its size in bytes, padding included."""
    taken, data = 0, b""

    def line() -> int:
        nonlocal taken, data
        while b"\n" not in data:
            if len(data) > _LINE_BYTES or taken + HEADER_BYTES > stored_bytes:
                raise Refused(_DAMAGED)
            data += flow.read(HEADER_BYTES)
            taken += HEADER_BYTES
        digits, _, data = data.partition(b"\n")
        return _decimal(digits)

    count = line()
    if count > _PIECES:
        raise Refused(_DAMAGED)
    return _pairs([line() for _ in range(2 * count)]), taken


def _pairs(numbers: list[int]) -> list[tuple[int, int]]:
    if len(numbers) % 2:
        raise Refused(_DAMAGED)
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > _LINE_BYTES:
        raise Refused(_DAMAGED)
    return int(digits)


def _checked(pairs: list[tuple[int, int]], size_bytes: int, stored_bytes: int, map_bytes: int = 0) -> Sparse:
    """The pieces in order, within the file, and as many bytes as are stored."""
    end = 0
    for offset, size in pairs:
        if offset < end:
            raise Refused(_DAMAGED)
        end = offset + size
    if end > size_bytes or sum(size for _, size in pairs) != stored_bytes - map_bytes:
        raise Refused(_DAMAGED)
    return Sparse(tuple(pairs), size_bytes, map_bytes)
