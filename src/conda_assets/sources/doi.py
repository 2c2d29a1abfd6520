"""`doi:10.5281/zenodo.1234/data/train.csv`: a file of a data set, found by the DOI of the set or of one of its versions.

    doi:10.5281/zenodo.1234/data/train.csv     one file
    doi:10.5281/zenodo.1234/data/*.csv         those that match
    doi:10.7910/DVN/ABCDEF/                    all of them

Which parts are the DOI and which are the file's path is found by asking: the shortest that is a DOI is one. The handle system
says where it leads (that page itself is not visited: many refuse programs), and `repositories` asks whoever is there.

Source: https://www.doi.org/the-identifier/resources/factsheets/doi-resolution-documentation, "DOI Proxy Server REST API"
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from urllib.parse import quote, unquote, urlsplit

from conda_assets.errors import AssetFailed, NoSource, NotThere, SizeMismatch
from conda_assets.model import Asset, Fresh, Locked, shown_url
from conda_assets.records import replace
from conda_assets.regexes import regex
from conda_assets.settings import Network
from conda_assets.sources import http
from conda_assets.sources.listing import Polite, matching, pick
from conda_assets.sources.patterns import is_glob
from conda_assets.sources.repositories import REPOSITORIES, Record
from conda_assets.web.reach import origin_of

__all__ = ["POLITE", "expand", "is_pattern", "probe"]

#: Another proxy of the handle system, for tests and for places where doi.org cannot be reached.
VARIABLE = "CONDA_ASSETS_DOI_URL"
POLITE = Polite()
_PREFIX = regex(r"10\.\d{4,9}(?:\.\d+)*")
# Parts of a DOI after its prefix: `zenodo.1234`, `DVN/ABCDEF`; no repository has more than three.
_MOST_PARTS = 3
# Zenodo counts requests, 60 a minute for guests: a large file comes in few, long ones.
_MOST_REQUESTS = 24


def is_pattern(url: str) -> bool:
    """Whether it names several files: nothing after a short DOI, a folder, or a glob."""
    parts = _parts(url)
    return len(parts) <= 2 or not parts[-1] or is_glob("/".join(parts[2:]))


def probe(asset: Asset, url: str, network: Network) -> Locked:
    """Find the file by the repository's own interface; its checksum there is what the bytes are held against.

    Raises:
        NotThere: no such DOI, no such file in it.
        NoSource: the DOI leads to a place whose interface is not known here.
        AssetFailed, SizeMismatch: see `http.probe`.
    """
    record, path = _resolve(asset.name, url, network)
    if not path:
        raise AssetFailed(asset.name, f"{shown_url(url)} is a whole data set: add a file's name, or `/` for all of its files")
    file = pick(asset.name, record.files(), path, record.shown)
    if file.size_bytes is not None and not asset.fits(file.size_bytes):
        raise SizeMismatch(asset.name, asset.size_bytes or 0, file.size_bytes, record.shown)
    # What the user's headers are for is unknown: a DOI is no host.
    there = http.probe(replace(asset, headers={}), file.url, network)
    return replace(
        there,
        asset=asset,
        url=url,
        # Not where it led: that may expire.
        final_url=file.url,
        size_bytes=there.size_bytes if there.size_bytes is not None else file.size_bytes,
        digest=file.digest,
        vouched_by=record.publisher if file.digest else "",
        revision=file.revision or record.revision,
        pinned_url=f"doi:{record.doi}/{quote(path)}",
        # No transport reads `doi:`.
        fresh=there.fresh or partial(Fresh, file.url),
        most_requests=_MOST_REQUESTS,
    )


def expand(asset: Asset, url: str, network: Network) -> tuple[tuple[str, str], ...]:
    """The files of the data set that match, named by the DOI of its version where there is one.

    Raises:
        NotThere: no such DOI, or nothing matches.
        NoSource: the DOI leads to a place whose interface is not known here.
    """
    record, path = _resolve(asset.name, url, network)
    found = matching(asset.name, record.files(), path, record.shown)
    return tuple((relative, f"doi:{record.doi}/{quote(each.path)}") for relative, each in found)


def _parts(url: str) -> list[str]:
    return urlsplit(url).path.strip().lstrip("/").split("/")


def _resolve(name: str, url: str, network: Network) -> tuple[Record, str]:
    """The data set and what is left of the path."""
    parts = _parts(url)
    if len(parts) < 2 or not _PREFIX.fullmatch(parts[0]) or not parts[1]:
        raise NotThere(name, f"{shown_url(url)} is no DOI: those begin with `10.` and digits, and have a `/`")
    for count in range(2, min(len(parts), _MOST_PARTS + 1) + 1):
        doi = unquote("/".join(parts[:count]))
        landing = _landing(name, doi, network) if parts[count - 1] else None
        if landing:
            return _record(name, doi, landing, network), unquote("/".join(parts[count:]))
    raise NotThere(name, f"{urlsplit(_proxy()).hostname} knows no DOI that {shown_url(url)} begins with")


def _proxy() -> str:
    return (os.environ.get(VARIABLE) or "https://doi.org").rstrip("/")


def _landing(name: str, doi: str, network: Network) -> str | None:
    """Where the DOI leads; None where there is no such DOI."""
    asked = f"{_proxy()}/api/handles/{quote(doi, safe='/:;().')}?type=URL"
    try:
        answer = POLITE.json(name, asked, network)
    except NotThere:
        return None
    values = answer.get("values") if isinstance(answer, Mapping) else None
    for value in values if isinstance(values, list) else []:
        data = value.get("data") if isinstance(value, Mapping) and value.get("type") == "URL" else None
        landing = str(data.get("value", "")) if isinstance(data, Mapping) else ""
        if origin_of(landing)[0] in ("http", "https"):
            return _upgraded(landing)
    return None


def _upgraded(url: str) -> str:
    """https, except to this machine: many DOIs were registered when there was no https, and nobody asks in the clear today."""
    parts = urlsplit(url)
    if parts.scheme.lower() == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        return parts._replace(scheme="https").geturl()
    return url


def _record(name: str, doi: str, landing: str, network: Network) -> Record:
    for look in REPOSITORIES:
        record = look(name, doi, landing, lambda asked: POLITE.json(name, asked, network))
        if record is not None:
            return record
    host = urlsplit(landing).hostname
    fix = f"put the file's own https URL in place of `doi:{doi}`"
    raise NoSource(name, f"doi:{doi} leads to {host}, whose interface this version does not know", fix)
