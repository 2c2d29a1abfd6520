"""Verbs that make or set up environments: create, setup."""

from __future__ import annotations

from pathlib import Path

from conda_assets import bootstrap
from conda_assets.cli.call import Call
from conda_assets.cli.document import SCHEMA
from conda_assets.cli.files import show_plan, sync_into
from conda_assets.cli.target import new_prefix
from conda_assets.errors import Interrupted
from conda_assets.events import Event, Noted
from conda_assets.model import Target
from conda_assets.setup import Where, apply_change, plan_setup
from conda_assets.spec.source import read_source, shown_source

__all__ = ["run_create", "run_setup"]


def run_create(call: Call) -> int:
    """The environment, then its assets; the environment stays when an asset fails."""
    spec = call.pinned(call.spec())
    texts = [(shown_source(source), read_source(source, call.cwd, call.read_url)) for source in call.sources()]
    prefix = new_prefix(call.args.name, call.args.prefix, spec, call.settings, call.cwd)
    target = Target(prefix, spec.base.absolute())
    options = call.options()
    if call.args.dry_run:
        return show_plan(call, spec, target, options)

    def watch(event: Event) -> None:
        if isinstance(event, Noted):
            call.say(f"Warning: {event.text}" if event.level == "warning" else event.text)

    again = call.again()
    try:
        bootstrap.create(
            texts,
            prefix=prefix,
            settings=call.settings,
            environ=call.environ,
            choices=bootstrap.Choices(engine=call.args.engine, again=again),
            watch=watch,
        )
    except KeyboardInterrupt:
        raise Interrupted(again) from None
    status = sync_into(call, spec, target, options)
    if status == 0:
        activate = call.args.name or spec.name if not call.args.prefix else prefix
        call.say(f"Activate it with `conda activate {activate}`")
    return status


def run_setup(call: Call) -> int:
    """conda-forge first with strict priority, for the environment or the user; or back."""
    prefix = None if call.args.user else call.target(None).prefix
    home = Path(call.environ.get("HOME") or call.environ.get("USERPROFILE") or Path.home())
    change = plan_setup(Where(prefix, home, call.environ, call.settings.root_prefix), undo=call.args.undo)
    if not call.args.dry_run:
        apply_change(change)
    if call.json:
        head = {"schema": SCHEMA, "success": True, "command": "setup", "prefix": str(prefix) if prefix else None}
        call.write({**head, "dry_run": call.args.dry_run, **change.to_json()})
    else:
        lead = "Would do: " if call.args.dry_run and change.is_needed else ""
        for sentence in change.said:
            call.tell(f"{lead}{sentence}")
    return 0
