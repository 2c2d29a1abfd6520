"""Where an asset may stand: relative, below its root, and possible on Linux, macOS and Windows alike."""

from __future__ import annotations

import re
import unicodedata

from conda_assets.regexes import regex
from conda_assets.spec.values import UNSEEN, Wrong, shown

__all__ = ["PATH", "fold", "read_path"]

# Source: https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_DEVICE = (
    "(?:[cC][oO][nN]|[pP][rR][nN]|[aA][uU][xX]|[nN][uU][lL]|(?:[cC][oO][mM]|[lL][pP][tT])[0-9¹²³]"
    "|[cC][oO][nN](?:[iI][nN]|[oO][uU][tT])\\$)"
)
_GIT = "(?:\\.[gG][iI][tT]|[gG][iI][tT]~[0-9])"
_SIGNS = f'/\\\\:*?"<>|{UNSEEN}'
_PART = (
    f"(?!\\.{{1,2}}(?:/|$))(?!{_DEVICE}(?: *\\.[^/]*)?(?:/|$))(?!{_GIT}(?:/|$))"  # neither `..` nor a device nor git's own folder
    f"[^{_SIGNS}]*[^{_SIGNS} .]"
)
PATH = f"(?!.*\\$\\{{)(?:\\./)*(?!~)(?:{_PART}/)*{_PART}/?"
_PATH = regex(PATH)
_DEVICE_PART = regex(f"{_DEVICE}(?: *\\..*)?")
_INVISIBLE = regex(f"[{UNSEEN}]")
_GIT_PART = regex(_GIT)
_PATH_BYTES, _PART_BYTES = 1024, 255  # PATH_MAX of macOS, NAME_MAX of ext4, APFS and NTFS


def read_path(text: str) -> str:
    """A relative POSIX path that can exist on Linux, macOS and Windows; may end in `/`, leading `./` are dropped."""
    if not _PATH.fullmatch(text):
        raise _wrong_path(text)
    if not text.isascii() or len(text) > _PART_BYTES:
        if any(len(part.encode()) > _PART_BYTES for part in text.split("/")):
            raise Wrong(f"a part of this path is longer than {_PART_BYTES} bytes", "file systems refuse such names")
        if len(text.encode()) > _PATH_BYTES:
            raise Wrong(f"this path is longer than {_PATH_BYTES} bytes", "file systems refuse such paths")
    while text.startswith("./"):
        text = text[2:]
    return text


def _wrong_path(text: str) -> Wrong:
    below = "a path is relative and stays below `root`"
    if not text:
        return Wrong("an empty path", "delete the line to use the name")
    if re.match(r"[A-Za-z]:", text):
        return Wrong(f"{shown(text)} has a drive letter", below)
    if "\\" in text:
        meant = text.replace("\\", "/")
        return Wrong(f"{shown(text)} has a backslash", f"write {shown(meant)}" if _PATH.fullmatch(meant) else below)
    if text.startswith("/"):
        return Wrong(f"{shown(text)} is absolute", below)
    if text.startswith("~"):
        return Wrong(f"{shown(text)} begins with `~`, which is not expanded", below)
    if "${" in text:
        return Wrong(f"{shown(text)} has a variable", "`${VAR}` is expanded in URLs and header values only")
    if _INVISIBLE.search(text):
        return Wrong(f"{shown(text)} holds a control or invisible character", "")
    found = re.search('[:*?"<>|]', text)
    if found:
        return Wrong(f"{shown(text)} holds `{found[0]}`, which Windows does not allow in names", "")
    parts = text.rstrip("/").removeprefix("./").split("/")
    return next(filter(None, map(_wrong_part, parts)), Wrong(f"{shown(text)} has an empty part", "write one `/`"))


def _wrong_part(part: str) -> Wrong | None:
    if part == "..":
        return Wrong("`..` leads out of the folder", "a path is relative and stays below `root`")
    if part == ".":
        return Wrong("`.` is the folder itself", "name a file or a folder in it")
    if part != part.rstrip(" ."):
        return Wrong(f"{shown(part)} ends in a dot or a space, which Windows drops", "")
    if _DEVICE_PART.fullmatch(part):
        return Wrong(f"{shown(part)} is a device on Windows, not a file", "choose another name")
    if _GIT_PART.fullmatch(part):
        return Wrong(f"{shown(part)} is git's own folder", "choose another one")
    return Wrong("an empty part in the path", "write one `/`") if not part else None


def fold(path: str) -> str:
    """The path as a case-insensitive, normalising file system compares it (APFS, NTFS)."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
