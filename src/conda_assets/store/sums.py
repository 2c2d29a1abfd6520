"""Check sums of the pieces of a stored file, kept beside it: where it is damaged, so that only that comes again.

    pieces/ab/<hex>   {"size_bytes": 548105171, "piece_bytes": 1048576, "algorithm": "crc32", "digests": "<base64>"}

They are of the bytes that the name stands for, whatever becomes of the file, and are made in the pass that hashes what arrives.
Nothing is believed because they say so: a file that was mended by them is hashed as a whole.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from conda_assets.digest import Pieces
from conda_assets.model import Stored
from conda_assets.store.ground import Ground
from conda_assets.store.tree import Tree

__all__ = ["read_sums", "sums_path", "write_sums"]

# 16384 sums of 4 bytes in base64, or 1024 digests of 32.
_LARGEST_BYTES = 128 << 10


def sums_path(tree: Tree, sha256: str) -> Path:
    """Where the sums of the file with that hash are."""
    return tree.folder / "pieces" / sha256[:2] / sha256


def read_sums(tree: Tree, sha256: str, size_bytes: int) -> Pieces | None:
    """None for what is missing, damaged or forged, or does not fit a file of that size: the whole file is then fetched."""
    try:
        with sums_path(tree, sha256).open("rb") as file:
            content = json.loads(file.read(_LARGEST_BYTES))
        pieces = Pieces(int(content["piece_bytes"]), base64.b64decode(content["digests"], validate=True), content["algorithm"])
        fits = content["size_bytes"] == size_bytes and pieces.fits(size_bytes)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return pieces if fits else None


def write_sums(ground: Ground, stored: Stored, pieces: Pieces) -> None:
    """Keep them; what another user of a shared store has written stays.

    Raises:
        OSError: the file system refuses.
    """
    path = sums_path(ground.tree, stored.sha256)
    if read_sums(ground.tree, stored.sha256, stored.size_bytes) is not None:
        return
    ground.folder(path.parent)
    content = {
        "size_bytes": stored.size_bytes,
        "piece_bytes": pieces.size_bytes,
        "algorithm": pieces.algorithm,
        "digests": base64.b64encode(pieces.digests).decode(),
    }
    ground.write(path, json.dumps(content) + "\n")
