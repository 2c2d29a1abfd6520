"""What is asked of the system itself is what the standard library tells."""

from __future__ import annotations

import platform
import socket
import sys

from conda_assets.cli.logged import _versions
from conda_assets.machine import Machine, python_version, this_machine


def test_it_is_called_as_the_standard_library_calls_it() -> None:
    """Records of runs and roots in a store hold the host's name, and conda-assets of before wrote `gethostname`."""
    assert this_machine() == Machine(platform.system(), socket.gethostname(), platform.release(), platform.machine())


def test_windows_is_asked_by_way_of_them(monkeypatch) -> None:
    here = this_machine()
    with monkeypatch.context() as there:
        there.setattr("os.name", "nt")
        asked = this_machine()
    assert asked == here


def test_python_tells_its_version() -> None:
    assert python_version() == platform.python_version()


def test_a_log_begins_with_the_versions() -> None:
    assert f"Python {platform.python_version()} ({sys.executable}), {platform.system()} {platform.release()}" in _versions()
