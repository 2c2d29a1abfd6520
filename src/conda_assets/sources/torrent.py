"""`https://host/set.torrent` and `magnet:?xt=urn:btih:…`: one file of a torrent, from whoever has it. aria2 moves the bytes.

    …/w.torrent                     the only file in it
    …/set.torrent#train/a.csv       one of several, by its path in the torrent
    …/set.torrent#*.csv             those that match; `#` alone for all
    magnet:?xt=urn:btih:…#a.csv     the same with a magnet link, where only the peers know what is in it

Every piece is held against its sha1 in the torrent, and the torrent against the hash in the link. Peers are found by the
torrent's trackers; the distributed hash table and peers' own lists only with CONDA_ASSETS_DHT=1.
"""

from __future__ import annotations

from urllib.parse import quote, unquote, urldefrag, urlsplit

from conda_assets import sources
from conda_assets.errors import AssetFailed, NoSource, NotTheFile, NotThere, SizeMismatch
from conda_assets.model import Asset, Locked, shown_url
from conda_assets.settings import Network
from conda_assets.sources.listing import Listed, matching
from conda_assets.sources.patterns import is_glob
from conda_assets.torrent import Swarm, Torrent, info_hash_of, read_torrent

__all__ = ["expand", "is_pattern", "probe"]

# A torrent of a terabyte in pieces of 1 MiB has 20 MB.
_MOST_BYTES = 64 << 20


def is_pattern(url: str) -> bool:
    """A `#` with nothing, a folder or a glob behind it."""
    path = unquote(urlsplit(url).fragment)
    return "#" in url and (not path or path.endswith("/") or is_glob(path))


def probe(asset: Asset, url: str, network: Network) -> Locked:
    """Read the torrent and find the file in it; of a magnet link nothing more is known before its peers are asked.

    Raises:
        NotTheFile: no torrent.
        NotThere: it has no such file.
        NoSource: a link to something else than a torrent; a place where only public web servers may be asked.
        AssetFailed: it has several files, and the URL names none.
        SizeMismatch: see `http.probe`.
    """
    if network.admit is not None:
        raise NoSource(asset.name, "torrents are not fetched by a download centre")
    path = unquote(urlsplit(url).fragment) or None
    if urlsplit(url).scheme == "magnet":
        info_hash = info_hash_of(url)
        if info_hash is None:
            raise NoSource(asset.name, "the magnet link names no torrent of version 1 (`xt=urn:btih:` and 40 hex digits)")
        return _locked(asset, url, None, Swarm(info_hash, path, magnet=urldefrag(url).url))
    content = sources.read_description(asset, url, network, _MOST_BYTES)
    torrent = _read(asset.name, url, content)
    try:
        file = torrent.pick(path)
    except LookupError as error:
        kind = NotThere if path else AssetFailed
        raise kind(asset.name, f"{shown_url(url)} {error.args[0]}") from error
    if not asset.fits(file.size_bytes):
        raise SizeMismatch(asset.name, asset.size_bytes or 0, file.size_bytes, shown_url(url))
    return _locked(asset, url, file.size_bytes, Swarm(torrent.info_hash, file.path, content))


def expand(asset: Asset, url: str, network: Network) -> tuple[tuple[str, str], ...]:
    """The files of the torrent that match.

    Raises:
        NotThere: none does.
        UnsafePath: a name that cannot be a path here.
        NoSource: a magnet link, whose files are not known beforehand.
    """
    base, pattern = urldefrag(url).url, unquote(urlsplit(url).fragment)
    if urlsplit(url).scheme == "magnet":
        raise NoSource(asset.name, "which files a magnet link leads to is not known beforehand", "name the `.torrent` instead")
    torrent = _read(asset.name, url, sources.read_description(asset, url, network, _MOST_BYTES))
    listed = [Listed(each.path, url) for each in torrent.files]
    found = matching(asset.name, listed, "" if pattern == "/" else pattern, shown_url(url))
    return tuple((relative, f"{base}#{quote(each.path)}") for relative, each in found)


def _read(name: str, url: str, content: bytes) -> Torrent:
    try:
        return read_torrent(content)
    except ValueError as error:
        raise NotTheFile(name, f"{shown_url(url)} is no torrent that can be used: {error}") from error


def _locked(asset: Asset, url: str, size_bytes: int | None, swarm: Swarm) -> Locked:
    return Locked(
        asset=asset,
        url=url,
        final_url=url,
        size_bytes=size_bytes,
        etag=None,
        modified=None,
        resumable=False,
        same_host=True,
        revision=swarm.info_hash,
        alone=True,
        swarm=swarm,
    )
