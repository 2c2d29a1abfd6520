"""What an HTTP server says about a file, asked with a ranged GET of one byte before anything is ordered from it.

aria2 takes what a server sends and gives no reasons; here a status, a redirect or a header becomes a fact or an error.
HEAD is not used: signed URLs refuse it, and many servers answer it otherwise than GET.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from conda_assets.digest import hash_of
from conda_assets.errors import AssetFailed, FileMissing, NotTheFile, SizeMismatch
from conda_assets.model import Asset, Fresh, Locked, last_part, shown_url
from conda_assets.records import dataclass, replace
from conda_assets.regexes import regex
from conda_assets.settings import Network
from conda_assets.sources.asking import ask, body_of, links_of, strong_etag, web_of
from conda_assets.sources.checksums import beside, of_headers, strongest
from conda_assets.web.credentials import credentials_for
from conda_assets.web.failures import is_page, is_recoded, of_status, retry_after_s
from conda_assets.web.plain import plain_of
from conda_assets.web.reach import origin_of

if TYPE_CHECKING:
    from conda_assets.web.exchange import Exchange
    from conda_assets.web.plain import PlainAnswer

    _Told = PlainAnswer | Exchange

__all__ = ["expand", "is_pattern", "probe", "read_text", "vouch"]

_CONTENT_RANGE = regex(r"bytes\s+(\d+)-(\d+)/(\d+|\*)")
_ONE_BYTE = {"Range": "bytes=0-0"}
# A header of the user's that would make another question of ours.
_OURS = frozenset({"range", "if-range", "if-match", "if-none-match", "accept-encoding", "host", "connection", "content-length"})
_PAGES = (".html", ".htm", ".xhtml", ".php", ".asp", ".aspx", ".jsp", ".cgi")
# What a spec on the web may have at most, compressed or not.
_TEXT_BYTES = 64 << 20
_METALINK_BYTES = 4 << 20
_MOST_MIRRORS = 16


@dataclass(frozen=True, slots=True)
class _Said:
    """`size_bytes`: of the whole file, None where the server does not say. `ends`: a cut is told from the end."""

    size_bytes: int | None
    resumable: bool
    ends: bool = True


def probe(asset: Asset, url: str, network: Network) -> Locked:
    """Ask for the first byte and read what is said of the rest; safe for several threads, which share connections.

    The asset's headers go to the origin of its `url` only, and no further than its first redirect elsewhere. Without an
    Authorization of its own it gets what this machine knows for that host.

    Raises:
        NotThere, AccessDenied, NotTheFile, SizeMismatch, InsecureRedirect, TlsFailed: for good.
        NetworkFailed: worth another try; with what the server asked for in Retry-After.
    """
    secret = _secret(asset) if origin_of(url) == origin_of(asset.url) else {}
    # What this machine knows is its owner's: a download centre fetches for others.
    ours = network.admit is None and not any(name.lower() == "authorization" for name in secret)
    known = credentials_for(url) if ours else None
    if known is not None:
        known = Fresh(known.url, (*secret.items(), *known.headers))
    asked = known or Fresh(url, tuple(secret.items()))
    answer, said = _ask(network, asset, asked.url, dict(asked.headers))
    headers = answer.headers
    _check_content(asset, answer, said)
    size_bytes = said.size_bytes
    if size_bytes is not None and not asset.fits(size_bytes):
        raise SizeMismatch(asset.name, asset.size_bytes or 0, size_bytes, shown_url(answer.url))
    digest, vouched_by = of_headers(headers, answer.status, urlsplit(answer.url).hostname or "") or (None, "")
    if not said.ends and not (digest or asset.digest or asset.size_bytes):
        where, fix = shown_url(answer.url), f"give `{asset.name}` a `sha256:`, or at least a `size:`"
        raise NotTheFile(asset.name, f"{where} does not say how long the file is, so a part of it would pass for all of it", fix)
    return Locked(
        asset=asset,
        url=url,
        # A token in the URL is for nobody's eyes.
        final_url=url if known else answer.url,
        size_bytes=size_bytes,
        etag=strong_etag(headers),
        modified=headers.get("Last-Modified"),
        resumable=said.resumable,
        same_host=answer.same_host,
        digest=digest,
        vouched_by=vouched_by,
        # Mirrors are not believed, they are held against the digest.
        also_at=_duplicates(answer) if digest or asset.digest else (),
        fresh=(lambda: known) if known else None,
        page=is_page(headers.get("Content-Type")),
    )


def vouch(asset: Asset, locked: Locked, network: Network) -> Locked:
    """Look for a digest in a Metalink that the server names, then in files of checksums beside the file; up to ten requests.

    What cannot be read vouches for nothing: the same record comes back then.
    """
    own = _secret(asset) if origin_of(locked.url) == origin_of(asset.url) else {}
    asked = locked.fresh() if locked.fresh else Fresh(locked.url, tuple(own.items()))
    secret = dict(asked.headers)
    with suppress(AssetFailed, ValueError):
        answer, _ = _ask(network, asset, asked.url, secret)
        described = next((url for url, said in links_of(answer) if _describes(said)), None)
        if described is not None:
            mine = secret if origin_of(described) == origin_of(locked.url) else {}
            told = ask(asset.name, described, network, secret=mine, most_bytes=_METALINK_BYTES)
            locked = _with_metalink(locked, told.body) if told.status == 200 else locked
    return locked if locked.digest else beside(locked, network, secret)


def is_pattern(url: str) -> bool:
    """HTTP has no folders: a URL is a file."""
    return False


def expand(asset: Asset, url: str, network: Network) -> tuple[tuple[str, str], ...]:
    """Never asked for: no HTTP URL is a pattern."""
    raise AssetFailed(asset.name, f"{shown_url(url)} is one file")


def read_text(url: str, network: Network) -> str:
    """The text of a spec file on the web.

    Raises:
        FileMissing: it cannot be read, with the reason.
    """
    shown = shown_url(url)
    try:
        with web_of(network).get(shown, url, {}) as answer:
            if answer.status != 200:
                raise of_status(shown, answer.status, shown_url(answer.url))
            body = body_of(shown, answer, _TEXT_BYTES)
        return _decoded(body, answer.headers.get("Content-Encoding", "")).decode("utf-8-sig")
    except AssetFailed as error:
        raise FileMissing(f"{shown} cannot be read: {error.cause}", "check the URL in a browser") from error
    except (UnicodeDecodeError, zlib.error) as error:
        raise FileMissing(f"{shown} is not UTF-8 text", "check the URL in a browser") from error


def _secret(asset: Asset) -> dict[str, str]:
    return {name: value for name, value in asset.headers.items() if name.lower() not in _OURS}


def _ask(network: Network, asset: Asset, url: str, secret: Mapping[str, str]) -> tuple[_Told, _Said]:
    """The answer, whose body is not wanted, and what it says of the file."""
    for headers in (_ONE_BYTE, {}):
        plain = plain_of(network).get(asset.name, url, headers) if headers and not secret else None
        with plain or web_of(network).get(asset.name, url, headers, secret=secret) as answer:
            status = answer.status
            if status == 206 and (said := _of_range(answer)) is not None:
                return answer, said
            if status == 200:
                length = _length(answer)
                ends = length is not None or "Transfer-Encoding" in answer.headers
                return answer, _Said(length, resumable=False, ends=ends)
            # An empty file has no first byte.
            if status == 416 and answer.headers.get("Content-Range", "").replace(" ", "").endswith("*/0"):
                return answer, _Said(0, resumable=False)
            # What else may go wrong with a range is asked again without one: some servers refuse ranges with 416.
            if not headers or status not in (206, 416):
                raise of_status(asset.name, status, shown_url(answer.url), retry_after_s(answer.headers.get("Retry-After")))
    raise AssertionError("unreachable")


def _of_range(answer: _Told) -> _Said | None:
    """None where the answer is not about the byte that was asked for."""
    match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
    if match is None or (match[1], match[2]) != ("0", "0"):
        return None
    # Without a range it may say how long it is.
    return None if match[3] == "*" else _Said(int(match[3]), resumable=True)


def _length(answer: _Told) -> int | None:
    length = answer.headers.get("Content-Length", "").strip()
    return int(length) if length.isdigit() and "Transfer-Encoding" not in answer.headers else None


def _check_content(asset: Asset, answer: _Told, said: _Said) -> None:
    shown = shown_url(answer.url)
    encoding = answer.headers.get("Content-Encoding")
    if is_recoded(answer.url, encoding):
        raise NotTheFile(asset.name, f"{shown} sends the file {encoding}-encoded, although it was asked not to")
    if said.size_bytes == 0 and not _may_be_empty(asset):
        expected = f", expected {asset.size_bytes} bytes" if asset.size_bytes else ""
        fix = f"if it is to be empty, give `{asset.name}` a `size: 0`" if asset.digest is None else ""
        raise NotTheFile(asset.name, f"{shown} sends an empty file{expected}", fix)
    if is_page(answer.headers.get("Content-Type")) and not _may_be_a_page(asset, answer, said):
        wanted = last_part(asset.url) or asset.name
        raise NotTheFile(asset.name, f"{shown} answers with an HTML page instead of {wanted}: a login wall or a quota page")


def _duplicates(answer: _Told) -> tuple[str, ...]:
    """Mirrors that the server names, best first; none that would be asked without the safety that it was asked with.

    Source: RFC 6249, 3.
    """
    schemes = ("https",) if urlsplit(answer.url).scheme == "https" else ("http", "https")
    ranked = [(_rank(said), url) for url, said in links_of(answer) if "duplicate" in said.get("rel", "").split()]
    urls = [url for _, url in sorted(ranked, key=lambda each: each[0]) if urlsplit(url).scheme in schemes]
    return tuple(dict.fromkeys(urls))[:_MOST_MIRRORS]


def _rank(said: Mapping[str, str]) -> int:
    text = said.get("pri", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 999_999


def _describes(said: Mapping[str, str]) -> bool:
    from conda_assets.sources.metalink import MEDIA_TYPE  # an XML parser, for few

    return "describedby" in said.get("rel", "").split() and said.get("type", "").lower() == MEDIA_TYPE


def _with_metalink(locked: Locked, body: bytes) -> Locked:
    """With the digest and the mirrors of a Metalink, unless that is of another file than the one there now.

    Raises:
        ValueError: it is none.
    """
    from conda_assets.sources.metalink import of_name, read_metalink

    entry = of_name(read_metalink(body), last_part(locked.url))
    if entry is None or (entry.size_bytes is not None and locked.size_bytes not in (None, entry.size_bytes)):
        return locked
    best = strongest(dict.fromkeys(entry.digests, ""))
    if best is None:
        return locked
    secure = urlsplit(locked.url).scheme == "https"
    mirrors = [
        url for url in entry.urls if url not in (locked.url, locked.final_url) and not (secure and url.startswith("http:"))
    ]
    size_bytes = locked.size_bytes if locked.size_bytes is not None else entry.size_bytes
    vouched_by, also_at = "the Metalink that its server names", tuple(dict.fromkeys([*locked.also_at, *mirrors]))[:_MOST_MIRRORS]
    return replace(locked, size_bytes=size_bytes, digest=best[0], vouched_by=vouched_by, also_at=also_at)


def _may_be_a_page(asset: Asset, answer: _Told, said: _Said) -> bool:
    """HTML is what the asset is, as far as its names or its size say."""
    names = (last_part(asset.url), asset.path, asset.name)
    if any(PurePosixPath(name.lower()).suffix in _PAGES for name in names if name):
        return True
    if urlsplit(asset.url).path in ("", "/"):
        return True
    return asset.size_bytes is not None and asset.size_bytes == said.size_bytes and asset.size_slack_bytes == 0


def _may_be_empty(asset: Asset) -> bool:
    """The file says so, by its size or its digest: what else is empty is a server's mishap."""
    if asset.digest is not None:
        return asset.digest.hex == hash_of(asset.digest.algorithm).hexdigest()
    return asset.size_bytes == 0


def _decoded(body: bytes, encoding: str) -> bytes:
    if encoding.strip().lower() not in ("gzip", "x-gzip"):
        return body
    return zlib.decompressobj(wbits=31).decompress(body, _TEXT_BYTES)
