"""What a person sees in the terminal: progress drawn from events, and text for plans, reports and errors.

live, frame, screen   a terminal (rich, imported late)      text, tables   what a command has to tell
logs                  plain lines, JSON lines, failures     words          harmless text, cells, numbers
lines, tally          what events say, and add up to
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, TextIO

from conda_assets.errors import UsageError
from conda_assets.terminal.size import size_of
from conda_assets.terminal.words import say

if TYPE_CHECKING:
    from conda_assets.events import Observer
    from conda_assets.terminal.live import Live
    from conda_assets.terminal.logs import Failures, Json, Plain
    from conda_assets.terminal.text import error_text, info_text, list_text, plan_text, removals_text, report_text, status_text

__all__ = [
    "MODES",
    "drawing",
    "error_text",
    "info_text",
    "list_text",
    "plan_text",
    "removals_text",
    "report_text",
    "say",
    "status_text",
    "wants_colour",
    "width_of",
]

_TEXTS = frozenset(name for name in __all__ if name.endswith("_text"))

#: How progress may be shown: docker's words.
MODES = ("auto", "tty", "plain", "json", "none")

# A terminal that nobody watches: continuous integration, batch jobs.
_UNATTENDED = (
    "CI",
    "TF_BUILD",
    "JENKINS_URL",
    "TEAMCITY_VERSION",
    "SLURM_JOB_ID",
    "PBS_JOBID",
    "LSB_JOBID",
    "COBALT_JOBID",
    "FLUX_JOB_ID",
)


@contextmanager
def drawing(
    mode: str, stream: TextIO, *, quiet: bool = False, verbosity: int = 0, environ: Mapping[str, str]
) -> Iterator[Observer]:
    """Give an observer that shows events on `stream` while the block runs; it may be called from any thread.

    `mode`: `tty` bars, `plain` lines, `json` lines, `none` failures alone, `auto` bars on a terminal that somebody watches,
    else lines. `quiet`: nothing at all. `verbosity`: as counted from `-v`.

    Raises:
        UsageError: no such mode.
    """
    if mode not in MODES:
        raise UsageError(f"cannot show progress as {mode!r}", f"choose one of {', '.join(MODES)}")
    if quiet:
        from conda_assets.events import nobody

        yield nobody
        return
    with _face(mode, stream, verbosity, environ) as face:
        yield face


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Colour may be written: a terminal that has it, or FORCE_COLOR; never with NO_COLOR."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return environ["FORCE_COLOR"] != "0"
    return stream.isatty() and environ.get("TERM") != "dumb"


def width_of(stream: TextIO, environ: Mapping[str, str]) -> int | None:
    """Columns of the terminal behind the stream; None where there is none, and lines may be of any length."""
    return size_of(stream, environ)[0] if stream.isatty() else None


def _face(mode: str, stream: TextIO, verbosity: int, environ: Mapping[str, str]) -> Live | Plain | Json | Failures:
    from conda_assets.terminal.live import Live
    from conda_assets.terminal.logs import Failures, Json, Plain

    if mode == "auto":
        mode = "tty" if _is_watched(stream, environ) else "plain"
    if mode == "json":
        return Json(stream)
    if mode == "none":
        return Failures(stream)
    # Whatever was asked for, a dumb terminal cannot move its cursor.
    if mode == "plain" or environ.get("TERM") == "dumb":
        return Plain(stream, verbosity=verbosity)
    return Live(
        stream, colour=not environ.get("NO_COLOR") and environ.get("FORCE_COLOR") != "0", verbosity=verbosity, environ=environ
    )


def _is_watched(stream: TextIO, environ: Mapping[str, str]) -> bool:
    unattended = any(environ.get(name, "").lower() not in ("", "0", "false", "no") for name in _UNATTENDED)
    return stream.isatty() and environ.get("TERM") != "dumb" and not unattended


def __getattr__(name: str) -> object:
    # A table is not needed to say a path.
    if name not in _TEXTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.text"), name)
