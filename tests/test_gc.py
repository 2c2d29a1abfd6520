"""What `gc` takes and what it leaves: environments, projects, other names, other users, disks that are away."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from conda_assets.api.collect import Policy, Removal, collect, doomed, survey
from conda_assets.api.options import Options
from conda_assets.api.sync import sync
from conda_assets.digest import Digest, digest_file
from conda_assets.events import Event, Planned
from conda_assets.machine import this_machine
from conda_assets.model import LinkType, State, Stored, Verb
from conda_assets.receipt import receipt_path
from conda_assets.store import Standing, Tree, open_stores, read_roots
from conda_assets.store.roots import _mounts, place_now
from conda_assets.store.uses import mark_path
from lab import Lab
from server import Server

pytestmark = pytest.mark.slow

BODY = b"the very bytes\n" * 1000
SHA = hashlib.sha256(BODY).hexdigest()
OTHER = b"other bytes\n" * 500
OTHER_SHA = hashlib.sha256(OTHER).hexdigest()
MOUNTINFO = Path("/proc/self/mountinfo")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        server.add("/w.bin", BODY)
        server.add("/o.bin", OTHER)
        yield server


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def tree() -> Tree:
    return Tree(Path(os.environ["CONDA_ASSETS_STORE"]))


def entry(server: Server, **fields: object) -> dict[str, object]:
    return {"name": "weights", "url": server.url("/w.bin"), "sha256": SHA, **fields}


def stored_in(tree: Tree) -> set[str]:
    return {stored.sha256 for stored in tree.objects()}


def bring(folder: Path, body: bytes, *, algorithms: str = "sha256", urls: tuple[str, ...] = ()) -> Stored:
    with open_stores([folder]) as store, store.claim("key") as claim:  # type: ignore[union-attr]
        claim.data.write_bytes(body)
        digests = digest_file(claim.data, frozenset(algorithms.split()))
        return claim.adopt(digests=digests, size_bytes=len(body), urls=urls)


def used_days_ago(tree: Tree, stored: Stored, days: float) -> None:
    when = time.time() - days * 86400
    for path in (mark_path(tree, stored.sha256), stored.path):
        os.utime(path, (when, when))


def symlinks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the store were on another file system."""
    from conda_assets.link import making

    monkeypatch.setattr(making, "_WAYS", tuple(each for each in making._WAYS if each[0] is LinkType.SYMLINK))


def test_what_an_environment_uses_stays_and_what_none_uses_goes(server: Server, lab: Lab, tree: Tree) -> None:
    lab.write([entry(server)])
    lab.sync()
    bring(tree.folder, OTHER)
    said = lab.call("gc", "--json")
    assert (said.status, said.json["totals"]) == (0, {"removed": 1, "bytes_freed": len(OTHER), "disk_bytes_freed": 8192})
    (row,) = said.json["removed"]  # type: ignore[misc]
    assert (row["kind"], row["sha256"], row["size_bytes"]) == ("file", OTHER_SHA, len(OTHER))
    assert stored_in(tree) == {SHA}
    assert lab.placed("weights").read_bytes() == BODY


def test_a_dry_run_removes_nothing_and_names_the_files(server: Server, lab: Lab, tree: Tree) -> None:
    lab.write([])
    stored = bring(tree.folder, OTHER)
    said = lab.call("gc", "--dry-run")
    assert str(stored.path) in said.out
    assert "Would remove 1 file: 6.0 kB (8.2 kB on the disk)" in said.out
    assert lab.call("gc", "--dry-run", "--json").json["removed"] != []
    assert stored_in(tree) == {OTHER_SHA}
    assert lab.call("gc", "-y").out == "Removed 1 file: 6.0 kB (8.2 kB on the disk)\n"
    assert lab.call("gc", "-y").out == "Nothing to remove\n"


@pytest.mark.parametrize("symlinked", [False, True])
def test_a_removed_environment_is_noticed(
    server: Server, lab: Lab, tree: Tree, monkeypatch: pytest.MonkeyPatch, symlinked: bool
) -> None:
    if symlinked:
        symlinks_only(monkeypatch)
    lab.write([entry(server)])
    for name in ("one", "two"):
        lab.sync(name)
        assert lab.placed("weights", name).is_symlink() == symlinked
    shutil.rmtree(lab.folder / "envs" / "one")
    assert lab.call("gc", "--json").json["removed"] == []
    shutil.rmtree(lab.folder / "envs")
    environments = lab.call("gc", "--dry-run", "--json").json["environments"]
    assert [(each["state"], each["files"]) for each in environments] == [("gone", 0)]  # type: ignore[union-attr]
    assert len(lab.call("gc", "--json").json["removed"]) == 1  # type: ignore[arg-type]
    assert stored_in(tree) == set()
    assert read_roots(tree) == ([], frozenset())


def test_an_environment_made_anew_has_its_bytes_from_the_store_unless_gc_came_first(server: Server, lab: Lab) -> None:
    lab.write([entry(server)])
    lab.sync()
    shutil.rmtree(lab.prefix())
    assert lab.sync().outcomes[0].state is State.LINKED
    shutil.rmtree(lab.prefix())
    lab.call("gc", "-y")
    assert lab.sync().outcomes[0].state is State.FETCHED


def test_a_pruned_asset_is_used_no_longer(server: Server, lab: Lab, tree: Tree) -> None:
    lab.write([entry(server), {"name": "other", "url": server.url("/o.bin")}])
    lab.sync()
    lab.write([entry(server)])
    lab.sync()
    assert lab.call("gc", "--json").json["removed"] == []
    lab.sync(options=Options(prune=True))
    assert len(lab.call("gc", "--json").json["removed"]) == 1  # type: ignore[arg-type]
    assert stored_in(tree) == {SHA}


def test_a_clone_that_only_condas_list_names_is_an_environment(
    server: Server, lab: Lab, tree: Tree, clean_environ: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    symlinks_only(monkeypatch)
    lab.write([entry(server)])
    lab.sync()
    clone = lab.folder / "elsewhere" / "clone"
    shutil.copytree(lab.prefix(), clone, symlinks=True)
    shutil.rmtree(lab.prefix())
    (clean_environ / ".conda").mkdir()
    (clean_environ / ".conda" / "environments.txt").write_text(f"/gone/env\n{clone}\n")
    assert lab.call("gc", "--json").json["removed"] == []
    assert (clone / "share/assets/weights").read_bytes() == BODY


def test_a_link_in_a_project_outlives_its_environment(
    server: Server, lab: Lab, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    symlinks_only(monkeypatch)
    lab.write([entry(server, root="project", path="data/w.bin")])
    lab.sync()
    shutil.rmtree(lab.prefix())
    assert lab.call("gc", "--json").json["removed"] == []
    assert (lab.folder / "data/w.bin").read_bytes() == BODY
    (lab.folder / "data/w.bin").unlink()
    assert len(lab.call("gc", "--json").json["removed"]) == 1  # type: ignore[arg-type]


def test_a_file_with_another_name_anywhere_stays(lab: Lab, tree: Tree) -> None:
    lab.write([])
    stored = bring(tree.folder, BODY)
    os.link(stored.path, lab.folder / "mine")
    assert lab.call("gc", "--json").json["removed"] == []
    (lab.folder / "mine").unlink()
    assert len(lab.call("gc", "--json").json["removed"]) == 1  # type: ignore[arg-type]


def test_an_environment_whose_disk_is_away_is_no_removed_one(
    server: Server, lab: Lab, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `umount`: where the disk was there is an empty folder, with another inode number."""
    symlinks_only(monkeypatch)
    lab.write([entry(server)])
    lab.sync()
    (root,) = read_roots(tree)[0]
    assert root.file
    away = json.loads(root.file.read_text())
    away["place"][1:] = [str(lab.folder), lab.folder.stat().st_ino + 1]
    root.file.write_text(json.dumps(away))
    prefix = lab.folder / "envs" / "env"
    prefix.rename(lab.folder / "aside")
    said = lab.call("gc", "-y")
    assert f"{prefix} cannot be seen from here; what it uses stays" in said.err
    assert f"`conda-assets gc --forget {prefix}`" in said.err
    assert stored_in(tree) == {SHA}
    assert "Removed 1 file" in lab.call("gc", "-y", "--forget", str(prefix)).out
    assert read_roots(tree)[0] == []


def test_an_environment_of_another_machine_cannot_be_missed_here(
    server: Server, lab: Lab, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    symlinks_only(monkeypatch)
    lab.write([entry(server)])
    with monkeypatch.context() as there:
        there.setattr("conda_assets.store.roots.this_machine", lambda: replace(this_machine(), host="node7"))
        lab.sync()
    shutil.rmtree(lab.prefix())
    assert lab.call("gc", "--json").json["removed"] == []
    # Another environment that has the same name here changes nothing.
    lab.write([{"name": "other", "url": server.url("/o.bin")}])
    lab.sync()
    assert lab.call("gc", "--json").json["removed"] == []
    assert stored_in(tree) == {SHA, OTHER_SHA}


def test_a_home_that_two_machines_share_holds_one_environment(
    server: Server, lab: Lab, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = ((lab.folder.stat().st_dev, "nfs4", "filer:/home"),)
    monkeypatch.setattr("conda_assets.store.roots._mounts", lambda: mounts)
    lab.write([entry(server)])
    with monkeypatch.context() as there:
        there.setattr("conda_assets.store.roots.this_machine", lambda: replace(this_machine(), host="node7"))
        lab.sync()
    lab.write([])
    lab.sync(options=Options(prune=True))
    assert len(read_roots(tree)[0]) == 1
    assert len(lab.call("gc", "--json").json["removed"]) == 1  # type: ignore[arg-type]


def test_a_receipt_that_cannot_be_read_uses_what_it_seems_to_name(server: Server, lab: Lab, tree: Tree) -> None:
    lab.write([entry(server, link="copy")])
    lab.sync()
    receipt = receipt_path(lab.prefix())
    receipt.write_text(receipt.read_text().replace('"schema": 1', '"schema": 99'))
    assert lab.call("gc", "--json").json["removed"] == []
    receipt.write_text(f"half of it {SHA}")
    assert lab.call("gc", "--json").json["removed"] == []
    receipt.write_text("{}")
    assert len(lab.call("gc", "--json").json["removed"]) == 1  # type: ignore[arg-type]


def test_an_entry_of_the_register_that_is_damaged_keeps_what_it_names(server: Server, lab: Lab, tree: Tree) -> None:
    lab.write([entry(server)])
    lab.sync()
    (root,) = read_roots(tree)[0]
    assert root.file
    root.file.write_text(f'{{"version": 2, "uses": ["{SHA}"]')
    shutil.rmtree(lab.prefix())
    assert lab.call("gc", "--json").json["removed"] == []


def test_a_sync_that_was_killed_before_its_receipt_is_known(server: Server, lab: Lab, tree: Tree) -> None:
    """Its files may stand there; the register says so before the first does."""
    lab.write([entry(server, link="copy")])
    lab.sync()
    (root,) = read_roots(tree)[0]
    assert root.file
    root.file.write_text(root.file.read_text().replace('"settled": true', '"settled": false'))
    receipt_path(lab.prefix()).unlink()
    assert lab.call("gc", "--json").json["removed"] == []
    lab.write([])
    lab.sync()
    assert len(lab.call("gc", "--json").json["removed"]) == 1  # type: ignore[arg-type]


def test_a_link_that_a_killed_sync_left_is_in_use_while_it_is_there(
    server: Server, lab: Lab, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its receipt was never written, and later syncs are of other files."""
    symlinks_only(monkeypatch)
    lab.write([entry(server)])
    lab.sync()
    (root,) = read_roots(tree)[0]
    assert root.file
    root.file.write_text(root.file.read_text().replace('"settled": true', '"settled": false'))
    receipt_path(lab.prefix()).unlink()
    lab.write([{"name": "other", "url": server.url("/o.bin")}])
    for _ in range(2):
        lab.sync()
        assert lab.call("gc", "--json").json["removed"] == []
        assert lab.placed("weights").read_bytes() == BODY
    lab.placed("weights").unlink()
    lab.sync()
    lab.call("gc", "-y")
    assert stored_in(tree) == {OTHER_SHA}


def test_max_size_takes_the_longest_unused_until_it_fits(lab: Lab, tree: Tree) -> None:
    lab.write([])
    bodies = [bytes([number]) * 1000 for number in range(5)]
    stored = [bring(tree.folder, body) for body in bodies]
    for each, days in zip(stored, (1, 5, 3, 2, 4), strict=True):
        used_days_ago(tree, each, days)
    assert len(lab.call("gc", "--max-size", "3000", "--json").json["removed"]) == 2  # type: ignore[arg-type]
    assert stored_in(tree) == {stored[index].sha256 for index in (0, 2, 3)}
    assert lab.call("gc", "--max-size", "3k", "--json").json["removed"] == []


def test_what_must_stay_beyond_max_size_is_told(server: Server, lab: Lab) -> None:
    lab.write([entry(server)])
    lab.sync()
    assert "15.0 kB must stay, more than the 1.0 kB of --max-size" in lab.call("gc", "--max-size", "1000", "-y").err


def test_older_than_keeps_what_was_used_lately(server: Server, lab: Lab, tree: Tree) -> None:
    lab.write([])
    old, young = bring(tree.folder, BODY), bring(tree.folder, OTHER)
    used_days_ago(tree, old, 31)
    assert len(lab.call("gc", "--older-than", "30d", "--json").json["removed"]) == 1  # type: ignore[arg-type]
    assert stored_in(tree) == {young.sha256}


def test_a_sync_that_links_a_file_has_used_it(server: Server, lab: Lab, tree: Tree) -> None:
    lab.write([entry(server)])
    stored = bring(tree.folder, BODY)
    used_days_ago(tree, stored, 31)
    lab.sync()
    shutil.rmtree(lab.prefix())
    assert lab.call("gc", "--older-than", "30d", "--json").json["removed"] == []


@pytest.mark.parametrize("words", [["--older-than", "30"], ["--older-than", "d"], ["--max-size", "large"]], ids=" ".join)
def test_a_figure_that_cannot_be_meant_is_said(lab: Lab, words: list[str]) -> None:
    lab.write([])
    said = lab.call("gc", *words)
    assert (said.status, "cannot read" in said.err) == (2, True)


def test_choosing_spares_the_recent_and_stops_at_the_size() -> None:
    def removal(name: str, used: int) -> Removal:
        path = Path(name)
        return Removal("file", path, 10, 10, used * 10**9, Stored(path, name, 10, 0))

    files = [removal("a", 50), removal("b", 10), removal("c", 30)]

    def going(**limits: float) -> str:
        return "".join(str(each.path) for each in doomed(files, 100, Policy(**limits), 60 * 10**9))  # type: ignore[arg-type]

    assert going() == "bca"
    assert going(older_than_s=30) == "bc"
    assert going(max_size_bytes=90) == "b"
    assert going(max_size_bytes=70, older_than_s=50) == "b"
    assert going(max_size_bytes=100) == ""


def test_partial_files_and_damaged_ones_go_when_nobody_comes_back(lab: Lab, tree: Tree) -> None:
    lab.write([])
    stored = bring(tree.folder, BODY)
    with open_stores([tree.folder]) as store, store.claim("half") as claim:  # type: ignore[union-attr]
        claim.data.write_bytes(b"half")
        (claim.data.parent / "data.aria2").write_bytes(b"state")
        aside = store.quarantine(stored)
    assert aside
    assert lab.call("gc", "--json").json["removed"] == []
    rows = lab.call("gc", "--older-than", "0", "--json").json["removed"]
    assert {row["kind"]: row["size_bytes"] for row in rows} == {"partial": 9, "quarantine": len(BODY)}  # type: ignore[union-attr]
    assert not aside.exists()
    assert list((tree.folder / "staging").iterdir()) == []


def test_a_partial_file_that_is_growing_is_left_to_its_run(lab: Lab, tree: Tree) -> None:
    lab.write([])
    with open_stores([tree.folder]) as store, store.claim("half") as claim:  # type: ignore[union-attr]
        claim.data.write_bytes(b"half")
        assert lab.call("gc", "--older-than", "0", "--json").json["removed"] == []
        assert claim.data.read_bytes() == b"half"


def test_names_that_lead_nowhere_go_after_a_day(lab: Lab, tree: Tree) -> None:
    lab.write([])
    stored = bring(tree.folder, BODY, algorithms="sha256 md5", urls=("https://x.y/z",))
    names = [path for path, _ in tree.names()]
    assert len(names) == 3
    lab.call("gc", "-y")
    assert not stored.path.exists()
    for path in names[1:]:
        assert path.exists()
        os.utime(path, (1, 1))
    lab.call("gc", "-y")
    assert list(tree.names()) == []


def test_what_a_sync_holds_stays_though_nothing_names_it_yet(lab: Lab, tree: Tree) -> None:
    lab.write([])
    stored = bring(tree.folder, BODY)
    with open_stores([tree.folder], holds=True) as store:
        assert store.find(Digest("sha256", SHA)) == stored
        used_days_ago(tree, stored, 1)
        assert lab.call("gc", "--json").json["removed"] == []
    assert len(lab.call("gc", "--json").json["removed"]) == 1  # type: ignore[arg-type]


def test_what_is_used_between_the_question_and_the_answer_stays(lab: Lab, tree: Tree) -> None:
    lab.write([])
    stored = bring(tree.folder, BODY)
    with survey(lab.settings(), Policy(), os.environ) as findings:
        assert [each.path for each in findings.removals] == [stored.path]
        with open_stores([tree.folder], holds=True) as store:
            assert store.find(Digest("sha256", SHA)) == stored
        assert collect(findings) == ()
    assert stored_in(tree) == {SHA}


def test_what_came_just_now_stays_while_somebody_is_at_work(lab: Lab, tree: Tree) -> None:
    """A download centre has it for somebody who is about to ask."""
    lab.write([])
    stored = bring(tree.folder, BODY)
    with open_stores([tree.folder]) as store, store.claim("another"):  # type: ignore[union-attr]
        assert lab.call("gc", "--json").json["removed"] == []
        used_days_ago(tree, stored, 1)
        assert len(lab.call("gc", "--json").json["removed"]) == 1  # type: ignore[arg-type]


def test_a_file_that_vanishes_between_plan_and_work_is_fetched(server: Server, lab: Lab) -> None:
    lab.write([entry(server)])
    lab.sync()
    shutil.rmtree(lab.prefix())

    def lose(event: Event) -> None:
        if isinstance(event, Planned):
            assert [step.verb for step in event.plan.steps] == [Verb.LINK]
            lab.call("gc", "-y")

    report = sync(lab.spec(), lab.target(), lab.settings(), watch=lose)
    assert report.outcomes[0].state is State.FETCHED
    assert lab.placed("weights").read_bytes() == BODY


def test_a_store_that_may_not_be_written_is_left_alone(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.write([])
    bring(tmp_path / "mine", OTHER)
    monkeypatch.setenv("CONDA_ASSETS_STORE", f"{tmp_path / 'mine'},{tmp_path / 'none'}")
    said = lab.call("gc", "-y")
    assert f"{tmp_path / 'none'}: not there, or not ours to write; left alone" in said.err
    assert not (tmp_path / "none").exists()
    assert not list(Tree(tmp_path / "mine").objects())


def test_a_question_that_is_denied_leaves_everything(lab: Lab, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    lab.write([])
    bring(tree.folder, OTHER)
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    said = lab.call("gc")
    assert "Remove 1 file: 6.0 kB (8.2 kB on the disk) ([y]/n)?" in said.err
    assert stored_in(tree) == {OTHER_SHA}


def test_info_says_how_large_the_store_is(lab: Lab, tree: Tree) -> None:
    lab.write([])
    bring(tree.folder, OTHER)
    assert lab.call("info", "--json").json["stores"][0]["size_bytes"] == len(OTHER)  # type: ignore[index]
    assert f"{tree.folder} (6.0 kB in it, " in lab.call("info").out


def test_a_place_below_a_mount_point_is_told_from_a_removed_one(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    path.mkdir(parents=True)
    place = place_now(path)
    assert place.standing is Standing.HERE
    assert replace(place, volume="node7").standing is Standing.OTHER
    shutil.rmtree(tmp_path / "a")
    assert place.standing is Standing.GONE
    assert replace(place, volume="node7").standing is Standing.UNKNOWN
    assert replace(place, mount_inode=place.mount_inode + 1).standing is Standing.UNKNOWN
    assert replace(place, mount=tmp_path / "mnt").standing is Standing.UNKNOWN


@pytest.mark.skipif(not MOUNTINFO.exists(), reason="the system has no mountinfo")
def test_the_mount_of_a_folder_is_found_by_its_device(tmp_path: Path) -> None:
    devices = {device for device, _, _ in _mounts()}
    assert Path("/proc").stat().st_dev in devices
    assert all(kind and source for _, kind, source in _mounts())
