"""Verbs that change the file: add, remove, and import of other tools' lists."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from conda_assets.api.editing import Change, add_entries, check_entry, remove_entries, save
from conda_assets.api.importing import Gathered, gather, section_text
from conda_assets.api.unbundling import is_bundle
from conda_assets.cli.bundles import import_bundles
from conda_assets.cli.call import Call
from conda_assets.cli.document import SCHEMA
from conda_assets.errors import FileMissing, UsageError
from conda_assets.spec.entry import Value
from conda_assets.spec.importers import unique
from conda_assets.spec.lockfile import lock_path
from conda_assets.spec.naming import name_for, names_many

__all__ = ["diff", "finish", "run_add", "run_import", "run_remove", "the_file"]


#: Flags that say something of one file.
_OF_ONE = ("asset_name", "sha256", "hash", "size", "path", "env", "mirror")


def run_add(call: Call) -> int:
    """More entries; nothing is fetched."""
    urls: list[str] = call.args.url
    if len(urls) > 1 and (flag := next((flag for flag in _OF_ONE if getattr(call.args, flag)), "")):
        name = flag.removeprefix("asset_")
        raise UsageError(f"--{name} is for one URL, and {len(urls)} are given", "add that one by itself")
    entries: Sequence[Mapping[str, Value]] = [_fields(call, url) for url in urls]
    entries = unique(entries, ()) if len(urls) > 1 else entries
    for fields in entries:
        check_entry(fields)
    change = add_entries(the_file(call), entries, call.cwd)
    sync = _next(call, change, "sync")
    them = "it" if len(urls) == 1 else "them"
    return finish(call, change, f"added to {change.source}; bring {them} with `{sync}`", added=len(urls))


def run_remove(call: Call) -> int:
    """Entries less; files in environments and in the store stay."""
    change = remove_entries(the_file(call), call.args.asset, call.cwd)
    prune = _next(call, change, "sync", "--prune")
    said = f"removed from {change.source}; take the files out of the environment with `{prune}`"
    return finish(call, change, said, removed=len(set(call.args.asset)))


def run_import(call: Call) -> int:
    """A bundle into the store, or entries from other tools' lists; 1 when one of them could not be taken over."""
    args = call.args
    bundles = [is_bundle(call.cwd / Path(os.path.expanduser(source))) for source in args.source]  # noqa: PTH111 - `~` of a text
    if any(bundles):
        if not all(bundles):
            raise UsageError("bundles and lists cannot be imported together", "import one after the other")
        return import_bundles(call, args.source)
    into = None if args.print else the_file(call)
    gathered = gather(
        args.source,
        cwd=call.cwd,
        read_url=call.read_url,
        into=into,
        kind=args.kind or "",
        base_url=args.base_url or "",
        groups=args.group,
    )
    for each in gathered.notes:
        call.say(f"Note: {each}")
    status = 1 if gathered.left_out else 0
    counts = {"added": len(gathered.entries), "left_out": gathered.left_out, "known": gathered.known}
    notes = [str(each) for each in gathered.notes]
    if into is None or not gathered.entries:
        if call.json:
            document = {"schema": SCHEMA, "success": not status, "command": call.verb, "file": into}
            call.write({**document, "notes": notes, "totals": counts, "section": section_text(gathered.entries)})
        elif into is None:
            call.tell(section_text(gathered.entries).rstrip("\n"))
        else:
            call.say(f"nothing to add to {into}{_others(gathered)}")
        return status
    change = add_entries(into, gathered.entries, call.cwd)
    said = f"{len(gathered.entries)} added to {change.source}{_others(gathered)}; bring them with `{_next(call, change, 'sync')}`"
    return max(status, finish(call, change, said, notes=notes, **counts))


def _others(gathered: Gathered) -> str:
    said = f", {gathered.known} there already" if gathered.known else ""
    return said + (f", {gathered.left_out} left out" if gathered.left_out else "")


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


def finish(call: Call, change: Change, said: str, *, notes: Sequence[str] = (), **counts: int) -> int:
    """Write the change, or with `--dry-run` show it."""
    for warning in change.warnings:
        call.say(f"Warning: {warning}")
    dry = bool(call.args.dry_run)
    if not dry and change.changes:
        save(change)
    if lock_path(change.path).is_file():
        said += f", and take the change into the lock with `{_next(call, change, 'lock')}`"
    if call.json:
        success = not counts.get("left_out")
        document: dict[str, object] = {"schema": SCHEMA, "success": success, "command": call.verb, "file": change.source}
        document |= {"notes": list(notes)} if notes else {}
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


def _fields(call: Call, url: str) -> Mapping[str, Value]:
    args = call.args
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
