"""Whether publishers still have what was locked or placed: each is asked, nothing is fetched, nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from conda_assets.api.asking import ask_each
from conda_assets.api.expand import listed
from conda_assets.api.members import is_several
from conda_assets.digest import Digest, parse_digest
from conda_assets.errors import AssetsError, NotThere, Offline
from conda_assets.model import Asset, Locked, Placed, Spec
from conda_assets.records import dataclass, replace
from conda_assets.settings import Settings
from conda_assets.sources import probe, vouch
from conda_assets.spec.hiding import led_to
from conda_assets.spec.lockfile import Entry, Lock, misfit

__all__ = ["News", "NewsRow", "of_receipt", "outdated"]


class News(str, Enum):
    """What became of an upstream. Worst last, `unknown` (nothing to compare with) and `failed` (no answer) aside."""

    CURRENT = "current"
    UNKNOWN = "unknown"
    FAILED = "failed"
    MOVED = "moved"
    CHANGED = "changed"
    VANISHED = "vanished"


@dataclass(frozen=True, slots=True)
class NewsRow:
    """One asset's news. `because`: a clause; `was`, `now`: the facts that were compared; `since`: lock, environment or file."""

    name: str
    state: News
    because: str
    since: str = ""
    was: Entry | None = None
    now: Locked | None = None
    optional: bool = False
    error: AssetsError | None = None


def outdated(
    spec: Spec, locks: Mapping[str, Lock], placed: Mapping[str, Placed], settings: Settings, only: Iterable[str] = ()
) -> tuple[NewsRow, ...]:
    """Ask about each asset of the spec, compared with its lock entry, else what the receipt or the file says; in their order."""
    names = set(only)
    assets = [asset for asset in spec.assets if not names or asset.owner in names or asset.name in names]
    before = {asset.name: _before(asset, locks.get(asset.file), placed) for asset in assets}
    several = [asset for asset in assets if is_several(asset)]
    lists = {asset.name: files for asset, files in listed(several, settings)}
    single = [asset for asset in assets if asset.name not in lists]
    files = [file for found in lists.values() if not isinstance(found, AssetsError) for file in found]
    known = {name: entry for name, (entry, _) in before.items() if entry}
    for asset in several:
        if asset.name in known:
            known |= {f"{asset.name}/{each.name}": each for each in known[asset.name].files}
    said = _ask_all([each for each in (*single, *files) if each.name in known], known, settings)
    rows = []
    for asset in assets:
        entry, since = before[asset.name]
        if entry is None:
            rows.append(NewsRow(asset.name, News.UNKNOWN, "not locked, not placed, and without a hash", optional=asset.optional))
            continue
        found = lists.get(asset.name)
        row = _of_one(asset, entry, said[asset.name]) if found is None else _of_several(asset, entry, found, said)
        rows.append(replace(row, since=since, was=entry, optional=asset.optional))
    return tuple(rows)


def of_receipt(placed: Mapping[str, Placed]) -> Spec:
    """What an environment's receipt knows of its assets, where no file is at hand; each file of a pattern for itself."""
    assets = tuple(Asset(line.name, line.source, line.path, optional=line.optional) for line in placed.values())
    return Spec(assets, ("the receipt",), Path())


def _before(asset: Asset, lock: Lock | None, placed: Mapping[str, Placed]) -> tuple[Entry | None, str]:
    """What is to be compared with, and where that is from."""
    entry = lock.entries.get(asset.name) if lock else None
    if entry is not None and not misfit(entry, asset):
        return entry, "lock"
    if files := [line for line in placed.values() if line.member and line.owner == asset.name]:
        return Entry(asset.name, files=tuple(replace(_of_line(line), name=line.member) for line in files)), "environment"
    if asset.name in placed:
        return _of_line(placed[asset.name]), "environment"
    if asset.digest is not None:
        own = asset.digest
        is_sha256 = own.algorithm == "sha256"
        exact = asset.size_bytes if not asset.size_slack_bytes else None
        return Entry(asset.name, size_bytes=exact, sha256=own if is_sha256 else None, other=None if is_sha256 else own), "file"
    return None, ""


def _of_line(line: Placed) -> Entry:
    want = parse_digest(line.want) if line.want else None
    other = want if want and want.algorithm != "sha256" else None
    sha256 = Digest("sha256", line.sha256)
    return Entry(line.name, revision=line.revision, size_bytes=line.size_bytes, sha256=sha256, other=other)


def _ask_all(
    assets: Sequence[Asset], known: Mapping[str, Entry], settings: Settings
) -> dict[str, tuple[Locked, bool] | AssetsError]:
    """By name: what its publisher says, and whether the revision that was locked is still to be had."""

    def ask(asset: Asset) -> tuple[Locked, bool]:
        entry = known[asset.name]
        # Another size or hash is what is looked for, and no error here.
        asset = replace(asset, digest=None, size_bytes=None)
        if settings.offline:
            raise Offline(asset.name, "its publisher has to be asked, and the network may not be used (offline)")
        said = probe(asset, asset.url, settings.network)
        if not _is_proven(entry, said):
            with suppress(AssetsError):  # what it may have beside the file was only to make sure
                said = vouch(asset, said, settings.network)
        if entry.revision in (None, said.revision) or not entry.pinned_url:
            return said, True
        with suppress(AssetsError):
            try:
                probe(replace(asset, url=entry.pinned_url), entry.pinned_url, settings.network)
            except NotThere:
                return said, False
        return said, True

    return {asset.name: answer for asset, answer in ask_each(assets, ask)}


def _is_proven(entry: Entry, said: Locked) -> bool:
    """What was said tells whether the bytes are the same ones."""
    return said.digest is not None or (said.etag is not None and entry.etag is not None)


def _of_one(asset: Asset, entry: Entry, answer: tuple[Locked, bool] | AssetsError) -> NewsRow:
    if isinstance(answer, NotThere):
        return NewsRow(asset.name, News.VANISHED, answer.cause, error=answer)
    if isinstance(answer, AssetsError):
        return NewsRow(asset.name, News.FAILED, answer.message, error=answer)
    said, still_there = answer
    if not still_there:
        return NewsRow(asset.name, News.VANISHED, f"the locked revision {entry.revision} is gone", now=said)
    other = _other_bytes(entry, said)
    if entry.revision and said.revision and entry.revision != said.revision:
        bytes_said = other or "the same bytes as far as is said"
        return NewsRow(asset.name, News.MOVED, f"revision {entry.revision} is {said.revision} now: {bytes_said}", now=said)
    if other:
        return NewsRow(asset.name, News.CHANGED, other, now=said)
    if urlsplit(asset.url).scheme not in ("http", "https"):
        return NewsRow(asset.name, News.CURRENT, "", now=said)  # where such a one leads is a setting of ours (HF_ENDPOINT)
    leads_to = led_to(said.final_url, said.url, asset.written[0] if asset.written else asset.url)
    if entry.final_url and leads_to != entry.final_url and not _same_place(entry.final_url, leads_to or said.url):
        return NewsRow(asset.name, News.MOVED, f"it led to {entry.final_url}, and leads to {leads_to or 'itself'} now", now=said)
    return NewsRow(asset.name, News.CURRENT, "", now=said)


def _other_bytes(entry: Entry, said: Locked) -> str:
    """How it can be told that the bytes are others, as a clause; empty where it cannot."""
    if said.digest is not None:
        for known in entry.digests():
            if known.algorithm == said.digest.algorithm:
                return "" if known == said.digest else f"{known} is {said.digest} now"
    if entry.size_bytes is not None and said.size_bytes is not None and entry.size_bytes != said.size_bytes:
        return f"{entry.size_bytes} bytes are {said.size_bytes} now"
    if entry.etag and said.etag and entry.etag != said.etag:
        return f"the ETag {entry.etag} is {said.etag} now"
    if entry.modified and not entry.etag and said.modified and entry.modified != said.modified:
        return f"it was changed on {said.modified}, before on {entry.modified}"
    return ""


def _same_place(before: str, now: str) -> bool:
    """The same path on hosts of one domain: mirror networks lead to another machine each time."""
    one, two = urlsplit(before), urlsplit(now)

    def domain(host: str | None) -> list[str]:
        return (host or "").lower().split(".")[-2:]

    return one.path == two.path and domain(one.hostname) == domain(two.hostname)


def _of_several(
    asset: Asset,
    entry: Entry,
    found: tuple[Asset, ...] | AssetsError,
    said: Mapping[str, tuple[Locked, bool] | AssetsError],
) -> NewsRow:
    """A pattern's news: of its list, then the worst of its files."""
    if isinstance(found, NotThere):
        return NewsRow(asset.name, News.VANISHED, found.cause, error=found)
    if isinstance(found, AssetsError):
        return NewsRow(asset.name, News.FAILED, found.message, error=found)
    before, now = {each.name: each for each in entry.files}, {file.member: file for file in found}
    new, gone = sorted(set(now) - set(before)), sorted(set(before) - set(now))
    rows = [_of_one(now[member], before[member], said[now[member].name]) for member in now if member in before]
    states = list(News)
    worst = max(rows, key=lambda row: states.index(row.state), default=NewsRow(asset.name, News.CURRENT, ""))
    if gone and worst.state is not News.VANISHED:
        return NewsRow(asset.name, News.VANISHED, f"{len(gone)} of {len(before)} files are gone: {', '.join(gone[:3])}")
    if worst.state in (News.CHANGED, News.VANISHED):
        return NewsRow(
            asset.name, worst.state, f"{worst.name.removeprefix(asset.name + '/')}: {worst.because}", error=worst.error
        )
    if new:
        return NewsRow(asset.name, News.MOVED, f"{len(new)} new files: {', '.join(new[:3])}")
    return replace(worst, name=asset.name)
