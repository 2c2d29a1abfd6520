"""A real container registry (CNCF Distribution's, Debian's `docker-registry`), and a proxy that breaks off in the middle.

with Distribution(folder) as registry:      its address is registry.host
    registry.collect()                      its own collector, on the files of the stopped or running registry
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

__all__ = ["PASSWORD", "USER", "Breaking", "Distribution", "TokenServer", "needs_registry"]

PROGRAM = shutil.which("docker-registry")
needs_registry = pytest.mark.skipif(PROGRAM is None, reason="no docker-registry (Debian's package of that name)")

USER, PASSWORD = "lab", "canary-oci-77d0"
# What `htpasswd -nbB lab canary-oci-77d0` says, with the least rounds.
_HTPASSWD = "lab:$2y$04$CghfJkKPdGhkxb1VMdUD2e7Um/2GgYIfgDN/Ys7e8lv4.wgFZ7Wsy\n"


class Distribution:
    """`more`: of its configuration. `guard`: None, `basic`, or the token server that it believes."""

    def __init__(self, folder: Path, *, guard: str | TokenServer | None = None, **more: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.data = folder / "data"
        self.folder, self._config, self._log = folder, folder / "config.yml", folder / "log"
        said: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "info", "accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": str(self.data)}, "delete": {"enabled": True}},
            "http": {"addr": "127.0.0.1:0"},
        }
        if guard == "basic":
            (folder / "htpasswd").write_text(_HTPASSWD)
            said["auth"] = {"htpasswd": {"realm": "lab", "path": str(folder / "htpasswd")}}
        elif isinstance(guard, TokenServer):
            (folder / "bundle.pem").write_bytes(guard.certificate)
            said["auth"] = {
                "token": {
                    "realm": guard.url,
                    "service": "lab-registry",
                    "issuer": "lab-tokens",
                    "rootcertbundle": str(folder / "bundle.pem"),
                }
            }
        self._config.write_text(yaml.safe_dump({**said, **more}))
        self.host = ""

    def __enter__(self) -> Distribution:
        assert PROGRAM is not None
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([PROGRAM, "serve", str(self._config)], stdout=log, stderr=log)
        ends = time.monotonic() + 20
        while not (match := re.search(r"listening on (127\.0\.0\.1:\d+)", self.log)):
            assert self._process.poll() is None, self.log
            assert time.monotonic() < ends, self.log
            time.sleep(0.02)
        self.host = match[1]
        return self

    def __exit__(self, *unused: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def lines(self) -> list[str]:
        """What was asked: `GET /v2/… 206`."""
        return [f"{a} {b} {c}" for a, b, c in re.findall(r'"(\w+) (\S+) HTTP/1\.1" (\d+)', self.log)]

    def has(self, sha256: str) -> bool:
        """The blob is on its disk."""
        return (self.data / "docker/registry/v2/blobs/sha256" / sha256[:2] / sha256 / "data").exists()

    def collect(self) -> None:
        """The registry's own collector."""
        assert PROGRAM is not None
        words = [PROGRAM, "garbage-collect", "--delete-untagged", str(self._config)]
        subprocess.run(words, check=True, capture_output=True, timeout=60)


class TokenServer:
    """Gives tokens as the registry's "Token Authentication Specification" has it: `push` to USER, `pull` to everybody."""

    def __init__(self, *, life_s: int = 300) -> None:
        self._key, self._life_s = ec.generate_private_key(ec.SECP256R1()), life_s
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab tokens")])
        now = datetime.datetime.now(datetime.timezone.utc)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = made.public_bytes(serialization.Encoding.PEM)
        self._der = base64.b64encode(made.public_bytes(serialization.Encoding.DER)).decode()
        self.asked: list[str] = []
        tokens = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *unused: object) -> None: ...

            def do_GET(self) -> None:
                body = tokens.answer(self.path, self.headers.get("Authorization", ""))
                self.send_response(200 if body else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"

    def __enter__(self) -> TokenServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, authorization: str) -> bytes:
        """The token for the scope, empty for who is not known."""
        scope = parse_qs(urlsplit(path).query).get("scope", [""])[0]
        self.asked.append(scope)
        known = authorization == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if authorization and not known:
            return b""
        kind, _, rest = scope.partition(":")
        name, _, wanted = rest.rpartition(":")
        actions = [each for each in wanted.split(",") if known or each == "pull"]
        now = int(time.time())
        claims = {
            "iss": "lab-tokens",
            "sub": USER,
            "aud": "lab-registry",
            "iat": now,
            "nbf": now - 60,
            "exp": now + self._life_s,
            "jti": "1",
            "access": [{"type": kind, "name": name, "actions": actions}],
        }
        signed = ".".join(map(_part, ({"typ": "JWT", "alg": "ES256", "x5c": [self._der]}, claims)))
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).rstrip(b"=").decode()
        return json.dumps({"token": f"{signed}.{signature}", "expires_in": self._life_s}).encode()


def _part(said: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()


class Breaking:
    """A way to a server that ends a connection when so many bytes have gone up it, `times` times."""

    def __init__(self, host: str, after_bytes: int, times: int = 1) -> None:
        name, _, port = host.rpartition(":")
        self._to, self._after, self.left = (name, int(port)), after_bytes, times
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Breaking:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near, socket.create_connection(self._to) as far:
            threading.Thread(target=_copy, args=(far, near), daemon=True).start()
            gone = 0
            for block in _blocks(near):
                far.sendall(block)
                gone += len(block)
                if gone > self._after and self.left:
                    self.left -= 1
                    return


def _blocks(source: socket.socket) -> Iterator[bytes]:
    while block := source.recv(1 << 16):
        yield block


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        for block in _blocks(source):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)
