"""A swarm of our own on the loopback: torrents, a tracker on the fault server, and an aria2c that gives the files."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from server import Request, Server

__all__ = ["bencode", "magnet_of", "make_torrent", "seeding", "track"]

PIECE = 1 << 15


def bencode(value: object) -> bytes:
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        return bencode(value.encode())
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    assert isinstance(value, dict)
    return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"


def make_torrent(name: str, files: Mapping[str, bytes] | bytes, announce: str = "") -> bytes:
    """Of one file, or of several in a folder of that name."""
    content = files if isinstance(files, bytes) else b"".join(files.values())
    pieces = b"".join(hashlib.sha1(content[at : at + PIECE]).digest() for at in range(0, len(content), PIECE))
    info: dict[str, object] = {"name": name, "piece length": PIECE, "pieces": pieces}
    if isinstance(files, bytes):
        info["length"] = len(files)
    else:
        info["files"] = [{"length": len(body), "path": path.split("/")} for path, body in files.items()]
    return bencode({"info": info, **({"announce": announce} if announce else {})})


def info_hash(torrent: bytes) -> str:
    at = torrent.index(b"4:info") + 6
    return hashlib.sha1(torrent[at:-1]).hexdigest()


def magnet_of(torrent: bytes, announce: str) -> str:
    return f"magnet:?xt=urn:btih:{info_hash(torrent)}&tr={quote(announce, safe='')}"


def track(server: Server, port: int) -> str:
    """A tracker that knows one peer; returns its URL. Source: BEP 3, BEP 23 (compact peers)."""
    peers = socket.inet_aton("127.0.0.1") + port.to_bytes(2, "big")
    body = bencode({"interval": 60, "complete": 1, "incomplete": 0, "peers": peers})

    def answer(request: Request, content: bytes) -> tuple[int, Mapping[str, str], bytes]:
        return 200, {"Content-Type": "text/plain"}, body

    return server.route("/announce", answer)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def seeding(aria2c: Path, folder: Path, torrent: bytes, port: int, rate: str = "0") -> Iterator[subprocess.Popen[str]]:
    """An aria2c that has what the torrent names in `folder`; it is ready when this begins. `rate`: what it gives, `200K`."""
    (folder / "own.torrent").write_bytes(torrent)
    words = [
        str(aria2c), "--no-conf", f"--dir={folder}", f"--listen-port={port}", "--check-integrity", "--seed-ratio=0.0",
        "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--disable-ipv6", "--summary-interval=0",
        "--console-log-level=notice", "--bt-hash-check-seed=true", "--no-proxy=127.0.0.1",
        f"--max-overall-upload-limit={rate}", str(folder / "own.torrent"),
    ]  # fmt: skip
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "Seeding is on" in line or "Verification finished successfully" in line or "seed" in line.lower():
                break
        else:
            raise AssertionError("".join(said))
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
