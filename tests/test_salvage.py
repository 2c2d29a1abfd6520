"""What a sparse partial file itself says after a kill in the first second, before anybody has saved anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conda_assets.transport.control import BLOCK_BYTES, Control, InFlight, with_written
from conda_assets.transport.partial import Journal, Partial, Pin
from conda_assets.transport.pieces import empty_bits

MIB = 1 << 20
PIN = Pin(8 * MIB, '"v1"', None)


def sparse(path: Path) -> None:
    """Pieces 0 and 5 in part, as a killed aria2 leaves them."""
    with path.open("wb") as file:
        file.write(b"a" * (10 * BLOCK_BYTES + 5000))
        file.seek(5 * MIB)
        file.write(b"b" * (3 * BLOCK_BYTES))


def tells_holes(folder: Path) -> bool:
    path = folder / "probe"
    with path.open("wb") as file:
        file.seek(4 * MIB)
        file.write(b"x")
        file.flush()
        return hasattr(os, "SEEK_HOLE") and os.lseek(file.fileno(), 0, os.SEEK_HOLE) < 4 * MIB


def test_blocks_between_holes_count_except_the_last_before_a_hole() -> None:
    holes = [(10 * BLOCK_BYTES + 8192, 5 * MIB), (5 * MIB + 3 * BLOCK_BYTES, 8 * MIB)]
    found = with_written(Control(8 * MIB, MIB, empty_bits(8 * MIB, MIB)), holes)
    assert found.in_flight == (
        InFlight(0, bytes([0xFF, 0xC0, 0, 0, 0, 0, 0, 0])),
        InFlight(5, bytes([0xC0, 0, 0, 0, 0, 0, 0, 0])),
    )


def test_a_partial_file_without_a_control_file_goes_on_from_its_blocks(tmp_path: Path) -> None:
    if not tells_holes(tmp_path):
        pytest.skip(f"the file system of {tmp_path} does not tell holes")
    partial = Partial(tmp_path / "data")
    sparse(partial.data)
    partial.write_journal(Journal(PIN, MIB, empty_bits(8 * MIB, MIB)))
    assert Partial(tmp_path / "data").resume(PIN, salvage=True) is not None
    found = Partial(tmp_path / "data").resume(PIN, salvage=True)
    assert found is not None
    assert 11 * BLOCK_BYTES <= found.done_bytes <= 13 * BLOCK_BYTES


def test_without_a_digest_to_check_nothing_is_believed_that_was_not_saved(tmp_path: Path) -> None:
    partial = Partial(tmp_path / "data")
    sparse(partial.data)
    partial.write_journal(Journal(PIN, MIB, empty_bits(8 * MIB, MIB)))
    assert partial.resume(PIN) is None
    assert not partial.data.exists()
