"""An environment from `environment.yml` on a machine with conda, mamba, micromamba, or none of them.

Where there is none, py-rattler (the extra `rattler`) solves and installs, in a process of its own; conda accepts the result.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from conda_assets.bootstrap.choices import ENGINES, Choices, Created
from conda_assets.bootstrap.condas import Found, create_with, find_conda
from conda_assets.bootstrap.embedded import create_embedded
from conda_assets.bootstrap.pip import require_files
from conda_assets.bootstrap.prefix import Ground, inspect_ground
from conda_assets.bootstrap.requested import parse_requested
from conda_assets.errors import BootstrapFailed, UsageError
from conda_assets.events import Noted, Observer, nobody
from conda_assets.records import replace
from conda_assets.settings import Settings

__all__ = ["ENGINES", "Choices", "Created", "Found", "create", "find_conda"]


def create(
    texts: Sequence[tuple[str, str]],
    *,
    prefix: Path,
    settings: Settings,
    environ: Mapping[str, str],
    choices: Choices | None = None,
    watch: Observer = nobody,
) -> Created:
    """Make the environment at `prefix` as the files ask, or bring an existing one up to that; assets are left to the caller.

    `texts`: (source as typed, content) of each file, merged in order. In an existing environment the user's own files stay, and
    so do packages that were asked for earlier, unless `choices.prune`. `watch` hears of the work in `Noted` lines.

    Raises:
        UsageError: a faulty file, or a prefix that is something else than an environment; nothing was touched.
        BootstrapFailed: it did not work; a new environment is gone again, an existing one is as the message says.
    """
    began = time.monotonic()
    choices = choices or Choices()
    if choices.engine not in ENGINES:
        raise UsageError(f"unknown engine {choices.engine!r}", f"choose one of {', '.join(ENGINES)}")
    requested = parse_requested(texts, environ=environ, subdir=choices.subdir or settings.subdir)
    if choices.channels:
        requested = replace(requested, channels=choices.channels, alone=True)
    require_files(requested.pip)
    # Not resolved: conda, too, keeps the path as it was typed.
    prefix = Path(os.path.abspath(prefix.expanduser()))
    ground = inspect_ground(prefix)
    for note in requested.notes:
        watch(Noted(note, "warning"))
    found = _choose(choices.engine, environ)
    is_new = ground is not Ground.ENVIRONMENT
    if found is not None:
        create_with(found, requested, prefix=prefix, settings=settings, environ=environ, choices=choices, watch=watch)
        return Created(prefix, found.kind, is_new, time.monotonic() - began)
    done = create_embedded(requested, prefix=prefix, settings=settings, environ=environ, choices=choices, watch=watch)
    packages = tuple(f"{package.name}-{package.version}-{package.build}" for package in done.packages)
    return Created(prefix, "rattler", is_new, time.monotonic() - began, packages, done.linked, done.unlinked)


def _choose(engine: str, environ: Mapping[str, str]) -> Found | None:
    if engine == "rattler":
        return None
    if engine == "auto":
        return find_conda(environ)
    found = find_conda(environ, kind=engine)
    if found is None:
        raise BootstrapFailed(f"there is no {engine} on PATH", "`--engine rattler` needs none")
    return found
