"""Placing: one list of rules for every kind of link, and what only one kind can get wrong."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from conda_assets.errors import DiskFull, DiskRefused, StoreFailed, UnsafePath
from conda_assets.link import place, place_if_free, remove_placed, set_aside, stamp, stands
from conda_assets.model import LinkMode, LinkType, Placed, Root, Stored
from conda_assets.paths import LastSpot
from mounts import MIB, btrfs, exfat, tmpfs
from users import ANNA, BEN, open_folder, run_as

__all__ = ["open_folder"]  # a fixture

BODY = b"the bytes of an asset\n" * 5000
LONG_AGO_NS = 1_600_000_000_123_456_700
AUTO, COPY = LinkMode.AUTO, LinkMode.COPY


def put_into_store(folder: Path, body: bytes = BODY) -> Stored:
    """What `Claim.adopt` leaves."""
    sha256 = hashlib.sha256(body).hexdigest()
    path = folder / "sha256" / sha256[:2] / sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    path.chmod(0o444)
    return Stored(path, sha256, len(body), path.stat().st_mtime_ns)


@dataclass(frozen=True)
class Way:
    """A store and an environment on file systems that allow just this kind of link. `modes`: whether there are any."""

    mode: LinkMode
    expected: LinkType
    store: Path
    prefix: Path
    modes: bool = True

    @property
    def target(self) -> Path:
        return self.prefix / "share" / "assets" / "models" / "w.bin"

    def place(self, stored: Stored, target: Path | None = None, *, replace: bool = False) -> LinkType:
        return place(stored, target or self.target, mode=self.mode, within=self.prefix, replace=replace)


WAYS = ["reflink", "hardlink", "symlink", "copy", "private", "private reflink", "private copy"]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Way]:
    kind: str = request.param
    mode = COPY if kind.startswith("private") else AUTO
    here, there = tmp_path / "here", tmp_path / "there"
    with ExitStack() as stack:
        if kind.endswith("reflink"):
            here = there = stack.enter_context(btrfs(tmp_path / "mount"))
        elif kind in ("symlink", "private copy"):
            here = stack.enter_context(tmpfs(tmp_path / "mount"))
        elif kind == "copy":
            there = stack.enter_context(exfat(tmp_path / "mount"))
        expected = {"private": LinkType.COPY, "private reflink": LinkType.REFLINK, "private copy": LinkType.COPY}
        (there / "prefix").mkdir(parents=True)
        yield Way(mode, expected.get(kind) or LinkType(kind), here / "store", there / "prefix", modes=kind != "copy")


@pytest.fixture
def plain(tmp_path: Path) -> Way:
    """Store and environment side by side on the file system of the tests."""
    (tmp_path / "prefix").mkdir()
    return Way(AUTO, LinkType.HARDLINK, tmp_path / "store", tmp_path / "prefix")


def receipt(stored: Stored, target: Path, link: LinkType) -> Placed:
    size_bytes, modified_ns = stamp(target)
    return Placed("w", "w.bin", Root.PREFIX, stored.sha256, size_bytes, modified_ns, link, "", "")


def all_names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# For every kind


def test_the_whole_file_stands_at_its_path_and_nothing_beside_it(way: Way) -> None:
    stored = put_into_store(way.store)
    assert way.place(stored) is way.expected
    assert way.target.read_bytes() == BODY
    assert all_names(way.prefix) == ["share", "share/assets", "share/assets/models", "share/assets/models/w.bin"]
    assert way.target.is_symlink() == (way.expected is LinkType.SYMLINK)
    assert os.path.samefile(way.target, stored.path) == (way.expected in (LinkType.HARDLINK, LinkType.SYMLINK))


def test_it_stands_as_its_receipt_says(way: Way) -> None:
    stored = put_into_store(way.store)
    placed = receipt(stored, way.target, way.place(stored) and way.expected)
    assert stands(way.target, placed)
    if way.modes:
        assert stamp(way.target) == (stored.size_bytes, stored.modified_ns)


def test_the_stored_file_is_left_as_it_was(way: Way) -> None:
    stored = put_into_store(way.store)
    before = stored.path.stat()
    way.place(stored)
    way.place(stored, replace=True)
    remove_placed(way.target, way.prefix)
    after = stored.path.stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_ino, after.st_nlink) == (
        before.st_mode, before.st_mtime_ns, before.st_ino, before.st_nlink,
    )  # fmt: skip
    assert stored.path.read_bytes() == BODY


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002], ids=["022", "077", "002"])
def test_it_is_read_only_unless_it_is_private(way: Way, umask: int) -> None:
    if not way.modes:
        pytest.skip("this file system has no modes")
    stored = put_into_store(way.store)
    before = os.umask(umask)
    try:
        way.place(stored)
    finally:
        os.umask(before)
    mode = stat.S_IMODE(way.target.stat().st_mode)
    assert oct(mode) == oct(0o644 & ~umask if way.mode is COPY else 0o444)


def test_placing_again_changes_nothing(way: Way) -> None:
    stored = put_into_store(way.store)
    way.place(stored)
    before = way.target.lstat()
    for again in (way.place(stored, replace=not way.modes), way.place(stored, replace=True)):
        assert again in (way.expected, LinkType.COPY)
        assert way.target.read_bytes() == BODY
    if way.expected in (LinkType.HARDLINK, LinkType.SYMLINK):
        assert way.target.lstat().st_ino == before.st_ino
    assert len(list(way.target.parent.iterdir())) == 1


FOREIGN = ["file", "same size", "link to a file", "link to nothing", "link to a folder"]


def plant(what: str, target: Path, victim: Path) -> None:
    """Something of the user's at the target; `victim` is a folder outside."""
    target.parent.mkdir(parents=True)
    (victim / "precious").parent.mkdir()
    (victim / "precious").write_bytes(b"precious")
    try:
        if what == "link to a file":
            target.symlink_to(victim / "precious")
        elif what == "link to nothing":
            target.symlink_to(victim / "nothing")
        elif what == "link to a folder":
            target.symlink_to(victim)
        else:
            target.write_bytes(b"mine" if what == "file" else bytes(len(BODY)))
    except OSError as error:
        pytest.skip(f"this file system has no links: {error.strerror}")


def looks(path: Path) -> object:
    info = path.lstat()
    return info.st_mode, info.st_size, info.st_mtime_ns, path.readlink() if path.is_symlink() else path.read_bytes()


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_not_ours_stays_unless_it_may_be_replaced(way: Way, tmp_path: Path, what: str) -> None:
    stored = put_into_store(way.store)
    plant(what, way.target, tmp_path / "victim")
    before = looks(way.target)
    with pytest.raises(UnsafePath, match="was not placed by conda-assets and is left as it is"):
        way.place(stored)
    assert looks(way.target) == before
    assert way.place(stored, replace=True) is way.expected
    assert way.target.read_bytes() == BODY
    assert all_names(tmp_path / "victim") == ["precious"]
    assert (tmp_path / "victim" / "precious").read_bytes() == b"precious"
    assert len(list(way.target.parent.iterdir())) == 1


@pytest.mark.parametrize("may", [False, True], ids=["keep", "replace"])
def test_a_folder_at_the_target_is_never_replaced(way: Way, may: bool) -> None:
    stored = put_into_store(way.store)
    way.target.mkdir(parents=True)
    with pytest.raises(UnsafePath, match="is a folder, expected a file or nothing"):
        way.place(stored, replace=may)
    for act in (lambda: remove_placed(way.target, way.prefix), lambda: set_aside(way.target, within=way.prefix)):
        with pytest.raises(UnsafePath, match="is a folder, expected a file"):
            act()
    assert list(way.target.parent.iterdir()) == [way.target]
    assert list(way.target.iterdir()) == []


def test_another_version_takes_the_place_of_the_first(way: Way) -> None:
    first, second = put_into_store(way.store), put_into_store(way.store, BODY[::-1])
    placed = receipt(first, way.target, way.place(first) and way.expected)
    assert way.place(second, replace=True) is way.expected
    assert way.target.read_bytes() == BODY[::-1]
    # Same size and time stamp: only a symlink says whose it is.
    assert stands(way.target, placed) is (way.expected is not LinkType.SYMLINK)
    assert first.path.read_bytes() == BODY


def test_a_reader_never_misses_the_file_nor_sees_a_part(way: Way) -> None:
    if way.expected is LinkType.COPY and way.mode is AUTO:
        pytest.skip("exfat-fuse unlinks before it renames, for everybody")
    versions = [put_into_store(way.store, bytes([number]) * 300_000) for number in range(2)]
    way.place(versions[0])
    stop, wrong, reads = threading.Event(), [], [0]

    def read() -> None:
        while not stop.is_set():
            try:
                body = way.target.read_bytes()
            except OSError as error:
                wrong.append(str(error))
                return
            if len(body) != 300_000 or len(set(body)) != 1:
                wrong.append(f"{len(body)} bytes of {len(set(body))} versions")
                return
            reads[0] += 1

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(10_000):
            way.place(versions[number % 2], replace=True)
            # On a busy machine the reader has few turns.
            if wrong or (number > 100 and reads[0] > 10):
                break
    finally:
        stop.set()
        reader.join()
    assert wrong == []
    assert reads[0] > 10


def test_a_lost_or_shortened_stored_file_is_noticed_and_the_target_stays(way: Way) -> None:
    stored = put_into_store(way.store)
    way.target.parent.mkdir(parents=True)
    way.target.write_bytes(b"old")
    with pytest.raises(StoreFailed, match=f"has {len(BODY)} bytes, expected 1: verify the store"):
        way.place(replace(stored, size_bytes=1), replace=True)
    stored.path.unlink()
    with pytest.raises(StoreFailed, match="cannot be read: No such file"):
        way.place(stored, replace=True)
    assert way.target.read_bytes() == b"old"
    assert len(list(way.target.parent.iterdir())) == 1


def place_many_times(way: Way, stored: Stored, count: int) -> None:
    for _ in range(count):
        way.place(stored)
        way.place(stored, replace=True)


@pytest.mark.slow
def test_many_processes_may_place_the_same_file(way: Way) -> None:
    if not way.modes:
        pytest.skip("this file system rounds time stamps, so a copy is not known again")
    stored = put_into_store(way.store)
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=place_many_times, args=(way, stored, 20)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8
    assert way.target.read_bytes() == BODY
    assert len(list(way.target.parent.iterdir())) == 1


def test_removing_takes_the_file_and_the_folders_that_are_empty_then(way: Way) -> None:
    stored = put_into_store(way.store)
    other = way.prefix / "share" / "other"
    way.place(stored)
    way.place(stored, other)
    assert remove_placed(way.target, way.prefix) is True
    assert all_names(way.prefix) == ["share", "share/other"]
    assert remove_placed(way.target, way.prefix) is False
    assert remove_placed(other, way.prefix) is True
    assert all_names(way.prefix) == []
    assert remove_placed(other, way.prefix) is False
    assert way.prefix.is_dir()
    assert stored.path.read_bytes() == BODY


def test_it_stands_no_longer_when_anything_about_it_changed(way: Way, tmp_path: Path) -> None:
    stored = put_into_store(way.store)

    def again() -> Placed:
        remove_placed(way.target, way.prefix)
        stored.path.chmod(0o444)
        return receipt(stored, way.target, way.place(stored) and way.expected)

    placed = again()
    assert not stands(way.target, replace(placed, size_bytes=placed.size_bytes + 1))
    assert not stands(way.target, replace(placed, modified_ns=placed.modified_ns + 1))
    way.target.unlink()
    assert not stands(way.target, placed)
    way.target.mkdir()
    assert not stands(way.target, placed)
    way.target.rmdir()
    shutil.copyfile(stored.path, way.target)
    os.utime(way.target, ns=(placed.modified_ns, placed.modified_ns))
    # The same bytes and stamp in a plain file: that is what `conda create --clone` makes of hardlinks and copies.
    assert stands(way.target, placed) is (way.expected is not LinkType.SYMLINK)
    way.target.unlink()
    if way.modes:
        way.target.symlink_to(stored.path)
        assert stands(way.target, placed) is (way.expected is LinkType.SYMLINK)
        way.target.unlink()
        way.target.symlink_to(tmp_path / "elsewhere")
        assert not stands(way.target, placed)


def test_what_is_set_aside_is_never_lost(way: Way) -> None:
    folder = way.target.parent
    folder.mkdir(parents=True)
    for number in range(4):
        way.target.write_bytes(b"%d" % number)
        aside = set_aside(way.target, within=way.prefix)
        assert aside == folder / ("w.bin.orig" + (f".{number}" if number else ""))
        assert not way.target.exists()
    assert [(folder / f"w.bin.orig{end}").read_bytes() for end in ("", ".1", ".2", ".3")] == [b"0", b"1", b"2", b"3"]
    assert len(list(folder.iterdir())) == 4
    with pytest.raises(DiskRefused, match="No such file"):
        set_aside(way.target, within=way.prefix)
    assert len(list(folder.iterdir())) == 4


# Paths that lead elsewhere


@pytest.mark.parametrize(
    "target",
    ["../evil", "a/../../evil", "a/../b", "..", ".", "/etc/evil"],
    ids=["up", "down and up", "turn", "above", "itself", "elsewhere"],
)
def test_a_target_that_is_not_below_is_refused(plain: Way, target: str) -> None:
    stored = put_into_store(plain.store)
    before = all_names(plain.prefix.parent)
    acts: list[Callable[[], object]] = [
        lambda: plain.place(stored, plain.prefix / target, replace=True),
        lambda: remove_placed(plain.prefix / target, plain.prefix),
        lambda: set_aside(plain.prefix / target, within=plain.prefix),
    ]
    for act in acts:
        with pytest.raises(UnsafePath, match="is not below"):
            act()
    assert all_names(plain.prefix.parent) == before


PARENTS = {
    "out": lambda prefix, victim: (prefix / "share").symlink_to(victim),
    "out, relative": lambda prefix, victim: (prefix / "share").symlink_to("../victim"),
    "out, deeper": lambda prefix, victim: ((prefix / "share").mkdir(), (prefix / "share/assets").symlink_to(victim)),
    "out, by way of a link inside": lambda prefix, victim: (
        (prefix / "share").symlink_to("inner"),
        (prefix / "inner").symlink_to(victim),
    ),
    "to the folder itself, then out": lambda prefix, victim: (
        (prefix / "share").symlink_to("."),
        (prefix / "assets").symlink_to(victim),
    ),
    "to nothing outside": lambda prefix, victim: (prefix / "share").symlink_to(victim / "nothing"),
}


@pytest.mark.parametrize("build", PARENTS.values(), ids=PARENTS)
def test_a_link_above_the_target_that_leads_out_is_refused(
    plain: Way, tmp_path: Path, build: Callable[[Path, Path], object]
) -> None:
    stored = put_into_store(plain.store)
    victim = tmp_path / "victim"
    (victim / "models").mkdir(parents=True)
    (victim / "models" / "w.bin").write_bytes(b"precious")
    build(plain.prefix, victim)
    for act in (
        lambda: plain.place(stored, replace=True),
        lambda: remove_placed(plain.target, plain.prefix),
        lambda: set_aside(plain.target, within=plain.prefix),
    ):
        with pytest.raises(UnsafePath, match=r"is a link that leads out of .*prefix, to .*victim") as caught:
            act()
        assert caught.value.asset == "w.bin"
    assert all_names(victim) == ["models", "models/w.bin"]
    assert (victim / "models" / "w.bin").read_bytes() == b"precious"


def test_a_link_above_the_target_that_stays_inside_is_followed(plain: Way) -> None:
    stored = put_into_store(plain.store)
    (plain.prefix / "big").mkdir()
    (plain.prefix / "share").symlink_to("big/disk")  # not there yet
    assert plain.place(stored) is LinkType.HARDLINK
    assert (plain.prefix / "big/disk/assets/models/w.bin").read_bytes() == BODY
    assert remove_placed(plain.target, plain.prefix)
    assert all_names(plain.prefix) == ["share"]


def test_the_outermost_folder_itself_may_be_reached_through_a_link(plain: Way, tmp_path: Path) -> None:
    stored = put_into_store(plain.store)
    (tmp_path / "short").symlink_to(plain.prefix)
    target = tmp_path / "short" / "share" / "w.bin"
    assert place(stored, target, mode=AUTO, within=tmp_path / "short", replace=False) is LinkType.HARDLINK
    assert (plain.prefix / "share" / "w.bin").read_bytes() == BODY


def test_the_outermost_folder_is_made_when_it_is_missing(plain: Way) -> None:
    stored = put_into_store(plain.store)
    plain.prefix.rmdir()
    plain.place(stored)
    assert plain.target.read_bytes() == BODY


def test_links_in_a_circle_end(plain: Way) -> None:
    stored = put_into_store(plain.store)
    (plain.prefix / "share").symlink_to("share")
    with pytest.raises((UnsafePath, DiskRefused)):
        plain.place(stored)


def test_a_file_where_a_folder_should_be_is_named(plain: Way) -> None:
    stored = put_into_store(plain.store)
    (plain.prefix / "share").write_bytes(b"mine")
    with pytest.raises(UnsafePath, match="share is a file, expected a folder"):
        plain.place(stored, replace=True)
    assert (plain.prefix / "share").read_bytes() == b"mine"


@contextmanager
def killed(process: subprocess.Popen[str]) -> Iterator[None]:
    """Whatever happens, the process ends with the block."""
    try:
        yield
    finally:
        process.kill()


EXCHANGE = """
import ctypes, os, sys
exchange = ctypes.CDLL(None, use_errno=True).renameat2
def swap():
    if exchange(-100, os.fsencode(sys.argv[1]), -100, os.fsencode(sys.argv[2]), 2):
        raise OSError(ctypes.get_errno(), "renameat2")
swap(), swap()
print("started", flush=True)
while True:
    swap()
"""


def test_a_folder_that_stays_open_for_the_next_file_is_looked_at_again_for_each(plain: Way, tmp_path: Path) -> None:
    stored, outside = put_into_store(plain.store), tmp_path / "outside"
    outside.mkdir()
    folder, last = plain.target.parent, LastSpot()

    def put(name: str) -> None:
        place(stored, folder / name, mode=AUTO, within=plain.prefix, replace=True, last=last)

    with closing(last):
        put("first")
        put("second")
        folder.rename(folder.with_name("moved"))
        put("third")
        assert {path.name for path in folder.iterdir()} == {"third"}
        folder.rename(folder.with_name("moved-too"))
        folder.symlink_to(outside)
        with pytest.raises(UnsafePath, match="leads out"):
            put("fourth")
        assert not list(outside.iterdir())
        place(stored, plain.prefix / "elsewhere", mode=AUTO, within=plain.prefix, replace=True, last=last)
    assert (plain.prefix / "elsewhere").read_bytes() == BODY


def test_what_stands_at_a_place_stays_when_only_a_free_one_is_wanted(way: Way) -> None:
    stored = put_into_store(way.store)
    assert place_if_free(stored, way.target, mode=way.mode, within=way.prefix) is way.expected
    assert way.target.read_bytes() == BODY
    for mine in ("file", "folder", "link"):
        target = way.prefix / mine
        if mine == "folder":
            target.mkdir()
        elif mine == "file":
            target.write_text("mine")
        else:
            try:
                target.symlink_to("nowhere")
            except OSError:  # exFAT
                continue
        before = target.lstat()
        assert place_if_free(stored, target, mode=way.mode, within=way.prefix) is None
        assert (target.lstat().st_ino, target.lstat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not [name for name in all_names(way.prefix) if ".conda-assets-" in name]
    stored.path.unlink()
    with pytest.raises(StoreFailed):
        place_if_free(stored, way.prefix / "gone", mode=way.mode, within=way.prefix)


@pytest.mark.skipif(os.open not in os.supports_dir_fd, reason="folders cannot be held open here")
def test_exchanging_a_folder_for_a_link_meanwhile_leads_nowhere(plain: Way, tmp_path: Path) -> None:
    stored = put_into_store(plain.store)
    victim, assets, link = tmp_path / "victim", plain.target.parent.parent, plain.prefix / "link"
    (victim / "models").mkdir(parents=True)
    assets.mkdir(parents=True)
    (assets / "keeps this folder").touch()
    link.symlink_to(victim)
    placed = refused = 0
    command = [sys.executable, "-c", EXCHANGE, str(assets), str(link)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as attacker, killed(attacker):
        assert attacker.stdout is not None
        if attacker.stdout.readline() != "started\n":
            pytest.skip(f"no atomic exchange here: {attacker.communicate()[1]}")
        end = time.monotonic() + 20
        while time.monotonic() < end and (placed < 200 or refused < 200):
            try:
                plain.place(stored, replace=True)
                placed += 1
            except UnsafePath as error:
                assert "is a link that leads out of" in error.message  # noqa: PT017
                refused += 1
            with suppress(UnsafePath):
                remove_placed(plain.target, plain.prefix)
            assert all_names(victim) == ["models"]
        assert attacker.poll() is None
    print(f"{placed} placed, {refused} refused")
    assert placed
    assert refused


# Names


@pytest.mark.parametrize("name", ["a b", "ä€😀", "new\nline", "-rf", ".hidden", "x" * 255], ids=lambda name: repr(name[:9]))
def test_any_name_that_the_file_system_takes_is_taken(way: Way, name: str) -> None:
    target = way.prefix / name
    stored = put_into_store(way.store)
    try:
        target.write_bytes(b"")
    except OSError:
        pytest.skip("not a name on this file system")
    target.unlink()
    assert way.place(stored, target) is way.expected
    assert way.place(stored, target, replace=True) in (way.expected, LinkType.COPY)
    assert target.read_bytes() == BODY


def test_a_name_that_is_too_long_is_refused_with_the_asset_and_the_folder(plain: Way) -> None:
    stored = put_into_store(plain.store)
    with pytest.raises(DiskRefused) as caught:
        place(stored, plain.prefix / ("x" * 256), mode=AUTO, within=plain.prefix, replace=False, asset="weights")
    assert caught.value.message == f"weights: cannot write into {plain.prefix}: File name too long"
    assert all_names(plain.prefix) == []


# What the file system refuses


def test_a_copy_that_does_not_fit_leaves_nothing_and_says_how_much_is_missing(tmp_path: Path) -> None:
    stored = put_into_store(tmp_path / "store", bytes(2 * MIB))
    with tmpfs(tmp_path / "small", 1 * MIB) as small:
        target = small / "models" / "w.bin"
        for _ in range(2):
            with pytest.raises(DiskFull) as caught:
                place(stored, target, mode=COPY, within=small, replace=True, asset="weights")
            assert (caught.value.asset, caught.value.needed, caught.value.folder) == ("weights", 2 * MIB, str(target.parent))
            assert list(target.parent.iterdir()) == []
        assert place(stored, target, mode=AUTO, within=small, replace=True) is LinkType.SYMLINK


def test_a_read_only_environment_is_refused_in_one_line(tmp_path: Path) -> None:
    stored = put_into_store(tmp_path / "store")
    with tmpfs(tmp_path / "mount") as mount:
        place(stored, mount / "w.bin", mode=AUTO, within=mount, replace=False)
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        acts: list[Callable[[], object]] = [
            lambda: place(stored, mount / "a" / "b", mode=AUTO, within=mount, replace=False),
            lambda: place(stored, mount / "w.bin", mode=COPY, within=mount, replace=True),
            lambda: remove_placed(mount / "w.bin", mount),
            lambda: set_aside(mount / "w.bin", within=mount),
        ]
        for act in acts:
            with pytest.raises(DiskRefused, match=r"cannot write into .*: Read-only file system"):
                act()
        # Nothing has to be written where it stands already.
        assert place(stored, mount / "w.bin", mode=AUTO, within=mount, replace=True) is LinkType.SYMLINK


@pytest.mark.slow
def test_when_a_file_has_all_the_hardlinks_it_can_have_a_symlink_does(plain: Way) -> None:
    stored = put_into_store(plain.store)
    many = plain.prefix / "many"
    many.mkdir()
    try:
        for number in range(65_100):
            os.link(stored.path, many / str(number))
    except OSError as error:
        assert error.errno == 31  # noqa: PT017 - EMLINK
    else:
        pytest.skip("this file system allows more than 65,100 hardlinks")
    finally:
        assert plain.place(stored) in (LinkType.SYMLINK, LinkType.HARDLINK)
        shutil.rmtree(many)
    assert plain.target.is_symlink()
    assert plain.target.read_bytes() == BODY


PLACE_AS = """
from pathlib import Path
import sys
from conda_assets.link import place
from conda_assets.model import LinkMode, Stored
path, prefix, mode = Path(sys.argv[1]), Path(sys.argv[2]), LinkMode(sys.argv[3])
info = path.stat()
stored = Stored(path, path.name, info.st_size, info.st_mtime_ns)
print(place(stored, prefix / "share" / "w.bin", mode=mode, within=prefix, replace=False).value, end=" ")
print(place(stored, prefix / "share" / "w.bin", mode=mode, within=prefix, replace=False).value)
"""


@pytest.mark.parametrize(("mode", "expected"), [("auto", "symlink symlink"), ("copy", "copy copy")])
def test_a_stored_file_of_another_user_is_linked_as_the_kernel_allows(open_folder: Path, mode: str, expected: str) -> None:
    protected = Path("/proc/sys/fs/protected_hardlinks")
    if not protected.exists() or protected.read_text().strip() != "1":
        pytest.skip("fs.protected_hardlinks is not 1 here, so nobody is refused a hardlink")
    stored = put_into_store(open_folder / "store")
    prefix = open_folder / "prefix"
    prefix.mkdir()
    with suppress(PermissionError):
        os.chown(stored.path, ANNA, ANNA)
        os.chown(prefix, BEN, BEN)
    assert run_as(BEN, PLACE_AS, stored.path, prefix, mode) == expected
    assert (prefix / "share" / "w.bin").read_bytes() == BODY
    info = (prefix / "share" / "w.bin").lstat()
    assert info.st_uid == BEN
    assert stored.path.stat().st_nlink == 1


# Kills


PLACE_FOR_EVER = """
import sys
from pathlib import Path
from conda_assets.link import place
from conda_assets.model import LinkMode, Stored
prefix, mode, *paths = sys.argv[1:]
print("started", flush=True)
while True:
    for path in map(Path, paths):
        info = path.stat()
        stored = Stored(path, path.name, info.st_size, info.st_mtime_ns)
        place(stored, Path(prefix) / "w.bin", mode=LinkMode(mode), within=Path(prefix), replace=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", [AUTO, COPY], ids=["auto", "copy"])
@pytest.mark.parametrize("rounds", [8, pytest.param(40, marks=pytest.mark.slow)])
def test_a_kill_leaves_one_version_or_the_other(plain: Way, mode: LinkMode, rounds: int) -> None:
    versions = [put_into_store(plain.store, bytes([number]) * (3 * MIB)) for number in range(2)]
    target = plain.prefix / "w.bin"
    place(versions[0], target, mode=mode, within=plain.prefix, replace=False)
    command = [sys.executable, "-c", PLACE_FOR_EVER, str(plain.prefix), mode.value, *(str(each.path) for each in versions)]
    for number in range(rounds):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, killed(process):
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
            end = time.monotonic() + 1.1 * number / rounds
            while time.monotonic() < end:
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        body = target.read_bytes()
        assert (len(body), len(set(body))) == (3 * MIB, 1)
    left = [path for path in plain.prefix.iterdir() if path != target]
    # A kill between link and rename, which are next to each other, may leave a second name of a whole file.
    assert all(path.stat().st_size == 3 * MIB for path in left)
    assert len(left) <= 1 + rounds // 8


def test_a_part_that_a_kill_left_long_ago_is_cleared_away_by_the_next_copy(tmp_path: Path) -> None:
    stored = put_into_store(tmp_path / "store")
    with exfat(tmp_path / "mount") as mount:
        old, new, foreign = (mount / name for name in (".conda-assets-old", ".conda-assets-new", "old"))
        for path in (old, new, foreign):
            path.write_bytes(b"part")
        for path in (old, foreign):
            os.utime(path, (time.time() - 7200, time.time() - 7200))
        assert place(stored, mount / "w.bin", mode=AUTO, within=mount, replace=False) is LinkType.COPY
        assert {path.name for path in mount.iterdir()} == {".conda-assets-new", "old", "w.bin"}
