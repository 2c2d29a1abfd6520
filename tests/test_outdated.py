"""Publishers are asked whether they still have what was locked or placed; each kind of news is told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Lab, Said
from publisher_hf import COMMIT, Hub, _json, _of_folder
from server import Faults, Server, Virtual
from source_rules import World, make_world

pytestmark = pytest.mark.slow

BODY = b"the very bytes\n" * 1000
OTHER = b"the evil bytes\n" * 1000
LATER = "a" * 40


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        server.add("/w.bin", BODY)
        yield server


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Server() as server, Server() as elsewhere:
        world: World = make_world(server, elsewhere, monkeypatch, has_credentials=False)
        yield Hub(world)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def asked(lab: Lab, *words: str, status: int = 0) -> dict[str, tuple[object, str]]:
    said = lab.call("outdated", "--json", *words)
    assert said.status == status, (said.out, said.err)
    assert said.json["success"] is (status == 0)
    return {name: (row["state"], str(row["because"])) for name, row in said.rows().items()}


def locked(lab: Lab) -> Said:
    said = lab.call("lock", "--json")
    assert said.status == 0, said.err
    return said


def test_nothing_new_is_no_news_and_costs_no_bytes(server: Server, lab: Lab) -> None:
    server.add("/big.bin", Virtual(5_000_000, seed=1))
    lab.write([server.url("/w.bin"), server.url("/big.bin")])
    locked(lab)
    server.forget()
    assert asked(lab) == {"w.bin": ("current", "None"), "big.bin": ("current", "None")}
    assert server.sent() < 200_000


@pytest.mark.parametrize(
    ("etag", "modified", "body", "why"),
    [
        ("auto", None, OTHER, "the ETag"),
        (None, None, BODY + b"more", "15000 bytes are 15004 now"),
        (None, "Sun, 02 Nov 2025 12:00:00 GMT", OTHER, "it was changed on Sun, 02 Nov 2025"),
    ],
    ids=["etag", "size", "date"],
)
def test_other_bytes_under_the_same_url(
    server: Server, lab: Lab, etag: str | None, modified: str | None, body: bytes, why: str
) -> None:
    server.add("/w.bin", BODY, etag=etag)
    lab.write([server.url("/w.bin")])
    locked(lab)
    server.add("/w.bin", body, etag=etag, modified=modified)
    state, because = asked(lab, status=3)["w.bin"]
    assert state == "changed"
    assert why in because
    said = lab.call("outdated")
    assert (said.status, "lock -f environment.yml --update w.bin" in said.out) == (3, True)


def test_a_publishers_digest_tells_without_a_download(server: Server, lab: Lab) -> None:
    sha256 = hashlib.sha256(BODY).hexdigest()
    server.add("/w.bin", BODY, etag=None)
    server.add("/w.bin.sha256", f"{sha256}  w.bin\n".encode())
    lab.write([server.url("/w.bin")])
    locked(lab)
    assert asked(lab)["w.bin"][0] == "current"
    server.add("/w.bin", OTHER, etag=None)
    server.add("/w.bin.sha256", f"{hashlib.sha256(OTHER).hexdigest()}  w.bin\n".encode())
    state, because = asked(lab, status=3)["w.bin"]
    assert (state, sha256 in because) == ("changed", True)


def test_gone_and_silent_are_told_apart(server: Server, lab: Lab) -> None:
    server.add("/busy.bin", BODY)
    lab.write([server.url("/w.bin"), server.url("/busy.bin")])
    locked(lab)
    server.add("/busy.bin", BODY, Faults(status=503))
    assert asked(lab, status=1)["busy.bin"][0] == "failed"
    server.add("/w.bin", BODY, Faults(status=410))
    assert {name: state for name, (state, _) in asked(lab, status=3).items()} == {"w.bin": "vanished", "busy.bin": "failed"}
    assert asked(lab, "--only", "busy.bin", status=1).keys() == {"busy.bin"}


def test_a_redirect_that_leads_elsewhere_has_moved(server: Server, lab: Lab) -> None:
    server.redirect("/led", server.url("/w.bin"))
    lab.write([{"name": "led", "url": server.url("/led")}])
    locked(lab)
    assert asked(lab)["led"][0] == "current"
    server.add("/v2/w.bin", BODY)
    server.redirect("/led", server.url("/v2/w.bin") + "?signature=canary")
    state, because = asked(lab, status=3)["led"]
    assert state == "moved"
    assert f"leads to {server.url('/v2/w.bin')} now" in because


def test_a_branch_that_moves_on_and_a_commit_that_is_gone(hub: Hub, lab: Lab) -> None:
    lab.write([{"name": "a", "url": hub.add("a.bin", BODY)}])
    locked(lab)
    assert asked(lab)["a"][0] == "current"
    sha256 = hashlib.sha256(OTHER).hexdigest()
    linked = {
        "X-Repo-Commit": LATER,
        "X-Linked-Size": "15000",
        "X-Linked-Etag": f'"{sha256}"',
        "Location": "http://localhost:9/x",
    }
    hub._route("main", "a.bin", lambda request: (302, linked, b""))
    state, because = asked(lab, status=3)["a"]
    assert state == "moved"
    assert f"revision {COMMIT} is {LATER} now: sha256:" in because
    hub.refuse("a.bin", "EntryNotFound", COMMIT)
    state, because = asked(lab, status=3)["a"]
    assert (state, because) == ("vanished", f"the locked revision {COMMIT} is gone")


def test_what_was_placed_without_a_lock_knows_its_commit(hub: Hub, lab: Lab) -> None:
    lab.write([{"name": "a", "url": hub.add("a.bin", BODY)}])
    assert lab.call("sync", "-p", str(lab.prefix())).status == 0
    linked = {"X-Repo-Commit": LATER, "X-Linked-Size": "15000", "X-Linked-Etag": f'"{hashlib.sha256(BODY).hexdigest()}"'}
    hub._route("main", "a.bin", lambda request: (302, {**linked, "Location": "http://localhost:9/x"}, b""))
    state, because = asked(lab, "-p", str(lab.prefix()), status=3)["a"]
    assert (state, because) == ("moved", f"revision {COMMIT} is {LATER} now: the same bytes as far as is said")


def test_a_folder_with_a_new_file_has_moved_and_one_that_lost_a_file_has_not_all_of_it(hub: Hub, lab: Lab) -> None:
    for name in ("one.bin", "two.bin"):
        hub.add(f"data/{name}", name.encode())
    hub.world.route(f"/api/models/{hub.repo}/tree/{COMMIT}/data", hub._answer(lambda request: _of_folder(hub, request)))
    lab.write([{"name": "corpus", "url": hub.url("data/")}])
    locked(lab)
    assert asked(lab)["corpus"][0] == "current"
    hub.add("data/three.bin", b"three")
    assert asked(lab, status=3)["corpus"] == ("moved", "1 new files: three.bin")
    del hub.files["data/one.bin"]
    assert asked(lab, status=3)["corpus"] == ("vanished", "1 of 2 files are gone: one.bin")
    hub.world.route(f"/api/models/{hub.repo}/tree/{COMMIT}/data", hub._answer(lambda request: _json([])))
    assert asked(lab, status=3)["corpus"][0] == "vanished"


def test_without_a_lock_the_environment_is_compared_and_then_the_file(server: Server, lab: Lab) -> None:
    server.add("/x.bin", BODY)
    lab.write(
        [server.url("/w.bin"), server.url("/x.bin"), {"name": "h", "url": server.url("/w.bin"), "sha256": "0" * 64, "size": 1}]
    )
    assert {name: state for name, (state, _) in asked(lab, "-p", str(lab.prefix()), status=3).items()} == {
        "w.bin": "unknown",
        "x.bin": "unknown",
        "h": "changed",
    }
    lab.call("sync", "-p", str(lab.prefix()), "--only", "w.bin")
    server.add("/w.bin", BODY + b"more")
    assert asked(lab, "-p", str(lab.prefix()), status=3)["w.bin"] == ("changed", "15000 bytes are 15004 now")
    lab.file.unlink()
    assert asked(lab, "-p", str(lab.prefix()), status=3)["w.bin"][0] == "changed"


def test_offline_nobody_is_asked(server: Server, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.write([server.url("/w.bin")])
    locked(lab)
    server.forget()
    monkeypatch.setenv("CONDA_OFFLINE", "1")
    assert asked(lab, status=1)["w.bin"][0] == "failed"
    assert server.requests == []


def test_an_optional_one_does_not_count(server: Server, lab: Lab) -> None:
    lab.write([{"name": "w", "url": server.url("/w.bin"), "optional": True}])
    locked(lab)
    server.add("/w.bin", OTHER)
    assert asked(lab)["w"][0] == "changed"
