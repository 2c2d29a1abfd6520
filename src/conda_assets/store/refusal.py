"""What the operating system refuses, as errors of ours."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conda_assets.errors import DiskFull, StoreFailed

__all__ = ["free_bytes", "nearest", "refusals"]


def nearest(folder: Path) -> Path:
    """The folder itself, or the closest one above it that exists."""
    for each in (folder, *folder.parents):
        # Not exists(), which raises where a folder above may not be searched.
        if os.path.exists(each):  # noqa: PTH110
            return each
    return folder


def free_bytes(folder: Path) -> int:
    """Room for us on the file system where the folder is, or would be."""
    return shutil.disk_usage(nearest(folder)).free


@contextmanager
def refusals(folder: Path, doing: str, needed_bytes: int = 1) -> Iterator[None]:
    """Map errors of the operating system while `doing` something in the store `folder`: "make a folder in".

    Raises:
        DiskFull: no room.
        StoreFailed: anything else.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            quota = error.errno == errno.EDQUOT
            raise DiskFull(str(folder), needed_bytes, free_bytes(folder), quota=quota) from error
        at = f" ({error.filename})" if error.filename and str(error.filename) != str(folder) else ""
        raise StoreFailed(f"cannot {doing} the store {folder}: {error.strerror or error}{at}") from error
