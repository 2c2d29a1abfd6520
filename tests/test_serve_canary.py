"""What is secret in URLs and credentials is in nothing that others see: pages, answers, events, figures, logs, backups."""

from __future__ import annotations

import base64
import http.client
import json
import os
import sqlite3
import subprocess
import sys
import threading
from urllib.parse import quote, urlsplit

import pytest
from websockets.sync.client import connect

from centre import Client, Program
from server import Faults, Server, Virtual

pytestmark = pytest.mark.slow

MB = 1_000_000
CANARY = "c4n4ry7token"


def _listen(client: Client, into: list[bytes], ends: threading.Event) -> None:
    """All events until it is over."""
    connection = http.client.HTTPConnection(urlsplit(client.url).netloc, timeout=10)
    connection.request("GET", "/api/v1/events", headers={"Authorization": f"Bearer {client.token}"})
    answer = connection.getresponse()
    while not ends.is_set() and (line := answer.readline()):
        into.append(line)
    answer.close()
    connection.close()


def _rows_of(client: Client, ids: list[str]) -> bytes:
    """Everything that a front end of aria2 can ask for."""
    token, said = f"token:{client.token}", b""
    asked = [("tellActive",), ("tellWaiting", 0, 100), ("tellStopped", 0, 100), ("getGlobalOption",), ("getGlobalStat",)]
    asked += [(method, each) for each in ids for method in ("tellStatus", "getUris", "getFiles", "getServers", "getOption")]
    for method, *rest in asked:
        body = {"id": 1, "method": f"aria2.{method}", "params": [token, *rest]}
        said += client.ask("POST", "/jsonrpc", body).body
    return said


@pytest.mark.parametrize("private", [True, False], ids=["any address", "public addresses"])
def test_a_secret_is_shown_to_nobody_else(tmp_path, private):
    data, seen = tmp_path / "data", {}
    program = Program(data, *(["--allow-private"] if private else []))
    with Server() as origin:
        content = Virtual(3 * MB, seed=1)
        right = origin.add("/w.bin", content, Faults(user=f"ann:{CANARY}"))
        here = origin.add("/there.bin", content)
        urls = [
            right.replace("http://", f"http://ann:{CANARY}@"),
            f"{here}?token={CANARY}",
            f"{here}?X-Amz-Signature={CANARY}&b=1#{CANARY}",
            origin.add(f"/t/{CANARY}/label/w.bin", content),
            f"{origin.redirect('/r.bin', f'{here}?sig={CANARY}')}?k={CANARY}",
            f"{origin.add('/gone.bin', b'', Faults(status=404))}?k={CANARY}",
            f"{origin.add('/forbidden.bin', b'', Faults(status=403))}?k={CANARY}",
            f"{origin.add('/slow.bin', Virtual(20 * MB, seed=2), Faults(rate=20_000))}?k={CANARY}",
            f"http://{CANARY}:{CANARY}@127.0.0.1:9/closed.bin?k={CANARY}",
            f"http://no-such-host.invalid/w.bin?k={CANARY}",
        ]
        client = program.start()
        admin = Client(client.url, program.token)
        reader = Client(client.url, admin.api("POST", "/users", {"name": "eve", "role": "reader"})["token"])
        member = Client(client.url, admin.api("POST", "/users", {"name": "ann", "role": "member"})["token"])
        events, told, ends = [], [], threading.Event()
        listening = threading.Thread(target=_listen, args=(reader, events, ends))
        listening.start()
        with connect(client.url.replace("http", "ws") + "jsonrpc") as socket:
            socket.send(json.dumps({"id": 1, "method": "aria2.getVersion", "params": [f"token:{reader.token}"]}))
            jobs = []
            for url in urls:
                said = member.ask("POST", "/api/v1/jobs", {"text": url})
                jobs += said.json.get("jobs", [])
                seen[f"refusal of {url}"] = said.body
            headers = f"assets:\n- {{name: w, url: '{here}', headers: {{X-Key: {CANARY}}}}}\n"
            seen["refused headers"] = member.ask("POST", "/api/v1/jobs", {"text": headers}).body
            member.ask("GET", f"/api/v1/store/ask?digest=sha256:{'0' * 64}&url={quote(urls[5], safe='')}")
            Client(client.url, CANARY).ask("GET", "/api/v1/jobs")
            Client(client.url).ask("POST", "/api/v1/session", {"name": "ann", "password": CANARY})
            Client(client.url).ask("POST", "/jsonrpc", {"id": 1, "method": "aria2.getVersion", "params": [f"token:{CANARY}"]})
            metalink = f'<metalink><file name="w"><url>{urls[1]}</url></file></metalink>'
            body = [f"token:{member.token}", base64.b64encode(metalink.encode()).decode()]
            Client(client.url).ask("POST", "/jsonrpc", {"id": 1, "method": "aria2.addMetalink", "params": body})
            ended = [job for job in jobs if "slow.bin" not in job["name"]]
            states = {member.done(job["id"])["state"] for job in ended}
            while True:
                try:
                    told.append(socket.recv(1.0))
                except TimeoutError:
                    break
        paths = [
            "jobs",
            "history",
            "environments",
            "totals",
            "about",
            "me",
            "pace",
            f"history?search={CANARY}",
            f"jobs?search={CANARY}",
        ]
        for path in [*paths, *(f"jobs/{job['id']}" for job in jobs)]:
            seen[path] = reader.ask("GET", f"/api/v1/{path}").body
        assert json.loads(seen[f"history?search={CANARY}"])["count"] == 0
        assert json.loads(seen[f"jobs?search={CANARY}"])["jobs"] == []
        for path in ("audit?limit=1000", "users", "jobs", "history"):
            seen[f"{path} for an administrator"] = admin.ask("GET", f"/api/v1/{path}").body
        seen["rows"] = _rows_of(reader, [job["id"] for job in jobs])
        for path in ("/", "/metrics", "/healthz", "/api/openapi.json"):
            seen[path] = reader.ask("GET", path).body
        words = [sys.executable, "-m", "conda_assets", "serve", "--data", str(data), "--backup", str(tmp_path / "copy.db")]
        subprocess.run(words, check=True, capture_output=True)
        copy = sqlite3.connect(tmp_path / "copy.db")
        seen["dump"] = "\n".join(copy.iterdump()).encode()
        copy.close()
        seen["backup"] = (tmp_path / "copy.db").read_bytes()
        ends.set()
        listening.join()
        assert program.stop() == 0
    seen["events"], seen["notifications"] = b"".join(events), json.dumps(told).encode()
    seen |= {path.name: path.read_bytes() for path in data.rglob("centre.log*")}
    store = os.environ["CONDA_ASSETS_STORE"]
    names = [os.path.join(folder, name) for folder, *both in os.walk(store) for each in both for name in each]
    seen["names in the store"] = "\n".join(names).encode()
    assert {what for what, text in seen.items() if CANARY.encode() in text} == set()
    assert private is False or states == {"done", "failed"}
    assert b"jobs" in seen["events"]
