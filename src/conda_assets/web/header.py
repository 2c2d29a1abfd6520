"""Answers whose header has to come to its end, and that may have others before them.

To the standard library a header that is cut off is a whole one: of `HTTP/1.1 200 OK` and half a line it makes an answer without a
length, and of the cut an empty file. And of what may come before an answer it knows 100 alone, not 103 with its hints.
Source: RFC 9110, 15.2.
"""

from __future__ import annotations

import http.client
from io import BufferedIOBase
from typing import Any

__all__ = ["CutInHeader", "WholeHeader"]


# All but 101, which is the last thing that is said in HTTP.
_BEFORE = frozenset({100, *range(102, 200)})


class CutInHeader(http.client.HTTPException):
    """The connection ended before the header did."""


class WholeHeader(http.client.HTTPResponse):
    """For `response_class` of a connection of `http.client`'s, and of those that are made of it.

    Raises:
        CutInHeader: from `begin`, and so from the connection's `getresponse`.
    """

    def begin(self) -> None:
        """See `http.client`."""
        file: Any = self.fp
        self.fp = _Lines(file)  # type: ignore[assignment]  # all that `begin` does with it
        try:
            super().begin()
            while self.status in _BEFORE:
                self.headers = None  # type: ignore[assignment]  # else it has begun
                super().begin()
        finally:
            self.fp = file if isinstance(self.fp, _Lines) else self.fp


class _Lines:
    """Reads lines, none of which may be cut off; only that there is none at all, is the connection's to judge."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file, self._begun = file, False

    def readline(self, limit: int) -> bytes:
        line = self._file.readline(limit)
        if not line.endswith(b"\n") and len(line) < limit and (line or self._begun):
            raise CutInHeader("the header was cut off")
        self._begun = True
        return line

    def close(self) -> None:
        self._file.close()
