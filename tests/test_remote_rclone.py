"""Stores in buckets against a second real S3 server, rclone's: it streams, and it knows neither conditions nor sha256."""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config

from conda_assets.events import Noted
from conda_assets.model import State
from elsewhere import COUNTED, KILLED, forget_store, program
from engines import MIB
from lab import Lab
from rclone import KEY_ID, SECRET, Rclone, needs_rclone
from server import Server, Virtual

pytestmark = [pytest.mark.slow, needs_rclone]

DAY_S = 86400
NUMBERS = itertools.count()
#: What a test of memory and speed moves: a gigabyte takes 30 s.
LARGE_BYTES = int(os.environ.get("CONDA_ASSETS_LARGE_MIB", "200")) * MIB


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rclone]:
    with Rclone(tmp_path_factory.mktemp("rclone")) as made:
        yield made


@pytest.fixture
def bucket(rclone: Rclone, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bucket that nobody else uses; its folder on the server's disk."""
    name = f"lab-{next(NUMBERS)}"
    session = botocore.session.Session()
    session.set_credentials(KEY_ID, SECRET)
    config = Config(s3={"addressing_style": "path"})
    session.create_client("s3", region_name="us-east-1", endpoint_url=rclone.endpoint, config=config).create_bucket(Bucket=name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("CONDA_ASSETS_STORE", f"{os.environ['CONDA_ASSETS_STORE']},s3://{name}/x?endpoint={rclone.endpoint}")
    return rclone.folder / name


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


def object_of(bucket: Path, sha256: str) -> Path:
    return bucket / "x" / "objects" / "sha256" / sha256[:2] / sha256


def pushed(said: Any) -> dict[str, str]:
    assert SECRET not in said.out + said.err
    return {row["name"]: row["state"] for row in said.json["assets"]}


def test_a_push_that_was_killed_goes_on_and_another_machine_reads(
    bucket: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = Virtual(100 * MIB, seed=6)
    lab = Lab(tmp_path)
    lab.write([{"name": "l", "url": server.add("/l.bin", large), "sha256": large.sha256}])
    assert lab.call("fetch", "-q").status == 0
    killed = program(lab, KILLED, "push", "-q")
    assert killed.wait(60) == -signal.SIGKILL
    killed.communicate()
    assert not object_of(bucket, large.sha256).exists()
    again = program(lab, COUNTED, "push", "-q")
    _, talk = again.communicate(timeout=60)
    assert again.returncode == 0, talk
    assert 1 <= int(talk.split()[-1]) <= 5, "two parts were there"
    server.close()
    forget_store(monkeypatch, "other")
    (row,) = lab.sync("elsewhere").outcomes
    assert (row.state, row.sha256) == (State.FETCHED, large.sha256), row.because


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "the secret key does not belong to the access key"),
        ({"AWS_ACCESS_KEY_ID": "AKIDOTHER"}, "the access key is not known there"),
        ({}, "has no bucket none"),
    ],
    ids=["secret", "key", "bucket"],
)
def test_wrong_credentials_and_a_missing_bucket_are_told(
    bucket: Path,
    rclone: Rclone,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: dict[str, str],
    says: str,
) -> None:
    """By `push` as an error with the next command, by `sync` as a note: the file comes from its origin."""
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": server.add("/w.bin", b"w" * 999), "sha256": hashlib.sha256(b"w" * 999).hexdigest()}])
    assert lab.call("fetch", "-q").status == 0
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    if not names:
        monkeypatch.setenv("CONDA_ASSETS_STORE", f"{tmp_path}/store,s3://none/x?endpoint={rclone.endpoint}")
        assert lab.call("fetch", "-q").status == 0
    said = lab.call("push", "--json")
    error = said.json["error"]
    assert isinstance(error, dict)
    assert (said.status, error["code"]) == (1, "remote"), said.out
    assert says in error["message"]
    assert error["hints"]
    assert SECRET not in said.out + said.err
    forget_store(monkeypatch, "other")
    assert lab.sync("elsewhere").outcomes[0].state is State.FETCHED
    assert any(says in event.text for event in lab.seen if isinstance(event, Noted))


def test_gc_takes_what_is_old_and_not_leased(
    bucket: Path, rclone: Rclone, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(tmp_path / "lab")
    bodies = {name: name.encode() * 999 for name in ("used", "old", "new")}
    hashes = {name: hashlib.sha256(body).hexdigest() for name, body in bodies.items()}
    lab.write([{"name": name, "url": server.add(f"/{name}", body), "sha256": hashes[name]} for name, body in bodies.items()])
    assert lab.call("fetch", "-q").status == 0
    assert lab.call("push", "-q").status == 0
    for path in (bucket / "x" / "leases").rglob("*.json"):
        path.unlink()
    for name in ("used", "old"):
        os.utime(object_of(bucket, hashes[name]), (time.time() - 100 * DAY_S,) * 2)
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "data").symlink_to(rclone.folder)
    with Rclone(tmp_path / "again") as again:
        monkeypatch.setenv("CONDA_ASSETS_STORE", os.environ["CONDA_ASSETS_STORE"].replace(rclone.endpoint, again.endpoint))
        lab.write([{"name": "used", "url": server.url("/used"), "sha256": hashes["used"]}])
        assert lab.call("sync", "-q", "-p", str(lab.prefix())).status == 0
        said = lab.call("gc", "--remote", "-y", "--json")
    assert [row["sha256"] for row in said.json["removed"]] == [hashes["old"]], said.out + said.err  # type: ignore[attr-defined]
    assert {name for name in hashes if object_of(bucket, hashes[name]).exists()} == {"used", "new"}
