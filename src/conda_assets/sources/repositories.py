"""The places where data sets with a DOI are kept, and how each lists its files.

    Zenodo, InvenioRDM   /records/1234           /api/records/1234, /api/records/1234/files            md5
    figshare             /articles/…/1234[/2]    api.figshare.com/v2/articles/1234/versions/2/files    md5
    Dataverse            ?persistentId=doi:…     /api/datasets/:persistentId/?persistentId=doi:…       md5, sha1, sha256, sha512
    OSF                  /abc12                  api.osf.io/v2/nodes/abc12/files/osfstorage/           sha256, md5

A place is known by the form of the page's address, and by its interface answering as it should: institutions run these programs
under names of their own.

Source: https://developers.zenodo.org, https://inveniordm.docs.cern.ch/reference/rest_api_drafts_records/,
https://docs.figshare.com, https://guides.dataverse.org/en/latest/api/native-api.html, https://developer.osf.io
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from urllib.parse import parse_qs, quote, urlencode, urljoin, urlsplit

from conda_assets.errors import AccessDenied, AssetFailed, NotTheFile, NotThere
from conda_assets.records import dataclass
from conda_assets.sources.listing import Listed, digest_or_none, tidy_url

__all__ = ["REPOSITORIES", "Record"]

#: Where the interfaces are that have a host of their own, for tests.
FIGSHARE, OSF = "CONDA_ASSETS_FIGSHARE_URL", "CONDA_ASSETS_OSF_URL"
_PAGE = 1000
# More than that is not asked for one data set.
_MOST_PAGES = 200

Ask = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Record:
    """A data set. `doi`: of this version where versions have one. `revision`: what pins it; None where nothing does.

    `publisher`: who vouches for the files, for people. `files`: asks for the list.
    """

    doi: str
    publisher: str
    revision: str | None
    files: Callable[[], tuple[Listed, ...]]

    @property
    def shown(self) -> str:
        """For messages."""
        return f"doi:{self.doi} at {self.publisher}"


def _invenio(name: str, doi: str, landing: str, ask: Ask) -> Record | None:
    found = re.fullmatch(r"(?:/[^/]+)?/(?:records?/([\w-]+)|doi/10\.[\d.]+/zenodo\.(\d+))(?:/.*)?", urlsplit(landing).path)
    if not found:
        return None
    address = urljoin(landing, f"/api/records/{found[1] or found[2]}")
    said = _asked(ask, address)
    metadata, links = _map(said, "metadata"), _map(said, "links")
    if not metadata or not links:
        return None
    # A concept's DOI leads to its latest version, which has a DOI of its own.
    own = str(_map(_map(said, "pids"), "doi").get("identifier") or said.get("doi") or metadata.get("doi") or doi)
    publisher = "Zenodo" if own.startswith("10.5281/") else urlsplit(landing).hostname or ""

    def files() -> tuple[Listed, ...]:
        rows = said.get("files")
        if not isinstance(rows, list):
            rows = _rows(_map_of(ask(urljoin(landing, f"/api/records/{said.get('id') or found[1]}/files"))).get("entries"))
        listed = tuple(_invenio_files(landing, rows))
        if not listed and str(metadata.get("access_right", "open")) != "open":
            raise AccessDenied(name, f"the files of doi:{own} at {publisher} are not public ({metadata.get('access_right')})")
        return listed

    return Record(own, publisher, own, files)


def _invenio_files(landing: str, rows: list[object]) -> Iterator[Listed]:
    for row in map(_map_of, rows):
        key = str(row.get("key") or row.get("filename") or "")
        links = _map(row, "links")
        link = links.get("content") or links.get("self") or links.get("download")
        algorithm, colon, digits = str(row.get("checksum", "")).partition(":")
        digest = digest_or_none(algorithm, digits) if colon else digest_or_none("md5", algorithm)
        if key and link:
            yield Listed(key, _link(landing, link), _size(row.get("size", row.get("filesize"))), digest)


def _figshare(name: str, doi: str, landing: str, ask: Ask) -> Record | None:
    found = re.fullmatch(r"/(?:.*/)?articles/(?:[^/]+/)*?(\d+)(?:/(\d+))?/?", urlsplit(landing).path)
    if not found:
        return None
    base = (os.environ.get(FIGSHARE) or "https://api.figshare.com").rstrip("/") + f"/v2/articles/{found[1]}"
    # The DOI's own word comes before the page's: a version's DOI may lead to the latest page.
    version = (re.search(r"\.v(\d+)$", doi) or (None, found[2]))[1]
    said = _asked(ask, f"{base}/versions/{version}" if version else base)
    number = said.get("version")
    # The interface has one host for all institutions, so another site's article 1234 would be found there, too.
    if not isinstance(number, int) or _unversioned(str(said.get("doi"))) != _unversioned(doi):
        return None

    def files() -> tuple[Listed, ...]:
        # The article itself lists ten files at most.
        rows: list[object] = []
        for page in range(1, _MOST_PAGES + 1):
            more = ask(f"{base}/versions/{number}/files?page={page}&page_size={_PAGE}")
            rows += (got := _rows(more))
            if len(got) < _PAGE:
                break
        else:
            raise _too_many(name, doi)
        return tuple(
            Listed(
                str(row["name"]),
                _link(landing, row["download_url"]),
                _size(row.get("size")),
                digest_or_none("md5", row.get("computed_md5") or row.get("supplied_md5")),
            )
            for row in map(_map_of, rows)
            if row.get("name") and row.get("download_url") and not row.get("is_link_only")
        )

    return Record(str(said["doi"]), "figshare", str(said["doi"]), files)


def _dataverse(name: str, doi: str, landing: str, ask: Ask) -> Record | None:
    persistent = parse_qs(urlsplit(landing).query).get("persistentId", [""])[0]
    if not persistent:
        return None
    if "/file.xhtml" in landing:
        raise AssetFailed(name, f"doi:{doi} is one file's own; name the DOI of its data set and the file's name")
    said = _asked(ask, urljoin(landing, f"/api/datasets/:persistentId/?{urlencode({'persistentId': persistent})}"))
    version = _map(_map(said, "data"), "latestVersion")
    if said.get("status") != "OK" or not isinstance(version.get("files"), list):
        return None
    number = f"{version.get('versionNumber')}.{version.get('versionMinorNumber')}"
    listed = tuple(each for row in _rows(version["files"]) for each in _dataverse_files(landing, _map_of(row)))
    return Record(doi, urlsplit(landing).hostname or "", f"{doi} version {number}", lambda: listed)


def _dataverse_files(landing: str, row: Mapping[str, object]) -> Iterator[Listed]:
    file, checksum = _map(row, "dataFile"), _map(_map(row, "dataFile"), "checksum")
    name, number = str(row.get("label") or file.get("filename") or ""), file.get("id")
    if not name or number is None:
        return
    folder = f"{row['directoryLabel']}/" if row.get("directoryLabel") else ""
    url = urljoin(landing, f"/api/access/datafile/{quote(str(number))}")
    digest = digest_or_none(checksum.get("type"), checksum.get("value")) or digest_or_none("md5", file.get("md5"))
    if file.get("originalFileFormat") or file.get("originalFileName"):
        # A table that was converted on arrival: size and checksum are those of what was uploaded, under its old name.
        yield Listed(folder + name, url)
        if original := str(file.get("originalFileName") or ""):
            yield Listed(folder + original, f"{url}?format=original", _size(file.get("originalFileSize")), digest)
        return
    yield Listed(folder + name, url, _size(file.get("filesize")), digest)


def _osf(name: str, doi: str, landing: str, ask: Ask) -> Record | None:
    found = re.fullmatch(r"/([a-z0-9]{5,})/?", urlsplit(landing).path, re.IGNORECASE)
    if not found or not (doi.upper().startswith("10.17605/OSF.IO/") or (urlsplit(landing).hostname or "").endswith("osf.io")):
        return None
    base = (os.environ.get(OSF) or "https://api.osf.io").rstrip("/") + "/v2"
    for kind in ("nodes", "registrations"):
        address = f"{base}/{kind}/{found[1].lower()}/"
        if _map(_asked(ask, address), "data").get("type") == kind:
            files = _osf_files(name, doi, ask, landing, f"{address}files/osfstorage/?page[size]=100")
            return Record(doi, "OSF", None, partial(tuple, files))
    return None


def _osf_files(name: str, doi: str, ask: Ask, landing: str, first: str) -> Iterator[Listed]:
    folders, asked = [first], 0
    while folders:
        asked += 1
        if asked > _MOST_PAGES:
            raise _too_many(name, doi)
        said = _map_of(ask(folders.pop(0)))
        if following := _map(said, "links").get("next"):
            folders.insert(0, str(following))
        for row in map(_map_of, _rows(said.get("data"))):
            attributes, hashes = _map(row, "attributes"), _map(_map(_map(row, "attributes"), "extra"), "hashes")
            if attributes.get("kind") == "folder":
                inside = _map(_map(_map(_map(row, "relationships"), "files"), "links"), "related").get("href")
                folders += [str(inside)] if inside else []
            elif link := _map(row, "links").get("download"):
                digest = digest_or_none("sha256", hashes.get("sha256")) or digest_or_none("md5", hashes.get("md5"))
                path = str(attributes.get("materialized_path") or attributes.get("name")).lstrip("/")
                version = attributes.get("current_version")
                revision = f"version {version}" if version else None
                yield Listed(path, _link(landing, link), _size(attributes.get("size")), digest, revision)


REPOSITORIES: tuple[Callable[[str, str, str, Ask], Record | None], ...] = (_invenio, _dataverse, _figshare, _osf)


def _unversioned(doi: str) -> str:
    return re.sub(r"\.v\d+$", "", doi.lower())


def _too_many(name: str, doi: str) -> AssetFailed:
    return AssetFailed(name, f"doi:{doi} has too many files or folders to list; use the file's own https URL")


def _asked(ask: Ask, address: str) -> Mapping[str, object]:
    """An object, empty where there is no such interface."""
    try:
        return _map_of(ask(address))
    except (NotThere, NotTheFile):
        return {}


def _link(landing: str, link: object) -> str:
    """An address that the interface names; as safe as the page that led to it."""
    url = tidy_url(urljoin(landing, str(link)))
    if landing.startswith("https:") and url.startswith("http:"):
        return "https:" + url.removeprefix("http:")
    return url


def _size(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _rows(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _map(said: Mapping[str, object], key: str) -> Mapping[str, object]:
    return _map_of(said.get(key))


def _map_of(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
