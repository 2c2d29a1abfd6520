"""Who comes in: Host and Origin are looked at before anything else, then the token, the session, or what a trusted proxy says.

Every answer leaves with headers that keep a browser from doing more with it than was meant.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse

from conda_assets.errors import CentreRefused, NotAllowed, NotSignedIn, TooOften
from conda_assets.serve.accounts import Person
from conda_assets.serve.centre import Centre
from conda_assets.serve.options import ServeOptions

__all__ = ["COOKIE", "Door", "address_of", "is_here", "is_safe", "person_of", "refused"]

COOKIE = "session"

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Scripts, styles and connections from here and nowhere else; no frames, no forms that go elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Door:
    """ASGI around ASGI. A request with a foreign Host (DNS rebinding) or Origin (another site's page) does not get in."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], options: ServeOptions) -> None:
        self._app, self._options = app, options
        self._hosts = {*_LOCAL_NAMES, options.host.lower(), *(each.lower() for each in options.hosts)}
        self._origins = {each.rstrip("/").lower() for each in options.origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        foreign = self._origins if scope["path"] == "/jsonrpc" else set()
        origin = headers.get("origin", "").lower()
        if fault := self._fault(headers.get("host", ""), origin, foreign):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            else:
                await _leaving(refused(NotAllowed(fault)), scope, receive, send, self._more())
            return
        more = self._more()
        if origin in foreign:
            more |= {"access-control-allow-origin": origin, "access-control-allow-headers": "content-type", "vary": "origin"}
            more["cross-origin-resource-policy"] = "cross-origin"
        await _leaving(self._app, scope, receive, send, more)

    def _fault(self, host: str, origin: str, foreign: set[str]) -> str:
        name = _name_of(host)
        if name not in self._hosts:
            return f"this centre is not called {name!r}; an administrator can allow that with `--allow-host`"
        if origin and origin not in foreign and (urlsplit(origin).netloc.lower() if origin != "null" else "") != host.lower():
            return f"a page of {origin} may not ask here"
        return ""

    def _more(self) -> dict[str, str]:
        return {"strict-transport-security": "max-age=31536000"} if self._options.is_safe else {}


def person_of(request: HTTPConnection, centre: Centre) -> Person:
    """Who asks: by token, by session, or by what a trusted proxy says.

    Raises:
        NotSignedIn: nobody. NotAllowed: a session without its word.
    """
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return centre.accounts.by_token(token.strip())
    method = request.scope.get("method", "GET")
    if secret := request.cookies.get(COOKIE):
        person = centre.accounts.by_session(secret)
        if method not in _SAFE_METHODS and not hmac.compare_digest(request.headers.get("x-csrf-token", ""), person.csrf):
            raise NotAllowed("the header X-CSRF-Token is missing or wrong", "send what `csrf` of GET /api/v1/me says")
        return person
    if (
        (header := centre.options.trust_header)
        and _peer(request) in centre.options.proxies
        and (name := request.headers.get(header))
    ):
        if method not in _SAFE_METHODS and "x-csrf-token" not in request.headers:
            raise NotAllowed("the header X-CSRF-Token is missing", "send any value: another site's page cannot")
        return centre.accounts.by_header(name, "member")
    raise NotSignedIn("who are you?", "send `Authorization: Bearer TOKEN`, or sign in on the page")


def address_of(request: HTTPConnection, centre: Centre) -> str:
    """Where the request comes from; behind a trusted proxy, what that says last."""
    peer = _peer(request)
    said = request.headers.get("x-forwarded-for", "")
    return said.rpartition(",")[2].strip() or peer if peer in centre.options.proxies else peer


def is_here(request: HTTPConnection, centre: Centre) -> bool:
    """It comes from this machine, and not through a proxy on it: that hands on by which name it was called, or from where."""
    try:
        here = ipaddress.ip_address(address_of(request, centre)).is_loopback
    except ValueError:
        return False
    return here and _name_of(request.headers.get("host", "")) in _LOCAL_NAMES


def is_safe(request: HTTPConnection, centre: Centre) -> bool:
    """The browser speaks TLS, with us or with a trusted proxy: a cookie can be kept from plain HTTP."""
    said = request.headers.get("x-forwarded-proto", "").lower() == "https" and _peer(request) in centre.options.proxies
    return centre.options.is_safe or said


def refused(error: CentreRefused) -> JSONResponse:
    """The answer for an error."""
    headers = {}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, TooOften):
        headers["retry-after"] = str(error.after_s)
    return JSONResponse({"error": error.to_json()}, status_code=error.status, headers=headers)


async def _leaving(app: Callable[..., Awaitable[None]], scope: Scope, receive: Receive, send: Send, more: dict[str, str]) -> None:
    """Run it, and put our headers on what it answers."""

    async def dress(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            extra = {**_HEADERS, "cache-control": "no-store", **more}
            message["headers"] = [
                *message["headers"],
                *((name.encode(), value.encode()) for name, value in extra.items() if name.encode() not in there),
            ]
        await send(message)

    await app(scope, receive, dress)


def _peer(request: HTTPConnection) -> str:
    return request.client.host if request.client else ""


def _name_of(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
    except ValueError:
        return ""
