"""Stores in buckets, against a real S3 server program (moto) and against answers that it does not give."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from conda_assets.errors import RemoteFailed, UsageError
from conda_assets.events import Noted
from conda_assets.model import State
from conda_assets.remote.kind import RemoteStore
from conda_assets.remote.leases import put_lease
from conda_assets.remote.opening import open_remote
from conda_assets.remote.s3.client import Bucket
from conda_assets.remote.sweeping import survey, sweep
from conda_assets.settings import load
from conda_assets.store import open_stores
from elsewhere import COUNTED, KILLED, forget_store, program
from engines import ARIA2CS, MIB
from lab import Lab
from publisher_s3 import refused
from server import Server, Virtual

pytestmark = pytest.mark.slow

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

    def age(self, days: float, below: str = "") -> None:
        """Let the server believe that what is there came so long ago."""
        stored = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets["lab-assets"].keys
        for key in self.names(below):
            stored[f"{self.prefix}/{key}"].last_modified = datetime.now(timezone.utc).replace(tzinfo=None) - timedelta(days=days)


@pytest.fixture
def shelf(moto: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> Shelf:
    made = Shelf(moto)
    monkeypatch.setenv("CONDA_ASSETS_STORE", f"{os.environ['CONDA_ASSETS_STORE']},{made.url}")
    return made


@pytest.fixture
def bucket(shelf: Shelf) -> Iterator[RemoteStore]:
    with open_remote(shelf.url, load(environ=os.environ).network) as made:
        yield made


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


def object_key(sha256: str) -> str:
    return f"objects/sha256/{sha256[:2]}/{sha256}"


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
        ("s3://lab/x?versionId=secret", "s3://lab/x has `versionId`, expected one of endpoint, region, style"),
        ("s3://lab/x?style=virtual-host", "the style of s3://lab/x is neither path nor virtual"),
        ("s3:///x", "names no bucket"),
        ("s3://lab/../x", "has `.` or `..` in its prefix"),
        ("ftp://lab/x", "ftp://lab/x is no store that this version can use: expected a folder, s3:// or oci://"),
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
    forget_store(monkeypatch, "other")
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
    with pytest.raises(RemoteFailed, match=f"no answer from {endpoint}") as caught, Bucket(remote, network) as bucket:
        bucket.is_marked()
    assert "check `?endpoint=`" in caught.value.hints[0].text
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(RemoteFailed, match="no credentials are found to write with"), Bucket(remote, network) as bucket:
        bucket.is_marked()
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    with pytest.raises(RemoteFailed, match="the AWS profile that is asked for is not there"):
        Bucket(remote, network)


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
    # Another machine reads it, when the origin is gone, by ranges.
    server.close()
    forget_store(monkeypatch, "other")
    lines: list[str] = []
    listener = logging.Handler()
    monkeypatch.setattr(listener, "emit", lambda record: lines.append(record.getMessage()))
    logging.getLogger("werkzeug").addHandler(listener)
    (row,) = lab.sync("elsewhere").outcomes
    logging.getLogger("werkzeug").removeHandler(listener)
    assert (row.state, row.bytes_fetched) == (State.FETCHED, large.size), row.because
    assert str(row.source).startswith(shelf.endpoint)
    ranges = [line for line in lines if "GET /lab-assets/" in line and " 206 " in line and "X-Amz-Signature" in line]
    assert len(ranges) >= 8 or not ARIA2CS, "signed ranges over many connections"


def test_a_store_that_breaks_down_in_the_middle_leaves_the_rest_to_the_origin(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = Virtual(9 * MIB, seed=11)

    def answer(request: Any, body: bytes) -> Any:
        if request.method == "HEAD":
            return 200, {"Content-Length": str(large.size), "ETag": '"0123"', "Accept-Ranges": "bytes"}, b""
        return refused(503, "SlowDown")

    server.route(f"/lab-assets/{object_key(large.sha256)}", answer)
    monkeypatch.setenv("CONDA_ASSETS_STORE", f"{tmp_path}/store,s3://lab-assets?endpoint={server.url()}")
    lab = Lab(tmp_path)
    lab.write([{"name": "l", "url": server.add("/l.bin", large), "sha256": large.sha256}])
    (row,) = lab.sync().outcomes
    assert row.state is State.FETCHED, row.because
    assert str(row.source).endswith("/l.bin")


# Several writers, and writers that end too early


def test_a_push_that_was_killed_sends_only_the_other_parts(shelf: Shelf, server: Server, tmp_path: Path) -> None:
    large = Virtual(100 * MIB, seed=6)
    lab = Lab(tmp_path)
    lab.write([{"name": "l", "url": server.add("/l.bin", large), "sha256": large.sha256}])
    assert lab.call("fetch", "-q").status == 0
    killed = program(lab, KILLED, "push", "-q")
    assert killed.wait(60) == -signal.SIGKILL
    killed.communicate()
    (upload,) = shelf.client.list_multipart_uploads(Bucket="lab-assets", Prefix=f"{shelf.prefix}/")["Uploads"]
    listed = shelf.client.list_parts(Bucket="lab-assets", Key=upload["Key"], UploadId=upload["UploadId"])
    there = len(listed["Parts"])
    assert there >= 2
    again = program(lab, COUNTED, "push", "-q")
    _, talk = again.communicate(timeout=60)
    assert again.returncode == 0, talk
    assert 1 <= int(talk.split()[-1]) <= 7 - there, "what was under way at the kill may have arrived later"
    assert hashlib.sha256(shelf.read(object_key(large.sha256))).hexdigest() == large.sha256
    assert not shelf.client.list_multipart_uploads(Bucket="lab-assets", Prefix=f"{shelf.prefix}/").get("Uploads")


def test_a_server_that_knows_no_conditions_and_no_checksums_is_written_all_the_same(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, bytes] = {}

    def answer(request: Any, body: bytes) -> Any:
        names = {name.lower() for name in request.headers}
        if request.method == "PUT" and names & {"if-none-match", "x-amz-checksum-sha256"}:
            return refused(501, "NotImplemented")
        if request.method == "PUT":
            kept[request.path] = body
            return 200, {"ETag": '"0"'}, b""
        if request.path not in kept:
            status, headers, content = refused(404, "NoSuchKey")
            return status, headers, b"" if request.method == "HEAD" else content
        return 200, {}, kept[request.path]

    monkeypatch.setenv("CONDA_ASSETS_STORE", f"{tmp_path}/store,s3://lab-assets?endpoint={server.url()}")
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": server.add("/w.bin", BODY), "sha256": SHA256}])
    assert lab.call("fetch", "-q").status == 0
    monkeypatch.setattr("conda_assets.remote.leases.put_lease", lambda *unused: None)
    for key in (object_key(SHA256), "conda-assets-store.json"):
        server.route(f"/lab-assets/{key}", answer)
    said = lab.call("push", "--json")
    assert pushed(said) == {"w": "pushed"}, said.out + said.err
    assert kept[f"/lab-assets/{object_key(SHA256)}"] == BODY


# Leases, and what they keep


def fill(shelf: Shelf, count: int) -> list[str]:
    """Objects of old; their hashes. The contents do not matter here."""
    shelf.write("conda-assets-store.json", b'{"store": "conda-assets", "version": 1}')
    hashes = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]
    for sha256 in hashes:
        shelf.write(object_key(sha256), b"x" * 10)
    shelf.age(100, "objects/")
    return hashes


def there(shelf: Shelf) -> set[str]:
    return {name.rpartition("/")[2] for name in shelf.names("objects/")}


def test_what_one_of_64_machines_has_leased_stays(shelf: Shelf, bucket: RemoteStore) -> None:
    hashes = fill(shelf, 100)
    day = 86400.0
    for number in range(64):
        used = {hashes[number], hashes[(number * 7) % 64], hashes[0]}
        put_lease(bucket, f"/opt/envs/{number}", used, 30 * day, machine=f"node{number}")
    # Two that were not heard of for long; one of them has said that this may be.
    put_lease(bucket, "/gone", [hashes[80]], 30 * day, machine="gone")
    put_lease(bucket, "/rare", [hashes[81]], 90 * day, machine="rare")
    shelf.age(40, "leases/gone/")
    shelf.age(40, "leases/rare/")
    # One that nobody understands, one file that is new, and what is none of ours.
    shelf.write(f"leases/odd/{hashes[0]}.json", f'{{"schema": 99, "what": ["{hashes[82]}"'.encode())
    shelf.write(object_key(hashes[83]), b"new")
    for alien in ("objects/readme.txt", "other/x", f"objects/sha256/zz/{hashes[99]}", "leases/notes.txt"):
        shelf.write(alien, b"alien")
    shelf.age(100, "objects/readme.txt")
    shelf.write(f"aliases/md5/00/{'0' * 32}", json.dumps({"sha256": hashes[99]}).encode())
    shelf.write(f"aliases/md5/11/{'1' * 32}", json.dumps({"sha256": hashes[1]}).encode())
    shelf.age(100, "aliases/")
    before = set(shelf.names())

    finding = survey(bucket, 30 * day)
    assert (finding.files, len(finding.leases), [lease.holder for lease in finding.over]) == (100, 66, ["/gone"])
    assert set(shelf.names()) == before, "a survey changes nothing"
    swept = sweep(finding)
    expected = {*hashes[:64], hashes[81], hashes[82], hashes[83]}
    assert len(swept.files) == 100 - len(expected)
    gone = {object_key(sha256) for sha256 in set(hashes) - expected}
    assert before - set(shelf.names()) == gone | {
        f"aliases/md5/00/{'0' * 32}",
        *(n for n in before if n.startswith("leases/gone/")),
    }
    assert sweep(survey(bucket, 30 * day)).files == ()


def test_a_lease_that_comes_while_collecting_counts(shelf: Shelf, bucket: RemoteStore) -> None:
    hashes = fill(shelf, 3)
    put_lease(bucket, "/env", [hashes[0]], 86400.0)
    finding = survey(bucket, 86400.0)
    assert len(finding.going) == 2
    put_lease(bucket, "/env", [hashes[0], hashes[1]], 86400.0)
    swept = sweep(finding)
    assert (len(swept.files), swept.kept) == (1, 1)
    assert there(shelf) == {hashes[0], hashes[1]}


def test_nothing_goes_when_the_leases_cannot_be_read(shelf: Shelf, bucket: RemoteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = fill(shelf, 3)
    put_lease(bucket, "/env", [hashes[0]], 86400.0)
    read = Bucket.read

    def refuse(self: Bucket, key: str, most_bytes: int) -> bytes:
        if "/leases/" in key:
            raise RemoteFailed(self.shown, "may not be read", refused=True)
        return read(self, key, most_bytes)

    monkeypatch.setattr(Bucket, "read", refuse)
    with pytest.raises(RemoteFailed, match="may not be read"):
        survey(bucket, 86400.0)
    assert there(shelf) == set(hashes)


def test_gc_shows_asks_and_removes(shelf: Shelf, server: Server, tmp_path: Path) -> None:
    """An environment's sync and a push keep what they use, by their leases; the parts of a killed push go."""
    hashes = fill(shelf, 5)
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": server.add("/w.bin", BODY), "sha256": SHA256}])
    prefix = str(lab.prefix())
    assert lab.call("sync", "-q", "-p", prefix).status == 0
    assert lab.call("push", "-q").status == 0
    shelf.age(100, "objects/")
    shelf.client.create_multipart_upload(Bucket="lab-assets", Key=f"{shelf.prefix}/{object_key(hashes[0])}")
    said = lab.call("gc", "--remote", "--dry-run", "--json")
    assert said.status == 0, said.out + said.err
    assert {row["sha256"] for row in said.json["removed"]} == set(hashes)  # type: ignore[attr-defined]
    assert len(there(shelf)) == 6
    assert "Would remove 5 files" in lab.call("gc", "--remote", "--dry-run").out
    said = lab.call("gc", "--remote", "-y")
    assert (said.status, "Removed 5 files" in said.out) == (0, True), said.out + said.err
    assert there(shelf) == {SHA256}
    assert not shelf.client.list_multipart_uploads(Bucket="lab-assets", Prefix=f"{shelf.prefix}/").get("Uploads")
    assert lab.call("gc", "--remote", "--older-than", "0", "-y", "-q").status == 0
    assert there(shelf) == {SHA256}, "a lease counts for its own time, whatever the collector's is"


def test_a_lease_is_renewed_when_something_has_changed_or_it_is_time(
    shelf: Shelf, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(tmp_path)
    entries = [{"name": name, "url": server.add(f"/{name}", name.encode())} for name in ("a", "b")]
    lab.write(entries[:1])
    lab.sync()
    (lease,) = shelf.names("leases/")
    content = json.loads(shelf.read(lease))
    assert content["sha256"] == [hashlib.sha256(b"a").hexdigest()]
    assert (content["holder"], content["grace_s"]) == (str(lab.prefix()), 30 * 86400)
    shelf.client.delete_object(Bucket="lab-assets", Key=f"{shelf.prefix}/{lease}")
    lab.sync()
    assert shelf.names("leases/") == [], "nothing has changed: nobody is asked"
    lab.write(entries)
    lab.sync()
    assert len(json.loads(shelf.read(lease))["sha256"]) == 2
    shelf.client.delete_object(Bucket="lab-assets", Key=f"{shelf.prefix}/{lease}")
    monkeypatch.setenv("CONDA_PLUGINS_ASSETS_GRACE", "0s")
    lab.sync()
    assert shelf.names("leases/") == [lease]


def test_info_shows_the_remote_stores(shelf: Shelf, tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.folder.mkdir(exist_ok=True)
    said = lab.call("info", "--json")
    settings = said.json["settings"]
    assert isinstance(settings, dict)
    assert settings["remotes"] == {"value": [shelf.url], "origin": "$CONDA_ASSETS_STORE"}
    assert SECRET not in said.out + said.err
    assert f"s3://lab-assets/{shelf.prefix}" in lab.call("config").out


def test_a_member_who_may_only_read_is_told_once(
    shelf: Shelf, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(bucket: RemoteStore, *unused: object) -> None:
        raise RemoteFailed(bucket.shown, "may not be written with these credentials", refused=True)

    monkeypatch.setattr("conda_assets.remote.leases.put_lease", refuse)
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": server.add("/w.bin", BODY), "sha256": SHA256}])
    said = []
    for _ in range(2):
        assert lab.sync().failures == ()
        said += notes(lab)
    assert said == [f"the store s3://lab-assets/{shelf.prefix}: may not be written with these credentials"]
