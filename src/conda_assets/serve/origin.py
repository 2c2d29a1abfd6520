"""An origin for the demonstration: files of any size that need no disk, over throttled connections, on a loopback port."""

from __future__ import annotations

import http.server
import random
import threading
import time
from contextlib import suppress

from conda_assets.records import dataclass
from conda_assets.regexes import regex

__all__ = ["Origin", "Sample"]

_MIB = 1 << 20
_STEP_BYTES = 1 << 14
_RANGE = regex(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True, slots=True)
class Sample:
    """A file to serve: its size, and bytes per second of each connection."""

    size_bytes: int
    bytes_per_s: int


class Origin:
    """Serves the samples, by path, from `start` to `close`."""

    def __init__(self, samples: dict[str, Sample]) -> None:
        noise = random.Random(1).randbytes(2 * _MIB)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(samples, noise))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="origin", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def url(self, path: str) -> str:
        """The URL of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()


def _handler(samples: dict[str, Sample], noise: bytes) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            """Whoever has enough hangs up."""
            with suppress(OSError):
                super().handle()

        def do_GET(self) -> None:
            sample = samples.get(self.path)
            if sample is None:
                self.send_error(404)
                return
            match = _RANGE.fullmatch(self.headers.get("Range", ""))
            start = int(match[1]) if match else 0
            end = min(sample.size_bytes, int(match[2]) + 1 if match and match[2] else sample.size_bytes)
            self.send_response(206 if match else 200)
            if match:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{sample.size_bytes}")
            for name, value in (("Accept-Ranges", "bytes"), ("ETag", '"1"'), ("Content-Type", "application/octet-stream")):
                self.send_header(name, value)
            self.send_header("Content-Length", str(end - start))
            self.end_headers()
            self._send(start, end, sample.bytes_per_s)

        def log_message(self, *unused: object) -> None:
            """Nothing: the demonstration's own lines are enough."""

        def _send(self, start: int, end: int, bytes_per_s: int) -> None:
            due = time.monotonic()
            while start < end:
                # Each MiB begins elsewhere in the noise, so that no two are the same.
                at = (start // _MIB * 7919 + start) % _MIB
                count = min(_STEP_BYTES, end - start)
                self.wfile.write(noise[at : at + count])
                start += count
                due = max(due, time.monotonic() - 0.1) + count / bytes_per_s
                time.sleep(max(0.0, due - time.monotonic()))

    return Handler
