"""The download centre: what is asked for arrives verified in the shared store, once, whatever happens in between."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from centre import Client, Program, running
from conda_assets.digest import Digest
from conda_assets.settings import load
from conda_assets.store import open_stores
from server import Faults, Server, Virtual

pytestmark = pytest.mark.slow

MB = 1_000_000


@pytest.fixture
def origin():
    with Server() as server:
        yield server


@pytest.fixture
def lab(tmp_path):
    with running(tmp_path) as (centre, client):
        yield centre, client


def member(client: Client, name: str, **more: object) -> Client:
    said = client.api("POST", "/users", {"name": name, "role": "member", **more})
    return Client(client.url, said["token"])


def stored(sha256: str) -> bool:
    with open_stores(load(environ=os.environ).stores) as store:
        return store.find(Digest("sha256", sha256)) is not None


def test_what_is_asked_for_arrives_in_the_store(lab, origin):
    _, client = lab
    content = Virtual(3 * MB, seed=1)
    url = origin.add("/w.bin", content)
    (job,) = client.add(f"{url} sha256:{content.sha256}")
    job = client.done(job["id"])
    assert (job["state"], job["sha256"], job["size_bytes"]) == ("done", content.sha256, 3 * MB)
    assert stored(content.sha256)


def test_one_file_asked_for_by_ten_people_is_fetched_once(lab, origin):
    _, client = lab
    content = Virtual(3 * MB, seed=2)
    url = origin.add("/w.bin", content, Faults(rate=3e6))
    people = [member(client, f"p{number}") for number in range(10)]
    ids = {each.add(url)[0]["id"] for each in people}
    (job_id,) = ids
    job = client.done(job_id)
    assert job["people"] == [f"p{number}" for number in range(10)]
    assert origin.sent("/w.bin") <= 1.1 * 3 * MB


def test_an_environment_file_names_who_needs_what(lab, origin):
    _, client = lab
    url = origin.add("/data/train.csv", b"a,b\n")
    text = f"name: bert\ndependencies: [python]\nassets:\n  - {{name: train, url: '{url}', path: d/t.csv}}\n"
    (job,) = client.add(text, name="environment.yml")
    client.done(job["id"])
    (row,) = client.api("GET", "/environments")["environments"]
    assert row["name"] == "bert"
    assert row["people"] == ["admin"]
    assert [(each["name"], each["path"]) for each in row["files"]] == [("train", "d/t.csv")]


def test_pause_keeps_what_has_arrived_and_resume_goes_on(lab, origin):
    _, client = lab
    content = Virtual(8 * MB, seed=3)
    url = origin.add("/w.bin", content, Faults(rate=250_000))
    (job,) = client.add(url)
    client.until(job["id"], lambda seen: seen["done_bytes"] > 2 * MB)
    client.api("POST", f"/jobs/{job['id']}/pause")
    paused = client.until(job["id"], lambda seen: seen["state"] == "paused" and seen["connections"] == 0)
    assert paused["done_bytes"] > 2 * MB
    origin.add("/w.bin", content)
    client.api("POST", f"/jobs/{job['id']}/resume")
    assert client.done(job["id"])["sha256"] == content.sha256
    assert origin.sent("/w.bin") < 1.5 * 8 * MB


def test_a_cancelled_job_can_be_tried_again(lab, origin):
    _, client = lab
    content = Virtual(4 * MB, seed=4)
    url = origin.add("/w.bin", content, Faults(rate=100_000))
    (job,) = client.add(url)
    client.until(job["id"], lambda seen: seen["state"] == "active")
    assert client.api("POST", f"/jobs/{job['id']}/cancel")["state"] == "cancelled"
    assert client.api("POST", f"/jobs/{job['id']}/pause", status=409)["error"]["code"] == "out_of_turn"
    origin.add("/w.bin", content)
    client.api("POST", f"/jobs/{job['id']}/retry")
    assert client.done(job["id"])["state"] == "done"


def test_a_failure_says_why(lab, origin):
    _, client = lab
    (job,) = client.add(origin.add("/gone.bin", b"", Faults(status=404)))
    job = client.done(job["id"])
    assert (job["state"], job["error"]["code"]) == ("failed", "not_found")


def test_the_queue_is_reordered_by_place_and_priority(tmp_path, origin):
    with running(tmp_path) as (centre, client):
        centre.queue.files = 0
        ids = [client.add(origin.add(f"/{name}.bin", name.encode()))[0]["id"] for name in "abc"]
        client.api("PATCH", f"/jobs/{ids[2]}", {"position": 0})
        assert [job["name"] for job in client.api("GET", "/jobs")["jobs"]] == ["c.bin", "a.bin", "b.bin"]
        client.api("PATCH", f"/jobs/{ids[1]}", {"priority": 1})
        assert [job["name"] for job in client.api("GET", "/jobs")["jobs"]] == ["b.bin", "c.bin", "a.bin"]


def test_a_quota_holds_before_and_during_the_transfer(lab, origin):
    _, client = lab
    ann = member(client, "ann", quota_bytes=2 * MB)
    small = Virtual(MB, seed=5)
    (job,) = ann.add(f"{origin.add('/small.bin', small)} sha256:{small.sha256}")
    assert ann.done(job["id"])["state"] == "done"
    (job,) = ann.add(origin.add("/large.bin", Virtual(5 * MB, seed=6), Faults(rate=MB)))
    job = ann.done(job["id"])
    assert (job["state"], job["error"]["code"]) == ("failed", "over_quota")
    (job,) = ann.add(origin.add("/medium.bin", Virtual(MB, seed=7)))
    assert ann.done(job["id"])["state"] == "done"
    assert ann.api("POST", "/jobs", {"text": origin.add("/more.bin", b"x")}, status=403)["error"]["code"] == "over_quota"


def test_a_member_steers_only_what_nobody_else_needs(lab, origin):
    _, client = lab
    ann, bob = member(client, "ann"), member(client, "bob")
    url = origin.add("/w.bin", Virtual(4 * MB, seed=8), Faults(rate=100_000))
    (job,) = ann.add(url)
    assert bob.api("POST", f"/jobs/{job['id']}/pause", status=403)["error"]["code"] == "not_allowed"
    bob.add(url)
    after = ann.api("POST", f"/jobs/{job['id']}/cancel")
    assert (after["people"], after["by"]) == (["bob"], "bob")
    assert after["state"] in ("queued", "active")


@pytest.mark.slow
def test_a_kill_in_mid_queue_loses_nothing(tmp_path, origin):
    contents = {f"/{number}.bin": Virtual(2 * MB, seed=10 + number) for number in range(12)}
    urls = [origin.add(path, content, Faults(rate=300_000)) for path, content in contents.items()]
    program = Program(tmp_path / "data", "--allow-private")
    client = program.start()
    try:
        jobs = client.add("\n".join(urls))
        client.until(jobs[0]["id"], lambda seen: seen["done_bytes"] > MB)
        program.kill()
        for path, content in contents.items():
            origin.add(path, content)
        client = program.start()
        assert len(client.api("GET", "/jobs")["jobs"]) == 12
        assert [client.done(job["id"])["sha256"] for job in jobs] == [content.sha256 for content in contents.values()]
    finally:
        assert program.stop() == 0


def test_a_backup_is_a_database_that_can_be_started_from(tmp_path, lab, origin):
    centre, client = lab
    (job,) = client.add(origin.add("/w.bin", b"content"))
    client.done(job["id"])
    centre.database.back_up(tmp_path / "copy.db")
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "copy.db").rename(other / "centre.db")
    from conda_assets.serve.board import Board
    from conda_assets.serve.database import Database

    database = Database(other)
    assert [each.name for each in Board(database).shown()] == ["w.bin"]
    database.close()


def test_other_verbs_do_not_load_the_web_framework():
    import subprocess
    import sys

    ask = (
        "import sys; from conda_assets.cli import main, files, serving; import conda_assets.api.sync;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} & {'starlette', 'uvicorn', 'websockets', 'sqlite3'}))"
    )
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.slow
def test_the_demonstration_brings_files_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    program = Program(tmp_path / "not-used", "--demo")
    client = program.start()
    try:
        (small,) = client.api("GET", "/jobs?search=tokenizer")["jobs"]
        assert client.done(small["id"])["state"] == "done"
        assert {row["name"] for row in client.api("GET", "/environments")["environments"]} == {"bert", "genomes", "vision"}
    finally:
        assert program.stop() == 0
    assert list(tmp_path.iterdir()) == []


def test_figures_and_health_are_for_machines(lab, origin):
    _, client = lab
    (job,) = client.add(origin.add("/w.bin", b"content"))
    client.done(job["id"])
    anybody = Client(client.url)
    assert anybody.ask("GET", "/healthz").json["status"] == "ok"
    lines = anybody.ask("GET", "/metrics").body.decode().splitlines()
    assert 'conda_assets_jobs{state="done"} 1' in lines
    assert "conda_assets_fetched_bytes_total 7" in lines


def test_answers_over_a_kept_connection_do_not_wait_for_acknowledgements(lab):
    """Nagle's algorithm and delayed acknowledgements together cost 40 ms an answer."""
    import http.client
    import statistics
    import time
    from urllib.parse import urlsplit

    _, client = lab
    connection = http.client.HTTPConnection(urlsplit(client.url).netloc, timeout=10)
    took_s = []
    for _ in range(21):
        since = time.monotonic()
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
        took_s.append(time.monotonic() - since)
    connection.close()
    assert statistics.median(took_s) < 0.03, took_s


def test_windows_of_the_day_set_the_speed():
    from datetime import datetime

    from conda_assets.serve.pace import read_pace

    night = {"from": "22:00", "to": "06:00", "limit_rate": None}
    pace = read_pace({"limit_rate": 100, "windows": [night, {"from": "12:00", "to": "13:00", "limit_rate": 0}]})
    assert [pace.at(datetime(2026, 1, 1, hour, minute)) for hour, minute in ((23, 0), (5, 59), (6, 0), (12, 30), (13, 0))] == [
        None, None, 100, 0, 100,
    ]  # fmt: skip
    assert read_pace(pace.to_json()) == pace


def test_nothing_moves_while_the_limit_is_zero(lab, origin):
    _, client = lab
    client.api("PUT", "/pace", {"limit_rate": 0, "windows": []})
    (job,) = client.add(origin.add("/w.bin", b"content"))
    assert client.job(job["id"])["state"] == "queued"
    client.api("PUT", "/pace", {"limit_rate": None, "windows": []})
    assert client.done(job["id"])["state"] == "done"


@pytest.mark.slow
def test_the_command_line_backs_up_and_makes_tokens(tmp_path):
    import subprocess
    import sys

    with running(tmp_path) as (_, client):
        words = [sys.executable, "-m", "conda_assets", "serve", "--data", str(tmp_path / "centre")]
        done = subprocess.run([*words, "--new-token", "admin"], capture_output=True, text=True, check=True)
        assert Client(client.url, done.stdout.strip()).api("GET", "/me")["name"] == "admin"
        subprocess.run([*words, "--backup", str(tmp_path / "copy.db")], check=True, capture_output=True)
        assert (tmp_path / "copy.db").read_bytes().startswith(b"SQLite format 3")
        assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600


def test_a_lock_says_what_is_pinned(lab, origin):
    _, client = lab
    content = Virtual(MB, seed=40)
    url = origin.add("/w.bin", content)
    lock = f"""\
version: 1
assets:
- name: secret
  url: https://example.org/x?sig=***
  sha256: {"a" * 64}
  vouched_by: first download
- name: w
  url: {url}?moves
  pinned_url: {url}
  size: {MB}
  sha256: {content.sha256}
  vouched_by: first download
"""
    said = client.api("POST", "/jobs", {"text": lock, "name": "bert.assets.lock"})
    assert (said["kind"], [each["name"] for each in said["refused"]]) == ("lock", ["secret"])
    (job,) = said["jobs"]
    assert (job["environments"], job["digest"]) == (["bert"], f"sha256:{content.sha256}")
    assert client.done(job["id"])["state"] == "done"


@pytest.mark.slow
def test_two_centres_do_not_share_their_data(tmp_path):
    import subprocess
    import sys

    program = Program(tmp_path / "data")
    program.start()
    try:
        words = [sys.executable, "-m", "conda_assets", "serve", "--data", str(tmp_path / "data"), "--port", "0"]
        done = subprocess.run(words, capture_output=True, text=True)
        assert (done.returncode, "another centre runs" in done.stderr) == (2, True)
    finally:
        assert program.stop() == 0


@pytest.mark.slow
def test_tls_serves_other_addresses_and_keeps_cookies_from_plain_http(tmp_path):
    import ssl
    import urllib.request

    import trustme

    authority, folder = trustme.CA(), tmp_path / "tls"
    folder.mkdir()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    server = authority.issue_cert("127.0.0.1")
    server.private_key_pem.write_to_path(str(folder / "key.pem"))
    server.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    words = [
        "--host",
        "0.0.0.0",
        "--allow-host",
        "127.0.0.1",
        "--tls-cert",
        str(folder / "cert.pem"),
        "--tls-key",
        str(folder / "key.pem"),
    ]
    program = Program(tmp_path / "data", *words)
    client = program.start()
    try:
        asked = urllib.request.Request(client.url.replace("0.0.0.0", "127.0.0.1") + "api/v1/session", method="POST")
        asked.data = b'{"token": "%s"}' % client.token.encode()
        asked.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(asked, context=ssl.create_default_context(cafile=str(folder / "ca.pem"))) as answer:
            assert "secure" in answer.headers["set-cookie"].lower()
            assert answer.headers["strict-transport-security"]
    finally:
        assert program.stop() == 0


@pytest.mark.slow
def test_whenever_it_is_killed_every_file_completes_right(tmp_path, origin):
    """Fifteen kills at any moment between the start and the last file; each file is read again at the end."""
    import hashlib
    import random
    import time

    chance = random.Random(1)
    contents = {f"/{number}.bin": Virtual(8 * MB, seed=50 + number) for number in range(12)}
    urls = [origin.add(path, content, Faults(rate=60_000)) for path, content in contents.items()]
    program = Program(tmp_path / "data", "--allow-private")
    client = program.start()
    jobs = client.add("\n".join(urls))
    moving = 0
    for _ in range(15):
        time.sleep(chance.uniform(0.0, 1.5))
        moving += any(job["state"] == "active" for job in client.api("GET", "/jobs")["jobs"])
        program.kill()
        client = program.start()
        assert {job["id"] for job in client.api("GET", "/jobs")["jobs"]} == {job["id"] for job in jobs}
    # Or nothing was shown.
    assert moving >= 11, moving
    for path, content in contents.items():
        origin.add(path, content)
    try:
        assert [client.done(job["id"])["sha256"] for job in jobs] == [content.sha256 for content in contents.values()]
        stored = [path for path in (Path(os.environ["CONDA_ASSETS_STORE"]) / "sha256").rglob("*") if len(path.name) == 64]
        assert sorted(path.name for path in stored) == sorted(content.sha256 for content in contents.values())
        assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in stored] == [path.name for path in stored]
        staging = Path(os.environ["CONDA_ASSETS_STORE"]) / "staging"
        assert [path for path in staging.rglob("data") if path.is_file()] == []
    finally:
        assert program.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("way", ["file", "magnet", "url"])
def test_a_torrent_comes_from_its_peers_where_any_address_is_allowed(lab, origin, tmp_path, way):
    import base64

    from engines import ARIA2CS
    from swarm import free_port, magnet_of, make_torrent, seeding, track

    if not ARIA2CS:
        pytest.skip("no usable aria2c")
    _, client = lab
    body, port, seed = Virtual(MB, seed=60).read(0, MB), free_port(), tmp_path / "seed"
    seed.mkdir()
    (seed / "w.bin").write_bytes(body)
    announce = track(origin, port)
    torrent = make_torrent("w.bin", body, announce)
    asked = {
        "file": {"torrent": base64.b64encode(torrent).decode()},
        "magnet": {"text": magnet_of(torrent, announce)},
        "url": {"text": origin.add("/w.torrent", torrent)},
    }
    with seeding(ARIA2CS[max(ARIA2CS)].path, seed, torrent, port):
        (job,) = client.api("POST", "/jobs", asked[way])["jobs"]
        assert client.done(job["id"])["sha256"] == Virtual(MB, seed=60).sha256


def test_a_torrent_is_refused_where_only_public_servers_may_be_asked(tmp_path):
    import base64

    from swarm import make_torrent

    with running(tmp_path, private=False) as (_, client):
        torrent = base64.b64encode(make_torrent("w.bin", b"x" * 100, "http://127.0.0.1:9/announce")).decode()
        assert "peers" in client.api("POST", "/jobs", {"torrent": torrent}, status=400)["error"]["message"]
        assert client.api("POST", "/jobs", {"torrent": "no base64"}, status=400)["error"]["code"] == "refused"


def test_what_somebody_asked_for_goes_on_when_the_account_is_gone(lab, origin):
    _, client = lab
    ann = member(client, "ann")
    content = Virtual(4 * MB, seed=70)
    (job,) = ann.add(origin.add("/w.bin", content, Faults(rate=300_000)))
    client.until(job["id"], lambda seen: seen["done_bytes"] > 0)
    (user,) = [user for user in client.api("GET", "/users")["users"] if user["name"] == "ann"]
    client.api("DELETE", f"/users/{user['id']}")
    assert ann.ask("GET", "/api/v1/me").status == 401
    job = client.done(job["id"])
    assert (job["state"], job["by"], job["people"]) == ("done", None, [])
