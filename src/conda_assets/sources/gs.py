"""Objects of Google Cloud Storage: with a token where there are credentials, plain where there are none.

    HEAD  <endpoint>/<bucket>/<object>                      size, x-goog-hash, x-goog-generation
    GET   <endpoint>/storage/v1/b/<bucket>/o?prefix=…       names and generations, 1,000 a page

Source: https://cloud.google.com/storage/docs/xml-api/reference-headers and https://cloud.google.com/storage/docs/json_api
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from conda_assets.errors import AccessDenied, AssetFailed, NotThere, SizeMismatch
from conda_assets.model import Asset, Fresh, Locked, shown_url
from conda_assets.settings import Network
from conda_assets.sources.asking import Answer, ask, understood
from conda_assets.sources.checksums import of_headers
from conda_assets.sources.gs_account import account, has_google_auth, is_named
from conda_assets.sources.patterns import fixed_folder, is_glob, matching, nearest
from conda_assets.sources.s3_failures import code_of
from conda_assets.web.failures import of_status, retry_after_s

__all__ = ["expand", "is_pattern", "probe"]

_ENDPOINT = "https://storage.googleapis.com"
_REFUSALS = frozenset({401, 403})
_MOST_PAGES = 10_000
_UNRESERVED = "/-._~"
_LOGIN = "`gcloud auth application-default login`"
_INSTALL = "`pip install 'conda-assets[gs]'` or `conda install -c conda-forge google-auth`"


@dataclass(frozen=True, slots=True)
class _Place:
    """`generation`: Google's word for a version, None for the latest."""

    bucket: str
    key: str
    generation: str | None = None

    @property
    def url(self) -> str:
        """As it stands in a spec."""
        return f"gs://{self.bucket}/{quote(self.key, safe=_UNRESERVED)}" + (
            f"?generation={self.generation}" if self.generation else ""
        )

    @property
    def address(self) -> str:
        """Where it is served."""
        query = f"?generation={self.generation}" if self.generation else ""
        return f"{_endpoint()}/{self.bucket}/{quote(self.key, safe=_UNRESERVED)}{query}"


@dataclass(frozen=True, slots=True)
class _Shown:
    """An answer, and whether credentials were shown for it."""

    answer: Answer
    secret: Mapping[str, str] = field(repr=False)


def probe(asset: Asset, url: str, network: Network) -> Locked:
    """Ask for the object's header.

    Raises:
        NotThere, AccessDenied, NetworkFailed, SizeMismatch: with what to do about it.
    """
    place = _read(url)
    shown = _ask(asset, place.address, network, method="HEAD")
    if shown.answer.status != 200:
        # The answer to a HEAD has no body, and so no reason.
        raise _failure(asset, place, _ask(asset, place.address, network, {"Range": "bytes=0-0"}), network)
    headers = shown.answer.headers
    # Stored compressed, and sent as what it was before: neither its size nor its hash are those of the bytes that come.
    unpacked = headers.get("x-goog-stored-content-encoding", "identity").strip().lower() not in ("", "identity")
    length = headers.get("Content-Length", "")
    size_bytes = int(length) if length.isascii() and length.isdigit() and not unpacked else None
    if size_bytes is not None and not asset.fits(size_bytes):
        raise SizeMismatch(asset.name, asset.size_bytes or 0, size_bytes, shown_url(url))
    etag = headers.get("ETag", "").strip()
    generation = headers.get("x-goog-generation", "").strip() or None
    pinned = _Place(place.bucket, place.key, generation or place.generation)
    said = None if unpacked else of_headers(headers, 200, urlsplit(shown.answer.url).hostname or "")
    return Locked(
        asset=asset,
        url=url,
        final_url=pinned.address,
        size_bytes=size_bytes,
        etag=etag if len(etag) > 2 and etag[0] == etag[-1] == '"' and not unpacked else None,
        modified=headers.get("Last-Modified"),
        resumable=not unpacked,
        same_host=False,
        digest=said[0] if said else None,
        vouched_by=said[1] if said else "",
        revision=pinned.generation,
        pinned_url=pinned.url if pinned.generation else None,
        fresh=partial(_fresh, asset, pinned, network) if shown.secret or asset.headers else None,
    )


def is_pattern(url: str) -> bool:
    """All below a prefix (with `/` at its end), or a glob."""
    path = urlsplit(url).path
    return path.endswith("/") or is_glob(path)


def expand(asset: Asset, url: str, network: Network) -> tuple[tuple[str, str], ...]:
    """The objects that a pattern names, each at its generation.

    Raises:
        NotThere: nothing matches.
        UnsafePath: a name that would leave the asset's folder.
        AssetFailed: as `probe`.
    """
    place = _read(url)
    known = _list(asset, place, network, fixed_folder(place.key))
    found = matching(asset.name, f"gs://{place.bucket}", place.key, known)
    if not found:
        there = ", ".join(list(known)[:3]) + (f" and {len(known) - 3} more" if len(known) > 3 else "")
        raise NotThere(asset.name, f"nothing in gs://{place.bucket} matches {place.key}", f"it has {there or 'nothing there'}")
    return tuple((relative, _Place(place.bucket, key, known[key]).url) for relative, key in found)


def _read(url: str) -> _Place:
    parts = urlsplit(url)
    return _Place(parts.netloc, unquote(parts.path[1:]), parse_qs(parts.query).get("generation", [None])[0])


def _endpoint() -> str:
    """Google's, or what Google's own libraries take from the environment for one's own server."""
    told = os.environ.get("STORAGE_EMULATOR_HOST", "").rstrip("/")
    return told if "://" in told else f"http://{told}" if told else _ENDPOINT


def _fresh(asset: Asset, place: _Place, network: Network) -> Fresh:
    """The same address with the token of the moment."""
    who = account(asset.name, os.environ, network)
    sent, good_s = who.headers(asset.name) if who is not None else ({}, None)
    return Fresh(place.address, tuple({**sent, **asset.headers}.items()), good_s)


def _ask(asset: Asset, url: str, network: Network, headers: Mapping[str, str] | None = None, *, method: str = "GET") -> _Shown:
    """With credentials if the user has named some; else without, and with what the machine has where that is refused.

    Raises:
        AssetFailed: no answer.
    """
    first = account(asset.name, os.environ, network) if is_named(os.environ) else None
    shown = _through(asset, url, network, (method, headers or {}), first.headers(asset.name)[0] if first else {})
    if shown.answer.status not in _REFUSALS:
        return shown
    second = None if first is not None else account(asset.name, os.environ, network)
    if first is None and second is None:
        return shown
    other = _through(asset, url, network, (method, headers or {}), second.headers(asset.name)[0] if second else {})
    # Of two refusals, the one to credentials says more.
    return other if other.answer.status not in _REFUSALS or second is not None else shown


def _through(asset: Asset, url: str, network: Network, asked: tuple[str, Mapping[str, str]], secret: Mapping[str, str]) -> _Shown:
    method, headers = asked
    answer = ask(asset.name, url, network, headers, secret={**secret, **asset.headers}, method=method, abroad=False)
    return _Shown(answer, secret)


def _list(asset: Asset, place: _Place, network: Network, prefix: str) -> dict[str, str | None]:
    """name → generation of all objects below a prefix, without the marks that some tools leave for folders.

    Raises:
        AssetFailed: the bucket may not be listed, or goes on without end.
    """
    found: dict[str, str | None] = {}
    token = ""
    for _ in range(_MOST_PAGES):
        asked = {"prefix": prefix, "fields": "items(name,generation),nextPageToken", **({"pageToken": token} if token else {})}
        shown = _ask(asset, f"{_endpoint()}/storage/v1/b/{quote(place.bucket, safe='')}/o?{urlencode(asked)}", network)
        if shown.answer.status != 200:
            raise _failure(asset, place, shown, network)
        with understood(asset.name, shown.answer) as said:
            items = {
                str(item["name"]): str(item["generation"]) if item.get("generation") else None for item in said.get("items", ())
            }
            token = str(said.get("nextPageToken") or "")
        found.update((name, generation) for name, generation in items.items() if not name.endswith("/"))
        if not token:
            return found
    raise AssetFailed(asset.name, f"gs://{place.bucket} has more than {_MOST_PAGES} pages")


def _failure(asset: Asset, place: _Place, shown: _Shown, network: Network) -> AssetFailed:
    """The error for an answer that is neither the object nor a listing. The XML interface says why, the other has a status."""
    answer, url = shown.answer, f"gs://{place.bucket}/{place.key}"
    where, status = answer.shown.split("/")[2], answer.status
    listing = "/storage/v1/b/" in answer.url
    if status == 404 and (listing or code_of(answer) == "NoSuchBucket"):
        return NotThere(asset.name, f"{where} has no bucket {place.bucket}", "check its name: `gcloud storage ls`")
    if status == 404:
        return NotThere(asset.name, f"{where} has no object {url}", _near(asset, place, network))
    if status == 401 and shown.secret:
        fix = f"log in again: {_LOGIN}, or set `CLOUDSDK_AUTH_ACCESS_TOKEN` anew"
        return AccessDenied(asset.name, f"{where} does not accept the token, which may have expired", fix)
    if status in _REFUSALS:
        may = "listed" if listing else "read"
        with_what = " with these credentials" if shown.secret else " without credentials"
        return AccessDenied(asset.name, f"{url} may not be {may}{with_what} ({status} from {where})", _way_in(bool(shown.secret)))
    return of_status(asset.name, status, answer.shown, retry_after_s(answer.headers.get("Retry-After")))


def _way_in(shown: bool) -> str:
    if shown:
        return f"ask the bucket's owner for the role Storage Object Viewer, or log in as somebody else: {_LOGIN}"
    if not has_google_auth():
        return f"credentials need google-auth: {_INSTALL}; or set `CLOUDSDK_AUTH_ACCESS_TOKEN`"
    return f"log in: {_LOGIN}, or set `GOOGLE_APPLICATION_CREDENTIALS` to a key file"


def _near(asset: Asset, place: _Place, network: Network) -> str:
    """What may have been meant; what goes wrong with that must not hide the error at hand."""
    try:
        names = _list(asset, place, network, place.key[: place.key.rfind("/") + 1])
    except AssetFailed:
        names = {}
    if any(name.startswith(f"{place.key}/") for name in names):
        return f"{place.key} is a folder: write `{place.key}/` for all that is in it"
    near = nearest(place.key, names)
    return (
        "did you mean " + " or ".join(f"`{name}`" for name in near) + "?"
        if near
        else f"list what is there: `gcloud storage ls gs://{place.bucket}/`"
    )
