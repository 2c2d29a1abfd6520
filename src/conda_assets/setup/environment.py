"""The setup of one environment: a file of ours in its `condarc.d`.

conda reads that folder of the prefix that is active or is the target, and ranks it above `~/.condarc`. The file has none of
conda's marks `#!top` and `#!final`. In a named environment it is first without them. In base, whose files concern every
environment and on a shared machine everyone, conda ranks the same folder *below* `~/.condarc`: there the marks would
silently overrule what a user has chosen. So the user's choice stands, and the plan says so.

Its name differs from that of the file which the conda package brings: conda complains about a file in the place of a
package's, and would take it away with the package.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from conda_assets.errors import EnvironmentMissing, UsageError
from conda_assets.setup.change import Change, Where, outranked, read_file
from conda_assets.setup.edit import put_channel_first, set_strict
from conda_assets.setup.read import CHANNEL, PRIORITY, Unsafe

__all__ = ["plan_environment"]

_OURS = "condarc.d/conda-assets-setup.yml"
_PACKAGES = "condarc.d/conda-assets.yml"
_CONTENT = b"""\
# Written by `conda assets setup`; `conda assets setup --undo` removes it.
channels:
  - conda-forge
channel_priority: strict
"""


def plan_environment(where: Where, prefix: Path, *, undo: bool) -> Change:
    """What is to be done for the environment.

    Raises:
        UsageError: our file was edited and no longer says what it should.
        EnvironmentMissing: no environment at the prefix.
        DiskRefused: a file cannot be read.
    """
    if not (prefix / "conda-meta").is_dir():
        raise EnvironmentMissing(f"{prefix} is not a conda environment", "name one with `-n` or `-p`, or use `--user`")
    file, package = prefix / _OURS, _package_file(prefix)
    present = read_file(file)
    if undo:
        return _undo(file, present, package)
    if package:
        return Change(file, present, present, (_by_package(package),))
    if present is not None and not _is_set_up(present):
        raise UsageError(f"{file} was edited since `conda assets setup` wrote it", f"delete {file}, then run it again")
    if present is not None:
        return Change(file, present, present, (f"{file} does it already", *outranked(where)))
    said = [f"write {file}: `{CHANNEL}` first in `channels`, `{PRIORITY}: strict`"]
    if where.root is not None and os.path.realpath(prefix) == os.path.realpath(where.root):
        said.append(f"in base {where.user_file} ranks above it; `conda assets setup --user` edits that")
    return Change(file, None, _CONTENT, (*said, *outranked(where)))


def _undo(file: Path, present: bytes | None, package: Path | None) -> Change:
    said = [_by_package(package)] if package else []
    if present is None:
        return Change(file, None, None, tuple(said or [f"there is nothing to undo in {file.parent.parent}"]), undo=True)
    if present != _CONTENT:
        return Change(file, present, present, (f"{file} was edited and stays as it is", *said), undo=True)
    return Change(file, present, None, (f"remove {file}", *said), undo=True)


def _by_package(file: Path) -> str:
    return f"{file} does it, as long as the package conda-assets is installed there"


def _package_file(prefix: Path) -> Path | None:
    """The file that the conda package brought, where it is there and says what ours would."""
    for path in sorted((prefix / "conda-meta").glob("conda-assets-[0-9]*.json")):
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} cannot be read: {error}", "repair the environment with conda first") from error
        owned = content.get("files", ()) if isinstance(content, dict) else ()
        present = read_file(prefix / _PACKAGES)
        if _PACKAGES in owned and present is not None and _is_set_up(present):
            return prefix / _PACKAGES
    return None


def _is_set_up(content: bytes) -> bool:
    try:
        text = content.decode("utf-8")
        return set_strict(put_channel_first(text)) == text
    except (UnicodeDecodeError, Unsafe):
        return False
