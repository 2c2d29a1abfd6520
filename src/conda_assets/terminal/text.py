"""What a command has to tell, as text for people. Pure: nothing here prints; the caller knows the width, None for a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import localtime, strftime

from conda_assets.errors import AssetsError, SpecInvalid
from conda_assets.model import Health, Outcome, Placed, Plan, Report, Root, State, Step, Target, Verb, shown_size, shown_url
from conda_assets.terminal.tables import Column, table
from conda_assets.terminal.words import Tone, clean, clean_lines, count_of, joined, paint

__all__ = ["error_text", "info_text", "list_text", "plan_text", "removals_text", "report_text", "status_text"]


def plan_text(plan: Plan, *, free_bytes: int | None, store: str, width: int | None = None) -> str:
    """What a sync would do: a row an asset, then bytes to fetch, bytes that need not come, and the room there is.

    `free_bytes`: on the store's disk, None when unknown. `store`: its folder.
    """
    if not plan.steps:
        return "Nothing to do: no assets are listed"
    columns = [
        Column("action"),
        Column("name", least=12),
        Column("size", right=True),
        Column("source", least=20),
        Column("why", least=16, wraps=True),
    ]
    rows = [(step.verb.value, step.asset.name, _step_size(step), shown_url(step.asset.url), step.because) for step in plan.steps]
    return "\n".join([*table(columns, rows, width), "", *_plan_totals(plan, free_bytes, store)])


def _step_size(step: Step) -> str:
    size_bytes = _step_bytes(step)
    return "?" if size_bytes is None else shown_size(size_bytes)


def _step_bytes(step: Step) -> int | None:
    if step.stored is not None:
        return step.stored.size_bytes
    return step.placed.size_bytes if step.placed is not None else step.asset.size_bytes


def _plan_totals(plan: Plan, free_bytes: int | None, store: str) -> list[str]:
    rows = {verb: plan.of(verb) for verb in Verb}
    lines = [
        f"{words} {count_of(len(rows[verb]), 'file')}, {_sum(map(_step_bytes, rows[verb]))}"
        for verb, words in (
            (Verb.FETCH, "To fetch:            "),
            (Verb.LINK, "Already in the store:"),
            (Verb.KEEP, "Kept:                "),
        )
        if rows[verb]
    ]
    if rows[Verb.SKIP]:
        lines.append(f"Skipped:              {count_of(len(rows[Verb.SKIP]), 'file')}")
    if free_bytes is not None and rows[Verb.FETCH]:
        short = plan.known_bytes - free_bytes
        lacking = f", {shown_size(short)} too little" if short > 0 else ""
        lines.append(f"Free:                 {shown_size(free_bytes)} in {clean(store)}{lacking}")
    return lines


def _sum(sizes: Iterable[int | None]) -> str:
    """`1.2 GB`, `1.2 GB and 2 of unknown size`."""
    listed = list(sizes)
    known, unknown = [size for size in listed if size is not None], listed.count(None)
    parts = [shown_size(sum(known))] if known else []
    if unknown:
        parts.append(f"{unknown:,} of unknown size" if known else "size unknown")
    return " and ".join(parts)


def report_text(report: Report, *, verbose: bool, width: int | None = None) -> str:
    """What a command did, in one line; with `verbose` a row an asset before it. Failures are named, not explained."""
    rows = _outcome_rows(report, width) if verbose else []
    return "\n".join([*rows, *([""] if rows else []), _summary(report)])


def _summary(report: Report) -> str:
    rows = {state: [row for row in report.outcomes if row.state is state] for state in State}
    fetched, linked, kept, skipped = (rows[state] for state in (State.FETCHED, State.LINKED, State.KEPT, State.SKIPPED))
    failed = rows[State.FAILED]
    if not (fetched or linked or failed):
        return _nothing_done(kept, skipped)
    here = [row.size_bytes for row in (*linked, *kept) if row.size_bytes]
    where = "already in the store" if report.command == "fetch" else "linked from the store"
    parts = [
        f"{len(fetched):,} fetched ({shown_size(sum(row.bytes_fetched for row in fetched))})" if fetched else "",
        f"{len(linked):,} {where}" if linked else "",
        f"{len(kept):,} kept" if kept else "",
        f"{len(skipped):,} skipped" if skipped else "",
        _names("failed", [row for row in failed if not row.optional]),
        _names("optional failed", [row for row in failed if row.optional]),
    ]
    was = "was" if len(linked) + len(kept) == 1 else "were"
    saved = f" — {shown_size(sum(here))} {was} already here" if here else ""
    return ", ".join(part for part in parts if part) + saved


def _names(word: str, rows: Sequence[Outcome]) -> str:
    return f"{len(rows):,} {word}: {joined(row.name for row in rows)}" if rows else ""


def _nothing_done(kept: Sequence[Outcome], skipped: Sequence[Outcome]) -> str:
    parts = [
        f"{count_of(len(kept), 'asset')} in place ({shown_size(sum(row.size_bytes or 0 for row in kept))})" if kept else "",
        f"{len(skipped):,} skipped" if skipped else "",
    ]
    return "Nothing to do: " + (", ".join(part for part in parts if part) or "no assets are listed")


def status_text(report: Report, *, width: int | None = None, sync: str = "conda assets sync") -> str:
    """A row an asset and what to do next. For `status` and `verify`; `sync`: the command that would mend it."""
    if not report.outcomes:
        return "No assets are listed"
    return "\n".join([*_outcome_rows(report, width), "", _next_step(report, sync)])


def _next_step(report: Report, sync: str) -> str:
    wrong = [row for row in report.outcomes if row.state in (Health.MISSING, Health.OUTDATED, Health.DAMAGED)]
    present = [row for row in report.outcomes if row.state is Health.PRESENT]
    skipped = len(report.outcomes) - len(wrong) - len(present)
    aside = f", {skipped:,} skipped" if skipped else ""
    if not wrong:
        size = shown_size(sum(row.size_bytes or 0 for row in present))
        whose = "1 asset is" if len(present) == 1 else f"All {len(present):,} assets are"
        how = "right, every byte" if report.command == "verify" else "in place"
        return f"{whose} {how} ({size}){aside}" if present else f"No asset is wanted here{aside}"
    counts = ", ".join(
        f"{count:,} {state.value}" for state in Health if (count := sum(row.state is state for row in report.outcomes))
    )
    command = "conda assets verify --repair" if report.command == "verify" else sync
    return f"{counts}\nNext: `{command}` brings {count_of(len(wrong), 'file')}, {_sum(row.size_bytes for row in wrong)}"


def _outcome_rows(report: Report, width: int | None) -> list[str]:
    columns = [
        Column("name", least=12),
        Column("state"),
        Column("size", right=True),
        Column("path", least=20),
        Column("why", least=16, wraps=True),
    ]
    rows = [
        (
            row.name,
            row.state.value,
            "" if row.size_bytes is None else shown_size(row.size_bytes),
            _shown_path(row.path, report.target) if row.path else "",
            row.because.removeprefix(f"{row.name}: "),
        )
        for row in report.outcomes
    ]
    return table(columns, rows, width)


def _shown_path(path: Path, target: Target | None) -> str:
    """Relative to the environment where it stands in there, else absolute."""
    if target is not None and path.is_relative_to(target.prefix):
        return path.relative_to(target.prefix).as_posix()
    return str(path)


def list_text(rows: Sequence[Placed], target: Target, *, width: int | None = None) -> str:
    """The assets of an environment."""
    if not rows:
        return f"No assets in {clean(str(target.prefix))}"
    columns = [
        Column("name", least=12),
        Column("size", right=True),
        Column("link"),
        Column("path", least=20),
        Column("env", least=12),
        Column("source", least=20),
    ]
    cells_of = [
        (each.name, shown_size(each.size_bytes), _how(each), _placed_path(each, target), each.env or "", each.source)
        for each in rows
    ]
    whole = shown_size(sum(each.size_bytes for each in rows))
    head = f"Environment {clean(str(target.prefix))}: {count_of(len(rows), 'asset')}, {whole}"
    return "\n".join([head, "", *table(columns, cells_of, width)])


def _how(placed: Placed) -> str:
    return "unpacked" if placed.unpack else placed.link.value


def _placed_path(placed: Placed, target: Target) -> str:
    folder = Path(placed.project) if placed.root is Root.PROJECT and placed.project else target.folder(placed.root)
    return _shown_path(folder / placed.path, target)


def error_text(error: AssetsError, *, colour: bool) -> str:
    """`Error:` and what happened, the faults of a file one a line as compilers print them, `Hint:` and what to do next."""
    if isinstance(error, SpecInvalid):
        # The place stands first in its line, so that an editor can jump there.
        said = [error.message.splitlines()[0].removesuffix(":"), *(str(fault) for fault in error.faults)]
        first, *more = (clean(line) for line in said)
    else:
        first, *more = clean_lines(error.message)
        more = [f"  {line}" for line in more]
    lines = [paint((("Error:", Tone.BAD), (f" {first}", Tone.PLAIN)), colour=colour), *more]
    for hint in error.hints:
        words = " ".join(clean_lines(hint.text))
        lines.append(paint((("Hint:", Tone.FLOW), (f" {words}", Tone.PLAIN)), colour=colour))
    return "\n".join(lines)


def removals_text(rows: Sequence[tuple[str, str, int, int]], *, width: int | None = None) -> str:
    """What is to go from the store: kind, path, bytes, and when it was used last, in nanoseconds since the epoch."""
    columns = [Column("what"), Column("size", right=True), Column("last used"), Column("path", least=24)]
    cells = [(kind, shown_size(size), strftime("%Y-%m-%d", localtime(used / 1e9)), path) for kind, path, size, used in rows]
    return "\n".join(table(columns, cells, width))


def info_text(mapping: Mapping[str, object]) -> str:
    """`key : value` in line, as `conda info` prints them; members of a list or a map each on a line of their own."""
    widest = max((len(clean(str(key))) for key in mapping), default=0)
    lines = []
    for key, value in mapping.items():
        first, *more = _values(value)
        lines.append(f"{clean(str(key)):>{widest}} : {first}".rstrip())
        lines += [f"{'':>{widest}}   {each}" for each in more]
    return "\n".join(lines)


def _values(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{clean(str(key))} = {' '.join(_values(each))}" for key, each in value.items()] or ["none"]
    if isinstance(value, (list, tuple)):
        return [" ".join(_values(each)) for each in value] or ["none"]
    if value is None or isinstance(value, bool):
        return [{None: "none", True: "yes", False: "no"}[value]]
    return clean_lines(str(value))
