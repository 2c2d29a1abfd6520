"""How large the terminal is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO

__all__ = ["size_of"]


def size_of(stream: TextIO, environ: Mapping[str, str]) -> tuple[int, int]:
    """Columns and rows of the terminal behind the stream; where there is none, of COLUMNS and LINES, else 80 and 24."""
    try:
        columns, rows = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        columns = rows = 0
    # A terminal that was never told its size says 0.
    return columns or _number(environ, "COLUMNS", 80), rows or _number(environ, "LINES", 24)


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else default
