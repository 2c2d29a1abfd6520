"""The main job on this machine alone: an environment with files, over 16 connections, beside one. See scripts/quickstart.

A server of ours on a loopback port gives each connection 4 MB/s, as many public servers do; the channel is a folder.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_CLONE = _HERE.parent.parent
sys.path.insert(0, str(_CLONE / "tests"))

from channel import Package, make_channel  # noqa: E402
from server import Server, Virtual  # noqa: E402

_RATE = 4_000_000
_SCRIPT = b"""#!/bin/sh
set -eu
echo "CONDA_ASSETS_DIR=$CONDA_ASSETS_DIR"
echo "QUICKSTART_WEIGHTS=$QUICKSTART_WEIGHTS"
ls -lL "$QUICKSTART_WEIGHTS"
"""


def main() -> int:
    """Run it; 0 when the environment and its files stand."""
    work = Path(os.environ.get("CONDA_ASSETS_QUICKSTART", _CLONE / "build" / "quickstart"))
    prefix = work / "env"
    channel = make_channel(work / "channel", [Package("show-assets", files={"bin/show-assets": _SCRIPT})])
    with _server() as server:
        environ = os.environ | {
            "QUICKSTART_CHANNEL": channel,
            "QUICKSTART_SERVER": server.url().rstrip("/"),
            "CONDA_ASSETS_STORE": str(work / "store"),
        }
        file = _HERE / "environment.yml"
        _title("1. One connection, as wget has it: weights.bin, 64 MB")
        alone_s = _one_connection(server.url("/weights.bin"), work / "weights-by-one-connection.bin")
        _title("2. The environment and its files, over up to 16 connections")
        began = time.monotonic()
        status = _say_and_run(["conda-assets", "create", "-y", "-f", str(file), "-p", str(prefix)], environ)
        if status:
            return status
        ours_s = time.monotonic() - began
        _title("3. What is there, and what an activated environment sees")
        _say_and_run(["conda-assets", "status", "-f", str(file), "-p", str(prefix)], environ)
        _activated(prefix, environ)
        _title("4. A second environment: nothing is fetched")
        status = _say_and_run(["conda-assets", "create", "-y", "-f", str(file), "-p", str(work / "second")], environ)
    print()
    print(f"One connection: {alone_s:5.1f} s for 64 MB, unverified, one file")
    print(f"conda-assets:   {ours_s:5.1f} s for 66 MB, verified, three files and the environment")
    _what_next(file)
    return status


@contextlib.contextmanager
def _server() -> Iterator[Server]:
    with Server(rate=_RATE) as server:
        server.add("/weights.bin", Virtual(64_000_000, 1))
        server.add("/tokenizer.bin", Virtual(2_000_000, 2))
        server.add("/corpus.bin", Virtual(24_000_000, 3))
        server.add("/labels.txt", b"cat\ndog\n")
        yield server


def _one_connection(url: str, path: Path) -> float:
    """Seconds that a plain download takes, with a line of progress."""
    began = time.monotonic()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url) as answer, path.open("wb") as file:
        total, done = int(answer.headers["Content-Length"]), 0
        while block := answer.read(1 << 20):
            file.write(block)
            done += len(block)
            if sys.stdout.isatty():
                print(f"\r  {done / 1e6:5.1f} of {total / 1e6:.1f} MB, {time.monotonic() - began:4.1f} s", end="", flush=True)
    seconds = time.monotonic() - began
    path.unlink()
    print(f"\r  {total / 1e6:.1f} MB in {seconds:.1f} s")
    return seconds


def _activated(prefix: Path, environ: dict[str, str]) -> None:
    """Source the hooks as conda's activation does, and run the tiny package."""
    words = (
        f"export CONDA_PREFIX={shlex.quote(str(prefix))}; "
        'for hook in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do . "$hook"; done; "$CONDA_PREFIX/bin/show-assets"'
    )
    print(f"\n$ conda activate {prefix} && show-assets", flush=True)
    subprocess.run(["sh", "-c", words], env=environ, check=False)


def _say_and_run(words: list[str], environ: dict[str, str]) -> int:
    print(f"$ {shlex.join(words)}\n", flush=True)
    return subprocess.run([sys.executable, "-m", "conda_assets", *words[1:]], env=environ, check=False).returncode


def _title(text: str) -> None:
    print(f"\n== {text}\n", flush=True)


def _what_next(file: Path) -> None:
    print(f"""
What to type next:
  cat {file.relative_to(_CLONE)}          # how the files are listed
  scripts/quickstart my-environment.yml     # the same with a file of yours
  .venv/bin/conda-assets --help             # every verb
  scripts/test                              # the tests of this clone""")


if __name__ == "__main__":
    sys.exit(main())
