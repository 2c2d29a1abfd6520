"""Folders that were unpacked from a stored archive: make one, look at it, take it away; and a place to do it beside transfers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from conda_assets import unpack
from conda_assets.digest import Follower
from conda_assets.errors import ArchiveRefused, AssetsError, DiskRefused, FilesDamaged, UsageError
from conda_assets.events import Event, Noted, Observer, Progressed, Unpacking
from conda_assets.link import remove_placed
from conda_assets.model import Asset, LinkMode, Placed, Stored, last_part
from conda_assets.records import replace
from conda_assets.store import Store

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = [
    "Beside",
    "check_archive",
    "damage",
    "drop_damaged",
    "forget_files",
    "known_files",
    "remove_folder",
    "stands_unpacked",
    "tidy",
    "unpack_into",
]

# Decoding and hashing take about one and a half cores for an archive.
_UNPACKED_AT_ONCE = 2
_POLL_S = 0.5
_STRIDE_BYTES = 64 << 20


def known_files(prefix: Path, asset: str) -> unpack.Manifest | None:
    """The manifest of an asset, None where none can be read: then no file counts as ours, and all are kept."""
    try:
        return unpack.read_manifest(unpack.manifest_path(prefix, asset))
    except UsageError:
        return None


def stands_unpacked(prefix: Path, placed: Placed, folder: Path) -> bool:
    """The folder looks as it was unpacked, at the cost of a stat a file; one that the user may edit need only be there."""
    if placed.private:
        return folder.is_dir()
    manifest = known_files(prefix, placed.name)
    # A run that was killed may have written the manifest, and not the receipt.
    return (
        manifest is not None
        and (manifest.sha256, manifest.unpack) == (placed.sha256, placed.unpack)
        and unpack.stands(manifest, folder)
    )


def check_archive(asset: Asset, stored: Stored, store: Store, watch: Observer) -> None:
    """Read an archive that was stored by an earlier run: what is unpacked from other bytes could not be told from right files.

    Raises:
        ArchiveRefused: it is not what it was; then it is moved away, so that the next run fetches it anew.
        StoreFailed: it cannot be moved away.
    """
    follower = Follower(stored.path, frozenset({"sha256"}))
    try:
        while follower.done_bytes < stored.size_bytes:
            watch(Unpacking(asset.name, 0, stored.size_bytes))
            follower.advance(min(follower.done_bytes + _STRIDE_BYTES, stored.size_bytes))
        is_right = follower.digests()["sha256"].hex == stored.sha256
    except (OSError, EOFError):
        is_right = False
    if not is_right:
        store.quarantine(stored)
        cause = f"{stored.path} has been damaged since it was stored, and is moved away"
        raise ArchiveRefused(asset.name, cause, "run the same command again: it is fetched anew")


def unpack_into(
    folder: Path, asset: Asset, stored: Stored, *, prefix: Path, within: Path, old: unpack.Manifest | None, watch: Observer
) -> None:
    """Unpack a stored archive, and write down which files that gave. `old`: the manifest of what stands there.

    Raises:
        NotAnArchive, ArchiveRefused: nothing that can be unpacked; the old folder is as it was.
        UnsafePath, DiskFull, DiskRefused: it cannot stand there.
    """
    assert asset.unpack is not None
    manifest = unpack.extract(
        stored.path,
        last_part(asset.url) or asset.name,
        folder,
        asset.unpack,
        within=within,
        sha256=stored.sha256,
        old=old,
        writable=asset.link is LinkMode.COPY,
        asset=asset.name,
        watch=watch,
    )
    unpack.write_manifest(unpack.manifest_path(prefix, asset.name), manifest)


def damage(prefix: Path, placed: Placed, folder: Path, watch: Observer) -> AssetsError | None:
    """Read every file that was unpacked; what is wrong, None if nothing is."""
    path = unpack.manifest_path(prefix, placed.name)
    try:
        manifest = unpack.read_manifest(path)
    except UsageError as error:
        return DiskRefused(placed.name, error.message)
    if manifest is None or (manifest.sha256, manifest.unpack) != (placed.sha256, placed.unpack):
        return DiskRefused(
            placed.name, f"{path}, which lists the files of {folder}, is {'of another archive' if manifest else 'gone'}"
        )
    size_bytes = manifest.size_bytes

    def tell(done_bytes: int) -> None:
        watch(Progressed(placed.name, done_bytes, size_bytes, 0.0, 0, done_bytes))

    damaged = unpack.verify_members(manifest, folder, progress=tell)
    return FilesDamaged(placed.name, str(folder), tuple((each.path, each.cause) for each in damaged)) if damaged else None


def drop_damaged(prefix: Path, asset: str, folder: Path, error: AssetsError | None) -> None:
    """Delete files whose bytes have changed though nobody has written them: nothing else would show that they are wrong.

    Those that somebody has written are told by their time stamps; unpacking again keeps them.

    Raises:
        UnsafePath, DiskRefused: as `remove_placed`.
    """
    manifest = known_files(prefix, asset)
    if manifest is None or not isinstance(error, FilesDamaged):
        return
    wrong = {path for path, _ in error.members}
    for member in manifest.members:
        if member.path in wrong and unpack.stands(replace(manifest, members=(member,)), folder):
            remove_placed(folder / member.path, folder, asset=asset)


def tidy(asset: str, folder: Path, within: Path, watch: Observer) -> None:
    """Finish or take away what killed runs left beside a folder that is as it should be; what cannot be is only told of."""
    try:
        unpack.tidy(folder, within=within, asset=asset, watch=watch)
    except AssetsError as error:
        watch(Noted(error.message, "warning"))


def remove_folder(prefix: Path, asset: str, folder: Path, within: Path, watch: Observer) -> Sequence[str] | None:
    """Take away what was unpacked; paths of files that stay because they are the user's, None where nobody knows whose they are.

    Raises:
        UnsafePath, DiskRefused: as `remove_unpacked`.
    """
    tidy(asset, folder, within, watch)
    manifest = known_files(prefix, asset)
    stay = None if manifest is None else unpack.remove_unpacked(manifest, folder, within=within, asset=asset)
    forget_files(prefix, asset)
    return stay


def forget_files(prefix: Path, asset: str) -> None:
    """Delete the manifest of an asset.

    Raises:
        DiskRefused: the system refuses.
    """
    path = unpack.manifest_path(prefix, asset)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DiskRefused(asset, f"{path} cannot be deleted: {error.strerror}") from error


class Beside:
    """Threads that unpack, or copy to a stage, while the transfers go on."""

    def __init__(self, watch: Observer, at_once: int = _UNPACKED_AT_ONCE) -> None:
        self._watch = watch
        self._stopping = threading.Event()
        self._at_once = at_once
        self._workers: ThreadPoolExecutor | None = None
        self._jobs: list[Future[None]] = []

    def watch(self, event: Event) -> None:
        """Pass the event on; from an archive that is being unpacked or a file that is being copied, not after the end has come.

        Raises:
            KeyboardInterrupt: the run is over; `extract` then leaves the old folder as it was, and a copy is forgotten.
        """
        if self._stopping.is_set() and isinstance(event, (Unpacking, Progressed)):
            raise KeyboardInterrupt
        self._watch(event)

    def begin(self, job: Callable[[], None]) -> None:
        """Run the job when its turn comes."""
        if self._workers is None:
            from concurrent.futures import ThreadPoolExecutor  # and logging, which a sync with nothing to do need not load

            self._workers = ThreadPoolExecutor(max_workers=self._at_once, thread_name_prefix="beside")
        self._jobs.append(self._workers.submit(job))

    def finish(self) -> None:
        """Wait for all jobs.

        Raises:
            BaseException: the first that a job raised.
        """
        if not self._jobs:
            return
        from concurrent.futures import FIRST_EXCEPTION, wait

        # Short waits, because a long one cannot be interrupted on Windows.
        while wait(self._jobs, timeout=_POLL_S, return_when=FIRST_EXCEPTION).not_done:
            if any(job.done() and job.exception() for job in self._jobs):
                break
        for job in self._jobs:
            if job.done():
                job.result()

    def close(self) -> None:
        """End what still runs, within moments."""
        self._stopping.set()
        if self._workers is not None:
            self._workers.shutdown(wait=True, cancel_futures=True)
