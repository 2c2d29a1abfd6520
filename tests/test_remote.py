"""Stores in buckets, against a real S3 server program (moto) and against answers that it does not give."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from conda_assets.errors import RemoteFailed, UsageError
from conda_assets.events import Noted
from conda_assets.model import State
from conda_assets.remote.client import Bucket
from conda_assets.settings import load
from conda_assets.store import open_stores
from engines import MIB
from lab import Lab
from publisher_s3 import refused
from server import Server, Virtual

KEY_ID, SECRET = "AKIDLAB", "canary-secret-81c5"
BODY = Virtual(3 * MIB, seed=8).read(0, 3 * MIB)
SHA256 = hashlib.sha256(BODY).hexdigest()
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def moto() -> Iterator[tuple[str, Any]]:
    """(endpoint, client)"""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    session = botocore.session.Session()
    session.set_credentials(KEY_ID, SECRET)
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
    client = session.create_client("s3", region_name="us-east-1", endpoint_url=endpoint, config=config)
    client.create_bucket(Bucket="lab-assets")
    yield endpoint, client
    server.stop()


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


class Shelf:
    """A prefix of the bucket that nobody else uses, and what is in it."""

    def __init__(self, moto: tuple[str, Any]) -> None:
        self.endpoint, self.client = moto
        self.prefix = f"shelf-{next(NUMBERS)}"
        self.url = f"s3://lab-assets/{self.prefix}?endpoint={self.endpoint}"

    def names(self, below: str = "") -> list[str]:
        listed = self.client.list_objects_v2(Bucket="lab-assets", Prefix=f"{self.prefix}/{below}")
        return [row["Key"].removeprefix(f"{self.prefix}/") for row in listed.get("Contents", ())]

    def read(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket="lab-assets", Key=f"{self.prefix}/{key}")["Body"].read()
        return content

    def write(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket="lab-assets", Key=f"{self.prefix}/{key}", Body=content)

    def bucket(self) -> Bucket:
        return Bucket(self.url, load(environ=os.environ).network)


@pytest.fixture
def shelf(moto: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> Shelf:
    made = Shelf(moto)
    monkeypatch.setenv("CONDA_ASSETS_STORE", f"{os.environ['CONDA_ASSETS_STORE']},{made.url}")
    return made


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


def object_key(sha256: str) -> str:
    return f"objects/sha256/{sha256[:2]}/{sha256}"


def forget_store(lab: Lab, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Another machine: an empty store, the same remote."""
    folder, _, rest = os.environ["CONDA_ASSETS_STORE"].partition(",")
    monkeypatch.setenv("CONDA_ASSETS_STORE", f"{folder}-{name},{rest}")


def notes(lab: Lab) -> list[str]:
    return [event.text for event in lab.seen if isinstance(event, Noted) and "store s3:" in event.text]


def pushed(said: Any) -> dict[str, str]:
    assert SECRET not in said.out + said.err
    return {row["name"]: row["state"] for row in said.json["assets"]}


# Settings


def test_a_store_may_be_a_bucket(tmp_path: Path) -> None:
    words = "/a, s3://lab/x//y/?endpoint=https://minio.lab:9000/&region=eu-1,s3://other"
    settings = load(environ={"HOME": str(tmp_path), "CONDA_ASSETS_STORE": words})
    assert settings.stores == (Path("/a"),)
    assert settings.remotes == ("s3://lab/x/y?endpoint=https://minio.lab:9000&region=eu-1", "s3://other")
    (tmp_path / ".condarc").write_text("plugins: {assets_stores: ['s3://lab/x'], assets_push: true, assets_grace: 2w}\n")
    settings = load(environ={"HOME": str(tmp_path)})
    assert settings.stores == (tmp_path / ".conda" / "assets",), "the default folder stands before a bucket"
    assert (settings.remotes, settings.push, settings.grace_s) == (("s3://lab/x",), True, 14 * 86400)
    assert settings.origins["remotes"] == str(tmp_path / ".condarc")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("s3://key:secret@lab/x", "a store with a password in its URL"),
        ("s3://lab/x?endpoint=https://u:secret@host", "a store with a password in its URL"),
        ("s3://lab/x?endpoint=minio:9000", "the endpoint of s3://lab/x is not an http(s) URL"),
        ("s3://lab/x?versionId=secret", "s3://lab/x has `versionId`, expected endpoint or region"),
        ("s3:///x", "names no bucket"),
        ("s3://lab/../x", "has `.` or `..` in its prefix"),
        ("ftp://lab/x", "ftp://lab/x is no store that this version can use: expected a folder or s3://"),
    ],
)
def test_a_url_that_is_no_store_is_refused_without_its_secrets(word: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(environ={"HOME": "/h", "CONDA_ASSETS_STORE": word})
    assert says in caught.value.message
    assert "$CONDA_ASSETS_STORE" in caught.value.message
    assert "secret" not in caught.value.message


# Push, and reading through


def test_what_one_machine_pushes_another_one_reads(
    shelf: Shelf, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the origin gone; also by another hash than sha256, by way of an alias."""
    one = server.add("/one.bin", BODY)
    two = server.add("/two.bin", b"two" * 1000)
    md5 = hashlib.md5(b"two" * 1000, usedforsecurity=False).hexdigest()
    lab = Lab(tmp_path)
    lab.write([{"name": "one", "url": one, "sha256": SHA256}, {"name": "two", "url": two, "hash": f"md5:{md5}"}])
    assert [row.state for row in lab.sync().outcomes] == [State.FETCHED] * 2
    said = lab.call("push", "--json", "--dry-run")
    assert pushed(said) == {"one": "planned", "two": "planned"}
    assert [key for key in shelf.names() if not key.startswith("leases/")] == [], "a dry run writes nothing"
    said = lab.call("push", "--json")
    assert (said.status, pushed(said)) == (0, {"one": "pushed", "two": "pushed"})
    assert shelf.read(object_key(SHA256)) == BODY
    assert json.loads(shelf.read("conda-assets-store.json")) == {"store": "conda-assets", "version": 1}
    again = lab.call("push", "--json")
    assert (pushed(again), again.json["totals"]["bytes_sent"]) == ({"one": "present", "two": "present"}, 0)  # type: ignore[index]

    server.close()
    forget_store(lab, monkeypatch, "other")
    report = lab.sync("elsewhere")
    assert [row.state for row in report.outcomes] == [State.FETCHED] * 2, [row.because for row in report.outcomes]
    assert all(str(row.source).startswith(f"{shelf.endpoint}/lab-assets/{shelf.prefix}/objects/") for row in report.outcomes)
    assert lab.placed("one", "elsewhere").read_bytes() == BODY
    assert notes(lab) == []
    assert SECRET not in repr(report) + repr(lab.seen)
    assert "X-Amz" not in repr(report) + repr(lab.seen)


@pytest.mark.parametrize("lie", [b"x" * len(BODY), BODY[:-1], b""], ids=["other-bytes", "too-short", "empty"])
def test_a_lying_store_costs_time_and_gives_no_wrong_bytes(shelf: Shelf, server: Server, tmp_path: Path, lie: bytes) -> None:
    shelf.write(object_key(SHA256), lie)
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": server.add("/w.bin", BODY), "sha256": SHA256, "size": len(BODY)}])
    report = lab.sync()
    assert report.outcomes[0].state is State.FETCHED, report.outcomes[0].because
    assert lab.placed("w").read_bytes() == BODY
    assert server.sent("/w.bin") >= len(BODY)


def test_a_missing_object_is_the_origin_s_turn_and_nobody_talks_of_it(shelf: Shelf, server: Server, tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": server.add("/w.bin", BODY), "sha256": SHA256}, {"name": "n", "url": server.add("/n", b"n")}])
    assert [row.state for row in lab.sync().outcomes] == [State.FETCHED] * 2
    assert notes(lab) == []


def test_a_store_that_is_away_is_noted_once(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as gone:
        port = gone.url().rpartition(":")[2]
    monkeypatch.setenv("CONDA_ASSETS_STORE", f"{tmp_path}/store,s3://lab-assets?endpoint=http://127.0.0.1:{port}")
    monkeypatch.setattr("conda_assets.api.pushing.after_sync", lambda *unused: None)
    lab = Lab(tmp_path)
    names = [f"f{number}.bin" for number in range(6)]
    bodies = {name: name.encode() * 999 for name in names}
    lab.write(
        [
            {"name": name, "url": server.add(f"/{name}", body), "sha256": hashlib.sha256(body).hexdigest()}
            for name, body in bodies.items()
        ]
    )
    assert [row.state for row in lab.sync().outcomes] == [State.FETCHED] * 6
    assert len(notes(lab)) == 1
    assert "the store s3://lab-assets is not used: " in notes(lab)[0]


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (404, "NoSuchBucket", "has no bucket lab-assets"),
        (403, "InvalidAccessKeyId", "the access key is not known there"),
        (403, "SignatureDoesNotMatch", "the secret key does not belong to the access key"),
        (403, "RequestTimeTooSkewed", "the clock of this machine is wrong"),
        (403, "AccessDenied", "with these credentials"),
    ],
)
def test_what_a_store_refuses_is_said_with_the_way_out(
    status: int, code: str, says: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `push` as an error, by `sync` as a note."""
    for key in (object_key(SHA256), "conda-assets-store.json"):
        server.route(f"/lab-assets/x/{key}", lambda request, body: refused(status, code))
    monkeypatch.setenv("CONDA_ASSETS_STORE", f"{tmp_path}/store,s3://lab-assets/x?endpoint={server.url()}")
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": server.add("/w.bin", BODY), "sha256": SHA256}])
    assert lab.sync().outcomes[0].state is State.FETCHED
    assert says in notes(lab)[0]
    said = lab.call("push", "--json")
    error = said.json["error"]
    assert isinstance(error, dict)
    assert (said.status, error["code"]) == (1, "remote")
    assert says in error["message"]
    assert error["message"].startswith("the store s3://lab-assets/x: ")
    assert error["hints"]
    assert SECRET not in said.out + said.err + repr(lab.seen)
    assert KEY_ID not in said.out + said.err + repr(lab.seen)


def test_an_endpoint_that_is_down_and_missing_credentials_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as gone:
        endpoint = gone.url()
    remote = f"s3://lab-assets?endpoint={endpoint}"
    network = load(environ=os.environ).network
    with pytest.raises(RemoteFailed, match=f"no answer from {endpoint}") as caught:
        Bucket(remote, network).is_marked()
    assert "check `?endpoint=`" in caught.value.hints[0].text
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(RemoteFailed, match="no credentials are found to write with"):
        Bucket(remote, network).is_marked()


def test_nothing_is_pushed_without_a_remote_store_or_the_bytes(
    shelf: Shelf, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": server.add("/w.bin", BODY), "sha256": SHA256}])
    said = lab.call("push", "--json")
    assert (said.status, pushed(said)) == (1, {"w": "failed"})
    assert "conda assets fetch" in said.out
    monkeypatch.setenv("CONDA_ASSETS_STORE", str(tmp_path / "store"))
    said = lab.call("push")
    assert said.status == 2
    assert "no remote store is set" in said.err


def test_a_damaged_file_is_not_pushed(shelf: Shelf, server: Server, tmp_path: Path) -> None:
    large = Virtual(20 * MIB, seed=3)
    lab = Lab(tmp_path)
    lab.write(
        [
            {"name": "w", "url": server.add("/w.bin", BODY), "sha256": SHA256},
            {"name": "large", "url": server.add("/l.bin", large), "sha256": large.sha256},
        ]
    )
    assert lab.call("fetch", "-q").status == 0
    with closing(open_stores(load(environ=os.environ).stores)) as store:
        for stored in store.objects():
            stored.path.chmod(0o600)
            with stored.path.open("r+b") as file:
                file.write(b"damage")
    said = lab.call("push", "--json")
    assert (said.status, pushed(said)) == (4, {"w": "failed", "large": "failed"})
    assert shelf.names("objects/") == []
    assert not shelf.client.list_multipart_uploads(Bucket="lab-assets", Prefix=shelf.prefix).get("Uploads")


def test_with_the_setting_a_fetch_pushes_what_came_from_the_origin(
    shelf: Shelf, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDA_PLUGINS_ASSETS_PUSH", "true")
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": server.add("/w.bin", BODY), "sha256": SHA256}])
    assert lab.call("fetch", "-q").status == 0
    assert shelf.names("objects/") == [object_key(SHA256)]


def test_a_large_file_goes_in_parts_and_a_killed_push_goes_on(
    shelf: Shelf, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts that are there are found by their hash and not sent again."""
    large = Virtual(40 * MIB, seed=5)
    lab = Lab(tmp_path)
    lab.write([{"name": "l", "url": server.add("/l.bin", large), "sha256": large.sha256}])
    assert lab.call("fetch", "-q").status == 0
    call, calls = Bucket.call, []

    def cut(self: Bucket, operation: str, what: str, **given: Any) -> dict[str, Any]:
        calls.append(operation)
        if operation == "complete_multipart_upload":
            raise KeyboardInterrupt
        return call(self, operation, what, **given)

    with monkeypatch.context() as patched:
        patched.setattr(Bucket, "call", cut)
        assert lab.call("push", "--json").status == 130
    assert calls.count("upload_part") == 3
    assert shelf.names("objects/") == []
    calls.clear()
    monkeypatch.setattr(
        Bucket, "call", lambda self, operation, what, **given: calls.append(operation) or call(self, operation, what, **given)
    )
    said = lab.call("push", "--json")
    assert pushed(said) == {"l": "pushed"}
    assert calls.count("upload_part") == 0
    assert shelf.names("objects/") == [object_key(large.sha256)]
    assert hashlib.sha256(shelf.read(object_key(large.sha256))).hexdigest() == large.sha256
