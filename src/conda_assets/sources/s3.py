"""Objects of S3 and of what speaks like it (MinIO, Ceph, R2, …): signed where there are credentials, plain where there are none.

    HEAD  <object>                                      size, ETag, x-amz-checksum-…, x-amz-version-id
    GET   <bucket>?list-type=2&prefix=…                 keys, 1,000 a page

A signature is a part of the URL: aria2 gets a link that is good for an hour and no credentials, and another one before it ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from urllib.parse import urlencode, urlsplit

from conda_assets.errors import AssetFailed, NotThere, SizeMismatch
from conda_assets.model import Asset, Fresh, Locked, shown_url
from conda_assets.records import dataclass, replace
from conda_assets.settings import Network
from conda_assets.sources.asking import Answer, ask, strong_etag
from conda_assets.sources.checksums import of_headers
from conda_assets.sources.patterns import fixed_folder, matching, names_several, nearest, some_of
from conda_assets.sources.s3_account import Account, account, is_named
from conda_assets.sources.s3_failures import code_of, failure
from conda_assets.sources.s3_listing import read_listing
from conda_assets.sources.s3_place import Place, read_place

__all__ = ["expand", "is_pattern", "look", "probe", "read_small"]

_ALL = {"x-amz-checksum-mode": "ENABLED"}
_ONE_BYTE = {"Range": "bytes=0-0"}
_REGION = "us-east-1"
_REFUSALS = frozenset({400, 401, 403})
_MOST_PAGES = 10_000

# (endpoint, bucket) → region, as a server has said; and those that are known to be there.
_regions: dict[tuple[str | None, str], str] = {}
_there: set[tuple[str | None, str]] = set()


def probe(asset: Asset, url: str, network: Network) -> Locked:
    """Ask for the object's header.

    Raises:
        NotThere, AccessDenied, NetworkFailed, SizeMismatch: with what to do about it.
    """
    place = read_place(url)
    asked = _Asking(asset, place, network)
    answer, way = asked.of_object("HEAD", _ALL)
    if answer.status != 200:
        # The answer to a HEAD has no body, and so no reason.
        answer, way = asked.of_object("GET", _ONE_BYTE)
        raise failure(
            asset.name, place, answer, signed=way.account is not None, near=asked.near() if answer.status == 404 else ""
        )
    return _described(asset, url, place, answer, way)


def look(asset: Asset, url: str, network: Network) -> Locked | None:
    """As `probe`, but None where there is no such object: for who asks many servers, and wants no advice about names.

    Raises:
        AssetFailed, SizeMismatch: as `probe`; NotThere where the whole bucket is missing.
    """
    place = read_place(url)
    asked = _Asking(asset, place, network)
    answer, way = asked.of_object("HEAD", _ALL)
    if answer.status == 200:
        return _described(asset, url, place, answer, way)
    if answer.status != 404 or (way.endpoint, place.bucket) not in _there:
        answer, way = asked.of_object("GET", _ONE_BYTE)
        _check_missing(asset, place, answer, way)
    return None


def read_small(asset: Asset, url: str, network: Network) -> bytes | None:
    """The content of a small object, None where there is none.

    Raises:
        AssetFailed: as `look`.
    """
    place = read_place(url)
    answer, way = _Asking(asset, place, network).of_object("GET", {})
    if answer.status == 200:
        return answer.body
    _check_missing(asset, place, answer, way)
    return None


def _check_missing(asset: Asset, place: Place, answer: Answer, way: _Way) -> None:
    if answer.status != 404 or code_of(answer) == "NoSuchBucket":
        raise failure(asset.name, place, answer, signed=way.account is not None)
    _there.add((way.endpoint, place.bucket))


def _described(asset: Asset, url: str, place: Place, answer: Answer, way: _Way) -> Locked:
    """What the header of the object says."""
    length = answer.headers.get("Content-Length", "")
    size_bytes = int(length) if length.isascii() and length.isdigit() else None
    if size_bytes is not None and not asset.fits(size_bytes):
        raise SizeMismatch(asset.name, asset.size_bytes or 0, size_bytes, shown_url(url))
    version = answer.headers.get("x-amz-version-id", "").strip()
    revision = version if version not in ("", "null") else None
    pinned = replace(place, version=revision or place.version)
    said = of_headers(answer.headers, 200, urlsplit(answer.url).hostname or "")
    return Locked(
        asset=asset,
        url=url,
        final_url=pinned.address(way.endpoint, way.region),
        size_bytes=size_bytes,
        etag=strong_etag(answer.headers),
        modified=answer.headers.get("Last-Modified"),
        resumable=answer.headers.get("Accept-Ranges", "bytes").strip().lower() == "bytes",
        same_host=False,
        digest=said[0] if said else None,
        vouched_by=said[1] if said else "",
        revision=revision,
        pinned_url=pinned.url(version=pinned.version) if revision else None,
        fresh=partial(_fresh, asset, pinned, way) if way.account is not None or asset.headers else None,
    )


def is_pattern(url: str) -> bool:
    """All below a prefix (with `/` at its end), or a glob."""
    return names_several(urlsplit(url).path)


def expand(asset: Asset, url: str, network: Network) -> tuple[tuple[str, str], ...]:
    """The objects that a pattern names.

    Raises:
        NotThere: nothing matches.
        UnsafePath: a key that would leave the asset's folder.
        AssetFailed: as `probe`.
    """
    place = read_place(url)
    keys = list(_Asking(asset, place, network).keys(fixed_folder(place.key)))
    found = matching(asset.name, f"s3://{place.bucket}", place.key, keys)
    if not found:
        raise NotThere(
            asset.name, f"nothing in s3://{place.bucket} matches {place.key}", f"it has {some_of(keys) or 'nothing there'}"
        )
    return tuple((relative, place.url(key=key)) for relative, key in found)


@dataclass(frozen=True, slots=True)
class _Way:
    """How a server answered. `account`: who signed, None where nobody did."""

    endpoint: str | None
    region: str
    account: Account | None

    def link(
        self, asset: str, place: Place, method: str, headers: Mapping[str, str], query: str = ""
    ) -> tuple[str, float | None]:
        """The URL to ask, and the seconds that it is good for."""
        url = place.address(self.endpoint, self.region, query)
        return (url, None) if self.account is None else self.account.signed(asset, method, url, headers, self.region)


def _fresh(asset: Asset, place: Place, way: _Way) -> Fresh:
    """A link that is signed now."""
    url, good_s = way.link(asset.name, place, "GET", asset.headers)
    return Fresh(url, tuple(asset.headers.items()), good_s)


class _Asking:
    """Questions about one bucket, asked the way that is allowed."""

    def __init__(self, asset: Asset, place: Place, network: Network) -> None:
        self._asset, self._place, self._network = asset, place, network

    def of_object(self, method: str, headers: Mapping[str, str]) -> tuple[Answer, _Way]:
        """The answer about the object itself."""
        return self._ask(self._place, method, headers)

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys that begin with that, without the marks that some tools leave for folders.

        Raises:
            AssetFailed: the bucket may not be listed, or goes on without end.
        """
        following: str | None = None
        for _ in range(_MOST_PAGES):
            asked = {"encoding-type": "url", "list-type": "2", "prefix": prefix}
            if following is not None:
                asked["continuation-token"] = following
            answer, way = self._ask(replace(self._place, key=""), "GET", {}, urlencode(sorted(asked.items())))
            if answer.status != 200:
                raise failure(self._asset.name, self._place, answer, signed=way.account is not None)
            try:
                page = read_listing(answer.body)
            except ValueError as error:
                raise AssetFailed(self._asset.name, f"{answer.shown} answers with no listing: {error}") from error
            yield from (key for key in page.keys if not key.endswith("/"))
            if page.following is None:
                return
            following = page.following
        raise AssetFailed(self._asset.name, f"s3://{self._place.bucket} has more than {_MOST_PAGES} pages")

    def near(self) -> str:
        """What may have been meant; what goes wrong with that must not hide the error at hand."""
        key = self._place.key
        try:
            names = [name for name, _ in zip(self.keys(key[: key.rfind("/") + 1]), range(1000))]  # noqa: B905 - the shorter one ends
        except AssetFailed:
            return ""
        if any(name.startswith(f"{key}/") for name in names):
            return f"{key} is a folder: write `{key}/` for all that is in it"
        near = nearest(key, names)
        return "did you mean " + " or ".join(f"`{name}`" for name in near) + "?" if near else ""

    def _ask(self, place: Place, method: str, headers: Mapping[str, str], query: str = "") -> tuple[Answer, _Way]:
        """Signed if the user has said with what; else plain, and signed with what the machine has where that is refused.

        Raises:
            AssetFailed: no answer.
        """
        first = account(self._asset.name, os.environ) if is_named(os.environ) else None
        answer, way = self._through(first, place, method, headers, query)
        if answer.status not in _REFUSALS:
            return answer, way
        second = None if first is not None else account(self._asset.name, os.environ)
        if first is None and second is None:
            return answer, way
        other, other_way = self._through(second, place, method, headers, query)
        # Of two refusals, the one to a signature says more.
        return (other, other_way) if other.status not in _REFUSALS or second is not None else (answer, way)

    def _through(
        self, who: Account | None, place: Place, method: str, headers: Mapping[str, str], query: str
    ) -> tuple[Answer, _Way]:
        """The answer of the region that has the bucket; asked once more when another one says which."""
        endpoint, region = _server(place, who)
        bucket = (endpoint, place.bucket)
        while True:
            way = _Way(endpoint, _regions.get(bucket, region), who)
            sent = {**self._asset.headers, **headers}
            signed = {name: value for name, value in sent.items() if name != "Range"}
            url, _ = way.link(self._asset.name, place, method, signed, query)
            answer = ask(self._asset.name, url, self._network, sent, method=method, abroad=False)
            home = answer.headers.get("x-amz-bucket-region", "")
            if answer.status in (200, 206, 404) or answer.status >= 500 or home in ("", way.region) or bucket in _regions:
                return answer, way
            _regions[bucket] = home


def _server(place: Place, who: Account | None) -> tuple[str | None, str]:
    """(endpoint, region): of the URL, the environment, the profile, AWS."""
    given = dict(place.given)
    endpoint = given.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = given.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if who is not None:
        endpoint, region = endpoint or who.endpoint, region or who.region
    return endpoint or None, region or _REGION
