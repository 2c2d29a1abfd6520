"""A program that serves one file, in ranges, and is the tracker of whoever fetches it: `python origin.py FILE` prints its port.

/w.bin      the file
/announce   the tracker: gives everybody the others who have announced themselves (BEP 3, BEP 23)
/other      from now on the file has other bytes, as many as before
/closed     from now on the file is for who knows the password
/sent       how many bytes of the file have been sent
"""

from __future__ import annotations

import contextlib
import re
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


class Origin(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, path: Path) -> None:
        super().__init__(("0.0.0.0", 0), Answer)
        self.body = path.read_bytes()
        self.peers: dict[tuple[str, int], None] = {}
        self.sent_bytes = self.bytes_per_s = 0
        self.closed = False
        self.lock = threading.Lock()


class Answer(BaseHTTPRequestHandler):
    server: Origin
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/announce":
            self._say(200, self._announced())
        elif path == "/sent":
            self._say(200, str(self.server.sent_bytes).encode())
        elif path == "/other":
            self.server.body = bytes(len(self.server.body))
            self._say(200, b"")
        elif path == "/closed":
            self.server.closed = True
            self._say(200, b"")
        elif self.server.closed and self.headers.get("Authorization") != "Bearer secret":
            self._say(401, b"")
        elif path == "/slow":
            self.server.bytes_per_s = int(urlsplit(self.path).query)
            self._say(200, b"")
        elif path == "/w.bin":
            self._serve()
        else:
            self._say(404, b"")

    def _serve(self) -> None:
        body = self.server.body
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (int(asked[1]), int(asked[2] or len(body) - 1)) if asked else (0, len(body) - 1)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"one"')
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self._send(body, first, last)

    def _send(self, body: bytes, first: int, last: int) -> None:
        for at in range(first, last + 1, 1 << 16):
            part = body[at : min(at + (1 << 16), last + 1)]
            self.wfile.write(part)
            with self.server.lock:
                self.server.sent_bytes += len(part)
            if self.server.bytes_per_s:
                time.sleep(len(part) / self.server.bytes_per_s)

    def _announced(self) -> bytes:
        query = parse_qs(urlsplit(self.path).query, encoding="latin-1")
        me = (str(self.client_address[0]), int(query["port"][0]))
        with self.server.lock:
            if query.get("event") == ["stopped"]:
                self.server.peers.pop(me, None)
            else:
                self.server.peers[me] = None
            others = [socket.inet_aton(host) + port.to_bytes(2, "big") for host, port in self.server.peers if (host, port) != me]
        return b"d8:intervali5e5:peers%d:%se" % (6 * len(others), b"".join(others))

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    origin = Origin(Path(sys.argv[1]))
    print(origin.server_address[1], flush=True)
    origin.serve_forever()
