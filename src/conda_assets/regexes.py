"""`re.compile` at the first use: a module reads its patterns in microseconds, and a run pays for those that it looks with.

Compiling takes 0.1 to 2 ms a pattern, and a `sync` without work looks with a few of those that its modules have. From its second
use on a pattern is as fast as a compiled one, since it keeps that one's methods. Whoever has a pattern in a function, or needs
a `re.Pattern` as such, takes `re.compile`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

__all__ = ["regex"]


class _Late:
    """Has the methods of a compiled pattern, each from the moment on that somebody asks for it."""

    def __init__(self, pattern: Any, flags: int = 0) -> None:
        self.pattern = pattern
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        found = getattr(re.compile(self.pattern, self._flags), name)
        setattr(self, name, found)
        return found

    def __repr__(self) -> str:
        return repr(re.compile(self.pattern, self._flags))


if TYPE_CHECKING:
    from re import compile as regex
else:
    regex = _Late
