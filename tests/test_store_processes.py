"""The store and several processes: who has a claim, who gets it after a kill, and what a kill leaves."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import storeworker
from conda_assets.digest import Digest, digest_file
from conda_assets.locking import try_lock
from conda_assets.store import Claim, Store, open_stores
from conda_assets.store.run import _lock_own
from server import Server, Virtual

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no signals and descriptors to inherit here")

# Everything here happens in milliseconds; the machine may be busy.
DEADLINE_S = 60.0


@contextmanager
def worker(verb: str, store: Path, room: Path | str, *more: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, storeworker.__file__, verb, str(store), str(room), *more]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, process.communicate()[1]
    return line


def until_claimed(store: Store, key: str, deadline_s: float = DEADLINE_S) -> tuple[Claim, float]:
    """The claim and the seconds it took."""
    start = time.monotonic()
    while time.monotonic() - start < deadline_s:
        if claim := store.claim(key):
            return claim, time.monotonic() - start
        time.sleep(0.002)
    raise AssertionError(f"no claim after {deadline_s} s: {store.holder(key)} has it")


def run_all(count: int, verb: str, store: Path, room: Path, *more: str) -> list[str]:
    command = [sys.executable, storeworker.__file__, verb, str(store), str(room), *more]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(count)]
    said = [process.communicate(timeout=2 * DEADLINE_S) for process in processes]
    assert [(process.returncode, error) for process, (_, error) in zip(processes, said, strict=True)] == [(0, "")] * count
    return [out.strip() for out, _ in said]


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("noflock",)], ids=["flock", "flock does nothing"])
def test_of_many_processes_one_at_a_time_has_the_claim(tmp_path: Path, more: tuple[str, ...]) -> None:
    count = 12 if more else 32
    assert run_all(count, "take_turns", tmp_path / "store", tmp_path, *more) == ["done"] * count


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("noflock",)], ids=["flock", "flock does nothing"])
def test_32_processes_that_want_one_file_bring_it_once(tmp_path: Path, more: tuple[str, ...]) -> None:
    store = tmp_path / "store"
    assert run_all(32, "sync", store, tmp_path, *more) == [storeworker.SHA256.hex] * 32
    assert len(list(tmp_path.glob("download-*"))) == 1
    assert list((store / "staging").iterdir()) == []
    assert list((store / "runs").iterdir()) == []


def test_a_killed_holder_is_followed_within_a_second_and_what_it_brought_is_kept(tmp_path: Path) -> None:
    with worker("hold", tmp_path / "store", "key") as holder, open_stores([tmp_path / "store"]) as store:
        assert first_line(holder) == "claimed"
        assert store.claim("key") is None
        assert store.holder("key") == f"{os.uname().nodename} pid {holder.pid}"
        holder.kill()
        holder.wait()
        claim, seconds = until_claimed(store, "key")
        assert seconds < 1.0
        assert claim.data.read_bytes() == b"half"
        claim.release()


def test_the_file_of_a_killed_run_is_cleared_away(tmp_path: Path) -> None:
    with worker("hold", tmp_path / "store", "key") as holder:
        first_line(holder)
        holder.kill()
        holder.wait()
        assert len(list((tmp_path / "store" / "runs").iterdir())) == 1
    with open_stores([tmp_path / "store"]) as store:
        until_claimed(store, "other")[0].release()
    assert list((tmp_path / "store" / "runs").iterdir()) == []


def test_who_looks_at_a_run_that_begins_does_not_keep_it_from_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "run"
    own, other = os.open(path, os.O_RDWR | os.O_CREAT, 0o600), os.open(path, os.O_RDONLY)
    assert try_lock(other, shared=True)
    looking = threading.Timer(0.2, os.close, (other,))
    looking.start()
    try:
        assert _lock_own(own)
    finally:
        looking.join()
        os.close(own)


def test_while_a_child_of_a_killed_holder_writes_nobody_else_does(tmp_path: Path) -> None:
    with worker("hold_with_child", tmp_path / "store", "key") as holder, open_stores([tmp_path / "store"]) as store:
        child = int(first_line(holder).split()[1])
        holder.kill()
        os.waitpid(holder.pid, 0)
        holder.returncode = -signal.SIGKILL
        for _ in range(20):
            assert store.claim("key") is None
        assert store.holder("key") == f"{os.uname().nodename} pid {holder.pid}"
        os.kill(child, 0)
        assert holder.stdin is not None
        holder.stdin.close()  # the child writes and ends
        claim, seconds = until_claimed(store, "key")
        assert claim.data.read_bytes() == b"halfmore"
        assert seconds < 1.0
        claim.release()


def test_while_a_child_of_a_holder_that_ended_lives_nobody_else_gets_its_place(tmp_path: Path) -> None:
    with worker("leave_child", tmp_path / "store", "key") as holder, open_stores([tmp_path / "store"]) as store:
        first_line(holder)
        assert holder.wait(DEADLINE_S) == 0
        for _ in range(20):
            assert store.claim("key") is None
        assert holder.stdin is not None
        holder.stdin.close()
        claim, _ = until_claimed(store, "key")
        assert claim.data.read_bytes() == b"half"
        claim.release()


def test_a_forked_child_has_claims_of_its_own_and_ends_none_of_its_parent(tmp_path: Path) -> None:
    with worker("fork", tmp_path / "store", "-") as parent, open_stores([tmp_path / "store"]) as store:
        assert first_line(parent) == "child 0"
        assert store.claim("parent") is None
        until_claimed(store, "child")[0].release()
        parent.communicate()
        until_claimed(store, "parent")[0].release()


def binary_aria2c() -> str | None:
    """The program itself: a script around it (as PyPI's) does not hand descriptors down."""
    for folder in os.get_exec_path():
        path = shutil.which("aria2c", path=folder)
        if path and Path(path).read_bytes()[:2] != b"#!":
            return path
    return None


def is_running(pid: int) -> bool:
    """Neither gone nor a zombie."""
    done = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip() not in ("", "Z")


PARENT_OF_ARIA2C = """
import os, subprocess, sys, time
from pathlib import Path
from conda_assets.store import open_stores
store = open_stores([Path(sys.argv[1])])
claim = store.claim("key")
options = [f"--stop-with-process={os.getpid()}", "--no-conf", "--quiet", "--continue", "--auto-file-renaming=false"]
command = [sys.argv[2], *options, "--file-allocation=none", "-d", str(claim.data.parent), "-o", "data", sys.argv[3]]
aria2c = subprocess.Popen(command, pass_fds=store.inherit_fds())
while not claim.data.exists() or claim.data.stat().st_size < 1 << 20:
    time.sleep(0.01)
print(aria2c.pid, flush=True)
aria2c.wait()
"""


@pytest.mark.skipif(binary_aria2c() is None, reason="no aria2c on this machine")
def test_a_real_aria2c_that_outlives_its_killed_parent_keeps_others_out(tmp_path: Path) -> None:
    with Server(rate=4_000_000) as server, open_stores([tmp_path / "store"]) as store:
        url = server.add("/w.bin", Virtual(400_000_000, seed=1))
        command = [sys.executable, "-c", PARENT_OF_ARIA2C, str(tmp_path / "store"), str(binary_aria2c()), url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
            pid = int(first_line(parent))
            assert is_running(pid)
            parent.kill()
            parent.wait()
            claim, seconds = until_claimed(store, "key")
            assert not is_running(pid)
            print(f"claim {seconds:.2f} s after kill -9 of the parent")
            assert seconds < 5.0
            assert claim.data.stat().st_size >= 1 << 20
            assert claim.data.with_name("data.aria2").exists()
            claim.release()


# Where locks cannot tell


def far_away(store: Path, **changes: object) -> Path:
    """Rewrite the only run's file as if it were elsewhere; its path."""
    (path,) = (store / "runs").iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


def age(seconds: float, *paths: Path) -> None:
    for path in paths:
        for each in (*(path.iterdir() if path.is_dir() else ()), path):
            then = time.time() - seconds
            os.utime(each, (then, then))


def leaf_of(store: Path, key: str) -> Path:
    (leaf,) = (store / "staging" / key).iterdir()
    return leaf


@pytest.mark.parametrize(
    ("changes", "more", "quiet_s"),
    [
        ({"host": "node2", "boot": "another"}, (), 600),
        ({"boot": "an earlier one"}, (), 600),
        ({}, ("noflock",), 10),
    ],
    ids=["killed on another machine", "killed before a power cut", "killed where flock does nothing"],
)
def test_without_a_lock_that_tells_a_place_must_have_been_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], more: tuple[str, ...], quiet_s: float
) -> None:
    folder = tmp_path / "store"
    with worker("hold", folder, "key", *more) as holder:
        assert first_line(holder) == "claimed"
        holder.kill()
        holder.wait()
    record = far_away(folder, **changes)
    if more:
        monkeypatch.setattr("fcntl.flock", lambda *_: None)
    with open_stores([folder]) as store:
        assert store.claim("key") is None
        age(quiet_s * 0.8, record, leaf_of(folder, "key"))
        assert store.claim("key") is None
        age(quiet_s + 5, record)
        assert store.claim("key") is None, "a file in it is newer"
        age(quiet_s + 5, leaf_of(folder, "key"))
        claim = store.claim("key")
        assert claim is not None
        assert claim.data.read_bytes() == b"half"
        claim.release()


def test_a_living_holder_is_left_alone_where_flock_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "store"
    with worker("hold", folder, "key", "noflock") as holder:
        assert first_line(holder) == "claimed"
        monkeypatch.setattr("fcntl.flock", lambda *_: None)
        (record,) = (folder / "runs").iterdir()
        with open_stores([folder]) as store:
            age(300, record, leaf_of(folder, "key"))
            assert store.claim("key") is None
            holder.communicate()
            assert store.claim("key") is not None


def test_a_file_system_without_locks_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with open_stores([tmp_path / "store"]) as store, open_stores([tmp_path / "store"]) as rival:
        claim = store.claim("key")
        assert claim is not None
        assert rival.claim("key") is None
        claim.data.write_bytes(storeworker.BODY)
        claim.adopt(digests={"sha256": storeworker.SHA256}, size_bytes=len(storeworker.BODY))
        assert rival.find(storeworker.SHA256) is not None


# Kills


@pytest.mark.parametrize("rounds", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_a_kill_at_any_moment_leaves_whole_files_and_no_hindrance(tmp_path: Path, rounds: int) -> None:
    folder = tmp_path / "store"
    dice = random.Random(20261124)
    for number in range(rounds):
        with worker("churn", folder, str(number * 1_000_000)) as process:
            first_line(process)
            deadline = time.monotonic() + dice.uniform(0.0, 0.25)
            while time.monotonic() < deadline:
                time.sleep(0.001)
            process.kill()
            process.wait()
    with open_stores([folder]) as store:
        files = list(store.objects())
        assert len(files) > rounds
        for stored in files:
            body = stored.path.read_bytes()
            assert hashlib.sha256(body).hexdigest() == stored.sha256
            assert store.find(Digest("md5", hashlib.md5(body).hexdigest())) == stored
            assert store.find_url(f"https://x.y/{body.decode()}") == stored
        for number in range(7):
            claim, seconds = until_claimed(store, f"churn-{number}")
            assert seconds < 1.0
            claim.data.write_bytes(b"%d" % number)
            claim.adopt(digests=digest_file(claim.data), size_bytes=1)
    assert list((folder / "staging").iterdir()) == []
    # A run that was killed before it had said who it is counts as somebody's for a day.
    assert [path for path in (folder / "runs").iterdir() if path.stat().st_size] == []
