"""What an HTTP server says about a file, asked with a ranged GET of one byte before anything is ordered from it.

aria2 takes what a server sends and gives no reasons; here a status, a redirect or a header
becomes a fact or an error with a name.
Sessions are kept per thread, so that probes of one host share a connection.
"""

from __future__ import annotations

import re
import threading
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote, urljoin, urlsplit

from conda_assets.errors import (
    AccessDenied,
    AssetFailed,
    FileMissing,
    InsecureRedirect,
    NetworkFailed,
    NotTheFile,
    NotThere,
    SizeMismatch,
    TlsFailed,
)
from conda_assets.model import Asset, Locked, host_of, last_part, shown_url
from conda_assets.settings import Network

if TYPE_CHECKING:
    import requests

__all__ = ["probe", "read_text", "session_of"]

_REDIRECTS = 10
_MOVED = (301, 302, 303, 307, 308)
# Worth another try later. Source: Nix's filetransfer.cc, which has the longest experience with public caches.
_LATER = (408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529)
# What a text file of a spec may have at most.
_TEXT_BYTES = 64 << 20
# A server that feeds its header byte by byte keeps every read alive; this ends it.
_PATIENCE_S = 60.0
_PAGES = (".html", ".htm", ".xhtml", ".php", ".asp", ".aspx")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")

_local = threading.local()


def probe(asset: Asset, url: str, network: Network) -> Locked:
    """Ask for the first byte and read what is said of the rest.

    The asset's headers go to the host of its `url` only.

    Raises:
        NotThere, AccessDenied, NotTheFile, SizeMismatch, InsecureRedirect, TlsFailed: for good.
        NetworkFailed: worth another try; with what the server asked for in Retry-After.
    """
    answer, final_url = _follow(asset, url, network)
    with answer:
        _check_status(asset.name, final_url, answer)
        _check_content(asset, final_url, answer)
        size_bytes, resumable = _size(asset.name, final_url, answer)
        if size_bytes is not None and not asset.fits(size_bytes):
            raise SizeMismatch(asset.name, asset.size_bytes or 0, size_bytes, shown_url(final_url))
        etag = answer.headers.get("ETag", "")
        return Locked(
            asset=asset,
            url=url,
            final_url=final_url,
            size_bytes=size_bytes,
            # A weak one allows other bytes. Source: RFC 9110, 8.8.1.
            etag=etag if etag.startswith('"') and etag.endswith('"') and len(etag) > 2 else None,
            modified=answer.headers.get("Last-Modified"),
            resumable=resumable,
            same_host=host_of(final_url) == host_of(url),
        )


def read_text(url: str, network: Network) -> str:
    """The text of a spec file on the web.

    Raises:
        FileMissing: it cannot be read, with the reason.
    """
    page = Asset(name=shown_url(url), url=url, path="page")
    try:
        answer, final_url = _follow(page, url, network, ranged=False)
        with answer:
            _check_status(page.name, final_url, answer)
            body = bytearray()
            for block in answer.iter_content(1 << 16):
                body += block
                if len(body) > _TEXT_BYTES:
                    raise FileMissing(f"{shown_url(url)} has more than {_TEXT_BYTES >> 20} MiB", "name an environment.yml")
        return body.decode("utf-8-sig")
    except AssetFailed as error:
        raise FileMissing(f"{shown_url(url)} cannot be read: {error.cause}", "check the URL in a browser") from error
    except UnicodeDecodeError as error:
        raise FileMissing(f"{shown_url(url)} is not UTF-8 text", "check the URL in a browser") from error


def session_of(network: Network) -> requests.Session:
    """This thread's session for that network."""
    sessions: dict[Network, requests.Session] = _local.__dict__.setdefault("sessions", {})
    if network not in sessions:
        import requests

        session = requests.Session()
        session.headers.update({"User-Agent": network.user_agent, "Accept": "*/*", "Accept-Encoding": "identity"})
        session.verify = network.verify
        session.cert = network.client_cert
        # Proxies and authorities come from the settings, credentials from the spec; nothing is picked up on the way.
        session.trust_env = network.verify is True
        sessions[network] = session
    return sessions[network]


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from looking into ~/.netrc by itself."""
    return request


def _follow(asset: Asset, url: str, network: Network, *, ranged: bool = True) -> tuple[requests.Response, str]:
    """The first answer that is no redirect, and where it came from."""
    began = time.monotonic()
    at = url
    for _ in range(_REDIRECTS + 1):
        answer = _ask(asset, at, network, ranged=ranged)
        if answer.status_code not in _MOVED or "Location" not in answer.headers:
            return answer, at
        answer.close()
        at = _next(asset.name, at, answer.headers["Location"])
        if time.monotonic() - began > _PATIENCE_S:
            raise NetworkFailed(asset.name, f"{shown_url(url)} leads from place to place for more than {_PATIENCE_S:.0f} s")
    raise InsecureRedirect(asset.name, f"{shown_url(url)} redirects more than {_REDIRECTS} times")


def _next(name: str, at: str, location: str) -> str:
    to = urljoin(at, location)
    scheme = urlsplit(to).scheme.lower()
    if scheme not in ("http", "https"):
        raise InsecureRedirect(name, f"{shown_url(at)} redirects to {scheme}:, expected http or https")
    if scheme == "http" and urlsplit(at).scheme.lower() == "https":
        raise InsecureRedirect(
            name, f"{shown_url(at)} redirects from https to {shown_url(to)}, which anybody may read and change"
        )
    return to


def _ask(asset: Asset, url: str, network: Network, *, ranged: bool) -> requests.Response:
    import requests

    headers = dict(asset.headers) if host_of(url) == host_of(asset.url) else {}
    if ranged:
        headers["Range"] = "bytes=0-0"
    session = session_of(network)
    parts = urlsplit(url)
    user = (unquote(parts.username), unquote(parts.password or "")) if parts.username else _no_auth
    try:
        return session.get(
            url,
            auth=user,
            headers=headers,
            stream=True,
            allow_redirects=False,
            timeout=(network.connect_timeout_s, network.read_timeout_s),
            proxies=dict(network.proxies),
        )
    except requests.exceptions.SSLError as error:
        raise TlsFailed(asset.name, f"{parts.hostname}: {_reason(error)}") from error
    except requests.exceptions.ProxyError as error:
        raise NetworkFailed(asset.name, f"the proxy on the way to {parts.hostname} fails: {_reason(error)}") from error
    except requests.exceptions.Timeout as error:
        raise NetworkFailed(asset.name, f"{shown_url(url)} does not answer in time") from error
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, UnicodeError) as error:
        raise NotThere(asset.name, f"{shown_url(url)} is no URL that can be asked") from error
    except requests.exceptions.RequestException as error:
        raise NetworkFailed(asset.name, f"{shown_url(url)}: {_reason(error)}") from error


_OBJECT = re.compile(r"<[^<>]* object at 0x[0-9a-f]+>:? ?|\(?Caused by \w+\(|HTTPS?ConnectionPool\([^)]*\): ?|Max retries[^(]*")


def _reason(error: Exception) -> str:
    """The innermost cause, as one clause; a URL in it may hold secrets and is left out."""
    cause: BaseException = error
    for _ in range(8):
        inner = (
            getattr(cause, "reason", None)
            or cause.__cause__
            or cause.__context__
            or next((each for each in cause.args if isinstance(each, BaseException)), None)
        )
        if not isinstance(inner, BaseException):
            break
        cause = inner
    words = getattr(cause, "strerror", None) or getattr(cause, "verify_message", None) or str(cause)
    words = _OBJECT.sub("", str(words)).strip(" ()'\"")
    return re.sub(r"\S+://\S+", "…", words) or type(cause).__name__


def _check_status(name: str, url: str, answer: requests.Response) -> None:
    status, shown = answer.status_code, shown_url(url)
    if status in (200, 206):
        return
    if status in (404, 410):
        raise NotThere(name, f"{shown} does not exist (status {status})")
    if status in (401, 403, 407):
        raise AccessDenied(name, f"{shown} wants credentials, or other ones (status {status})")
    if status == 416:
        # An empty file has no first byte.
        if answer.headers.get("Content-Range", "").endswith("/0"):
            return
        _refuse(name, shown, status)
    if status in _LATER:
        raise NetworkFailed(name, f"{shown} is busy or broken (status {status})", _retry_after(answer))
    _refuse(name, shown, status)


def _refuse(name: str, shown: str, status: int) -> NoReturn:
    raise AssetFailed(name, f"{shown} answers with status {status}")


def _retry_after(answer: requests.Response) -> float:
    """Seconds to wait, from either form of Retry-After. Source: RFC 9110, 10.2.3."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0


def _check_content(asset: Asset, url: str, answer: requests.Response) -> None:
    encoding = answer.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", ""):
        raise NotTheFile(asset.name, f"{shown_url(url)} sends the file {encoding}-encoded, although it was asked not to")
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    expected = (last_part(asset.url) or last_part(url)).lower()
    if kind in ("text/html", "application/xhtml+xml") and "." in expected and not expected.endswith(_PAGES):
        if asset.digest is not None and asset.size_bytes is not None:
            return  # the size fits, and the hash will tell
        raise NotTheFile(asset.name, f"{shown_url(url)} answers with an HTML page instead of {expected}: a login or a quota page")


def _size(name: str, url: str, answer: requests.Response) -> tuple[int | None, bool]:
    """(bytes of the whole file, whether ranges are served)."""
    if answer.status_code == 416:
        return 0, False
    if answer.status_code == 206:
        match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
        if match is None or match[1] != "0":
            raise NetworkFailed(name, f"{shown_url(url)} answers another range than it was asked for")
        return (None, False) if match[3] == "*" else (int(match[3]), True)
    length = answer.headers.get("Content-Length", "")
    return (int(length) if length.isdigit() else None), False
