"""From what somebody pastes or drops to what is wanted: URLs, an environment.yml, its lock, a Metalink."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit
from xml.etree import ElementTree

from conda_assets import spec as specs
from conda_assets.digest import Digest, parse_digest
from conda_assets.errors import CentreRefused, LockInvalid, SpecInvalid
from conda_assets.model import Asset, last_part
from conda_assets.records import dataclass, replace
from conda_assets.regexes import regex
from conda_assets.serve.addresses import is_public, literal_address, plain_host
from conda_assets.serve.jobs import Wanted
from conda_assets.spec.lockread import read_lock
from conda_assets.torrent import read_torrent

__all__ = ["Intake", "Refusal", "read_text", "read_torrent_file", "wanted_url"]

#: What may be asked for; `file:` would read the server's disk.
SCHEMES = frozenset({"http", "https", "hf", "doi", "github", "oci", "gs", "s3"})

# Peers may be anywhere, and ftp does not go through the gate: only where private addresses are allowed as well.
_ANYWHERE = frozenset({"magnet", "ftp", "sftp"})
_BUCKETS = frozenset({"s3", "gs"})
_MOST = 5000
# Everybody who looks is shown it.
_URL_CHARACTERS = 8000
# Of a list of faults, so much is answered.
_SAID = 8000
_NAME = regex(r"[^A-Za-z0-9._-]+")
_LOCK = regex(r"^version: *\d+ *$", re.MULTILINE)
_METALINK = regex(r"<(?:\w+:)?metalink[\s>]")
_HASHES = {
    "sha-256": "sha256",
    "sha-512": "sha512",
    "sha-1": "sha1",
    "sha256": "sha256",
    "sha512": "sha512",
    "sha1": "sha1",
    "md5": "md5",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One entry that cannot be taken, and why."""

    name: str
    message: str


@dataclass(frozen=True, slots=True)
class Intake:
    """What a text asks for. `kind`: `environment`, `lock`, `metalink`, `torrent` or `list`."""

    kind: str
    wanted: tuple[Wanted, ...]
    refused: tuple[Refusal, ...]


def read_text(text: str, *, private: bool, name: str = "") -> Intake:
    """Read what was pasted or dropped; `name`: of the file, if it has one. `private`: private addresses are allowed.

    Raises:
        CentreRefused: nothing in it can be taken, with all faults.
    """
    if _METALINK.search(text[:4096]):
        kind, found = "metalink", list(_metalink(text))
    elif specs.has_section(text):
        kind, found = ("lock", list(_lock(text, name))) if _LOCK.search(text) else ("environment", list(_environment(text, name)))
    else:
        kind, found = "list", [Wanted(asset) for asset in map(_line, _lines(text))]
    if not found:
        raise CentreRefused(
            "nothing to fetch in it", "expected URLs, one a line, or an environment.yml with `assets:`, or a Metalink"
        )
    if len(found) > _MOST:
        raise CentreRefused(f"{len(found)} files, expected at most {_MOST} at once")
    return _sorted(kind, found, lambda asset: _fault(asset, private=private))


def read_torrent_file(content: bytes, *, private: bool) -> Intake:
    """The files of a torrent, each as a magnet link; who has them is asked for by its trackers.

    Raises:
        CentreRefused: it is none, or private addresses are not allowed: peers may be anywhere.
    """
    if not private:
        raise CentreRefused(
            "a torrent: its peers may be anywhere, and the centre goes to public servers only",
            "an administrator can start it with `--allow-private`",
        )
    try:
        torrent = read_torrent(content)
    except ValueError as error:
        raise CentreRefused(f"the torrent cannot be used: {error}") from error
    asked = urlencode([("dn", torrent.name), *(("tr", each) for each in torrent.trackers)], quote_via=quote)
    link = f"magnet:?xt=urn:btih:{torrent.info_hash}&{asked}"
    found = [
        Wanted(
            _asset(f"{link}#{quote(file.path)}" if len(torrent.files) > 1 else link, size_bytes=file.size_bytes, name=file.path)
        )
        for file in torrent.files[: _MOST + 1]
    ]
    if len(found) > _MOST:
        raise CentreRefused(f"more than {_MOST} files, expected at most so many at once")
    return Intake("torrent", tuple(found), ())


def wanted_url(url: str, digest: Digest | None, size_bytes: int | None, *, private: bool) -> Wanted:
    """One URL with what is known of its bytes.

    Raises:
        CentreRefused: it cannot be taken.
    """
    asset = _asset(url, digest=digest, size_bytes=size_bytes)
    if fault := _fault(asset, private=private):
        raise CentreRefused(f"{asset.name}: {fault}")
    return Wanted(asset)


def _sorted(kind: str, found: Iterable[Wanted], fault_of: Callable[[Asset], str]) -> Intake:
    wanted, refused = [], []
    for each in found:
        if fault := fault_of(each.asset):
            refused.append(Refusal(each.asset.name, fault))
        else:
            wanted.append(each)
    if not wanted:
        raise CentreRefused("; ".join(f"{each.name[:120]}: {each.message}" for each in refused[:20]))
    return Intake(kind, tuple(wanted), tuple(refused))


def _fault(asset: Asset, *, private: bool) -> str:
    """Why the centre does not take it; empty when it does."""
    if asset.headers:
        return "has `headers`: the centre keeps nobody's credentials; fetch it with `conda assets sync`"
    for url in asset.urls:
        if len(url) > _URL_CHARACTERS:
            return f"its URL is longer than {_URL_CHARACTERS} characters"
        if "${" in url or "***" in url:
            return "its URL holds a secret, which is not in this file; fetch it with `conda assets sync`"
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            return "is no URL"
        scheme, known = parts.scheme.lower(), SCHEMES | _ANYWHERE if private else SCHEMES
        if scheme not in known:
            return f"`{parts.scheme}:` is not fetched by the centre, only {', '.join(sorted(known))}"
        if not (host or scheme == "magnet") or any(ord(sign) <= 32 or ord(sign) == 127 for sign in url):
            return "is no URL of a file"
        if not private and parts.path.lower().endswith(".torrent"):
            return "is a torrent: its peers may be anywhere, and the centre goes to public servers only"
        # Programs do not agree on where the host ends in these.
        if parts.netloc.count("@") > 1 or "\\" in parts.netloc or "%" in plain_host(host or "").partition(":")[0]:
            return "is no URL of a file"
        # Where the objects of a bucket are, on a server of somebody's own.
        for each in (url, *parse_qs(parts.query).get("endpoint", ())) if scheme in _BUCKETS else (url,):
            if not private and _is_inside(each):
                return f"{urlsplit(each).hostname} is in a private network, where the centre does not go"
    return ""


def _is_inside(url: str) -> bool:
    url = url if "://" in url else f"//{url}"
    try:
        host = plain_host(urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return True
    address = literal_address(url)
    return host.endswith(("localhost", ".local", ".internal")) or (address is not None and not is_public(address))


def _environment(text: str, source: str) -> Iterator[Wanted]:
    try:
        # Without the server's variables: nobody shall read them through a URL.
        spec = specs.load_texts([(source or "environment.yml", text)], environ={}, base=Path("environment"))
    except SpecInvalid as error:
        raise CentreRefused(error.message[:_SAID], "`conda assets schema` prints what the section may have") from error
    name = spec.name or Path(source).stem
    return (Wanted(asset, name) for asset in spec.assets)


def _lock(text: str, source: str) -> Iterator[Wanted]:
    """What the lock pins; a pattern's files each."""
    try:
        lock = read_lock(text, source or "assets.lock")
    except LockInvalid as error:
        raise CentreRefused(error.message[:_SAID]) from error
    environment = Path(source).name.partition(".")[0]
    for entry in lock.entries.values():
        for each in entry.files or (entry,):
            name = f"{entry.name}/{each.name}" if entry.files else each.name
            url = each.pinned_url or each.url
            asset = Asset(name, url, name, mirrors=each.mirrors, digest=each.digest, size_bytes=each.size_bytes)
            yield Wanted(asset, environment)


def _lines(text: str) -> Iterator[str]:
    return (line for each in text.splitlines() if (line := each.strip()) and not line.startswith("#"))


def _line(line: str) -> Asset:
    """`URL`, or `URL sha256:hex`."""
    url, _, rest = line.partition(" ")
    if "://" not in url and not url.startswith("magnet:?"):
        raise CentreRefused(f"{line[:200]!r} is no URL", "write one URL a line, or drop an environment.yml or a Metalink")
    digest = None
    if rest.strip():
        try:
            digest = parse_digest(rest.strip())
        except ValueError as error:
            raise CentreRefused(f"{line[:200]!r}: {error}", "write `URL` or `URL sha256:hex`, one a line") from error
    return _asset(url, digest=digest)


def _metalink(text: str) -> Iterator[Wanted]:
    """RFC 5854, and version 3 as older mirrors have it."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise CentreRefused("a Metalink with entities is not read")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise CentreRefused(f"the Metalink cannot be read: {error}") from error
    for file in (each for each in root.iter() if _tag(each) == "file"):
        parts = list(file.iter())
        urls = sorted((each for each in parts if _tag(each) == "url" and each.text), key=_rank)
        links = [url for each in urls if (url := str(each.text).strip()).startswith(("http://", "https://"))]
        if links:
            asset = _asset(links[0], digest=_hash(parts), size_bytes=_size(parts), name=file.get("name") or "")
            yield Wanted(replace(asset, mirrors=tuple(dict.fromkeys(links[1:]))))


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2].lower()


def _rank(element: ElementTree.Element) -> int:
    """The lower the better; version 3 has `preference`, the higher the better."""
    for key, sign in (("priority", 1), ("preference", -1)):
        said = element.get(key) or ""
        if said.isascii() and said.isdigit() and len(said) < 10:
            return sign * int(said)
    return 999_999


def _hash(parts: list[ElementTree.Element]) -> Digest | None:
    said = {_HASHES.get(each.get("type", "").lower(), ""): (each.text or "").strip() for each in parts if _tag(each) == "hash"}
    for algorithm in ("sha256", "sha512", "sha1", "md5"):
        if algorithm in said:
            try:
                return parse_digest(f"{algorithm}:{said[algorithm]}")
            except ValueError as error:
                raise CentreRefused(f"the Metalink's {algorithm}: {error}") from error
    return None


def _size(parts: list[ElementTree.Element]) -> int | None:
    text = next((str(each.text).strip() for each in parts if _tag(each) == "size" and each.text), "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _asset(url: str, *, digest: Digest | None = None, size_bytes: int | None = None, name: str = "") -> Asset:
    try:
        parts = urlsplit(url)
        called = parse_qs(parts.query).get("dn", [""])[0] if parts.scheme == "magnet" else last_part(url)
        given = name.rpartition("/")[2] or called or (parts.hostname or "")
    except ValueError:
        given = ""
    known = _NAME.sub("_", given).lstrip("._-")[:120] or "download"
    return Asset(name=known, url=url, path=known, digest=digest, size_bytes=size_bytes)
