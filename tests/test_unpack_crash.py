"""Kills, other runs, full disks, odd file systems, and the user's own files in the folder that is replaced."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from archives import TarMember, tar, wrap
from conda_assets.errors import ArchiveRefused, AssetsError, DiskFull, DiskRefused, UnsafePath
from conda_assets.events import Event, Noted, Unpacking
from conda_assets.model import Unpack
from conda_assets.unpack import Limits, Manifest, extract, stands, verify_members
from mounts import MIB, exfat, tmpfs
from users import ANNA, BEN, open_folder

__all__ = ["open_folder"]  # a fixture

TINY = Limits(reserve_bytes=0)
OLD = {"a": b"a, old", "d/b": b"b, old", "d/gone": b"only in the old one", "e/f/g": b"g"}
NEW = {"a": b"a, new", "d/b": b"b, new", "d/c": b"only in the new one", "e/f/g": b"g"}


def pack(files: dict[str, bytes]) -> bytes:
    return tar(*(TarMember(name, data) for name, data in files.items()))


class Place:
    """A folder of the old archive, with or without files of the user's, and the new archive."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.prefix = folder, folder / "prefix"
        self.into = self.prefix / "share" / "assets" / "data"
        (folder / "old.tar").write_bytes(pack(OLD))
        (folder / "new.tar").write_bytes(pack(NEW))
        self.old: Manifest | None = None

    def unpack(self, which: str = "new", **more: object) -> Manifest:
        archive = self.folder / f"{which}.tar"
        return extract(archive, archive.name, self.into, Unpack(), within=self.prefix, old=self.old, limits=TINY, **more)  # type: ignore[arg-type]

    def tree(self) -> dict[str, bytes]:
        return {each.relative_to(self.into).as_posix(): each.read_bytes() for each in self.into.rglob("*") if each.is_file()}

    def beside(self) -> list[str]:
        return sorted(each.name for each in self.into.parent.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.old = place.unpack("old")
    return place


def test_the_new_folder_takes_the_place_of_the_old_one(place: Place) -> None:
    seen: list[Event] = []
    manifest = place.unpack(watch=seen.append)
    assert place.tree() == NEW
    assert stands(manifest, place.into)
    assert [event for event in seen if isinstance(event, Noted)] == []
    assert place.beside() == ["data"]


def test_the_same_archive_again_changes_nothing(place: Place) -> None:
    again = place.unpack("old")
    assert again == place.old
    assert place.tree() == OLD


def test_files_of_the_user_stay_where_they_are(place: Place) -> None:
    mine = place.into / "d" / "mine"
    mine.write_text("mine")
    repository = place.into / "repository" / ".git"
    (repository / "refs").mkdir(parents=True)
    (repository / "HEAD").write_text("ref")
    (place.into / "loose").symlink_to("nowhere")
    (place.into / "nothing" / "in" / "it").mkdir(parents=True)
    inode = mine.stat().st_ino
    seen: list[Event] = []
    place.unpack(watch=seen.append)
    assert place.tree() == {**NEW, "d/mine": b"mine", "repository/.git/HEAD": b"ref"}
    assert mine.stat().st_ino == inode
    assert (repository / "refs").is_dir()
    assert os.readlink(place.into / "loose") == "nowhere"
    assert not (place.into / "nothing").exists()
    assert [event.text for event in seen if isinstance(event, Noted)] == [
        f"{place.into} held files that conda-assets did not put there; they are kept: d/mine, loose, repository/"
    ]


def test_files_that_the_user_changed_are_kept_beside_the_new_ones(place: Place) -> None:
    for name in ("a", "d/gone"):
        (place.into / name).chmod(0o644)
        (place.into / name).write_text("edited")
    (place.into / "e" / "f" / "g").unlink()
    (place.into / "e" / "f" / "g").mkdir()
    (place.into / "e" / "f" / "g" / "mine").write_text("mine")
    (place.into / "d" / "c").write_text("was in the way")
    (place.into / "a.orig").write_text("older")
    place.unpack()
    assert place.tree() == {
        **NEW, "a.orig": b"edited", "a.orig.orig": b"older", "d/gone": b"edited", "d/c.orig": b"was in the way",
        "e/f/g.orig/mine": b"mine",
    }  # fmt: skip


def test_results_in_an_empty_folder_of_the_archive_stay_there(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for name in ("old", "new"):
        (tmp_path / f"{name}.tar").write_bytes(tar(TarMember("out/", type=b"5"), TarMember("x", name.encode())))
    place.old = place.unpack("old")
    (place.into / "out" / "result").write_text("42")
    place.unpack("new")
    assert place.tree() == {"x": b"new", "out/result": b"42"}


def test_a_folder_that_was_unpacked_by_hand_is_taken_over(tmp_path: Path) -> None:
    """No manifest, other time stamps: the bytes say that nothing is lost."""
    place = Place(tmp_path)
    for name, data in {**NEW, "notes": b"mine", "a": b"a, NEW"}.items():
        (place.into / name).parent.mkdir(parents=True, exist_ok=True)
        (place.into / name).write_bytes(data)
    place.unpack()
    assert place.tree() == {**NEW, "notes": b"mine", "a.orig": b"a, NEW"}


def test_a_file_that_only_got_another_time_stamp_is_ours(place: Place) -> None:
    os.utime(place.into / "d" / "gone", ns=(1, 1))
    place.unpack()
    assert place.tree() == NEW


# Everything that the audit hooks of Python tell of and that changes a disk.
_CHANGES = ("os.mkdir", "os.rename", "os.rmdir", "os.remove", "os.link", "os.chmod", "os.utime", "open")


def killed_at(number: int, work: Callable[[], object]) -> bool:
    """Do the work in a fork that kills itself before its n-th change; False when it has fewer."""
    child = os.fork()
    if child == 0:
        count = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal count
            if event in _CHANGES:
                count += 1
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0


def with_user_files(place: Place) -> dict[str, bytes]:
    (place.into / "d" / "mine").write_text("mine")
    (place.into / "a").chmod(0o644)
    (place.into / "a").write_text("edited")
    (place.into / "own").mkdir()
    (place.into / "own" / "x").write_text("x")
    return {"d/mine": b"mine", "own/x": b"x"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("step", [0, *(pytest.param(step, marks=pytest.mark.slow) for step in range(1, 8))])
def test_a_kill_at_any_change_leaves_the_old_or_the_new_folder_or_is_healed(step: int, tmp_path: Path) -> None:
    """Every eighth change from `step` on: all of them, over the eight runs of this test."""
    number = step + 1
    while True:
        if not _one_kill(Place(tmp_path / str(number)), number):
            break
        number += 8
    assert number > 60  # the work has so many changes; fewer would mean that the hook sees nothing


def _one_kill(place: Place, number: int) -> bool:
    place.old = place.unpack("old")
    mine = with_user_files(place)
    before = place.tree()
    was_killed = killed_at(number, place.unpack)
    if place.into.exists():
        now = place.tree()
        ours = {name: data for name, data in now.items() if name not in mine and name != "a.orig"}
        assert ours in ({**OLD, "a": b"edited"}, NEW), number
        if ours != NEW:
            assert now == before
    # The next run, which may know the manifest of the new folder or not.
    manifest = place.unpack()
    assert place.tree() == {**NEW, **mine, "a.orig": b"edited"}, number
    assert place.beside() == ["data"], number
    assert verify_members(manifest, place.into) == []
    return was_killed


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_run_that_heals_may_be_killed_too(tmp_path: Path) -> None:
    for number in range(1, 400, 7):
        place = Place(tmp_path / str(number))
        place.old = place.unpack("old")
        mine = with_user_files(place)
        kills = [killed_at(each, place.unpack) for each in (number, number // 2 + 1, number // 3 + 1, number)]
        place.unpack()
        assert place.tree() == {**NEW, **mine, "a.orig": b"edited"}, number
        assert place.beside() == ["data"], number
        if not any(kills):
            return
    raise AssertionError("the work has no end")


def work_folder(place: Place, pid: int, *, host: str | None = None) -> Path:
    """As `unpack.work` draws it."""
    host = host or hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
    folder = place.into.parent / f".data.{host}-{pid}.unpacking"
    (folder / "new").mkdir(parents=True)
    (folder / "new" / "half").write_text("half")
    return folder


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_what_a_dead_run_left_is_removed_and_what_a_living_one_has_is_not(place: Place) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as living:
        work_folder(place, dead_pid())
        alive = work_folder(place, living.pid)
        elsewhere = work_folder(place, dead_pid(), host="00000000")
        other = place.into.parent / f".data.more.{alive.name.split('.')[2].split('-')[0]}-{dead_pid()}.unpacking"
        other.mkdir()
        place.unpack()
        assert place.beside() == sorted(["data", alive.name, elsewhere.name, other.name])
        # An hour without a sign of life, on a host that cannot be asked.
        os.utime(elsewhere, (time.time() - 3700,) * 2)
        place.unpack()
        assert place.beside() == sorted(["data", alive.name, other.name])
        living.kill()


def test_an_old_folder_without_readable_manifests_is_kept_whole(place: Place) -> None:
    """Nothing is taken for ours then."""
    folder = work_folder(place, dead_pid())
    (folder / "old-0").mkdir()
    (folder / "old-0" / "a").write_bytes(OLD["a"])
    (folder / "old.json").write_text("{")
    place.unpack()
    assert place.tree() == {**NEW, "a.orig": OLD["a"]}


def test_a_stale_folder_that_is_a_link_is_left_alone(place: Place, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (victim / "new").mkdir(parents=True)
    (victim / "old-0").mkdir()
    name = work_folder(place, dead_pid()).name
    planted = place.into.parent / name
    subprocess.run(["rm", "-r", planted], check=True)
    planted.symlink_to(victim)
    with pytest.raises((DiskRefused, UnsafePath)):
        place.unpack()
    assert sorted(each.name for each in victim.iterdir()) == ["new", "old-0"]


def test_a_long_name_leaves_room_for_the_work_folder(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.into = place.prefix / ("x" * 255)
    place.unpack()
    assert place.tree() == NEW


RUN = textwrap.dedent("""
    import sys
    from pathlib import Path
    from conda_assets.model import Unpack
    from conda_assets.unpack import extract, read_manifest, Limits
    folder = Path(sys.argv[1])
    sys.stdin.read()
    for _ in range(int(sys.argv[2])):
        extract(folder / "new.tar", "new.tar", folder / "prefix" / "share" / "assets" / "data", Unpack(),
                within=folder / "prefix", limits=Limits(reserve_bytes=0))
""")


def test_many_runs_at_once_leave_one_whole_folder(place: Place) -> None:
    mine = {f"{folder}mine-{number}": b"mine" for folder in ("", "d/", "e/f/", "own/") for number in range(20)}
    (place.into / "own").mkdir()
    for name, data in mine.items():
        (place.into / name).write_bytes(data)
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", RUN, str(place.folder), "10"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(5)
    ]
    for run in runs:
        assert run.stdin
        run.stdin.close()
    for run in runs:
        assert run.stderr
        assert run.stderr.read() == ""
        run.stderr.close()
        assert run.wait(120) == 0
    kept = {"a.orig": OLD["a"], "d/b.orig": OLD["d/b"], "d/gone": OLD["d/gone"]}
    assert place.tree() == {**NEW, **mine, **kept}
    assert place.beside() == ["data"]


@pytest.mark.slow
def test_kills_at_random_moments_of_a_large_archive(tmp_path: Path) -> None:
    place = Place(tmp_path)
    files = {f"d{number % 50}/f{number}": os.urandom(20_000) for number in range(3000)}
    (tmp_path / "new.tar").write_bytes(wrap("gz", pack(files)))
    for round_ in range(12):
        with subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path), "100"], stdin=subprocess.PIPE) as run:
            assert run.stdin
            run.stdin.close()
            # Long enough for the first bytes, then anywhere.
            with pytest.raises(subprocess.TimeoutExpired):
                run.wait(0.4 + round_ * 0.17)
            run.kill()
        if place.into.exists():
            assert place.tree() == files
    place.unpack()
    assert place.tree() == files
    assert place.beside() == ["data"]


def test_an_interruption_leaves_everything_as_it_was(place: Place) -> None:
    (place.folder / "new.tar").write_bytes(wrap("gz", tar(TarMember("big", os.urandom(4 << 20)))))
    before = place.tree()

    def stop(event: Event) -> None:
        if isinstance(event, Unpacking):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.unpack(watch=stop)
    assert place.tree() == before
    assert place.beside() == ["data"]


def test_a_full_disk_is_said_and_leaves_the_old_folder(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", 8 * MIB) as small:
        place = Place(small)
        place.old = place.unpack("old")
        with (tmp_path / "new.tar").open("wb") as file:
            file.write(tar(TarMember("big", os.urandom(12 << 20))))
        with pytest.raises(DiskFull) as caught:
            extract(tmp_path / "new.tar", "x", place.into, Unpack(), within=place.prefix, limits=TINY)
        assert (caught.value.asset, caught.value.exit_code) == ("data", 1)
        assert place.tree() == OLD
        assert place.beside() == ["data"]
        with pytest.raises(DiskFull):
            extract(tmp_path / "new.tar", "x", place.into, Unpack(), within=place.prefix)
        assert place.beside() == ["data"]


def test_a_disk_without_names_left_is_said(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", 8 * MIB, options=",nr_inodes=400") as small:
        place = Place(small)
        (tmp_path / "new.tar").write_bytes(tar(*(TarMember(f"f{number}") for number in range(600))))
        with pytest.raises(DiskFull):
            extract(tmp_path / "new.tar", "x", place.into, Unpack(), within=place.prefix, limits=TINY)
        assert place.beside() == []


def test_a_file_system_without_links_and_modes_will_do(tmp_path: Path) -> None:
    with exfat(tmp_path / "fat") as folder:
        place = Place(folder)
        members = TarMember("x", b"x" * 1000), TarMember("h", type=b"1", link="x"), TarMember("l", type=b"2", link="h")
        (folder / "new.tar").write_bytes(tar(*members))
        manifest = place.unpack()
        assert place.tree() == dict.fromkeys(["x", "h", "l"], b"x" * 1000)
        assert stands(manifest, place.into)
        place.old = manifest
        assert place.unpack().members == manifest.members


def unpack_as(user: int, place: Place, umask: int = 0o022) -> list[str]:
    """What is noted and said when that user unpacks the new archive, knowing of no old one."""
    if not hasattr(os, "fork") or os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    said = place.folder / f"said-{user}-{time.monotonic_ns()}"
    said.touch()
    os.chown(said, user, user)
    place.old = None
    child = os.fork()
    if child == 0:
        os.umask(umask)
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        with said.open("a") as out:

            def note(event: Event) -> None:
                if isinstance(event, Noted):
                    print(event.text, file=out)

            try:
                place.unpack(watch=note)
            except AssetsError as error:
                print(error, file=out)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return said.read_text().splitlines()


def test_a_folder_that_may_not_be_written_is_said(open_folder: Path) -> None:
    place = Place(open_folder)
    place.unpack("old")
    assert unpack_as(ANNA, place) == [f"data: cannot write into {place.into.parent}: Permission denied"]
    assert place.tree() == OLD


def test_files_in_a_folder_of_another_user_are_kept_with_it(open_folder: Path) -> None:
    """They can be moved neither out of it nor one by one: then all that is left stands aside."""
    place = Place(open_folder)
    place.prefix.mkdir()
    os.chown(place.prefix, ANNA, ANNA)
    assert unpack_as(ANNA, place) == []
    alien = place.into / "d" / "alien"
    alien.mkdir()
    (alien / "x").write_text("x")
    for path in (alien, alien / "x"):
        os.chown(path, BEN, BEN)
    assert unpack_as(ANNA, place) == [f"{place.into} held files that conda-assets did not put there; they are kept: ../data.orig"]
    assert place.tree() == NEW
    assert (place.into.parent / "data.orig" / "d" / "alien" / "x").read_text() == "x"
    assert place.beside() == ["data", "data.orig"]


def test_folders_that_their_owner_locked_are_replaced(open_folder: Path) -> None:
    place = Place(open_folder)
    place.prefix.mkdir()
    os.chown(place.prefix, ANNA, ANNA)
    assert unpack_as(ANNA, place) == []
    (place.into / "d" / "mine").write_text("mine")
    os.chown(place.into / "d" / "mine", ANNA, ANNA)
    for path in (place.into / "d", place.into):
        path.chmod(0o555)
    assert unpack_as(ANNA, place) == [f"{place.into} held files that conda-assets did not put there; they are kept: d/mine"]
    assert place.tree() == {**NEW, "d/mine": b"mine"}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o077, 0o700), (0o002, 0o775)])
def test_folders_have_the_mode_of_the_umask(umask: int, mode: int, open_folder: Path) -> None:
    place = Place(open_folder)
    open_folder.chmod(0o777)
    unpack_as(ANNA, place, umask)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (place.into, place.into / "d")} == {mode}
    assert stat.S_IMODE((place.into / "a").stat().st_mode) == 0o444


def test_nothing_is_left_of_a_decoding_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    (tmp_path / "x").write_bytes(wrap("gz", os.urandom(12 << 20)))
    meter_limits = Limits(total_bytes=1 << 20)
    with pytest.raises(ArchiveRefused):
        extract(tmp_path / "x", "x.gz", tmp_path / "w" / "d", Unpack(), within=tmp_path / "w", limits=meter_limits)
    assert threading.active_count() == before
