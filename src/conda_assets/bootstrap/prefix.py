"""The folder that becomes an environment: what stands there before, and what conda expects to find there after.

    <prefix>/conda-meta/history         what was asked for and what came of it, block by block:
        ==> 2026-01-31 12:00:00 <==
        # cmd: conda-assets create -f environment.yml -p /opt/envs/bert
        +conda-forge/linux-64::python-3.12.8-h9e4cc4f_1_cpython
        # update specs: ['python=3.12']
    <prefix>/conda-meta/state           {"env_vars": {"NAME": "value"}}
    <prefix>/conda-meta/pinned          specs that every later solve must respect
    <prefix>/conda-meta/frozen          nobody may change the packages (CEP 22)
    ~/.conda/environments.txt           a line for each environment of this user

Source: conda.history, conda.core.prefix_data and conda.core.envs_manager of conda 24.7.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path

from conda_assets.errors import BootstrapFailed, UsageError
from conda_assets.records import dataclass
from conda_assets.regexes import regex

__all__ = [
    "Ground",
    "History",
    "clear",
    "inspect_ground",
    "read_history",
    "read_pins",
    "register",
    "write_history",
    "write_subdir",
    "write_variables",
]

#: What `conda env config vars unset` writes as a value.
_UNSET = "***unset***"
_BLOCK = regex(r"==>\s*(.+?)\s*<==")
_SPECS = regex(r"#\s*(\w+)\s*specs:\s*(.+)?")
_NAME = regex(r"^(?:[^\s]*::)?([A-Za-z0-9_.-]+)")


class Ground(str, Enum):
    """What stands at the prefix before anything is done."""

    NOTHING = "nothing"
    EMPTY = "empty"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class History:
    """What `conda-meta/history` tells. `requested`: package → spec, those in force; `state`: the packages, as it believes."""

    requested: Mapping[str, str]
    state: frozenset[str]


def inspect_ground(prefix: Path) -> Ground:
    """Say what stands there, before anything is touched.

    Raises:
        UsageError: a file, or a folder with something in it that is not an environment.
        BootstrapFailed: an environment that is frozen, or that cannot be looked into.
    """
    try:
        if not prefix.exists():
            if prefix.is_symlink():
                raise UsageError(f"{prefix} is a link that leads nowhere", "remove it, or name another prefix with `-p`")
            return Ground.NOTHING
        if not prefix.is_dir():
            raise UsageError(f"{prefix} is not a folder", "name another prefix with `-p`")
        if (prefix / "conda-meta" / "frozen").exists():
            raise BootstrapFailed(
                f"{prefix} is frozen: its packages may not be changed", f"remove {prefix / 'conda-meta' / 'frozen'} to unlock it"
            )
        if (prefix / "conda-meta").is_dir():
            return Ground.ENVIRONMENT
        inside = sorted(path.name for path in prefix.iterdir())
    except OSError as error:
        raise BootstrapFailed(f"cannot look into {prefix}: {error.strerror}", "check its permissions") from error
    if inside:
        shown = ", ".join(inside[:3]) + (f" and {len(inside) - 3} more" if len(inside) > 3 else "")
        raise UsageError(f"{prefix} is not an environment and not empty: {shown}", "name a new or an empty folder with `-p`")
    return Ground.EMPTY


def clear(prefix: Path, before: Ground) -> None:
    """Take away what a failed attempt left of a new environment; an environment that stood there before stays.

    Raises:
        OSError: something cannot be removed.
    """
    if before is Ground.NOTHING and prefix.exists():
        _remove_tree(prefix)
    elif before is Ground.EMPTY:
        for path in prefix.iterdir():
            if path.is_dir() and not path.is_symlink():
                _remove_tree(path)
            else:
                path.unlink()


def read_history(prefix: Path) -> History:
    """What the history tells; lines that nobody understands are passed over, as conda does."""
    try:
        lines = (prefix / "conda-meta" / "history").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    requested: dict[str, str] = {}
    state: set[str] = set()
    fresh: set[str] = set()
    for line in map(str.strip, lines):
        if _BLOCK.match(line):
            # A block without signs lists all packages anew.
            state, fresh = (fresh or state), set()
        elif found := _SPECS.match(line):
            _apply_specs(requested, found[1], found[2] or "")
        elif line.startswith("+"):
            state.add(line[1:])
        elif line.startswith("-"):
            state.discard(line[1:])
        elif line and not line.startswith("#"):
            fresh.add(line)
    return History(requested, frozenset(fresh or state))


def write_history(prefix: Path, *, command: str, specs: Sequence[str], packages: Iterable[str]) -> bool:
    """Add a block that tells the specs and what came and went; nothing when there is nothing to tell. True if it was written.

    `packages`: all of the environment, as `channel/subdir::name-version-build`.
    """
    known = read_history(prefix)
    now = frozenset(packages)
    told = set(known.requested.values())
    path = prefix / "conda-meta" / "history"
    if now == known.state and told.issuperset(specs) and path.exists() and path.stat().st_size:
        return False
    block = [f"==> {time.strftime('%Y-%m-%d %H:%M:%S')} <==", f"# cmd: {command}"]
    block += [f"-{package}" for package in sorted(known.state - now)]
    block += [f"+{package}" for package in sorted(now - known.state)]
    if specs:
        # conda reads the list with `literal_eval`.
        block.append(f"# update specs: {list(specs)!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write("\n".join(block) + "\n")
    return True


def read_pins(prefix: Path) -> tuple[str, ...]:
    """The specs of `conda-meta/pinned`."""
    try:
        lines = (prefix / "conda-meta" / "pinned").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    return tuple(text for line in lines if (text := line.partition("#")[0].strip()))


def write_variables(prefix: Path, variables: Mapping[str, str]) -> Mapping[str, str]:
    """Set these among the variables that activation sets; others stay as they are. Returns all that are set now.

    Raises:
        BootstrapFailed: `conda-meta/state` is there and not JSON.
    """
    path = prefix / "conda-meta" / "state"
    state: dict[str, object] = {}
    if path.exists():
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            earlier = state.get("env_vars") or {}
            if not isinstance(earlier, dict):
                raise ValueError("`env_vars` is not a map")
        except (ValueError, AttributeError) as error:
            raise BootstrapFailed(f"{path} cannot be read: {error}", f"mend or remove {path}") from error
        if all(earlier.get(name) == value for name, value in variables.items()):
            return _in_force(earlier)
        state["env_vars"] = {**earlier, **variables}
    elif variables:
        state = {"env_vars": dict(variables)}
    else:
        return {}
    _replace(path, json.dumps(state, ensure_ascii=False))
    return _in_force(state["env_vars"])


def write_subdir(prefix: Path, subdir: str) -> None:
    """Say in the environment's own `.condarc` that it is for another platform, as `conda create --platform` does."""
    path = prefix / ".condarc"
    if not path.exists():
        _replace(path, f"subdir: {subdir}\n")


def register(prefix: Path, home: Path) -> None:
    """Add the environment to the user's list, so that `conda env list` shows it.

    Raises:
        OSError: the list cannot be written.
    """
    path = home / ".conda" / "environments.txt"
    line = os.path.normpath(prefix)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    if line in text.splitlines():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(("" if not text or text.endswith("\n") else "\n") + line + "\n")


def _in_force(variables: object) -> dict[str, str]:
    rows = variables.items() if isinstance(variables, dict) else ()
    return {str(name): str(value) for name, value in rows if value != _UNSET}


def _apply_specs(requested: dict[str, str], action: str, text: str) -> None:
    try:
        specs = ast.literal_eval(text) if text.startswith("[") else []
    except (ValueError, SyntaxError):
        specs = []
    for spec in (str(spec) for spec in specs if spec):
        name = _NAME.match(spec)
        if not name:
            continue
        if action in ("remove", "uninstall"):
            requested.pop(name[1].lower(), None)
        elif action in ("update", "install", "create", "neutered"):
            requested[name[1].lower()] = spec


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _remove_tree(path: Path) -> None:
    if sys.version_info >= (3, 12):
        shutil.rmtree(path, onexc=_make_writable_and_retry)
    else:
        shutil.rmtree(path, onerror=_make_writable_and_retry)


def _make_writable_and_retry(remove: Callable[[str], object], path: str, _: object) -> None:
    """Packages may bring read-only files and folders."""
    Path(path).parent.chmod(stat.S_IRWXU)
    Path(path).chmod(stat.S_IRWXU)
    remove(path)
