"""The centre as a cache: clients ask it first, the origin sends a file once, and nobody has to believe the centre."""

from __future__ import annotations

import os
import threading
import time

import pytest

from centre import Client, Program, running
from conda_assets.events import Noted
from conda_assets.model import State
from conda_assets.settings import load
from lab import Lab
from server import Faults, Server, Virtual

pytestmark = pytest.mark.slow

MB = 1_000_000


@pytest.fixture
def origin():
    with Server() as server:
        yield server


@pytest.fixture
def centre(tmp_path, monkeypatch):
    """Its store is its own; ours are elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONDA_ASSETS_STORE", str(tmp_path / "centre-store"))
        with running(tmp_path) as (centre, client):
            monkeypatch.setenv("CONDA_PLUGINS_ASSETS_SERVER", client.url)
            monkeypatch.setenv("CONDA_ASSETS_SERVER_TOKEN", client.token)
            yield centre, client


def lab_of(tmp_path, content: Virtual, url: str, name: str = "lab", **more: object) -> Lab:
    lab = Lab(tmp_path / name)
    lab.write([{"name": "w", "url": url, "sha256": content.sha256, **more}])
    return lab


def settings_of(folder):
    return load(environ={**os.environ, "CONDA_ASSETS_STORE": str(folder)})


def outcome(lab: Lab, store):
    (row,) = lab.sync(settings=settings_of(store)).outcomes
    return row


def test_the_centre_fetches_what_it_lacks_and_passes_it_on(tmp_path, centre, origin):
    content = Virtual(8 * MB, seed=1)
    lab = lab_of(tmp_path, content, origin.add("/w.bin", content))
    row = outcome(lab, tmp_path / "mine")
    assert (row.state, row.sha256) == (State.FETCHED, content.sha256)
    assert row.source.startswith(centre[1].url)
    assert origin.sent("/w.bin") <= 1.1 * 8 * MB
    again = outcome(lab_of(tmp_path, content, "http://127.0.0.1:9/w.bin", "other"), tmp_path / "theirs")
    assert again.state is State.FETCHED


@pytest.mark.slow
def test_a_file_is_passed_on_while_it_arrives(tmp_path, centre, origin):
    _, client = centre
    content = Virtual(48 * MB, seed=2)
    url = origin.add("/w.bin", content, Faults(rate=1_000_000))
    (job,) = client.add(f"{url} sha256:{content.sha256}")
    client.until(job["id"], lambda seen: seen["verified_bytes"] > MB)
    said = client.ask("GET", f"/api/v1/store/sha256/{content.sha256}", Range=f"bytes=0-{MB - 1}")
    assert (said.status, said.headers["content-range"]) == (206, f"bytes 0-{MB - 1}/{48 * MB}")
    assert said.body == content.read(0, MB)
    assert client.job(job["id"])["state"] == "active"
    last = client.ask("GET", f"/api/v1/store/sha256/{content.sha256}", Range="bytes=-1000")
    assert last.body == content.read(48 * MB - 1000, 48 * MB)


@pytest.mark.slow
def test_ten_clients_at_once_cost_the_origin_one_transfer(tmp_path, centre, origin):
    content = Virtual(20 * MB, seed=3)
    url = origin.add("/w.bin", content, Faults(rate=2_000_000))
    labs = [lab_of(tmp_path, content, url, f"lab{number}") for number in range(10)]
    rows = []
    threads = [
        threading.Thread(target=lambda lab=lab, number=number: rows.append(outcome(lab, tmp_path / f"store{number}")))
        for number, lab in enumerate(labs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row.state for row in rows] == [State.FETCHED] * 10
    assert all(row.source.startswith(centre[1].url) for row in rows)
    assert origin.sent("/w.bin") <= 1.1 * 20 * MB


@pytest.mark.slow
def test_ten_clients_at_once_cost_the_origin_one_transfer_of_400_mb(tmp_path, origin, monkeypatch, capsys):
    """Each a process of its own, as on ten machines."""
    content = Virtual(400 * MB, seed=10)
    url = origin.add("/w.bin", content, Faults(rate=12 * MB))
    monkeypatch.setenv("CONDA_ASSETS_STORE", str(tmp_path / "centre-store"))
    program = Program(tmp_path / "data", "--allow-private")
    client = program.start()
    try:
        monkeypatch.setenv("CONDA_PLUGINS_ASSETS_SERVER", client.url)
        monkeypatch.setenv("CONDA_ASSETS_SERVER_TOKEN", client.token)
        started, since = [], time.monotonic()
        for number in range(10):
            monkeypatch.setenv("CONDA_ASSETS_STORE", str(tmp_path / f"store{number}"))
            lab = lab_of(tmp_path, content, url, f"lab{number}")
            started.append(lab.start("sync", "-p", str(lab.prefix())))
        assert [each.wait() for each in started] == [0] * 10
        with capsys.disabled():
            print(f" {time.monotonic() - since:.1f} s, {origin.sent('/w.bin') / MB:.1f} MB from the origin", end="")
        assert origin.sent("/w.bin") <= 1.05 * 400 * MB
    finally:
        program.stop()


def test_when_the_centre_is_away_the_origin_serves(tmp_path, origin, monkeypatch):
    monkeypatch.setenv("CONDA_PLUGINS_ASSETS_SERVER", "http://127.0.0.1:9")
    content = Virtual(2 * MB, seed=4)
    lab = lab_of(tmp_path, content, origin.add("/w.bin", content))
    row = outcome(lab, tmp_path / "mine")
    assert row.state is State.FETCHED
    warnings = [event.text for event in lab.seen if isinstance(event, Noted) and event.level == "warning"]
    assert any("is not used" in text for text in warnings), warnings


@pytest.mark.slow
def test_a_centre_that_stops_in_the_middle_is_left(tmp_path, centre, origin):
    _, client = centre
    content = Virtual(48 * MB, seed=5)
    url = origin.add("/w.bin", content, Faults(rate=1_000_000))
    lab = lab_of(tmp_path, content, url)
    rows = []
    thread = threading.Thread(target=lambda: rows.append(outcome(lab, tmp_path / "mine")))
    thread.start()
    (job,) = client.add(f"{url} sha256:{content.sha256}")
    client.until(job["id"], lambda seen: seen["verified_bytes"] > MB)
    client.api("POST", f"/jobs/{job['id']}/cancel")
    origin.add("/w.bin", content)
    thread.join()
    assert (rows[0].state, rows[0].sha256) == (State.FETCHED, content.sha256)
    assert rows[0].source.startswith(origin.url())


def test_a_broken_centre_cannot_give_wrong_bytes(tmp_path, centre, origin):
    served, client = centre
    content = Virtual(2 * MB, seed=6)
    url = origin.add("/w.bin", content)
    (job,) = client.add(f"{url} sha256:{content.sha256}")
    client.done(job["id"])
    path = served.store.folder / "sha256" / content.sha256[:2] / content.sha256
    path.chmod(0o600)
    path.write_bytes(b"x" * 2 * MB)
    row = outcome(lab_of(tmp_path, content, url), tmp_path / "mine")
    assert (row.state, row.sha256) == (State.FETCHED, content.sha256)
    assert row.source.startswith(origin.url())


def test_what_may_be_secret_is_not_shown_to_the_centre(tmp_path, centre, origin):
    _, client = centre
    content = Virtual(MB, seed=7)
    url = origin.add("/w.bin", content)
    for number, (each, more) in enumerate([(url + "?token=hunter2", {}), (url, {"headers": {"X-Key": "hunter2"}})]):
        assert outcome(lab_of(tmp_path, content, each, f"lab{number}", **more), tmp_path / f"s{number}").state is State.FETCHED
    assert client.api("GET", "/jobs")["jobs"] == []


def test_files_without_a_hash_are_not_taken_from_the_centre(tmp_path, centre, origin):
    _, client = centre
    lab = Lab(tmp_path / "lab")
    lab.write([origin.add("/w.bin", b"content")])
    assert outcome(lab, tmp_path / "mine").state is State.FETCHED
    assert client.api("GET", "/jobs")["jobs"] == []


def test_the_store_keeps_to_http(centre, origin):
    _, client = centre
    content = Virtual(3 * MB, seed=8)
    (job,) = client.add(f"{origin.add('/w.bin', content)} sha256:{content.sha256}")
    client.done(job["id"])
    path = f"/api/v1/store/sha256/{content.sha256}"
    etag = f'"sha256-{content.sha256}"'
    assert client.ask("GET", path).body == content.read(0, 3 * MB)
    assert client.ask("HEAD", path).headers["content-length"] == str(3 * MB)
    assert client.ask("GET", path, Range="bytes=10-19").body == content.read(10, 20)
    assert client.ask("GET", path, Range="bytes=2999990-").body == content.read(2_999_990, 3 * MB)
    assert client.ask("GET", path, Range="bytes=3000000-").status == 416
    assert client.ask("GET", path, Range="bytes=0-1,5-6").status == 200
    assert client.ask("GET", path, If_Match='"other"').status == 412
    assert client.ask("GET", path, Range="bytes=0-0", If_Range='"other"').status == 200
    assert client.ask("GET", path, Range="bytes=0-0", If_Range=etag, If_Match=etag).status == 206
    assert client.ask("GET", f"/api/v1/store/sha256/{'0' * 64}").status == 404
    assert client.ask("GET", "/api/v1/store/sha256/..").status == 404
    anybody = Client(client.url)
    assert anybody.ask("GET", path).status == 401
    ticket = client.api("GET", f"/store/ask?digest=sha256:{content.sha256}")["path"]
    assert anybody.ask("GET", ticket, Range="bytes=0-0").status == 206
    assert anybody.ask("GET", ticket.replace(content.sha256, "0" * 64)).status == 401


def test_stored_files_may_be_open_to_all_who_know_their_hash(tmp_path, origin):
    with running(tmp_path, open_store=True) as (_, client):
        content = Virtual(MB, seed=9)
        (job,) = client.add(origin.add("/w.bin", content))
        client.done(job["id"])
        assert Client(client.url).ask("GET", f"/api/v1/store/sha256/{content.sha256}", Range="bytes=0-9").status == 206
