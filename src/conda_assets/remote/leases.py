"""What each machine uses of a remote store, so that nobody else deletes it.

    {"schema": 1, "machine": "node7-3f2a9c01", "holder": "/opt/envs/bert", "grace_s": 2592000, "sha256": ["248d…", …]}

Its name is the machine and the sha256 of `holder`, which is an environment, or the files of a push. A lease is good for `grace_s`
or the collector's own grace period, whichever is longer, after the server took it (its own time of it, not ours).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
from collections.abc import Iterable
from pathlib import Path

from conda_assets.records import dataclass
from conda_assets.regexes import regex
from conda_assets.remote.kind import Held, RemoteStore

__all__ = ["Lease", "machine_name", "put_lease", "read_lease"]

_SCHEMA = 1
_HEX = regex(rb"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Lease:
    """`row`: its object, with the server's time. `holder` is empty where it cannot be read."""

    row: Held
    holder: str
    grace_s: float
    sha256: frozenset[str]

    def is_over(self, now_s: float, grace_s: float) -> bool:
        """Not renewed for longer than it and the collector allow."""
        return now_s - self.row.modified_s > max(self.grace_s, grace_s)


def machine_name() -> str:
    """This machine's name, and what tells it from others of that name: `node7-3f2a9c01`."""
    host = socket.gethostname()
    identity = host
    for path in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        try:
            identity += path.read_text(encoding="ascii").strip()
            break
        except (OSError, UnicodeError):
            continue
    uid = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    short = hashlib.sha256(f"{identity}\0{uid}".encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9._-]', '-', host)[:80].strip('.') or 'machine'}-{short}"


def put_lease(store: RemoteStore, holder: str, sha256: Iterable[str], grace_s: float, *, machine: str = "") -> None:
    """Write or renew a lease; it replaces what the same holder had.

    Raises:
        RemoteFailed: it cannot be written.
    """
    machine = machine or machine_name()
    content = {"schema": _SCHEMA, "machine": machine, "holder": holder, "grace_s": grace_s, "sha256": sorted(set(sha256))}
    name = hashlib.sha256(holder.encode("utf-8", "surrogateescape")).hexdigest()
    store.put_lease(machine, name, json.dumps(content).encode() + b"\n")


def read_lease(store: RemoteStore, row: Held) -> Lease:
    """A lease as it is now. What cannot be understood holds all that looks like a hash, for as long as any other.

    Raises:
        Gone: it is there no more.
        RemoteFailed: it cannot be read.
    """
    content = store.read_lease(row)
    holder, grace_s = "", 0.0
    try:
        said = json.loads(content)
        holder, grace_s = str(said["holder"]), float(said["grace_s"])
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return Lease(row, holder, grace_s, frozenset(found.decode() for found in _HEX.findall(content)))
