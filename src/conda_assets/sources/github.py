"""Files of GitHub releases: their size and sha256 from the release's own list.

    github:owner/name@v1.2.0/model.bin      an asset of the release of a tag; a tag may have slashes, an asset's name has none
    github:owner/name@v1.2.0/*.whl          those that match
    github:owner/name@v1.2.0                all of them
    github:owner/name/model.bin             of the latest release (also `@latest`)

A public file is fetched from where a browser gets it, which costs nothing of the interface's quota. A private one is asked for at
the interface each time, which leads to a signed URL.

Source: https://docs.github.com/en/rest/releases; `digest`: https://github.blog/changelog/2025-06-03-releases-now-expose-digests-for-release-assets/
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote, unquote

from conda_assets.digest import Digest, parse_digest
from conda_assets.errors import AssetFailed, NetworkFailed, NotThere, SizeMismatch
from conda_assets.model import Asset, Fresh, Locked
from conda_assets.records import dataclass, field, replace
from conda_assets.regexes import regex
from conda_assets.settings import Network
from conda_assets.sources import http
from conda_assets.sources.asking import Answer, ask, bearer, understood
from conda_assets.sources.github_failures import Api, failure, no_asset
from conda_assets.sources.patterns import is_glob, matching
from conda_assets.sources.signed import good_for_s

__all__ = ["expand", "is_pattern", "probe", "vouch"]

_PLACE = regex(r"(?P<repo>[\w-]+/(?!\.\.?(?:[@/]|$))[\w.-]+?)(?:@(?P<tag>[^@]+?))?(?:/(?P<name>[^/]*))?", re.ASCII)
_JSON = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_BYTES = {"Accept": "application/octet-stream", "X-GitHub-Api-Version": "2022-11-28"}
# All files of a pattern are described by one answer: guests have 60 an hour.
_REMEMBERED_S = 60.0


@dataclass(frozen=True, slots=True)
class _Place:
    """`tag` None: the latest release. `name`: an asset's, a glob, or empty for all."""

    repo: str
    tag: str | None
    name: str

    @property
    def shown(self) -> str:
        return f"{self.repo}@{self.tag or 'latest'}"


@dataclass(frozen=True, slots=True)
class _File:
    id: int
    name: str
    size_bytes: int
    digest: Digest | None
    page_url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Release:
    id: int
    tag: str
    files: tuple[_File, ...]


def probe(asset: Asset, url: str, network: Network) -> Locked:
    """Find the asset in its release's list.

    Raises:
        NotThere, AccessDenied, NetworkFailed, SizeMismatch: with what to do about it.
    """
    place, api = _place(asset.name, url), _api()
    try:
        release = _release(asset.name, place, api, network)
    except NetworkFailed:
        if asset.digest is None or place.tag is None:
            raise
        # The quota of a shared address is soon used up. What the list would say is known: where it is, and what the bytes are.
        page = _page(place)
        return replace(http.probe(asset, page, network), url=url, final_url=page, same_host=False)
    file = next((each for each in release.files if each.name == place.name), None)
    if file is None:
        raise no_asset(asset.name, f"{place.repo}@{release.tag}", place.name, [each.name for each in release.files])
    if not asset.fits(file.size_bytes):
        raise SizeMismatch(asset.name, asset.size_bytes or 0, file.size_bytes, f"{place.repo}@{release.tag}/{file.name}")
    private = api.token is not None and not _is_public(asset.name, file, network)
    return Locked(
        asset=asset,
        url=url,
        final_url=file.page_url,
        size_bytes=file.size_bytes,
        etag=None,
        modified=None,
        resumable=True,
        same_host=False,
        digest=file.digest,
        vouched_by="GitHub" if file.digest else "",
        # The id too: a release can be made anew under its tag.
        revision=f"{release.tag}#{release.id}",
        pinned_url=_pinned(place, release, file.name),
        fresh=partial(_fresh, asset.name, place.repo, file.id, network) if private else None,
    )


def vouch(asset: Asset, locked: Locked, network: Network) -> Locked:
    """Files that were uploaded before GitHub hashed them (June 2025): lists of checksums in the release, where it is public."""
    if locked.fresh is not None:
        return locked
    return replace(http.vouch(asset, replace(locked, url=locked.final_url), network), url=locked.url)


def is_pattern(url: str) -> bool:
    """No name, or a glob."""
    name = _place("", url).name
    return not name or is_glob(name)


def expand(asset: Asset, url: str, network: Network) -> tuple[tuple[str, str], ...]:
    """The release's assets that match, with the tag that `latest` is now.

    Raises:
        NotThere: none does, with what is there instead.
        UnsafePath: a name that would leave the asset's folder.
        AssetFailed: as `probe`.
    """
    place = _place(asset.name, url)
    release = _release(asset.name, place, _api(), network)
    names = [file.name for file in release.files]
    found = matching(asset.name, "GitHub", place.name, names)
    if not found:
        raise no_asset(asset.name, f"{place.repo}@{release.tag}", place.name or "*", names)
    return tuple((name, _pinned(place, release, name)) for name, _ in found)


def _place(asset: str, url: str) -> _Place:
    match = _PLACE.fullmatch(url.partition(":")[2].lstrip("/"))
    if match is None:
        raise AssetFailed(asset, "the URL names no repository; it has the form github:owner/name@tag/file")
    tag = unquote(match["tag"] or "latest")
    if {".", ".."} & set(tag.split("/")):
        raise AssetFailed(asset, "`.` and `..` are no parts of a tag")
    return _Place(match["repo"], None if tag == "latest" else tag, unquote(match["name"] or ""))


def _pinned(place: _Place, release: _Release, name: str) -> str:
    """The URL with the tag that was meant."""
    return f"github:{place.repo}@{quote(release.tag, safe='')}/{quote(name)}"


def _page(place: _Place) -> str:
    """Where a browser gets a public file, as far as that can be told without asking."""
    server = os.environ.get("GITHUB_SERVER_URL", "").rstrip("/") or "https://github.com"
    return f"{server}/{place.repo}/releases/download/{quote(place.tag or '', safe='')}/{quote(place.name)}"


def _api() -> Api:
    """Read at each call: a token may be set while a server of ours runs. The order of the names is that of `gh`."""
    url = os.environ.get("GITHUB_API_URL", "").rstrip("/") or "https://api.github.com"
    token = (os.environ.get("GH_TOKEN") or os.environ.get("GITHUB_TOKEN") or "").strip()
    return Api(url, token if token.isascii() and token.isprintable() and token else None)


def _release(asset: str, place: _Place, api: Api, network: Network) -> _Release:
    """The release, asked for once a minute.

    Raises:
        AssetFailed: it is not to be had, or not now.
    """
    try:
        return _asked(api, place.repo, place.tag, network, int(time.monotonic() / _REMEMBERED_S))
    except AssetFailed as error:
        raise replace(error, asset=asset) from error.__cause__


@lru_cache(maxsize=64)
def _asked(api: Api, repo: str, tag: str | None, network: Network, moment: int) -> _Release:
    del moment  # lets it be forgotten
    which = "latest" if tag is None else f"tags/{quote(tag, safe='')}"
    answer = ask("", f"{api.url}/repos/{repo}/releases/{which}", network, _JSON, secret=bearer(api.token))
    if answer.status != 200:
        raise failure("", repo, tag, api, network, answer)
    with understood("", answer) as said:
        return _Release(int(said["id"]), str(said["tag_name"]), tuple(map(_file, filter(_is_whole, said["assets"]))))


def _is_whole(said: Any) -> bool:
    """An upload that broke off stays in the list as `starter` or `open`."""
    return bool(said.get("state", "uploaded") == "uploaded")


def _file(said: Any) -> _File:
    digest = None
    with suppress(ValueError):  # another algorithm than what can be computed here
        digest = parse_digest(said.get("digest") or "")
    return _File(int(said["id"]), str(said["name"]), int(said["size"]), digest, str(said["browser_download_url"]))


def _is_public(asset: str, file: _File, network: Network) -> bool:
    """A browser without login gets it."""
    answer = ask(asset, file.page_url, network, {"Range": "bytes=0-0"}, method="HEAD", abroad=False)
    page = answer.headers.get("Content-Type", "").startswith("text/html")
    return answer.leads_to is not None or (answer.status in (200, 206) and not page)


def _fresh(asset: str, repo: str, file: int, network: Network) -> Fresh:
    """The signed URL of the moment; the interface's own where that sends the bytes itself.

    Raises:
        AssetFailed: as `probe`.
    """
    api = _api()
    url = f"{api.url}/repos/{repo}/releases/assets/{file}"
    headers = {**_BYTES, "Range": "bytes=0-0"}
    answer: Answer = ask(asset, url, network, headers, secret=bearer(api.token), abroad=False, most_bytes=0)
    if answer.leads_to is not None:
        return Fresh(answer.leads_to, (), good_for_s(answer.leads_to))
    if answer.status in (200, 206):
        return Fresh(url, (*_BYTES.items(), *bearer(api.token).items()))
    if answer.status == 404:
        raise NotThere(asset, f"the file was taken out of a release of {repo}, or put there anew", "run the same command again")
    raise failure(asset, repo, None, api, network, answer)
