"""Disks that are full, slow to say so, closed, or of another kind: whole syncs, each engine where bytes move."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from conda_assets.api.sync import sync
from conda_assets.errors import DiskFull, DiskRefused, StoreFailed
from conda_assets.events import Event, Progressed
from conda_assets.model import LinkType, Outcome, State
from conda_assets.store import refusal
from conda_assets.transport import Job
from conda_assets.transport.failures import of_disk
from engines import engines
from lab import Lab
from mounts import MIB, exfat, tmpfs
from server import Server, Virtual

pytestmark = pytest.mark.slow

FILE = Virtual(16 * MIB, seed=4)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "lab")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(rate=6_000_000) as server:
        yield server


def brought(
    lab: Lab, engine: object, store: Path, watch: list[Event] | None = None, fill: Path | None = None
) -> tuple[Outcome, ...]:
    """A sync into that store; once a quarter of a file is there, `fill` takes what the disk has left."""

    def look(event: Event) -> None:
        if fill and isinstance(event, Progressed) and event.done_bytes > FILE.size // 4 and not fill.exists():
            with suppress(OSError), fill.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(MIB))

    aria2c = "none" if engine == "pool" else str(engine.path)  # type: ignore[attr-defined]
    settings = replace(lab.settings(), aria2c=aria2c, stores=(store,))
    return sync(lab.spec(), lab.target(), settings, watch=look, environ=os.environ).outcomes


@pytest.mark.parametrize("engine", engines())
def test_a_disk_of_half_the_size_is_refused_before_the_first_byte(
    tmp_path: Path, lab: Lab, server: Server, engine: object
) -> None:
    lab.write([{"name": "big", "url": server.add("/big.bin", FILE), "sha256": FILE.sha256}])
    with tmpfs(tmp_path / "half", FILE.size // 2) as half:
        (row,) = brought(lab, engine, half / "store")
        assert isinstance(row.error, DiskFull), row
        assert (row.error.folder, row.error.needed >= FILE.size, row.error.free <= FILE.size // 2) == (
            str(half / "store"),
            True,
            True,
        )
        assert f"{row.error.free:,} bytes free" in row.error.message
    assert server.sent("/big.bin") <= 1, "the question for the first byte"


def test_files_that_do_not_fit_together_are_refused_together(tmp_path: Path, lab: Lab, server: Server) -> None:
    """Each alone would."""
    files = [Virtual(16 * MIB, seed=seed) for seed in (1, 2, 3)]
    lab.write(
        [
            {"name": f"f{file.seed}", "url": server.add(f"/{file.seed}.bin", file), "sha256": file.sha256, "size": file.size}
            for file in files
        ]
    )
    with tmpfs(tmp_path / "half", 40 * MIB) as half:
        rows = brought(lab, "pool", half / "store")
        needed = {row.error.needed for row in rows if isinstance(row.error, DiskFull)}
        assert ([row.state for row in rows], needed) == ([State.FAILED] * 3, {64 * MIB})
        assert {row.error.asset for row in rows if isinstance(row.error, DiskFull)} == {"f1", "f2", "f3"}
    assert server.sent() == 0


@pytest.mark.parametrize("engine", engines())
def test_a_disk_that_fills_up_meanwhile_costs_nothing_but_the_wait(
    tmp_path: Path, lab: Lab, server: Server, engine: object
) -> None:
    lab.write([{"name": "big", "url": server.add("/big.bin", FILE), "sha256": FILE.sha256}])
    with tmpfs(tmp_path / "disk", 40 * MIB) as disk:
        filler = disk / "filler"
        (row,) = brought(lab, engine, disk / "store", fill=filler)
        assert isinstance(row.error, DiskFull), row
        assert row.error.exit_code == 1
        assert not lab.placed("big").exists()
        filler.unlink()
        (row,) = brought(lab, engine, disk / "store")
        assert (row.state, row.sha256) == (State.FETCHED, FILE.sha256)
        assert row.bytes_fetched <= 0.8 * FILE.size
        assert lab.placed("big").read_bytes() == FILE.read(0, FILE.size)


def test_another_file_system_gets_a_link_to_the_store(tmp_path: Path, lab: Lab, server: Server) -> None:
    lab.write([{"name": "big", "url": server.add("/big.bin", FILE), "sha256": FILE.sha256}])
    with tmpfs(tmp_path / "disk", 64 * MIB) as disk:
        (row,) = brought(lab, "pool", disk / "store")
        assert (row.state, row.link) == (State.FETCHED, LinkType.SYMLINK)
        assert lab.placed("big").read_bytes() == FILE.read(0, FILE.size)


def test_a_disk_without_links_gets_a_copy(tmp_path: Path, lab: Lab, server: Server) -> None:
    lab.write([{"name": "big", "url": server.add("/big.bin", FILE), "sha256": FILE.sha256}])
    with exfat(tmp_path / "stick") as stick:
        (lab.folder / "envs").mkdir()
        (lab.folder / "envs" / "env").symlink_to(stick)
        file = Virtual(2 * MIB, seed=8)
        lab.write([{"name": "small", "url": server.add("/small.bin", file), "sha256": file.sha256}])
        (row,) = brought(lab, "pool", tmp_path / "store")
        assert (row.state, row.link) == (State.FETCHED, LinkType.COPY)
        assert (stick / "share/assets/small").read_bytes() == file.read(0, file.size)


def test_names_that_differ_in_case_alone_are_refused_for_every_disk(lab: Lab, server: Server) -> None:
    url = server.add("/big.bin", FILE)
    lab.write([{"name": "one", "url": url, "path": "A.bin"}, {"name": "two", "url": url, "path": "a.bin"}])
    said = lab.call("sync", "-p", str(lab.prefix()))
    assert said.status == 2
    assert "A.bin" in said.err
    assert server.requests == []


def test_a_path_that_is_too_long_is_said_in_one_line(lab: Lab, server: Server) -> None:
    file = Virtual(1000)
    lab.write([{"name": "deep", "url": server.add("/s.bin", file), "sha256": file.sha256}])
    deep = lab.folder / "/".join(["d" * 200] * 25)
    said = lab.call("sync", "-p", str(deep))
    assert said.status in (1, 2)
    assert "Traceback" not in said.err
    assert "too long" in said.err


def test_a_store_that_cannot_be_written_is_said_in_one_line(tmp_path: Path, lab: Lab, server: Server) -> None:
    lab.write([{"name": "big", "url": server.add("/big.bin", FILE), "sha256": FILE.sha256}])
    with tmpfs(tmp_path / "disk") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        os.environ["CONDA_ASSETS_STORE"] = str(disk / "store")
        said = lab.call("sync", "-p", str(lab.prefix()))
    assert said.status == 1
    assert "Read-only file system" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT], ids=["full", "quota"])
def test_a_quota_is_called_one(tmp_path: Path, code: int) -> None:
    told = of_disk(Job("w", (), tmp_path / "data", 10), OSError(code, os.strerror(code)))
    with pytest.raises(DiskFull) as caught, refusal.refusals(tmp_path, "write into", 10):
        raise OSError(code, os.strerror(code))
    for error in (told, caught.value):
        assert isinstance(error, DiskFull)
        assert ("your disk quota" in error.message) == (code == errno.EDQUOT)


def test_other_refusals_are_no_lack_of_room(tmp_path: Path) -> None:
    assert isinstance(of_disk(Job("w", (), tmp_path / "data", 10), PermissionError(errno.EACCES, "denied")), DiskRefused)
    with pytest.raises(StoreFailed), refusal.refusals(tmp_path, "write into"):
        raise OSError(errno.EROFS, "read-only")
