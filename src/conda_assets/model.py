"""The records of the flow: what a file asks for, what is decided, what stands on the disk. No I/O.

    environment.yml ─spec→ Asset ─resolve→ Locked ─plan→ Plan(Steps) ─fetch→ Stored ─link→ Placed ─→ Report + receipt

Sizes are bytes, times seconds, time stamps nanoseconds; the names say so.
"""

from __future__ import annotations

import os
from enum import Enum
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from conda_assets.records import dataclass, field
from conda_assets.regexes import regex

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conda_assets.digest import Digest, Pieces
    from conda_assets.errors import AssetsError
    from conda_assets.torrent import Swarm

__all__ = [
    "ENGINES",
    "Asset",
    "Fresh",
    "Health",
    "Laid",
    "LinkMode",
    "LinkType",
    "Locked",
    "Outcome",
    "Placed",
    "Plan",
    "Report",
    "Root",
    "Spec",
    "State",
    "Step",
    "Stored",
    "Target",
    "Unpack",
    "Verb",
    "host_of",
    "last_part",
    "path_of_url",
    "shown_size",
    "shown_url",
    "without_user",
]

#: Where assets stand below a prefix (the contract's `root: prefix`).
PREFIX_FOLDER = PurePosixPath("share/assets")


#: Who may make an environment; `auto`: whoever is there, else the embedded one.
ENGINES = ("auto", "conda", "mamba", "micromamba", "rattler")


class Root(str, Enum):
    """What an asset's `path` is relative to."""

    PREFIX = "prefix"
    PROJECT = "project"


class LinkMode(str, Enum):
    """How the user wants it placed."""

    AUTO = "auto"
    COPY = "copy"


class LinkType(str, Enum):
    """How it was placed."""

    REFLINK = "reflink"
    HARDLINK = "hardlink"
    SYMLINK = "symlink"
    COPY = "copy"


class Verb(str, Enum):
    """What a plan does with an asset."""

    FETCH = "fetch"
    LINK = "link"
    KEEP = "keep"
    SKIP = "skip"


class State(str, Enum):
    """What `sync` did with an asset."""

    FETCHED = "fetched"
    LINKED = "linked"
    KEPT = "kept"
    SKIPPED = "skipped"
    FAILED = "failed"


class Health(str, Enum):
    """What `status` and `verify` find."""

    PRESENT = "present"
    MISSING = "missing"
    OUTDATED = "outdated"
    DAMAGED = "damaged"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Unpack:
    """`strip`: leading folders to drop; `include`: globs of members, empty for all."""

    strip: int = 0
    include: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """As the file would say it."""
        return {"strip": self.strip, "include": list(self.include)}


@dataclass(frozen=True, slots=True)
class Asset:
    """One entry of `assets:`, valid. `url`, `mirrors` and `headers` are expanded, so they may hold secrets: print `shown_url`.

    `written`: the URL and its mirrors as they stand in the file, variables not expanded; empty where that is the same.
    `relock`: set when a lock pins the asset: the command that takes new bytes of the publisher into it.
    `member`: set for one file of a pattern: its path below the pattern's own; the name is `pattern/member` then.
    `pieces`: the digests of its parts, where the lock has them.
    `torrent`: the one that the lock has of these bytes.
    `size_slack_bytes`: how far the true size may be from `size_bytes`; not 0 where the file says "523 MiB", a rounded figure.
    """

    name: str
    url: str = field(repr=False)
    path: str
    mirrors: tuple[str, ...] = field(default=(), repr=False)
    digest: Digest | None = None
    size_bytes: int | None = None
    root: Root = Root.PREFIX
    env: str | None = None
    groups: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    optional: bool = False
    unpack: Unpack | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    link: LinkMode = LinkMode.AUTO
    file: str = ""
    line: int = 0
    size_slack_bytes: int = 0
    written: tuple[str, ...] = field(default=(), repr=False)
    relock: str = ""
    member: str = ""
    pieces: Pieces | None = None
    torrent: bytes | None = field(default=None, repr=False)

    @property
    def owner(self) -> str:
        """Its name in the file: the pattern's for a file of one."""
        return self.name.removesuffix(f"/{self.member}") if self.member else self.name

    @property
    def env_path(self) -> str:
        """What the variable holds, below `root`: the pattern's folder for a file of one."""
        return self.path.removesuffix(f"/{self.member}") if self.member else self.path

    def fits(self, size_bytes: int) -> bool:
        """Whether a file of that size can be what the spec asks for."""
        return self.size_bytes is None or abs(size_bytes - self.size_bytes) <= self.size_slack_bytes

    @property
    def urls(self) -> tuple[str, ...]:
        """The URL and its mirrors, in the order of the file."""
        return (self.url, *self.mirrors)


@dataclass(frozen=True, slots=True)
class Spec:
    """What the files ask for. `sources`: as the user typed them; `base`: the folder of the first file, for `root: project`."""

    assets: tuple[Asset, ...]
    sources: tuple[str, ...]
    base: Path
    name: str | None = None
    prefix: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """Where assets go: an environment and, for `root: project`, a folder. Both absolute."""

    prefix: Path
    project: Path

    def folder(self, root: Root) -> Path:
        """The folder that `path` is relative to."""
        return _below(self.prefix) if root is Root.PREFIX else self.project


@lru_cache(maxsize=16)
def _below(prefix: Path) -> Path:
    """Once, because thousands of assets ask."""
    return prefix / PREFIX_FOLDER


@dataclass(frozen=True, slots=True)
class Laid:
    """A small file that was written and hashed, in a folder of the store, without its name yet. `digests`: sha256 among them."""

    path: str
    digests: Mapping[str, Digest]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Fresh:
    """Where to fetch from now, and what to send there; both may be secret and are never written down.

    `good_for_s`: seconds until it must be asked for anew, None for ever.
    """

    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    good_for_s: float | None = None


@dataclass(frozen=True, slots=True)
class Locked:
    """An asset and what its publisher says of it. `url`: the one of its URLs that was asked, `final_url` where its redirects end.

    `etag` only when strong; `modified`: Last-Modified as sent.
    `resumable`: the server serves ranges. `same_host`: `final_url` is on the host of `url`, so the headers may go there.

    `digest`: what the publisher says the bytes are, and `vouched_by` who says so, for people (`Hugging Face`, `SHA256SUMS beside
    the file`). `revision`: what pins it there (a commit, a version's DOI), and `pinned_url` is the same URL with
    that in it, for the lock. `also_at`: further URLs that the publisher names.
    `fresh`: asked before each connection where URLs expire or want credentials; then `final_url` is only shown, never fetched.
    `alone`: no mirror beside it while this one serves. `swarm`: whom it comes from where that is no server.
    `most_requests`: how many the publisher likes to be asked for one file, None where that does not matter.
    `page`: it is served as a web page, or is not; None where nobody has looked.
    """

    asset: Asset
    url: str = field(repr=False)
    final_url: str = field(repr=False)
    size_bytes: int | None
    etag: str | None
    modified: str | None
    resumable: bool
    same_host: bool
    digest: Digest | None = None
    vouched_by: str = ""
    revision: str | None = None
    pinned_url: str | None = field(default=None, repr=False)
    also_at: tuple[str, ...] = field(default=(), repr=False)
    fresh: Callable[[], Fresh] | None = field(default=None, repr=False, compare=False)
    most_requests: int | None = None
    alone: bool = False
    swarm: Swarm | None = field(default=None, repr=False)
    page: bool | None = None

    @property
    def promise(self) -> Digest | None:
        """What the bytes are held against: the user's word, else the publisher's."""
        return self.asset.digest or self.digest


@dataclass(frozen=True, slots=True)
class Stored:
    """A file in the store: read-only, named by its sha256 (64 hex digits)."""

    path: Path
    sha256: str
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Placed:
    """A receipt's line: what stands where, and why it is believed. `path` is relative to `root`, POSIX.

    `source` is a shown URL, `url_key` the sha256 of the full one (it may hold secrets). `want`: the asset's digest as text.
    `private`: a writable copy that the user asked for (`link: copy`) and may edit. `member`: see `Asset`.
    `unpack`: then `path` is a folder, unpacked in this way; `sha256` and `size_bytes` are the archive's, and a manifest
    (`conda_assets.unpack.manifest`) knows its files. `revision`: the publisher's name of the version.
    """

    name: str
    path: str
    root: Root
    sha256: str
    size_bytes: int
    modified_ns: int
    link: LinkType
    source: str
    url_key: str
    want: str | None = None
    env: str | None = None
    groups: tuple[str, ...] = ()
    optional: bool = False
    private: bool = False
    project: str | None = None
    unpack: Unpack | None = None
    member: str = ""
    revision: str | None = None

    @property
    def owner(self) -> str:
        """Its name in the file: the pattern's for a file of one."""
        return self.name.removesuffix(f"/{self.member}") if self.member else self.name


@dataclass(frozen=True, slots=True)
class Step:
    """One asset's part of a plan. `because` is a clause for people; `stored` is set for LINK, `placed` for KEEP."""

    verb: Verb
    asset: Asset
    because: str
    stored: Stored | None = None
    placed: Placed | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order of the file."""

    steps: tuple[Step, ...]

    def of(self, verb: Verb) -> tuple[Step, ...]:
        """The steps with that verb."""
        return tuple(step for step in self.steps if step.verb is verb)

    @property
    def known_bytes(self) -> int:
        """Bytes to fetch, as far as the file says."""
        return sum(step.asset.size_bytes or 0 for step in self.of(Verb.FETCH))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one asset; a row of the report and of the JSON. `state`: a State or a Health.

    `unpack`: how `path` was unpacked, None for a file; `size_bytes` and `sha256` are the archive's.
    """

    name: str
    state: State | Health
    because: str = ""
    path: Path | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    source: str | None = None
    bytes_fetched: int = 0
    seconds: float = 0.0
    link: LinkType | None = None
    pinned: bool = False
    optional: bool = False
    unpack: Unpack | None = None
    error: AssetsError | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a command did. `outcomes` in the order of the file."""

    command: str
    target: Target | None
    sources: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """Failed assets that are not optional."""
        return tuple(row for row in self.outcomes if row.error is not None and not row.optional)


_USERINFO = regex(r"^[^@]*@")
# Nothing to hide, and as `urlunsplit` would write it: five times as fast as to look into it.
_OPEN = regex(r"[a-z][a-z0-9+.-]*://[A-Za-z0-9][A-Za-z0-9._~:/%!$&'()*+,;=-]*")
# conda's tokens stand in the path. Source: conda.common.url.split_anaconda_token
_TOKEN = regex(r"/t/[A-Za-z0-9-]+(?=/|$)")


def shown_url(url: str) -> str:
    """The URL without user, password, conda token, query and fragment: those may be secrets."""
    if _OPEN.fullmatch(url) and "/t/" not in url:
        return url
    parts = urlsplit(url)
    path = _TOKEN.sub("/t/<TOKEN>", parts.path) if "/t/" in parts.path else parts.path
    return urlunsplit((parts.scheme, _USERINFO.sub("", parts.netloc), path, "", ""))


def without_user(url: str) -> str:
    """The URL without user and password, all else kept."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=_USERINFO.sub("", parts.netloc))) if "@" in parts.netloc else url


def host_of(url: str) -> str:
    """`scheme://host:port` in lower case, without user: who a header may be sent to."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{_USERINFO.sub('', parts.netloc)}".lower()


def last_part(url: str) -> str:
    """The last path part of the URL, decoded; empty where there is none."""
    return unquote(PurePosixPath(urlsplit(url).path).name)


def path_of_url(url: str) -> Path:
    """The path that a `file:` URL names."""
    path = unquote(urlsplit(url).path)
    # file:///C:/data
    return Path(path[1:] if os.name == "nt" and path[2:3] == ":" else path)


def shown_size(count: float) -> str:
    """Bytes for people, in powers of 1000 as browsers show them: `548.1 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        # 999,960 bytes would be rounded up to "1000.0 kB".
        if abs(count) < (1000 if unit == "B" else 999.95):
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
