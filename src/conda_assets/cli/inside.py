"""What conda's hooks ask for, in plain values: `plugin` knows conda and nothing of assets, this the other way round.

Everything here talks on standard error. Standard output is conda's: under `--json` it is conda's one document. Only what
`conda doctor` asks for goes there, as its other checks do.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from os.path import expanduser, expandvars
from pathlib import Path

from conda_assets import spec as specs
from conda_assets.api.lockfiles import find_locks, read_locks
from conda_assets.api.look import health
from conda_assets.api.pinning import Use, pin
from conda_assets.api.repairing import repair
from conda_assets.api.sync import preview, sync
from conda_assets.api.verify import verify
from conda_assets.cli.call import exit_status
from conda_assets.cli.logged import log_failures, recording
from conda_assets.digest import Digest
from conda_assets.errors import AssetsError, Hint, Interrupted
from conda_assets.model import Asset, Health, LinkMode, Outcome, Placed, Report, Spec, Target, shown_url
from conda_assets.receipt import read_receipt
from conda_assets.records import dataclass
from conda_assets.settings import Settings, load
from conda_assets.terminal import drawing, plan_text, report_text, say, width_of

__all__ = ["Verdict", "add_section", "check", "copy_for_conda", "examine", "mend", "show_plan", "sync_after", "to_mend"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a sync ended: 0, or an exit status with what to say about it."""

    exit_code: int = 0
    message: str = ""
    hints: tuple[Hint, ...] = ()

    def complain(self) -> None:
        """Say it on standard error, where conda cannot."""
        say(sys.stderr, "\n".join([f"Error: {self.message}", *(f"Hint: {hint.text}" for hint in self.hints)]))


def check(texts: Sequence[tuple[str, str]], base: Path, conda: Mapping[str, object]) -> Spec:
    """Read the files (as typed, text) that may have a section; `base`: absolute folder for `root: project`.

    Raises:
        SpecInvalid: with all faults of all files.
        UsageError: a setting that cannot be meant; better now than after the solve.
    """
    settings = _settings(conda)
    shown = [(_shown(source), text) for source, text in texts]
    spec = specs.load_texts(shown, environ=os.environ, base=base)
    pinned = pin(spec, read_locks(_locks_of([source for source, _ in shown])), Use.PLAIN, environ=os.environ)
    for warning in () if settings.quiet or settings.json else (*spec.warnings, *pinned.warnings):
        say(sys.stderr, f"Warning: {warning}")
    return pinned


def copy_for_conda(text: str) -> str:
    """The file without its section, as JSON, which conda reads as the YAML it is.

    A file of assets alone is an environment without packages; conda wants to see that said.
    """
    content = {"dependencies": [], **specs.without_section(text)}
    made = json.dumps(content, ensure_ascii=False, default=str)
    # YAML's reader refuses raw control characters and knows no surrogate pairs; `\U` writes every character.
    return re.sub(r"[^\x20-\x7e]", lambda found: f"\\U{ord(found[0]):08x}", made)


def add_section(text: str, prefix: str, *, as_json: bool) -> str:
    """What conda exports of an environment, with the assets that stand in it; the text itself where there are none."""
    # 20 ms that no other command of conda has a use for.
    from conda_assets.api.listing import entries_of
    from conda_assets.spec.edit import put
    from conda_assets.spec.events import Unreadable
    from conda_assets.spec.fields import FIELDS
    from conda_assets.spec.lines import Uneditable

    try:
        entries = entries_of(tuple(read_receipt(Path(prefix)).values()))
    except AssetsError as error:
        say(sys.stderr, f"Warning: the assets of {prefix} are not in this export: {error.message}")
        return text
    if not entries:
        return text
    if as_json:
        rows = [{field: row[field] for field in FIELDS if field in row} for row in entries]
        return json.dumps({**json.loads(text), "assets": rows}, indent=2, ensure_ascii=False)
    try:
        return put(text, entries)
    except (Uneditable, Unreadable) as error:
        say(sys.stderr, f"Warning: the assets of {prefix} are not in this export: {error}")
        return text


def show_plan(spec: Spec, prefix: Path | None, conda: Mapping[str, object]) -> None:
    """What a sync would do, for `--dry-run`. `prefix`: None where the command does not say it.

    Raises:
        AssetsError: a setting or the receipt cannot be read.
    """
    settings = _settings(conda)
    if settings.quiet:
        return
    store = settings.stores[0]
    plan = preview(spec, Target(prefix or Path(os.devnull), spec.base), settings, environ=os.environ)
    width = width_of(sys.stderr, os.environ)
    say(sys.stderr, f"\nAssets:\n\n{plan_text(plan, free_bytes=_free_bytes(store), store=str(store), width=width)}\n")


def sync_after(spec: Spec, prefix: Path, conda: Mapping[str, object]) -> Verdict:
    """Bring the assets into the environment that conda has just made or changed; the environment stays whatever happens."""
    resume = _resume(spec.sources, prefix)
    try:
        return _sync(spec, Target(prefix, spec.base), _settings(conda), resume)
    except KeyboardInterrupt:
        interrupted = Interrupted(resume)
        return Verdict(interrupted.exit_code, f"{interrupted.message}\n{_ready(prefix)}", interrupted.hints)
    except AssetsError as error:
        return Verdict(error.exit_code, f"{error.message}\n{_ready(prefix)}", (*_lasting_hints(error), _go_on(resume)))


def examine(prefix: Path, *, verbose: bool) -> None:
    """Print what `conda doctor` has to say of the environment's assets."""
    try:
        report = health(_of_receipt(prefix))
    except AssetsError as error:
        say(sys.stdout, f"❌ {error.message}\n")
        return
    count, wrong = len(report.outcomes), _wrong(report)
    if not count:
        head = "✅ There are no assets in this environment."
    elif wrong:
        head = f"❌ {len(wrong)} of {count} assets are not right:"
    else:
        head = f"✅ {'The asset is' if count == 1 else f'All {count} assets are'} in place."
    rows = [f"  {row.name}: {_condition(row)}" for row in (report.outcomes if verbose else wrong)]
    say(sys.stdout, "\n".join([head, *([""] if rows else []), *rows, ""]))


def to_mend(prefix: Path) -> tuple[str, ...]:
    """Names of what the receipt has and is gone or changed.

    Raises:
        AssetsError: the receipt cannot be read.
    """
    return tuple(row.name for row in _wrong(health(_of_receipt(prefix))))


def mend(prefix: Path, conda: Mapping[str, object]) -> Verdict:
    """Bring back what is gone or changed: from the store, else from where it came, by the hash in the receipt.

    Raises:
        AssetsError: the receipt or a setting cannot be read.
    """
    settings, wrong = _settings(conda), to_mend(prefix)
    placed = [line for line in read_receipt(prefix).values() if line.name in wrong]
    resume = shlex.join(["conda", "doctor", "--fix", "assets", "-p", str(prefix)])
    for project in dict.fromkeys(line.project for line in placed):
        target = Target(prefix, Path(project or os.devnull))
        spec = Spec(tuple(_asset(line) for line in placed if line.project == project), ("the receipt",), target.project)
        found = verify(target, only=[asset.name for asset in spec.assets])
        verdict = _sync(spec, target, settings, resume, found=found)
        if verdict.exit_code:
            return verdict
    return Verdict()


def _sync(spec: Spec, target: Target, settings: Settings, resume: str, *, found: Report | None = None) -> Verdict:
    mode = "none" if settings.json else "auto"
    with (
        drawing(mode, sys.stderr, quiet=settings.quiet, environ=os.environ) as face,
        recording("conda", settings, os.environ, face) as watch,
    ):
        if found is None:
            report = sync(spec, target, settings, watch=watch, environ=os.environ)
        else:
            report = repair(spec, target, settings, found, watch=watch, environ=os.environ)
    if not report.failures:
        if not settings.quiet and not settings.json:
            say(sys.stderr, report_text(report, verbose=False))
        return Verdict()
    failed = [row for row in report.failures if row.error]
    names = ", ".join(row.name for row in failed)
    lines = [f"{len(failed)} of {len(report.outcomes)} assets failed: {names}"]
    # Each failure has been shown with its hints already, unless all was to be quiet; after long progress it is said again.
    if settings.quiet or not settings.json:
        lines += [f"  {row.error.message}" for row in failed if row.error]
    log = log_failures(failed, settings, os.environ)
    hints = [hint for row in failed if row.error and settings.quiet for hint in _lasting_hints(row.error)]
    return Verdict(
        exit_status(report), "\n".join([*lines, _ready(target.prefix)]), (*dict.fromkeys(hints), _go_on(resume), *_read_on(log))
    )


def _read_on(log: Path | None) -> tuple[Hint, ...]:
    return (Hint(f"the log is {log}", "log"),) if log else ()


def _locks_of(sources: Sequence[str]) -> dict[str, Path]:
    """As conda finds files: with variables and `~` where there is none of the very name."""
    # Path's own raises for an unknown user.
    typed = {each: each if Path(each).exists() else expanduser(expandvars(each)) for each in sources}  # noqa: PTH111
    found = find_locks(list(typed.values()), Path.cwd())
    return {source: found[path] for source, path in typed.items() if path in found}


def _settings(conda: Mapping[str, object]) -> Settings:
    return load(environ=os.environ, conda=conda)


def _lasting_hints(error: AssetsError) -> tuple[Hint, ...]:
    """Without "the same command again": that would be conda's, which makes the environment anew."""
    return tuple(hint for hint in error.hints if hint.code != "resume")


def _go_on(resume: str) -> Hint:
    return Hint(f"go on with `{resume}`", "resume")


def _ready(prefix: Path) -> str:
    return f"The environment at {prefix} is ready but for that."


def _resume(sources: Sequence[str], prefix: Path) -> str:
    words = ["conda", "assets", "sync", "-p", str(prefix)]
    for source in sources:
        words += ["-f", source]
    return shlex.join(words)


def _shown(source: str) -> str:
    return shown_url(source) if "://" in source else source


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _of_receipt(prefix: Path) -> Target:
    # The receipt itself says which folder `root: project` meant.
    return Target(prefix, Path(os.devnull))


def _wrong(report: Report) -> tuple[Outcome, ...]:
    return tuple(row for row in report.outcomes if row.state in (Health.MISSING, Health.DAMAGED))


def _condition(row: Outcome) -> str:
    if row.because:
        return f"{row.state.value}, {row.because}"
    return f"{row.state.value} at {row.path}" if row.path else row.state.value


def _asset(line: Placed) -> Asset:
    """What the receipt still knows of an entry: the bytes by their hash, and a URL without its secrets."""
    return Asset(
        name=line.name,
        url=line.source,
        path=line.path,
        digest=Digest("sha256", line.sha256),
        size_bytes=line.size_bytes,
        root=line.root,
        env=line.env,
        optional=line.optional,
        link=LinkMode.COPY if line.private else LinkMode.AUTO,
        unpack=line.unpack,
        member=line.member,
    )
