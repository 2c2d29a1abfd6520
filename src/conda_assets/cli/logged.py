"""What a command leaves in the log: who ran with what, what happened, and what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from conda_assets.events import Observer
from conda_assets.log import Log, open_log, recorder, write_error
from conda_assets.machine import python_version, this_machine
from conda_assets.model import Outcome
from conda_assets.settings import Settings
from conda_assets.version import __version__

__all__ = ["log_error", "log_failures", "log_lines", "log_path", "recording"]


@contextmanager
def recording(command: str, settings: Settings, environ: Mapping[str, str], then: Observer) -> Iterator[Observer]:
    """Write down what the command begins with, and what events tell while the block runs; they are passed on."""
    with open_log(settings.log_level, environ, settings) as log:
        if log.wants("info"):
            log.write("info", "\n".join([f"{command}: {_versions()}", *_in_force(settings)]))
        yield recorder(log, then)


def log_error(command: str, settings: Settings, environ: Mapping[str, str], error: BaseException) -> None:
    """Why the command ended early."""
    with open_log(settings.log_level, environ, settings) as log:
        write_error(log, "error", f"{command}: {error or type(error).__name__}", error)


def log_lines(command: str, settings: Settings, environ: Mapping[str, str], lines: Sequence[str]) -> None:
    """What else the command did."""
    if lines:
        with open_log(settings.log_level, environ, settings) as log:
            log.write("info", "\n".join([f"{command}:", *lines]))


def log_failures(rows: Sequence[Outcome], settings: Settings, environ: Mapping[str, str]) -> Path | None:
    """Where each failure came from, at level `debug`; the file in which to read of them, None where there is none."""
    with open_log(settings.log_level, environ, settings) as log:
        if log.wants("debug"):
            for row in rows:
                if row.error is not None:
                    write_error(log, "debug", f"{row.name}: {row.error.code}", row.error)
    return log_path(settings)


def log_path(settings: Settings) -> Path | None:
    """The log, if there is one."""
    log = Log(settings.log_level)
    return log.path if log.wants("error") and log.path.exists() else None


def _versions() -> str:
    here = this_machine()
    return f"conda-assets {__version__}, Python {python_version()} ({sys.executable}), {here.system} {here.release} {here.kind}"


def _in_force(settings: Settings) -> list[str]:
    """Settings that are not as they were delivered."""
    from conda_assets.cli.configured import rows_of

    return [f"{row.key} = {row.text}" for row in rows_of(settings) if row.origin != "default"]
