"""The two ends of a conda command whose files ask for assets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from conda_assets.plugin.context import conda_error, context, prefix_of, said, values
from conda_assets.plugin.files import accept_key, folder_of, read, reads_by_class, write_copies
from conda_assets.records import dataclass

if TYPE_CHECKING:
    from conda_assets.model import Spec

__all__ = ["Command", "begin", "finish"]


@dataclass(frozen=True, slots=True)
class Command:
    """`name`: as conda calls it; `copies`: file as typed → what conda is to read instead."""

    name: str
    spec: Spec
    copies: Mapping[str, str]


def begin(name: str) -> Command | None:
    """Read the files of a command that is about to run; None where none has a section.

    Raises:
        CondaError: faults in the section; conda ends before its solve, with our exit status.
    """
    files = _files()
    texts = [(file, text) for file in files if (text := read(file)) is not None and "assets" in text]
    if not texts:
        return None
    from conda_assets.spec import has_section

    texts = [(file, text) for file, text in texts if has_section(text)]
    return _begun(name, files, texts) if texts else None


def finish(command: Command) -> None:
    """Bring the assets, unless the command was only to show or to download.

    Raises:
        CondaError: some could not be brought; the environment stays.
        SystemExit: the same under `--json`: conda has printed its document, and an error of its class would be a second one.
    """
    if not command.spec.assets or context().dry_run or context().download_only:
        return
    from conda_assets.cli import inside

    prefix = prefix_of(command.name, command.spec)
    if prefix is None:
        raise RuntimeError("conda has made an environment and does not say where")
    verdict = inside.sync_after(command.spec, prefix, values())
    if not verdict.exit_code:
        return
    if context().json:
        verdict.complain()
        raise SystemExit(verdict.exit_code)
    raise conda_error(verdict.exit_code, verdict.message, verdict.hints)


def _begun(name: str, files: list[str], texts: list[tuple[str, str]]) -> Command:
    from conda_assets.cli import inside
    from conda_assets.errors import AssetsError

    try:
        spec = inside.check(texts, folder_of(files[0]), values())
        if context().dry_run:
            inside.show_plan(spec, prefix_of(name, spec), values())
    except AssetsError as error:
        raise conda_error(error.exit_code, error.message, error.hints, error.to_json()) from error
    if reads_by_class():
        return Command(name, spec, write_copies((file, inside.copy_for_conda(text)) for file, text in texts))
    accept_key()
    return Command(name, spec, {})


def _files() -> list[str]:
    typed = said()
    if typed.get("clone"):
        return []
    if typed.get("remote_definition"):
        from inspect import signature

        from conda.env import specs

        # `conda env create user/name` up to 24.7: the default of `--file` is not what it reads. Later ones ignore the word.
        if "remote_definition" in signature(specs.detect).parameters:
            return []
    files = typed.get("file") or []
    return [files] if isinstance(files, str) else [str(file) for file in files]
