"""Where requests and urllib3 are touched: a connection that can be cut from outside, and what their exceptions mean."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

from conda_assets.web.header import WholeHeader

__all__ = ["CUT", "TROUBLE", "Adapter", "Wire", "told_apart"]

#: Everything that an exchange may end with; requests passes some of it on as it is.
TROUBLE = (requests.RequestException, HTTPError, http.client.HTTPException, OSError, UnicodeError)

#: The clause for a connection that ended in the middle of an answer.
CUT = "the connection was cut"
_INVALID = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidHeader,
    requests.exceptions.InvalidSchema,
    LocationParseError,
    UnicodeError,
)
_this_thread = threading.local()


class Wire:
    """The connection that one exchange uses at the moment. `late`: it was cut because time was up; the next exchange may try."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: HTTPConnection | None = None
        self._cut = False
        self.late = False

    @contextlib.contextmanager
    def tapped(self) -> Iterator[None]:
        """While this lasts, the connection that this thread asks through is ours to cut."""
        _this_thread.wire = self
        try:
            yield
        finally:
            _this_thread.wire = None

    def cut(self, *, late: bool = False) -> None:
        """End it now; a thread that waits for it wakes up with an error."""
        with self._lock:
            self.late, self._cut = self.late or late, self._cut or not late
            connection = self._connection
        if connection is not None:
            _shut(connection)

    def hold(self, connection: HTTPConnection) -> None:
        """Called by the connection before it asks, and when it has a socket."""
        with self._lock:
            self._connection, cut = connection, self._cut or self.late
        if cut:
            _shut(connection)
            raise ProtocolError("cut by us")


def _shut(connection: HTTPConnection) -> None:
    held = connection.sock
    if held is not None:
        with contextlib.suppress(OSError):
            held.shutdown(socket.SHUT_RDWR)


def _hold(connection: HTTPConnection) -> None:
    wire = getattr(_this_thread, "wire", None)
    if wire is not None:
        wire.hold(connection)


class _PlainConnection(HTTPConnection):
    response_class = WholeHeader

    def connect(self) -> None:
        _hold(self)
        super().connect()
        _hold(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _hold(self)
        super().request(*args, **kwargs)


class _SafeConnection(HTTPSConnection):
    response_class = WholeHeader

    def connect(self) -> None:
        _hold(self)
        super().connect()
        _hold(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _hold(self)
        super().request(*args, **kwargs)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _SafePool(HTTPSConnectionPool):
    ConnectionCls = _SafeConnection

    def _validate_conn(self, conn: Any) -> None:
        """Without the warning about `verify=False`: whoever set that knows it, and is told so elsewhere."""
        HTTPConnectionPool._validate_conn(self, conn)
        if conn.sock is None:
            conn.connect()


_POOLS = {"http": _PlainPool, "https": _SafePool}


class Adapter(HTTPAdapter):
    """requests' own, with connections that can be cut, and without retries: those are decided elsewhere."""

    def __init__(self, connections: int) -> None:
        super().__init__(pool_connections=connections, pool_maxsize=connections, max_retries=0, pool_block=False)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use our connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> urllib3.ProxyManager:
        """Use our connections there, too."""
        manager: urllib3.ProxyManager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


def told_apart(error: Exception) -> tuple[str, str]:
    """(`tls`, `network` or `url`; a clause without addresses, for people)."""
    if isinstance(error, requests.exceptions.SSLError) or _inside(error, urllib3.exceptions.SSLError) is not None:
        return "tls", ""
    if isinstance(error, requests.exceptions.InvalidHeader) and "Content-Length" in str(error):
        return "network", "announces two lengths that differ"
    if isinstance(error, _INVALID):
        return "url", "the URL or a header is not valid"
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException) and error.filename:
        return "tls", ""  # requests' way to say that the file of authorities is not there
    return "network", _clause(error)


def _clause(error: Exception) -> str:
    at_proxy = "the proxy: " if isinstance(error, requests.exceptions.ProxyError) else ""
    if at_proxy and any("407" in str(each) for each in _parts(error) if isinstance(each, OSError)):
        return "the proxy wants a user and a password (407)"
    # A connection that was never made is a timeout to urllib3, whatever the cause.
    if _inside(error, socket.gaierror) is not None or type(_inside(error, NewConnectionError)).__name__ == "NameResolutionError":
        return at_proxy + "the name cannot be resolved"
    if _inside(error, ConnectionRefusedError) is not None:
        return at_proxy + "refuses the connection"
    if _inside(error, NewConnectionError) is not None:
        cause = _inside(error, OSError)
        reason = cause.strerror if isinstance(cause, OSError) else None
        return at_proxy + f"cannot be reached ({(reason or 'no route to it').lower()})"
    if isinstance(error, requests.exceptions.ConnectTimeout) or _inside(error, ConnectTimeoutError) is not None:
        return at_proxy + "no connection in time"
    if isinstance(error, requests.exceptions.ReadTimeout) or _inside(error, ReadTimeoutError) is not None:
        return at_proxy + "silent for too long"
    if _inside(error, http.client.LineTooLong) is not None:
        return at_proxy + "sends a header without end"
    if any(isinstance(each, http.client.HTTPException) and "headers" in str(each) for each in _parts(error)):
        return at_proxy + "sends more headers than any server needs"
    return at_proxy + CUT


def _inside(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    """The first of that kind among what the error wraps; requests' own are OSErrors themselves and do not count."""
    found = (each for each in _parts(error) if isinstance(each, kind) and not isinstance(each, requests.RequestException))
    return next(found, None)


def _parts(error: BaseException) -> Iterator[BaseException]:
    """The error and everything that it wraps, outermost first."""
    seen: set[int] = set()
    queue: list[object] = [error]
    while queue:
        each = queue.pop(0)
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            queue += [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]
