"""Answers that no honest server gives, written byte by byte; `Server.speak` takes them.

Each is made for one content, sees the request and says whether the connection goes on.
"""

from __future__ import annotations

import hashlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable

from server import Request

Talk = Callable[[socket.socket, Request], bool]

#: What a well-behaved server says of the content, beside its length.
KIND = ("Content-Type: application/octet-stream",)


def tag(content: bytes) -> str:
    return f'ETag: "{hashlib.sha256(content).hexdigest()[:12]}"'


def head(status: str, *lines: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"HTTP/{version} {status}", *lines, "", ""]).encode("latin-1")


def span(request: Request, size: int) -> tuple[int, int] | None:
    """(first, last) byte that is asked for."""
    unit, _, spans = (request.range or "").partition("=")
    first, _, last = spans.partition("-")
    if unit != "bytes" or not first:
        return None
    return int(first), min(int(last or size), size - 1)


def part(content: bytes, first: int, last: int, *more: str, named: str | None = None) -> bytes:
    """A right 206, but for what `named` says of it."""
    lines = (
        *KIND,
        f"Content-Range: bytes {named or f'{first}-{last}/{len(content)}'}",
        f"Content-Length: {last - first + 1}",
        *more,
    )
    return head("206 Partial Content", *lines) + content[first : last + 1]


def all_of(content: bytes, *more: str) -> bytes:
    return head("200 OK", *KIND, f"Content-Length: {len(content)}", *more) + content


def honest(content: bytes, *more: str) -> Talk:
    """A server with ranges; `more`: further lines of its headers."""

    def talk(connection: socket.socket, request: Request) -> bool:
        asked = span(request, len(content))
        connection.sendall(part(content, *asked, *more) if asked else all_of(content, *more))
        return True

    return talk


def named_otherwise(content: bytes, name: Callable[[int, int, int], str]) -> Talk:
    """Right bytes for a range, and a Content-Range that says something else; the probe is spared."""

    def talk(connection: socket.socket, request: Request) -> bool:
        asked = span(request, len(content))
        if asked is None:
            connection.sendall(all_of(content, tag(content)))
        else:
            named = None if asked == (0, 0) else name(*asked, len(content))
            connection.sendall(part(content, *asked, tag(content), named=named))
        return True

    return talk


def widened(content: bytes, before: int, after: int) -> Talk:
    """206 for more or less than was asked for, and it says so."""

    def talk(connection: socket.socket, request: Request) -> bool:
        asked = span(request, len(content))
        if asked is None or asked == (0, 0):
            connection.sendall(part(content, *asked, tag(content)) if asked else all_of(content, tag(content)))
        else:
            first, last = max(0, asked[0] - before), max(asked[0], min(len(content) - 1, asked[1] + after))
            connection.sendall(part(content, first, last, tag(content)))
        return True

    return talk


def multipart(content: bytes) -> Talk:
    """206 in the form that is for several ranges."""

    def talk(connection: socket.socket, request: Request) -> bool:
        asked = span(request, len(content))
        if asked is None:
            connection.sendall(all_of(content))
            return True
        first, last = asked
        start = f"--B\r\n{KIND[0]}\r\nContent-Range: bytes {first}-{last}/{len(content)}\r\n\r\n"
        body = start.encode() + content[first : last + 1] + b"\r\n--B--\r\n"
        kind = "Content-Type: multipart/byteranges; boundary=B"
        connection.sendall(head("206 Partial Content", kind, f"Content-Length: {len(body)}") + body)
        return True

    return talk


def lengths(content: bytes, *said: int) -> Talk:
    """No ranges, and as many Content-Length lines as there are numbers; then it hangs up."""

    def talk(connection: socket.socket, request: Request) -> bool:
        connection.sendall(head("200 OK", *KIND, *(f"Content-Length: {each}" for each in said)) + content)
        return False

    return talk


def chunks(content: bytes, *, trailer: bool = False, stop_at: int | None = None, size_line: str = "") -> Talk:
    """Chunked, without ranges; `stop_at`: it hangs up there; `size_line`: in place of the second chunk's."""

    def talk(connection: socket.socket, request: Request) -> bool:
        connection.sendall(head("200 OK", *KIND, "Transfer-Encoding: chunked", *(["Trailer: X-Sum"] if trailer else [])))
        for at in range(0, len(content), 100_000):
            if stop_at is not None and at >= stop_at:
                return False
            block = content[at : at + 100_000]
            line = size_line if size_line and at else f"{len(block):x}"
            connection.sendall(f"{line}\r\n".encode() + block + b"\r\n")
        connection.sendall(b"0\r\nX-Sum: 1\r\n\r\n" if trailer else b"0\r\n\r\n")
        return True

    return talk


def old(content: bytes, version: str = "1.0") -> Talk:
    """HTTP/1.0 with a length; or 0.9: the file and nothing else."""

    def talk(connection: socket.socket, request: Request) -> bool:
        start = head("200 OK", *KIND, f"Content-Length: {len(content)}", version=version) if version != "0.9" else b""
        connection.sendall(start + content)
        return False

    return talk


def after_continue(content: bytes, count: int = 1) -> Talk:
    """A 100 or more before each answer, though nothing was announced."""

    def talk(connection: socket.socket, request: Request) -> bool:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * count)
        return honest(content, tag(content))(connection, request)

    return talk


def restless(content: bytes) -> Talk:
    """Another ETag each time, and If-Match and If-Range taken at their word."""
    count = 0

    def talk(connection: socket.socket, request: Request) -> bool:
        nonlocal count
        count += 1
        mark = f'ETag: "{count}"'
        if "if-match" in request.headers:
            connection.sendall(head("412 Precondition Failed", mark, "Content-Length: 0"))
            return True
        return honest(content, mark)(connection, request)

    return talk


def swapped(old_content: bytes, new_content: bytes, after: int, *, marks: bool) -> Talk:
    """The file is replaced by another of its size after so many requests; conditions have no effect here."""
    count = 0

    def talk(connection: socket.socket, request: Request) -> bool:
        nonlocal count
        count += 1
        now = old_content if count <= after else new_content
        return honest(now, *([tag(now)] if marks else []))(connection, request)

    return talk


def only_probed(content: bytes, answer: bytes) -> Talk:
    """An honest first byte, and that answer to everything else."""

    def talk(connection: socket.socket, request: Request) -> bool:
        if span(request, len(content)) == (0, 0):
            return honest(content, tag(content))(connection, request)
        connection.sendall(answer)
        return False

    return talk


def some(content: bytes, other: Talk, each: int = 3) -> Talk:
    """An honest server, but for every third request after the probe."""
    count = 0

    def talk(connection: socket.socket, request: Request) -> bool:
        nonlocal count
        count += span(request, len(content)) != (0, 0)
        wrong = count % each == 1 and span(request, len(content)) != (0, 0)
        return (other if wrong else honest(content, tag(content)))(connection, request)

    return talk


def parts_of(content: bytes, *lines: str) -> Talk:
    """Answers to a range, and to a question for all of it, with just those lines of headers beside the length and the range."""

    def talk(connection: socket.socket, request: Request) -> bool:
        first, last = span(request, len(content)) or (0, len(content) - 1)
        status = "206 Partial Content" if request.range else "200 OK"
        named = [f"Content-Range: bytes {first}-{last}/{len(content)}"] if request.range else []
        connection.sendall(head(status, *lines, *named, f"Content-Length: {last - first + 1}") + content[first : last + 1])
        return True

    return talk


def leading(content: bytes, to: str) -> Talk:
    """An honest first byte, and a redirect of everything else."""
    return only_probed(content, head("302 Found", f"Location: {to}", "Content-Length: 0"))


def recoded_parts(content: bytes) -> Talk:
    """Right bytes for a range, in chunks of which the header also says the length."""

    def talk(connection: socket.socket, request: Request) -> bool:
        first, last = span(request, len(content)) or (0, len(content) - 1)
        asked, body = span(request, len(content)), content[first : last + 1]
        named = [f"Content-Range: bytes {first}-{last}/{len(content)}"] if asked else []
        lines = (*KIND, tag(content), *named, f"Content-Length: {len(body)}", "Transfer-Encoding: chunked")
        start = head("206 Partial Content" if asked else "200 OK", *lines)
        connection.sendall(start + b"%x;ext=1\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
        return True

    return talk


def without_end(start: bytes, again: bytes, pause_s: float = 0.0) -> Talk:
    """The start, and then always the same, for a minute or until the client has left."""

    def talk(connection: socket.socket, request: Request) -> bool:
        connection.sendall(start)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            connection.sendall(again)
            time.sleep(pause_s)
        return False

    return talk


def hinted(content: bytes) -> Talk:
    """103 before each answer."""

    def talk(connection: socket.socket, request: Request) -> bool:
        connection.sendall(head("103 Early Hints", "Link: </style.css>; rel=preload") * 2)
        return honest(content, tag(content))(connection, request)

    return talk


def hanging_up_above(content: bytes, most: int) -> Talk:
    """A reset for each question that comes while so many are answered."""
    live, lock = 0, threading.Lock()

    def talk(connection: socket.socket, request: Request) -> bool:
        nonlocal live
        with lock:
            live += 1
            over = live > most and span(request, len(content)) != (0, 0)
        try:
            if over:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            time.sleep(0.02)
            return honest(content, tag(content))(connection, request)
        finally:
            with lock:
                live -= 1

    return talk


def one_of_many_lies(content: bytes) -> Talk:
    """Every third request for a later part gets zeros."""
    count = 0

    def talk(connection: socket.socket, request: Request) -> bool:
        nonlocal count
        asked = span(request, len(content))
        count += bool(asked and asked[0])
        shown = bytes(len(content)) if asked and asked[0] and count % 3 == 1 else content
        connection.sendall(part(shown, *asked, tag(content)) if asked else all_of(content, tag(content)))
        return True

    return talk


def off_by_one(content: bytes, beyond: int = 0) -> Talk:
    """Ranges that start beyond there come from one byte later."""
    moved = content[1:] + content[:1]

    def talk(connection: socket.socket, request: Request) -> bool:
        asked = span(request, len(content))
        shown = moved if asked and asked[0] > beyond else content
        connection.sendall(part(shown, *asked, tag(content)) if asked else all_of(content, tag(content)))
        return True

    return talk


def closing_often(content: bytes, each: int) -> Talk:
    """The connection ends, politely, after so many bytes of any body."""

    def talk(connection: socket.socket, request: Request) -> bool:
        asked = span(request, len(content))
        whole = part(content, *asked, tag(content)) if asked else all_of(content, tag(content))
        start = whole.index(b"\r\n\r\n") + 4
        connection.sendall(whole[: start + each])
        return len(whole) <= start + each

    return talk


def named(size: int) -> Talk:
    """A first byte of so many."""

    def talk(connection: socket.socket, request: Request) -> bool:
        connection.sendall(head("206 Partial Content", *KIND, f"Content-Range: bytes 0-0/{size}", "Content-Length: 1") + b"x")
        return True

    return talk


def silent(connection: socket.socket, request: Request) -> bool:
    """Takes the question and says nothing."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not select.select([connection], [], [], 0.2)[0]:
        pass
    return False


def endless_header(connection: socket.socket, request: Request) -> bool:
    """A header that does not end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    line = b"X-More: " + b"x" * 1000 + b"\r\n"
    for _ in range(20_000):
        connection.sendall(line)
    return False


def raw(answer: bytes) -> Talk:
    """Just that, and the end."""

    def talk(connection: socket.socket, request: Request) -> bool:
        connection.sendall(answer)
        return False

    return talk
