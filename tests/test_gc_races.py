"""Many processes sync into one store while `gc` runs: every file is downloaded once, nothing dangles, nobody sees an error.

`CONDA_ASSETS_RACE_S=300 CONDA_ASSETS_RACE_PROCESSES=32` is the long form of the slow tests here.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import raceworker
from conda_assets.api.collect import Policy, collect, survey
from conda_assets.model import LinkType
from conda_assets.store import Tree
from server import Server
from users import GROUP, open_folder, start_as

pytestmark = pytest.mark.slow

__all__ = ["open_folder"]  # a fixture

WORKER = Path(raceworker.__file__)
PROCESSES = int(os.environ.get("CONDA_ASSETS_RACE_PROCESSES", "8"))
SECONDS = float(os.environ.get("CONDA_ASSETS_RACE_S", "10"))
BODIES = {f"file-{number}": bytes([number]) * (20_000 + number) for number in range(100)}

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def files() -> Iterator[dict[str, list[str]]]:
    with Server() as server:
        yield {name: [server.add(f"/{name}", body), hashlib.sha256(body).hexdigest()] for name, body in BODIES.items()}


def few(files: dict[str, list[str]]) -> dict[str, list[str]]:
    return dict(list(files.items())[:6])


@pytest.fixture
def far_store() -> Iterator[Path]:
    """On another file system than the environments, so that they get symlinks."""
    place = Path("/dev/shm")
    if not place.is_dir() or place.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        pytest.skip("no second file system")
    with tempfile.TemporaryDirectory(dir=place) as folder:
        yield Path(folder) / "store"


def start(verb: str, what: dict[str, Any], number: int) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, str(WORKER), verb, json.dumps(what)], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


def start_as_member(verb: str, what: dict[str, Any], number: int) -> subprocess.Popen[str]:
    """One of four users of a group."""
    before = f"{WORKER.read_text()}\nwarm_up(json.loads(sys.argv[2]))".replace("from __future__ import annotations", "")
    return start_as(65001 + number % 4, "main()", verb, json.dumps(what), before=before, umask=(0o022, 0o077)[number % 2])


def race(what: dict[str, Any], *, processes: int, collectors: int = 1, starting: Start = start) -> list[dict[str, Any]]:
    """What every process said; each has ended well and silently."""
    room = Path(what["room"])
    with ExitStack() as stack:
        syncing = [
            stack.enter_context(starting("sync", {**what, "name": f"env{number}", "seed": number}, number))
            for number in range(processes)
        ]
        collecting = [stack.enter_context(starting("collect", what, number)) for number in range(collectors)]
        stack.callback(lambda: [process.kill() for process in (*syncing, *collecting)])
        for process in (*collecting, *syncing):
            assert process.stdout
            assert process.stdout.readline() == "ready\n", end_of(process, process.communicate())
        for process in (*collecting, *syncing):
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate(timeout=what["seconds"] + 240) for process in syncing]
        (room / "stop").touch()
        said += [process.communicate(timeout=120) for process in collecting]
    # Who was killed from outside has said nothing: all ends are told together, so that it is seen which ones are alike.
    ends = [end_of(process, each) for process, each in zip((*syncing, *collecting), said, strict=True)]
    assert [end for end, (out, error) in zip(ends, said, strict=True) if not end.startswith("0") or error or not out] == []
    told = [json.loads(out) for out, _ in said]
    assert [error for each in told for error in each["errors"]] == []
    return told


def end_of(process: subprocess.Popen[str], said: tuple[str, str]) -> str:
    """Exit status (or the signal, negative), process id, and all that it said, in one line for a failing assertion."""
    return f"{process.returncode} (process {process.pid}): stdout {said[0]!r}, stderr {said[1]!r}"


def dangling(room: Path) -> list[Path]:
    return [path for path in room.rglob("*") if path.is_symlink() and not path.exists()]


def check_end(what: dict[str, Any]) -> None:
    """Nothing dangles, every stored file is whole; and once no environment is left, the store is empty."""
    room, tree = Path(what["room"]), Tree(Path(what["store"]))
    assert dangling(room) == []
    for stored in tree.objects():
        assert hashlib.sha256(stored.path.read_bytes()).hexdigest() == stored.sha256
    for prefix in room.glob("env*"):
        shutil.rmtree(prefix)
    with survey(raceworker.settings_for(tree.folder, room), Policy(), os.environ) as findings:
        collect(findings)
    assert list(tree.objects()) == []
    assert list((tree.folder / "runs").iterdir()) == []
    assert list((tree.folder / "staging").iterdir()) == []


def what_for(store: Path, room: Path, files: dict[str, list[str]], *, seconds: float, churn: bool) -> dict[str, Any]:
    room.mkdir(exist_ok=True)
    return {"store": str(store), "room": str(room), "files": files, "seconds": seconds, "churn": churn, "name": "", "seed": 0}


def downloads(told: list[dict[str, Any]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in told:
        total.update(each.get("fetched", {}))
    return total


def test_each_file_comes_once_for_all_while_gc_runs(tmp_path: Path, far_store: Path, files: dict[str, list[str]]) -> None:
    what = what_for(far_store, tmp_path / "room", few(files), seconds=1.0, churn=False)
    told = race(what, processes=4)
    assert downloads(told) == dict.fromkeys(few(files), 1)
    assert {link for each in told for link in each.get("links", {})} == {LinkType.SYMLINK.value}
    assert told[-1]["removed"] == 0
    check_end(what)


@pytest.mark.slow
@pytest.mark.parametrize("far", [False, True], ids=["hardlinks", "symlinks"])
def test_environments_come_and_go_while_gc_runs(
    tmp_path: Path, far: bool, files: dict[str, list[str]], request: pytest.FixtureRequest
) -> None:
    store = request.getfixturevalue("far_store") if far else tmp_path / "store"
    what = what_for(store, tmp_path / "room", files, seconds=SECONDS, churn=True)
    told = race(what, processes=PROCESSES, collectors=2)
    assert sum(each.get("removed", 0) for each in told) > 0, "nothing was ever collected: this proves little"
    check_end(what)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [0o2775, 0o3775], ids=["2775", "3775"])
def test_four_users_of_a_group_share_a_store_while_gc_runs(open_folder: Path, mode: int, files: dict[str, list[str]]) -> None:
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    store = open_folder / "store"
    store.mkdir()
    os.chown(store, 0, GROUP)
    store.chmod(mode)
    what = what_for(store, open_folder / "room", few(files), seconds=SECONDS, churn=False)
    Path(what["room"]).chmod(0o1777)
    told = race(what, processes=PROCESSES, collectors=2, starting=start_as_member)
    assert downloads(told) == dict.fromkeys(few(files), 1)
    check_end(what)


@pytest.mark.slow
def test_users_whose_environments_come_and_go_share_a_store(open_folder: Path, files: dict[str, list[str]]) -> None:
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    store = open_folder / "store"
    store.mkdir()
    os.chown(store, 0, GROUP)
    store.chmod(0o2775)
    what = what_for(store, open_folder / "room", files, seconds=SECONDS, churn=True)
    Path(what["room"]).chmod(0o1777)
    race(what, processes=PROCESSES, collectors=2, starting=start_as_member)
    check_end(what)
