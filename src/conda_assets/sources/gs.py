"""Objects of Google Cloud Storage: with a token where there are credentials, plain where there are none.

    HEAD  <endpoint>/<bucket>/<object>                      size, x-goog-hash, x-goog-generation
    GET   <endpoint>/storage/v1/b/<bucket>/o?prefix=…       names, sizes, md5 and generations, 1,000 a page

Source: https://cloud.google.com/storage/docs/xml-api/reference-headers and https://cloud.google.com/storage/docs/json_api
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

from conda_assets.digest import Digest
from conda_assets.errors import AccessDenied, AssetFailed, NotThere, SizeMismatch
from conda_assets.model import Asset, Fresh, Locked, shown_url
from conda_assets.records import dataclass, field, replace
from conda_assets.settings import Network
from conda_assets.sources.asking import Answer, ask, strong_etag, understood
from conda_assets.sources.checksums import of_headers
from conda_assets.sources.gs_account import account, has_google_auth, is_named
from conda_assets.sources.gs_place import Object, Place, listing_of, read_place, recall, remember
from conda_assets.sources.patterns import fixed_folder, matching, names_several, nearest, some_of
from conda_assets.sources.s3_failures import code_of
from conda_assets.web.failures import of_status, retry_after_s

__all__ = ["expand", "is_pattern", "probe"]

_FIELDS = "items(name,generation,size,md5Hash,contentEncoding),nextPageToken"
_REFUSALS = frozenset({401, 403})
_MOST_PAGES = 10_000
_LOGIN = "`gcloud auth application-default login`"
_INSTALL = "`pip install 'conda-assets[gs]'` or `conda install -c conda-forge google-auth`"


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
    place = read_place(url)
    if (said := recall(place)) is not None:
        return _locked(asset, url, place, said, network)
    shown = _ask(asset, place.address, network, method="HEAD")
    if shown.answer.status != 200:
        # The answer to a HEAD has no body, and so no reason.
        raise _failure(asset, place, _ask(asset, place.address, network, {"Range": "bytes=0-0"}), network)
    headers = shown.answer.headers
    length = headers.get("Content-Length", "")
    found = of_headers(headers, 200, urlsplit(shown.answer.url).hostname or "")
    encoded = _is_encoded(headers.get("x-goog-stored-content-encoding", ""))
    said = Object(
        size_bytes=int(length) if length.isascii() and length.isdigit() and not encoded else None,
        digest=found[0] if found and not encoded else None,
        generation=headers.get("x-goog-generation", "").strip() or place.generation,
        guarded=bool(shown.secret),
    )
    locked = _locked(asset, url, place, said, network)
    return replace(locked, etag=None if encoded else strong_etag(headers), modified=headers.get("Last-Modified"))


def is_pattern(url: str) -> bool:
    """All below a prefix (with `/` at its end), or a glob."""
    return names_several(urlsplit(url).path)


def expand(asset: Asset, url: str, network: Network) -> tuple[tuple[str, str], ...]:
    """The objects that a pattern names, each at its generation.

    Raises:
        NotThere: nothing matches.
        UnsafePath: a name that would leave the asset's folder.
        AssetFailed: as `probe`.
    """
    place = read_place(url)
    known = _list(asset, place, network, fixed_folder(place.key))
    found = matching(asset.name, f"gs://{place.bucket}", place.key, known)
    if not found:
        raise NotThere(
            asset.name, f"nothing in gs://{place.bucket} matches {place.key}", f"it has {some_of(known) or 'nothing there'}"
        )
    pinned = [(relative, Place(place.bucket, key, known[key].generation)) for relative, key in found]
    # Who may list need not be one who may read.
    first = _ask(asset, pinned[0][1].address, network, method="HEAD")
    if first.answer.status in _REFUSALS:
        raise _failure(asset, pinned[0][1], first, network)
    for _, each in pinned:
        remember(each, replace(known[each.key], guarded=bool(first.secret)))
    return tuple((relative, each.url) for relative, each in pinned)


def _is_encoded(how: str) -> bool:
    """Stored compressed, and sent as what it was before: its size and its hash are not those of the bytes that come."""
    return how.strip().lower() not in ("", "identity")


def _locked(asset: Asset, url: str, place: Place, said: Object, network: Network) -> Locked:
    """The record of an object.

    Raises:
        SizeMismatch: as `probe`.
    """
    if said.size_bytes is not None and not asset.fits(said.size_bytes):
        raise SizeMismatch(asset.name, asset.size_bytes or 0, said.size_bytes, shown_url(url))
    pinned = replace(place, generation=said.generation)
    return Locked(
        asset=asset,
        url=url,
        final_url=pinned.address,
        size_bytes=said.size_bytes,
        etag=None,
        modified=None,
        resumable=said.size_bytes is not None,
        same_host=False,
        digest=said.digest,
        vouched_by="Google Cloud Storage" if said.digest else "",
        revision=pinned.generation,
        pinned_url=pinned.url if pinned.generation else None,
        fresh=partial(_fresh, asset, pinned, network) if said.guarded or asset.headers else None,
    )


def _fresh(asset: Asset, place: Place, network: Network) -> Fresh:
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


def _list(asset: Asset, place: Place, network: Network, prefix: str) -> dict[str, Object]:
    """name → object, of all below a prefix, without the marks that some tools leave for folders.

    Raises:
        AssetFailed: the bucket may not be listed, or goes on without end.
    """
    found: dict[str, Object] = {}
    token = ""
    for _ in range(_MOST_PAGES):
        asked = {"prefix": prefix, "fields": _FIELDS, **({"pageToken": token} if token else {})}
        shown = _ask(asset, listing_of(place.bucket, asked), network)
        if shown.answer.status != 200:
            raise _failure(asset, place, shown, network)
        with understood(asset.name, shown.answer) as said:
            items = {str(item["name"]): _of_item(item) for item in said.get("items", ())}
            token = str(said.get("nextPageToken") or "")
        found.update((name, each) for name, each in items.items() if not name.endswith("/"))
        if not token:
            return found
    raise AssetFailed(asset.name, f"gs://{place.bucket} has more than {_MOST_PAGES} pages")


def _of_item(item: Mapping[str, str]) -> Object:
    if _is_encoded(item.get("contentEncoding", "")):
        return Object(None, None, item["generation"], guarded=False)
    # Composed objects have none.
    md5 = Digest("md5", base64.b64decode(item["md5Hash"], validate=True).hex()) if item.get("md5Hash") else None
    return Object(int(item["size"]), md5, item["generation"], guarded=False)


def _failure(asset: Asset, place: Place, shown: _Shown, network: Network) -> AssetFailed:
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


def _near(asset: Asset, place: Place, network: Network) -> str:
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
