"""What docs/security.md promises and no other test holds: silent records, no shell, a closed door, a safe order on the disk."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme

import conda_assets
from conda_assets.errors import InsecureRedirect
from conda_assets.model import Asset, Fresh, Locked
from conda_assets.settings import Network, load
from conda_assets.sources.asking import web_of
from conda_assets.sources.http import probe
from conda_assets.transport import Job
from engines import Engine, aria2_engines, closing, drive, made_of
from lab import Lab
from server import Server, Virtual
from test_aria2 import listening_ports, needs_proc, running

pytestmark = pytest.mark.slow

CANARY = "canary-5f1d2c"
DOCS = Path(__file__).parent.parent / "docs" / "security.md"
SOURCE = Path(conda_assets.__file__).parent


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture(params=aria2_engines())
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    scratch = tmp_path / "scratch"
    scratch.mkdir(mode=0o700)
    made = made_of(request.param, scratch)
    yield made
    for transport in made.open:
        transport.close()


def test_no_record_prints_what_it_must_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_ASSETS_SERVER_TOKEN", CANARY)
    url = f"https://u:{CANARY}@h/x?sig={CANARY}"
    asset = Asset("a", url, "a", mirrors=(url,), headers={"Authorization": CANARY}, written=(url,))
    fresh = Fresh(url, (("Authorization", CANARY),))
    records = [
        asset,
        fresh,
        Locked(asset, url, url, 1, None, None, resumable=True, same_host=True, fresh=lambda: fresh),
        Job("j", (url,), tmp_path / "data", fresh={url: lambda: fresh}),
        Network(proxies=(("https", f"http://u:{CANARY}@proxy"),)),
        load(environ=os.environ),
    ]
    assert [record for record in records if CANARY in repr(record) + str(record)] == []


def test_no_shell_and_no_eval_anywhere() -> None:
    """Nothing that a file or a server says can become a command, or code."""
    calls = r"shell=True|\b(eval|exec)\(|os\.(system|popen)\(|\bimport (pickle|marshal|shelve)\b|yaml\.(load|unsafe_load)\("
    forbidden = re.compile(f"(?:{calls})(?!.*Safe|.*LOADER)")
    lines = [
        f"{path.relative_to(SOURCE)}: {line.strip()}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if forbidden.search(line)
        and "lambda yaml" not in line  # ruamel's, which makes plain data
        # As `dataclasses` does: what it compiles are the names in our own source.
        and not (path.name == "records.py" and line.strip().startswith("exec("))
    ]
    assert lines == []


@needs_proc
def test_the_engine_obeys_nobody_without_the_secret(engine: Engine, tmp_path: Path) -> None:
    """A web page can reach a port of this machine: by a form, by a script's address, by a websocket."""
    folder = tmp_path / "staging"
    folder.mkdir(mode=0o700)
    with Server(rate=2_000_000) as server, closing(engine()) as transport:
        planted = server.add("/evil.sh", b"#!/bin/sh\n")
        job = Job("a", (server.add("/w.bin", Virtual(16 << 20)),), folder / "data", 16 << 20)
        drive(transport, [job], until=lambda tiding: tiding.done_bytes > 1 << 20)
        host, port = next(iter(sorted(listening_ports(running(transport)))))
        params = ["token:x", [planted], {"dir": str(tmp_path), "out": "evil.sh"}]
        body = json.dumps({"jsonrpc": "2.0", "id": "1", "method": "aria2.addUri", "params": params}).encode()
        query = base64.b64encode(json.dumps(params).encode()).decode().replace("+", "%2B").replace("=", "%3D")
        from_page = "Host: evil.example\r\nOrigin: https://evil.example\r\n"
        form = f"POST /jsonrpc HTTP/1.1\r\n{from_page}Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        script = f"GET /jsonrpc?method=aria2.addUri&id=1&params={query}&jsoncallback=f HTTP/1.1\r\n{from_page}\r\n"
        # Opened for anybody; what is said there needs the secret all the same.
        hello = (
            f"GET /jsonrpc HTTP/1.1\r\n{from_page}Upgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        frame = bytes([0x81, 0x80 | 126]) + len(body).to_bytes(2, "big") + bytes(4) + body
        ways = [(form.encode() + body,), (script.encode(),), (hello.encode(), frame)]
        with ThreadPoolExecutor() as threads:
            # aria2 takes its time with each refusal.
            assert all(b"Unauthorized" in said for said in threads.map(lambda way: _asked(host, port, way), ways))
        assert server.seen("/evil.sh") == []
        assert not (tmp_path / "evil.sh").exists()


def _asked(host: str, port: int, way: Sequence[bytes]) -> bytes:
    """All that is said back until it is a refusal; each part is sent when the one before has been answered."""
    with socket.create_connection((host, port), timeout=10) as connection:
        said = b""
        for part in way:
            connection.sendall(part)
            said += connection.recv(4096)
        while b"Unauthorized" not in said and (block := connection.recv(4096)):
            said += block
        return said


def test_https_leads_to_nothing_less(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    network = Network(verify=str(tmp_path / "ca.pem"))
    with Server(tls=context) as server:
        for to in ("http://127.0.0.1/x", "file:///etc/passwd", "ftp://127.0.0.1/x", "javascript:0", "//", "http:/x"):
            url = server.redirect("/go", to).replace("127.0.0.1", "localhost")
            assert CANARY not in _refused(Asset("a", url, "a", headers={"Authorization": CANARY}), network)
        web_of(network).close()
        server.wait(lambda: not server._connections)


@pytest.mark.parametrize("to", ["http", "ftp"])
def test_a_later_request_is_led_to_nothing_less(engine: Engine, tmp_path: Path, to: str) -> None:
    """The first answer was right. aria2 follows redirects by itself, each connection's own."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    network = Network(verify=str(tmp_path / "ca.pem"))
    into = tmp_path / "staging"
    into.mkdir(mode=0o700)
    with Server(tls=context) as safe, Server() as bare:
        target = bare.add("/w.bin", os.urandom(4 << 20))
        led = safe.redirect("/w.bin", target if to == "http" else target.replace("http:", "ftp:"))
        job = Job("w", (led.replace("127.0.0.1", "localhost"),), into / "data", 4 << 20)
        tiding = engine.bring(job, network)
        assert isinstance(tiding.error, InsecureRedirect)
        assert "leads to http or ftp" in tiding.error.message
        assert bare.accepted == 0


def _refused(asset: Asset, network: Network) -> str:
    """What is said of the redirect. An error that is kept would keep its connection open, and the server waits for its end."""
    try:
        probe(asset, asset.url, network)
    except InsecureRedirect as error:
        return error.message
    raise AssertionError(f"{asset.url} was followed")


def test_a_token_is_in_nothing_that_a_failed_sync_leaves(lab: Lab) -> None:
    """Core dumps aside: output, JSON, logs, receipt, lock, store, temporary files."""
    with Server() as server:
        url = server.add("/w.bin", b"", status=404) + "?sig=${TOKEN}"
        lab.write([{"name": "w", "url": url, "headers": {"Authorization": "Bearer ${TOKEN}"}}])
        environ = {"TOKEN": CANARY, "TMPDIR": str(lab.folder)}
        said = lab.run("sync", "-v", "-v", "--json", "-p", str(lab.prefix()), environ=environ)
    assert said.status == 1
    assert CANARY not in said.out + said.err
    for top in (lab.folder, Path(os.environ["HOME"])):
        assert [path for path in top.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()] == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace on this machine")
def test_bytes_are_on_the_disk_before_they_have_their_name(lab: Lab) -> None:
    """A power cut leaves the whole file under its name, or no name: data, then the name, then the folder."""
    body = os.urandom(3_000_000)
    digest = hashlib.sha256(body).hexdigest()
    with Server() as server:
        lab.write([{"name": "w", "url": server.add("/w.bin", body), "sha256": digest}])
        log = lab.folder / "strace.txt"
        calls = "fsync,fdatasync,sync_file_range,rename,renameat,renameat2,link,linkat"
        command = ["strace", "-f", "-y", "-qq", "-s", "4096", "-e", f"trace={calls}", "-o", str(log)]
        command += [sys.executable, "-m", "conda_assets", "sync", "-p", str(lab.prefix()), "-q"]
        environ = {**os.environ, "CONDA_PLUGINS_ASSETS_ARIA2C": "none"}
        done = subprocess.run(command, cwd=lab.folder, env=environ, capture_output=True, text=True, timeout=120, check=False)
        if "ptrace" in done.stderr.lower():
            pytest.skip(f"strace is not allowed here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
    lines = log.read_text().splitlines()
    named = next(n for n, line in enumerate(lines) if re.search(r"rename\w*\(", line) and f'/{digest}"' in line)
    source = re.search(r'"([^"]*/data)"', lines[named])
    assert source is not None, lines[named]
    before = [line for line in lines[:named] if "fsync(" in line and f"<{source[1]}>" in line]
    folder = re.search(rf'"([^"]*)/{digest}"', lines[named])
    assert folder is not None
    after = [line for line in lines[named:] if "fsync(" in line and f"<{folder[1]}>" in line]
    assert (bool(before), bool(after)) == (True, True)
    receipt = next(n for n, line in enumerate(lines) if re.search(r"rename\w*\(", line) and "receipt.json" in line)
    assert any("fsync(" in line and ".receipt.json" in line for line in lines[:receipt])


def test_the_page_says_who_is_trusted_with_what() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for file, test in re.findall(r"`(test_\w+\.py)::(\w+)`", text):
        assert f"def {test}(" in (Path(__file__).parent / file).read_text(encoding="utf-8"), f"{file} has no {test}"
    assert len(re.findall(r"`test_\w+\.py::", text)) >= 15
    assert (DOCS.parent.parent / ".github" / "SECURITY.md").is_file()
