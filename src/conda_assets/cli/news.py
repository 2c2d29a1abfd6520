"""The verb that asks whether locked or placed files are still what their publishers have."""

from __future__ import annotations

import shlex
from collections import Counter

from conda_assets.api.lockfiles import find_locks, read_locks
from conda_assets.api.outdated import News, NewsRow, of_receipt, outdated
from conda_assets.cli.call import Call
from conda_assets.cli.document import SCHEMA
from conda_assets.digest import Digest
from conda_assets.errors import UnknownAsset, UsageError
from conda_assets.model import Spec, Target
from conda_assets.receipt import read_receipt
from conda_assets.terminal.tables import Column, table

__all__ = ["run_outdated"]

_NEWS = (News.MOVED, News.CHANGED, News.VANISHED)


def run_outdated(call: Call) -> int:
    """Which upstreams moved, vanished, or changed bytes at the same URL; 3 when any did, 1 when one gave no answer."""
    spec = call.spec_if_any()
    locks = read_locks(find_locks(spec.sources, call.cwd), call.program) if spec else {}
    target = _target_if_any(call, spec)
    placed = read_receipt(target.prefix) if target else {}
    spec = spec or of_receipt(placed)
    only = call.options().only
    names = {name for asset in spec.assets for name in (asset.name, asset.owner)}
    if strange := sorted(set(only) - names):
        raise UnknownAsset(
            f"no asset {strange[0]!r} in {', '.join(spec.sources)}", f"it has: {', '.join(sorted(names)) or 'none'}"
        )
    rows = outdated(spec, locks, placed, call.settings, only)
    counted = [row.state for row in rows if not row.optional]
    status = 3 if any(state in _NEWS for state in counted) else (1 if News.FAILED in counted else 0)
    if call.json:
        file = spec.sources[0] if len(spec.sources) == 1 else list(spec.sources)
        states = Counter(row.state for row in rows)
        totals = {"assets": len(rows), **{state.value: states[state] for state in News}}
        head = {"schema": SCHEMA, "success": status == 0, "command": "outdated"}
        head |= {"prefix": str(target.prefix) if target else None, "file": file}
        call.write({**head, "assets": [_json_news(row) for row in rows], "totals": totals})
    else:
        call.tell(_news_text(call, spec, rows))
    return status


def _target_if_any(call: Call, spec: Spec | None) -> Target | None:
    """The environment, for what has no lock; where a file is at hand, none is needed."""
    try:
        return call.target(spec)
    except UsageError:
        if spec is None or call.args.name or call.args.prefix:
            raise
        return None


def _json_news(row: NewsRow) -> dict[str, object]:
    was, now = row.was, row.now
    return {
        "name": row.name,
        "state": row.state.value,
        "since": row.since or None,
        "because": row.because or None,
        "was": _facts(was.size_bytes, was.digest, was.etag, was.revision) if was else None,
        "now": _facts(now.size_bytes, now.digest, now.etag, now.revision) if now else None,
        "optional": row.optional,
        "error": row.error.to_json() if row.error else None,
    }


def _facts(size_bytes: int | None, digest: Digest | None, etag: str | None, revision: str | None) -> dict[str, object]:
    return {"size_bytes": size_bytes, "digest": str(digest) if digest else None, "etag": etag, "revision": revision}


def _news_text(call: Call, spec: Spec, rows: tuple[NewsRow, ...]) -> str:
    """A row for each asset with news; all of them with `-v`."""
    columns = [Column("name", least=12), Column("state"), Column("since"), Column("why", least=16, wraps=True)]
    shown = [row for row in rows if row.state is not News.CURRENT or call.args.verbose]
    cells = [(row.name, row.state.value, row.since, row.because.removeprefix(f"{row.name}: ")) for row in shown]
    news = [row for row in rows if row.state in _NEWS]
    current = sum(row.state is News.CURRENT for row in rows)
    lines = [*table(columns, cells, call.width), *([""] if cells else [])]
    lines.append(f"{current} of {len(rows)} as they were" if rows else "No assets are listed")
    if locked := [row.name for row in news if row.since == "lock" and row.state is not News.VANISHED]:
        words = [word for source in spec.sources for word in ("-f", source)] + [
            word for name in locked for word in ("--update", name)
        ]
        lines.append(f"Next: `{shlex.join([*call.program.split(), 'lock', *words])}` takes the new bytes into the lock")
    return "\n".join(lines)
