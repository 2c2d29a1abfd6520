"""Where the locks of spec files are; reading and writing them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import join

from conda_assets.errors import DiskRefused, FileMissing, UsageError
from conda_assets.model import Asset, Spec
from conda_assets.spec.lockfile import Lock, lock_path
from conda_assets.spec.source import local_path, read_source

__all__ = ["find_locks", "own_assets", "read_locks", "relock_command", "write_lock"]


def find_locks(sources: Sequence[str], cwd: Path) -> dict[str, Path]:
    """Spec file, as typed → where its lock is or would be; nothing for a file on the web."""
    return {source: lock_path(path) for source in sources if (path := local_path(source, cwd)) is not None}


def read_locks(places: Mapping[str, Path], program: str = "conda assets") -> dict[str, Lock]:
    """Spec file, as typed → its lock; nothing where there is none. `program`: for the hints.

    Raises:
        LockInvalid: with all faults of the first lock that has any.
        UsageError: one that cannot be read.
    """
    from conda_assets.spec.lockread import read_lock

    locks = {}
    for source, path in places.items():
        if _is_absent(path):
            continue
        shown = str(Path(source).with_name(path.name)) if "://" not in source else str(path)
        try:
            text = read_source(str(path), path.parent, _no_url)
        except FileMissing:
            continue
        locks[source] = read_lock(text, shown, relock_command(program, source))
    return locks


def _is_absent(path: Path) -> bool:
    """As most locks are. `read_source` would read the folder and compare names to say what else could be meant."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except (OSError, ValueError):  # told by `read_source`
        return False
    return False


def own_assets(spec: Spec, source: str) -> tuple[Asset, ...]:
    """The assets of one of the spec's files."""
    return tuple(asset for asset in spec.assets if asset.file == source)


def relock_command(program: str, source: str, name: str = "") -> str:
    """The command that brings a lock up to date, or takes one asset's new bytes into it."""
    return join([*program.split(), "lock", "-f", source, *(["--update", name] if name else [])])


def write_lock(path: Path, text: str) -> bool:
    """Replace the file, unless it says just this; whether it was replaced.

    Raises:
        DiskRefused: it cannot be written.
    """
    data = text.encode()
    path = Path(os.path.realpath(path))  # a link stays a link
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.is_file():
            if path.read_bytes() == data:
                return False
            mode = path.stat().st_mode
        else:
            mode = None
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            fresh.chmod(mode & 0o777)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise DiskRefused("lock", f"{path} cannot be written: {error.strerror or error}") from error
    return True


def _no_url(url: str) -> str:
    raise UsageError(f"{url} cannot have a lock")
