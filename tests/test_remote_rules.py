"""What every store elsewhere keeps to, whatever server it is: moto, rclone's S3, Debian's registry; all real programs."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import botocore.session
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

import distribution
import rclone
from conda_assets.model import State
from conda_assets.remote.opening import open_remote
from conda_assets.settings import load
from elsewhere import PEAKS, forget_store, program
from engines import MIB
from lab import Lab
from server import Server, Virtual

pytestmark = pytest.mark.slow

NUMBERS = itertools.count()
#: What the rule of memory moves: a gigabyte takes 30 s.
LARGE_BYTES = int(os.environ.get("CONDA_ASSETS_LARGE_MIB", "200")) * MIB
SERVERS = [
    pytest.param("moto"),
    pytest.param("rclone", marks=rclone.needs_rclone),
    pytest.param("registry", marks=distribution.needs_registry),
]


@pytest.fixture(scope="module", params=SERVERS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store's URL, to which a prefix of one's own is written for `{}`."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        if request.param == "registry":
            made = stack.enter_context(distribution.Distribution(folder))
            yield f"oci://{made.host}/lab/rules-{{}}"
            return
        if request.param == "rclone":
            endpoint = stack.enter_context(rclone.Rclone(folder)).endpoint
        else:
            server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
            server.start()
            stack.callback(server.stop)
            endpoint = "http://{}:{}".format(*server.get_host_and_port())
        session = botocore.session.Session()
        session.set_credentials(rclone.KEY_ID, rclone.SECRET)
        config = Config(s3={"addressing_style": "path"})
        session.create_client("s3", region_name="us-east-1", endpoint_url=endpoint, config=config).create_bucket(
            Bucket=request.param
        )
        yield f"s3://{request.param}/{{}}?endpoint={endpoint}"


@pytest.fixture
def remote(place: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store that nobody else uses."""
    made = place.format(next(NUMBERS))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", rclone.KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", rclone.SECRET)
    monkeypatch.setenv("CONDA_ASSETS_STORE", f"{os.environ['CONDA_ASSETS_STORE']},{made}")
    return made


def fetched(lab: Lab, bodies: dict[str, Virtual]) -> Lab:
    """A spec of these files, which the store of this machine has, and whose origin has gone."""
    with Server() as server:
        rows = [{"name": name, "url": server.add(f"/{name}", body), "sha256": body.sha256} for name, body in bodies.items()]
        lab.write(rows)
        assert lab.call("fetch", "-q").status == 0
    return lab


def check(remote: str, lab: Lab, bodies: dict[str, Virtual], monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has these and no others, and another machine reads them with the right bytes."""
    with open_remote(remote, load(environ=os.environ).network) as store:
        assert {(row.sha256, row.size_bytes) for row in store.files()[0]} == {(b.sha256, b.size) for b in bodies.values()}
    forget_store(monkeypatch, "other")
    rows = lab.sync("elsewhere").outcomes
    assert {(row.name, row.state, row.sha256) for row in rows} == {(n, State.FETCHED, b.sha256) for n, b in bodies.items()}


def some(count: int, large_bytes: int) -> dict[str, Virtual]:
    small = {f"f{number}": Virtual(5000 + number, seed=next(NUMBERS)) for number in range(count)}
    return {**small, "large": Virtual(large_bytes, seed=next(NUMBERS))}


def test_what_is_there_is_not_sent_again_and_another_machine_reads_it(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = some(3, 20 * MIB)
    lab = fetched(Lab(tmp_path), bodies)
    for state, count in (("pushed", sum(body.size for body in bodies.values())), ("present", 0)):
        said = lab.call("push", "--json")
        rows = said.rows()
        assert {row["state"] for row in rows.values()} == {state}
        assert sum(int(str(row["bytes_sent"])) for row in rows.values()) == count
    check(remote, lab, bodies, monkeypatch)


def test_writers_at_the_same_time_cannot_hurt_each_other(remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = some(12, 20 * MIB)
    lab = fetched(Lab(tmp_path), bodies)
    for writer in [program(lab, "", "push", "--json") for _ in range(3)]:
        out, talk = writer.communicate(timeout=120)
        assert writer.returncode == 0, out + talk
        assert {row["state"] for row in json.loads(out)["assets"]} <= {"pushed", "present"}
    check(remote, lab, bodies, monkeypatch)


def test_a_push_that_is_killed_at_any_moment_leaves_nothing_wrong(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = some(3, 100 * MIB)
    lab = fetched(Lab(tmp_path), bodies)
    moments = random.Random(7)
    for _ in range(4):
        push = program(lab, "", "push", "-q")
        try:
            push.communicate(timeout=moments.uniform(0.4, 1.4))
        except subprocess.TimeoutExpired:
            push.kill()
            push.communicate()
    assert lab.call("push", "-q").status == 0
    check(remote, lab, bodies, monkeypatch)


def test_a_large_file_is_pushed_and_read_in_little_memory(remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resident memory of our process and of aria2c, each at its highest: 150 MB. CONDA_ASSETS_LARGE_MIB=1024 for a gigabyte."""
    pytest.importorskip("resource")
    if remote.startswith("s3://moto/"):
        pytest.skip("moto copies the whole file for each range of it, and shares our process")
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc that tells the highest resident memory")
    large = Virtual(LARGE_BYTES, seed=next(NUMBERS))
    large.write(tmp_path / "large.bin")
    lab = Lab(tmp_path)
    lab.write([{"name": "l", "url": (tmp_path / "large.bin").as_uri(), "sha256": large.sha256}])
    assert lab.call("fetch", "-q").status == 0
    (tmp_path / "large.bin").unlink()
    for verb in ("push", "fetch"):
        began = time.monotonic()
        done = program(lab, PEAKS, verb, "-q")
        out, talk = done.communicate(timeout=600)
        assert done.returncode == 0, talk
        peaks = [int(figure) * 1024 for figure in out.splitlines()[-1].split()]
        print(f"{verb} of {large.size >> 20} MiB: {time.monotonic() - began:.1f} s, peaks {[peak / 1e6 for peak in peaks]} MB")
        assert max(peaks) <= 150e6
        forget_store(monkeypatch, "other")
