"""Names of members: what is taken apart, and what is refused on every system alike.

Refused although some system could hold it: what another one would write elsewhere, or over another member. So one
`environment.yml` gives the same folder on Linux, macOS and Windows, or says on all of them why not.
"""

from __future__ import annotations

import os
import re
import unicodedata

from conda_assets.regexes import regex
from conda_assets.unpack.limits import Limits
from conda_assets.unpack.refusal import Refused, shown

__all__ = ["check_portable", "decode", "fold", "split"]

# Source: https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_DEVICE = regex(r"(?:con|prn|aux|nul|(?:com|lpt)[0-9¹²³]|conin\$|conout\$)(?: *\..*)?", re.IGNORECASE)
_DRIVE = regex(r"[A-Za-z]:")
_CONTROL = regex("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LOOSE_END = regex("[ .](?:/|$)")
_WINDOWS_SIGNS = regex('[:*?"<>|]')


def split(name: str, limits: Limits) -> tuple[str, ...]:
    """The parts of a member's name, below the archive's root; empty for the root itself (`./`).

    Raises:
        Refused: the name leads out, or no system could hold it.
    """
    if name.startswith("/"):
        raise Refused(f"its member {shown(name)} has an absolute name")
    if _CONTROL.search(name):
        raise Refused(f"its member {shown(name)} has a control character in its name")
    if "\\" in name:
        raise Refused(f"its member {shown(name)} has a backslash in its name, which is a folder on Windows only")
    if _DRIVE.match(name):
        raise Refused(f"its member {shown(name)} begins with a drive letter")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise Refused(f"its member {shown(name)} leads out of the archive with `..`")
    if not name:
        raise Refused("one of its members has no name")
    _check_lengths(name, parts, limits)
    return parts


def check_portable(path: str, *, windows: bool = os.name == "nt") -> None:
    """Say no to a path that means something else on Windows.

    Raises:
        Refused: a device; on Windows itself also signs and endings that it does not keep.
    """
    for part in path.split("/"):
        if _DEVICE.fullmatch(part):
            raise Refused(f"its member {shown(path)} is called {shown(part)}, which is a device on Windows")
        if windows and (_WINDOWS_SIGNS.search(part) or part != part.rstrip(" .")):
            raise Refused(f"its member {shown(path)} has a name that Windows cannot hold")


def fold(path: str) -> str:
    """The path as file systems compare it that know no case, one form of Unicode, and no dots and spaces at the end."""
    folded = path.lower() if path.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
    if not _LOOSE_END.search(folded):
        return folded
    return "/".join(part.rstrip(" .") for part in folded.split("/"))


def decode(name: bytes, otherwise: str) -> str:
    """The name as text: UTF-8 where it is valid, else the encoding that such archives mean.

    Old archives do not say their encoding; a guess gives a readable name, and the same one on every machine.
    """
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode(otherwise)


def _check_lengths(name: str, parts: tuple[str, ...], limits: Limits) -> None:
    if len(parts) > limits.depth + 1:
        raise Refused(f"its member {shown(name)} is {len(parts) - 1} folders deep, more than {limits.depth}")
    if len(name) <= limits.part_bytes // 4:
        return
    if any(len(part.encode()) > limits.part_bytes for part in parts):
        raise Refused(f"its member {shown(name)} has a name of more than {limits.part_bytes} bytes")
    if len("/".join(parts).encode()) > limits.path_bytes:
        raise Refused(f"its member {shown(name)} has a path of more than {limits.path_bytes} bytes")
