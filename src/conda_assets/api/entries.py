"""What is written of one asset or file into the lock, from what its publisher said and the bytes, where we have them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from conda_assets.digest import Digest
from conda_assets.errors import AssetFailed
from conda_assets.model import Asset, Locked, Stored
from conda_assets.records import replace
from conda_assets.spec.hiding import has_variable, led_to, without_secrets
from conda_assets.spec.lockfile import Entry, as_written, mirrors_as_written, misfit

__all__ = ["entry_of", "member_entry", "unchanged"]


def entry_of(asset: Asset, locked: Locked, digests: Sequence[Digest], stored: Stored | None, vouched_by: str) -> Entry:
    """The entry of an asset that answered; `digests`: what somebody vouches for, `vouched_by` who."""
    known = [*digests, *([Digest("sha256", stored.sha256)] if stored else [])]
    written = _written(asset)
    own = locked.url == asset.url  # what a mirror says of its copy is nothing to compare with later
    pinned_url = locked.pinned_url or asset.url
    if not own or has_variable(written) or without_secrets(pinned_url) != pinned_url:
        pinned_url = asset.url
    return Entry(
        name=asset.name,
        url=as_written(asset),
        mirrors=mirrors_as_written(asset),
        final_url=led_to(locked.final_url, locked.url, written) if own else None,
        pinned_url=pinned_url if pinned_url != asset.url else None,
        revision=_unsaid(locked.revision, asset) if own else None,
        size_bytes=stored.size_bytes if stored else locked.size_bytes,
        sha256=next((each for each in known if each.algorithm == "sha256"), None),
        other=next((each for each in known if each.algorithm != "sha256"), None),
        etag=locked.etag if own else None,
        modified=locked.modified if own and not locked.etag else None,
        vouched_by=vouched_by,
    )


def unchanged(asset: Asset, locked: Locked, before: Entry | None) -> Entry | None:
    """The entry again, when it is to be renewed and the same strong ETag says that the bytes are the same ones."""
    if before is None or misfit(before, asset) or locked.digest or asset.digest or not before.etag:
        return None
    same = (before.etag, before.size_bytes) == (locked.etag, locked.size_bytes) and locked.url == asset.url
    if not same:
        return None
    fresh = entry_of(asset, locked, before.digests(), None, before.vouched_by)
    return replace(fresh, size_bytes=before.size_bytes, pieces=before.pieces)


def member_entry(asset: Asset, file: Asset, entry: Entry) -> Entry:
    """The entry of one file of a pattern: what the pattern takes from the environment stands as a variable there too.

    Raises:
        AssetFailed: the value is somewhere else in the file's URL, or a secret is written out in the pattern.
    """
    written = _written(asset)
    if without_secrets(written) != written:
        raise AssetFailed(
            asset.name, "a password or signature stands in its URL, which the URLs of its files in a lock would need"
        )
    if not has_variable(written):
        return replace(entry, name=file.member, url=file.url)
    end = written.rindex("}") + 1
    prefix = asset.url[: len(asset.url) - len(written) + end]
    if not asset.url.endswith(written[end:]) or not file.url.startswith(prefix):
        raise AssetFailed(asset.name, "the URLs of its files hold the values of variables, which a lock must not say")
    url = written[:end] + file.url.removeprefix(prefix)
    return replace(entry, name=file.member, url=url, final_url=None, pinned_url=None, revision=_unsaid(entry.revision, asset))


def _written(asset: Asset) -> str:
    return asset.written[0] if asset.written else asset.url


def _unsaid(revision: str | None, asset: Asset) -> str | None:
    """The revision, unless it is what a variable in the URL holds."""
    if revision is None or not has_variable(_written(asset)):
        return revision
    return None if any(part in asset.url for part in re.split("[#@ ]", revision) if part) else revision
