"""conda's hooks; the only package that imports conda. It loads nothing else until a hook of ours has work to do.

    before a command   read the files it was given; a faulty `assets:` section ends it here, before the solve
    while it runs      conda reads a copy without the section (25.9 on), or is told that the key is known (before)
    after it           bring the assets into the environment that it has made

Each hook is guarded by what the running conda has, never by its version; 24.7 to 26.9 were tried.
`command` has the two ends of a command, `files` what conda is to read, `exporting` what it writes, `context` what conda says
and is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conda import plugins

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator

    from conda_assets.plugin.command import Command

# `conda env create` calls itself "env_create" up to 26.5 and "create" from 26.7 on.
_COMMANDS = {"create", "env_create", "env_update", "install", "update"}

# The command under way, between its hooks, when its files have a section.
_under_way: Command | None = None


@plugins.hookimpl
def conda_subcommands() -> Iterator[Any]:
    """`conda assets VERB`, with a parser of our own: conda builds the parsers of all plugins for each of its commands."""
    from conda.plugins.types import CondaSubcommand

    yield CondaSubcommand(name="assets", summary="Bring and check the large files that an environment needs.", action=_run_verb)


@plugins.hookimpl
def conda_pre_commands() -> Iterator[Any]:
    """Look at the files before conda does."""
    from conda.plugins.types import CondaPreCommand

    yield CondaPreCommand(name="conda-assets", action=_before, run_for=_COMMANDS)


@plugins.hookimpl
def conda_post_commands() -> Iterator[Any]:
    """Sync; conda calls this only when its own work is done."""
    from conda.plugins.types import CondaPostCommand

    yield CondaPostCommand(name="conda-assets", action=_after, run_for=_COMMANDS)


@plugins.hookimpl(hookwrapper=True)  # not `wrapper=True`: conda up to 26.3 takes a pluggy that does not know it
def conda_environment_specifiers() -> Iterator[None]:
    """Have conda's readers read the copies. A reader of our own for environment.yml would be refused as ambiguous."""
    outcome: Any = yield
    if _under_way is not None and _under_way.copies:
        from conda_assets.plugin.files import reading_copies

        copies = _under_way.copies
        outcome.force_result([[reading_copies(each, copies) for each in group] for group in outcome.get_result()])


@plugins.hookimpl(hookwrapper=True)
def conda_environment_exporters() -> Iterator[None]:
    """Have the section in what `conda export` writes; nothing of ours is loaded before it does."""
    outcome: Any = yield
    from conda_assets.plugin.exporting import with_section

    outcome.force_result([[with_section(each) for each in group] for group in outcome.get_result()])


@plugins.hookimpl
def conda_settings() -> Iterator[Any]:
    """`plugins: assets_…` in .condarc, CONDA_PLUGINS_ASSETS_… in the environment."""
    from conda_assets.plugin.context import settings

    yield from settings()


@plugins.hookimpl
def conda_health_checks() -> Iterator[Any]:
    """`conda doctor`: what the environment's receipt names and is not there; `--fix` brings it back (conda 26.1 on)."""
    from inspect import signature

    from conda.plugins.types import CondaHealthCheck

    more = {"fixer": _fix, "summary": "Assets are in place", "fix": "Bring back missing and changed assets"}
    known = signature(CondaHealthCheck).parameters
    yield CondaHealthCheck(name="assets", action=_examine, **{key: value for key, value in more.items() if key in known})


def _run_verb(words: tuple[str, ...]) -> int:
    from conda_assets.cli import main
    from conda_assets.plugin.context import values

    return main(words, conda=values())


def _before(command: str) -> None:
    global _under_way
    from conda_assets.plugin.command import begin

    _under_way = None
    _under_way = begin(command)


def _after(command: str) -> None:
    if _under_way is not None:
        from conda_assets.plugin.command import finish

        finish(_under_way)


def _examine(prefix: str, verbose: bool) -> None:
    from pathlib import Path

    from conda_assets.cli import inside

    inside.examine(Path(prefix), verbose=verbose)


def _fix(prefix: str, args: Namespace, confirm: Callable[[str], None]) -> int:
    from pathlib import Path

    from conda_assets.cli import inside
    from conda_assets.plugin.context import values

    names = inside.to_mend(Path(prefix))
    if not names:
        return 0
    confirm(f"Bring back {', '.join(names)}?")
    verdict = inside.mend(Path(prefix), values())
    if verdict.exit_code:
        verdict.complain()
    return verdict.exit_code
