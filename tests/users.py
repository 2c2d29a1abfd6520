"""Running code as other users, for tests; skipped with the reason where that is forbidden."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ANNA, BEN = 65001, 65002  # nobody's numbers; no account is needed
GROUP = 65010


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="conda-assets-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


# Everything is loaded before the user changes: the interpreter may be in a home that is closed to others.
_BECOME = """
import os, sys
import filelock, hashlib, json, pathlib
import conda_assets.link, conda_assets.store
user, group, umask = (int(sys.argv.pop(1)) for _ in range(3))
exec(sys.argv.pop(1))
os.umask(umask)
os.chdir("/")
os.setgroups([group])
os.setgid(user)
os.setuid(user)
"""


def start_as(user: int, code: str, *arguments: object, umask: int = 0o022, before: str = "pass") -> subprocess.Popen[str]:
    """Python code in a process of that user, with `GROUP` as another group of it; its output is text.

    `before`: code that root runs in it first, to load what is needed from places that are closed to others.
    """
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    command = [sys.executable, "-c", _BECOME + code, user, GROUP, umask, before, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(list(map(str, command)), stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def run_as(user: int, code: str, *arguments: object, umask: int = 0o022) -> str:
    """What that code prints; fails with its error."""
    with start_as(user, code, *arguments, umask=umask) as process:
        out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    return out.strip()
