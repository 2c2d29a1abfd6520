"""`conda_assets.path`, apart from what can fetch: scripts ask for a path more often than for anything else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from conda_assets.api.places import path_of
from conda_assets.api.views import view_in_use
from conda_assets.errors import DiskRefused
from conda_assets.model import Target

__all__ = ["path", "prefix_of"]


def path(name: str, *, prefix: str | Path | None = None) -> Path:
    """Where an asset stands: in the given environment, the active one (its copies, after `sync --stage`), or this Python's.

    Raises:
        UnknownAsset: the environment has none of that name.
        DiskRefused: it was placed, and is gone.
    """
    target = Target(prefix_of(prefix), Path.cwd())
    view = None if prefix else view_in_use(target, os.environ)
    found, stands = path_of(name, view or target)
    if not stands:
        raise DiskRefused(name, f"{found} is gone; `conda assets sync` brings it back")
    return found


def prefix_of(prefix: str | Path | None) -> Path:
    """The environment that is meant: the given one, the active one, or the one of this Python."""
    return Path(prefix or os.environ.get("CONDA_PREFIX") or sys.prefix).absolute()
