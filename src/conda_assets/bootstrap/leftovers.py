"""What a removed package left behind, when conda had installed it and rattler removed it.

conda up to 24 records a noarch package's files twice: right in `files`, and in `paths_data` as they stand in the archive
(`site-packages/…`). rattler (0.28) believes the latter and finds nothing to remove.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

__all__ = ["files_by_record", "sweep"]


def files_by_record(prefix: Path) -> Mapping[str, tuple[str, ...]]:
    """Record's file name → files of each installed noarch package, relative to the prefix."""
    found = {}
    for path in (prefix / "conda-meta").glob("*.json"):
        with suppress(OSError, ValueError):  # the engine reads the same files, and says what is wrong with one
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.get("noarch"):
                found[path.name] = tuple(str(name) for name in content.get("files") or ())
    return found


def sweep(prefix: Path, before: Mapping[str, tuple[str, ...]]) -> int:
    """Remove files of packages that are gone and that no installed package owns, then empty folders; returns how many files.

    `before`: `files_by_record` from before the packages went.
    """
    gone = [name for name in before if not (prefix / "conda-meta" / name).exists()]
    if not gone:
        return 0
    owned = {file for files in files_by_record(prefix).values() for file in files}
    removed = 0
    for file in sorted({file for name in gone for file in before[name]} - owned):
        if ".." in PurePosixPath(file).parts or PurePosixPath(file).is_absolute():
            continue
        path = prefix / file
        with suppress(OSError):
            path.unlink()
            removed += 1
        for folder in path.parents:
            if folder == prefix:
                break
            try:
                folder.rmdir()
            except OSError:
                break  # not empty, or gone already: then its parents are not for us either
    return removed
