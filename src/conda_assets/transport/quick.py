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
import ssl
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from conda_assets.settings import Network
from conda_assets.web.plain import context_of, is_plain
from conda_assets.web.reach import origin_of, target_of

__all__ = ["Quick"]

K = TypeVar("K")
_Origin = tuple[str, str, int]
# Headers of a plain answer are a few hundred bytes; who sends more is asked the ordinary way.
_HEADER_BYTES = 32 << 10
_SCRATCH_BYTES = 64 << 10
_END = b"\r\n\r\n"
_NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_BEGUN = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EISCONN})
_ANSWER = (b"HTTP/1.1 ", b"HTTP/1.0 ")


class Quick:
    """One batch of files at a time; `cut` and `close` may be called by other threads."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._loop: _Loop[object] | None = None
        self._cut = False

    def takes(self, url: str) -> bool:
        """A plain URL that is reached directly, without anything to prove to anybody."""
        return is_plain(url, self._network)

    def bring(self, files: Iterable[tuple[K, str, int]], connections: int) -> Generator[tuple[K, bytearray | None], None, None]:
        """Every file once, in the order of arrival: its bytes, or None where it is to be asked for the ordinary way.

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
    """An origin, the files that wait for it, and its connections. `place`: family and address that were reached first."""

    def __init__(self, origin: _Origin) -> None:
        self.scheme, self.name, self.port = origin
        self.queue: deque[_Ask[K]] = deque()
        self.lines: set[_Line[K]] = set()
        self.place: tuple[int, tuple[object, ...]] | None = None
        self.answered = False
        self.most = 0


class _Line(Generic[K]):
    """A connection: which file it brings, and how far that is. `ready`: connected, shaken hands. `used`: has brought one."""

    __slots__ = ("ask", "body", "got", "head", "host", "last", "ready", "sock", "used", "watched")

    def __init__(self, host: _Host[K], sock: socket.socket) -> None:
        self.host, self.sock = host, sock
        self.ask: _Ask[K] | None = None
        self.head: bytearray | None = None
        self.body = bytearray()
        self.got, self.watched = 0, 0
        self.ready = self.used = self.last = False


class _Unusual(Exception):
    """Not what this takes. `alone`: of this file only, and not of its server."""

    def __init__(self, *, alone: bool = False) -> None:
        super().__init__()
        self.alone = alone


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
        self._over: deque[tuple[K, bytearray | None]] = deque()
        self._scratch = bytearray(_SCRATCH_BYTES)
        self._view = memoryview(self._scratch)
        self._cut = self._closed = False
        self._lock = threading.Lock()
        self.connections = 0

    def bring(self, files: Iterable[tuple[K, str, int]]) -> Iterator[tuple[K, bytearray | None]]:
        left = 0
        for key, url, size in files:
            left += 1
            origin = origin_of(url)
            host = self._hosts.get(origin)
            if host is None:
                host = self._hosts[origin] = _Host(origin)
            host.queue.append(_Ask(key, target_of(urlsplit(url)), size))
        for host in self._hosts.values():
            host.most = min(self._most, len(host.queue))
            threading.Thread(target=self._reach, args=(host,), name=f"reach {host.name}", daemon=True).start()
        while left:
            if not self._over:
                self._turn()
            while self._over:
                left -= 1
                yield self._over.popleft()

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
        except ssl.SSLWantWriteError:
            self._watch(line, selectors.EVENT_WRITE)
        except _NOT_YET:
            self._watch(line, selectors.EVENT_READ)
        except _Unusual as error:
            self._fail(line, alone=error.alone, answered=True)
        except (OSError, ValueError):
            self._fail(line)

    def _shake(self, line: _Line[K]) -> None:
        if error := line.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        if isinstance(line.sock, ssl.SSLSocket):
            line.sock.do_handshake()

    def _ask(self, line: _Line[K]) -> None:
        """The next request; with none left, the connection goes."""
        host = line.host
        if not host.queue:
            self._drop(line)
            return
        line.ask = ask = host.queue.popleft()
        line.head, line.got = bytearray(), 0
        # Some hundred bytes into an empty buffer: what does not fit is no plain URL.
        request = self._request(host, ask.target)
        if line.sock.send(request) != len(request):
            raise OSError("the request does not fit")
        self._watch(line, selectors.EVENT_READ)

    def _request(self, host: _Host[K], target: str) -> bytes:
        name = f"[{host.name}]" if ":" in host.name else host.name
        if host.port != {"http": 80, "https": 443}[host.scheme]:
            name += f":{host.port}"
        lines = (f"GET {target} HTTP/1.1", f"Host: {name}", f"User-Agent: {self._network.user_agent}", "Accept: */*",
                 "Accept-Encoding: identity")  # fmt: skip
        if not all(line.isprintable() for line in lines):
            raise ValueError("a line break in a request")
        return "\r\n".join(lines).encode("latin-1") + _END

    def _read(self, line: _Line[K]) -> None:
        """All that has come; ends by an exception where more has to."""
        while line.ask is not None:
            if line.head is not None:
                self._read_head(line, line.ask, line.head)
            else:
                line.got += _came(line.sock.recv_into(memoryview(line.body)[line.got :]))
            if line.head is None and line.got == line.ask.size:
                self._finish(line, line.ask)
        if line in line.host.lines and line.sock.recv(1):
            raise ValueError("an answer without a question")

    def _read_head(self, line: _Line[K], ask: _Ask[K], head: bytearray) -> None:
        count = _came(line.sock.recv_into(self._scratch))
        # The end of the header may stand across two reads.
        seen = max(0, len(head) - len(_END))
        head += self._view[:count]
        end = head.find(_END, seen)
        if end < 0:
            if len(head) > _HEADER_BYTES:
                raise _Unusual
            return
        line.last = _length(bytes(head[:end]), ask.size)
        came = len(head) - end - len(_END)
        if came > ask.size:
            raise _Unusual
        line.body = bytearray(ask.size)
        line.body[:came] = memoryview(head)[end + len(_END) :]
        line.head, line.got = None, came

    def _finish(self, line: _Line[K], ask: _Ask[K]) -> None:
        body, line.ask, line.body = line.body, None, bytearray()
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


def _came(count: int) -> int:
    if not count:
        raise OSError("hung up")
    return count


def _length(head: bytes, size: int) -> bool:
    """Whether the answer is the connection's last one.

    Raises:
        _Unusual: it is not a whole file of that size, plainly given.
    """
    first, *lines = head.split(b"\r\n")
    if not first.startswith(_ANSWER):
        raise _Unusual
    status, last = first[9:12], first.startswith(_ANSWER[1])
    if status != b"200":
        raise _Unusual(alone=status in (b"404", b"410"))
    length = None
    for each in lines:
        name, colon, value = each.partition(b":")
        name, value = name.lower(), value.strip()
        if not colon or name == b"transfer-encoding" or (name == b"content-length" and length not in (None, value)):
            raise _Unusual
        if name == b"content-length":
            length = value
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise _Unusual
        elif name == b"connection":
            last = last or value.lower() == b"close"
    if length is None or not length.isdigit() or int(length) != size:
        raise _Unusual
    return last
