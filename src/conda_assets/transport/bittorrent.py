"""Orders for torrents, and what becomes of the files that aria2 makes for them.

    <into>.bt/              ours, 0700; kept for the next run, removed when the file is there
        data                the file that is wanted
        data.aria2          aria2's control file: what of it is there
        <info hash>.torrent a magnet link's torrent, as the peers told it

A piece may hold the end of one file and the beginning of the next, so aria2 writes parts of the neighbours, too; they end with
the folder. While it fetches it gives, a little: that is how the others come to give.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from conda_assets.errors import AssetFailed, NetworkFailed, NotTheFile, NotThere
from conda_assets.settings import Network
from conda_assets.torrent import Swarm, Torrent, TorrentFile, read_torrent
from conda_assets.transport import Job
from conda_assets.transport.rpc import Call

__all__ = ["conf", "first_order", "second_order", "sharing_options", "take"]

#: Set to find peers without a tracker.
VARIABLE = "CONDA_ASSETS_DHT"
_NAME = "data"


def conf(scratch: Path) -> dict[str, str]:
    """The lines of aria2's conf file that concern torrents in general."""
    if os.environ.get(VARIABLE, "") not in ("1", "true", "yes", "on"):
        return {"enable-dht": "false", "enable-dht6": "false", "enable-peer-exchange": "false"}
    return {"enable-dht": "true", "enable-dht6": "false", "dht-file-path": str(scratch / "dht.dat")}


def sharing_options(tracker: str, upload_bytes_per_s: int | None) -> dict[str, object]:
    """The options of a torrent of ours, which names no tracker itself."""
    return {"bt-tracker": tracker, "max-upload-limit": str(upload_bytes_per_s or 0), "bt-max-peers": "55"}


def first_order(job: Job, network: Network, proxies: dict[str, object], urls: Sequence[str] = ()) -> Call:
    """The call that begins: for the torrent of a magnet link where that is not here yet, else for the file.

    `urls`: servers that have the file as well (BEP 19).

    Raises:
        NotThere, AssetFailed: the torrent does not have the file.
        OSError: the folder cannot be made.
    """
    swarm, folder = _swarm(job), _folder(job)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        folder.unlink()
    folder.mkdir(mode=0o700, exist_ok=True)
    if swarm.metadata is not None or (folder / f"{swarm.info_hash}.torrent").is_file():
        return second_order(job, network, proxies, urls)
    options = {**_options(job, network), **proxies, "bt-metadata-only": "true", "bt-save-metadata": "true"}
    return Call("addUri", ([swarm.magnet], options))


def second_order(job: Job, network: Network, proxies: dict[str, object], urls: Sequence[str] = ()) -> Call:
    """The call for the file, now that the torrent is known.

    Raises:
        NotThere, AssetFailed, NotTheFile: the torrent does not have the file, or is none.
    """
    swarm, folder = _swarm(job), _folder(job)
    content = swarm.metadata
    if content is None:
        content = (folder / f"{swarm.info_hash}.torrent").read_bytes()
    file = _pick(job, _read(job, content))
    options = {**_options(job, network), **proxies, "select-file": str(file.index), "index-out": f"{file.index}={_NAME}"}
    return Call("addTorrent", (base64.b64encode(content).decode(), list(urls), options))


def take(job: Job) -> None:
    """Put the file where it is wanted, and remove the rest.

    Raises:
        NetworkFailed: it is not there, whatever aria2 says.
        OSError: it cannot be moved.
    """
    folder = _folder(job)
    if not (folder / _NAME).is_file() or (folder / _NAME).is_symlink():
        raise NetworkFailed(job.id, "aria2 says complete, and the file is not there")
    (folder / _NAME).replace(job.into)
    shutil.rmtree(folder, ignore_errors=True)


def _options(job: Job, network: Network) -> dict[str, object]:
    swarm, ours = _swarm(job), dict[str, object]()
    if swarm.tracker:
        ours = sharing_options(swarm.tracker, swarm.upload_bytes_per_s)
        # In any order but that of the file, so that each machine asks the server for other pieces: 8 machines then take 1.6
        # times as long as one alone, and 1.5 copies of the file from the server.
        ours |= {"stream-piece-selector": "random", "split": "1", "max-connection-per-server": "1"}
    seconds = str(max(1, min(600, round(network.connect_timeout_s))))
    return {
        "dir": str(_folder(job)),
        "seed-time": "0",
        "max-upload-limit": "256K",
        "bt-max-peers": "32",
        "bt-remove-unselected-file": "true",
        "bt-save-metadata": "false",
        "bt-tracker-timeout": seconds,
        "bt-tracker-connect-timeout": seconds,
        "continue": "true",
        **ours,
    }


def _swarm(job: Job) -> Swarm:
    assert job.swarm is not None
    return job.swarm


def _folder(job: Job) -> Path:
    return job.into.with_name(f"{job.into.name}.bt")


def _read(job: Job, content: bytes) -> Torrent:
    try:
        torrent = read_torrent(content)
    except ValueError as error:
        raise NotTheFile(job.id, f"the torrent cannot be used: {error}") from error
    if torrent.info_hash != _swarm(job).info_hash:
        raise NotTheFile(job.id, "the peers gave another torrent than the link names")
    return torrent


def _pick(job: Job, torrent: Torrent) -> TorrentFile:
    path = _swarm(job).path
    try:
        return torrent.pick(path)
    except LookupError as error:
        raise (NotThere if path else AssetFailed)(job.id, f"the torrent {error.args[0]}") from error
