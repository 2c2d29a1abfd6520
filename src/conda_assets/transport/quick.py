"""Small files, each by one plain GET over a connection that stays open: no question before it, no engine.

Only what goes well at once is taken: 200, the length that is known already, nothing recoded. Redirects, refusals and cuts are not
looked into here; the caller asks again the ordinary way, which knows what they mean, and the origin is left alone from then on.
So this needs none of a client's rules, and one thread that reads what has come serves all connections: with a thread for each,
2,000 files of 50 KB took 1 s more, because in Python threads wait for one another at each read.

    name, connect (a thread of its own) ─→ more connections ─→ request, header, body ─→ request, …

HTTP/2 was weighed and left out: what it spares is connections, and 16 of them that stay open cost 16 handshakes for any number of
files; h2 in Python takes more processor time a file than all of this.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Generic, TypeVar

from conda_assets.settings import Network
from conda_assets.transport.http1 import END, HEADER_BYTES, Unusual, is_last, request_of, rest_of_requests
from conda_assets.web.credentials import has_any_for
from conda_assets.web.direct import context_of, is_plain
from conda_assets.web.reach import asked_of, origin_of, simple_parts

__all__ = ["Quick"]

K = TypeVar("K")
_Origin = tuple[str, str, int]
_BEGUN = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EISCONN})


class Quick:
    """One batch of files at a time; `cut` and `close` may be called by other threads."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._loop: _Loop[object] | None = None
        self._cut = False
        # What stands before the path → whether that holds for any path, because thousands of URLs ask.
        self._open: dict[str, bool] = {}

    def takes(self, url: str) -> bool:
        """A plain URL that is reached directly, without anything to prove to anybody."""
        if (parts := simple_parts(url)) is None:
            return is_plain(url, self._network)
        place, _ = parts
        if place not in self._open:
            self._open[place] = is_plain(f"{place}/", self._network) and not has_any_for(origin_of(place))
        return self._open[place] or is_plain(url, self._network)

    def bring(self, files: Iterable[tuple[K, str, int]], connections: int) -> Generator[tuple[K, memoryview | None], None, None]:
        """Every file once, in the order of arrival: its bytes, or None where it is to be asked for the ordinary way.

        The bytes are there until the next file is asked for.

        Args:
            files: what to call it, its URL, its size in bytes.
            connections: to one origin at most.
        """
        loop: _Loop[K] = _Loop(self._network, connections)
        self._loop = loop  # type: ignore[assignment]  # only to be counted and cut
        try:
            if not self._cut:
                yield from loop.bring(files)
            else:
                yield from ((key, None) for key, _, _ in files)
        finally:
            loop.close()

    @property
    def connections(self) -> int:
        """So many are open."""
        return self._loop.connections if self._loop is not None else 0

    def cut(self) -> None:
        """End all connections, now: what has not come is given as None."""
        self._cut = True
        if self._loop is not None:
            self._loop.cut()


class _Ask(Generic[K]):
    """A file to ask for. `again`: a connection has let it down before."""

    __slots__ = ("again", "key", "size", "target")

    def __init__(self, key: K, target: str, size: int) -> None:
        self.key, self.target, self.size, self.again = key, target, size, False


class _Host(Generic[K]):
    """An origin, the files that wait for it, and its connections. `place`: family and address that were reached first.

    `rest`: what each request ends in.
    """

    def __init__(self, origin: _Origin, user_agent: str) -> None:
        self.scheme, self.name, self.port = origin
        self.rest = rest_of_requests(origin, user_agent)
        self.queue: deque[_Ask[K]] = deque()
        self.lines: set[_Line[K]] = set()
        self.place: tuple[int, tuple[object, ...]] | None = None
        self.answered = False
        self.most = 0


class _Line(Generic[K]):
    """A connection: which file it brings, and how far that is. `ready`: connected, shaken hands. `used`: has brought one.

    `room`: what has come of the answer, `got` bytes, header and all, so that nothing has to be copied. `start`: where the body
    begins, 0 until that is known; `end`: where it ends, until then where the room does.
    """

    __slots__ = ("ask", "end", "got", "host", "last", "ready", "room", "sock", "start", "used", "watched")

    def __init__(self, host: _Host[K], sock: socket.socket) -> None:
        self.host, self.sock = host, sock
        self.ask: _Ask[K] | None = None
        self.room = bytearray()
        self.got = self.start = self.end = self.watched = 0
        self.ready = self.used = self.last = False


class _Loop(Generic[K]):
    """Serves all connections of a batch in the thread that asks for its files."""

    def __init__(self, network: Network, connections: int) -> None:
        self._network, self._most = network, max(1, connections)
        self._selector = selectors.DefaultSelector()
        self._ears, self._mouth = socket.socketpair()
        self._ears.setblocking(False)
        self._selector.register(self._ears, selectors.EVENT_READ)
        self._reached: deque[tuple[_Host[K], socket.socket | None]] = deque()
        self._hosts: dict[_Origin, _Host[K]] = {}
        self._over: deque[tuple[K, memoryview | None]] = deque()
        # Used again: fresh memory costs as much as what is read into it.
        self._rooms: list[bytearray] = []
        self._cut = self._closed = False
        self._lock = threading.Lock()
        self.connections = 0

    def bring(self, files: Iterable[tuple[K, str, int]]) -> Iterator[tuple[K, memoryview | None]]:
        left = 0
        for key, url, size in files:
            left += 1
            origin, target = asked_of(url)
            host = self._hosts.get(origin)
            if host is None:
                host = self._hosts[origin] = _Host(origin, self._network.user_agent)
            host.queue.append(_Ask(key, target, size))
        for host in self._hosts.values():
            host.most = min(self._most, len(host.queue))
            threading.Thread(target=self._reach, args=(host,), name=f"reach {host.name}", daemon=True).start()
        while left:
            if not self._over:
                self._turn()
            while self._over:
                left -= 1
                key, body = self._over.popleft()
                yield key, body
                if body is not None:
                    self._rooms.append(body.obj)  # type: ignore[arg-type]
                    body.release()

    def cut(self) -> None:
        self._cut = True
        self._wake()

    def close(self) -> None:
        with self._lock:
            self._closed = True
        for host in self._hosts.values():
            for line in list(host.lines):
                self._drop(line)
        while self._reached:
            _, sock = self._reached.popleft()
            if sock is not None:
                sock.close()
        self._selector.close()
        self._ears.close()
        self._mouth.close()

    def _turn(self) -> None:
        """Wait until something has come, and take it."""
        for key, _ in self._selector.select():
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    self._ears.recv(64)
                self._greet()
            else:
                self._serve(key.data)
        if self._cut:
            for host in self._hosts.values():
                self._leave(host)
                for line in list(host.lines):
                    self._fail(line)

    # Connections

    def _reach(self, host: _Host[K]) -> None:
        """In a thread: the name looked up, and the first address that answers."""
        sock: socket.socket | None = None
        with contextlib.suppress(OSError, ValueError):
            sock = socket.create_connection((host.name, host.port), timeout=self._network.connect_timeout_s)
        with self._lock:
            if not self._closed:
                self._reached.append((host, sock))
                self._wake()
            elif sock is not None:
                sock.close()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._mouth.send(b"\0")

    def _greet(self) -> None:
        """The first connections of hosts that have been reached; the others come from it."""
        while self._reached:
            host, sock = self._reached.popleft()
            if sock is None:
                self._leave(host)
                continue
            try:
                host.place = sock.family, sock.getpeername()
            except OSError:
                self._leave(host)
                sock.close()
                continue
            self._open(host, sock)

    def _connect(self, host: _Host[K]) -> None:
        """One connection more, to the address that was reached first."""
        assert host.place is not None
        family, address = host.place
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        if sock.connect_ex(address) not in _BEGUN:
            sock.close()
            return
        self._open(host, sock)

    def _open(self, host: _Host[K], sock: socket.socket) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if host.scheme == "https":
            try:
                sock = context_of(self._network).wrap_socket(sock, server_hostname=host.name, do_handshake_on_connect=False)
            except (OSError, ValueError):
                sock.close()
                self._leave(host)
                return
        line = _Line(host, sock)
        host.lines.add(line)
        self.connections += 1
        self._watch(line, selectors.EVENT_WRITE)

    def _watch(self, line: _Line[K], events: int) -> None:
        if line.watched == events:
            return
        if line.watched:
            self._selector.modify(line.sock, events, line)
        else:
            self._selector.register(line.sock, events, line)
        line.watched = events

    def _drop(self, line: _Line[K]) -> None:
        line.host.lines.discard(line)
        self.connections -= 1
        if line.watched:
            self._selector.unregister(line.sock)
        line.sock.close()

    # Answers

    def _serve(self, line: _Line[K]) -> None:
        try:
            if not line.ready:
                self._shake(line)
                line.ready = True
                self._ask(line)
                # 1, 3, 7, 15: a server that has a short queue at its door drops what comes all at once.
                for _ in range(2):
                    self._again(line.host)
            else:
                self._read(line)
        except Unusual as error:
            self._fail(line, alone=error.alone, answered=True)
        except (OSError, ValueError) as error:
            if events := _awaited(error):
                self._watch(line, events)
            else:
                self._fail(line)

    def _shake(self, line: _Line[K]) -> None:
        if error := line.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        if line.host.scheme == "https":
            line.sock.do_handshake()  # type: ignore[attr-defined]  # wrapped

    def _ask(self, line: _Line[K]) -> None:
        """The next request; with none left, the connection goes."""
        host = line.host
        if not host.queue:
            self._drop(line)
            return
        line.ask = ask = host.queue.popleft()
        line.got, line.start, line.end = 0, 0, HEADER_BYTES + ask.size
        line.room = self._room(line.end)
        # Some hundred bytes into an empty buffer: what does not fit is no plain URL.
        request = request_of(ask.target, host.rest)
        if line.sock.send(request) != len(request):
            raise OSError("the request does not fit")
        self._watch(line, selectors.EVENT_READ)

    def _room(self, size: int) -> bytearray:
        """At least so many bytes, with anything in them."""
        if self._rooms and len(room := self._rooms.pop()) >= size:
            return room
        return bytearray(size)

    def _read(self, line: _Line[K]) -> None:
        """All that has come; ends by an exception where more has to."""
        if (ask := line.ask) is None:
            if line.sock.recv(1):
                raise ValueError("an answer without a question")
            return
        with memoryview(line.room) as room:
            while not line.start or line.got < line.end:
                line.got += _came(line.sock.recv_into(room[line.got : line.end]))
                if not line.start:
                    self._read_head(line, ask)
        self._finish(line, ask)

    def _read_head(self, line: _Line[K], ask: _Ask[K]) -> None:
        """Find where the body begins, once all of the header has come."""
        end = line.room.find(END, 0, line.got)
        if end < 0:
            if line.got > HEADER_BYTES:
                raise Unusual
            return
        line.last = is_last(bytes(line.room[:end]), ask.size)
        line.start = end + len(END)
        line.end = line.start + ask.size
        if line.got > line.end:
            raise Unusual

    def _finish(self, line: _Line[K], ask: _Ask[K]) -> None:
        body, line.ask = memoryview(line.room)[line.start : line.end], None
        line.used = line.host.answered = True
        self._over.append((ask.key, body))
        if line.last:
            self._drop(line)
            self._again(line.host)
        else:
            # Before anybody looks at this one: the server works meanwhile.
            self._ask(line)

    def _again(self, host: _Host[K]) -> None:
        """One connection more, if there is a file for it."""
        if host.queue and len(host.lines) < min(host.most, len(host.queue) + 1):
            self._connect(host)

    def _fail(self, line: _Line[K], *, alone: bool = False, answered: bool = False) -> None:
        """The connection goes. Its file is asked for once more if it may be the connection's fault."""
        host, ask, line.ask = line.host, line.ask, None
        self._drop(line)
        if ask is not None:
            if not (answered or ask.again or self._cut) and (line.used or host.answered):
                # Closed by the server since the last answer, or one connection more than it likes.
                ask.again = True
                host.queue.appendleft(ask)
                if not line.used:
                    host.most = max(1, len(host.lines))
            else:
                self._over.append((ask.key, None))
                if not alone:
                    self._leave(host)
        elif not line.ready and host.answered:
            host.most = max(1, len(host.lines))
        if not host.lines and not (line.used or host.answered or alone):
            self._leave(host)
        self._again(host)
        if host.queue and not host.lines:
            self._leave(host)

    def _leave(self, host: _Host[K]) -> None:
        """The origin is left alone; what is on its way still comes."""
        while host.queue:
            self._over.append((host.queue.popleft().key, None))


def _awaited(error: Exception) -> int:
    """What a socket has to be ready for before it goes on; 0 where it will not."""
    if isinstance(error, BlockingIOError):
        return selectors.EVENT_READ
    # There since the first https, if there was one.
    ssl = sys.modules.get("ssl")
    if ssl is not None and isinstance(error, (ssl.SSLWantReadError, ssl.SSLWantWriteError)):
        return selectors.EVENT_WRITE if isinstance(error, ssl.SSLWantWriteError) else selectors.EVENT_READ
    return 0


def _came(count: int) -> int:
    if not count:
        raise OSError("hung up")
    return count
