"""From what a server or a socket says to our errors; whether another try makes sense is decided here and nowhere else.

`where` is a host or a shown URL: no user, no query. Statuses are sorted as Nix does it, which has met most servers.
Source: https://github.com/NixOS/nix/blob/master/src/libstore/filetransfer.cc
"""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from conda_assets.errors import AccessDenied, AssetFailed, NetworkFailed, NotThere, TlsFailed, UpstreamChanged

__all__ = ["is_page", "is_recoded", "of_status", "of_tls", "retry_after_s", "told_s"]

_LATER = frozenset({408, 423, 425, 429, 430, 498, 499})
_BUSY = frozenset({429, 430, 503, 509, 529})
# Not implemented, version not supported, network login needed: the same tomorrow.
_NEVER = frozenset({501, 505, 511})
_SUFFIXES = {
    "gzip": (".gz", ".tgz", ".gzip", ".taz"),
    "compress": (".z", ".taz"),
    "bzip2": (".bz2", ".tbz2", ".tbz"),
    "xz": (".xz", ".txz"),
    "zstd": (".zst", ".tzst", ".conda"),
    "br": (".br",),
}


def of_status(asset: str, status: int, where: str, wait_s: float = 0.0) -> AssetFailed:
    """The error for a status that is neither a success nor a redirect. `wait_s`: what Retry-After asks for."""
    said = f"{where} answers {status}{_phrase(status)}"
    if status in (404, 410):
        return NotThere(asset, said)
    if status in (401, 403):
        return AccessDenied(asset, said)
    if status == 407:
        fix = "put them into the URL of that proxy, in `HTTPS_PROXY` or in `proxy_servers:` of ~/.condarc"
        return AccessDenied(asset, f"the proxy on the way to {where} wants a user and a password (407)", fix)
    if status == 412:
        return UpstreamChanged(asset, f"{where} has another version of the file now")
    if status in _LATER or (status >= 500 and status not in _NEVER):
        later = f", try again in {wait_s:.0f} s" if wait_s else ""
        return NetworkFailed(asset, said + later, wait_s, busy=status in _BUSY)
    return AssetFailed(asset, said)


def retry_after_s(value: str | None) -> float:
    """Seconds that a Retry-After header asks for, in either of its forms; 0 for none and for nonsense."""
    if not value:
        return 0.0
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text) if len(text) < 10 else 0.0
    from email.utils import parsedate_to_datetime  # 5 ms that nobody should wait for before aria2 starts

    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return 0.0
    return max(0.0, moment.timestamp() - time.time())


def told_s(date: str | None) -> float:
    """The time that a Date header tells, seconds since 1970; this machine's for none and for nonsense."""
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError):
        return time.time()


def of_tls(asset: str, host: str, error: BaseException) -> TlsFailed:
    """The error for a handshake that failed, with the reason that OpenSSL gives, as far down as it is hidden."""
    import ssl

    reason = ""
    seen: set[int] = set()
    queue: list[object] = [error]
    while queue:
        each = queue.pop()
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, ssl.SSLCertVerificationError) and each.verify_message:
            reason = each.verify_message
            break
        if isinstance(each, ssl.SSLError) and each.reason:
            reason = reason or str(each.reason).replace("_", " ").lower()
        if isinstance(each, OSError) and not isinstance(each, ssl.SSLError) and each.filename:
            reason = reason or f"{each.strerror}: {each.filename}"
        queue += [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]
    return TlsFailed(asset, f"no safe connection to {host}: {reason or 'the handshake failed'}")


def _phrase(status: int) -> str:
    from http import HTTPStatus

    try:
        return f" ({HTTPStatus(status).phrase})"
    except ValueError:
        return ""


def is_page(kind: str | None) -> bool:
    """A Content-Type of what is for people to look at."""
    return (kind or "").partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml")


def is_recoded(url: str, encoding: str | None) -> bool:
    """The body is not the file: it was compressed on the way although nobody asked for it.

    A server that calls `x.tar.gz` gzip-encoded sends the file as it is (Apache's AddEncoding does that).
    """
    codings = {each.strip().lower().removeprefix("x-") for each in (encoding or "").split(",")} - {"", "identity", "aws-chunked"}
    name = urlsplit(url).path.lower()
    return any(not name.endswith(_SUFFIXES.get(each, ())) for each in codings)
