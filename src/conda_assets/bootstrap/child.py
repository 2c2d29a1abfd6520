"""The parent's side of the engine's process: start it, listen, judge it by what it said, end it when asked to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from conda_assets.bootstrap.wire import Done, Failed, Job, Progress, job_to_line, parse_line
from conda_assets.events import Noted, Observer
from conda_assets.settings import Network

__all__ = ["run_engine"]

_MODULE = "conda_assets.bootstrap.engine"
_GRACE_S = 5.0
_TAIL_LINES = 15


def run_engine(job: Job, *, environ: Mapping[str, str], network: Network, watch: Observer) -> Done | Failed:
    """Let a process of its own do the job; its progress goes to `watch`. It is ended when this call is interrupted.

    A process that ends without saying how it went has failed, whatever its exit status; one that said `done` has not.
    """
    with subprocess.Popen(
        [sys.executable, "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(environ, network),
        # `-m` puts the working directory first on the module path: not the user's, where a file may be named like a module.
        cwd=job.cache,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        tail = _Tail(process.stderr)
        result: Done | Failed | None = None
        try:
            process.stdin.write(job_to_line(job))
            process.stdin.flush()
            for text in process.stdout:
                line = parse_line(text)
                if isinstance(line, Progress):
                    watch(Noted(line.text))
                elif line is not None:
                    result = line
                    break
        except BrokenPipeError:
            pass  # it died before it read the job; what it wrote on stderr says why
        finally:
            _end(process, wait_first=result is not None)
            tail.join()
    return result or Failed("internal", _how_it_ended(process.returncode, tail.lines))


def _environment(environ: Mapping[str, str], network: Network) -> dict[str, str]:
    """conda's network settings as the variables that rattler reads. A CA file stands for the system's authorities."""
    variables = dict(environ)
    for scheme, proxy in network.proxies:
        if scheme in ("http", "https", "all", "no_proxy"):
            name = scheme if scheme == "no_proxy" else f"{scheme}_proxy"
            variables[name] = variables[name.upper()] = proxy
    if isinstance(network.verify, str):
        place = Path(network.verify).expanduser()
        variables["SSL_CERT_DIR" if place.is_dir() else "SSL_CERT_FILE"] = str(place)
    # Lines must not wait in a buffer, nor be in the code page of the console.
    variables |= {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    return variables


class _Tail:
    """Keeps the last lines of a stream, so that a chatty process cannot block on it."""

    def __init__(self, stream: object) -> None:
        self.lines: list[str] = []
        self._stream = stream
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:  # type: ignore[attr-defined]
            self.lines.append(line.rstrip())
            del self.lines[:-_TAIL_LINES]

    def join(self) -> None:
        self._thread.join()


def _end(process: subprocess.Popen[str], *, wait_first: bool) -> None:
    """Leave no process behind. One that said its result gets time to go by itself."""
    try:
        if wait_first:
            process.wait(_GRACE_S)
        elif process.poll() is None:
            process.terminate()
            process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _how_it_ended(status: int, lines: list[str]) -> str:
    how = f"exit status {status}"
    if status < 0 and os.name == "posix":
        how = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    said = "\n".join(f"  {line}" for line in lines)
    return f"the engine's process ended without a result ({how})" + (f"; its last words:\n{said}" if said else "")
