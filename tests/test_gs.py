"""Objects of Google Cloud Storage, with the credentials that google-auth really makes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from conda_assets import sources
from conda_assets.errors import AccessDenied, AssetsError, NetworkFailed, NotThere
from conda_assets.model import Asset, Locked, State
from conda_assets.sources import gs
from lab import Lab
from publisher_gs import BUCKET, GENERATION, Bucket
from publisher_s3 import refused
from server import Request, Server, Virtual
from source_rules import BODY, NETWORK, World, make_world, read_back

SECRET = "canary-token-77aa"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with Server() as server, Server() as elsewhere:
        yield make_world(server, elsewhere, monkeypatch, has_credentials=False)


@pytest.fixture(scope="module")
def key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.private_bytes(*form).decode()


def probe(url: str, **fields: object) -> Locked:
    return sources.probe(Asset(name="w", url=url, path="w", **fields), url, NETWORK)  # type: ignore[arg-type]


def error_of(url: str) -> AssetsError:
    with pytest.raises(AssetsError) as caught:
        probe(url)
    assert SECRET not in repr(caught.value) + str(caught.value.to_json())
    return caught.value


def hint(error: AssetsError) -> str:
    return error.hints[0].text


def service_account(world: World, key: str, folder: Path, answer: tuple[int, dict[str, object]]) -> list[Request]:
    """A key file whose tokens our server gives; the requests for them."""
    asked: list[Request] = []

    def give(request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        asked.append(request)
        assert parse_qs(body.decode())["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        return answer[0], {"Content-Type": "application/json"}, json.dumps(answer[1]).encode()

    file = folder / "key.json"
    said = {
        "type": "service_account",
        "project_id": "lab",
        "private_key_id": "1",
        "private_key": key,
        "client_email": "lab@lab.iam.gserviceaccount.com",
        "token_uri": world.server.route("/token", give),
    }
    file.write_text(json.dumps(said))
    world.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    return asked


def test_an_object_is_pinned_to_its_generation(world: World) -> None:
    locked = probe(Bucket(world).add("models/ü w+.bin"))
    assert (locked.revision, locked.etag) == (GENERATION, '"abc"')
    assert locked.pinned_url == f"gs://{BUCKET}/models/%C3%BC%20w%2B.bin?generation={GENERATION}"
    assert probe(locked.pinned_url).size_bytes == len(BODY)
    other = locked.pinned_url.replace(GENERATION, "1")
    assert isinstance(error_of(other), NotThere)


def test_a_key_file_gives_a_token_that_is_kept_while_it_lives(world: World, key: str, tmp_path: Path) -> None:
    asked = service_account(world, key, tmp_path, (200, {"access_token": SECRET, "expires_in": 3600, "token_type": "Bearer"}))
    bucket = Bucket(world, token=SECRET)
    for name in ("a.bin", "b.bin"):
        locked = probe(bucket.add(name))
        assert read_back(locked) == BODY
    assert len(asked) == 1
    assert locked.fresh is not None
    fresh = locked.fresh()
    assert fresh.good_for_s is not None
    assert 3000 < fresh.good_for_s <= 3600
    assert dict(fresh.headers) == {"Authorization": f"Bearer {SECRET}"}
    assert SECRET not in repr(locked) + repr(fresh)


def test_a_token_that_is_not_given_is_an_error_with_a_next_step(world: World, key: str, tmp_path: Path) -> None:
    service_account(world, key, tmp_path, (400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}))
    error = error_of(Bucket(world).add("w.bin"))
    assert isinstance(error, AccessDenied)
    assert "invalid_grant" in error.message
    assert "gcloud auth application-default login" in hint(error)


def test_a_key_file_that_is_not_there_is_said(world: World) -> None:
    url = Bucket(world).add("w.bin")
    world.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    assert "/nowhere/key.json" in error_of(url).message


@pytest.mark.parametrize("engine", ["auto", "none"])
def test_a_private_bucket_is_synced(world: World, engine: str, tmp_path: Path) -> None:
    content = Virtual(5 << 20).read(0, 5 << 20)
    world.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN", SECRET)
    if engine == "none":
        world.setenv("CONDA_PLUGINS_ASSETS_ARIA2C", "none")
    bucket = Bucket(world, token=SECRET)
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": bucket.add("w.bin", content)}])
    report = lab.sync()
    assert [row.state for row in report.outcomes] == [State.FETCHED], report.outcomes[0].because
    assert lab.placed("w").read_bytes() == content
    assert SECRET not in repr(report) + repr(lab.seen)
    for path in Path(os.environ["HOME"]).rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("status", "code", "kind", "fix"),
    [
        (404, "NoSuchBucket", NotThere, "gcloud storage ls"),
        (403, "AccessDenied", AccessDenied, "gcloud auth application-default login"),
        (503, "ServiceUnavailable", NetworkFailed, "again"),
        (429, "SlowDown", NetworkFailed, "again"),
    ],
)
def test_refusals_have_a_next_step(world: World, status: int, code: str, kind: type[AssetsError], fix: str) -> None:
    Bucket(world)
    world.route("/b/k.bin", lambda request, body: refused(status, code))
    error = error_of("gs://b/k.bin")
    assert type(error) is kind
    assert fix in hint(error)


def test_an_expired_token_and_a_missing_library_are_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    url = Bucket(world, token="another").add("w.bin")
    monkeypatch.setitem(sys.modules, "google.auth", None)
    assert "`pip install 'conda-assets[gs]'`" in hint(error_of(url))
    world.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN", SECRET)
    error = error_of(url)
    assert "expired" in error.message
    assert "CLOUDSDK_AUTH_ACCESS_TOKEN" in hint(error)


def test_a_public_object_is_read_without_the_library_and_in_spite_of_a_stale_token(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket(world)
    url = bucket.add("w.bin")
    monkeypatch.setitem(sys.modules, "google.auth", None)
    assert probe(url).fresh is None

    def answer(request: Request, body: bytes) -> tuple[int, object, bytes]:
        return refused(401, "InvalidToken") if "authorization" in request.headers else bucket._object(request, "w.bin")

    world.route(f"/{BUCKET}/w.bin", answer)  # type: ignore[arg-type]
    world.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN", SECRET)
    assert probe(url).fresh is None


def test_near_names_are_offered(world: World) -> None:
    bucket = Bucket(world)
    bucket.add("models/weights.bin")
    bucket.add("models/sub/x.bin")
    for key, fix in (("models/weight.bin", "did you mean `models/weights.bin`"), ("models/sub", "write `models/sub/`")):
        world.route(f"/{BUCKET}/{key}", lambda request, body: refused(404, "NoSuchKey"))
        assert fix in hint(error_of(bucket.url(key)))


def test_what_is_stored_compressed_is_taken_as_it_comes(world: World) -> None:
    said = {"x-goog-stored-content-encoding": "gzip", "x-goog-hash": "md5=CY9rzUYh03PK3k6DJie09g==", "Content-Length": "7"}
    Bucket(world)
    world.route("/b/k.json", lambda request, body: (200, said, b"content"))
    locked = probe("gs://b/k.json")
    assert (locked.size_bytes, locked.digest, locked.resumable, locked.etag) == (None, None, False, None)


def test_the_files_of_a_pattern_are_described_by_its_list(world: World) -> None:
    bucket = Bucket(world, page=100)
    for number in range(250):
        bucket.add(f"d/{number}.bin", b"x" * number)
    found = sources.expand(Asset(name="w", url=f"gs://{BUCKET}/d/", path="w"), NETWORK)
    assert len(world.server.requests) == 4, "three pages, and whether the first may be read"
    locked = {path: probe(url) for path, url in found}
    assert len(world.server.requests) == 4
    assert [locked[f"{number}.bin"].size_bytes for number in range(250)] == list(range(250))
    assert locked["7.bin"].digest == probe(f"gs://{BUCKET}/d/7.bin").digest


def test_who_may_list_but_not_read_is_told_before_anything_is_fetched(world: World) -> None:
    bucket = Bucket(world)
    bucket.add("d/a.bin")
    world.route(f"/{BUCKET}/d/a.bin", lambda request, body: refused(403, "AccessDenied"))
    with pytest.raises(AccessDenied, match="may not be read"):
        sources.expand(Asset(name="w", url=f"gs://{BUCKET}/d/", path="w"), NETWORK)


def test_a_pattern_is_told_by_its_signs() -> None:
    told = [gs.is_pattern(url) for url in ("gs://b/k", "gs://b/k/", "gs://b/*.bin", "gs://b/a%2Ab", "gs://b/k?generation=1")]
    assert told == [False, True, True, False, False]
