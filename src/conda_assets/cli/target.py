"""Which environment is meant: `-n`, `-p`, the active one, or the name in the file, in this order."""

from __future__ import annotations

import os
from pathlib import Path

from conda_assets.errors import EnvironmentMissing, UsageError
from conda_assets.model import Spec, Target
from conda_assets.settings import Settings

__all__ = ["find_target", "named_prefix", "new_prefix"]


def find_target(name: str | None, prefix: str | None, spec: Spec | None, settings: Settings, cwd: Path) -> Target:
    """The environment and the project folder; both absolute.

    Raises:
        EnvironmentMissing: it is named, but not there.
        UsageError: none is named.
    """
    project = Path(os.path.abspath(spec.base if spec else cwd))
    if prefix:
        return Target(_existing_or_new(Path(prefix).expanduser(), cwd), project)
    if name:
        return Target(named_prefix(name, settings), project)
    if settings.active_prefix:
        return Target(_existing(settings.active_prefix), project)
    if spec and spec.name:
        return Target(named_prefix(spec.name, settings, said_by=", ".join(spec.sources)), project)
    if spec and spec.prefix:
        return Target(_existing(Path(spec.prefix).expanduser()), project)
    raise UsageError("no environment is meant", "activate one, or give `-n NAME` or `-p PATH`")


def named_prefix(name: str, settings: Settings, *, said_by: str = "") -> Path:
    """The folder of a named environment.

    Raises:
        EnvironmentMissing: none of that name.
        UsageError: the name is a path.
    """
    _check_name(name)
    if name in ("base", "root") and settings.root_prefix:
        return settings.root_prefix
    for folder in settings.envs_dirs:
        if (folder / name).is_dir():
            return folder / name
    for prefix in _known_prefixes():
        if prefix.name == name and prefix.parent.name == "envs" and prefix.is_dir():
            return prefix
    places = ", ".join(str(folder) for folder in settings.envs_dirs)
    create = f"`conda env create -f {said_by}`" if said_by else f"`conda create -n {name}`"
    raise EnvironmentMissing(f"no environment named {name!r} in {places}", f"make it with {create}, or name a folder with `-p`")


def new_prefix(name: str | None, prefix: str | None, spec: Spec, settings: Settings, cwd: Path) -> Path:
    """Where `create` makes the environment; it need not exist.

    Raises:
        UsageError: neither the command nor the file names it.
    """
    if prefix:
        return Path(os.path.abspath(cwd / Path(prefix).expanduser()))
    wanted = name or spec.name
    if wanted:
        _check_name(wanted)
        for folder in settings.envs_dirs:
            if (folder / wanted).is_dir():
                return folder / wanted
        return next((folder for folder in settings.envs_dirs if _writable(folder)), settings.envs_dirs[-1]) / wanted
    if spec.prefix:
        return Path(os.path.abspath(cwd / Path(spec.prefix).expanduser()))
    raise UsageError("the file has no `name:`", "give `-n NAME` or `-p PATH`")


def _check_name(name: str) -> None:
    if not name or any(sign in name for sign in "/\\ :#") or name in (".", ".."):
        raise UsageError(f"{name!r} is not the name of an environment", "name a folder with `-p PATH`")


def _existing(prefix: Path) -> Path:
    if not prefix.is_dir():
        raise EnvironmentMissing(f"no environment at {prefix}", f"make it with `conda create -p {prefix}`")
    return Path(os.path.abspath(prefix))


def _existing_or_new(prefix: Path, cwd: Path) -> Path:
    """A folder that is typed out is meant, even before it exists: assets need no packages. A file is not."""
    absolute = Path(os.path.abspath(cwd / prefix))
    try:
        absolute.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:
        # Too long, a loop of links, a folder that may not be entered.
        shown = f"{str(prefix)[:60]}…" if len(str(prefix)) > 60 else str(prefix)
        raise EnvironmentMissing(f"{shown}: {error.strerror or error}", "name the environment's folder with `-p PATH`") from error
    if absolute.exists() and not absolute.is_dir():
        raise EnvironmentMissing(f"{prefix} is a file, expected the folder of an environment", "name its folder with `-p PATH`")
    if not absolute.exists() and not absolute.parent.is_dir():
        raise EnvironmentMissing(f"no environment at {prefix}, and no folder {absolute.parent}", f"`conda create -p {prefix}`")
    return absolute


def _known_prefixes() -> list[Path]:
    try:
        lines = (Path.home() / ".conda" / "environments.txt").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError, RuntimeError):
        return []
    return [Path(line.strip()) for line in lines if line.strip()]


def _writable(folder: Path) -> bool:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)
