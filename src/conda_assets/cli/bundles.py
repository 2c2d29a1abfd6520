"""Verbs that move bytes without a network: adopt, export, and import of a bundle."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from conda_assets.api.adopt import adopt
from conda_assets.api.exporting import bundling_of, write_folder, write_tar
from conda_assets.api.listing import listed, section_of
from conda_assets.api.lockfiles import find_locks
from conda_assets.api.options import choose
from conda_assets.api.unbundling import take_in
from conda_assets.cli.call import Call, exit_status
from conda_assets.cli.document import SCHEMA, report_document
from conda_assets.errors import Interrupted, UsageError
from conda_assets.model import Asset, Outcome, Report, Spec, State, Target, shown_size
from conda_assets.plan import why_not
from conda_assets.records import replace
from conda_assets.spec.exporters import aria2_text, metalink_text
from conda_assets.spec.source import local_path
from conda_assets.store import open_stores

__all__ = ["chosen", "import_bundles", "run_adopt", "run_export"]


def run_adopt(call: Call) -> int:
    """Files that are here already go into the store; nothing is fetched or placed."""
    spec = call.pinned(call.spec())
    only = set(call.args.only)
    if strange := sorted(only - {name for asset in spec.assets for name in (asset.name, asset.owner)}):
        raise UsageError(f"{', '.join(spec.sources)} has no asset {strange[0]!r}", "names stand in the file")
    assets = [asset for asset in spec.assets if not only or {asset.name, asset.owner} & only]
    places = [call.cwd / Path(os.path.expanduser(place)) for place in call.args.path]  # noqa: PTH111 - `~` of a text
    report = Report("adopt", None, spec.sources, adopt(assets, places, call.settings))
    status = exit_status(report)
    if call.json:
        call.write(report_document(report, success=status == 0))
        return status
    for row in report.outcomes:
        call.tell(f"{row.name}: {_words(row)}")
    here = sum(row.state is State.LINKED for row in report.outcomes)
    sync = shlex.join([*call.program.split(), "sync", *(word for source in spec.sources for word in ("-f", source))])
    call.say(f"{here} of {len(report.outcomes)} assets are in the store; go on with `{sync}`")
    return status


def run_export(call: Call) -> int:
    """A bundle for a machine without a network; or a list: the environment's section, a Metalink, an input file of aria2."""
    form = "spec" if call.args.spec else call.args.format
    if form != "bundle":
        return _export_list(call, form)
    if not call.args.output:
        raise UsageError("a bundle needs a place", "`-o bundle.tar`, or `-o FOLDER`")
    spec = call.pinned(call.spec())
    assets = chosen(call, spec)
    out = Path(os.path.expanduser(call.args.output))  # noqa: PTH111 - `~` of a text
    path = call.cwd / out
    if any(out.name.lower().endswith(end) for end in (".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2", ".zip")):
        raise UsageError(f"{out} cannot be made: bundles are not compressed", f"`-o {out.name.partition('.')[0]}.tar`")
    is_tar = out.suffix.lower() == ".tar"
    # Held until they are written: a bundle of terabytes takes hours, in which somebody may collect.
    with closing(open_stores(call.settings.stores, holds=True)) as store:
        bundling = bundling_of(assets, _texts(call, spec), store)
        with _interruptible(call, "-o", call.args.output), call.drawing() as watch:
            kept = (write_tar if is_tar else write_folder)(bundling, path, watch)
    contents = bundling.contents
    if call.json:
        totals = {"assets": len(assets), "objects": len(contents.objects), "size_bytes": contents.size_bytes, "kept_bytes": kept}
        document = {"schema": SCHEMA, "success": True, "command": call.verb, "file": list(spec.sources), "path": str(path)}
        rows = [{"names": list(each.assets), "sha256": each.sha256, "size_bytes": each.size_bytes} for each in contents.objects]
        call.write({**document, "assets": rows, "totals": totals})
    else:
        went_on = f", {shown_size(kept)} of them from an export before" if kept else ""
        call.say(f"{len(assets)} assets in {out}: {shown_size(contents.size_bytes)}{went_on}")
        call.say(f"there, type `{call.program} import {shlex.quote(out.name)}`, then `{call.program} sync --offline`")
    return 0


def _export_list(call: Call, form: str) -> int:
    notes: tuple[str, ...] = ()
    if form == "spec":
        text = section_of(call.target(call.spec_if_any()).prefix)
    else:
        files = listed(chosen(call, call.pinned(call.spec())), call.environ)
        text, notes = (metalink_text if form == "metalink" else aria2_text)(files)
    for note in notes:
        call.say(f"Note: {note}")
    if call.args.output:
        path = call.cwd / Path(os.path.expanduser(call.args.output))  # noqa: PTH111 - `~` of a text
        try:
            path.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}", "name another place with `-o`") from error
    if call.json:
        document = {"schema": SCHEMA, "success": True, "command": call.verb, "format": form, "notes": list(notes)}
        call.write({**document, "text": text})
    elif not call.args.output:
        call.tell(text.rstrip("\n"))
    return 0


def chosen(call: Call, spec: Spec) -> list[Asset]:
    """The assets that the flags mean; a variable that is set on this machine says nothing of others."""
    choice = replace(choose(spec, Target(call.cwd, spec.base), call.settings, call.options(), call.environ), user_set=())
    return [asset for asset in spec.assets if not why_not(asset, choice)]


def import_bundles(call: Call, sources: Sequence[str]) -> int:
    """Bytes into the store, each one hashed; the spec and its lock into this folder."""
    rows: list[dict[str, object]] = []
    names: list[str] = []
    for source in sources:
        path = call.cwd / Path(os.path.expanduser(source))  # noqa: PTH111 - `~` of a text
        with _interruptible(call, *sources), call.drawing() as watch:
            taken = take_in(path, source, call.settings, call.environ, accept=partial(_check_texts, call.cwd), watch=watch)
        names = [name for name in taken.texts if not name.endswith(".lock")]
        for warning in taken.warnings:
            call.say(f"Warning: {warning}")
        if not call.args.dry_run:
            _write_texts(call.cwd, taken.texts)
        rows.append({"path": str(path), "objects": taken.objects, "known": taken.known, "size_bytes": taken.size_bytes})
        if not call.json:
            call.say(
                f"{taken.objects} files ({shown_size(taken.size_bytes)}) taken into the store, {taken.known} were there already"
            )
    if call.json:
        call.write({"schema": SCHEMA, "success": True, "command": call.verb, "file": None, "bundles": rows})
    else:
        files = shlex.join(word for name in names for word in ("-f", name))
        call.say(f"go on with `{call.program} sync --offline {files}`")
    return 0


def _texts(call: Call, spec: Spec) -> dict[str, bytes]:
    """The specs and their locks, by file name."""
    texts: dict[str, bytes] = {}
    locks = find_locks(spec.sources, call.cwd)
    for source in spec.sources:
        path = local_path(source, call.cwd)
        name = path.name if path else PurePosixPath(urlsplit(source).path).name
        if name in texts:
            raise UsageError(f"two files are called {name}", "export them one by one")
        texts[name] = path.read_bytes() if path else call.read_url(source).encode()
        if source in locks and locks[source].is_file():
            texts[locks[source].name] = locks[source].read_bytes()
    return texts


def _check_texts(folder: Path, texts: Mapping[str, bytes]) -> None:
    for name, data in texts.items():
        path = folder / name
        if path.exists() and path.read_bytes() != data:
            raise UsageError(f"{name} is here already, and is another one", "move it away, or run the command in another folder")


def _write_texts(folder: Path, texts: Mapping[str, bytes]) -> None:
    for name, data in texts.items():
        path = folder / name
        try:
            if not path.exists():
                with path.open("xb") as file:
                    file.write(data)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}", "run the command in another folder") from error


@contextmanager
def _interruptible(call: Call, *words: str) -> Iterator[None]:
    """Say how to go on after Ctrl-C; files that are whole need not be copied again."""
    try:
        yield
    except KeyboardInterrupt:
        flags = {"-f": call.args.file or (), "--group": call.args.group, "--only": getattr(call.args, "only", ())}
        typed = [word for flag, values in flags.items() for value in values for word in (flag, value)]
        typed += ["--all-groups"] if getattr(call.args, "all_groups", False) else []
        raise Interrupted(shlex.join([*call.program.split(), call.verb, *words, *typed])) from None


def _words(row: Outcome) -> str:
    size = f" ({shown_size(row.size_bytes)})" if row.size_bytes is not None else ""
    return f"{row.because}{size}" if row.state is State.LINKED else f"not adopted: {row.because}"
