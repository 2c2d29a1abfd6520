"""Reading every byte: on all cores, each file once, with progress, and at an end within moments."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from conda_assets.api import reading
from conda_assets.api.reading import File, Reader
from conda_assets.api.verify import locked_pieces, verify
from conda_assets.digest import Follower, Pieces
from conda_assets.events import Event, Progressed, Reading
from conda_assets.model import Health
from conda_assets.terminal.tally import Tally
from lab import Lab
from server import Server, Virtual

BIG = Virtual((24 << 20) + 321, seed=3)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big.bin"
    BIG.write(path)
    return path


def pieces_of(path: Path) -> Pieces:
    follower = Follower(path, frozenset(), 4 << 20)
    follower.advance(path.stat().st_size)
    pieces = follower.pieces()
    assert pieces is not None
    return pieces


def flip(path: Path, at: int) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def read(*files: File) -> tuple[list[str | OSError], list[Event]]:
    seen: list[Event] = []
    with Reader(seen.append) as reader:
        found = reader.digests(files)
    return [found[file] for file in files], seen


class Meeting:
    """A path that is opened only when two threads want it at once, the first time."""

    def __init__(self, path: Path) -> None:
        self._path, self._barrier, self._met = path, threading.Barrier(2), threading.Event()

    def open(self, mode: str, buffering: int) -> object:
        if not self._met.is_set():
            self._barrier.wait(20)
            self._met.set()
        return self._path.open(mode, buffering)


def test_a_file_whose_pieces_are_known_is_read_by_several_threads(big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "cores", lambda: 2)
    monkeypatch.setattr(reading, "_PART_BYTES", 4 << 20)
    (got,), _ = read(File("big", Meeting(big), BIG.sha256, BIG.size, pieces_of(big)))
    assert got == BIG.sha256


def test_a_wrong_piece_leads_to_the_digest_of_the_whole(big: Path) -> None:
    known = pieces_of(big)
    flip(big, BIG.size - 1)
    (got,), _ = read(File("big", big, BIG.sha256, BIG.size, known))
    assert got == digest(big) != BIG.sha256


def test_wrong_pieces_of_a_right_file_prove_nothing(big: Path) -> None:
    """Whoever wrote the lock by hand."""
    known = pieces_of(big)
    forged = Pieces(known.size_bytes, bytes(len(known.digests)))
    (got,), _ = read(File("big", big, BIG.sha256, BIG.size, forged))
    assert got == BIG.sha256


def test_pieces_that_do_not_cover_the_file_are_not_used(big: Path) -> None:
    known = pieces_of(big)
    short = Pieces(known.size_bytes, known.digests[:32])
    with big.open("ab") as file:
        file.write(b"more")
    for pieces in (short, known):
        (got,), _ = read(File("big", big, BIG.sha256, BIG.size + 4, pieces))
        assert got == digest(big)


def test_progress_counts_each_byte_once_and_has_a_pace(big: Path, tmp_path: Path) -> None:
    _, seen = read(File("big", big, BIG.sha256, BIG.size, pieces_of(big)), File("same", big, BIG.sha256, BIG.size))
    for name in ("big", "same"):
        told = [event for event in seen if isinstance(event, Progressed) and event.asset == name]
        counts = [event.done_bytes for event in told]
        assert counts == sorted(counts)
        assert (counts[0], counts[-1]) == (0, BIG.size)
        assert told[-1].bytes_per_s > 0
        assert {event.verified_bytes == event.done_bytes for event in told} == {True}


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (got,), _ = read(File("gone", tmp_path / "gone", BIG.sha256, 5))
    assert isinstance(got, FileNotFoundError)


def test_one_file_under_two_names_is_read_once(lab: Lab) -> None:
    """Two assets with the same bytes are one stored file."""
    with Server() as server:
        url, other = server.add("/a.bin", BIG), server.add("/b.bin", BIG)
        lab.write([{"name": "a", "url": url, "sha256": BIG.sha256}, {"name": "b", "url": other, "sha256": BIG.sha256}])
        lab.sync()
    seen: list[Event] = []
    report = verify(lab.target(), watch=seen.append)
    assert [row.state for row in report.outcomes] == [Health.PRESENT] * 2
    assert seen[0] == Reading(1, BIG.size)
    assert {event.asset for event in seen if isinstance(event, Progressed)} == {"a"}
    flip(lab.placed("a"), 7)
    assert [row.state for row in verify(lab.target()).outcomes] == [Health.DAMAGED] * 2


def test_the_total_is_known_before_the_last_file_is_begun() -> None:
    tally = Tally()
    tally.take(Reading(8, 800), 0.0)
    tally.take(Progressed("a", 0, 100, 0.0, 0, 0), 0.0)
    tally.take(Progressed("a", 100, 100, 0.0, 0, 100), 1.0)
    totals = tally.totals(1.0)
    assert (totals.done_files, totals.files, totals.done_bytes, totals.size_bytes) == (1, 8, 100, 800)
    assert totals.left_s == pytest.approx(7.0)


def test_a_lock_makes_verify_read_by_pieces(lab: Lab) -> None:
    with Server() as server:
        lab.write([{"name": "w", "url": server.add("/w.bin", BIG), "path": "w.bin"}])
        assert lab.call("lock").status == 0
        assert lab.call("sync", "-p", str(lab.prefix())).status == 0
    from conda_assets.api.lockfiles import find_locks, read_locks
    from conda_assets.api.pinning import Use, pin

    spec = pin(lab.spec(), read_locks(find_locks(lab.spec().sources, lab.folder)), Use.PLAIN, environ=os.environ)
    known = locked_pieces(spec.assets)
    assert known == {BIG.sha256: pieces_of(lab.placed("w.bin"))}
    assert lab.call("verify", "-p", str(lab.prefix())).status == 0
    flip(lab.placed("w.bin"), 5)
    (row,) = verify(lab.target(), pieces=known).outcomes
    assert row.state is Health.DAMAGED
    assert row.error is not None
    assert row.error.code == "digest_mismatch"


def test_control_c_ends_it_within_a_stride(big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that are reading stop at the next look, and what waits never begins."""
    monkeypatch.setattr(reading, "cores", lambda: 1)
    monkeypatch.setattr(reading, "_STRIDE_BYTES", 1 << 20)
    seen: list[str] = []
    begun, go = threading.Event(), threading.Event()

    def watch(event: Event) -> None:
        assert isinstance(event, Progressed)
        seen.append(event.asset)
        begun.set()
        assert go.wait(20)

    reader = Reader(watch)
    jobs = [reader.submit(lambda file=file: reader._read(file)) for file in (File(n, big, "", BIG.size) for n in "abc")]
    assert begun.wait(20)
    ending = threading.Thread(target=reader.__exit__, args=(None, None, None))
    reader._stopping.set()
    ending.start()
    go.set()
    ending.join(20)
    assert not ending.is_alive()
    assert seen == ["a"]
    assert [job.cancelled() for job in jobs] == [False, True, True]


def digest(path: Path) -> str:
    follower = Follower(path, frozenset({"sha256"}))
    follower.advance(path.stat().st_size)
    return follower.digests()["sha256"].hex
