"""One HTTP exchange at a time, over requests: redirects without leaks, time limits that hold, failures as our errors.

What requests alone does not do: an answer that comes one byte a second ends in time, a reader in another thread is woken up
at once, a header for one host never reaches another, https never leads to http, and nothing is read from ~/.netrc.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import requests
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar

from conda_assets.errors import AssetFailed, InsecureRedirect, NetworkFailed
from conda_assets.model import shown_url
from conda_assets.records import dataclass, field
from conda_assets.settings import Network
from conda_assets.web import failures
from conda_assets.web.alarm import alarm
from conda_assets.web.reach import authorities, origin_of, proxy_for
from conda_assets.web.wire import CUT, TROUBLE, Adapter, Wire, told_apart

__all__ = ["Exchange", "Web"]

_MOST_REDIRECTS = 10
_SHORT_BYTES, _LEAVE_S = 1 << 14, 2.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked at each stage of a chain of redirects; see `Web.get`."""

    method: str
    headers: Mapping[str, str] = field(repr=False)
    secret: Mapping[str, str] = field(repr=False)
    abroad: bool


class Exchange:
    """An answer whose body has not been read yet. `url`: where redirects ended; `same_host`: on the origin that was asked.

    `leads_to`: the URL on another origin that it redirects to, where that was to be told and not followed.
    Closing it hangs up, unless the rest of the body is short.
    """

    def __init__(
        self, asset: str, response: requests.Response, wire: Wire, *, same_host: bool, leads_to: str | None = None
    ) -> None:
        self._asset, self._response, self._wire = asset, response, wire
        self.leads_to = leads_to
        self.url = str(response.url)
        self.status = response.status_code
        self.same_host = same_host
        self.headers: Mapping[str, str] = response.headers

    @property
    def shown(self) -> str:
        """What answered, for messages."""
        return shown_url(self.url)

    def blocks(self, most_bytes: int) -> Iterator[bytes]:
        """The body as it arrives, without decoding; no block is empty or larger than `most_bytes`.

        Raises:
            NetworkFailed: a cut, or silence for longer than the read timeout.
        """
        raw = self._response.raw
        # read1 gives what is there; older urllib3 has it not, and waits for a whole block: a small one then.
        read1 = getattr(raw, "read1", None)
        try:
            while block := read1(most_bytes) if read1 is not None else raw.read(min(most_bytes, 1 << 14)):
                yield block
        except TROUBLE as error:
            raise _mapped(self._asset, self.url, error) from error

    def abort(self) -> None:
        """Wake up whoever reads; safe from another thread."""
        self._wire.cut()

    def close(self) -> None:
        """Let go of it: a body that was not read is not wanted."""
        _leave(self._response, self._wire)

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


class Web:
    """A pool of connections and the way to use it; safe for several threads."""

    def __init__(self, network: Network, *, connections: int = 16) -> None:
        trusted = authorities(network, os.environ)
        self._network = network
        self._verify: bool | str = network.verify is not False and (str(trusted) if trusted else True)
        self._adapter = Adapter(connections)

    def get(
        self,
        asset: str,
        url: str,
        headers: Mapping[str, str],
        *,
        secret: Mapping[str, str] | None = None,
        limit_s: float | None = None,
        wire: Wire | None = None,
        method: str = "GET",
        abroad: bool = True,
    ) -> Exchange:
        """Ask for a URL and follow its redirects; the answer may have any status but a redirect's.

        Args:
            secret: headers for the origin of `url` only; once a redirect has left it they are never sent again.
            limit_s: until the answer's header is there, all redirects together; default: the connect and read timeouts.
            wire: given by whoever wants to `cut` it from another thread while this waits.
            method: GET or HEAD.
            abroad: False: a redirect to another origin is not followed; it is the answer, and `leads_to` says where to.

        Raises:
            NetworkFailed: no answer, or not in time.
            TlsFailed: the certificate or the handshake.
            InsecureRedirect: to http, to another scheme, or too many.
        """
        if not origin_of(url)[1]:
            raise AssetFailed(asset, "the URL names no host")
        wire = wire or Wire()
        wire.late = False
        limit = limit_s or self._network.connect_timeout_s + self._network.read_timeout_s
        try:
            with alarm(limit, partial(wire.cut, late=True)):
                return self._follow(asset, url, _Question(method, headers, dict(secret or {}), abroad), wire)
        except AssetFailed:
            if wire.late:
                raise NetworkFailed(asset, f"{shown_url(url)} has not answered within {limit:g} s") from None
            raise

    def send(
        self, asset: str, method: str, url: str, headers: Mapping[str, str], body: Any, *, read_s: float | None = None
    ) -> Exchange:
        """Ask with a body, once and nobody else; the answer may have any status. `read_s`: of silence, default the read timeout.

        `body`: bytes, or a file that knows its length. A server that refuses may do so before it has all of it.

        Raises:
            NetworkFailed, TlsFailed: as `get`.
        """
        wire = Wire()
        answered = self._send(RequestsCookieJar(), asset, url, (method, headers), wire, body=body, read_s=read_s)
        return Exchange(asset, answered, wire, same_host=True)

    def close(self) -> None:
        """Hang up everywhere."""
        self._adapter.close()

    def _follow(self, asset: str, url: str, question: _Question, wire: Wire) -> Exchange:
        # Some sites give a cookie with a redirect and want it back.
        same_host, cookies = True, RequestsCookieJar()
        for _ in range(_MOST_REDIRECTS + 1):
            headers = {**question.headers, **(question.secret if same_host else {})}
            response = self._send(cookies, asset, url, (question.method, headers), wire)
            location = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or not location:
                return Exchange(asset, response, wire, same_host=same_host)
            _leave(response, wire)
            target = _redirected(asset, url, location)
            same_host = same_host and origin_of(target) == origin_of(url)
            if not same_host and not question.abroad:
                return Exchange(asset, response, wire, same_host=True, leads_to=target)
            url = target
        raise InsecureRedirect(asset, f"more than {_MOST_REDIRECTS} redirects, the last to {shown_url(url)}")

    def _send(
        self,
        cookies: RequestsCookieJar,
        asset: str,
        url: str,
        asked: tuple[str, Mapping[str, str]],
        wire: Wire,
        *,
        body: Any = None,
        read_s: float | None = None,
    ) -> requests.Response:
        """One request through the adapter: a session would look at where a redirect leads, and read all of its body."""
        method, headers = asked
        proxy = proxy_for(url, self._network.proxies)
        given = {"User-Agent": self._network.user_agent, "Accept": "*/*", "Accept-Encoding": "identity", **headers}
        try:
            request = requests.Request(method, url, headers=given, cookies=cookies, data=body).prepare()
            with wire.tapped():
                response = self._adapter.send(
                    request,
                    stream=True,
                    timeout=(self._network.connect_timeout_s, read_s or self._network.read_timeout_s),
                    proxies={urlsplit(url).scheme.lower(): proxy} if proxy else {},
                    verify=self._verify,
                    cert=self._network.client_cert,
                )
            extract_cookies_to_jar(cookies, request, response.raw)  # type: ignore[no-untyped-call, unused-ignore]
            return response
        except TROUBLE as error:
            raise _mapped(asset, url, error) from error


def _leave(response: requests.Response, wire: Wire) -> None:
    """Let go of an answer whose body is not wanted; a short one is read, so that the connection can be used again."""
    length = response.headers.get("Content-Length", "")
    if response.request.method == "HEAD" or (length.isdigit() and int(length) <= _SHORT_BYTES):
        with contextlib.suppress(*TROUBLE), alarm(_LEAVE_S, partial(wire.cut, late=True)):
            response.raw.read(decode_content=False)
    response.close()


def _redirected(asset: str, url: str, location: str) -> str:
    """Where a redirect leads, without user and fragment.

    Raises:
        InsecureRedirect: from https to something else, or to a scheme that is not HTTP.
    """
    # Servers send UTF-8 there, which http.client reads as latin-1.
    with contextlib.suppress(UnicodeError):
        location = location.encode("latin-1").decode("utf-8")
    before = origin_of(url)
    try:
        target = urldefrag(urljoin(url, location)).url
        parts = urlsplit(target)
    except ValueError as error:
        raise InsecureRedirect(asset, f"{before[1]} redirects to something that is no URL") from error
    target = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    after = origin_of(target)
    if after[0] not in ("http", "https") or not after[1]:
        raise InsecureRedirect(asset, f"{before[1]} redirects to {shown_url(target)!r}, which is not HTTP")
    if before[0] == "https" and after[0] == "http":
        raise InsecureRedirect(asset, f"{before[1]} redirects from https to http ({shown_url(target)})")
    return target


def _mapped(asset: str, url: str, error: Exception) -> AssetFailed:
    """Everything that requests and urllib3 raise, told apart by kind and not by text where that is possible."""
    kind, detail = told_apart(error)
    if kind == "tls":
        return failures.of_tls(asset, urlsplit(url).hostname or "", error)
    if kind == "url":
        return AssetFailed(asset, f"{shown_url(url)} cannot be asked for: {detail}")
    return NetworkFailed(asset, f"{shown_url(url)}: {detail}", cut=detail == CUT)
