"""Hooks that an environment runs when it is activated: `CONDA_ASSETS_DIR` and each asset's variable, in every shell conda has.

    <prefix>/etc/conda/activate.d/conda-assets.{sh,fish,csh,ps1,bat}      set what the user has not set
    <prefix>/etc/conda/deactivate.d/conda-assets.{sh,fish,csh,ps1,bat}    unset what was set, where it is still what was set

The prefix need not hold this package, and no hook starts a process. xonsh runs the `.sh` pair (on Windows the `.bat` pair).

Beside each variable the hooks export `_CONDA_ASSETS_SET_<NAME>` with the value they gave it. It tells a user's value from ours:
in a deactivation, in a second activation of the environment, in one stacked on another, and in a `sync` that an activated shell
starts (`set_by_user`). One marker per variable and no list of names: a list cannot say that the user changed a value since, and a
`sync` may rewrite the hooks while a shell still has what the old ones set.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from conda_assets.activation.shells import MARKER, SHELLS, Place, Shell
from conda_assets.errors import DiskRefused, UsageError
from conda_assets.model import PREFIX_FOLDER
from conda_assets.regexes import regex

__all__ = ["FOLDER_VARIABLE", "MARKER", "remove_hooks", "set_by_user", "write_hooks"]

#: The folder of an environment's assets, set in every environment that has hooks.
FOLDER_VARIABLE = "CONDA_ASSETS_DIR"

_ACTIVATE, _DEACTIVATE = "activate.d", "deactivate.d"
# In the first line of each of our files, and by it alone a file is known as ours.
_OURS = b"Written by conda-assets"
_NAME = regex(r"[A-Za-z_][A-Za-z0-9_]*")
_MARKED = regex(re.escape(MARKER).encode() + rb"([A-Za-z_][A-Za-z0-9_]*)")


def write_hooks(prefix: Path, variables: Mapping[str, Path]) -> None:
    """Make the environment set `CONDA_ASSETS_DIR` and `variables` on activation; files that are right already stay untouched.

    `variables`: name → absolute path. A path below `prefix` is written relative to `$CONDA_PREFIX`, so the hooks are right in a
    clone or a renamed environment too. A shell that is active while they are rewritten keeps what it has; its deactivation then
    unsets also variables that are no longer in `variables`.

    Raises:
        UsageError: an illegal name, one of conda's own names, a relative path, or a file of the user where a hook should go.
        DiskRefused: the prefix cannot be written.
    """
    places = {FOLDER_VARIABLE: Place.of(prefix / PREFIX_FOLDER, prefix)}
    for name, path in sorted(variables.items()):
        _check(name, path)
        places[name] = Place.of(path, prefix)
    with _writing(prefix):
        for shell in SHELLS:
            for folder in (_ACTIVATE, _DEACTIVATE):
                _check_ours(_hook(prefix, folder, shell))
        retired = _earlier_names(prefix) - places.keys()
        for shell in SHELLS:
            _replace(_hook(prefix, _ACTIVATE, shell), shell.activation(places))
            _replace(_hook(prefix, _DEACTIVATE, shell), shell.deactivation([*places, *sorted(retired)]))


def remove_hooks(prefix: Path) -> None:
    """Take our files out of the environment, and the folders that this leaves empty; other packages' and the user's stay.

    A shell in which the environment is active keeps its variables until it ends.

    Raises:
        DiskRefused: the prefix cannot be written.
    """
    top = prefix / "etc" / "conda"
    with _writing(prefix):
        for folder in (_ACTIVATE, _DEACTIVATE):
            for shell in SHELLS:
                hook = _hook(prefix, folder, shell)
                if _is_ours(hook):
                    hook.unlink()
            _remove_if_empty(top / folder)
        _remove_if_empty(top)


def set_by_user(name: str, environ: Mapping[str, str], ours: Path) -> bool:
    """Whether the variable holds a value of the user, which wins: not empty, not set by a hook, and not `ours` anyway."""
    value = environ.get(name, "")
    return bool(value) and value != environ.get(MARKER + name) and Path(value) != ours


def _check(name: str, path: Path) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for an environment variable", "use letters, digits and `_`, no digit first")
    # Conda reads its settings from CONDA_*; several, emptied by its own deactivation, break every later conda command.
    if name.upper().startswith(("CONDA_", "_CONDA_", "__CONDA_")):
        raise UsageError(f"{name}: names that begin with CONDA_ are conda's own", "choose another name for `env:`")
    if not path.is_absolute():
        raise UsageError(f"{name}: {path} is not an absolute path")


def _hook(prefix: Path, folder: str, shell: Shell) -> Path:
    return prefix / "etc" / "conda" / folder / f"conda-assets{shell.suffix}"


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _OURS in file.readline(200)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _check_ours(path: Path) -> None:
    if os.path.lexists(path) and not _is_ours(path):
        raise UsageError(f"{path} was not written by conda-assets, and it stands where a hook should go", f"rename {path}")


def _earlier_names(prefix: Path) -> set[str]:
    # Any shell's file names them all; a shell that was activated before this rewrite may still hold them.
    try:
        content = _hook(prefix, _DEACTIVATE, SHELLS[0]).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return set()
    return {name.decode() for name in _MARKED.findall(content)}


def _replace(path: Path, content: bytes) -> None:
    try:
        if path.read_bytes() == content and not path.is_symlink():
            return
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    # A suffix that no shell looks for: an activation may scan the folder at this moment.
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with fresh.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


@contextlib.contextmanager
def _writing(prefix: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or prefix
        raise DiskRefused("activation", f"{where} cannot be written: {error.strerror or error}") from error
