"""Where downloaded packages and channel indexes are kept between environments.

    <first writable of conda's pkgs_dirs>/conda-assets/      where the user told conda a place: a large disk, a group's folder
    <user's cache folder>/conda-assets/                      else
        pkgs/        extracted packages, hard-linked into environments
        repodata/    indexes of channels
        locks/       one a prefix, so that two processes do not make the same environment

A folder of our own inside `pkgs_dirs`: rattler's cache and conda's use the same names for different things.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from platformdirs import user_cache_path

from conda_assets.condarc import read_condarcs
from conda_assets.errors import BootstrapFailed

__all__ = ["lock_path", "open_cache"]


def open_cache(environ: Mapping[str, str], root: Path | None) -> Path:
    """The cache's folder, made where it is missing.

    Raises:
        BootstrapFailed: it cannot be made or written.
    """
    tried = [folder / "conda-assets" for folder in _pkgs_dirs(environ, root)]
    tried += [_user_cache(environ)]
    for folder in tried:
        try:
            for name in ("pkgs", "locks"):
                (folder / name).mkdir(parents=True, exist_ok=True)
            # Addresses of channels stand in it, with their tokens.
            (folder / "repodata").mkdir(mode=0o700, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise BootstrapFailed(
        f"no folder for packages can be written: {', '.join(map(str, tried))}",
        "set `CONDA_PKGS_DIRS` to a folder that you can write",
    )


def lock_path(cache: Path, prefix: Path) -> Path:
    """The lock of a prefix. Two names of one folder share it."""
    return cache / "locks" / f"{hashlib.sha256(str(prefix.resolve()).encode()).hexdigest()[:32]}.lock"


def _pkgs_dirs(environ: Mapping[str, str], root: Path | None) -> list[Path]:
    said: list[str] = []
    if environ.get("CONDA_PKGS_DIRS"):
        said = environ["CONDA_PKGS_DIRS"].split(",")
    else:
        home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
        for _, content in read_condarcs(environ, root, home, ("pkgs_dirs",)):
            found = content.get("pkgs_dirs")
            said = [str(part) for part in found] if isinstance(found, list) else [found] if isinstance(found, str) else said
    return [Path(os.path.expandvars(part.strip())).expanduser().absolute() for part in said if part.strip()]


def _user_cache(environ: Mapping[str, str]) -> Path:
    if os.name == "posix" and environ.get("XDG_CACHE_HOME"):
        return Path(environ["XDG_CACHE_HOME"], "conda-assets").absolute()
    return user_cache_path("conda-assets", appauthor=False)
