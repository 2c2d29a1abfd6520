"""The verb that locks."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

from conda_assets.api.lock import LockReport, LockRow, Renewal, check_locks, lock
from conda_assets.api.lockfiles import find_locks, read_locks
from conda_assets.cli.call import Call
from conda_assets.cli.document import SCHEMA
from conda_assets.errors import Interrupted
from conda_assets.model import Spec, shown_size, shown_url
from conda_assets.spec.lockfile import Entry
from conda_assets.terminal import say
from conda_assets.terminal.tables import Column, table

__all__ = ["run_lock"]

_COLUMNS = [
    Column("name", least=12),
    Column("state"),
    Column("size", right=True),
    Column("digest", least=20),
    Column("vouched for by", least=12),
    Column("why", least=16, wraps=True),
]


def run_lock(call: Call) -> int:
    """Bring the lock beside each file up to date; with `--check`, say whether it is."""
    spec = call.spec()
    places = find_locks(spec.sources, call.cwd)
    locks = read_locks(places, call.program)
    if call.args.check:
        check_locks(spec, places, locks, call.program)
        if call.json:
            call.write({**_head(call, spec, tuple(places.values()), success=True), "written": [], "assets": []})
        else:
            call.say(f"Up to date: {', '.join(each.file for each in locks.values()) or 'there is nothing to lock'}")
        return 0
    again = shlex.join([*call.program.split(), "lock", *(word for source in spec.sources for word in ("-f", source))])
    try:
        with call.drawing() as watch:
            report = lock(
                spec,
                places,
                locks,
                call.settings,
                renew=Renewal(call.args.update, call.args.update_all, call.args.torrents),
                dry_run=call.args.dry_run,
                environ=call.environ,
                watch=watch,
            )
    except KeyboardInterrupt:
        raise Interrupted(again) from None
    return _answer(call, spec, report, again)


def _answer(call: Call, spec: Spec, report: LockReport, again: str) -> int:
    status = max((row.error.exit_code for row in report.failures if row.error), default=0)
    if call.json:
        document = _head(call, spec, report.places, success=status == 0)
        document["written"] = [str(path) for path in report.written]
        document["assets"] = [_json_row(row) for row in report.rows]
        states = Counter(row.state for row in report.rows)
        totals: dict[str, object] = {state: states[state] for state in ("locked", "kept", "removed", "failed")}
        totals["bytes_fetched"] = sum(row.bytes_fetched for row in report.rows)
        call.write({**document, "totals": {"assets": len(report.rows), **totals}})
    else:
        call.say(_text(call, report))
    if status:
        names = ", ".join(row.name for row in report.failures)
        lines = [f"Error: {len(report.failures)} of {len(report.rows)} assets cannot be locked: {names}"]
        if call.quiet or call.json:
            lines += [f"  {row.because}" for row in report.failures]
        say(call.err, "\n".join([*lines, f"Hint: what is known is in the lock; go on with `{again}`"]))
    return status


def _head(call: Call, spec: Spec, places: tuple[Path, ...], *, success: bool) -> dict[str, object]:
    file = spec.sources[0] if len(spec.sources) == 1 else list(spec.sources)
    lock_file = str(places[0]) if len(places) == 1 else [str(path) for path in places]
    head: dict[str, object] = {"schema": SCHEMA, "success": success, "command": call.verb, "file": file, "lock": lock_file}
    return {**head, "dry_run": True} if getattr(call.args, "dry_run", False) else head


def _json_row(row: LockRow) -> dict[str, object]:
    entry = row.entry
    return {
        "name": row.name,
        "state": row.state,
        "size_bytes": _size_of(entry) if entry else None,
        "files": len(entry.files) or None if entry else None,
        "sha256": entry.sha256.hex if entry and entry.sha256 else None,
        "hash": str(entry.other) if entry and entry.other else None,
        "revision": entry.revision if entry else None,
        "vouched_by": entry.vouched_by if entry else None,
        "source": shown_url(entry.url) if entry else None,
        "bytes_fetched": row.bytes_fetched,
        "optional": row.optional,
        "because": row.because or None,
        "error": row.error.to_json() if row.error else None,
    }


def _size_of(entry: Entry) -> int | None:
    """Bytes; of all files together where it is a pattern, None where one is unknown."""
    sizes = [each.size_bytes for each in entry.files or (entry,)]
    return None if None in sizes else sum(size or 0 for size in sizes)


def _shown_size(entry: Entry) -> str:
    size_bytes = _size_of(entry)
    return "" if size_bytes is None else shown_size(size_bytes)


def _text(call: Call, report: LockReport) -> str:
    """A row for each asset that was touched; all of them with `-v`."""
    shown = [row for row in report.rows if row.state != "kept" or call.args.verbose]
    rows = [
        (
            row.name,
            row.state,
            _shown_size(row.entry) if row.entry else "",
            f"{row.entry.digest.algorithm}:{row.entry.digest.hex[:12]}…" if row.entry and row.entry.digest else "",
            row.entry.vouched_by if row.entry else "",
            row.because.removeprefix(f"{row.name}: "),
        )
        for row in shown
    ]
    written = ", ".join(str(path.relative_to(call.cwd) if path.is_relative_to(call.cwd) else path) for path in report.written)
    would = "Nothing was written (dry run)" if call.args.dry_run else "Nothing to do: the lock is up to date"
    end = f"Written: {written}" if written else would
    return "\n".join([*table(_COLUMNS, rows, call.width), *([""] if rows else []), end])
