"""The verb push: from the store of this machine into the first remote one."""

from __future__ import annotations

from collections import Counter

from conda_assets.api.pushing import Pushed, push
from conda_assets.cli.bundles import chosen
from conda_assets.cli.call import Call
from conda_assets.cli.document import SCHEMA
from conda_assets.errors import Interrupted, Offline, UsageError
from conda_assets.model import shown_size
from conda_assets.sources import is_pattern
from conda_assets.terminal import say

__all__ = ["run_push"]

_WORDS = {"pushed": "sent", "present": "there already", "planned": "would be sent"}


def run_push(call: Call) -> int:
    """Copy what the file names."""
    spec = call.pinned(call.spec())
    assets = chosen(call, spec)
    if several := [asset.name for asset in assets if asset.digest is None and is_pattern(asset)]:
        raise UsageError(
            f"{', '.join(several)}: a URL of several files that no lock lists", "`conda assets lock` lists them, then `fetch`"
        )
    if call.settings.offline:
        raise Offline("push", "the network may not be used (offline)")
    holder = " ".join((str(spec.base.absolute()), *spec.sources))
    try:
        with call.drawing() as watch:
            rows = push(assets, holder, call.settings, watch, dry_run=call.args.dry_run)
    except KeyboardInterrupt:
        raise Interrupted(call.resume(None, spec)) from None
    return _answer(call, rows, spec.sources)


def _answer(call: Call, rows: list[Pushed], sources: tuple[str, ...]) -> int:
    failed = [row for row in rows if row.error is not None and not row.optional]
    codes = {row.error.exit_code for row in failed if row.error}
    status = 0 if not codes else (4 if 4 in codes else 1)
    counts = Counter(row.state for row in rows)
    if call.json:
        totals = {"assets": len(rows), **{state: counts[state] for state in (*_WORDS, "failed")}}
        totals["bytes_sent"] = sum(row.bytes_sent for row in rows)
        head = {"schema": SCHEMA, "success": status == 0, "command": call.verb, "dry_run": call.args.dry_run}
        file = sources[0] if len(sources) == 1 else list(sources)
        call.write({**head, "file": file, "assets": [_row(row) for row in rows], "totals": totals})
    else:
        for row in rows:
            if row.error is None:
                call.tell(f"{row.name}: {_WORDS[row.state]}, {shown_size(row.size_bytes or 0)}  {row.url}")
        done = [f"{counts[state]} {words}" for state, words in _WORDS.items() if counts[state]]
        done += [f"{counts['failed']} failed"] if counts["failed"] else []
        call.say(f"{len(rows)} assets: {', '.join(done) or 'nothing to do'}")
    if failed:
        lines = [f"Error: {len(failed)} of {len(rows)} assets failed: {', '.join(row.name for row in failed)}"]
        if call.quiet or call.json:
            lines += [f"  {row.error.message}" for row in failed if row.error]
        say(call.err, "\n".join(lines))
    return status


def _row(row: Pushed) -> dict[str, object]:
    return {
        "name": row.name,
        "state": row.state,
        "url": row.url,
        "sha256": row.sha256,
        "size_bytes": row.size_bytes,
        "bytes_sent": row.bytes_sent,
        "optional": row.optional,
        "error": row.error.to_json() if row.error else None,
    }
