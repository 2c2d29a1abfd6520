"""conda, mamba or micromamba, where the machine has one: find it, and let it make the environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from conda_assets.bootstrap.choices import Choices
from conda_assets.bootstrap.prefix import Ground, inspect_ground
from conda_assets.bootstrap.requested import Requested
from conda_assets.errors import BootstrapFailed, UsageError
from conda_assets.events import Noted, Observer
from conda_assets.records import dataclass
from conda_assets.settings import Settings

__all__ = ["Found", "create_with", "find_conda"]

_KINDS = ("conda", "mamba", "micromamba")
_VARIABLES = {"conda": ("CONDA_EXE", "_CONDA_EXE"), "mamba": ("MAMBA_EXE",), "micromamba": ("MAMBA_EXE",)}
_TAIL_LINES = 25


@dataclass(frozen=True, slots=True)
class Found:
    """A program that makes environments. `kind`: conda, mamba, micromamba; `origin`: the variable that names it, or PATH."""

    kind: str
    program: Path
    origin: str


def find_conda(environ: Mapping[str, str], *, kind: str | None = None) -> Found | None:
    """The first of conda, mamba and micromamba that is here: named by the variables of an initialised shell, or on PATH.

    `kind` asks for one of them only. A variable that names a program that is gone is passed over.
    """
    for wanted in [kind] if kind else _KINDS:
        for variable in _VARIABLES[wanted]:
            program = Path(environ.get(variable, ""))
            if environ.get(variable) and program.stem == wanted and program.is_file() and os.access(program, os.X_OK):
                return Found(wanted, program, variable)
        # A venv's or our own folder may hold a stray `conda`; PATH is still what the user would get by typing the name.
        on_path = shutil.which(wanted, path=environ.get("PATH", os.defpath))
        if on_path:
            return Found(wanted, Path(on_path), "PATH")
    return None


def create_with(
    found: Found,
    requested: Requested,
    *,
    prefix: Path,
    settings: Settings,
    environ: Mapping[str, str],
    choices: Choices,
    watch: Observer,
) -> None:
    """Let that program make or update the environment; the assets are left to the caller.

    It gets a copy of the request without `assets:`, so that neither it warns nor our plugin in it syncs a second time.
    `requested.pip` has absolute paths: the copy lies elsewhere.

    Raises:
        UsageError: a dry run of an update, which conda and mamba do not have.
        BootstrapFailed: it fails, with the end of what it said.
    """
    ground = inspect_ground(prefix)
    if choices.dry_run and ground is Ground.ENVIRONMENT and found.kind != "micromamba":
        raise UsageError(f"`{found.kind} env update` has no dry run", "`--engine rattler` has one")
    with tempfile.TemporaryDirectory(prefix="conda-assets-") as folder:
        copy = Path(folder, "environment.yml")
        # JSON is YAML, and needs no quoting rules.
        copy.write_text(json.dumps(_content(requested), indent=1), encoding="utf-8")
        command = [str(found.program), *_command(found.kind, ground, copy, prefix), *_flags(found.kind, ground, choices)]
        watch(Noted(f"{found.kind} makes the environment ({found.program})"))
        status, said = _run(command, _environment(environ, settings, choices), watch)
    if status:
        tail = "\n".join(f"  {line}" for line in said[-_TAIL_LINES:])
        shown = " ".join([found.kind, *command[1:]]).replace(str(copy), requested.sources[0])
        raise BootstrapFailed(
            f"`{shown}` failed (exit status {status}):\n{tail}", "mend what it says and run the same command again"
        )


def _command(kind: str, ground: Ground, file: Path, prefix: Path) -> list[str]:
    target = ["-f", str(file), "-p", str(prefix)]
    if kind == "micromamba":
        return ["install" if ground is Ground.ENVIRONMENT else "create", "--yes", *target]
    # `conda env create` on an existing environment: refuses (to 25.3), updates (25.5 to 26.5) or deletes it first (26.7 on).
    return ["env", "update" if ground is Ground.ENVIRONMENT else "create", *target]


def _flags(kind: str, ground: Ground, choices: Choices) -> list[str]:
    flags = ["--dry-run"] if choices.dry_run else []
    if choices.prune and ground is Ground.ENVIRONMENT and kind != "micromamba":
        flags.append("--prune")
    if choices.subdir and kind == "micromamba":
        flags += ["--platform", choices.subdir]
    return flags


def _environment(environ: Mapping[str, str], settings: Settings, choices: Choices) -> dict[str, str]:
    # Nobody is there to answer. Variables rather than flags: all three, in all their versions, read them.
    variables = {**environ, "CONDA_ALWAYS_YES": "true", "MAMBA_ALWAYS_YES": "true", "PYTHONUNBUFFERED": "1"}
    if settings.offline:
        variables |= {"CONDA_OFFLINE": "true", "MAMBA_OFFLINE": "true"}
    if choices.subdir:
        variables["CONDA_SUBDIR"] = choices.subdir
    return variables


def _content(requested: Requested) -> dict[str, object]:
    dependencies: list[object] = [spec.text for spec in requested.specs]
    if requested.pip:
        dependencies.append({"pip": list(requested.pip)})
    # conda and mamba put the channels of their own settings behind the file's; `nodefaults` in the file keeps them out.
    channels = [*requested.channels, *(["nodefaults"] if requested.alone else [])]
    content: dict[str, object] = {"channels": channels, "dependencies": dependencies}
    if requested.variables:
        content["variables"] = dict(requested.variables)
    return content


def _run(command: Sequence[str], environ: Mapping[str, str], watch: Observer) -> tuple[int, list[str]]:
    said: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environ),
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout
        try:
            for line in process.stdout:
                if text := line.strip():
                    said.append(line.rstrip())
                    watch(Noted(text))
        except BaseException:
            process.terminate()
            raise
    return process.returncode, said
