"""What a verb is given: the typed words, the settings, the files; and how it answers: data on stdout, talk on stderr.

What reads files is imported when a verb asks for it: `path` in a script's loop needs none of it.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from urllib.parse import urlsplit

from conda_assets.cli.target import find_target
from conda_assets.errors import FileMissing, UsageError
from conda_assets.model import Report, Spec, Target, shown_url
from conda_assets.records import dataclass, replace
from conda_assets.settings import Settings, Sharing, parse_rate
from conda_assets.terminal import drawing, say, width_of

if TYPE_CHECKING:
    from conda_assets.api.options import Options
    from conda_assets.events import Observer

__all__ = ["Call", "exit_status"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one verb. `program`: how the user calls us, for hints that can be pasted."""

    args: argparse.Namespace
    settings: Settings
    environ: Mapping[str, str]
    cwd: Path
    out: TextIO
    err: TextIO
    program: str

    @property
    def verb(self) -> str:
        """The verb, as typed."""
        return str(self.args.verb)

    @property
    def json(self) -> bool:
        """Exactly one JSON document goes to standard output."""
        return bool(self.args.json or self.settings.json)

    @property
    def quiet(self) -> bool:
        """No progress, no summary; errors all the same."""
        return bool(self.args.quiet or self.settings.quiet)

    @property
    def width(self) -> int | None:
        """Columns for tables; None where nobody looks and lines may be of any length."""
        return width_of(self.out, self.environ)

    def spec(self) -> Spec:
        """The files of `-f`, or the default one; their warnings are said.

        Raises:
            FileMissing: none is named and there is no default one.
            SpecInvalid: with all faults of all files.
        """
        spec = self.spec_if_any()
        if spec is None:
            raise FileMissing(f"no environment.yml and no assets.yml in {self.cwd}", "name a file with `-f FILE`")
        return spec

    def spec_if_any(self) -> Spec | None:
        """Like `spec`, but None when no file is named and there is no default one."""
        sources = self.sources()
        if not sources:
            return None
        from conda_assets.spec import load

        spec = load(sources, environ=self.environ, cwd=self.cwd, read_url=self.read_url)
        for warning in spec.warnings:
            self.say(f"Warning: {warning}")
        return spec

    def pinned(self, spec: Spec) -> Spec:
        """The spec with what its locks say, as `--locked` and `--frozen` ask for.

        Raises:
            LockStale: a lock does not fit, and it has to.
            LockInvalid: with all faults of a lock.
        """
        from conda_assets.api.lockfiles import find_locks, read_locks
        from conda_assets.api.pinning import Use, pin

        use = Use.LOCKED if getattr(self.args, "locked", False) else Use.PLAIN
        use = Use.FROZEN if getattr(self.args, "frozen", False) else use
        locks = read_locks(find_locks(spec.sources, self.cwd), self.program)
        spec = pin(spec, locks, use, environ=self.environ, program=self.program)
        for warning in spec.warnings:
            self.say(f"Warning: {warning}")
        return spec

    def sources(self) -> list[str]:
        """The files that are meant: those of `-f`, or the default one; empty where there is none."""
        if self.args.file:
            return list(self.args.file)
        from conda_assets.spec import default_file

        default = default_file(self.cwd)
        return [default] if default else []

    def read_url(self, url: str) -> str:
        """The text of a spec file on the web.

        Raises:
            FileMissing: it cannot be read, or the network may not be used.
        """
        if self.settings.offline:
            raise FileMissing(f"{shown_url(url)} cannot be read: offline", "name a file on this machine")
        from conda_assets.sources import read_text

        return read_text(url, self.settings.network)

    def target(self, spec: Spec | None) -> Target:
        """The environment that is meant."""
        return find_target(self.args.name, self.args.prefix, spec, self.settings, self.cwd)

    def options(self, *, place: bool = True) -> Options:
        """What the flags say of which assets and how."""
        from conda_assets.api.options import Options

        args = self.args
        return Options(
            groups=tuple(getattr(args, "group", ())),
            all_groups=getattr(args, "all_groups", False),
            only=tuple(getattr(args, "only", ())),
            prune=getattr(args, "prune", False),
            require_hashes=getattr(args, "require_hashes", False),
            place=place,
        )

    def progress(self) -> str:
        """The mode of drawing."""
        asked = getattr(self.args, "progress", None)
        return str(asked) if asked else ("none" if self.json or self.quiet else "auto")

    @contextmanager
    def drawing(self) -> Iterator[Observer]:
        """A listener that shows progress while the block runs, and writes the log."""
        from conda_assets.cli.logged import recording

        silent = self.quiet or (self.json and self.progress() == "none")
        with (
            drawing(self.progress(), self.err, quiet=silent, verbosity=self.args.verbose, environ=self.environ) as face,
            recording(self.verb, self.settings, self.environ, face) as watch,
        ):
            yield watch

    def write(self, document: Mapping[str, object]) -> None:
        """The one JSON document."""
        # ASCII only: whatever the encoding of a pipe is, it is the same document.
        print(json.dumps(document, indent=2), file=self.out)

    def tell(self, text: str) -> None:
        """Data for people: standard output."""
        if text:
            say(self.out, text)

    def say(self, text: str) -> None:
        """Talk: standard error, silent with `-q`."""
        if text and not self.quiet:
            say(self.err, text)

    def again(self) -> str:
        """The command as it was typed, as far as it says what is meant."""
        words = [*self.program.split(), self.verb]
        for flag, value in (("-n", self.args.name), ("-p", self.args.prefix)):
            words += [flag, value] if value else []
        for source in self.args.file or ():
            words += ["-f", source]
        return shlex.join(words)

    def resume(self, target: Target | None = None, spec: Spec | None = None, *, verb: str = "") -> str:
        """The command that goes on from here; `verb` where it is another one."""
        words = [*self.program.split(), verb or ("sync" if self.verb == "create" else self.verb)]
        if target is not None and self.verb != "fetch":
            words += ["-p", str(target.prefix)]
        for source in spec.sources if spec else ():
            words += ["-f", source]
        words += ["--stage", self.args.stage] if getattr(self.args, "stage", None) else []
        words += [f"--{flag}" for flag in ("locked", "frozen") if getattr(self.args, flag, False)]
        return shlex.join(words)


def settings_of(args: argparse.Namespace, settings: Settings) -> Settings:
    """The settings with what was typed laid over them.

    Raises:
        UsageError: a number or rate that cannot be meant.
    """
    changed = replace(settings, offline=settings.offline or getattr(args, "offline", False))
    connections = getattr(args, "connections", None)
    if connections is not None:
        if not 1 <= connections <= 16:
            raise UsageError(f"--connections {connections}: expected 1 to 16", "aria2 opens 16 connections to a server at most")
        changed = replace(changed, connections=connections)
    if getattr(args, "limit_rate", None):
        changed = replace(changed, limit_rate=parse_rate(args.limit_rate))
    if getattr(args, "log_level", None):
        changed = replace(changed, log_level=args.log_level)
    if getattr(args, "swarm", None):
        if urlsplit(args.swarm).scheme.lower() not in ("http", "https", "udp") or args.seed_time < 0:
            raise UsageError(f"--swarm {args.swarm}: expected the announce URL of a tracker, http, https or udp, and a time ≥ 0")
        upload = parse_rate(args.limit_upload) if args.limit_upload else None
        changed = replace(changed, sharing=Sharing(args.swarm, upload, args.seed_time))
    return replace(changed, always_yes=settings.always_yes or getattr(args, "yes", False))


def exit_status(report: Report) -> int:
    """0 done, 1 an asset failed, 4 its content is wrong; optional assets never count."""
    codes = {row.error.exit_code for row in report.failures if row.error}
    return 0 if not codes else (4 if 4 in codes else 1)


def asks(call: Call, question: str) -> bool:
    """Ask on a terminal; anywhere else, and with `-y`, the answer is yes."""
    if call.settings.always_yes or call.json or not sys.stdin or not sys.stdin.isatty():
        return True
    print(f"{question} ([y]/n)? ", end="", file=call.err, flush=True)
    return sys.stdin.readline().strip().lower() in ("", "y", "yes")
