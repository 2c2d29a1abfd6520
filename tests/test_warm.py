"""What costs nothing when there is nothing to do: seen by what is imported, opened and started, never by a clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import Lab
from server import Server

#: What brings bytes, draws progress or talks to anybody; and what only those who do pay for.
HEAVY = {
    "aria2c",
    "conda",
    "conda_assets.api.bringing",
    "conda_assets.api.expand",
    "conda_assets.api.repairing",
    "conda_assets.api.verify",
    "conda_assets.fetch.run",
    "conda_assets.fetch.want",
    "conda_assets.sources",
    "conda_assets.transport",
    "conda_assets.unpack.extracting",
    "conda_assets.web",
    "concurrent.futures",
    # What makes a standard dataclass, with all that it needs, and what tells of the machine.
    "dataclasses",
    "decimal",
    "difflib",
    "email",
    "filelock",
    "http.client",
    "inspect",
    "platform",
    "requests",
    "rich",
    "ruamel",
    "socket",
    "ssl",
    "subprocess",
}
# Beyond that, one who asks for a path needs no file and no tables; whoever has `environment.yml` read needs a parser for it.
HEAVIER = HEAVY | {
    "conda_assets.api.look",
    "conda_assets.api.sync",
    "conda_assets.spec",
    "conda_assets.store",
    "tempfile",
    "yaml",
}

# Tells what was imported, and what Python itself said of files opened, processes started and hosts asked for.
_WATCH = """\
import atexit, json, os, sys
told = {"open": [], "other": []}
def hook(name, args):
    if name == "open" and isinstance(args[0], str):
        told["open"].append(args[0])
    elif name in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.fork", "os.posix_spawn"):
        told["other"].append(name)
sys.addaudithook(hook)
def tell():
    seen = {**told, "modules": sorted(sys.modules)}
    with open(os.environ["TOLD"], "w") as file:
        json.dump(seen, file)
atexit.register(tell)
"""


def _told(lab: Lab, *program: str) -> dict[str, list[str]]:
    place = lab.folder / "site"
    place.mkdir()
    (place / "sitecustomize.py").write_text(_WATCH)
    environ = {**os.environ, "PYTHONPATH": str(place), "TOLD": str(place / "told.json")}
    subprocess.run([sys.executable, *program], cwd=lab.folder, env=environ, check=True, stdout=subprocess.DEVNULL, timeout=60)
    told = json.loads((place / "told.json").read_text())
    assert isinstance(told, dict)
    return told


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Three assets in their places."""
    lab = Lab(tmp_path)
    with Server() as server:
        urls = [server.add(f"/{name}.bin", name.encode() * 1000) for name in "abc"]
        lab.write(urls)
        assert lab.call("sync", "-q", "-p", str(lab.prefix())).status == 0
    return lab


@pytest.mark.parametrize(
    ("words", "not_needed"),
    [
        (["path", "a.bin"], HEAVIER),
        (["list"], HEAVIER),
        (["list", "--json"], HEAVIER),
        (["status"], HEAVY),
        (["sync"], HEAVY),
        (["sync", "--dry-run"], HEAVY),
    ],
    ids=["path", "list", "list-json", "status", "sync", "dry-run"],
)
def test_nothing_to_do_imports_little_asks_nobody_and_reads_no_asset(lab: Lab, words: list[str], not_needed: set[str]) -> None:
    """The server is gone by now, so whoever asked it would fail as well."""
    told = _told(lab, "-m", "conda_assets", *words, "-p", str(lab.prefix()))
    assert not {name for name in told["modules"] if name in not_needed}
    assert not told["other"]
    assert not [path for path in told["open"] if path.endswith(".bin") or "/sha256/" in path]


def test_a_script_that_asks_for_a_path_imports_no_engine(lab: Lab) -> None:
    """`conda_assets.path` stands at the top of notebooks."""
    told = _told(lab, "-c", f"import conda_assets; conda_assets.path('a.bin', prefix={str(lab.prefix())!r})")
    assert not {name for name in told["modules"] if name in HEAVIER}


def test_what_a_fetch_begins_with_leaves_http_for_later(tmp_path: Path) -> None:
    """aria2c is asked for its version first; beside that there is time to load what speaks with it."""
    ask = "import json, sys, conda_assets.api.bringing; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert not {"email", "http.client", "ssl", "requests", "conda_assets.transport.aria2"} & {*json.loads(done.stdout)}
