"""A real HTTP/1.1 origin on a loopback port of its own: ranges, validators, throttles, and everything that servers do wrong.

In a test, with a thread a connection in this process:

    with Server(rate=12_000_000, link=125_000_000) as server:
        url = server.add("/w.bin", Virtual(400_000_000, seed=1))
        bad = server.add("/bad.bin", b"x" * 1000, Faults(status=503, retry_after="2", first=1))
        ...
        assert server.sent("/w.bin") <= 1.05 * 400_000_000

On the command line, for a bench or a demonstration (prints its URL and serves until it is killed):

    python tests/server.py --dir data --rate 12000000 --link 125000000 --virtual w.bin=400000000

Rates are bytes per second, times seconds. Only loopback addresses are bound.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import email.utils
import gzip
import hashlib
import os
import random
import select
import socket
import ssl
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qsl, unquote, urlsplit

_MIB = 1 << 20
_REASONS = {
    200: "OK", 206: "Partial Content", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified",
    307: "Temporary Redirect", 308: "Permanent Redirect", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 407: "Proxy Authentication Required", 408: "Request Timeout", 410: "Gone",
    412: "Precondition Failed", 416: "Range Not Satisfiable", 425: "Too Early", 429: "Too Many Requests",
    500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip
#: The Last-Modified of everything that says nothing else.
MODIFIED = "Sat, 01 Nov 2025 12:00:00 GMT"
_HTML = b"<!DOCTYPE html><html><title>Sign in</title><body>Please log in to continue</body></html>\n"


# ---- content


@lru_cache(maxsize=8)
def _noise(seed: int) -> bytes:
    return random.Random(seed).randbytes(2 * _MIB)


@dataclass(frozen=True)
class Virtual:
    """A file that needs no disk: MiB number i is a slice of 2 MiB of noise at an offset that depends on i.

    Every MiB differs from every other, so pieces that land in the wrong place are noticed.
    """

    size: int
    seed: int = 0

    def slices(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """(offset in the noise, length) of the parts that make up start..end (end excluded)."""
        while start < end:
            index, within = divmod(start, _MIB)
            count = min(_MIB - within, end - start)
            yield (index * 0x9E3779B1 + 12345) % _MIB + within, count
            start += count

    def read(self, start: int, end: int) -> bytes:
        noise = _noise(self.seed)
        return b"".join(noise[at : at + count] for at, count in self.slices(start, min(end, self.size)))

    @property
    def sha256(self) -> str:
        return _virtual_hash(self, "sha256")

    def digest(self, algorithm: str) -> str:
        return _virtual_hash(self, algorithm)

    def write(self, path: Path) -> None:
        noise = memoryview(_noise(self.seed))
        with path.open("wb") as file:
            for at, count in self.slices(0, self.size):
                file.write(noise[at : at + count])


@lru_cache(maxsize=256)
def _virtual_hash(content: Virtual, algorithm: str) -> str:
    noise, made = memoryview(_noise(content.seed)), hashlib.new(algorithm)
    for at, count in content.slices(0, content.size):
        made.update(noise[at : at + count])
    return made.hexdigest()


Body = bytes | Virtual | Path


# ---- what may go wrong


@dataclass(frozen=True)
class Faults:
    """How one path misbehaves. `first`: only its first N requests; `skip`: not the first N; `spare_probe`: not `bytes=0-0`."""

    first: int | None = None
    skip: int = 0
    spare_probe: bool = False
    # answers
    status: int | None = None
    retry_after: str | None = None
    no_ranges: bool = False  # no Accept-Ranges, 200 and everything
    range_200: bool = False  # says that it serves ranges, sends 200 and everything
    range_416: bool = False
    wrong_range: int | None = None  # Content-Range starts that many bytes later than what was asked for
    shifted_body: int | None = None  # right headers, bytes from that much later
    max_connections: int | None = None  # requests of this path under way at once
    over_status: int = 503
    redirect: str | None = None
    redirect_status: int = 302
    loop: bool = False
    html: bool = False
    empty: bool = False
    gzip: bool = False
    chunked: bool = False
    no_length: bool = False
    user: str | None = None  # "name:password", else 401
    needs: tuple[str, str] | None = None  # header and value, else 401
    signed: bool = False  # wants `?until=` of a time (epoch seconds) that is not past, else 403
    ignore_validators: bool = False  # If-Match, If-Range and the like have no effect
    refuse_if_match: bool = False  # 412 to any If-Match
    # body
    cut_after: int | None = None  # bytes of the body, then the connection ends
    cut_each: int | None = None  # bytes of bodies that a connection lives for
    cut_by: str = "reset"  # reset | close
    drops_ahead: bool = False  # forgets requests that came before it had answered the last one
    stall_after: int | None = None
    rate: float | None = None  # bytes per second and connection, for this path
    flip: tuple[int, ...] = ()  # offsets whose lowest bit is wrong
    change_after: int | None = None  # body and etag of `change_to` from that request on
    change_to: Body | None = None
    # header
    slow_header: float | None = None  # seconds before each byte of the header
    header_delay: float = 0.0
    huge_header: int = 0
    extra: tuple[tuple[str, str], ...] = ()


@dataclass
class Request:
    """One request as it came in. `sent`: bytes of the body handed to the kernel so far; `at`: monotonic seconds.

    `number` counts the requests of this path from 1, `connection` the server's connections.
    """

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0
    at: float = 0.0
    connection: int = 0
    number: int = 0
    done: bool = False
    query: str = ""

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


@dataclass
class _Entry:
    body: Body
    faults: Faults
    etag: str | None
    modified: str | None
    content_type: str
    headers: tuple[tuple[str, str], ...]
    count: int = 0
    active: int = 0
    answer: Callable[[Request, bytes], tuple[int, Mapping[str, str], bytes]] | None = None
    talk: Callable[[socket.socket, Request], bool] | None = None


class _Pace:
    """A wire: `reserve` says when that many bytes have passed through it. Late callers may catch up 20 ms."""

    _SLACK = 0.02

    def __init__(self, rate: float | None) -> None:
        self.rate, self._free, self._lock, self.passed = rate, 0.0, threading.Lock(), 0

    def reserve(self, count: int) -> float:
        if not self.rate:
            return 0.0
        with self._lock:
            self._free = max(self._free, time.monotonic() - self._SLACK) + count / self.rate
            return self._free


class _Gone(Exception):
    """The client or the server has left."""


# ---- the server


class Server:
    """See the module. `host`: a loopback address.

    `latency`: seconds before each answer, and once more for a new connection (stands for the handshake). `most`: requests under
    way at once, of all files together; more are answered with 429.
    """

    def __init__(
        self,
        *,
        rate: float | None = None,
        link: float | None = None,
        latency: float = 0.0,
        folder: Path | None = None,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
        send_buffer: int | None = None,
        host: str = "127.0.0.1",
        most: int | None = None,
    ) -> None:
        self._host, self._most = host, most
        self.too_many = 0
        self.rate, self.latency, self._folder, self._tls = rate, latency, folder, tls
        self._link = _Pace(link)
        self._entries: dict[str, _Entry] = {}
        self._contents: dict[Body, int] = {}
        self.requests: list[Request] = []
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self.accepted = 0
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=1024)
        # Throttled: keep little in the kernel, so that `sent` is close to what the client has seen.
        if buffer := send_buffer or (1 << 18 if rate or link else None):
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="server", daemon=True)
        self._thread.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def url(self, path: str = "", host: str = "") -> str:
        """The address of a path; `host="localhost"` is another host to a client that compares names."""
        host = host or (f"[{self._host}]" if ":" in self._host else self._host)
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def add(
        self,
        path: str,
        body: Body = b"",
        faults: Faults | None = None,
        *,
        etag: str | None = "auto",
        modified: str | None = MODIFIED,
        content_type: str = "application/octet-stream",
        headers: Mapping[str, str] | None = None,
        **fault_options: object,
    ) -> str:
        """Serve `body` at `path`, from now on; returns its URL. `etag` is quoted here; `auto` makes one of the content.

        Faults come as a record or as its fields. Adding a path again replaces the file and starts its count again.
        """
        faults = faults or Faults(**fault_options)  # type: ignore[arg-type]
        if etag == "auto":
            etag = _etag_of(body)
        quoted = etag if etag is None or etag.startswith(('"', 'W/"')) else f'"{etag}"'
        entry = _Entry(body, faults, quoted, modified, content_type, tuple((headers or {}).items()))
        with self._changed:
            self._entries[path] = entry
        return self.url(path)

    def redirect(self, path: str, to: str, status: int = 302) -> str:
        """Answer `path` with a redirect; returns its URL."""
        return self.add(path, b"", Faults(redirect=to, redirect_status=status))

    def route(self, path: str, answer: Callable[[Request, bytes], tuple[int, Mapping[str, str], bytes]]) -> str:
        """Let a function answer (status, headers, body), for interfaces rather than files. It runs in the connection's thread."""
        url = self.add(path)
        self._entries[path].answer = answer
        return url

    def speak(self, path: str, talk: Callable[[socket.socket, Request], bool]) -> str:
        """Let a function write the answer, byte by byte as it likes; True where the connection goes on after it."""
        url = self.add(path)
        self._entries[path].talk = talk
        return url

    def sent(self, path: str | None = None) -> int:
        """Bytes of bodies handed to the kernel, for one path or in all."""
        return sum(request.sent for request in list(self.requests) if path in (None, request.path))

    def seen(self, path: str) -> list[Request]:
        """The requests of one path, in the order they came."""
        return [request for request in list(self.requests) if request.path == path]

    def wait(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        """Return once it holds; looked at whenever a request or a block has passed.

        Raises:
            TimeoutError: it does not hold in time.
        """
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                raise TimeoutError(f"not within {seconds} s; requests: {self.requests[-5:]}")

    def forget(self) -> None:
        """Empty the log."""
        with self._changed:
            self.requests.clear()

    def close(self) -> None:
        """End all connections; returns when every thread has ended."""
        self._closing.set()
        with self._changed:
            connections = dict(self._connections)
        # Closing alone leaves a thread in accept() on Linux.
        for each in (self._listener, *connections):
            _hang_up(each)
        self._listener.close()
        self._thread.join(10)
        for thread in connections.values():
            thread.join(10)
        for descriptor in self._contents.values():
            os.close(descriptor)
        self._contents.clear()

    # ---- connections

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            thread = threading.Thread(target=self._converse, args=(connection, self.accepted), daemon=True)
            with self._changed:
                self._connections[connection] = thread
            thread.start()

    def _converse(self, plain: socket.socket, number: int) -> None:
        connection: socket.socket = plain
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._closing.is_set():
                return
            if self._tls:
                connection = self._tls.wrap_socket(plain, server_side=True)
            self._pause(self.latency)
            pace, pending = _Pace(self.rate), bytearray()
            while (request := _read_request(connection, pending, number)) is not None:
                body = _read_body(connection, pending, request)
                self._pause(self.latency)
                entry = self._entry(request.path)
                if not self._answer(connection, request, body, pace):
                    return
                if entry is not None and entry.faults.drops_ahead:
                    pending.clear()
                    if select.select([connection], [], [], 0)[0] and not connection.recv(65536):
                        return
        except (OSError, _Gone, ValueError):
            pass
        finally:
            with self._changed:
                self._connections.pop(plain, None)
                self._changed.notify_all()
            connection.close()

    def _pause(self, seconds: float) -> None:
        if seconds > 0 and self._closing.wait(seconds):
            raise _Gone

    def _answer(self, connection: socket.socket, request: Request, body: bytes, pace: _Pace) -> bool:
        """Write one response; False when the connection is over."""
        entry = self._entry(request.path)
        with self._changed:
            self.requests.append(request)
            if entry:
                entry.count += 1
                entry.active += 1
                request.number = entry.count
        try:
            return _Answer(self, connection, request, body, entry, pace).write()
        finally:
            with self._changed:
                request.done = True
                if entry:
                    entry.active -= 1
                self._changed.notify_all()

    def is_asked_too_much(self) -> bool:
        """More is under way than this server bears; counted in `too_many`."""
        with self._changed:
            under_way = sum(entry.active for entry in self._entries.values())
            if self._most is None or under_way <= self._most:
                return False
            self.too_many += 1
            return True

    def _entry(self, path: str) -> _Entry | None:
        with self._changed:
            if (entry := self._entries.get(path)) is not None:
                return entry
        if self._folder is None:
            return None
        file = (self._folder / unquote(path).lstrip("/")).resolve()
        if not file.is_relative_to(self._folder.resolve()) or not file.is_file():
            return None
        status = file.stat()
        modified = email.utils.formatdate(status.st_mtime, usegmt=True)
        kind = "text/html" if file.suffix in (".html", ".htm") else "application/octet-stream"
        return _Entry(file, Faults(), f'"{status.st_mtime_ns:x}-{status.st_size:x}"', modified, kind, ())

    def _descriptor(self, body: Body) -> int:
        """An open file that holds the body, or for a virtual one its noise; opened once."""
        if isinstance(body, Path):
            return os.open(body, os.O_RDONLY)
        key: Body = Virtual(0, body.seed) if isinstance(body, Virtual) else body
        with self._changed:
            if key not in self._contents:
                self._contents[key] = _in_memory(_noise(body.seed) if isinstance(body, Virtual) else body)
            return self._contents[key]

    def _count(self, request: Request, count: int) -> None:
        with self._changed:
            request.sent += count
            self._changed.notify_all()


class _Answer:
    """One response on its way."""

    def __init__(
        self,
        server: Server,
        connection: socket.socket,
        request: Request,
        body: bytes,
        entry: _Entry | None,
        pace: _Pace,
    ) -> None:
        self.server, self.connection, self.request, self.posted = server, connection, request, body
        self.entry, self.pace = entry, pace
        self.faults = _in_force(entry, request)
        if self.faults.rate:
            self.pace = _Pace(self.faults.rate)

    def write(self) -> bool:
        entry, faults, request = self.entry, self.faults, self.request
        if entry is None:
            return self._short(404, {}, b"no such file\n")
        if entry.talk is not None:
            return entry.talk(self.connection, request)
        if entry.answer is not None:
            status, headers, content = entry.answer(request, self.posted)
            return self._short(status, headers, content)
        if self.server.is_asked_too_much():
            return self._short(429, {}, b"too many\n")
        if (refusal := self._refusal(entry, faults)) is not None:
            return self._short(*refusal)
        if request.method not in ("GET", "HEAD"):
            return self._short(405, {"Allow": "GET, HEAD"}, b"")
        if faults.html:
            return self._short(200, {"Content-Type": "text/html; charset=utf-8"}, _HTML)
        if faults.empty:
            return self._short(200, {"Content-Type": entry.content_type}, b"")
        return self._file(entry, faults)

    def _refusal(self, entry: _Entry, faults: Faults) -> tuple[int, dict[str, str], bytes] | None:
        headers = self.request.headers
        if faults.user and headers.get("authorization") != "Basic " + base64.b64encode(faults.user.encode()).decode():
            return 401, {"WWW-Authenticate": 'Basic realm="files"'}, b"who are you\n"
        if faults.needs and headers.get(faults.needs[0].lower()) != faults.needs[1]:
            return 401, {"WWW-Authenticate": "Bearer"}, b"who are you\n"
        if faults.signed and float(dict(parse_qsl(self.request.query)).get("until", 0)) < time.time():
            return 403, {}, b"Request has expired\n"
        if faults.max_connections is not None and entry.active > faults.max_connections:
            return faults.over_status, _wait_header(faults), b"too many\n"
        if faults.status is not None:
            return faults.status, _wait_header(faults), b"not now\n"
        if faults.loop:
            return 302, {"Location": self.request.path}, b""
        if faults.redirect:
            return faults.redirect_status, {"Location": faults.redirect}, b""
        if faults.refuse_if_match and "if-match" in headers:
            return 412, {}, b""
        return None

    def _file(self, entry: _Entry, faults: Faults) -> bool:
        body, etag = entry.body, entry.etag
        if faults.change_after is not None and faults.change_to is not None and self.request.number > faults.change_after:
            body, etag = faults.change_to, f'"{_etag_of(faults.change_to)}"' if etag else None
        if faults.gzip:
            body = gzip.compress(body if isinstance(body, bytes) else body.read(0, body.size), 1)  # type: ignore[union-attr]
        size = _size_of(body)
        status, start, end = 200, 0, size
        if not faults.ignore_validators and (held := _preconditions(self.request, etag, entry.modified)) is not None:
            return self._short(held, {}, b"", entry)
        wanted = self.request.headers.get("range") if self.request.method == "GET" else None
        if wanted and not (faults.no_ranges or faults.range_200 or faults.chunked or faults.no_length):
            if faults.range_416:
                return self._short(416, {"Content-Range": f"bytes */{size}"}, b"", entry)
            if faults.ignore_validators or _if_range_holds(self.request, etag, entry.modified):
                span = _parse_range(wanted, size)
                if span == "unsatisfiable":
                    return self._short(416, {"Content-Range": f"bytes */{size}"}, b"", entry)
                if span is not None:
                    status, (start, end) = 206, span  # type: ignore[assignment]
        headers = _file_headers(entry, etag)
        if faults.gzip:
            headers["Content-Encoding"] = "gzip"
        if not (faults.no_ranges or faults.chunked or faults.no_length):
            headers["Accept-Ranges"] = "bytes"
        if status == 206:
            lie = faults.wrong_range or 0
            headers["Content-Range"] = f"bytes {start + lie}-{end - 1 + lie}/{size}"
        framing = "chunked" if faults.chunked else "close" if faults.no_length else "length"
        if framing == "length":
            headers["Content-Length"] = str(end - start)
        elif framing == "chunked":
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Connection"] = "close"
        head = self._head(status, headers)
        if self.request.method == "HEAD":
            self._send_head(head)
            return framing != "close"
        return self._transfer(head, body, start, end, framing) and framing != "close"

    def _short(self, status: int, headers: Mapping[str, str], content: bytes, entry: _Entry | None = None) -> bool:
        given = {"Content-Type": "text/plain", "Content-Length": str(len(content)), **headers}
        if entry is not None:
            given.update(_file_headers(entry, entry.etag))
        if status == 304:
            del given["Content-Length"]
        head = self._head(status, given)
        shown = b"" if self.request.method == "HEAD" else content
        if self.faults.slow_header or self.faults.header_delay:
            self._send_head(head)
            self.connection.sendall(shown)
        else:
            self.connection.sendall(head + shown)
        self.server._count(self.request, len(shown))
        return True

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        self.request.status = status
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Odd')}", "Server: loopback"]
        lines += [f"{name}: {value}" for name, value in (*headers.items(), *self.faults.extra)]
        if self.faults.huge_header:
            lines.append("X-Huge: " + "h" * self.faults.huge_header)
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _send_head(self, head: bytes) -> None:
        self.server._pause(self.faults.header_delay)
        if not self.faults.slow_header:
            self.connection.sendall(head)
            return
        for at in range(len(head)):
            self._linger(self.faults.slow_header)
            self.connection.sendall(head[at : at + 1])

    def _transfer(self, head: bytes, body: Body, start: int, end: int, framing: str) -> bool:
        faults = self.faults
        left = None if faults.cut_each is None else max(0, faults.cut_each - self.pace.passed)
        stops = [stop for stop in (faults.cut_after, left, faults.stall_after) if stop is not None]
        limit = min([end - start, *stops])
        self._send_head(head)
        descriptor = self.server._descriptor(body)
        try:
            shift = faults.shifted_body or 0
            for at, count in _blocks(start, start + limit, self._block_bytes()):
                self._keep_pace(count)
                self._push(body, descriptor, at + shift if at + shift + count <= _size_of(body) else at, count, framing)
                self.pace.passed += count
                self.server._count(self.request, count)
        finally:
            if isinstance(body, Path):
                os.close(descriptor)
        if limit < end - start and limit in (faults.cut_after, left):
            if faults.cut_by == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if limit < end - start:
            self._linger(None)
        if framing == "chunked":
            self.connection.sendall(b"0\r\n\r\n")
        return True

    def _block_bytes(self) -> int:
        rate = min(rate for rate in (self.pace.rate or 1e12, self.server._link.rate or 1e12))
        return max(1, min(1 << 18, int(rate / 100)))

    def _keep_pace(self, count: int) -> None:
        until = max(self.pace.reserve(count), self.server._link.reserve(count))
        if (left := until - time.monotonic()) > 0:
            if left > 0.5:
                self._linger(left)
            else:
                time.sleep(left)

    def _linger(self, seconds: float | None) -> None:
        """Wait, but leave at once when the client or the server goes. None: until then."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while deadline is None or time.monotonic() < deadline:
            step = 0.1 if deadline is None else max(0.0, min(0.1, deadline - time.monotonic()))
            if self.server._closing.is_set():
                raise _Gone
            if select.select([self.connection], [], [], step)[0]:
                if isinstance(self.connection, ssl.SSLSocket) or self.connection.recv(1, socket.MSG_PEEK) == b"":
                    raise _Gone
                self.server._pause(step)

    def _push(self, body: Body, descriptor: int, start: int, count: int, framing: str) -> None:
        if framing == "chunked":
            self.connection.sendall(f"{count:x}\r\n".encode())
        flips = [at for at in self.faults.flip if start <= at < start + count]
        spans = body.slices(start, start + count) if isinstance(body, Virtual) else [(start, count)]
        if flips or self.server._tls:
            content = bytearray(b"".join(os.pread(descriptor, length, at) for at, length in spans))
            for at in flips:
                content[at - start] ^= 1
            self.connection.sendall(content)
        else:
            for at, length in spans:
                _send_file(self.connection, descriptor, at, length)
        if framing == "chunked":
            self.connection.sendall(b"\r\n")


# ---- small parts


def _in_force(entry: _Entry | None, request: Request) -> Faults:
    if entry is None:
        return Faults()
    faults = entry.faults
    late = faults.first is not None and request.number > faults.first + faults.skip
    if late or request.number <= faults.skip or (faults.spare_probe and request.range == "bytes=0-0"):
        return Faults(
            change_after=faults.change_after,
            change_to=faults.change_to,
            needs=faults.needs,
            user=faults.user,
            signed=faults.signed,
        )
    return faults


def _wait_header(faults: Faults) -> dict[str, str]:
    return {"Retry-After": faults.retry_after} if faults.retry_after is not None else {}


def _etag_of(body: Body) -> str:
    if isinstance(body, Virtual):
        return f"v{body.seed}-{body.size:x}"
    return hashlib.sha256(body if isinstance(body, bytes) else body.read_bytes()).hexdigest()[:16]


def _size_of(body: Body) -> int:
    if isinstance(body, Path):
        return body.stat().st_size
    return body.size if isinstance(body, Virtual) else len(body)


def _file_headers(entry: _Entry, etag: str | None) -> dict[str, str]:
    headers = {"Content-Type": entry.content_type, **dict(entry.headers)}
    if etag:
        headers["ETag"] = etag
    if entry.modified:
        headers["Last-Modified"] = entry.modified
    return headers


def _preconditions(request: Request, etag: str | None, modified: str | None) -> int | None:
    """412 or 304 when a condition of the request does not hold, else None."""
    headers = request.headers
    if (wanted := headers.get("if-match")) is not None:
        given = [each.strip() for each in wanted.split(",")]
        if wanted.strip() != "*" and (etag is None or etag.startswith("W/") or etag not in given):
            return 412
    elif (since := headers.get("if-unmodified-since")) is not None and modified and since != modified:
        return 412
    if (unwanted := headers.get("if-none-match")) is not None and etag and etag in unwanted:
        return 304
    return None


def _if_range_holds(request: Request, etag: str | None, modified: str | None) -> bool:
    condition = request.headers.get("if-range")
    return condition is None or condition in ((etag if etag and not etag.startswith("W/") else None), modified)


def _parse_range(text: str, size: int) -> tuple[int, int] | str | None:
    """(start, end excluded), "unsatisfiable", or None for what is to be ignored."""
    unit, _, spans = text.partition("=")
    first, dash, last = spans.strip().partition("-")
    if unit.strip() != "bytes" or not dash or "," in spans or not (first or last).isdigit():
        return None
    if not first:
        count = min(int(last), size)
        return (size - count, size) if count else "unsatisfiable"
    start, end = int(first), min(int(last) + 1, size) if last.isdigit() else size
    return (start, end) if start < min(end, size) else "unsatisfiable"


def _blocks(start: int, end: int, step: int) -> Iterator[tuple[int, int]]:
    while start < end:
        count = min(step, end - start)
        yield start, count
        start += count


def _send_file(connection: socket.socket, descriptor: int, at: int, count: int) -> None:
    while count:
        try:
            done = os.sendfile(connection.fileno(), descriptor, at, count)
        except InterruptedError:
            continue
        if not done:
            raise _Gone
        at, count = at + done, count - done


def _in_memory(content: bytes) -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("body")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    return descriptor


def _read_request(connection: socket.socket, pending: bytearray, number: int) -> Request | None:
    while (end := pending.find(b"\r\n\r\n")) < 0:
        if len(pending) > _MIB or not (block := connection.recv(65536)):
            return None
        pending += block
    head = bytes(pending[:end]).decode("latin-1")
    del pending[: end + 4]
    line, *lines = head.split("\r\n")
    method, target, _ = line.split(" ", 2)
    headers: dict[str, str] = {}
    for each in lines:
        name, _, value = each.partition(":")
        headers[name.strip().lower()] = value.strip()
    parts = urlsplit(target)
    return Request(method, parts.path, headers, at=time.monotonic(), connection=number, query=parts.query)


def _read_body(connection: socket.socket, pending: bytearray, request: Request) -> bytes:
    length = int(request.headers.get("content-length", 0))
    while len(pending) < length:
        if not (block := connection.recv(65536)):
            raise _Gone
        pending += block
    body = bytes(pending[:length])
    del pending[:length]
    return body


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve files and virtual files over HTTP on a loopback port, throttled.")
    parser.add_argument("--dir", type=Path, help="folder to serve")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--rate", type=float, metavar="N", help="bytes per second and connection")
    parser.add_argument("--link", type=float, metavar="N", help="bytes per second in all")
    parser.add_argument("--latency", type=float, default=0.0, metavar="S", help="seconds before each answer")
    parser.add_argument(
        "--virtual", action="append", default=[], metavar="NAME=BYTES", help="serve a file of noise that needs no disk"
    )
    said = parser.parse_args()
    with Server(rate=said.rate, link=said.link, latency=said.latency, folder=said.dir, port=said.port) as server:
        for number, each in enumerate(said.virtual):
            name, _, size = each.partition("=")
            server.add(f"/{name}", Virtual(int(size), seed=number))
        print(server.url(), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
