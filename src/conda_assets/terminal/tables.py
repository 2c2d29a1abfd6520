"""Columns of text that stay in line with wide signs, and give way when the terminal is narrow. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from conda_assets.records import dataclass
from conda_assets.terminal.words import cells, clean, pad, shorten, wrap

__all__ = ["Column", "table"]

_GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """`least`: cells that it may be narrowed to, None for never. A narrow column is shortened, or, with `wraps`, folded.

    `right`: numbers stand at the right.
    """

    title: str
    least: int | None = None
    right: bool = False
    wraps: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """A title line and a line a row, or, where `width` cells do not hold that, a short paragraph a row.

    Columns without any content are left out; None is a width without end.
    """
    rows = [[clean(cell) for cell in row] for row in rows]
    kept = [index for index in range(len(columns)) if any(row[index] for row in rows)]
    columns = [columns[index] for index in kept]
    rows = [[row[index] for index in kept] for row in rows]
    if not rows:
        return []
    widths = [max(cells(column.title), *(cells(row[index]) for row in rows)) for index, column in enumerate(columns)]
    if width is not None and not _narrow(widths, columns, width):
        return [line for row in rows for line in _paragraph(columns, row, width)]
    titles = [column.title for column in columns]
    return [line for row in (titles, *rows) for line in _lines(columns, widths, row)]


def _narrow(widths: list[int], columns: Sequence[Column], width: int) -> bool:
    """Take cells from columns that may give some: first those that lose nothing by it, then the widest; False if they lack."""
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    while over > 0:
        giving = [index for index, column in enumerate(columns) if column.least is not None and widths[index] > column.least]
        if not giving:
            return False
        widths[max(giving, key=lambda index: (columns[index].wraps, widths[index]))] -= 1
        over -= 1
    return True


def _lines(columns: Sequence[Column], widths: Sequence[int], row: Sequence[str]) -> list[str]:
    folded = [
        wrap(cell, width, indent="") if column.wraps else [shorten(cell, width)]
        for column, width, cell in zip(columns, widths, row, strict=True)
    ]
    return [
        _GAP.join(
            pad(part, width, right=column.right) for column, width, part in zip(columns, widths, parts, strict=True)
        ).rstrip()
        for parts in zip_longest(*folded, fillvalue="")
    ]


def _paragraph(columns: Sequence[Column], row: Sequence[str], width: int) -> list[str]:
    """What is never shortened, and the name, on the first line; then the rest, each on its own."""
    head = [cell for column, cell in zip(columns, row, strict=True) if cell and (column.least is None or column.title == "name")]
    rest = [
        cell for column, cell in zip(columns, row, strict=True) if cell and column.least is not None and column.title != "name"
    ]
    lines = wrap(_GAP.join(head), width)
    for cell in rest:
        lines += wrap(cell, width, first="  ", indent="    ")
    return lines
