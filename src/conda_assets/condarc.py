"""The `.condarc` files, in conda's order, for a program that runs without conda.

    /etc/conda → <root prefix> → ~/.config/conda → ~/.conda → ~/.condarc → <active prefix> → $CONDARC

Source: conda.base.constants.SEARCH_PATH of conda 24.7 to 26.9.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from conda_assets.errors import UsageError

__all__ = ["read_condarcs"]


def read_condarcs(
    environ: Mapping[str, str], root: Path | None, home: Path, keys: tuple[str, ...]
) -> Iterator[tuple[str, Mapping[str, object]]]:
    """(path, content) of each file that may concern us, lowest priority first. `keys`: what is wanted beside `plugins`.

    Raises:
        UsageError: a file that is not YAML, with its name.
    """
    wanted = re.compile("|".join([r"^\s*plugins", *(rf"^{key}" for key in keys)]), re.MULTILINE)
    for path in _condarc_paths(environ, root, home):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeError):
            continue  # not there, or not for us to read: conda passes over it too
        if not wanted.search(text):
            continue
        import yaml  # 15 ms: only when a file has something for us

        try:
            content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError as error:
            raise UsageError(f"{path}: not YAML: {' '.join(str(error).split())}", f"mend {path}") from error
        if isinstance(content, Mapping):
            yield str(path), content


def _condarc_paths(environ: Mapping[str, str], root: Path | None, home: Path) -> Iterator[Path]:
    folders = [Path("/etc/conda"), Path("/var/lib/conda")] if os.name == "posix" else [Path("C:/ProgramData/conda")]
    folders += [root] if root else []
    folders += [Path(environ["XDG_CONFIG_HOME"]) / "conda"] if environ.get("XDG_CONFIG_HOME") else []
    folders += [home / ".config" / "conda", home / ".conda"]
    for folder in folders:
        yield from _condarcs_of(folder)
    yield home / ".condarc"
    if environ.get("CONDA_PREFIX"):
        yield from _condarcs_of(Path(environ["CONDA_PREFIX"]))
    if environ.get("CONDARC"):
        yield Path(environ["CONDARC"]).expanduser()


def _condarcs_of(folder: Path) -> Iterator[Path]:
    yield folder / ".condarc"
    yield folder / "condarc"
    try:
        inside = sorted((folder / "condarc.d").iterdir())
    except OSError:
        return
    yield from (path for path in inside if path.suffix in (".yml", ".yaml"))
