"""Files of artifacts in a container registry: manifests, tokens, logins, and what goes wrong."""

from __future__ import annotations

import base64
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from conda_assets import sources
from conda_assets.digest import Digest
from conda_assets.errors import AccessDenied, AssetFailed, DigestMismatch, NetworkFailed, NoSource, NotThere
from conda_assets.model import Asset, Locked, State
from conda_assets.settings import Network
from conda_assets.sources.registry import Registry as Ours
from lab import Lab
from registry import MANIFEST, Registry, sha256
from server import Server, Virtual

BODY, OTHER = b"weights\n" * 5000, b"tokens\n" * 100
SECRET = "canary-oci"


@pytest.fixture
def registry() -> Iterator[Registry]:
    Ours._tokens.clear()
    with Server() as server:
        registry = Registry(server)
        registry.push("lab/model", "v1", {"w.bin": BODY, "sub/tok.txt": OTHER})
        yield registry


def ask(registry: Registry, rest: str, **fields: object) -> Locked:
    asset = Asset(name="w", url=f"oci://{registry.host}/{rest}", path="w", **fields)  # type: ignore[arg-type]
    return sources.probe(asset, asset.url, Network())


def log_in(registry: Registry, **entry: object) -> None:
    registry.users["me"], registry.open, registry.token = SECRET, False, f"t-{SECRET}"
    config = Path(os.environ["HOME"], ".docker", "config.json")
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(json.dumps(entry))


def auth(user: str = "me", word: str = SECRET) -> str:
    return base64.b64encode(f"{user}:{word}".encode()).decode()


def test_a_layer_is_found_by_its_title_and_pinned_by_the_manifest(registry: Registry) -> None:
    said = ask(registry, "lab/model:v1#sub/tok.txt")
    digest = registry.push("lab/model", "v1", {"w.bin": BODY, "sub/tok.txt": OTHER})
    assert (said.size_bytes, said.digest, said.revision) == (len(OTHER), Digest("sha256", sha256(OTHER)[7:]), digest)
    assert said.pinned_url == f"oci://{registry.host}/lab/model@{digest}#sub/tok.txt"
    registry.push("lab/model", "v1", {"w.bin": b"new"})
    assert ask(registry, f"lab/model@{digest}#sub/tok.txt").digest == said.digest, "a digest stays what it is"


def test_the_only_layer_needs_no_name(registry: Registry) -> None:
    registry.push("lab/one", "latest", {"w.bin": BODY})
    assert ask(registry, "lab/one").size_bytes == len(BODY)
    with pytest.raises(AssetFailed, match=r"has 2 files: add one of them as `#sub/tok.txt`, `#w.bin`, or `#` for all"):
        ask(registry, "lab/model:v1")


def test_an_index_gives_what_is_for_this_machine(registry: Registry) -> None:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    mine = registry.push("lab/many", "mine", {"w.bin": BODY})
    other = registry.push("lab/many", "other", {"w.bin": OTHER})
    registry.index("lab/many", "v1", {"plan9/mips": other, f"linux/{machine}": mine})
    assert ask(registry, "lab/many:v1#w.bin").revision == mine
    registry.index("lab/many", "v2", {"plan9/mips": other, "plan9/sparc": other})
    with pytest.raises(NotThere, match="it has plan9/mips, plan9/sparc"):
        ask(registry, "lab/many:v2#w.bin")


@pytest.mark.parametrize("engine", ["aria2", "plain"])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["itself", "elsewhere"])
def test_a_private_file_arrives_verified(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool, engine: str
) -> None:
    if engine == "plain":
        monkeypatch.setenv("CONDA_PLUGINS_ASSETS_ARIA2C", "none")
    log_in(registry, auths={registry.host: {"auth": auth()}})
    with Server() as far:
        registry.blobs_at = far if elsewhere else None
        registry.push("lab/private", "v1", {"w.bin": BODY})
        lab = Lab(tmp_path)
        lab.write([{"name": "w", "url": f"oci://{registry.host}/lab/private:v1#w.bin"}])
        said = lab.run("sync", "-p", str(lab.prefix()), "--json", "-v")
        assert (said.status, said.rows()["w"]["state"]) == (0, "fetched"), said
        assert lab.placed("w").read_bytes() == BODY
        assert SECRET not in said.out + said.err
        assert [each for each in far.requests if "authorization" in each.headers] == []


def test_a_large_file_comes_in_parts_with_a_token_that_ends_meanwhile(registry: Registry, tmp_path: Path) -> None:
    content = Virtual(20_000_000, seed=4)
    digest, registry.life_s = f"sha256:{content.sha256}", 1
    layer = {"mediaType": "application/octet-stream", "digest": digest, "size": content.size}
    layer["annotations"] = {"org.opencontainers.image.title": "w.bin"}
    registry.add_manifest("lab/big", "v1", {"schemaVersion": 2, "layers": [layer]}, MANIFEST)
    registry.serve_whole("lab/big", digest, content)
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": f"oci://{registry.host}/lab/big:v1#w.bin"}])
    (row,) = lab.sync().outcomes
    assert (row.state, row.error, row.sha256) == (State.FETCHED, None, content.sha256)


LOGINS = {
    "docker": lambda host: {"auths": {host: {"auth": auth()}}},
    "with scheme": lambda host: {"auths": {f"https://{host}": {"auth": auth()}}},
    "by name": lambda host: {"auths": {host: {"username": "me", "password": SECRET}}},
    "of a repository": lambda host: {"auths": {host: {"auth": auth(word="wrong")}, f"{host}/lab": {"auth": auth()}}},
    "a helper": lambda host: {"credHelpers": {host: "lab"}},
    "a store": lambda host: {"auths": {host: {}}, "credsStore": "lab"},
}


@pytest.mark.parametrize("entry", LOGINS.values(), ids=list(LOGINS))
def test_the_login_of_container_tools_is_used(
    registry: Registry, entry: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-lab"
    said = json.dumps({"ServerURL": registry.host, "Username": "me", "Secret": SECRET})
    helper.write_text(f"#!/bin/sh\nread server\n[ \"$1 $server\" = 'get {registry.host}' ] || exit 1\necho '{said}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    log_in(registry, **entry(registry.host))  # type: ignore[operator]
    assert ask(registry, "lab/model:v1#w.bin").size_bytes == len(BODY)


def test_netrc_is_used_where_no_container_tool_has_been(registry: Registry) -> None:
    log_in(registry)
    netrc = Path(os.environ["HOME"], ".netrc")
    netrc.write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    netrc.chmod(0o600)
    assert ask(registry, "lab/model:v1#w.bin").size_bytes == len(BODY)


def test_a_registry_may_want_the_password_itself(registry: Registry) -> None:
    registry.scheme = "Basic"
    log_in(registry, auths={registry.host: {"auth": auth()}})
    assert ask(registry, "lab/model:v1#w.bin").size_bytes == len(BODY)


def test_a_token_is_asked_for_once(registry: Registry) -> None:
    for path in ("w.bin", "sub/tok.txt"):
        ask(registry, f"lab/model:v1#{path}")
    assert len(registry.server.seen("/token")) == 1


@pytest.mark.parametrize(
    ("rest", "kind", "words"),
    [
        ("lab/model:v2#w.bin", NotThere, "has no 127.0.0.1"),
        ("lab/model:v1#v.bin", NotThere, "has no file v.bin; it has"),
        ("Lab/Model:v1#w.bin", AssetFailed, "is no `oci://registry/repository:tag#path`"),
    ],
)
def test_what_is_wrong_is_said(registry: Registry, rest: str, kind: type[AssetFailed], words: str) -> None:
    with pytest.raises(kind, match=words):
        ask(registry, rest)


def test_who_has_no_login_is_told_how_to_get_one(registry: Registry) -> None:
    log_in(registry, auths={registry.host: {"auth": auth(word="old")}})
    with pytest.raises(AccessDenied) as caught:
        ask(registry, "lab/model:v1#w.bin")
    assert "docker login" in caught.value.hints[0].text
    assert "old" not in str(caught.value) + repr(caught.value)


def test_an_image_is_no_artifact(registry: Registry) -> None:
    registry.push("lab/image", "v1", {"a": b"one", "b": b"two"}, named=False)
    with pytest.raises(NoSource, match="has 2 layers without names"):
        ask(registry, "lab/image:v1")


def test_another_manifest_than_the_url_names_is_refused(registry: Registry) -> None:
    digest = registry.push("lab/model", "v1", {"w.bin": BODY})
    evil = json.dumps({"layers": []}).encode()
    registry.server.route(f"/v2/lab/model/manifests/{digest}", lambda request, body: (200, {}, evil))
    with pytest.raises(DigestMismatch) as caught:
        ask(registry, f"lab/model@{digest}#w.bin")
    assert caught.value.got == sha256(evil)[7:]


def test_a_registry_that_counts_is_waited_for(registry: Registry) -> None:
    registry.server.route("/v2/lab/model/manifests/v1", lambda request, body: (429, {"Retry-After": "9"}, b""))
    with pytest.raises(NetworkFailed) as caught:
        ask(registry, "lab/model:v1#w.bin")
    assert caught.value.retry_after_s == 9


@pytest.mark.parametrize(
    ("host", "base", "repository"),
    [
        ("docker.io", "https://registry-1.docker.io", "library/name"),
        ("ghcr.io", "https://ghcr.io", "name"),
        ("localhost:5000", "http://localhost:5000", "name"),
        ("localhost.evil.example", "https://localhost.evil.example", "name"),
    ],
)
def test_only_this_machine_is_asked_in_the_clear(host: str, base: str, repository: str) -> None:
    made = Ours(host, "name", Network())
    assert (made.base, made.repository) == (base, repository)
