"""The JSON of every command: one document, `schema` 1. A key that is here stays; new ones may come.

{"schema": 1, "success": true, "command": "sync", "prefix": "…", "file": "environment.yml",
 "assets": [{"name": …, "state": …, "path": …, "size_bytes": …, "sha256": …, "source": …, "bytes_fetched": …, "seconds": …,
             "link": …, "unpack": null | {"strip": …, "include": […]}, "pinned": …, "optional": …, "because": …,
             "error": null | {"code": …, "message": …, "hints": […]}}],
 "totals": {"assets": 2, "fetched": 1, "linked": 0, "kept": 0, "skipped": 0, "failed": 1, "bytes_fetched": 548105171}}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from conda_assets.errors import AssetsError
from conda_assets.model import Health, Outcome, Placed, Plan, Report, State, Target, Verb, shown_url

__all__ = ["SCHEMA", "error_document", "listing_document", "plan_document", "report_document"]

SCHEMA = 1


def report_document(report: Report, *, success: bool) -> dict[str, object]:
    """What a command did."""
    states = Health if report.command in ("status", "verify") else State
    counts = Counter(row.state.value for row in report.outcomes)
    totals: dict[str, object] = {"assets": len(report.outcomes), **{state.value: counts[state.value] for state in states}}
    if states is State:
        totals["bytes_fetched"] = sum(row.bytes_fetched for row in report.outcomes)
    return {
        **_head(report.command, report.target, report.sources, success=success),
        "assets": [_row(row) for row in report.outcomes],
        "totals": totals,
    }


def plan_document(command: str, plan: Plan, target: Target | None, sources: tuple[str, ...]) -> dict[str, object]:
    """What a command would do; `action` is fetch, link, keep or skip."""
    counts = Counter(step.verb for step in plan.steps)
    rows = [
        {
            "name": step.asset.name,
            "action": step.verb.value,
            "because": step.because,
            "path": str(target.folder(step.asset.root) / step.asset.path) if target else None,
            "size_bytes": step.stored.size_bytes if step.stored else step.asset.size_bytes,
            "source": shown_url(step.asset.url),
            "unpack": step.asset.unpack.to_json() if step.asset.unpack else None,
            "pinned": step.asset.digest is not None,
            "optional": step.asset.optional,
        }
        for step in plan.steps
    ]
    totals = {"assets": len(rows), **{verb.value: counts[verb] for verb in Verb}, "bytes_to_fetch": plan.known_bytes}
    return {**_head(command, target, sources, success=True), "dry_run": True, "assets": rows, "totals": totals}


def listing_document(command: str, rows: Iterable[tuple[Placed, str]], target: Target) -> dict[str, object]:
    """The receipt's lines with their absolute paths."""
    assets = [
        {
            "name": placed.name,
            "path": path,
            "size_bytes": placed.size_bytes,
            "sha256": placed.sha256,
            "source": placed.source,
            "link": placed.link.value,
            "unpack": placed.unpack.to_json() if placed.unpack else None,
            "env": placed.env,
            "groups": list(placed.groups),
            "pinned": placed.want is not None,
            "optional": placed.optional,
        }
        for placed, path in rows
    ]
    return {**_head(command, target, (), success=True), "assets": assets, "totals": {"assets": len(assets)}}


def error_document(command: str, error: AssetsError) -> dict[str, object]:
    """A command that could not even begin, or was interrupted."""
    return {"schema": SCHEMA, "success": False, "command": command, "error": error.to_json(), "assets": []}


def _head(command: str, target: Target | None, sources: tuple[str, ...], *, success: bool) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "success": success,
        "command": command,
        "prefix": str(target.prefix) if target else None,
        "file": sources[0] if len(sources) == 1 else (list(sources) or None),
    }


def _row(row: Outcome) -> dict[str, object]:
    return {
        "name": row.name,
        "state": row.state.value,
        "path": str(row.path) if row.path else None,
        "size_bytes": row.size_bytes,
        "sha256": row.sha256,
        "source": row.source,
        "bytes_fetched": row.bytes_fetched,
        "seconds": round(row.seconds, 3),
        "link": row.link.value if row.link else None,
        "unpack": row.unpack.to_json() if row.unpack else None,
        "pinned": row.pinned,
        "optional": row.optional,
        "because": row.because or None,
        "error": row.error.to_json() if row.error else None,
    }
