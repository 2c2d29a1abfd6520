"""The way out of the centre: a proxy on loopback that connects to public addresses only.

Probes and aria2 are told to use it for every connection. It resolves a name itself, looks at each address, and connects to what
it has looked at: a redirect, or a name that leads elsewhere the second time (DNS rebinding), finds the same gate. Bytes inside
TLS pass through it unread.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from urllib.parse import urlsplit

from conda_assets.serve.addresses import is_address, is_public
from conda_assets.web.reach import target_of

__all__ = ["Gate"]

_LOG = logging.getLogger("conda_assets.serve")
_HEAD_BYTES = 32 << 10
_BLOCK_BYTES = 64 << 10
_HEAD_S, _CONNECT_S, _ANSWER_S = 30.0, 15.0, 120.0
_REMEMBERED_S = 120.0
# What is about this connection and not about the one that goes on from here.
_HOP = (b"proxy-authorization:", b"proxy-connection:", b"connection:", b"keep-alive:")

Resolve = Callable[[str, int], Awaitable[list[str]]]


class Gate:
    """Runs in a thread of its own from `start` to `close`. `permits`: whether an address may be connected to."""

    def __init__(self, permits: Callable[[str], bool] = is_public, resolve: Resolve | None = None) -> None:
        self._permits, self._resolve = permits, resolve or _resolve
        self._secret = secrets.token_urlsafe(24)
        self._loop = asyncio.new_event_loop()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._refused: deque[tuple[float, str]] = deque(maxlen=256)
        self._ours: set[int] = set()
        self._open: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)

    @property
    def url(self) -> str:
        """For settings of proxies; the password keeps other users of the machine out."""
        return f"http://gate:{self._secret}@127.0.0.1:{self._socket.getsockname()[1]}"

    def start(self) -> None:
        """Begin to take connections."""
        self._thread.start()

    def close(self) -> None:
        """Cut all connections and end."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def admit(self, port: int) -> None:
        """Let through to that port of 127.0.0.1: it is ours, and answers nobody who does not know a secret."""
        self._ours.add(port)

    def refused(self) -> set[str]:
        """Hosts that were asked for in the last two minutes and lead into a private network."""
        now = time.monotonic()
        return {host for at, host in list(self._refused) if now - at < _REMEMBERED_S}

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._socket.setblocking(False)
        accepting = self._loop.create_task(self._accept())
        self._loop.run_forever()
        for task in (accepting, *self._open):
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(accepting, *self._open, return_exceptions=True))
        self._socket.close()
        self._loop.close()

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._socket)
            task = self._loop.create_task(self._serve(client))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _serve(self, client: socket.socket) -> None:
        """One connection: a request, and then whatever the two ends say to each other."""
        with closing(client):
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(OSError, asyncio.TimeoutError, ValueError):
                head, rest = await asyncio.wait_for(self._read_head(client), _HEAD_S)
                await self._go_on(client, head, rest)

    async def _read_head(self, client: socket.socket) -> tuple[list[bytes], bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            block = await self._loop.sock_recv(client, _HEAD_BYTES)
            data += block
            if not block or len(data) > _HEAD_BYTES:
                raise ValueError("no request")
        head, _, rest = data.partition(b"\r\n\r\n")
        return head.split(b"\r\n"), rest

    async def _go_on(self, client: socket.socket, head: list[bytes], rest: bytes) -> None:
        method, target, version = head[0].split(b" ", 2)
        if not self._knows(head[1:]):
            await self._answer(client, "407 Proxy Authentication Required", "Proxy-Authenticate: Basic\r\n")
            return
        tunnel = method == b"CONNECT"
        parts = urlsplit(f"//{target.decode()}" if tunnel else target.decode())
        host, port = parts.hostname or "", parts.port or 80
        server = await self._connect(host, port)
        if server is None:
            await self._answer(client, "403 Forbidden")
            return
        with closing(server):
            if tunnel:
                await self._loop.sock_sendall(client, b"HTTP/1.1 200 Connected\r\n\r\n")
                first = rest
            else:
                where = target_of(parts)
                first = _closing(b" ".join([method, where.encode(), version]), head[1:], rest)
            await self._loop.sock_sendall(server, first)
            if not tunnel:
                # The next request of this client may be for another host: it shall not be sent here.
                answer, rest = await asyncio.wait_for(self._read_head(server), _ANSWER_S)
                await self._loop.sock_sendall(client, _closing(answer[0], answer[1:], rest))
            await self._relay(client, server)

    def _knows(self, lines: list[bytes]) -> bool:
        expected = b"Basic " + base64.b64encode(f"gate:{self._secret}".encode())
        given = next((line.partition(b":")[2].strip() for line in lines if line.lower().startswith(b"proxy-authorization:")), b"")
        return hmac.compare_digest(given, expected)

    async def _connect(self, host: str, port: int) -> socket.socket | None:
        """A connection to the host, None where one of its addresses is not permitted.

        Raises:
            OSError: it has no address, or none answers.
        """
        addresses = [host] if is_address(host) else await self._resolve(host, port)
        ours = host == "127.0.0.1" and port in self._ours
        if not addresses or not (ours or all(map(self._permits, addresses))):
            self._refused.append((time.monotonic(), host.lower()))
            _LOG.warning("refused a connection to %s port %d: not a public address", host, port)
            return None
        failure: OSError | None = None
        for address in addresses:
            server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
            server.setblocking(False)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                await asyncio.wait_for(self._loop.sock_connect(server, (address, port)), _CONNECT_S)
                return server
            except (OSError, asyncio.TimeoutError) as error:
                server.close()
                failure = error if isinstance(error, OSError) else OSError("no connection in time")
        raise failure or OSError("no address")

    async def _relay(self, client: socket.socket, server: socket.socket) -> None:
        both = [self._loop.create_task(self._pass(client, server)), self._loop.create_task(self._pass(server, client))]
        try:
            # When the server has said all it is over; a client may stop asking and still listen.
            await both[1]
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _pass(self, source: socket.socket, to: socket.socket) -> None:
        buffer = memoryview(bytearray(_BLOCK_BYTES))
        while count := await self._loop.sock_recv_into(source, buffer):
            await self._loop.sock_sendall(to, buffer[:count])
        with suppress(OSError):
            to.shutdown(socket.SHUT_WR)

    async def _answer(self, client: socket.socket, status: str, more: str = "") -> None:
        await self._loop.sock_sendall(
            client, f"HTTP/1.1 {status}\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )


def _closing(first: bytes, lines: list[bytes], rest: bytes) -> bytes:
    """A head that says that the connection ends with this message, and what follows it."""
    return b"\r\n".join([first, *(line for line in lines if not line.lower().startswith(_HOP)), b"Connection: close", b"", rest])


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
