"""Verbs that change the file: add, remove."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping

from conda_assets.api.editing import Change, add_entries, check_entry, remove_entries, save
from conda_assets.cli.call import Call
from conda_assets.cli.document import SCHEMA
from conda_assets.errors import FileMissing, UsageError
from conda_assets.spec.entry import Value
from conda_assets.spec.naming import name_for, names_many

__all__ = ["diff", "finish", "run_add", "run_remove", "the_file"]


def run_add(call: Call) -> int:
    """One more entry; nothing is fetched."""
    fields = _fields(call)
    check_entry(fields)
    change = add_entries(the_file(call), [fields], call.cwd)
    sync = _next(call, change, "sync")
    return finish(call, change, f"added to {change.source}; bring it with `{sync}`", added=1)


def run_remove(call: Call) -> int:
    """Entries less; files in environments and in the store stay."""
    change = remove_entries(the_file(call), call.args.asset, call.cwd)
    prune = _next(call, change, "sync", "--prune")
    said = f"removed from {change.source}; take the files out of the environment with `{prune}`"
    return finish(call, change, said, removed=len(set(call.args.asset)))


def the_file(call: Call) -> str:
    """The one file to edit.

    Raises:
        UsageError: several are named.
        FileMissing: none is named, and there is no default one.
    """
    named = call.sources()
    if len(named) > 1:
        raise UsageError("one file can be edited at a time", f"give `-f` once: `-f {named[0]}`")
    if not named:
        again = " ".join([call.program, call.verb, "…", "-f assets.yml"])
        raise FileMissing(f"no environment.yml and no assets.yml in {call.cwd}", f"name one, which may be new: `{again}`")
    return named[0]


def finish(call: Call, change: Change, said: str, **counts: int) -> int:
    """Write the change, or with `--dry-run` show it."""
    for warning in change.warnings:
        call.say(f"Warning: {warning}")
    dry = bool(call.args.dry_run)
    if not dry and change.changes:
        save(change)
    if call.json:
        document: dict[str, object] = {"schema": SCHEMA, "success": True, "command": call.verb, "file": change.source}
        call.write({**document, "dry_run": dry, "created": change.old is None, "totals": counts, "diff": diff(change)})
    elif dry:
        call.tell(diff(change))
    else:
        call.say(said)
    return 0


def diff(change: Change) -> str:
    """What changes, as `diff -u` shows it."""
    old, new = (change.old or "").splitlines(), change.new.splitlines()
    name = "/dev/null" if change.old is None else change.source
    return "\n".join(difflib.unified_diff(old, new, name, change.source, lineterm=""))


def _fields(call: Call) -> Mapping[str, Value]:
    args = call.args
    url = str(args.url)
    fields: dict[str, Value] = {"url": url}
    if name := args.asset_name or name_for(url):
        fields["name"] = name
    if args.path or names_many(url):
        fields["path"] = args.path or fields.get("name", "")
    for field in ("sha256", "hash", "size", "root", "env", "link"):
        if value := getattr(args, field):
            fields[field] = int(value) if field == "size" and value.isdecimal() else value
    lists = {"mirrors": args.mirror, "groups": args.group, "platforms": args.platform}
    fields |= {field: values for field, values in lists.items() if values}
    return fields | {field: True for field in ("optional", "unpack") if getattr(args, field)}


def _next(call: Call, change: Change, verb: str, *flags: str) -> str:
    return shlex.join([*call.program.split(), verb, *flags, "-f", change.source])
