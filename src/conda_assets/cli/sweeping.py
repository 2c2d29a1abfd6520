"""`gc --remote`: show what may go from the stores elsewhere, ask, delete."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime, timezone

from conda_assets.cli.call import Call, asks
from conda_assets.cli.document import SCHEMA
from conda_assets.cli.logged import log_lines
from conda_assets.errors import Offline, UsageError
from conda_assets.model import shown_size
from conda_assets.records import dataclass
from conda_assets.remote.kind import Held
from conda_assets.remote.opening import open_remote
from conda_assets.remote.sweeping import Finding, Swept, survey, sweep

__all__ = ["run_remote_gc"]


@dataclass(frozen=True, slots=True)
class _Store:
    """One remote store. `swept`: None where nothing was to be deleted."""

    finding: Finding
    swept: Swept | None = None

    @property
    def removed(self) -> tuple[Held, ...]:
        return self.finding.going if self.swept is None else self.swept.files


def run_remote_gc(call: Call, older_than_s: float | None) -> int:
    """Remove from every remote store what no machine uses; `older_than_s` in place of the grace period of the settings."""
    args, settings = call.args, call.settings
    if args.max_size or args.forget:
        raise UsageError(
            "--max-size and --forget are for folders", "a store elsewhere forgets what is not heard of for `--older-than`"
        )
    if not settings.remotes:
        raise UsageError("no remote store is set", "`plugins: assets_stores:` in ~/.condarc or `CONDA_ASSETS_STORE` may have one")
    if settings.offline:
        raise Offline("gc", "the network may not be used (offline)")
    grace_s = settings.grace_s if older_than_s is None else older_than_s
    with ExitStack() as stack:
        remotes = [stack.enter_context(open_remote(remote, settings.network)) for remote in settings.remotes]
        return _collect(call, [_Store(survey(remote, grace_s)) for remote in remotes])


def _collect(call: Call, stores: list[_Store]) -> int:
    args = call.args
    if not call.json:
        for store in stores:
            _tell(call, store.finding)
    if not args.dry_run:
        going = [row for store in stores for row in store.removed]
        if going and not asks(call, f"Remove {_sum(going)}"):
            call.say("Nothing was removed")
            return 0
        stores = [_Store(store.finding, sweep(store.finding)) for store in stores]
        gone = [f"removed {store.finding.store.shown_key(row.key)}" for store in stores for row in store.removed]
        log_lines(call.verb, call.settings, call.environ, gone)
    if call.json:
        call.write(_document(stores, dry_run=args.dry_run))
    elif not args.dry_run:
        call.tell(f"Removed {_sum([row for store in stores for row in store.removed])}")
        for store in stores:
            if store.removed and store.finding.store.frees:
                call.say(f"  {store.finding.store.shown}: {store.finding.store.frees}")
    return 0


def _tell(call: Call, finding: Finding) -> None:
    if call.args.dry_run or call.args.verbose:
        for row in finding.going:
            call.tell(f"{_day(row)}  {shown_size(row.size_bytes):>9}  {row.key}")
    has = f"{finding.files:,} files, {shown_size(finding.size_bytes)}; {shown_size(finding.leased_bytes)} in use"
    call.say(f"{finding.store.shown}: {has}, by {len(finding.leases):,} leases")
    if finding.over:
        names = ", ".join(lease.holder or lease.row.key for lease in finding.over[:3])
        call.say(f"  {len(finding.over):,} leases were not renewed in time and go: {names}")
    if finding.uploads:
        call.say(f"  {len(finding.uploads):,} uploads were never ended and go")
    if call.args.dry_run:
        call.tell(f"Would remove {_sum(finding.going)}")


def _sum(rows: list[Held] | tuple[Held, ...]) -> str:
    return f"{len(rows):,} file{'' if len(rows) == 1 else 's'}: {shown_size(sum(row.size_bytes for row in rows))}"


def _document(stores: list[_Store], *, dry_run: bool) -> dict[str, object]:
    """{"schema": 1, "success": true, "command": "gc", "dry_run": false,
    "remotes": [{"url": …, "files": 12, "size_bytes": …, "leased_bytes": …, "leases": 3, "leases_over": 0, "uploads_over": 0,
                 "grace_s": …, "kept": 0}],
    "removed": [{"kind": "file", "url": …, "sha256": …, "size_bytes": …, "modified": …}],
    "totals": {"removed": 1, "bytes_freed": …}}
    """
    removed = [
        {
            "kind": "file",
            "url": store.finding.store.shown_key(row.key),
            "sha256": row.sha256,
            "size_bytes": row.size_bytes,
            "modified": _day(row),
        }
        for store in stores
        for row in store.removed
    ]
    remotes = [
        {
            "url": store.finding.store.shown,
            "files": store.finding.files,
            "size_bytes": store.finding.size_bytes,
            "leased_bytes": store.finding.leased_bytes,
            "leases": len(store.finding.leases),
            "leases_over": len(store.finding.over),
            "uploads_over": len(store.finding.uploads),
            "grace_s": store.finding.grace_s,
            "kept": store.swept.kept if store.swept else 0,
        }
        for store in stores
    ]
    totals = {"removed": len(removed), "bytes_freed": sum(row.size_bytes for store in stores for row in store.removed)}
    head = {"schema": SCHEMA, "success": True, "command": "gc", "dry_run": dry_run}
    return {**head, "remotes": remotes, "removed": removed, "totals": totals}


def _day(row: Held) -> str:
    return datetime.fromtimestamp(row.modified_s, timezone.utc).isoformat(timespec="seconds")
