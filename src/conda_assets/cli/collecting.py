"""The verb gc: show what may go, ask, delete, tell what that gave back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from conda_assets.api.collect import Findings, Policy, Removal, Shelf, collect, survey
from conda_assets.cli.call import Call, asks
from conda_assets.cli.document import SCHEMA
from conda_assets.cli.logged import log_lines
from conda_assets.errors import UsageError
from conda_assets.model import shown_size
from conda_assets.places import read_age
from conda_assets.settings import parse_rate
from conda_assets.store import Standing
from conda_assets.terminal import removals_text

__all__ = ["run_gc"]


def run_gc(call: Call) -> int:
    """Remove what no environment uses."""
    args = call.args
    older_than_s = read_age(args.older_than, "--older-than") if args.older_than else None
    if args.remote:
        from conda_assets.cli.sweeping import run_remote_gc

        return run_remote_gc(call, older_than_s)
    policy = Policy(
        _size(args.max_size) if args.max_size else None,
        older_than_s,
        tuple(Path(each).expanduser() for each in args.forget),
    )
    with survey(call.settings, policy, call.environ) as findings:
        if not call.json:
            _tell(call, findings, policy)
        gone: tuple[Removal, ...] = ()
        if not args.dry_run:
            if findings.removals and not asks(call, _question(findings.removals)):
                call.say("Nothing was removed")
                return 0
            gone = collect(findings)
            log_lines(call.verb, call.settings, call.environ, [f"removed {each.kind} {each.path}" for each in gone])
        if call.json:
            call.write(_document(findings, findings.removals if args.dry_run else gone, dry_run=args.dry_run))
        elif gone:
            call.tell(f"Removed {_sum(gone)}")
    return 0


def _tell(call: Call, findings: Findings, policy: Policy) -> None:
    if findings.removals and (call.args.dry_run or call.args.verbose):
        rows = [(each.kind, str(each.path), each.size_bytes, each.last_use_ns) for each in findings.removals]
        call.tell(removals_text(rows, width=call.width))
    for shelf in findings.shelves:
        for line in _notes(shelf, policy, call.program):
            call.say(line)
    if not findings.removals:
        call.tell("Nothing to remove")
    elif call.args.dry_run:
        call.tell(f"Would remove {_sum(findings.removals)}")


def _notes(shelf: Shelf, policy: Policy, program: str) -> list[str]:
    if shelf.collector is None:
        return [f"{shelf.folder}: not there, or not ours to write; left alone"]
    has = f"{shelf.files:,} files, {shown_size(shelf.size_bytes)}; {shown_size(shelf.used_bytes)} in use"
    lines = [f"{shelf.folder}: {has}, {_count(shelf, Standing.HERE)}"]
    if gone := _count(shelf, Standing.GONE, "no longer there"):
        lines.append(f"  {gone}")
    unseen = [each.prefix for each in shelf.environments if each.state is Standing.UNKNOWN]
    lines += [
        f"  {prefix} cannot be seen from here; what it uses stays. Not coming back? `{program} gc --forget {prefix}`"
        for prefix in unseen
    ]
    if shelf.others:
        lines.append(f"  {shelf.others:,} unused files are other users'; they, or the owner of the folder, can remove them")
    if policy.max_size_bytes is not None:
        left = shelf.size_bytes - sum(each.size_bytes for each in shelf.removals if each.kind == "file")
        if left > policy.max_size_bytes:
            lines.append(f"  {shown_size(left)} must stay, more than the {shown_size(policy.max_size_bytes)} of --max-size")
    return lines


def _count(shelf: Shelf, state: Standing, words: str = "") -> str:
    number = sum(each.state is state for each in shelf.environments)
    if not number and words:
        return ""
    return f"{number:,} environment{'' if number == 1 else 's'}{' ' + words if words else ''}"


def _question(removals: Sequence[Removal]) -> str:
    return f"Remove {_sum(removals)}"


def _sum(removals: Sequence[Removal]) -> str:
    counts = Counter(each.kind for each in removals)
    words = {"file": "file", "partial": "partial download", "quarantine": "damaged file"}
    what = [f"{counts[kind]:,} {word}{'' if counts[kind] == 1 else 's'}" for kind, word in words.items() if counts[kind]]
    apparent, real = sum(each.size_bytes for each in removals), sum(each.disk_bytes for each in removals)
    on_disk = "" if shown_size(real) == shown_size(apparent) else f" ({shown_size(real)} on the disk)"
    return f"{', '.join(what)}: {shown_size(apparent)}{on_disk}"


def _document(findings: Findings, removals: Sequence[Removal], *, dry_run: bool) -> dict[str, object]:
    """{"schema": 1, "success": true, "command": "gc", "dry_run": false,
    "stores": [{"path": …, "writable": true, "files": 12, "size_bytes": …, "used_bytes": …, "others_files": 0}],
    "environments": [{"prefix": …, "store": …, "state": "here|gone|unknown", "files": 3}],
    "removed": [{"kind": "file|partial|quarantine", "path": …, "sha256": …, "size_bytes": …, "disk_bytes": …, "last_used": …}],
    "totals": {"removed": 1, "bytes_freed": …, "disk_bytes_freed": …}}
    """
    rows = [
        {
            "kind": each.kind,
            "path": str(each.path),
            "sha256": each.path.name if each.kind == "file" else None,
            "size_bytes": each.size_bytes,
            "disk_bytes": each.disk_bytes,
            "last_used": datetime.fromtimestamp(each.last_use_ns / 1e9, timezone.utc).isoformat(timespec="seconds"),
        }
        for each in removals
    ]
    totals = {
        "removed": len(rows),
        "bytes_freed": sum(each.size_bytes for each in removals),
        "disk_bytes_freed": sum(each.disk_bytes for each in removals),
    }
    return {
        "schema": SCHEMA,
        "success": True,
        "command": "gc",
        "dry_run": dry_run,
        "stores": [
            {
                "path": str(shelf.folder),
                "writable": shelf.collector is not None,
                "files": shelf.files,
                "size_bytes": shelf.size_bytes,
                "used_bytes": shelf.used_bytes,
                "others_files": shelf.others,
            }
            for shelf in findings.shelves
        ],
        "environments": [
            {"prefix": str(each.prefix), "store": str(shelf.folder), "state": each.state.value, "files": len(each.sha256)}
            for shelf in findings.shelves
            for each in shelf.environments
        ],
        "removed": rows,
        "totals": totals,
    }


def _size(text: str) -> int:
    try:
        return parse_rate(text)
    except UsageError:
        raise UsageError(f"cannot read {text!r} as a size", "write bytes, or a figure such as `100G` or `500M`") from None
