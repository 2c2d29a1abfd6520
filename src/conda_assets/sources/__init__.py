"""What publishers say about their files, one module a URL scheme.

A source is a module (or any object) with the functions of `Source`, and `vouch` where that can find out more. Ours are named in
`_OURS`; another package adds one through the entry point group `conda_assets.sources`, whose names are the schemes:

    [project.entry-points."conda_assets.sources"]
    dvc = "conda_assets_dvc"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from typing import Protocol, cast
from urllib.parse import SplitResult, parse_qs, urldefrag, urlsplit

from conda_assets.errors import FileMissing, NoSource, NotThere
from conda_assets.model import Asset, Fresh, Locked, path_of_url
from conda_assets.records import replace
from conda_assets.settings import Network
from conda_assets.web.failures import of_status
from conda_assets.web.reach import origin_of

__all__ = ["Source", "expand", "is_local", "is_pattern", "probe", "read_description", "read_text", "vouch"]

# scheme → module below; imported when an asset of that scheme is asked for.
_OURS = {
    "doi": "doi",
    "file": "file",
    "ftp": "ftp",
    "github": "github",
    "gs": "gs",
    "hf": "hf",
    "http": "http",
    "https": "http",
    "magnet": "torrent",
    "oci": "oci",
    "s3": "s3",
    "sftp": "ftp",
}
# What such a file describes is meant, not the file; behind any of the schemes.
_DESCRIPTIONS = {".meta4": "metalinked", ".metalink": "metalinked", ".torrent": "torrent"}


class Source(Protocol):
    """Knows one publisher. Asked from several threads at once; `network` says how to reach the outside.

    It may have `vouch(asset, locked, network) -> Locked`, too: the same record with a digest that cost further requests.
    """

    def probe(self, asset: Asset, url: str, network: Network) -> Locked:
        """Ask about one file: where it is now, its size, its digest and who vouches for it, what pins it.

        `url` is one of the asset's URLs. Credentials are found by the source itself and go nowhere but to their host.

        Raises:
            AssetFailed (and its subclasses), SizeMismatch: what is wrong, with the way out.
        """

    def is_pattern(self, url: str) -> bool:
        """Whether the URL names several files: a folder, or a glob. Answers without asking anybody."""

    def expand(self, asset: Asset, url: str, network: Network) -> tuple[tuple[str, str], ...]:
        """The files that a pattern names: (path relative to the asset's own, POSIX, safe; URL of the file), sorted by path.

        The URLs are pinned where the publisher can (a commit in them), so that all files are of one revision.

        Raises:
            AssetFailed: the publisher does not say, or nothing matches.
        """


def probe(asset: Asset, url: str, network: Network) -> Locked:
    """Ask the publisher about one of the asset's URLs.

    Raises:
        NoSource: a scheme that this version cannot fetch.
        AssetFailed, SizeMismatch: what the publisher says is not what the asset needs.
    """
    source = _source(asset, url)
    if asset.headers and not _is_kin(url, asset.url):
        # They are for the publisher of `url`, and a mirror is somebody else.
        return replace(source.probe(replace(asset, headers={}), url, network), asset=asset)
    return source.probe(asset, url, network)


def vouch(asset: Asset, locked: Locked, network: Network) -> Locked:
    """The record with a digest, where one was not known yet and the publisher has it somewhere that costs further requests.

    For a lock that is to have a hash of every file; a sync does not pay for it.

    Raises:
        NoSource: a scheme that this version cannot fetch.
        AssetFailed: the publisher does not say.
    """
    if locked.promise is not None:
        return locked
    look: Callable[[Asset, Locked, Network], Locked] | None = getattr(_source(asset, locked.url), "vouch", None)
    return locked if look is None else look(asset, locked, network)


def is_pattern(asset: Asset) -> bool:
    """The asset names several files.

    Raises:
        NoSource: a scheme that this version cannot fetch.
    """
    return _source(asset, asset.url).is_pattern(asset.url)


def expand(asset: Asset, network: Network) -> tuple[tuple[str, str], ...]:
    """The files that the asset's pattern names: (relative path, URL), sorted by path.

    Raises:
        NoSource: a scheme that this version cannot fetch.
        AssetFailed: the publisher does not say, or nothing matches.
    """
    return _source(asset, asset.url).expand(asset, asset.url, network)


def read_description(asset: Asset, url: str, network: Network, most_bytes: int) -> bytes:
    """The content of a Metalink or a torrent, from wherever it is.

    Raises:
        NoSource: a scheme that this version cannot fetch.
        AssetFailed: it is not to be had, or larger than that.
    """
    from conda_assets.sources.asking import ask

    url = urldefrag(url).url
    if urlsplit(url).scheme == "file":
        try:
            with path_of_url(url).open("rb") as file:
                return file.read(most_bytes)
        except OSError as error:
            raise NotThere(asset.name, f"{path_of_url(url)} cannot be read: {error.strerror}") from error
    if urlsplit(url).scheme in ("ftp", "sftp"):
        raise NoSource(asset.name, f"this version cannot read a description of files by `{urlsplit(url).scheme}:`, only files")
    said = _of_scheme(asset, url).probe(replace(asset, digest=None, size_bytes=None), url, network)
    fresh = said.fresh() if said.fresh else Fresh(url, tuple(asset.headers.items()))
    answer = ask(asset.name, fresh.url, network, secret=dict(fresh.headers), most_bytes=most_bytes)
    if answer.status != 200:
        raise of_status(asset.name, answer.status, answer.shown)
    return answer.body


def read_text(url: str, network: Network) -> str:
    """The text of a small file on the web, an `environment.yml`.

    Raises:
        FileMissing: it cannot be read, with the reason.
    """
    from conda_assets.sources import http

    if urlsplit(url).scheme.lower() not in ("http", "https"):
        raise FileMissing(f"{urlsplit(url).scheme}: is not a scheme to read a spec from", "name a path or an http(s) URL")
    return http.read_text(url, network)


def is_local(url: str) -> bool:
    """The bytes of that URL are on this machine."""
    return urlsplit(url).scheme.lower() == "file" and _described_by(url) is None


def _described_by(url: str) -> str | None:
    """The module that reads what the URL leads to, where that is a description of files."""
    parts = urlsplit(url)
    if parts.scheme.lower() == "magnet":
        return None
    return next((module for end, module in _DESCRIPTIONS.items() if parts.path.lower().endswith(end)), None)


def _source(asset: Asset, url: str) -> Source:
    described = _described_by(url)
    if described is not None:
        return cast("Source", import_module(f"conda_assets.sources.{described}"))
    return _of_scheme(asset, url)


def _of_scheme(asset: Asset, url: str) -> Source:
    scheme = urlsplit(url).scheme.lower()
    if scheme in _OURS:
        return cast("Source", import_module(f"conda_assets.sources.{_OURS[scheme]}"))
    if scheme in (named := _of_others()):
        return cast("Source", import_module(named[scheme]))
    known = ", ".join(sorted({*_OURS, *named}))
    raise NoSource(asset.name, f"this version cannot fetch `{scheme}:` URLs, only {known}")


@cache
def _of_others() -> dict[str, str]:
    """scheme → module of other packages."""
    from importlib.metadata import entry_points  # 30 ms that only other schemes pay

    found: Iterable[tuple[str, str]] = ((each.name.lower(), each.value) for each in entry_points(group="conda_assets.sources"))
    return dict(found)


def _is_kin(url: str, other: str) -> bool:
    """Both are with one publisher: of one scheme, and one host, organisation, bucket or registrant."""
    first, second = (urlsplit(each) for each in (url, other))
    if first.scheme in ("http", "https") or first.scheme != second.scheme:
        return origin_of(url) == origin_of(other)

    def home(parts: SplitResult) -> tuple[str, list[str]]:
        return parts.netloc or parts.path.strip("/").partition("/")[0], parse_qs(parts.query).get("endpoint", [])

    return home(first) == home(second)
