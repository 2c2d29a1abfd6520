"""A server on 127.0.0.1 that stands between aria2 and what must not get to it: credentials, and links that expire.

    aria2 ── GET /<nonce> ──→ broker ── asks the source where the file is now, and what it wants to see
          ←── 302, a link that is good now           where nothing has to be sent along: the bytes do not pass through here
          ←── 206, the origin's bytes                where headers must travel with the request, or the link ends in a moment

aria2 sends every header that it knows to whoever a redirect names, so it is told none. It asks the first URL again for each
connection, so each is led afresh; but on a connection that it keeps it stays with the link that it was given: one that does not
live long is used from here, and one that ends later costs another start of the transfer.
A redirect to another origin that is the answer to our headers is handed to aria2 without them.
"""

from __future__ import annotations

import contextlib
import http.server
import secrets
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from conda_assets.errors import AssetsError, NetworkFailed
from conda_assets.model import Fresh
from conda_assets.records import dataclass, field
from conda_assets.settings import Network
from conda_assets.transport.lead import Lead
from conda_assets.web.failures import of_status, retry_after_s

if TYPE_CHECKING:
    from conda_assets.web.exchange import Exchange
    from conda_assets.web.wire import Wire

__all__ = ["Broker", "Route"]

_ASKED = ("Range", "If-Range", "If-Match", "If-Unmodified-Since")
_ANSWERED = ("Content-Type", "Content-Encoding", "Content-Range", "Accept-Ranges", "ETag", "Last-Modified", "Retry-After")
# 416 and 412 are for aria2 to read, too, but say nothing that its own words would not.
_FINE = frozenset({200, 206, 416})
_BLOCK_BYTES = 1 << 18
# Links that are good for less are not handed out.
_SHORT_S = 60.0
_IDLE_S = 60.0
_LOOK_S = 0.1
_CLOSE_S = 10.0
# What of a URL may stand in a header as it is; the rest is percent-encoded.
_PRINTED = "%/:=&?~#+!$,;'@()*[]-._"


@dataclass(eq=False)
class Route:
    """One source of one job. `url`: what to give to aria2. `error`: what went wrong last, None after what went well."""

    job_id: str
    url: str = field(repr=False)
    lead: Lead
    error: AssetsError | None = None


class Broker:
    """Listens from the start; one thread a connection. Nothing is answered but GET and HEAD with a nonce of 128 bits."""

    def __init__(self, network: Network) -> None:
        from conda_assets.web.exchange import Web  # requests: 50 ms that only those who use the network pay

        self._web = Web(network, connections=64)
        self._routes: dict[str, Route] = {}
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._wires: set[Wire] = set()
        self._closing = False
        self._server = _Server(self)
        self._address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_LOOK_S,), name="broker", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self._server.server_address[1])

    def route(self, job_id: str, ask: Callable[[], Fresh]) -> Route:
        """A URL that leads where `ask` says, until it is dropped."""
        nonce = secrets.token_hex(16)
        self._routes[f"/{nonce}"] = route = Route(job_id, f"{self._address}/{nonce}", Lead(ask))
        return route

    def drop(self, route: Route) -> None:
        """Lead nobody there any more."""
        self._routes.pop(route.url.removeprefix(self._address), None)

    def close(self) -> None:
        """Hang up everywhere; returns when nothing is sent any more. Safe to call twice."""
        with self._lock:
            already, self._closing = self._closing, True
        if already:
            return
        self._routes.clear()
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            connections, wires = dict(self._connections), list(self._wires)
        for wire in wires:
            wire.cut()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        # A thread that waits for a source's own question ends with it, and has nobody left to answer.
        deadline = time.monotonic() + _CLOSE_S
        for thread in (self._thread, *connections.values()):
            thread.join(max(0.0, deadline - time.monotonic()))
        self._web.close()

    # For the connections' threads

    def find(self, path: str) -> Route | None:
        """The route of that path."""
        return self._routes.get(path)

    def ask(self, route: Route, method: str, headers: dict[str, str], wire: Wire) -> Exchange:
        """The origin's answer, at the end of the redirects that stay on it.

        Raises:
            AssetFailed: the source's, or that there is no answer.
        """

        def send(fresh: Fresh) -> Exchange:
            sent = dict(fresh.headers)
            return self._web.get(route.job_id, fresh.url, headers, secret=sent, wire=wire, method=method, abroad=False)

        return route.lead.through(send)

    @contextlib.contextmanager
    def wire(self) -> Iterator[Wire]:
        """A connection to an origin that ends with the broker."""
        from conda_assets.web.wire import Wire

        wire = Wire()
        with self._lock:
            self._wires.add(wire)
            closing = self._closing
        if closing:
            wire.cut()
        try:
            yield wire
        finally:
            with self._lock:
                self._wires.discard(wire)

    def converse(self, connection: socket.socket, address: object) -> None:
        """Begin a thread for a new connection."""
        thread = threading.Thread(target=self._converse, args=(connection, address), name="broker-connection", daemon=True)
        with self._lock:
            if not self._closing:
                self._connections[connection] = thread
                thread.start()
                return
        connection.close()

    def _converse(self, connection: socket.socket, address: object) -> None:
        try:
            # Whoever hangs up in the middle of a line has left.
            with contextlib.suppress(OSError):
                _Conversation(connection, address, self)
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()


class _Server(socketserver.TCPServer):
    request_queue_size = 256

    def __init__(self, broker: Broker) -> None:
        super().__init__(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
        self._broker = broker

    def process_request(self, request: Any, client_address: Any) -> None:
        self._broker.converse(request, client_address)


class _Conversation(http.server.BaseHTTPRequestHandler):
    """One connection of aria2, kept open between answers."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "conda-assets", ""
    disable_nagle_algorithm = True
    timeout = _IDLE_S

    def __init__(self, connection: socket.socket, address: object, broker: Broker) -> None:
        self._broker = broker
        super().__init__(connection, address, broker)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        route = self._broker.find(self.path)
        if route is None:
            self._say(404)
            return
        try:
            self._answer(route)
        except AssetsError as error:
            route.error = error
            # aria2 asks again after a 502, and gives up after a 500.
            self._say(502 if error.retryable else 500)

    do_HEAD = do_GET

    def log_message(self, *unused: object) -> None:
        """Nothing: a line would name a nonce."""

    def _answer(self, route: Route) -> None:
        """Lead on, or relay.

        Raises:
            AssetsError: nothing has been sent yet.
        """
        fresh = route.lead.now()
        if not fresh.headers and (fresh.good_for_s is None or fresh.good_for_s >= _SHORT_S):
            self._redirect(route, fresh.url)
            return
        headers = {name: self.headers[name] for name in _ASKED if name in self.headers}
        with self._broker.wire() as wire, self._broker.ask(route, self.command, headers, wire) as answer:
            if answer.leads_to is not None:
                self._redirect(route, answer.leads_to)
            else:
                self._relay(route, answer)

    def _redirect(self, route: Route, url: str) -> None:
        route.error = None
        self._say(302, ("Location", quote(url, safe=_PRINTED)))

    def _relay(self, route: Route, answer: Exchange) -> None:
        said, status = answer.headers, answer.status
        fine = status in _FINE
        wait_s = retry_after_s(said.get("Retry-After"))
        route.error = None if fine else of_status(route.job_id, status, answer.shown, wait_s)
        if not fine:
            self._say(status)
            return
        length = said.get("Content-Length", "") if "Transfer-Encoding" not in said else ""
        self.send_response(status)
        for name in _ANSWERED:
            value = said.get(name, "")
            if value and value.isprintable():
                self.send_header(name, value)
        self.send_header(*(("Content-Length", length) if length.isdigit() else ("Transfer-Encoding", "chunked")))
        self.end_headers()
        if self.command == "HEAD":
            return
        # aria2 may be slow on purpose.
        self.connection.settimeout(None)
        try:
            self._pass_on(answer, chunked=not length.isdigit())
            self.connection.settimeout(_IDLE_S)
        except NetworkFailed as error:
            # What was announced does not come: a cut there is a cut here.
            route.error = error
            self.close_connection = True

    def _pass_on(self, answer: Exchange, *, chunked: bool) -> None:
        for block in answer.blocks(_BLOCK_BYTES):
            if chunked:
                self.wfile.write(b"%x\r\n" % len(block))
            self.wfile.write(block)
            if chunked:
                self.wfile.write(b"\r\n")
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _say(self, status: int, *headers: tuple[str, str]) -> None:
        """An answer without a body."""
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", "0")):
            self.send_header(name, value)
        self.end_headers()
