"""Putting a stored file where its asset goes: reflink, hardlink, symlink or copy; the first that the file systems allow.

`place` is all or nothing: a reader sees what stood there before or the whole file, never a part and never nothing. Nothing
outside `within` is written, whatever links somebody planted below it: each folder is opened in the one before it, unfollowed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conda_assets.link.placing import place, place_if_free
    from conda_assets.link.standing import remove_placed, set_aside, stamp, stands

__all__ = ["place", "place_if_free", "remove_placed", "set_aside", "stamp", "stands"]

# Looking needs a tenth of what placing does.
_HOMES = {
    **dict.fromkeys(("place", "place_if_free"), "placing"),
    **dict.fromkeys(("remove_placed", "set_aside", "stamp", "stands"), "standing"),
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
