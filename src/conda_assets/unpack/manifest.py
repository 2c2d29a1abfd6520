"""The manifest: what was unpacked from which archive, so that `status` and `verify` know the files of a folder.

    <prefix>/etc/conda-assets/unpacked/<asset name>.json
        {"schema": 1, "sha256": "9c1e…", "kind": "tar.zst", "name": "corpus.tar.zst",
         "unpack": {"strip": 1, "include": ["*.jsonl"]},
         "members": [
          ["test.jsonl", 1048576, 1700000000000000000, "e3b0…", 0],
          ["train.jsonl", 73400320, 1700000000000000000, "248d…", 0]]}

`sha256`, `name` are the archive's; a member is its path (POSIX, relative to the asset's folder), size in bytes, time stamp in
nanoseconds since 1970 as the file system keeps it, sha256, and 1 for a program. Sorted by path, one a line: 100,000 members take
13 MB. Written whole, to a new file, then renamed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from conda_assets.errors import DiskRefused, UsageError
from conda_assets.model import Unpack
from conda_assets.records import dataclass
from conda_assets.unpack.codecs import Codec
from conda_assets.unpack.limits import Limits
from conda_assets.unpack.names import split
from conda_assets.unpack.refusal import Refused

__all__ = ["FORMAT", "Manifest", "Member", "manifest_path", "manifest_text", "parse_manifest", "read_manifest", "write_manifest"]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Member:
    """One file of ours in the folder."""

    path: str
    size_bytes: int
    modified_ns: int
    sha256: str
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """`sha256`: of the archive; `kind`: as detected; `name`: what it was called; `members`: sorted by path."""

    sha256: str
    kind: str
    name: str
    unpack: Unpack
    members: tuple[Member, ...]

    @property
    def size_bytes(self) -> int:
        """Of all members together."""
        return sum(member.size_bytes for member in self.members)

    def fits(self, sha256: str, name: str, unpack: Unpack) -> bool:
        """Whether unpacking that archive in that way would give just these members."""
        # Only a single compressed file takes its name from the URL.
        return (self.sha256, self.unpack) == (sha256, unpack) and (self.name == name or self.kind not in set(Codec))


def manifest_path(prefix: Path, asset: str) -> Path:
    """Where the manifest of an asset of that name stands."""
    return prefix / "etc" / "conda-assets" / "unpacked" / f"{asset}.json"


def read_manifest(path: Path) -> Manifest | None:
    """The manifest; None where there is none.

    Raises:
        UsageError: it is not ours, damaged, or of a newer version.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", f"make {path} readable") from error
    return parse_manifest(data, path)


def parse_manifest(data: bytes, path: Path) -> Manifest:
    """A manifest's text as values; `path` is for messages.

    Raises:
        UsageError: as `read_manifest`.
    """
    again = f"delete {path}, then run `conda assets sync` again"
    try:
        content = json.loads(data)
        if content["schema"] != FORMAT:
            raise UsageError(f"{path} has version {content['schema']}, this conda-assets reads {FORMAT}", "update conda-assets")
        return _manifest(content)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, Refused) as error:
        raise UsageError(f"{path} is not a manifest of conda-assets: {error!r}", again) from error


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Replace the manifest, atomically.

    Raises:
        DiskRefused: it cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("w", encoding="utf-8") as file:
            file.writelines(manifest_text(manifest))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise DiskRefused(path.stem, f"{path} cannot be written: {error.strerror}") from error


def manifest_text(manifest: Manifest) -> Iterator[str]:
    """The text of the file, a line at a time."""
    head = {"schema": FORMAT, "sha256": manifest.sha256, "kind": manifest.kind, "name": manifest.name}
    head |= {"unpack": manifest.unpack.to_json()}
    yield json.dumps(head, ensure_ascii=False)[:-1] + ',\n "members": ['
    for index, each in enumerate(manifest.members):
        row = [each.path, each.size_bytes, each.modified_ns, each.sha256, int(each.executable)]
        yield f"{',' if index else ''}\n  {json.dumps(row, ensure_ascii=False)}"
    yield "]}\n"


def _manifest(content: dict[str, Any]) -> Manifest:
    unpack = Unpack(int(content["unpack"]["strip"]), tuple(str(glob) for glob in content["unpack"]["include"]))
    limits = Limits()
    members = []
    for path, size_bytes, modified_ns, sha256, executable in content["members"]:
        # A manifest that somebody edited must not lead `verify` or `remove` out of the folder.
        if "/".join(split(path, limits)) != path:
            raise ValueError(f"{path} is not a relative path")
        members.append(Member(path, int(size_bytes), int(modified_ns), str(sha256), bool(executable)))
    return Manifest(str(content["sha256"]), str(content["kind"]), str(content["name"]), unpack, tuple(members))
