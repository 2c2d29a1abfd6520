"""Objects of S3, against a real server program (moto) and against answers that it does not give."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import botocore.session
import pytest
import requests
from botocore.config import Config
from moto.server import ThreadedMotoServer

from conda_assets import sources
from conda_assets.errors import AccessDenied, AssetFailed, AssetsError, NetworkFailed, NotThere
from conda_assets.model import Asset, Locked, State
from conda_assets.sources import s3
from conda_assets.sources.s3_listing import read_listing
from conda_assets.sources.s3_place import read_place
from engines import ARIA2CS, MIB
from lab import Lab
from publisher_s3 import Bucket, refused
from server import Request, Server, Virtual
from source_rules import NETWORK, World, make_world

pytestmark = pytest.mark.slow

KEY_ID, SECRET = "AKIDLAB", "canary-secret-81c5"
BODY = Virtual(3 * MIB).read(0, 3 * MIB)
BIG = Virtual(9 * MIB, seed=4)


@pytest.fixture(scope="module")
def moto() -> Iterator[tuple[str, Any]]:
    """(endpoint, client) of a server with one bucket, whose objects have versions."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    session = botocore.session.Session()
    session.set_credentials(KEY_ID, SECRET)
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
    client = session.create_client("s3", region_name="us-east-1", endpoint_url=endpoint, config=config)
    client.create_bucket(Bucket="lab-data")
    client.put_bucket_versioning(Bucket="lab-data", VersioningConfiguration={"Status": "Enabled"})
    for key in ("models/w.bin", "models/sub/a b+c%.bin", "models/ü#?&.bin"):
        client.put_object(Bucket="lab-data", Key=key, Body=BODY, ChecksumAlgorithm="SHA256")
    client.put_object(Bucket="lab-data", Key="models/")
    client.put_object(Bucket="lab-data", Key="public.bin", Body=BODY, ACL="public-read")
    client.put_object(Bucket="lab-data", Key="big.bin", Body=BIG.read(0, BIG.size))
    yield endpoint, client
    server.stop()


@pytest.fixture
def endpoint(moto: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto[0])
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return moto[0]


@pytest.fixture
def keys(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with Server() as server, Server() as elsewhere:
        yield make_world(server, elsewhere, monkeypatch, has_credentials=False)


def probe(url: str, **fields: object) -> Locked:
    return sources.probe(Asset(name="w", url=url, path="w", **fields), url, NETWORK)  # type: ignore[arg-type]


def error_of(url: str) -> AssetsError:
    with pytest.raises(AssetsError) as caught:
        probe(url)
    assert SECRET not in repr(caught.value) + str(caught.value.to_json())
    return caught.value


def hint(error: AssetsError) -> str:
    return error.hints[0].text


def no_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)


# A real server


@pytest.mark.usefixtures("keys")
def test_an_object_is_described_and_pinned_to_its_version(moto: tuple[str, Any]) -> None:
    locked = probe("s3://lab-data/models/w.bin")
    version = moto[1].head_object(Bucket="lab-data", Key="models/w.bin")["VersionId"]
    assert (locked.size_bytes, locked.resumable) == (len(BODY), True)
    assert locked.digest is not None
    assert (locked.digest.algorithm, locked.digest.hex) == ("sha256", hashlib.sha256(BODY).hexdigest())
    assert locked.revision == version
    assert locked.pinned_url == f"s3://lab-data/models/w.bin?versionId={version}"
    assert locked.fresh is not None
    link = locked.fresh()
    assert (link.headers, link.good_for_s) == ((), 3600.0)
    moto[1].put_object(Bucket="lab-data", Key="models/w.bin", Body=b"newer", ChecksumAlgorithm="SHA256")
    assert requests.get(link.url, timeout=10).content == BODY
    assert probe(locked.pinned_url).size_bytes == len(BODY)
    assert probe("s3://lab-data/models/w.bin").size_bytes == len(b"newer")


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("key", ["models/w.bin", "models/ü#?&.bin", "models/sub/a b+c%.bin"])
def test_a_signature_is_the_one_that_botocore_itself_makes(
    moto: tuple[str, Any], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime.now(timezone.utc)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *unused, **given: moment)
    locked = probe(f"s3://lab-data/{quote(key)}")
    assert locked.fresh is not None
    params = {"Bucket": "lab-data", "Key": key, "VersionId": locked.revision}
    theirs, ours = moto[1].generate_presigned_url("get_object", params, ExpiresIn=3600), locked.fresh().url
    assert parse_qs(urlsplit(ours).query)["X-Amz-Signature"] == parse_qs(urlsplit(theirs).query)["X-Amz-Signature"]
    assert urlsplit(ours).path == urlsplit(theirs).path


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("engine", ["aria2", "plain"])
def test_a_private_bucket_is_synced_with_the_keys_of_a_profile(
    moto: tuple[str, Any], engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine == "aria2" and not ARIA2CS:
        pytest.skip("no usable aria2c")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name)
    aws = Path(os.environ["HOME"]) / ".aws"
    aws.mkdir()
    (aws / "credentials").write_text(f"[lab]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n")
    (aws / "config").write_text(
        f"[profile lab]\nregion = us-east-1\nservices = here\n[services here]\ns3 =\n  endpoint_url = {moto[0]}\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "lab")
    lab = Lab(tmp_path)
    lab.write(
        [{"name": "big", "url": "s3://lab-data/big.bin", "sha256": BIG.sha256}, {"name": "m", "url": "s3://lab-data/public.bin"}]
    )
    settings = replace(lab.settings(), aria2c="none") if engine == "plain" else lab.settings()
    report = lab.sync(settings=settings)
    assert [row.state for row in report.outcomes] == [State.FETCHED, State.FETCHED], [row.because for row in report.outcomes]
    assert report.outcomes[0].source == "s3://lab-data/big.bin" or moto[0] in str(report.outcomes[0].source)
    assert SECRET not in repr(report) + repr(lab.seen)
    assert "Signature" not in repr(report) + repr(lab.seen)


@pytest.mark.usefixtures("keys")
def test_a_prefix_and_a_glob_name_their_objects() -> None:
    def expand(url: str) -> tuple[tuple[str, str], ...]:
        return sources.expand(Asset(name="w", url=url, path="w"), NETWORK)

    found = expand("s3://lab-data/models/")
    assert [path for path, _ in found] == ["sub/a b+c%.bin", "w.bin", "ü#?&.bin"]
    assert [probe(url).size_bytes for _, url in found if "w.bin" not in url] == [len(BODY)] * 2
    assert [path for path, _ in expand("s3://lab-data/models/**/a*.bin")] == ["sub/a b+c%.bin"]
    with pytest.raises(NotThere, match=r"nothing in s3://lab-data matches models/\*\.txt"):
        expand("s3://lab-data/models/*.txt")


@pytest.mark.usefixtures("keys")
def test_a_prefix_is_locked_and_synced_as_a_folder(moto: tuple[str, Any], tmp_path: Path) -> None:
    contents = {f"part-{number}.bin": Virtual(1000 + number).read(0, 1000 + number) for number in range(12)}
    for name, content in contents.items():
        moto[1].put_object(Bucket="lab-data", Key=f"set/{name}", Body=content, ChecksumAlgorithm="SHA256")
    lab = Lab(tmp_path)
    lab.write([{"name": "set", "url": "s3://lab-data/set/", "path": "set"}])
    prefix = str(lab.prefix())
    said = lab.run("lock", "--json")
    assert said.status == 0, said.out + said.err
    lock = (lab.folder / "environment.assets.lock").read_text()
    assert hashlib.sha256(contents["part-3.bin"]).hexdigest() in lock
    assert "versionId" in lock
    assert SECRET not in lock + said.out + said.err
    assert "X-Amz" not in lock + said.out + said.err
    moto[1].put_object(Bucket="lab-data", Key="set/part-3.bin", Body=b"newer")
    said = lab.run("sync", "--json", "-p", prefix)
    assert said.status == 0, said.out + said.err
    assert {name: lab.placed(f"set/{name}").read_bytes() for name in contents} == contents, "as locked, not as it is today"


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(
    ("url", "said", "fix"),
    [
        ("s3://lab-nowhere/w.bin", "has no bucket lab-nowhere", "check its name"),
        ("s3://lab-data/models/W.bin", "has no object s3://lab-data/models/W.bin", "did you mean `models/w.bin`"),
        ("s3://lab-data/models/sub", "has no object", "models/sub is a folder: write `models/sub/`"),
        ("s3://lab-data/nothing/like/it", "has no object", "aws s3 ls s3://lab-data/"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(url: str, said: str, fix: str) -> None:
    error = error_of(url)
    assert isinstance(error, NotThere)
    assert said in error.message
    assert fix in hint(error)


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize("library", [True, False])
def test_a_public_object_needs_no_credentials_and_no_library(library: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not library:
        no_botocore(monkeypatch)
    locked = probe("s3://lab-data/public.bin")
    assert (locked.size_bytes, locked.fresh) == (len(BODY), None)
    assert requests.get(locked.final_url, timeout=10).content == BODY


@pytest.mark.usefixtures("endpoint")
def test_a_private_object_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    error = error_of("s3://lab-data/big.bin")
    assert isinstance(error, AccessDenied)
    assert "AWS_PROFILE" in hint(error)
    no_botocore(monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    error = error_of("s3://lab-data/big.bin")
    assert "`pip install 'conda-assets[s3]'`" in hint(error)


# Answers that it does not give


@pytest.mark.parametrize(
    ("status", "code", "kind", "fix"),
    [
        (400, "ExpiredToken", AccessDenied, "aws sso login"),
        (403, "InvalidAccessKeyId", AccessDenied, "?endpoint="),
        (403, "SignatureDoesNotMatch", AccessDenied, "AWS_SECRET_ACCESS_KEY"),
        (403, "RequestTimeTooSkewed", AccessDenied, "timedatectl"),
        (403, "InvalidObjectState", AccessDenied, "restore-object"),
        (403, "AccessDenied", AccessDenied, "s3:GetObject"),
        (301, "PermanentRedirect", NotThere, "?region="),
        (503, "SlowDown", NetworkFailed, "again"),
        (500, "InternalError", NetworkFailed, "again"),
    ],
)
@pytest.mark.usefixtures("keys")
def test_refusals_have_a_next_step(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int, code: str, kind: type[AssetFailed], fix: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", world.server.url())
    world.route("/b/k.bin", lambda request, body: refused(status, code))
    error = error_of("s3://b/k.bin")
    assert type(error) is kind
    assert fix in hint(error)
    assert "sign" not in error.message.lower() or "Signature" in code


@pytest.mark.usefixtures("keys")
def test_the_region_that_has_the_bucket_is_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if "%2Feu-central-1%2F" not in request.query:
            return 400, {"x-amz-bucket-region": "eu-central-1"}, b""
        return 200, {"Content-Length": "7"}, b"" if request.method == "HEAD" else b"content"

    monkeypatch.setenv("AWS_REGION", "us-west-2")
    world.route("/abroad/k.bin", answer)
    url = f"s3://abroad/k.bin?endpoint={world.server.url()}"
    for asked in (2, 3):
        locked = probe(url)
        assert len(world.server.requests) == asked
    assert locked.fresh is not None
    assert "eu-central-1" in parse_qs(urlsplit(locked.fresh().url).query)["X-Amz-Credential"][0]


@pytest.mark.usefixtures("keys")
def test_a_public_bucket_is_read_in_spite_of_keys_that_it_does_not_know(world: World) -> None:
    bucket = Bucket(world)
    url = bucket.add("w.bin", b"content")

    def answer(request: Request, body: bytes) -> tuple[int, Any, bytes]:
        return refused(403, "InvalidAccessKeyId") if "Signature" in request.query else bucket._object(request, "w.bin")

    world.route("/lab-data/w.bin", answer)
    locked = probe(url)
    assert (locked.size_bytes, locked.fresh) == (7, None)


def test_a_listing_has_pages_and_odd_names(world: World) -> None:
    for encodes in (True, False):
        bucket = Bucket(world, encodes=encodes)
        names = ["a+b.bin", "c d.bin", "e&<f>.bin", "g%41.bin", "ü.bin"]
        for name in names:
            bucket.add(f"d/{name}", b"x")
        found = sources.expand(Asset(name="w", url=bucket.url("d/"), path="w"), NETWORK)
        assert sorted(path for path, _ in found) == sorted(names)
        assert all(probe(url).size_bytes == 1 for _, url in found)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"<Error><Code>X</Code></Error>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><ListBucketResult><Contents><Key>&b;</Key></Contents></ListBucketResult>',
    ],
)
def test_what_is_no_listing_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"XML|document type|listing"):
        read_listing(body)


@pytest.mark.parametrize(
    ("url", "endpoint", "region", "address"),
    [
        ("s3://b-1/a/k.bin", None, "eu-west-1", "https://b-1.s3.eu-west-1.amazonaws.com/a/k.bin"),
        ("s3://b.with.dots/k", None, "us-east-1", "https://s3.us-east-1.amazonaws.com/b.with.dots/k"),
        ("s3://Old_Bucket/k", None, "us-east-1", "https://s3.us-east-1.amazonaws.com/Old_Bucket/k"),
        ("s3://b-1/k", None, "cn-north-1", "https://b-1.s3.cn-north-1.amazonaws.com.cn/k"),
        ("s3://b-1/a%20b%2Bc%25", "http://h:9000/", "x", "http://h:9000/b-1/a%20b%2Bc%25"),
        ("s3://b-1/k?style=virtual", "https://oss.example/", "x", "https://b-1.oss.example/k"),
        ("s3://b-1/k?style=virtual", None, "eu-west-1", "https://b-1.s3.eu-west-1.amazonaws.com/k"),
        ("s3://b-1/k?versionId=a%2Fb", "http://h:9000", "x", "http://h:9000/b-1/k?versionId=a%2Fb"),
    ],
)
def test_an_object_has_one_address(url: str, endpoint: str | None, region: str, address: str) -> None:
    assert read_place(url).address(endpoint, region) == address


def test_a_url_says_where_its_server_is_before_the_environment_does(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    world.route("/b/k.bin", lambda request, body: (200, {}, b"content"))
    url = f"s3://b/k.bin?endpoint={world.server.url()}&region=eu-west-1"
    assert probe(url).size_bytes == 7
    assert read_place(url).url() == url
    assert error_of("s3://b/k.bin").retryable


# Credentials


def process(folder: Path, code: str) -> None:
    """A profile whose keys come from a program."""
    program = folder / "keys.py"
    program.write_text(f"#!{sys.executable}\n{code}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    aws = Path(os.environ["HOME"]) / ".aws"
    aws.mkdir(exist_ok=True)
    (aws / "config").write_text(f"[default]\nregion = eu-west-3\ncredential_process = {program}\n")


def test_a_role_is_used_for_as_long_as_its_keys_surely_live(world: World, tmp_path: Path) -> None:
    bucket = Bucket(world)
    url = bucket.add("w.bin", b"content")
    keys = {
        "Version": 1,
        "AccessKeyId": "ROLE",
        "SecretAccessKey": SECRET,
        "SessionToken": "T",
        "Expiration": "2100-01-01T00:00:00Z",
    }
    process(tmp_path, f"print({json.dumps(json.dumps(keys))})")
    fresh = probe(url).fresh
    assert fresh is not None
    said = parse_qs(urlsplit(fresh().url).query)
    assert (fresh().good_for_s, said["X-Amz-Expires"], said["X-Amz-Security-Token"]) == (600.0, ["600"], ["T"])
    assert "eu-west-3" in said["X-Amz-Credential"][0]


def test_keys_that_cannot_be_had_are_an_error_with_a_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process(tmp_path, "import sys; sys.exit('locked out')")
    error = error_of("s3://b/k.bin?endpoint=http://127.0.0.1:1")
    assert isinstance(error, AccessDenied)
    assert "locked out" in error.message
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    error = error_of("s3://b/k.bin?endpoint=http://127.0.0.1:1")
    assert "nowhere" in error.message
    assert "list-profiles" in hint(error)


@pytest.mark.usefixtures("keys")
def test_the_assets_own_headers_are_signed_and_sent(world: World) -> None:
    seen: list[Request] = []

    def answer(request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        seen.append(request)
        return 200, {}, b"content"

    world.route("/b/k.bin", answer)
    url = f"s3://b/k.bin?endpoint={world.server.url()}"
    fresh = probe(url, headers={"x-amz-request-payer": "requester"}).fresh
    assert fresh is not None
    assert fresh().headers == (("x-amz-request-payer", "requester"),)
    assert parse_qs(urlsplit(fresh().url).query)["X-Amz-SignedHeaders"] == ["host;x-amz-request-payer"]
    assert {request.headers["x-amz-request-payer"] for request in seen} == {"requester"}


def test_headers_of_one_publisher_are_not_shown_to_a_mirror_at_another(world: World) -> None:
    world.route("/b/k.bin", lambda request, body: (200, {}, b"content"))
    mirror = f"s3://b/k.bin?endpoint={world.server.url()}"
    asset = Asset(name="w", url="https://guarded.invalid/k.bin", path="w", mirrors=(mirror,), headers={"X-Api-Key": SECRET})
    locked = sources.probe(asset, mirror, NETWORK)
    assert locked.asset == asset
    assert locked.fresh is None
    assert SECRET not in str(world.server.requests)


def test_a_pattern_is_told_by_its_signs() -> None:
    told = {
        url: s3.is_pattern(url)
        for url in ("s3://b/k", "s3://b/k/", "s3://b/*.bin", "s3://b/a%2Ab", "s3://b/k?endpoint=http://h/")
    }
    assert list(told.values()) == [False, True, True, False, False]
