"""A container registry as a store, against a real one and what it does not do by itself."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from conda_assets.errors import RemoteFailed, UsageError
from conda_assets.events import Noted
from conda_assets.model import State
from conda_assets.remote.kind import RemoteStore
from conda_assets.remote.leases import put_lease
from conda_assets.remote.oci import manifests, sending
from conda_assets.remote.oci.store import OciStore
from conda_assets.remote.opening import open_remote
from conda_assets.remote.sweeping import survey, sweep
from conda_assets.settings import load
from conda_assets.sources.registry import Registry as Tokens
from conda_assets.store import open_stores
from conda_assets.web.failures import told_s
from distribution import PASSWORD, USER, Breaking, Distribution, TokenServer, needs_registry
from elsewhere import forget_store, program
from engines import ARIA2CS, MIB
from lab import Lab
from server import Server, Virtual

pytestmark = [pytest.mark.slow, needs_registry]

BODY = Virtual(3 * MIB, seed=8).read(0, 3 * MIB)
SHA256 = hashlib.sha256(BODY).hexdigest()
DAY_S = 86400.0
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Distribution]:
    with Distribution(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture(autouse=True)
def no_tokens() -> None:
    Tokens._tokens.clear()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


def use(monkeypatch: pytest.MonkeyPatch, remote: str) -> str:
    """The store's second level."""
    folder = os.environ["CONDA_ASSETS_STORE"].partition(",")[0]
    monkeypatch.setenv("CONDA_ASSETS_STORE", f"{folder},{remote}")
    return remote


@pytest.fixture
def remote(registry: Distribution, monkeypatch: pytest.MonkeyPatch) -> str:
    """A repository that nobody else uses."""
    return use(monkeypatch, f"oci://{registry.host}/lab/assets-{next(NUMBERS)}")


@pytest.fixture
def store(remote: str) -> Iterator[RemoteStore]:
    with open_remote(remote, load(environ=os.environ).network) as made:
        yield made


def notes(lab: Lab) -> list[str]:
    """What a user is warned of."""
    return [e.text for e in lab.seen if isinstance(e, Noted) and e.level == "warning" and "store oci:" in e.text]


def pushed(said: Any) -> dict[str, str]:
    assert PASSWORD not in said.out + said.err
    return {row["name"]: row["state"] for row in said.json["assets"]}


def fetched(lab: Lab, server: Server, **bodies: bytes | Virtual) -> Lab:
    """A spec of these files, which the store of this machine has."""
    rows = []
    for name, body in bodies.items():
        sha256 = hashlib.sha256(body).hexdigest() if isinstance(body, bytes) else body.sha256
        rows.append({"name": name, "url": server.add(f"/{name}", body), "sha256": sha256})
    lab.write(rows)
    assert lab.call("fetch", "-q").status == 0
    return lab


def log_in(host: str, word: str = PASSWORD) -> None:
    config = Path(os.environ["HOME"], ".config", "containers", "auth.json")
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(json.dumps({"auths": {host: {"auth": base64.b64encode(f"{USER}:{word}".encode()).decode()}}}))


# Settings


def test_a_store_may_be_a_repository_of_a_registry() -> None:
    settings = load(environ={"HOME": "/h", "CONDA_ASSETS_STORE": "/a,oci://Registry.lab:5000/team/assets/"})
    assert (settings.stores, settings.remotes) == ((Path("/a"),), ("oci://registry.lab:5000/team/assets",))


@pytest.mark.parametrize("word", ["oci://lab", "oci://lab/x:v1", "oci://lab/X", "oci://lab/x?y=1", "oci://lab/x#y", "oci:///x"])
def test_a_url_that_is_no_repository_is_refused(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(environ={"HOME": "/h", "CONDA_ASSETS_STORE": word})
    assert "is no repository of a registry" in caught.value.message
    assert "oci://registry.example:5000/repository" in caught.value.hints[0].text


# Push, and reading through


@pytest.mark.parametrize("engine", ["aria2", "plain"])
def test_what_one_machine_pushes_another_one_reads(
    remote: str, server: Server, registry: Distribution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """With the origin gone; also by another hash than sha256; a second push sends nothing; other tools find the file."""
    if engine == "plain":
        monkeypatch.setenv("CONDA_PLUGINS_ASSETS_ARIA2C", "none")
    large, two = Virtual(20 * MIB, seed=next(NUMBERS)), b"two" * 1000
    sha512 = hashlib.sha512(two).hexdigest()
    lab = Lab(tmp_path)
    lab.write(
        [
            {"name": "one", "url": server.add("/one.bin", large), "sha256": large.sha256},
            {"name": "two", "url": server.add("/two.bin", two), "hash": f"sha512:{sha512}"},
            {"name": "none", "url": server.add("/none.bin", b""), "sha256": hashlib.sha256(b"").hexdigest()},
        ]
    )
    assert lab.call("fetch", "-q").status == 0
    assert pushed(lab.call("push", "--json", "--dry-run")) == dict.fromkeys(("one", "two", "none"), "planned")
    said = lab.call("push", "--json")
    assert (said.status, pushed(said)) == (0, dict.fromkeys(("one", "two", "none"), "pushed")), said.out + said.err
    assert said.rows()["one"]["url"] == f"{remote}:object-{large.sha256}"
    again = lab.call("push", "--json")
    assert (pushed(again), again.json["totals"]["bytes_sent"]) == (dict.fromkeys(("one", "two", "none"), "present"), 0)  # type: ignore[index]

    server.close()
    forget_store(monkeypatch, "other")
    before = len(registry.lines)
    report = lab.sync("elsewhere")
    assert [row.state for row in report.outcomes] == [State.FETCHED] * 3, [row.because for row in report.outcomes]
    assert all(str(row.source).startswith(f"http://{registry.host}/v2/") for row in report.outcomes)
    assert hashlib.sha256(lab.placed("one", "elsewhere").read_bytes()).hexdigest() == large.sha256
    assert notes(lab) == []
    ranges = [line for line in registry.lines[before:] if large.sha256 in line and line.endswith(" 206")]
    assert len(ranges) >= 4 or not ARIA2CS or engine == "plain", "ranges over many connections"
    # As any artifact of the registry.
    lab.write([{"name": "w", "url": f"{remote}:object-{large.sha256}"}])
    forget_store(monkeypatch, "third")
    assert lab.sync("third").outcomes[0].sha256 == large.sha256


def test_a_missing_file_is_the_origin_s_turn_and_nobody_talks_of_it(remote: str, server: Server, tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": server.add("/w.bin", BODY), "sha256": SHA256}])
    assert [row.state for row in lab.sync().outcomes] == [State.FETCHED]
    assert notes(lab) == []


def test_a_large_file_goes_in_chunks_and_goes_on_after_a_break(
    registry: Distribution, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the registry remembers of a chunk that broke off, the file is whole in the end."""
    monkeypatch.setattr(sending, "CHUNK_BYTES", 8 * MIB)
    large = Virtual(30 * MIB, seed=next(NUMBERS))
    lab = fetched(Lab(tmp_path), server, l=large)
    with Breaking(registry.host, 12 * MIB) as way:
        use(monkeypatch, f"oci://{way.host}/lab/broken")
        said = lab.call("push", "--json")
        assert (said.status, pushed(said), way.left) == (0, {"l": "pushed"}, 0), said.out + said.err
    assert registry.has(large.sha256)
    assert sum(line.startswith("PATCH /v2/lab/broken/") for line in registry.lines) >= 4


def test_a_damaged_file_is_not_pushed(
    remote: str, registry: Distribution, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = Virtual(20 * MIB, seed=next(NUMBERS)), b"small" * 999
    monkeypatch.setattr(sending, "CHUNK_BYTES", 8 * MIB)
    lab = fetched(Lab(tmp_path), server, w=small, large=large, short=b"short" * 999)
    short = hashlib.sha256(b"short" * 999).hexdigest()
    with closing(open_stores(load(environ=os.environ).stores)) as stores:
        for stored in stores.objects():
            stored.path.chmod(0o600)
            with stored.path.open("r+b") as file:
                file.write(b"damage")
                if stored.sha256 == short:
                    file.truncate(100)
    said = lab.call("push", "--json")
    assert (said.status, pushed(said)) == (4, dict.fromkeys(("w", "large", "short"), "failed")), said.out + said.err
    assert not any(map(registry.has, (large.sha256, short, hashlib.sha256(small).hexdigest())))


# Several writers, and writers that end too early


_KILLED = """
import os, signal
from conda_assets.remote.window import Window
read, count = Window.readinto, [0]
def killed(self, buffer):
    got = read(self, buffer)
    count[0] += got
    if count[0] > 20 << 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return got
Window.readinto = killed
"""


def test_a_push_that_was_killed_sends_what_had_not_arrived(
    remote: str, registry: Distribution, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = Virtual(40 * MIB, seed=next(NUMBERS))
    small = {f"s{number}": f"{remote} {number}".encode() * 99 for number in range(5)}
    lab = fetched(Lab(tmp_path), server, large=large, **small)
    killed = program(lab, _KILLED, "push", "-q")
    assert killed.wait(60) == -signal.SIGKILL
    killed.communicate()
    said = lab.call("push", "--json")
    assert pushed(said) == {"large": "pushed", **dict.fromkeys(small, "present")}, said.out + said.err
    forget_store(monkeypatch, "other")
    server.close()
    assert [row.state for row in lab.sync("elsewhere").outcomes] == [State.FETCHED] * 6


# Who may


@pytest.mark.parametrize("word", [None, "wrong"], ids=["no-login", "wrong-login"])
@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_a_push_needs_a_login_and_says_so(
    kind: str, word: str | None, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync goes to the origin and notes it; with the login of the container tools both work."""
    lab = fetched(Lab(tmp_path / "lab"), server, w=BODY)
    with TokenServer() as tokens, Distribution(tmp_path / "r", guard="basic" if kind == "basic" else tokens) as registry:
        use(monkeypatch, f"oci://{registry.host}/lab/assets")
        if word is not None:
            log_in(registry.host, word)
        said = lab.call("push", "--json")
        error = said.json["error"]
        assert isinstance(error, dict)
        assert (said.status, error["code"]) == (1, "remote"), said.out + said.err
        assert f"docker login {registry.host}" in str(error["hints"]), said.out
        forget_store(monkeypatch, "other")
        assert lab.sync("elsewhere").outcomes[0].state is State.FETCHED
        assert len(notes(lab)) == (0 if kind == "bearer" and word is None else 1), "anybody may pull there"
        log_in(registry.host)
        Tokens._tokens.clear()
        said = lab.call("push", "--json")
        assert pushed(said) == {"w": "pushed"}, said.out + said.err
        server.close()
        forget_store(monkeypatch, "third")
        Tokens._tokens.clear()
        report = lab.sync("third")
        assert (report.outcomes[0].state, notes(lab)) == (State.FETCHED, [])
        assert PASSWORD not in repr(report) + repr(lab.seen)


def test_a_token_that_ends_is_got_anew(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "CHUNK_BYTES", 2 * MIB)
    large = Virtual(16 * MIB, seed=next(NUMBERS))
    lab = fetched(Lab(tmp_path / "lab"), server, l=large)
    with TokenServer(life_s=1) as tokens, Distribution(tmp_path / "r", guard=tokens) as registry:
        use(monkeypatch, f"oci://{registry.host}/lab/assets")
        log_in(registry.host)
        assert pushed(lab.call("push", "--json")) == {"l": "pushed"}
        assert registry.has(large.sha256)
        assert any(scope.endswith(("pull,push", "push,pull")) for scope in tokens.asked)


def test_a_registry_that_is_down_or_takes_nothing_is_told(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = fetched(Lab(tmp_path / "lab"), server, w=BODY)
    with Server() as gone:
        port = gone.url().rpartition(":")[2]
    monkeypatch.setattr("conda_assets.remote.oci.client._AGAIN_S", 0.0)
    use(monkeypatch, f"oci://127.0.0.1:{port}/lab/assets")
    said = lab.call("push")
    assert said.status == 1
    assert f"no answer from 127.0.0.1:{port}: http://127.0.0.1:{port}" in said.err
    assert "refuses the connection" in said.err
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "d")}, "maintenance": {"readonly": {"enabled": True}}}
    with Distribution(tmp_path / "r", storage=storage) as registry:
        use(monkeypatch, f"oci://{registry.host}/lab/assets")
        said = lab.call("push")
        assert said.status == 1
        assert f"the store oci://{registry.host}/lab/assets: the registry does not let anything be written" in said.err
    # What is no registry at all.
    use(monkeypatch, f"oci://127.0.0.1:{server.port}/lab/assets")
    said = lab.call("push")
    assert said.status == 1
    assert f"127.0.0.1:{server.port} has no repository lab/assets" in said.err


def test_where_another_server_keeps_the_blobs_it_gets_no_credentials(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry keeps its bytes in a bucket, and redirects to signed links there."""
    pytest.importorskip("moto.server")
    from bucketserver import bucket_server

    large = Virtual(20 * MIB, seed=next(NUMBERS))
    lab = fetched(Lab(tmp_path / "lab"), server, l=large)
    with bucket_server("blobs") as (endpoint, asked):
        storage = {
            "s3": {
                "accesskey": "AKID",
                "secretkey": "secret",
                "region": "us-east-1",
                "regionendpoint": endpoint,
                "bucket": "blobs",
                "secure": False,
            },
            "redirect": {"disable": False},
        }
        with Distribution(tmp_path / "r", guard="basic", storage=storage) as registry:
            use(monkeypatch, f"oci://{registry.host}/lab/assets")
            log_in(registry.host)
            said = lab.call("push", "--json")
            assert pushed(said) == {"l": "pushed"}, said.out + said.err
            server.close()
            forget_store(monkeypatch, "other")
            asked.clear()
            report = lab.sync("elsewhere")
            assert report.outcomes[0].state is State.FETCHED, report.outcomes[0].because
    signed = [headers for path, headers in asked if "X-Amz-Signature" in path]
    assert len(signed) >= (4 if ARIA2CS else 1), "ranges over many connections"
    assert not any("authorization" in {name.lower() for name in headers} for headers in signed)


# Leases, and what they keep


def old(store: RemoteStore, number: int, days: float) -> str:
    """A file that came so long ago; its sha256."""
    assert isinstance(store, OciStore)
    content = f"{store.remote} {number}".encode() * 20
    sha256, answer = sending.put_blob(store._repository, content)
    store._write(manifests.object_tag(sha256), "file", (sha256, len(content)), told_s(answer.headers.get("Date")) - days * DAY_S)
    return sha256


def age_lease(store: RemoteStore, machine: str, holder: str, used: list[str], *, grace_s: float, days: float) -> None:
    """A lease that was written so long ago."""
    assert isinstance(store, OciStore)
    put_lease(store, holder, used, grace_s, machine=machine)
    tag = manifests.lease_tag(machine, hashlib.sha256(holder.encode()).hexdigest())
    kept = store._read(tag)
    assert kept is not None
    store._write(tag, "lease", (kept.sha256, kept.size_bytes), kept.created_s - days * DAY_S)


def there(store: RemoteStore) -> set[str]:
    return {row.sha256 for row in store.files()[0]}


def test_what_one_of_64_machines_has_leased_stays(store: RemoteStore, registry: Distribution) -> None:
    """Before and after the registry's own collector."""
    store.mark()
    hashes = [old(store, number, 100) for number in range(80)]
    for number in range(64):
        put_lease(store, f"/opt/envs/{number}", {hashes[number], hashes[0]}, 30 * DAY_S, machine=f"node{number}")
    age_lease(store, "gone", "/gone", [hashes[70]], grace_s=30 * DAY_S, days=40)
    age_lease(store, "rare", "/rare", [hashes[71]], grace_s=90 * DAY_S, days=40)
    new = old(store, 99, 0)
    before = there(store)
    finding = survey(store, 30 * DAY_S)
    assert (finding.files, len(finding.leases), [lease.holder for lease in finding.over]) == (81, 65, ["/gone"])
    assert there(store) == before, "a survey changes nothing"
    swept = sweep(finding)
    expected = {*hashes[:64], hashes[71], new}
    assert len(swept.files) == 81 - len(expected)
    assert there(store) == expected
    registry.collect()
    assert {sha256 for sha256 in (*hashes, new) if registry.has(sha256)} == expected
    assert sweep(survey(store, 30 * DAY_S)).files == ()


def test_a_lease_that_comes_while_collecting_counts(store: RemoteStore) -> None:
    store.mark()
    hashes = [old(store, number, 100) for number in range(3)]
    put_lease(store, "/env", [hashes[0]], DAY_S)
    finding = survey(store, DAY_S)
    assert len(finding.going) == 2
    put_lease(store, "/env", [hashes[0], hashes[1]], DAY_S)
    swept = sweep(finding)
    assert (len(swept.files), swept.kept) == (1, 1)
    assert there(store) == {hashes[0], hashes[1]}


def test_gc_removes_and_says_what_frees_the_bytes(
    store: RemoteStore, remote: str, registry: Distribution, server: Server, tmp_path: Path
) -> None:
    store.mark()
    gone = old(store, 1, 100)
    lab = fetched(Lab(tmp_path), server, w=BODY)
    assert lab.call("sync", "-q", "-p", str(lab.prefix())).status == 0
    assert lab.call("push", "-q").status == 0
    said = lab.call("gc", "--remote", "--dry-run", "--json")
    assert [row["url"] for row in said.json["removed"]] == [f"{remote}:object-{gone}"]  # type: ignore[attr-defined]
    said = lab.call("gc", "--remote", "-y")
    assert (said.status, "Removed 1 file" in said.out) == (0, True), said.out + said.err
    assert "registry garbage-collect" in said.err
    assert there(store) == {SHA256}
    assert lab.call("gc", "--remote", "--older-than", "0", "-y", "-q").status == 0
    assert there(store) == {SHA256}, "a lease counts for its own time, whatever the collector's is"


def test_an_alias_goes_with_its_file_and_never_takes_another_with_it(store: RemoteStore) -> None:
    from conda_assets.digest import Digest

    store.mark()
    first, second = (old(store, number, 100) for number in range(2))
    md5 = [Digest("md5", hashlib.md5(word.encode(), usedforsecurity=False).hexdigest()) for word in (first, second)]
    store.put_alias(md5[0], first)
    store.put_alias(md5[1], second)
    assert store.stray_aliases([first, second], 1e12) == ()
    put_lease(store, "/env", [second], DAY_S)
    assert len(sweep(survey(store, DAY_S)).files) == 1
    assert isinstance(store, OciStore)
    tags = set(store._repository.tags())
    assert manifests.alias_tag(md5[0]) not in tags
    assert {manifests.alias_tag(md5[1]), manifests.object_tag(second)} <= tags
    store.delete(manifests.alias_tag(md5[1]))
    assert there(store) == {second}, "the alias shares the file's manifest, which is used"


def test_a_registry_that_deletes_nothing_is_told_with_the_way_out(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Distribution(tmp_path / "r", storage={"filesystem": {"rootdirectory": str(tmp_path / "d")}}) as registry:
        remote = use(monkeypatch, f"oci://{registry.host}/lab/assets")
        with open_remote(remote, load(environ=os.environ).network) as store:
            store.mark()
            old(store, 1, 100)
            put_lease(store, "/env", ["0" * 64], DAY_S)
            put_lease(store, "/env", ["1" * 64], DAY_S)
            with pytest.raises(RemoteFailed, match="does not let anything be deleted") as caught:
                sweep(survey(store, DAY_S))
        assert "REGISTRY_STORAGE_DELETE_ENABLED=true" in caught.value.hints[0].text


# Others that read


def test_a_lock_is_made_where_the_publisher_is_down_and_the_store_has_the_file(
    remote: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file whose hash the spec has: the size is the store's. One that the publisher denies is not locked."""
    lab = fetched(Lab(tmp_path), server, w=BODY, x=b"x" * 999)
    assert lab.call("push", "-q", "--only", "w").status == 0
    url = server.url("/w")
    server.close()
    forget_store(monkeypatch, "other")
    said = lab.run("lock", "--json")
    assert said.status == 1, "nobody has the other one"
    rows = {row["name"]: row for row in said.json["assets"]}  # type: ignore[attr-defined]
    assert (rows["w"]["state"], rows["x"]["state"]) == ("locked", "failed"), said.out
    (entry,) = yaml.safe_load((lab.folder / "environment.assets.lock").read_text())["assets"]
    assert (entry["url"], entry["size"], entry["sha256"]) == (url, len(BODY), SHA256)
    with Server() as again:
        denied = again.url("/gone")
        lab.write([{"name": "w", "url": denied, "sha256": SHA256}])
        assert lab.run("lock", "-q").status == 1
