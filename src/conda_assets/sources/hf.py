"""Files on the Hugging Face Hub: their sha256 and size before the first byte, pinned to a commit.

    HEAD <endpoint>/<repo>/resolve/<revision>/<path>    X-Repo-Commit, X-Linked-Size, X-Linked-Etag; leads to a signed URL

The files of a pattern are described by the list that it is expanded with (`hf_listing`).
Source: `get_hf_file_metadata` of huggingface_hub; https://huggingface.co/docs/hub/storage-limits
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial

from conda_assets.digest import Digest
from conda_assets.errors import NoSource, NotThere, Offline, SizeMismatch
from conda_assets.model import Asset, Fresh, Locked, shown_size
from conda_assets.records import replace
from conda_assets.settings import Network
from conda_assets.sources.asking import Answer, ask, bearer
from conda_assets.sources.hf_failures import failure
from conda_assets.sources.hf_listing import COMMIT, SHA256, File, commit_of, files_of, lengthened, remembered
from conda_assets.sources.hub import Hub, Place, read_hub, read_place
from conda_assets.sources.patterns import fixed_folder, matching, some_of
from conda_assets.sources.signed import good_for_s

__all__ = ["expand", "is_pattern", "probe"]

# Above it the Hub does not promise to answer without Xet: huggingface_hub gives up there (MAX_HTTP_DOWNLOAD_SIZE), the servers
# still do up to some 400 GB. Source: https://github.com/huggingface/huggingface_hub/issues/4330
_HTTP_BYTES = 50 * 10**9


def probe(asset: Asset, url: str, network: Network) -> Locked:
    """Ask for the file's header, at the Hub and no further: where its signed URL leads is not asked.

    Raises:
        NotThere, AccessDenied, NetworkFailed, SizeMismatch, Offline: with what to do about it.
        NoSource: larger than what the Hub serves over plain HTTP.
    """
    place, hub = read_place(asset.name, url), _hub(asset.name)
    secret = _secret(asset, hub)
    if (file := remembered(place, hub)) is not None:
        return _locked(asset, url, (place, hub), file, resumable=file.digest is not None, network=network)
    answer, place = _resolve(asset.name, place, hub, network, secret)
    commit = answer.headers.get("X-Repo-Commit", "")
    pinned = replace(place, revision=commit) if COMMIT.fullmatch(commit) else place
    resumable = answer.leads_to is not None or answer.headers.get("Accept-Ranges", "").strip().lower() == "bytes"
    return _locked(asset, url, (pinned, hub), _said(answer), resumable=resumable, network=network)


def is_pattern(url: str) -> bool:
    """A folder (with `/` at its end), a whole repository, or a glob."""
    return read_place("", url).is_pattern


def expand(asset: Asset, url: str, network: Network) -> tuple[tuple[str, str], ...]:
    """The files of the commit that the revision is at now.

    Raises:
        NotThere: nothing matches, with what is there instead.
        UnsafePath: a name that would leave the asset's folder.
        AssetFailed: as `probe`.
    """
    place, hub = read_place(asset.name, url), _hub(asset.name)
    secret = _secret(asset, hub)
    pinned = replace(place, revision=commit_of(asset.name, place, hub, network, secret))
    folder = fixed_folder(place.path)
    paths = list(files_of(asset.name, replace(pinned, path=folder), hub, network, secret))
    found = matching(asset.name, "Hugging Face", place.path, paths)
    if found:  # everybody may list what is gated
        _resolve(asset.name, replace(pinned, path=found[0][1]), hub, network, secret)
    else:
        where = f"{place.page}@{place.revision}/{folder}"
        raise NotThere(asset.name, f"nothing in {where} matches {place.path or '**'}", f"it has {some_of(paths) or 'no files'}")
    return tuple((relative, replace(pinned, path=path).url) for relative, path in found)


def _locked(asset: Asset, url: str, at: tuple[Place, Hub], file: File, *, resumable: bool, network: Network) -> Locked:
    """The record of a file at a commit.

    Raises:
        SizeMismatch, NoSource: as `probe`.
    """
    pinned, hub = at
    final_url, size_bytes = f"{hub.endpoint}/{pinned.resolve}", file.size_bytes
    secret = _secret(asset, hub)
    if size_bytes is not None and not asset.fits(size_bytes):
        raise SizeMismatch(asset.name, asset.size_bytes or 0, size_bytes, final_url)
    if size_bytes is not None and size_bytes > _HTTP_BYTES:
        _check_served(asset.name, pinned, size_bytes, network, (final_url, secret))
    return Locked(
        asset=asset,
        url=url,
        final_url=final_url,
        size_bytes=size_bytes,
        etag=None,
        modified=None,
        resumable=resumable,
        same_host=False,
        digest=file.digest,
        vouched_by="Hugging Face" if file.digest else "",
        revision=pinned.revision,
        pinned_url=pinned.url,
        fresh=partial(_fresh, asset, pinned, network) if secret else None,
    )


def _secret(asset: Asset, hub: Hub) -> dict[str, str]:
    """What goes to the Hub and no further: the asset's own headers, and the token unless they have another."""
    own = any(name.lower() == "authorization" for name in asset.headers)
    return {**({} if own else bearer(hub.token)), **asset.headers}


def _hub(asset: str) -> Hub:
    """Read at each call: a token may be set, or a file written by `hf auth login`, while a server of ours runs.

    Raises:
        Offline: the user has told Hugging Face's tools so.
    """
    hub = read_hub(os.environ)
    if hub.offline:
        raise Offline(asset, "HF_HUB_OFFLINE is set, so Hugging Face is not asked")
    return hub


def _resolve(
    asset: str, place: Place, hub: Hub, network: Network, secret: Mapping[str, str], *, method: str = "HEAD"
) -> tuple[Answer, Place]:
    """What is said of the file, and the place with its revision as the Hub knows it.

    Raises:
        AssetFailed: it is not to be had, or not now.
    """
    # HEAD: a GET would bring a small file whole. Redirects within the Hub lead to a new name, those abroad to the bytes.
    ranged = {} if method == "HEAD" else {"Range": "bytes=0-0"}
    url = f"{hub.endpoint}/{place.resolve}"
    answer = ask(asset, url, network, ranged, secret=secret, method=method, abroad=False, most_bytes=0)
    if answer.leads_to is not None or answer.status in (200, 206):
        return answer, place
    if answer.headers.get("X-Error-Code") == "RevisionNotFound" and (commit := lengthened(asset, place, hub, network, secret)):
        return _resolve(asset, replace(place, revision=commit), hub, network, secret, method=method)
    raise failure(asset, place, hub, network, answer)


def _said(answer: Answer) -> File:
    """What a header says of the file.

    Only files in LFS or Xet have a sha256 there. The ETag of a small one is git's blob hash, the sha1 of a header and the bytes:
    no tool that hashes a file finds it, and sha1 is no proof anyway. Those are trusted on the first download.
    """
    text = answer.headers.get("X-Linked-Size") or (answer.headers.get("Content-Length") if answer.status == 200 else None) or ""
    linked = answer.headers.get("X-Linked-Etag", "").strip().strip('"')
    return File(
        int(text) if text.isascii() and text.isdigit() else None, Digest("sha256", linked) if SHA256.fullmatch(linked) else None
    )


def _check_served(asset: str, place: Place, size_bytes: int, network: Network, asked: tuple[str, Mapping[str, str]]) -> None:
    """Raises: NoSource: the servers behind the Hub refuse a file of that size (400), whatever part of it is asked for."""
    url, secret = asked
    first = ask(asset, url, network, {"Range": "bytes=0-0"}, secret=secret, most_bytes=0)
    if first.status == 400:
        what = f"{place.page}/{place.path} has {shown_size(size_bytes)}, more than Hugging Face serves over plain HTTP"
        kind = "" if place.kind == "models" else f" --repo-type {place.kind.removesuffix('s')}"
        way = f"`hf download {place.repo} {place.path}{kind} --revision {place.revision} --local-dir DIR`"
        raise NoSource(asset, what, f"fetch it with {way}, which speaks Xet, and name it as `file:///DIR/{place.path}`")


def _fresh(asset: Asset, place: Place, network: Network) -> Fresh:
    """The signed URL of the moment; or the Hub's own, with the token, for a small file that it sends itself.

    Raises:
        AssetFailed: as `probe`.
    """
    hub = _hub(asset.name)
    secret = _secret(asset, hub)
    answer, place = _resolve(asset.name, place, hub, network, secret, method="GET")
    if answer.leads_to is not None:
        return Fresh(answer.leads_to, (), good_for_s(answer.leads_to))
    return Fresh(f"{hub.endpoint}/{place.resolve}", tuple(secret.items()))
