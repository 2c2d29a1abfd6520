"""`https://host/model.meta4`: the file that a Metalink describes, with its hash and from its mirrors, as RFC 5854 has it.

    …/model.meta4                the only file in it
    …/set.meta4#train/a.csv      one of several
    …/set.meta4#*.csv            those that match; `#` alone for all

We read it ourselves: aria2 would take names and folders from it.
"""

from __future__ import annotations

from functools import partial
from urllib.parse import quote, unquote, urldefrag, urlsplit

from conda_assets import sources
from conda_assets.errors import AssetFailed, NotTheFile, NotThere, SizeMismatch
from conda_assets.model import Asset, Fresh, Locked, shown_url
from conda_assets.records import replace
from conda_assets.settings import Network
from conda_assets.sources import http
from conda_assets.sources.checksums import strongest
from conda_assets.sources.listing import Listed, matching, pick
from conda_assets.sources.metalink import Entry, read_metalink
from conda_assets.sources.patterns import is_glob

__all__ = ["expand", "is_pattern", "probe"]

_MOST_BYTES = 32 << 20


def is_pattern(url: str) -> bool:
    """A `#` with nothing, a folder or a glob behind it."""
    path = unquote(urlsplit(url).fragment)
    return "#" in url and (not path or path.endswith("/") or is_glob(path))


def probe(asset: Asset, url: str, network: Network) -> Locked:
    """Read it, and ask the first of the file's mirrors that answers.

    Raises:
        NotTheFile: no Metalink.
        NotThere: it has no such file, or names no server.
        AssetFailed, SizeMismatch: see `http.probe`.
    """
    entry = _entry(asset, url, network)
    if entry.size_bytes is not None and not asset.fits(entry.size_bytes):
        raise SizeMismatch(asset.name, asset.size_bytes or 0, entry.size_bytes, shown_url(url))
    found = strongest({digest: f"the Metalink {urlsplit(url).path.rsplit('/', 1)[-1]}" for digest in entry.digests})
    digest, vouched_by = found or (None, "")
    errors: list[AssetFailed | SizeMismatch] = []
    for mirror in entry.urls:
        try:
            said = http.probe(asset, mirror, network)
            if entry.size_bytes not in (None, said.size_bytes) and said.size_bytes is not None:
                raise SizeMismatch(asset.name, entry.size_bytes or 0, said.size_bytes, shown_url(mirror))
        except (AssetFailed, SizeMismatch) as error:
            errors.append(error)
            continue
        # Mirrors are not believed, they are held against the digest.
        others = tuple(each for each in entry.urls if each != mirror) if digest or asset.digest else ()
        return replace(
            said,
            url=url,
            # Not where it led: that may expire.
            final_url=mirror,
            digest=digest or said.digest,
            vouched_by=vouched_by or said.vouched_by,
            also_at=others,
            fresh=said.fresh or partial(Fresh, mirror),
        )
    if errors:
        raise next((error for error in errors if error.retryable), errors[0])
    raise NotThere(asset.name, f"{shown_url(url)} names no http or https server for {entry.name or 'the file'}")


def expand(asset: Asset, url: str, network: Network) -> tuple[tuple[str, str], ...]:
    """The files in it that match.

    Raises:
        NotThere: none does.
        UnsafePath: a name that cannot be a path here.
        NotTheFile: no Metalink.
    """
    base, pattern = urldefrag(url).url, unquote(urlsplit(url).fragment)
    listed = [Listed(entry.name, url) for entry in _entries(asset, url, network)]
    found = matching(asset.name, listed, "" if pattern == "/" else pattern, shown_url(url))
    return tuple((relative, f"{base}#{quote(each.path)}") for relative, each in found)


def _entries(asset: Asset, url: str, network: Network) -> tuple[Entry, ...]:
    content = sources.read_description(asset, url, network, _MOST_BYTES)
    try:
        return read_metalink(content)
    except ValueError as error:
        raise NotTheFile(asset.name, f"{shown_url(url)} is no Metalink: {error}") from error


def _entry(asset: Asset, url: str, network: Network) -> Entry:
    entries, path = _entries(asset, url, network), unquote(urlsplit(url).fragment)
    if path:
        pick(asset.name, [Listed(entry.name, url) for entry in entries], path, shown_url(url))
        return next(entry for entry in entries if entry.name == path)
    if len(entries) == 1:
        return entries[0]
    names = ", ".join(f"`#{entry.name}`" for entry in entries[:5])
    raise AssetFailed(asset.name, f"{shown_url(url)} has {len(entries)} files: add one as {names or '—'}, or `#` for all")
