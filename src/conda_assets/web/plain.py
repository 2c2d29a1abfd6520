"""The question before a transfer, asked with the standard library where that suffices: requests needs 70 ms before its first one.

Enough is: reached directly, nothing to prove to anybody, and an answer at once. Redirects and trouble with the connection are
looked into over `web.exchange`, which asks again and knows what they mean; that server is then asked this way no more.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from urllib.parse import urlsplit

from conda_assets.errors import NetworkFailed
from conda_assets.model import shown_url
from conda_assets.settings import Network
from conda_assets.web.alarm import alarm
from conda_assets.web.direct import context_of, is_plain
from conda_assets.web.header import WholeHeader
from conda_assets.web.reach import origin_of, target_of

__all__ = ["Plain", "PlainAnswer", "plain_of"]

_Origin = tuple[str, str, int]
_TROUBLE = (http.client.HTTPException, OSError, ValueError)


class _Open(http.client.HTTPConnection):
    response_class = WholeHeader


class _Safe(http.client.HTTPSConnection):
    response_class = WholeHeader


class Headers(Mapping[str, str]):
    """Names in any case; what was said several times stands there once, after commas."""

    def __init__(self, message: http.client.HTTPMessage) -> None:
        self._said: dict[str, str] = {}
        for name, value in message.items():
            name, before = name.lower(), self._said.get(name.lower())
            self._said[name] = value if before is None else f"{before}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._said[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._said)

    def __len__(self) -> int:
        return len(self._said)


class PlainAnswer:
    """Not a redirect: its status and what its header says. As `Exchange`, for who reads no body."""

    same_host = True

    def __init__(self, url: str, status: int, headers: Headers) -> None:
        self.url, self.status = url, status
        self.headers: Mapping[str, str] = headers

    def __enter__(self) -> PlainAnswer:
        return self

    def __exit__(self, *unused: object) -> None:
        """The connection has been let go of."""


class Plain:
    """Connections that stay open between questions; safe for several threads."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._lock = threading.Lock()
        self._idle: dict[_Origin, list[http.client.HTTPConnection]] = {}
        self._left_alone: set[_Origin] = set()

    def __del__(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.close()

    def get(self, asset: str, url: str, headers: Mapping[str, str]) -> PlainAnswer | None:
        """Ask; None where it is to be asked the other way.

        Raises:
            NetworkFailed: no answer in time; the other way would wait as long once more.
        """
        origin = origin_of(url)
        if origin in self._left_alone or not is_plain(url, self._network):
            return None
        limit_s = self._network.connect_timeout_s + self._network.read_timeout_s
        began = time.monotonic()
        try:
            if (answer := self._ask(origin, url, headers, limit_s)) is not None:
                return answer
        except _TROUBLE as error:
            if isinstance(error, TimeoutError) or time.monotonic() - began > limit_s - 1:
                raise NetworkFailed(
                    asset, f"{shown_url(url)} has not answered within {time.monotonic() - began:.0f} s"
                ) from error
        self._left_alone.add(origin)
        return None

    def _ask(self, origin: _Origin, url: str, headers: Mapping[str, str], limit_s: float) -> PlainAnswer | None:
        network = self._network
        given = {"User-Agent": network.user_agent, "Accept": "*/*", "Accept-Encoding": "identity", **headers}
        connection, stays = self._connection(origin), False
        try:
            # An answer that comes one byte a second would reset the socket's own limit each time.
            with alarm(limit_s, partial(_shut, connection)):
                if connection.sock is None:
                    connection.connect()
                connection.sock.settimeout(network.read_timeout_s)
                connection.request("GET", target_of(urlsplit(url)), headers=given)
                # Closed by itself: of an answer that is the connection's last one, it has the socket.
                with connection.getresponse() as said:
                    if said.status < 200 or 300 <= said.status < 400:
                        return None
                    answer = PlainAnswer(url, said.status, Headers(said.headers))
                    stays = said.length == 1 and bool(said.read(1)) and said.isclosed() and not said.will_close
            return answer
        finally:
            if stays:
                with self._lock:
                    self._idle.setdefault(origin, []).append(connection)
            else:
                connection.close()

    def _connection(self, origin: _Origin) -> http.client.HTTPConnection:
        scheme, host, port = origin
        with self._lock:
            while idle := self._idle.get(origin):
                kept = idle.pop()
                if not _has_ended(kept):
                    return kept
                kept.close()
        timeout_s = self._network.connect_timeout_s
        if scheme == "https":
            return _Safe(host, port, timeout=timeout_s, context=context_of(self._network))
        return _Open(host, port, timeout=timeout_s)


@lru_cache(maxsize=4)
def plain_of(network: Network) -> Plain:
    """The connections that all questions share."""
    return Plain(network)


def _shut(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _has_ended(connection: http.client.HTTPConnection) -> bool:
    """The server hung up, or says something that nobody has asked for."""
    held = connection.sock
    if held is None:
        return True
    held.settimeout(0)
    try:
        held.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    else:
        return True
