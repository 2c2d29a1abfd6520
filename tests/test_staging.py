"""A shared store and a node's own copies: fetched on one machine, placed on others without a network, staged on local disks."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import conda_assets
from conda_assets.errors import DiskFull
from lab import Lab
from mounts import MIB, tmpfs
from server import Server, Virtual

BODY = Virtual(3_000_000, seed=3).read(0, 3_000_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
EXAMPLES = Path(__file__).parent.parent / "examples" / "hpc"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Three assets in the store, whose origins are gone: one with a variable, one without a hash in the project, an archive."""
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "w.bin").write_bytes(BODY)
    (tmp_path / "up" / "notes.txt").write_text("notes\n")
    with tarfile.open(tmp_path / "up" / "set.tar", "w") as archive:
        archive.add(tmp_path / "up" / "notes.txt", "set/notes.txt")
    up, made = (tmp_path / "up").as_uri(), Lab(tmp_path)
    made.write(
        [
            {"name": "w", "url": f"{up}/w.bin", "sha256": SHA256, "path": "models/w.bin", "env": "WEIGHTS"},
            {"name": "notes", "url": f"{up}/notes.txt", "root": "project", "path": "data/notes.txt"},
            {"name": "set", "url": f"{up}/set.tar", "unpack": True, "env": "SET"},
        ]
    )
    said = made.call("fetch")
    assert said.status == 0, said.err
    (tmp_path / "up").rename(tmp_path / "gone")
    return made


def picture(folder: Path) -> dict[str, tuple[int, int, int]]:
    """All that a change of the folder would show in."""
    found = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        found[str(path.relative_to(folder))] = (info.st_mode, info.st_size, info.st_mtime_ns)
    return found


def stage(lab: Lab, *words: str, folder: str = "nvme") -> dict[str, str]:
    """The variables that a stage prints."""
    said = lab.call("sync", "-q", "-p", str(lab.prefix()), "--offline", "--stage", str(lab.folder / folder), *words)
    assert said.status == 0, said.err
    return dict(line.removeprefix("export ").split("=", 1) for line in said.out.splitlines())


def test_what_the_login_node_fetched_is_placed_on_a_node_without_a_network(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")
    with Server() as server:
        lab.write([{"name": "w", "url": server.add("/w.bin", BODY)}])
        assert lab.call("fetch").status == 0
    home = tmp_path / "home of the node"
    home.mkdir()
    said = lab.run("sync", "-p", str(lab.prefix()), "--offline", "--json", environ={"HOME": str(home)})
    assert [row["state"] for row in said.rows().values()] == ["linked"]
    assert lab.placed("w").read_bytes() == BODY
    assert [path.name for path in home.rglob("*") if path.is_file()] == ["conda-assets.log"]


def test_a_stage_has_copies_of_its_own_and_leaves_the_shared_folders_alone(lab: Lab) -> None:
    lab.call("sync", "-p", str(lab.prefix()), "--offline")
    shared = Path(os.environ["CONDA_ASSETS_STORE"])
    folders = (lab.prefix(), lab.folder / "data", *(shared / name for name in ("sha256", "urls", "roots")))
    assert all(map(Path.is_dir, folders))
    before = [picture(folder) for folder in folders]
    lab.call("sync", "-q", "-p", str(folders[0]), "--offline", "--stage", "nvme")
    assert [picture(folder) for folder in folders] == before
    found = stage(lab)
    view = Path(found["CONDA_ASSETS_DIR"])
    assert view.is_relative_to(lab.folder / "nvme")
    assert found["WEIGHTS"] == str(view / "models" / "w.bin")
    assert Path(found["WEIGHTS"]).read_bytes() == BODY
    assert Path(found["WEIGHTS"]).stat().st_ino not in {path.stat().st_ino for path in shared.rglob("*")}
    assert (Path(found["SET"]) / "set" / "notes.txt").read_text() == "notes\n"
    assert (view.parents[1] / "project" / "data" / "notes.txt").read_text() == "notes\n"


def test_a_second_task_keeps_what_the_first_one_copied(lab: Lab) -> None:
    first = stage(lab)
    before = picture(lab.folder / "nvme" / "store" / "sha256")
    assert stage(lab) == first
    assert picture(lab.folder / "nvme" / "store" / "sha256") == before
    said = lab.call("sync", "-p", str(lab.prefix()), "--offline", "--stage", str(lab.folder / "nvme"), "--json")
    assert [row["state"] for row in said.rows().values()] == ["kept"] * 3
    assert said.json["variables"] == first


def test_the_tasks_of_a_node_copy_each_file_once(lab: Lab) -> None:
    words = [sys.executable, "-m", "conda_assets", "sync", "-p", str(lab.prefix()), "--offline", "--json", "--stage", "nvme"]
    tasks = [subprocess.Popen(words, cwd=lab.folder, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [json.loads(task.communicate(timeout=60)[0]) for task in tasks]
    assert [each["success"] for each in said] == [True] * 4
    assert len({json.dumps(each["variables"]) for each in said}) == 1
    assert [path for path in (lab.folder / "nvme" / "store" / "staging").rglob("*") if path.is_file()] == []
    assert len([path for path in (lab.folder / "nvme" / "store" / "sha256").rglob("*") if path.is_file()]) == 3


def test_what_is_damaged_in_the_shared_store_is_not_copied(lab: Lab) -> None:
    shared = Path(os.environ["CONDA_ASSETS_STORE"]) / "sha256"
    path = shared / SHA256[:2] / SHA256
    path.chmod(0o644)
    path.write_bytes(bytes(len(BODY)))
    said = lab.call("sync", "-p", str(lab.prefix()), "--offline", "--stage", str(lab.folder / "nvme"), "--json")
    assert said.status == 4
    rows = said.rows()
    assert [rows[name]["state"] for name in ("w", "notes", "set")] == ["failed", "linked", "linked"]
    assert str(path) in str(rows["w"]["error"])
    assert "delete that file, then run `conda assets fetch`" in str(rows["w"]["error"])
    left = [each for each in (lab.folder / "nvme" / "store").rglob("*") if each.is_file() and each.stat().st_size == len(BODY)]
    assert left == []


def test_a_full_disk_is_said_before_the_first_byte(lab: Lab) -> None:
    with tmpfs(lab.folder / "small", 8 * MIB) as folder:
        said = lab.call("sync", "-p", str(lab.prefix()), "--offline", "--stage", str(folder), "--json")
        assert said.status == 1
        error = said.rows()["w"]["error"]
        assert isinstance(error, dict)
        assert (error["code"], str(folder) in error["message"]) == (DiskFull.code, True)


def test_a_variable_of_the_user_wins_over_a_stage(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHTS", "/my/own")
    assert "WEIGHTS" not in stage(lab)


def test_variables_of_the_activated_environment_give_way_to_the_copies(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = str(lab.placed("models/w.bin"))
    monkeypatch.setenv("WEIGHTS", shared)
    monkeypatch.setenv("_CONDA_ASSETS_SET_WEIGHTS", shared)
    found = stage(lab)
    assert found["WEIGHTS"] == found["_CONDA_ASSETS_SET_WEIGHTS"] != shared


def test_paths_lead_to_the_copies_once_the_variables_are_set(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.call("sync", "-p", str(lab.prefix()), "--offline")
    found = stage(lab)
    monkeypatch.setenv("CONDA_PREFIX", str(lab.prefix()))
    assert conda_assets.path("w") == lab.placed("models/w.bin")
    monkeypatch.setenv("CONDA_ASSETS_DIR", found["CONDA_ASSETS_DIR"])
    assert str(conda_assets.path("w")) == lab.call("path", "w").out.strip() == found["WEIGHTS"]
    assert conda_assets.path("w", prefix=lab.prefix()) == lab.placed("models/w.bin")
    assert lab.call("path", "w", "-p", str(lab.prefix())).out.strip() == str(lab.placed("models/w.bin"))
    shutil.rmtree(lab.folder / "nvme")
    assert conda_assets.path("w") == lab.placed("models/w.bin")


def test_offline_the_files_of_a_pattern_are_those_of_the_environment(lab: Lab) -> None:
    up = lab.folder / "gone"
    lab.write([{"name": "all", "url": f"{up.as_uri()}/*.txt", "env": "ALL"}])
    assert lab.call("sync", "-p", str(lab.prefix())).status == 0
    up.rename(lab.folder / "far")
    found = stage(lab, folder="other")
    assert [path.name for path in Path(found["ALL"]).iterdir()] == ["notes.txt"]


def test_a_shell_takes_the_variables(lab: Lab) -> None:
    script = (
        f'variables=$("{sys.executable}" -m conda_assets sync -q -p "{lab.prefix()}" --offline --stage "my disk") && '
        'eval "$variables" && printf "%s\\n" "$WEIGHTS" && cmp "$WEIGHTS" gone/w.bin'
    )
    done = subprocess.run(["sh", "-euc", script], cwd=lab.folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(str(lab.folder / "my disk"))


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.sh")), ids=lambda path: str(path.name))
def test_the_examples_are_shell_and_name_flags_that_there_are(script: Path) -> None:
    assert subprocess.run(["sh", "-n", str(script)], check=False, capture_output=True).stderr == b""
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", str(script)], check=False, capture_output=True, text=True)
        assert done.stdout == ""
    assert "--offline --stage" in script.read_text()
