"""What a commit on the Hub holds: its files with size and sha256, listed by folder, remembered because a commit never changes.

    GET <endpoint>/api/<kind>/<repo>/revision/<revision>     {"sha": …}, the commit of a branch or a tag
    GET <endpoint>/api/<kind>/<repo>/tree/<commit>/<folder>  [{"type": "file", "path": …, "size": …, "lfs": {"oid": <sha256>, …}}]

Source: https://huggingface.co/docs/hub/api; `list_repo_tree` of huggingface_hub.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from urllib.parse import quote

from conda_assets.digest import Digest
from conda_assets.errors import AssetFailed
from conda_assets.records import dataclass
from conda_assets.regexes import regex
from conda_assets.settings import Network
from conda_assets.sources.asking import ask, ask_pages, understood
from conda_assets.sources.hf_failures import failure
from conda_assets.sources.hub import Hub, Place

__all__ = ["COMMIT", "SHA256", "File", "commit_of", "files_of", "lengthened", "remembered"]

COMMIT = regex("[0-9a-f]{40}")
SHA256 = regex("[0-9a-f]{64}")
_SHORT_COMMIT = regex("[0-9a-f]{7,39}")
_MOST_COMMITS = 8


@dataclass(frozen=True, slots=True)
class File:
    """`digest`: None for a file that lies in git itself. `size_bytes`: None where that is not said."""

    size_bytes: int | None
    digest: Digest | None


# (who asked whom, repository and commit) → path → file. What one account may see is not shown to another.
_seen: dict[tuple[Hub, str], dict[str, File]] = {}
_writing = Lock()


def commit_of(asset: str, place: Place, hub: Hub, network: Network, secret: Mapping[str, str]) -> str:
    """The commit that the place's revision is at.

    Raises:
        AssetFailed: there is none, or nobody says.
    """
    if COMMIT.fullmatch(place.revision):
        return place.revision
    url = f"{hub.endpoint}/{place.api('revision')}/{quote(place.revision, safe='')}"
    answer = ask(asset, url, network, secret=secret)
    if answer.status != 200:
        if commit := lengthened(asset, place, hub, network, secret):
            return commit
        raise failure(asset, place, hub, network, answer)
    with understood(asset, answer) as said:
        if COMMIT.fullmatch(said["sha"]):
            return str(said["sha"])
    raise AssetFailed(asset, f"{answer.shown} names no commit")


def lengthened(asset: str, place: Place, hub: Hub, network: Network, secret: Mapping[str, str]) -> str | None:
    """The commit that a short one means, looked for on the main branch; the Hub itself takes whole ones only."""
    if not _SHORT_COMMIT.fullmatch(place.revision):
        return None
    first = ask(asset, f"{hub.endpoint}/{place.api('commits')}/main", network, secret=secret)
    for answer in ask_pages(asset, first, network, secret=secret):
        if answer.status != 200:
            return None
        with understood(asset, answer) as said:
            found = {commit["id"] for commit in said if commit["id"].startswith(place.revision)}
        if found:
            return str(found.pop()) if len(found) == 1 else None
    return None


def files_of(asset: str, place: Place, hub: Hub, network: Network, secret: Mapping[str, str]) -> dict[str, File]:
    """Path → file of all below the place's folder; its revision is a commit.

    Raises:
        AssetFailed: no such folder, or nobody says.
    """
    folder = f"/{quote(place.path.rstrip('/'), safe='')}" if place.path else ""
    first = ask(asset, f"{hub.endpoint}/{place.api('tree')}/{place.revision}{folder}?recursive=true", network, secret=secret)
    files: dict[str, File] = {}
    for answer in ask_pages(asset, first, network, secret=secret):
        if answer.status != 200:
            raise failure(asset, place, hub, network, answer)
        with understood(asset, answer) as said:
            for each in said:
                if each["type"] == "file":
                    linked = (each.get("lfs") or {}).get("oid", "")
                    digest = Digest("sha256", linked) if SHA256.fullmatch(linked) else None
                    files[str(each["path"])] = File(int(each["size"]), digest)
    with _writing:
        while len(_seen) >= _MOST_COMMITS and (hub, _key(place)) not in _seen:
            del _seen[next(iter(_seen))]
        _seen[hub, _key(place)] = {**_seen.get((hub, _key(place)), {}), **files}
    return files


def remembered(place: Place, hub: Hub) -> File | None:
    """The place's file, where its commit was listed already."""
    return _seen.get((hub, _key(place)), {}).get(place.path)


def _key(place: Place) -> str:
    return f"{place.page}@{place.revision}"
