"""One private aria2c: started on a port of its own, held by a secret that no other user can read, ended without leaving anything.

scratch/aria2.conf      0600, all options and the secret; removed as soon as aria2c has read it
scratch/aria2.out       0600, what aria2c says; the last lines explain a failure. It names signed URLs, so it loses its own
                        name as soon as aria2c has begun: a kill of both leaves nothing of it
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from conda_assets.errors import EngineFailed
from conda_assets.transport.rpc import Rpc
from conda_assets.transport.spawning import spawn

__all__ = ["Daemon"]

_START_S = 15.0
_TRIES = 5
# A server may send a header of any size, and aria2 keeps all of it (300 MB of header: 520 MiB). Sixteen connections and 10,000
# jobs need less than 300 MiB.
_MEMORY_BYTES = 1 << 30
_LISTENING = re.compile(r"IPv4 RPC: listening on TCP port (\d+)")
_REFUSED = re.compile(r"IPv4 RPC: failed to bind")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ADDRESS = re.compile(r"\b\w+://\S+")
# "Exception: [SocketCore.cc:1018] errorCode=1 SSL/TLS handshake failure: …", the innermost cause last
_CAUSE = re.compile(r"\] errorCode=(\d+) (.+)")
_LONGEST_SAID = 1 << 20


class Daemon:
    """A running aria2c. `options`: lines of its conf file, without those that concern the RPC.

    `choose_port`: a port that is probably free; another one is asked for when it was taken meanwhile.
    """

    def __init__(
        self,
        binary: Path,
        options: Mapping[str, str],
        *,
        scratch: Path,
        inherit_fds: Sequence[int] = (),
        choose_port: Callable[[], int] | None = None,
    ) -> None:
        self._choose_port = choose_port or _free_port
        self._binary, self._options, self._inherit = binary, dict(options), tuple(inherit_fds)
        self._conf, self._out = scratch / "aria2.conf", scratch / "aria2.out"
        self._said: BinaryIO | None = None
        try:
            self._process, self.rpc = self._start()
        except BaseException:
            self._forget()
            raise

    @property
    def pid(self) -> int:
        """The process id of aria2c."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """aria2c has not ended."""
        return self._process.poll() is None

    def last_words(self) -> str:
        """What aria2c said at last, without addresses, for a message."""
        said = _COLOUR.sub("", self._read(max(0, self.said_bytes() - _LONGEST_SAID)))
        lines = [line.strip() for line in said.splitlines() if "xception" in line or "error" in line.lower()]
        return _ADDRESS.sub("…", " / ".join(lines[-2:]))

    def said_bytes(self) -> int:
        """How much aria2c has said so far; a mark for `complaints`."""
        return os.fstat(self._said.fileno()).st_size if self._said is not None else 0

    def complaints(self, urls: Collection[str], since: int) -> list[tuple[int, str]]:
        """(exit code, message) of each connection to those URLs that aria2c gave up since that mark.

        What it answers when it is asked is only the last of them, which may be no more than that there was no URL left.
        """
        found = []
        for block in _COLOUR.sub("", self._read(since)).split("Download aborted. URI=")[1:]:
            url, _, rest = block.partition("\n")
            if url.strip() in urls and (causes := _CAUSE.findall(rest.partition("\n\n")[0])):
                code, message = causes[-1]
                found.append((int(code), message.strip()))
        return found

    def stop(self, *, idle: bool = False) -> None:
        """End aria2c, with its progress saved; returns when the process is gone. Safe to call twice.

        `idle`: it has no transfer, so there is nothing to save and no need to be gentle: it looks at signals once a second then.
        """
        self.rpc.close()
        # SIGTERM saves the state within 0.06 s, the RPC's `shutdown` takes 3 to 4 s over the same. A group, because the binary
        # may be a script around the real one.
        kill = getattr(signal, "SIGKILL", signal.SIGTERM)
        for send, patience_s in ((kill if idle else signal.SIGTERM, 5.0), (kill, 60.0)):
            self._signal(send)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
                break
        for path in (self._conf, self._out):
            path.unlink(missing_ok=True)
        self._forget()

    def _read(self, since: int) -> str:
        """What aria2c has said behind that mark, a mebibyte at most."""
        if self._said is None:
            return ""
        self._said.seek(since)
        return self._said.read(_LONGEST_SAID).decode("utf-8", "replace")

    def _forget(self) -> None:
        said, self._said = self._said, None
        if said is not None:
            said.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, number)

    def _start(self) -> tuple[subprocess.Popen[bytes], Rpc]:
        said = ""
        for _ in range(_TRIES):
            port, secret = self._choose_port(), secrets.token_hex(32)
            process = self._spawn(port, secret)
            try:
                said = self._wait_for_port(process, port)
            except BaseException:
                _kill(process)
                raise
            finally:
                self._conf.unlink(missing_ok=True)
            if not said:
                return process, Rpc(port, secret)
            _kill(process)
        self._out.unlink(missing_ok=True)
        raise EngineFailed(f"{self._binary} does not start: {said}")

    def _spawn(self, port: int, secret: str) -> subprocess.Popen[bytes]:
        lines = {
            **self._options,
            "enable-rpc": "true",
            "rpc-listen-port": str(port),
            "rpc-secret": secret,
            "rpc-listen-all": "false",
            "rpc-allow-origin-all": "false",
            "rpc-save-upload-metadata": "false",
            "rpc-max-request-size": "8M",
            "stop-with-process": str(os.getpid()),
        }
        _write_private(self._conf, "".join(f"{key}={_one_line(key, value)}\n" for key, value in lines.items()))
        _write_private(self._out, "")
        self._forget()
        self._said = self._out.open("rb")
        with self._out.open("ab") as out:
            with contextlib.suppress(OSError):  # not of an open file on every system
                self._out.unlink()
            try:
                process = spawn(
                    [str(self._binary), f"--conf-path={self._conf}"],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    cwd=self._conf.parent,
                    env=_environment(),
                    # Ctrl-C in the terminal must not end it before its state is saved.
                    start_new_session=True,
                    pass_fds=self._inherit,
                )
            except OSError as error:
                self._conf.unlink(missing_ok=True)
                raise EngineFailed(f"{self._binary} does not start: {error.strerror or error}") from error
        _bound_memory(process.pid)
        return process

    def _wait_for_port(self, process: subprocess.Popen[bytes], port: int) -> str:
        """Empty when it listens, else why it does not.

        It goes on without IPv4 when the port was taken meanwhile, so a successful connection proves nothing: the one who
        answers may be another user's program, and would be given the secret. Its own word counts.
        """
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            said = self._read(0)
            if (match := _LISTENING.search(said)) and int(match[1]) == port:
                return ""
            if _REFUSED.search(said):
                return f"port {port} was taken"
            if process.poll() is not None:
                return (
                    self.last_words()
                    or f"it ended at once with status {process.returncode}: {_COLOUR.sub('', said).strip()[:300]}"
                )
            time.sleep(0.005)
        return f"it does not listen within {_START_S:.0f} s"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _environment() -> dict[str, str]:
    """Ours, without proxies (the ones to use are told per job) and in English (its messages are read)."""
    kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy") and key != "LANGUAGE"}
    return {**kept, "LC_ALL": "C"}


def _one_line(key: str, value: str) -> str:
    if any(ord(sign) < 32 for sign in value):
        raise EngineFailed(f"the value of {key} has a control character")
    return value


def _write_private(path: Path, content: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)


def _bound_memory(pid: int) -> None:
    if sys.platform == "linux":
        import resource  # not on every system

        with contextlib.suppress(ProcessLookupError, PermissionError, ValueError):
            resource.prlimit(pid, resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
