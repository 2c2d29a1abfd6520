"""Where files come from: nginx of our own, on loopback or behind a link of a network namespace, with tc and `limit_rate`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Ground", "Link", "Skipped", "authority", "open_ground"]

_SPACE, _OUTER, _INNER = "bench-assets", "10.231.77.1", "10.231.77.2"
_NETEM = ["tc", "qdisc", "add", "dev", "bench-out", "root", "netem", "limit", "100000", "delay"]
_CONF = """{user}daemon off; pid {here}/pid; error_log {here}/error.log; worker_processes {workers}; master_process on;
events {{ worker_connections 4096; }}
http {{ sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type application/octet-stream;
log_format sent '$body_bytes_sent $request_uri'; access_log {here}/access.log sent;
client_body_temp_path {here}/t1; proxy_temp_path {here}/t2; fastcgi_temp_path {here}/t3; uwsgi_temp_path {here}/t4;
scgi_temp_path {here}/t5;
{servers}
}}
"""
# The last three are the Hub's: what a client of it asks for, as static files.
_SERVER = """server {{ listen {address}:{port}{tls}; {certificate} root {files}; {rate}
location ~ ^/bench/repo/resolve/[^/]+/(.+)$ {{ alias {files}/$1; add_header X-Repo-Commit {commit}; }}
location ~ ^/api/.*/tree/ {{ default_type application/json; try_files /.tree.json =404; }}
location /api/ {{ default_type application/json; try_files /.api.json =404; }} }}
"""
COMMIT = "607a30d783dfa663caf39e06633721c8d4cfcd7e"


class Skipped(Exception):
    """What this machine cannot do, with the reason."""


@dataclass(frozen=True)
class Link:
    """`each`: bytes per second and connection, one server for each member; `mbit`: of the link, None for loopback."""

    each: tuple[int | None, ...] = (None,)
    mbit: int | None = None
    delay_ms: int = 0
    tls: bool = False


@dataclass
class Ground:
    """Servers that run. `bases`: a URL for each. `authority`: what to trust, where it is TLS. `note`: what is missing."""

    bases: list[str]
    log: Path
    authority: Path | None = None
    note: str = ""
    _at: int = field(default=0, repr=False)

    def sent(self) -> int:
        """Bytes of bodies since the last call, as the servers count them."""
        # nginx writes a line when a request has ended.
        time.sleep(0.2)
        with self.log.open("rb") as file:
            file.seek(self._at)
            lines = file.read()
            self._at = file.tell()
        return sum(int(line.split(b" ", 1)[0]) for line in lines.splitlines() if line[:1].isdigit())


@contextlib.contextmanager
def open_ground(link: Link, files: Path, names: Sequence[str], here: Path) -> Iterator[Ground]:
    """Serve the folder; ends with everything gone.

    Raises:
        Skipped: no nginx, or no right to make a link.
    """
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if nginx is None:
        raise Skipped("no nginx: `apt install nginx-light`")
    here.mkdir(parents=True, exist_ok=True)
    (files / ".api.json").write_text(
        json.dumps({"id": "bench/repo", "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]})
    )
    entries = [{"type": "file", "oid": COMMIT, "size": (files / name).stat().st_size, "path": name} for name in names]
    (files / ".tree.json").write_text(json.dumps(entries))
    certificate = authority(here, [_INNER]) if link.tls else None
    with contextlib.ExitStack() as stack:
        address, prefix = stack.enter_context(_link(link)) if link.mbit else ("127.0.0.1", [])
        ports = [_free_port() for _ in link.each]
        servers = "".join(
            _SERVER.format(
                address=address,
                port=port,
                tls=" ssl" if link.tls else "",
                certificate=f"ssl_certificate {here}/server.pem; ssl_certificate_key {here}/server.key;" if link.tls else "",
                files=files,
                rate=f"limit_rate {each};" if each else "",
                commit=COMMIT,
            )
            for port, each in zip(ports, link.each, strict=True)
        )
        # Its workers would be another user, who may not look into our folders.
        user = "user root; " if os.geteuid() == 0 else ""
        (here / "nginx.conf").write_text(_CONF.format(user=user, here=here, workers=min(4, os.cpu_count() or 1), servers=servers))
        process = subprocess.Popen(
            [*prefix, nginx, "-p", str(here), "-c", str(here / "nginx.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(_end, process)
        for port in ports:
            _await(address, port, process, here)
        scheme = "https" if link.tls else "http"
        note = "no delay, this kernel has no netem" if link.delay_ms and not _is_delayed() else ""
        yield Ground([f"{scheme}://{address}:{port}" for port in ports], here / "access.log", certificate, note)


def authority(here: Path, addresses: Sequence[str]) -> Path:
    """A certificate of our own for these addresses and loopback; returns what to trust."""
    import trustme

    made = trustme.CA()
    pair = made.issue_cert("127.0.0.1", "localhost", *addresses)
    made.cert_pem.write_to_path(here / "authority.pem")
    pair.private_key_pem.write_to_path(here / "server.key")
    for index, part in enumerate(pair.cert_chain_pems):
        part.write_to_path(here / "server.pem", append=index > 0)
    return here / "authority.pem"


def _is_delayed() -> bool:
    shown = subprocess.run(["tc", "qdisc", "show", "dev", "bench-out"], capture_output=True, text=True, check=False)
    return "netem" in shown.stdout


@contextlib.contextmanager
def _link(link: Link) -> Iterator[tuple[str, list[str]]]:
    """A veth pair, one end in a namespace of its own whose way out has that rate. (address, prefix of a command there)"""
    if not all(map(shutil.which, ("ip", "tc"))):
        raise Skipped("no ip or tc: `apt install iproute2`")
    if os.geteuid() != 0:
        raise Skipped("a network namespace and tc need root")
    inside = ["ip", "netns", "exec", _SPACE]
    steps = [
        ["ip", "netns", "add", _SPACE],
        ["ip", "link", "add", "bench-out", "type", "veth", "peer", "name", "bench-in"],
        ["ip", "link", "set", "bench-in", "netns", _SPACE],
        ["ip", "addr", "add", f"{_OUTER}/24", "dev", "bench-out"],
        ["ip", "link", "set", "bench-out", "up"],
        [*inside, "ip", "addr", "add", f"{_INNER}/24", "dev", "bench-in"],
        [*inside, "ip", "link", "set", "bench-in", "up"],
        [*inside, "ip", "link", "set", "lo", "up"],
        [*inside, "tc", "qdisc", "add", "dev", "bench-in", "root", "handle", "1:", "tbf",
         "rate", f"{link.mbit}mbit", "burst", "512k", "latency", "100ms"],
    ]  # fmt: skip
    _unlink()
    try:
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Skipped(f"`{' '.join(step)}`: {done.stderr.strip()}")
        if link.delay_ms:
            # On our end, so that a round trip has it once. Some kernels have no netem: the note says so.
            subprocess.run([*_NETEM, f"{link.delay_ms}ms"], capture_output=True, check=False)
        yield _INNER, inside
    finally:
        _unlink()


def _unlink() -> None:
    for words in (["ip", "link", "del", "bench-out"], ["ip", "netns", "del", _SPACE]):
        subprocess.run(words, capture_output=True, check=False)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _await(address: str, port: int, process: subprocess.Popen[bytes], here: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
            return
        time.sleep(0.02)
    said = (here / "error.log").read_text() if (here / "error.log").exists() else ""
    raise Skipped(f"nginx does not start: {said.strip()[-200:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
