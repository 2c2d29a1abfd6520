"""Make the lock: ask every publisher, download only where none vouches for a hash, write what was learned beside the file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from conda_assets.api.arriving import Brought, bring
from conda_assets.api.asking import ask_each
from conda_assets.api.entries import entry_of, member_entry, unchanged
from conda_assets.api.expand import listed
from conda_assets.api.lockfiles import own_assets, relock_command, write_lock
from conda_assets.api.members import is_several
from conda_assets.api.remotes import sizes_there
from conda_assets.api.sharing import Sharer
from conda_assets.api.sync import one_at_a_time
from conda_assets.errors import (
    AssetsError,
    DigestMismatch,
    LockStale,
    Offline,
    UnknownAsset,
    UsageError,
)
from conda_assets.events import Failed, Observer, nobody
from conda_assets.model import Asset, Locked, Spec, shown_url
from conda_assets.records import dataclass, replace
from conda_assets.settings import Settings
from conda_assets.sources import probe, vouch
from conda_assets.spec.lockfile import FIRST_DOWNLOAD, Entry, Lock, as_written, lock_text, mirrors_as_written, misfit, misfits
from conda_assets.store import open_stores

__all__ = ["LockReport", "LockRow", "Renewal", "check_locks", "lock"]


@dataclass(frozen=True, slots=True)
class Renewal:
    """Which entries are made anew although they fit: some names, or `everything`.

    `torrents`: every entry gets one, where the store has the bytes.
    Of everything, a file whose strong ETag is the locked one is not fetched again; one that is named always is.
    """

    names: Collection[str] = ()
    everything: bool = False
    torrents: bool = False

    def wants(self, name: str) -> bool:
        """Whether that one is."""
        return self.everything or name in self.names


@dataclass(frozen=True, slots=True)
class _Run:
    """`old`: what the locks say now. `anew`: names for which no ETag is proof enough. `size_there`: as stores elsewhere say."""

    old: Mapping[str, Entry]
    anew: Collection[str]
    settings: Settings
    environ: Mapping[str, str]
    watch: Observer
    size_there: Callable[[Asset], int | None]


@dataclass(frozen=True, slots=True)
class LockRow:
    """What became of one asset's entry. `state`: locked, kept, removed or failed; `because`: a clause."""

    name: str
    state: str
    because: str = ""
    entry: Entry | None = None
    bytes_fetched: int = 0
    optional: bool = False
    error: AssetsError | None = None


@dataclass(frozen=True, slots=True)
class LockReport:
    """`written`: the locks whose bytes changed."""

    sources: tuple[str, ...]
    places: tuple[Path, ...]
    written: tuple[Path, ...]
    rows: tuple[LockRow, ...]

    @property
    def failures(self) -> tuple[LockRow, ...]:
        """Failed assets that are not optional."""
        return tuple(row for row in self.rows if row.error is not None and not row.optional)


def check_locks(spec: Spec, places: Mapping[str, Path], locks: Mapping[str, Lock], program: str) -> None:
    """Whether `lock` would leave every lock as it is; asks nobody, writes nothing.

    Raises:
        LockStale: it would not.
    """
    for source, path in places.items():
        assets, lock = own_assets(spec, source), locks.get(source)
        why = misfits(assets, lock) if lock else (("there is no such file",) if assets else ())
        if why:
            raise LockStale(lock.file if lock else str(path), why, relock_command(program, source))


def lock(
    spec: Spec,
    places: Mapping[str, Path],
    locks: Mapping[str, Lock],
    settings: Settings,
    *,
    renew: Renewal | None = None,
    dry_run: bool = False,
    environ: Mapping[str, str],
    watch: Observer = nobody,
) -> LockReport:
    """Bring the locks of the spec's files up to date. Entries that fit stay as they are, unless `renew` names them.

    `places`, `locks`: spec file → where its lock is, and what it says; as `pinning` gives them. A failed asset does not stop the
    others; its old entry stays.

    Raises:
        UnknownAsset: a name to renew that the file does not have.
        UsageError: a file on the web, which has no lock.
        DiskRefused: a lock cannot be written.
    """
    renew = renew or Renewal()
    names = {asset.name for asset in spec.assets}
    if strange := sorted(set(renew.names) - names):
        raise UnknownAsset(
            f"no asset {strange[0]!r} in {', '.join(spec.sources)}", f"it has: {', '.join(sorted(names)) or 'none'}"
        )
    if far := [source for source in spec.sources if source not in places]:
        raise UsageError(f"{far[0]} is on the web, and a lock stands beside its file", "download it, then name it with `-f FILE`")
    old = {name: entry for each in locks.values() for name, entry in each.entries.items()}
    todo = [asset for asset in spec.assets if asset.name not in old or renew.wants(asset.name) or misfit(old[asset.name], asset)]
    watch = one_at_a_time(watch)
    made = _with_patterns(todo, _Run(old, renew.names, settings, environ, watch, sizes_there(settings, watch)))
    rows = [
        made.get(asset.name) or LockRow(asset.name, "kept", "it fits", _kept(old[asset.name], asset)) for asset in spec.assets
    ]
    sharer = Sharer(settings, renew.torrents, watch)
    rows = [replace(row, entry=sharer.shared(row.entry, old.get(row.name))) if row.entry else row for row in rows]
    gone = sorted(name for name in old if name not in names)
    rows += [LockRow(name, "removed", "no longer in the file") for name in gone]
    entries = {row.name: row.entry for row in rows if row.entry}
    written = []
    for source, path in places.items():
        mine = [entries[asset.name] for asset in own_assets(spec, source) if asset.name in entries]
        if (mine or source in locks) and not dry_run and write_lock(path, lock_text(mine)):
            written.append(path)
    return LockReport(spec.sources, tuple(places.values()), tuple(written), tuple(rows))


def _kept(entry: Entry, asset: Asset) -> Entry:
    """An entry that fits; mirrors are copied from the file, which needs nobody."""
    return replace(entry, mirrors=mirrors_as_written(asset))


def _with_patterns(assets: Sequence[Asset], run: _Run) -> dict[str, LockRow]:
    """A row for each of the assets, and each file of a pattern asked for as an asset of its own."""
    rows: dict[str, LockRow] = {}
    files: dict[str, tuple[Asset, ...]] = {}
    for asset, found in listed([asset for asset in assets if is_several(asset)], run.settings):
        if isinstance(found, AssetsError):
            rows[asset.name] = _failed(asset, found, run)
        else:
            files[asset.name] = found
    single = [asset for asset in assets if asset.name not in rows and asset.name not in files]
    before = dict(run.old)
    before |= {f"{name}/{each.name}": each for name in files if name in run.old for each in run.old[name].files}
    made = _make([*single, *(each for listing in files.values() for each in listing)], replace(run, old=before))
    for asset in assets:
        if asset.name in files:
            rows[asset.name] = _together(asset, files[asset.name], made, run.old)
        elif asset.name in made:
            rows[asset.name] = made[asset.name]
    return rows


def _together(asset: Asset, files: Sequence[Asset], made: Mapping[str, LockRow], old: Mapping[str, Entry]) -> LockRow:
    """A pattern's row: its files, or the first failure among them."""
    rows = [made[each.name] for each in files]
    count = sum(row.bytes_fetched for row in rows)
    if bad := next((row for row in rows if row.error), None):
        return replace(bad, name=asset.name, entry=old.get(asset.name), bytes_fetched=count)
    try:
        entries = tuple(member_entry(asset, each, row.entry) for each, row in zip(files, rows, strict=True) if row.entry)
    except AssetsError as error:
        return LockRow(asset.name, "failed", error.message, old.get(asset.name), count, asset.optional, error)
    entry = Entry(asset.name, url=as_written(asset), files=entries)
    return LockRow(asset.name, "locked", f"{len(files)} files", entry, count, asset.optional)


def _make(assets: Sequence[Asset], run: _Run) -> dict[str, LockRow]:
    """A row for each of the assets."""
    rows: dict[str, LockRow] = {}
    asked: dict[str, tuple[Asset, Locked]] = {}
    for asset, said in _ask_all(assets, run.settings):
        if isinstance(said, AssetsError):
            rows[asset.name] = _unanswered(asset, said, run)
        elif (entry := unchanged(asset, said, None if asset.owner in run.anew else run.old.get(asset.name))) is not None:
            rows[asset.name] = LockRow(asset.name, "locked", "the publisher has the same file", entry)
        elif asset.digest or said.digest:
            rows[asset.name] = _vouched(asset, said, run)
        else:
            asked[asset.name] = (asset, said)
    renewed = [asset.name for asset in assets if asset.name in run.old and not misfit(run.old[asset.name], asset)]
    for asset, brought in bring(asked, run.settings, run.environ, run.watch, afresh=renewed):
        if isinstance(brought, AssetsError):
            rows[asset.name] = _failed(asset, brought, replace(run, watch=nobody))  # which has been told of
        else:
            rows[asset.name] = _first(asset, brought)
    return rows


def _ask_all(assets: Sequence[Asset], settings: Settings) -> Iterator[tuple[Asset, Locked | AssetsError]]:
    """Each asset with what its first URL that answers says, in the order given."""

    def ask(asset: Asset) -> Locked:
        if settings.offline:
            raise Offline(asset.name, "its publisher has to be asked, and the network may not be used (offline)")
        errors: list[AssetsError] = []
        for url in asset.urls:
            try:
                return vouch(asset, probe(asset, url, settings.network), settings.network)
            except AssetsError as error:
                errors.append(error)
        raise next((error for error in errors if error.retryable), errors[0])

    return ask_each(assets, ask)


def _vouched(asset: Asset, locked: Locked, run: _Run) -> LockRow:
    """Somebody says what the bytes are: the publisher, the file, or both, who then have to agree."""
    own, said = asset.digest, locked.digest
    if own and said and own.algorithm == said.algorithm and own != said:
        source = shown_url(locked.url)
        return _failed(asset, DigestMismatch(asset.name, own.algorithm, own.hex, said.hex, source), run)
    digests = [each for each in (own, said) if each]
    stored = next((found for each in digests if (found := open_stores(run.settings.stores).find(each))), None)
    vouched_by = locked.vouched_by if said else Path(asset.file).name or "the file"
    if stored is None and locked.size_bytes is None:
        locked = replace(locked, size_bytes=run.size_there(replace(asset, digest=digests[0])))
    return LockRow(asset.name, "locked", entry=entry_of(asset, locked, digests, stored, vouched_by))


def _unanswered(asset: Asset, error: AssetsError, run: _Run) -> LockRow:
    """A publisher that does not answer now, and a file whose hash the spec has: who has the bytes, here or elsewhere, is enough.

    One that says that the file is not there, or not for us, is believed.
    """
    if asset.digest is None or not error.retryable or run.settings.offline:
        return _failed(asset, error, run)
    stored = open_stores(run.settings.stores).find(asset.digest)
    size_bytes = stored.size_bytes if stored is not None else run.size_there(asset)
    if size_bytes is None or not asset.fits(size_bytes):
        return _failed(asset, error, run)
    known = Locked(asset, asset.url, asset.url, size_bytes, etag=None, modified=None, resumable=False, same_host=True)
    return replace(_vouched(asset, known, run), because="the store has it, its publisher does not answer")


def _first(asset: Asset, brought: Brought) -> LockRow:
    entry = entry_of(asset, brought.locked, [], brought.stored, FIRST_DOWNLOAD)
    return LockRow(asset.name, "locked", brought.because, replace(entry, pieces=brought.pieces), brought.bytes_fetched)


def _failed(asset: Asset, error: AssetsError, run: _Run) -> LockRow:
    run.watch(Failed(asset.name, error.message, tuple(hint.text for hint in error.hints), asset.optional))
    return LockRow(asset.name, "failed", error.message, run.old.get(asset.name), optional=asset.optional, error=error)
