"""Putting a stored file where its asset goes: reflink, hardlink, symlink or copy; the first that the file systems allow.

`place` is all or nothing: a reader sees what stood there before or the whole file, never a part and never nothing. Nothing
outside `within` is written, whatever links somebody planted below it: each folder is opened in the one before it, unfollowed.
"""

from __future__ import annotations

from conda_assets.link.placing import place
from conda_assets.link.standing import remove_placed, set_aside, stamp, stands

__all__ = ["place", "remove_placed", "set_aside", "stamp", "stands"]
