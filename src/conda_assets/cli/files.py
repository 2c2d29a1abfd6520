"""Verbs that bring files: sync, fetch, verify --repair."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from conda_assets.api.members import strays
from conda_assets.api.options import Options
from conda_assets.api.staging import open_stage, variables
from conda_assets.api.sync import preview, sync
from conda_assets.api.views import view_of
from conda_assets.cli.call import Call, asks, exit_status
from conda_assets.cli.document import plan_document, report_document
from conda_assets.cli.logged import log_failures
from conda_assets.errors import Interrupted, UsageError
from conda_assets.model import Health, Report, Spec, Target
from conda_assets.receipt import read_receipt
from conda_assets.records import replace
from conda_assets.terminal import plan_text, report_text, say, status_text

__all__ = ["run_fetch", "run_sync", "run_verify", "show_plan", "sync_into"]


def run_sync(call: Call) -> int:
    """Make the disk match the file."""
    spec = call.pinned(call.spec())
    target = call.target(spec)
    options = call.options()
    if call.args.stage:
        folder = (call.cwd / Path(call.args.stage).expanduser()).absolute()
        options, target = replace(options, stage=open_stage(folder, target)), view_of(folder, target)
    if call.args.dry_run:
        return show_plan(call, spec, target, options)
    if options.prune and not _prune_is_wanted(call, spec, target):
        options = replace(options, prune=False)
    if options.stage is not None:
        return sync_into(call, spec, target, options)
    if not (target.prefix / "conda-meta").is_dir():
        call.say(f"Note: {target.prefix} is not a conda environment; files go there all the same")
    return sync_into(call, spec, target, options)


def run_fetch(call: Call) -> int:
    """Fill the store only."""
    spec = call.pinned(call.spec())
    nowhere = Target(call.cwd, spec.base)
    options = call.options(place=False)
    if call.args.dry_run:
        return show_plan(call, spec, nowhere, options)
    return sync_into(call, spec, nowhere, options)


def run_verify(call: Call) -> int:
    """Read every byte; with `--repair`, bring what is wrong anew."""
    from conda_assets.api.verify import locked_pieces, verify

    spec = call.spec_if_any()
    target = call.target(spec)
    known = {asset.name for asset in spec.assets} if spec else set()
    spec = call.pinned(spec) if spec else None
    only = call.options().only
    receipt = read_receipt(target.prefix)
    if strange := sorted(set(only) - known - set(receipt) - {line.owner for line in receipt.values()}):
        raise UsageError(f"no asset {strange[0]!r} in {target.prefix}", "`conda assets list` names what is there")
    with call.drawing() as watch:
        report = verify(target, only=only, pieces=locked_pieces(spec.assets if spec else ()), watch=watch)
    wrong = tuple(row.name for row in report.outcomes if row.state in (Health.DAMAGED, Health.MISSING))
    if call.args.repair and wrong and not call.args.dry_run:
        return _repair(call, spec, target, report, wrong)
    status = _verify_status(report)
    if call.json:
        call.write(report_document(report, success=status == 0))
    else:
        mend = shlex.join([*call.program.split(), "verify", "--repair", "-p", str(target.prefix)])
        call.tell(status_text(report, width=call.width, sync=mend))
    return status


def sync_into(call: Call, spec: Spec, target: Target, options: Options, *, found: Report | None = None) -> int:
    """Sync with progress, then the summary or the JSON; the exit status. `found`: what is to be mended, by `verify`."""
    resume = call.resume(options.stage.origin if options.stage else target, spec)
    try:
        with call.drawing() as watch:
            if found is None:
                report = sync(spec, target, call.settings, options=options, watch=watch, environ=call.environ)
            else:
                from conda_assets.api.repairing import repair

                report = repair(spec, target, call.settings, found, options=options, watch=watch, environ=call.environ)
    except KeyboardInterrupt:
        raise Interrupted(resume) from None
    status = _answer(call, report, resume, variables(target, call.environ) if options.stage else {})
    if call.settings.sharing is not None:
        from conda_assets.api.sharing import give

        call.out.flush()
        with call.drawing() as watch:
            give(spec, report, call.settings, call.environ, watch)
    return status


def _answer(call: Call, report: Report, resume: str, variables: Mapping[str, str]) -> int:
    status = exit_status(report)
    if call.json:
        document = report_document(report, success=status == 0)
        call.write({**document, "variables": dict(variables)} if variables else document)
    else:
        call.tell("\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items()))
        call.say(report_text(report, verbose=bool(call.args.verbose), width=call.width))
    if report.failures:
        log = log_failures(report.failures, call.settings, call.environ)
    if status:
        names = ", ".join(row.name for row in report.failures)
        lines = [f"Error: {len(report.failures)} of {len(report.outcomes)} assets failed: {names}"]
        if call.quiet or call.json:
            lines += [f"  {row.because}" for row in report.failures]
        lines += [f"Hint: go on with `{resume}`", *([f"Log: {log}"] if log else [])]
        say(call.err, "\n".join(lines))
    return status


def show_plan(call: Call, spec: Spec, target: Target, options: Options) -> int:
    """What would be done, for `--dry-run`."""
    plan = preview(spec, target, call.settings, options=options, environ=call.environ)
    if call.json:
        call.write(plan_document(call.verb, plan, target if options.place else None, spec.sources))
    else:
        folder = call.settings.stores[0]
        call.tell(plan_text(plan, free_bytes=_free_bytes(folder), store=str(folder), width=call.width))
    return 0


def _free_bytes(folder: Path) -> int | None:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _prune_is_wanted(call: Call, spec: Spec, target: Target) -> bool:
    extra = strays(read_receipt(target.prefix), spec)
    return not extra or asks(call, f"Remove {', '.join(extra)} from {target.prefix}")


def _verify_status(report: Report) -> int:
    rows = [row for row in report.outcomes if not row.optional or row.state is Health.DAMAGED]
    if any(row.state is Health.DAMAGED for row in rows):
        return 4
    return 3 if any(row.state is Health.MISSING for row in rows) else 0


def _repair(call: Call, spec: Spec | None, target: Target, report: Report, wrong: tuple[str, ...]) -> int:
    if spec is None:
        raise UsageError("no file says where the bytes come from", "name it with `-f environment.yml`")
    names = {asset.name for asset in spec.assets}
    placed = read_receipt(target.prefix)
    # A pattern without a lock is mended as a whole.
    wrong = tuple(dict.fromkeys(name if name in names else placed[name].owner for name in wrong))
    if lost := sorted(set(wrong) - names):
        raise UsageError(f"{', '.join(spec.sources)} has no asset {lost[0]!r}", "name the file that has it with `-f FILE`")
    return sync_into(call, spec, target, Options(only=wrong, require_hashes=call.options().require_hashes), found=report)
