"""Asking the stores elsewhere before a file's origin.

Only files whose digest is known are taken from there, and held against it like any others: a store that is broken, or lies,
costs time and never gives wrong bytes. One try a file and store: whatever goes wrong, the next is asked, at last the origin.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from conda_assets.digest import Digest
from conda_assets.errors import AccessDenied, AssetsError, SizeMismatch
from conda_assets.events import Noted, Observer
from conda_assets.model import Asset, Fresh, Locked, path_of_url, shown_url
from conda_assets.records import replace
from conda_assets.settings import Settings
from conda_assets.sources import is_local, probe

__all__ = ["sizes_there", "through_remotes"]

Probe = Callable[[Asset, str], Locked]

# A missing object is refused, too, where the bucket may not be listed; this many in a row, and nothing may be read there.
_MOST_REFUSALS = 3


def through_remotes(probe: Probe, settings: Settings, watch: Observer) -> Probe:
    """`probe`, with the remote stores of the settings before the origin; as it is where there are none."""
    return _Through(probe, settings, watch) if settings.remotes else probe


def sizes_there(settings: Settings, watch: Observer) -> Callable[[Asset], int | None]:
    """How many bytes the file with an asset's digest has, as the first remote store that has it says; None where none does.

    That is as good as the store is; the digest is what is held against the bytes.
    """
    through = _Through(lambda asset, url: probe(asset, url, settings.network), settings, watch)

    def size(asset: Asset) -> int | None:
        found = through.find(asset)
        return found.size_bytes if found is not None else None

    return size


class _Through:
    """Called from several threads."""

    def __init__(self, probe: Probe, settings: Settings, watch: Observer) -> None:
        self._probe, self._settings, self._watch = probe, settings, watch
        self._asked: set[tuple[str, str]] = set()
        self._refusals: Counter[str] = Counter()
        self._away: set[str] = set()
        self._noted: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, asset: Asset, url: str) -> Locked:
        found = None if is_local(url) and path_of_url(url).exists() else self.find(asset)
        return found if found is not None else self._probe(asset, url)

    def find(self, asset: Asset) -> Locked | None:
        """Where one of the stores has the file with the asset's digest; None where none has, or each was asked already."""
        for remote in self._settings.remotes if asset.digest is not None else ():
            assert asset.digest is not None
            if self._may_ask(asset, remote) and (found := self._from(remote, asset, asset.digest)) is not None:
                return found
        return None

    def _may_ask(self, asset: Asset, remote: str) -> bool:
        with self._lock:
            fine = remote not in self._away and (asset.name, remote) not in self._asked
            self._asked.add((asset.name, remote))
            return fine

    def _from(self, remote: str, asset: Asset, digest: Digest) -> Locked | None:
        """Where the store has it; None when it is another one's turn."""
        try:
            found = self._look(remote, asset, digest)
        except AssetsError as error:
            self._complain(remote, error)
            return None
        if found is not None:
            self._refusals[remote] = 0
        return found

    def _look(self, remote: str, asset: Asset, digest: Digest) -> Locked | None:
        # Here, since most runs have no use for it.
        from conda_assets.remote.opening import find_in

        # No header of the origin, nor anything else of the file, goes to the store.
        asked = Asset(asset.name, remote, asset.path, size_bytes=asset.size_bytes, size_slack_bytes=asset.size_slack_bytes)
        found = find_in(remote, asked, digest, self._settings.network)
        if found is None:
            return None
        shown = Fresh(found.final_url)
        return replace(
            found,
            asset=asset,
            digest=None,
            vouched_by="",
            revision=None,
            pinned_url=None,
            fresh=found.fresh or (lambda: shown),
            alone=True,
        )

    def _complain(self, remote: str, error: AssetsError) -> None:
        with self._lock:
            self._refusals[remote] += 1
            if not isinstance(error, (AccessDenied, SizeMismatch)) or self._refusals[remote] >= _MOST_REFUSALS:
                self._away.add(remote)
            already = remote in self._noted
            self._noted.add(remote)
        if not already:
            hint = f" ({error.hints[0].text})" if isinstance(error, AccessDenied) and error.hints else ""
            cause = getattr(error, "cause", error.message)
            self._watch(Noted(f"the store {shown_url(remote)} is not used: {cause}{hint}", "warning"))
