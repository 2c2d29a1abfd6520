"""Unpacking archives: zip, tar (plain, gz, bz2, xz, zst), 7z and rar, and files that are only compressed.

What an archive says is not believed: every name, link, size and kind is judged here, by rules of our own that hold for all kinds
and on all systems (`names`, `layout`, `links`, `limits`), and the bytes are written by one writer into a fresh folder that then
takes the place of the target as a whole (`work`, `swapping`). Nothing outside `within` is written.

    kind    first bytes (`kinds`)           read by
    zip     PK                              zipfile, and what it leaves open (`zips`)
    tar     a header whose sum is right     our own reader (`tar_header`, `tars`, `sparse`)
    gz bz2 xz zst                           zlib, bz2, lzma, Zstandard in a thread (`codecs`, `flow`); a tar in it, or one file
    7z rar  7z, Rar!                        libarchive in a process of its own (`foreign`); extra `archives`

Links are never made: one that stays inside becomes another name of the file it leads to, or a folder with such names; one that
leads out is refused, one that leads nowhere is left out and noted. Files are 0444, or 0555 if the archive says that they are
programs, and with `writable` 0200 more; owners, other bits, attributes and access lists are dropped. The `Manifest` says what was
written.

A name is imported when it is first asked for: all of it takes 30 ms, which a sync without archives need not wait.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conda_assets.unpack.checking import Damaged, remove_unpacked, stands, verify_members
    from conda_assets.unpack.extracting import extract
    from conda_assets.unpack.limits import Limits
    from conda_assets.unpack.manifest import Manifest, Member, manifest_path, read_manifest, write_manifest
    from conda_assets.unpack.swapping import tidy

__all__ = [
    "Damaged",
    "Limits",
    "Manifest",
    "Member",
    "extract",
    "manifest_path",
    "read_manifest",
    "remove_unpacked",
    "stands",
    "tidy",
    "verify_members",
    "write_manifest",
]

_HOMES = {
    "Damaged": "checking",
    "Limits": "limits",
    "Manifest": "manifest",
    "Member": "manifest",
    "extract": "extracting",
    "manifest_path": "manifest",
    "read_manifest": "manifest",
    "remove_unpacked": "checking",
    "stands": "checking",
    "tidy": "swapping",
    "verify_members": "checking",
    "write_manifest": "manifest",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
