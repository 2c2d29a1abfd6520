"""A download centre of our own on a loopback port: in this process (quick), or as the program itself (for kills)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

uvicorn = pytest.importorskip("uvicorn", reason="the extra `server` is not installed")

from conda_assets.serve.app import make_app  # noqa: E402
from conda_assets.serve.centre import Centre  # noqa: E402
from conda_assets.serve.gate import Gate  # noqa: E402
from conda_assets.serve.options import ServeOptions  # noqa: E402
from conda_assets.serve.running import listen  # noqa: E402
from conda_assets.settings import load  # noqa: E402

_LONG_S = 30.0


@dataclass
class Said:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Client:
    """Somebody who talks to it. `token`: sent with each request. `hang_up`: ends all streams of the centre, now and later."""

    url: str
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: Callable[[], None] = lambda: None

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Said:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url.rstrip("/") + path, data=data, method=method)
        given = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if data is not None:
            given.setdefault("Content-Type", "application/json")
        if self.token:
            given.setdefault("Authorization", f"Bearer {self.token}")
        for name, value in given.items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=_LONG_S) as answer:
                return Said(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Said(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())

    def api(self, method: str, path: str, body: object = None, *, status: int | None = None):
        said = self.ask(method, f"/api/v1{path}", body)
        assert status is None or said.status == status, (said.status, said.body)
        assert status is not None or said.status < 300, (said.status, said.body)
        return said.json

    def add(self, text: str, **more: object) -> list[dict]:
        return self.api("POST", "/jobs", {"text": text, **more})["jobs"]

    def job(self, job_id: str) -> dict:
        return self.api("GET", f"/jobs/{job_id}")

    def until(self, job_id: str, claim: Callable[[dict], bool]) -> dict:
        return until(lambda: self.job(job_id), claim)

    def done(self, job_id: str) -> dict:
        return self.until(job_id, lambda job: job["state"] in ("done", "failed", "cancelled"))


def until(look: Callable[[], dict], claim: Callable[[dict], bool]) -> dict:
    """Look until the claim holds; what was seen last when it never does."""
    ends = time.monotonic() + _LONG_S
    while not claim(seen := look()):
        assert time.monotonic() < ends, seen
        time.sleep(0.02)
    return seen


@contextmanager
def running(folder: Path, *, gate: Gate | None = None, private: bool = True, **more: object) -> Iterator[tuple[Centre, Client]]:
    """A centre in a thread of this process; the client is its administrator."""
    settings = load(environ=os.environ)
    options = ServeOptions(data=folder / "centre", port=0, allow_private=private, **more)
    server = uvicorn.Server(
        uvicorn.Config(None, log_config=None, access_log=False, ws="websockets-sansio", timeout_graceful_shutdown=1)
    )
    listening = listen(options)
    options = replace(options, port=listening.getsockname()[1])
    centre = Centre(options, settings, os.environ, gate)
    app, hang_up = make_app(centre)
    server.config.app = app
    token = centre.start() or centre.accounts.new_token(1, "again")[1]
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True)
    thread.start()
    try:
        until(lambda: {"started": server.started}, lambda seen: seen["started"])
        yield centre, Client(f"http://127.0.0.1:{options.port}", token, hang_up=hang_up)
    finally:
        hang_up()
        server.should_exit = True
        thread.join()
        centre.close()
        listening.close()


class Program:
    """`conda-assets serve` in a process of its own. `token`: of the administrator, from the first start."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder, self.words, self.token = folder, words, ""
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> Client:
        command = [
            sys.executable,
            "-m",
            "conda_assets",
            "serve",
            "--json",
            "--port",
            "0",
            "--data",
            str(self.folder),
            *self.words,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        said = json.loads("".join(lines))
        self.token = said["token"] or self.token
        return Client(said["url"], self.token)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self) -> int:
        self.process.terminate()
        status = self.process.wait(timeout=_LONG_S)
        self.process.stdout.close()
        return status
