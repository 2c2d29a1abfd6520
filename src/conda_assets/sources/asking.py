"""Asking a publisher's interface: one answer with a limit on its size, whatever its status; credentials to its own host only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from conda_assets.errors import AssetFailed, NotTheFile
from conda_assets.model import shown_url
from conda_assets.records import dataclass, field
from conda_assets.regexes import regex
from conda_assets.settings import Network
from conda_assets.web.reach import origin_of

if TYPE_CHECKING:
    from conda_assets.web.exchange import Exchange, Web
    from conda_assets.web.plain import PlainAnswer

__all__ = ["Answer", "ask", "ask_pages", "bearer", "body_of", "links_of", "next_of", "strong_etag", "understood", "web_of"]

# A tree page of 1,000 files has 300 kB, a release with 1,000 assets 2 MB.
_MOST_BYTES = 32 << 20
_MOST_PAGES = 1000
# RFC 8288, 3: `<URI>; rel="next"; type=…`, several after commas.
_LINK = regex(r'<([^>]*)>((?:\s*;\s*[\w*!#$&+.^`|~-]+(?:\s*=\s*(?:"[^"]*"|[^\s",;]*))?)*)')
_PARAMETER = regex(r';\s*([\w*!#$&+.^`|~-]+)(?:\s*=\s*(?:"([^"]*)"|([^\s",;]*)))?')


@dataclass(frozen=True, slots=True)
class Answer:
    """What an interface said. `url`: where redirects ended, `leads_to`: a redirect to another host that was not followed."""

    status: int
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    leads_to: str | None = field(default=None, repr=False)

    @property
    def shown(self) -> str:
        """Who answered, for messages."""
        return shown_url(self.url)


@lru_cache(maxsize=4)
def web_of(network: Network) -> Web:
    """The connections that all sources share."""
    from conda_assets.web.exchange import Web  # requests: 50 ms that only those who use the network pay

    return Web(network)


def bearer(token: str | None) -> dict[str, str]:
    """The header that carries a token; none without one."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def ask(
    asset: str,
    url: str,
    network: Network,
    headers: Mapping[str, str] | None = None,
    *,
    secret: Mapping[str, str] | None = None,
    method: str = "GET",
    abroad: bool = True,
    most_bytes: int = _MOST_BYTES,
) -> Answer:
    """Ask once; see `Web.get` for `secret` and `abroad`. `most_bytes` 0: the body is not wanted, unless it says what is wrong.

    Raises:
        NetworkFailed, TlsFailed, InsecureRedirect: no answer.
        NotTheFile: more than `most_bytes`.
    """
    with web_of(network).get(asset, url, headers or {}, secret=secret, method=method, abroad=abroad) as answer:
        has_body = method == "GET" and answer.leads_to is None and (most_bytes > 0 or answer.status not in (200, 206))
        body = body_of(asset, answer, most_bytes or _MOST_BYTES) if has_body else b""
        return Answer(answer.status, answer.url, answer.headers, body, answer.leads_to)


def ask_pages(asset: str, first: Answer, network: Network, *, secret: Mapping[str, str] | None = None) -> Iterator[Answer]:
    """An answer and those that its `Link: rel="next"` leads to, as far as they stay on its host and are 200.

    Raises:
        AssetFailed: as `ask`, or pages without end.
    """
    answer: Answer | None = first
    for _ in range(_MOST_PAGES):
        if answer is None:
            return
        yield answer
        following = next_of(answer)
        if following is None or answer.status != 200:
            return
        if origin_of(following) != origin_of(first.url):
            raise AssetFailed(asset, f"{first.shown} continues on another host, {shown_url(following)}")
        answer = ask(asset, following, network, secret=secret)
    raise AssetFailed(asset, f"{first.shown} has more than {_MOST_PAGES} pages")


def links_of(answer: Answer | PlainAnswer | Exchange) -> list[tuple[str, dict[str, str]]]:
    """The absolute URLs in its Link header, each with its parameters in lower case."""
    found = []
    for match in _LINK.finditer(answer.headers.get("Link", "")):
        said = {each[1].lower(): each[2] or each[3] or "" for each in _PARAMETER.finditer(match[2])}
        try:
            found.append((urljoin(answer.url, match[1]), said))
        except ValueError:
            continue
    return found


def body_of(asset: str, answer: Exchange, most_bytes: int) -> bytes:
    """The whole body.

    Raises:
        NetworkFailed: it was cut.
        NotTheFile: it is larger than that.
    """
    body = bytearray()
    for block in answer.blocks(1 << 16):
        body += block
        if len(body) > most_bytes:
            raise NotTheFile(asset, f"{answer.shown} sends more than {most_bytes >> 10} KiB")
    return bytes(body)


def next_of(answer: Answer) -> str | None:
    """The absolute URL of the page after this one, as its Link header has it."""
    return next((link for link, said in links_of(answer) if "next" in said.get("rel", "").split()), None)


@contextmanager
def understood(asset: str, answer: Answer) -> Iterator[Any]:
    """The answer's JSON; a body that is none, or has another form than what is read from it here, becomes our error.

    Raises:
        AssetFailed: naming who answered.
    """
    try:
        yield json.loads(answer.body)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise AssetFailed(asset, f"{answer.shown} answers in a form that this version does not know") from error


def strong_etag(headers: Mapping[str, str]) -> str | None:
    """The ETag where it pins the bytes; a weak one allows other bytes. Source: RFC 9110, 8.8.1."""
    etag = headers.get("ETag", "").strip()
    return etag if len(etag) > 2 and etag[0] == etag[-1] == '"' else None
