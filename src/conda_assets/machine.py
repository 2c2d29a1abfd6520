"""This machine, as `platform` and `socket` tell of it: each of them takes 3 ms to import, the system needs microseconds."""

from __future__ import annotations

import os
import sys

from conda_assets.records import dataclass

__all__ = ["Machine", "python_version", "this_machine"]


@dataclass(frozen=True, slots=True)
class Machine:
    """`system`: `Linux`, `Darwin`, `Windows`; `host`: its name; `release`: of the system; `kind`: `x86_64`, `arm64`."""

    system: str
    host: str
    release: str
    kind: str


def python_version() -> str:
    """As `platform.python_version`: `3.13.1`."""
    return sys.version.partition(" ")[0]


def this_machine() -> Machine:
    """The machine that this process runs on; asked anew each time, as a host can get another name."""
    if os.name != "nt":
        told = os.uname()
        return Machine(told.sysname, told.nodename, told.release, told.machine)
    import platform
    import socket

    return Machine(platform.system(), socket.gethostname(), platform.release(), platform.machine())
