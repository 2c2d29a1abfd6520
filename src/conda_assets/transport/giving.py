"""Giving to others what is here: an aria2c that only seeds, for a while."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from pathlib import Path

from conda_assets.records import dataclass, field
from conda_assets.settings import Network, Sharing
from conda_assets.transport import bittorrent, orders
from conda_assets.transport.daemon import Daemon
from conda_assets.transport.rpc import Call

__all__ = ["Share", "giving"]

_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Share:
    """A whole file, and its torrent."""

    path: Path
    torrent: bytes = field(repr=False)


def giving(binary: Path, network: Network, shares: Sequence[Share], sharing: Sharing, *, scratch: Path) -> None:
    """Give these files until the time is over. Nothing is hashed: they were when they came.

    `scratch`: empty folder of ours (0700). The files are only read, through links there.

    Raises:
        EngineFailed: aria2c does not start.
        OSError: no links here.
    """
    proxies = orders.proxy_options((sharing.tracker,), network, direct=[])
    calls = []
    for number, share in enumerate(shares):
        folder = scratch / str(number)
        folder.mkdir(0o700)
        (folder / "data").symlink_to(share.path)
        options = {
            **proxies,
            **bittorrent.sharing_options(sharing.tracker, sharing.upload_bytes_per_s),
            "dir": str(folder),
            "index-out": "1=data",
            "bt-seed-unverified": "true",
            "seed-ratio": "0.0",
            "seed-time": str(sharing.seed_s / 60 + 1),
        }
        calls.append(Call("addTorrent", (base64.b64encode(share.torrent).decode(), [], options)))
    conf = orders.conf(network, scratch=scratch, limit_rate=None, files_at_once=len(shares), log=None)
    daemon = Daemon(binary, conf, scratch=scratch)
    try:
        ends = time.monotonic() + sharing.seed_s
        daemon.rpc.calls(calls, repeatable=False)
        while daemon.alive and (left := ends - time.monotonic()) > 0:
            time.sleep(min(_LOOK_S, left))
    finally:
        daemon.stop()
