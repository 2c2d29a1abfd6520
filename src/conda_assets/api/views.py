"""Where the view of an environment is in a stage, and whether the variables of this process lead there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from conda_assets.activation import FOLDER_VARIABLE
from conda_assets.model import Target
from conda_assets.receipt import receipt_path

__all__ = ["view_in_use", "view_of"]


def view_of(folder: Path, origin: Target) -> Target:
    """Where the view of that environment is in the stage; `api.staging` draws it."""
    key = hashlib.sha256(os.fsencode(origin.prefix)).hexdigest()[:8]
    view = folder / f"{origin.prefix.name or 'root'}-{key}"
    return Target(view, view / "project")


def view_in_use(origin: Target, environ: Mapping[str, str]) -> Target | None:
    """The view of that environment that the variables lead to; None where they do not, or it is gone."""
    view = Path(environ.get(FOLDER_VARIABLE) or os.curdir).absolute().parent.parent
    found = view_of(view.parent, origin)
    return found if found.prefix == view and receipt_path(view).is_file() else None
