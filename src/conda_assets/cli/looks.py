"""Verbs that look and change nothing: status, path, list, schema, info."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from conda_assets.api.places import listing, path_of
from conda_assets.api.views import view_in_use
from conda_assets.cli.call import Call
from conda_assets.cli.configured import rows_of
from conda_assets.cli.document import SCHEMA, listing_document, report_document
from conda_assets.errors import UsageError
from conda_assets.machine import python_version
from conda_assets.model import Health, Target, shown_size
from conda_assets.version import __version__

__all__ = ["run_info", "run_list", "run_path", "run_schema", "run_status"]


def run_status(call: Call) -> int:
    """What is there, compared with the file, or with the receipt where there is no file; 3 unless all is."""
    from conda_assets.api.look import health, status
    from conda_assets.terminal import status_text

    spec = call.spec_if_any()
    target = call.target(spec)
    if spec is None:
        report = health(target)
    else:
        report = status(call.pinned(spec), target, call.settings, options=call.options(), environ=call.environ)
    fine = all(row.state in (Health.PRESENT, Health.SKIPPED) for row in report.outcomes if not row.optional)
    if call.json:
        call.write(report_document(report, success=fine))
    else:
        call.tell(status_text(report, width=call.width, sync=call.resume(target, spec, verb="sync")))
    return 0 if fine else 3


def run_path(call: Call) -> int:
    """The absolute path and nothing else."""
    if call.args.hf_home:
        return _hub_home(call)
    if not call.args.asset:
        raise UsageError("the name of an asset is missing", "`conda assets list` shows them")
    target = _staged(call, call.target(None))
    path, stands = path_of(call.args.asset, target)
    if call.json:
        call.write({"schema": SCHEMA, "success": stands, "command": "path", "prefix": str(target.prefix), "path": str(path)})
    else:
        call.tell(str(path))
    if not stands:
        print(f"Error: {path} is gone\nHint: bring it back with `{call.program} sync -p {target.prefix}`", file=call.err)
    return 0 if stands else 3


def _hub_home(call: Call) -> int:
    """A folder that Hugging Face's libraries take as their cache; 3 where something that it should show is gone."""
    from conda_assets.api.hub import lay_out

    made = lay_out(_staged(call, call.target(None)))
    for note in made.notes:
        call.say(f"Note: {note}")
    if call.json:
        head = {"schema": SCHEMA, "success": not made.gone, "command": call.verb, "path": str(made.home)}
        call.write({**head, "repositories": list(made.repositories), "notes": list(made.notes)})
    else:
        call.tell(str(made.home))
    return 3 if made.gone else 0


def _staged(call: Call, target: Target) -> Target:
    """The copies of the active environment, after `sync --stage`; an environment that is named is meant itself."""
    named = call.args.name or call.args.prefix
    return target if named else view_in_use(target, call.environ) or target


def run_list(call: Call) -> int:
    """The assets of an environment."""
    target = call.target(None)
    lines = listing(target)
    if call.json:
        rows = [(placed, str(path_of(placed.name, target)[0])) for placed in lines]
        call.write(listing_document("list", rows, target))
    else:
        from conda_assets.terminal import list_text

        call.tell(list_text(lines, target, width=call.width))
    return 0


def run_schema(call: Call) -> int:
    """The JSON Schema; `--json` is what it prints anyway."""
    from conda_assets.spec import json_schema

    call.write(json_schema())
    return 0


def run_info(call: Call) -> int:
    """Versions, paths, the engine, and every setting with its origin."""
    from conda_assets.api.engine import engine_found
    from conda_assets.log import Log
    from conda_assets.terminal import info_text

    settings = call.settings
    found = engine_found(settings, call.environ)
    engine = {"path": str(found.path), "version": found.version, "origin": found.origin} if found else None
    stores = [{"path": str(folder), "free_bytes": _free(folder), "size_bytes": _held(folder)} for folder in settings.stores]
    rows = rows_of(settings)
    if call.json:
        document = {"schema": SCHEMA, "success": True, "command": "info", "version": __version__, "engine": engine}
        document |= {"python": python_version(), "executable": sys.executable, "stores": stores}
        document |= {"log": str(Log().path)}
        call.write({**document, "settings": {row.key: {"value": row.value, "origin": row.origin} for row in rows}})
        return 0
    shown: dict[str, object] = {"conda-assets": __version__, "python": f"{python_version()} ({sys.executable})"}
    shown["engine"] = f"aria2 {found.version} at {found.path} ({found.origin})" if found else "built-in, one connection a file"
    shown["store"] = [_with_sizes(store["path"], store["size_bytes"], store["free_bytes"]) for store in stores]
    shown["log"] = str(Log().path)
    call.tell(info_text(shown | {row.key: row.text for row in rows}))
    return 0


def _with_sizes(path: object, held: object, free: object) -> str:
    known = [f"{shown_size(held)} in it"] if isinstance(held, int) else []
    known += [f"{shown_size(free)} free"] if isinstance(free, int) else []
    return f"{path} ({', '.join(known)})" if known else str(path)


def _held(folder: Path) -> int | None:
    from conda_assets.store import open_stores

    try:
        return open_stores([folder]).size_bytes()
    except OSError:
        return None


def _free(folder: object) -> int | None:
    try:
        return shutil.disk_usage(str(folder)).free
    except OSError:
        return None
