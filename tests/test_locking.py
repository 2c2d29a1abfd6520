"""Locks between processes: one has it, the others wait or are told."""

from __future__ import annotations

import multiprocessing
import stat
import time
from pathlib import Path

import pytest

from conda_assets.locking import alone

pytestmark = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")


def keep(path: Path, ready: object, go: object) -> None:
    with alone(path, seconds=5) as mine:
        assert mine
        ready.set()  # type: ignore[attr-defined]
        go.wait(10)  # type: ignore[attr-defined]


def test_another_process_is_waited_for_and_then_told_of(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, go = context.Event(), context.Event()
    process = context.Process(target=keep, args=(tmp_path / "lock", ready, go))
    process.start()
    try:
        assert ready.wait(10)
        began = time.monotonic()
        with alone(tmp_path / "lock", seconds=0.1) as mine:
            assert not mine
        assert time.monotonic() - began >= 0.1
        go.set()
        with alone(tmp_path / "lock", seconds=10) as mine:
            assert mine
    finally:
        go.set()
        process.join()
    assert process.exitcode == 0


def test_the_holder_s_end_is_enough(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, go = context.Event(), context.Event()
    process = context.Process(target=keep, args=(tmp_path / "lock", ready, go))
    process.start()
    assert ready.wait(10)
    process.kill()
    process.join()
    with alone(tmp_path / "lock", seconds=5) as mine:
        assert mine


def test_the_file_has_the_mode_that_is_asked_for_and_stays(tmp_path: Path) -> None:
    for _ in range(2):
        with alone(tmp_path / "lock", seconds=1, mode=0o664) as mine:
            assert mine
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o664


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="lock"), alone(tmp_path / "lock", seconds=1):
        pass
    assert not (tmp_path / "elsewhere").exists()
