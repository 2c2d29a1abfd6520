"""A damaged file costs what is damaged of it: by the store's own sums, by a lock's pieces, over either transport."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from conda_assets.api.repairing import repair
from conda_assets.api.verify import verify
from conda_assets.digest import Digest
from conda_assets.events import Noted
from conda_assets.model import Health, Outcome, State
from conda_assets.store import open_stores
from lab import Lab
from server import Faults, Server, Virtual

pytestmark = pytest.mark.slow

BIG = Virtual((40 << 20) + 12345, seed=7)
MIB = 1 << 20


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def server() -> Server:
    with Server() as server:
        server.add("/w.bin", BIG)
        yield server


def rot(path: Path, *offsets: int, unseen: bool = True) -> None:
    """Other bytes than there were; `unseen`: with the time stamp that there was, as a disk does it."""
    stamp = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        for offset in offsets:
            file.seek(offset)
            byte = file.read(1)
            file.seek(offset)
            file.write(bytes([byte[0] ^ 1]))
    if unseen:
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def mend(lab: Lab, name: str = "env", **settings: object) -> Outcome:
    """Verify, repair; the one row."""
    lab.seen.clear()
    found = verify(lab.target(name))
    assert [row.state for row in found.outcomes] == [Health.DAMAGED]
    settled = replace(lab.settings(), **settings)
    (row,) = repair(lab.spec(), lab.target(name), settled, found, watch=lab.seen.append, environ=os.environ).outcomes
    return row


def is_right(lab: Lab, name: str = "env") -> bool:
    return [row.state for row in verify(lab.target(name)).outcomes] == [Health.PRESENT]


def ranges(server: Server, path: str = "/w.bin") -> Sequence[str]:
    """What was asked for since the last `forget`, the probe apart."""
    return [each.range or "all" for each in server.seen(path) if each.range != "bytes=0-0"]


ENGINES = pytest.mark.parametrize("engine", [{}, {"aria2c": "none"}], ids=["aria2", "plain"])


@ENGINES
@pytest.mark.parametrize("hashed", [True, False], ids=["hashed", "unhashed"])
def test_one_flipped_byte_costs_one_piece(server: Server, lab: Lab, engine: dict[str, object], hashed: bool) -> None:
    asset = {"name": "w", "url": server.url("/w.bin"), "path": "w.bin"}
    lab.write([{**asset, "sha256": BIG.sha256} if hashed else asset])
    lab.sync()
    rot(lab.placed("w.bin"), 17 * MIB + 5)
    server.forget()
    row = mend(lab, **engine)
    assert (row.state, row.sha256) == (State.FETCHED, BIG.sha256), row.because
    assert row.bytes_fetched == MIB
    assert server.sent("/w.bin") <= MIB + 1
    assert is_right(lab)


@ENGINES
def test_several_damaged_pieces_come_and_the_others_stay(server: Server, lab: Lab, engine: dict[str, object]) -> None:
    """The first, the last, which is shorter, and two neighbours."""
    lab.write([{"name": "w", "url": server.url("/w.bin"), "path": "w.bin", "sha256": BIG.sha256}])
    lab.sync()
    rot(lab.placed("w.bin"), 3, 9 * MIB, 10 * MIB, BIG.size - 1)
    server.forget()
    row = mend(lab, **engine)
    assert row.bytes_fetched == 3 * MIB + BIG.size % MIB, row.because
    assert is_right(lab)


def test_a_cut_off_file_is_completed(server: Server, lab: Lab) -> None:
    lab.write([{"name": "w", "url": server.url("/w.bin"), "path": "w.bin", "sha256": BIG.sha256}])
    lab.sync()
    os.truncate(lab.placed("w.bin"), 30 * MIB)
    row = mend(lab)
    assert row.bytes_fetched == BIG.size - 30 * MIB, row.because
    assert is_right(lab)


def test_other_environments_with_the_same_file_are_healed(server: Server, lab: Lab) -> None:
    """A hard link has no name of its own to be damaged under. Their receipts stay right as they are."""
    lab.write([{"name": "w", "url": server.url("/w.bin"), "path": "w.bin", "sha256": BIG.sha256}])
    lab.sync()
    lab.sync("other")
    assert lab.placed("w.bin").samefile(lab.placed("w.bin", "other"))
    rot(lab.placed("w.bin"), 5 * MIB, unseen=False)
    row = mend(lab)
    assert row.bytes_fetched == MIB
    assert is_right(lab)
    assert is_right(lab, "other")
    assert lab.call("status", "-p", str(lab.prefix("other"))).status == 0, "the time stamp is that of before"
    told = [event.text for event in lab.seen if isinstance(event, Noted)]
    assert any(str(lab.placed("w.bin", "other")) in text and "mended as well" in text for text in told)
    assert not list((lab.settings().stores[0] / "quarantine").iterdir())


def test_names_of_the_damaged_file_that_nobody_knows_are_counted(server: Server, lab: Lab) -> None:
    lab.write([{"name": "w", "url": server.url("/w.bin"), "path": "w.bin", "sha256": BIG.sha256}])
    lab.sync()
    os.link(lab.placed("w.bin"), lab.folder / "mine.bin")
    rot(lab.placed("w.bin"), 5 * MIB)
    mend(lab)
    told = [event.text for event in lab.seen if isinstance(event, Noted) and event.level == "warning"]
    assert ["1 other name" in text for text in told] == [True]
    assert is_right(lab)


def test_an_upstream_that_has_changed_is_not_mixed_with_what_was_left(server: Server, lab: Lab) -> None:
    """Nobody vouches for the bytes, and there are others now: they come as they are."""
    lab.write([{"name": "w", "url": server.url("/w.bin"), "path": "w.bin"}])
    lab.sync()
    rot(lab.placed("w.bin"), 17 * MIB)
    newer = Virtual(BIG.size, seed=8)
    server.add("/w.bin", newer)
    row = mend(lab)
    assert (row.state, row.sha256) == (State.FETCHED, newer.sha256), row.because
    assert is_right(lab)


def test_forged_sums_lead_to_the_right_file_all_the_same(server: Server, lab: Lab) -> None:
    """What says which pieces are right is not believed when the whole is not."""
    lab.write([{"name": "w", "url": server.url("/w.bin"), "path": "w.bin", "sha256": BIG.sha256}])
    lab.sync()
    other = Virtual(BIG.size, seed=9)
    server.add("/o.bin", other)
    store = open_stores(lab.settings().stores)
    stored = store.find(Digest("sha256", BIG.sha256))
    assert stored is not None
    # Sums of a file in which one more piece is damaged, and that piece counts as right.
    rot(stored.path, 3 * MIB)
    import zlib

    known = store.pieces_of(BIG.sha256, BIG.size)
    assert known is not None
    assert known.algorithm == "crc32"
    with stored.path.open("rb") as file:
        file.seek(3 * MIB)
        wrong = zlib.crc32(file.read(MIB)).to_bytes(4, "big")
    sums = stored.path.parents[2] / "pieces" / BIG.sha256[:2] / BIG.sha256
    sums.unlink()
    store.note_pieces(stored, replace(known, digests=known.digests[:12] + wrong + known.digests[16:]))
    store.close()
    rot(stored.path, 20 * MIB)
    row = mend(lab)
    assert (row.state, row.sha256) == (State.FETCHED, BIG.sha256), row.because
    assert is_right(lab)


def test_a_lock_tells_which_pieces_of_poisoned_mirrors_are_wrong(lab: Lab) -> None:
    """One of three mirrors is poisoned: only what came from it comes again."""
    with Server(rate=20_000_000) as server:
        good = server.add("/w.bin", BIG)
        lab.write([{"name": "w", "url": good}])
        assert lab.call("lock").status == 0
        (lab.settings().stores[0] / "sha256" / BIG.sha256[:2] / BIG.sha256).unlink()
        bad = server.add("/bad.bin", BIG, Faults(flip=tuple(range(5, BIG.size, 64 << 10))))
        third = server.add("/third.bin", BIG)
        lab.write([{"name": "w", "url": good, "mirrors": [bad, third]}])
        server.forget()
        said = lab.call("sync", "-p", str(lab.prefix()), "--json")
        row = said.rows()["w"]
        assert (said.status, row["state"], row["sha256"]) == (0, "fetched", BIG.sha256), said.err
        assert server.sent("/bad.bin") > 0
        assert row["bytes_fetched"] < BIG.size * 1.8, "from the start it were each byte twice"
