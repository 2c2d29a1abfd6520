"""A file's pieces as a picture for people: a digit for each part, 0 empty, 9 full."""

from __future__ import annotations

from itertools import pairwise

from conda_assets.transport import Tiding

__all__ = ["picture"]

_PARTS = 100


def picture(tiding: Tiding, size_bytes: int | None) -> str:
    """Up to 100 digits; empty where nothing is known of pieces."""
    if not size_bytes or not tiding.piece_bytes or not tiding.bits:
        return ""
    count = -(-size_bytes // tiding.piece_bytes)
    bits = f"{int.from_bytes(tiding.bits, 'big'):0{len(tiding.bits) * 8}b}"[:count]
    parts = min(_PARTS, count)
    edges = [part * count // parts for part in range(parts + 1)]
    # A part is full only when all of it is there.
    return "".join(str(bits[a:b].count("1") * 9 // (b - a)) for a, b in pairwise(edges))
