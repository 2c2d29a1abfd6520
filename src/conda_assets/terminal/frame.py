"""The block at the end of the screen: a total line, one row a file that is on its way, and how many more there are. Pure.

    Assets  3/12 files  18.2/71.9 GB  412 MB/s  ETA 2 min
    gpt2-weights  ███████▒░░░░░░░  312.4/548.1 MB   107 MB/s      3 s  16 conn
    corpus        ███████████████    1.2/1.2 GB    verifying     63 %
    tiles         ███████▒▒▒▒▒▒▒▒    2.0/2.0 GB    unpacking     47 %
    and 4 more

█ is here and hashed, or unpacked, ▒ has arrived, ░ is to come.
"""

from __future__ import annotations

from conda_assets.model import shown_size
from conda_assets.records import dataclass
from conda_assets.terminal.lines import total_line
from conda_assets.terminal.tally import Moving, Tally
from conda_assets.terminal.words import Line, Tone, cells, left, pad, percent, rate, share, shorten

__all__ = ["MOST_ROWS", "block"]

#: Rows of files at once; the rest are counted.
MOST_ROWS = 8

_GAP = 2
_LEAST_BAR, _MOST_BAR = 8, 30
_LEAST_NAME = 10
# Without a bar, a figure is worth more than the rest of a name.
_BARE_NAME = 6
# What a row shows, richest first: the first that fits is taken.
_LAYOUTS = (
    ("bar", "amount", "rate", "left", "lines"),
    ("bar", "amount", "rate", "left"),
    ("bar", "percent", "rate", "left"),
    ("percent", "rate", "left"),
    ("percent", "rate"),
    ("percent",),
    (),
)
_LEAST_CELLS = {"amount": 14, "percent": 5, "rate": 9, "left": 7, "lines": 7}


@dataclass(frozen=True, slots=True)
class _Row:
    """A file in words. `instead`: a clause in place of all figures."""

    moving: Moving
    figures: dict[str, str]
    instead: str


def block(tally: Tally, columns: int, rows: int, now: float) -> list[Line]:
    """The lines to show on a terminal of that size; each is shorter than `columns`, so none wraps."""
    width = columns - 1
    moving = [row for row in tally.moving.values() if not row.is_through]
    # The cursor rests on a line of its own below.
    room = min(MOST_ROWS, rows - 3)
    shown = moving[: max(0, room)]
    lines: list[Line] = [((total_line(tally.totals(now), width), Tone.PLAIN),)]
    lines += _table([_row(each, now) for each in shown], width, now)
    if shown and len(moving) > len(shown):
        lines.append(((shorten(f"and {len(moving) - len(shown):,} more", width), Tone.FAINT),))
    return lines


def _row(moving: Moving, now: float) -> _Row:
    if moving.holder is not None:
        return _Row(moving, {}, f"waiting for {moving.holder or 'another process'}")
    if moving.due is not None:
        return _Row(moving, {}, f"next try in {left(moving.due - now)}" if moving.due > now else "trying again")
    size, done = moving.size_bytes, moving.done_bytes
    figures = {
        "amount": shown_size(done) if size is None else share(done, size),
        "percent": shown_size(done) if size is None else percent(done, size),
        "rate": rate(moving.rate(now)),
        "left": left(moving.left_s(now)),
        "lines": f"{moving.connections} conn" if moving.connections else "",
    }
    if moving.unpacked:
        figures.update(rate="unpacking", left=moving.unpacked, lines="")
    elif moving.is_verifying and size:
        figures.update(rate="verifying", left=percent(moving.verified_bytes, size), lines="")
    elif moving.is_placing:
        figures.update(rate="placing", left="", lines="")
    elif moving.is_stalled(now):
        figures.update(rate="stalled", left="")
    return _Row(moving, figures, "")


def _table(rows: list[_Row], width: int, now: float) -> list[Line]:
    if not rows:
        return []
    longest = max(cells(row.moving.name) for row in rows)
    taken = {key: max(least, *(cells(row.figures.get(key, "")) for row in rows)) for key, least in _LEAST_CELLS.items()}
    if not any(row.figures.get("lines") for row in rows):
        taken["lines"] = 0
    columns, room = _layout(taken, width, min(longest, _LEAST_NAME))
    bar_width = 0
    name_width = min(longest, room)
    if "bar" in columns:
        name_width = min(
            longest, max(room - _GAP - _MOST_BAR, (room - _GAP) * 3 // 5, min(_LEAST_NAME, room)), room - _GAP - _LEAST_BAR
        )
        bar_width = min(_MOST_BAR, room - _GAP - name_width)
    return [_line(row, columns, taken, name_width, bar_width, width, now) for row in rows]


def _layout(taken: dict[str, int], width: int, least_name: int) -> tuple[tuple[str, ...], int]:
    """The richest columns that fit, and the cells that they leave to name and bar."""
    for columns in _LAYOUTS:
        room = width - sum(taken[key] + _GAP for key in columns if key != "bar" and taken[key])
        need = least_name + _GAP + _LEAST_BAR if "bar" in columns else min(least_name, _BARE_NAME)
        if room >= need:
            return columns, room
    return (), width


def _line(
    row: _Row, columns: tuple[str, ...], taken: dict[str, int], name_width: int, bar_width: int, width: int, now: float
) -> Line:
    spans: list[tuple[str, Tone]] = [(pad(shorten(row.moving.name, name_width), name_width), Tone.PLAIN)]
    gap = " " * _GAP
    if row.instead:
        return (*spans, (shorten(gap + row.instead, max(0, width - name_width)), Tone.WARN))
    for key in columns:
        if key != "bar" and not taken[key]:
            continue
        spans.append((gap, Tone.PLAIN))
        if key == "bar":
            spans += _bar(row.moving, bar_width, now)
        else:
            spans.append((pad(row.figures[key], taken[key], right=True), Tone.PLAIN))
    return tuple(spans)


def _bar(moving: Moving, width: int, now: float) -> Line:
    if not moving.size_bytes:
        # How far it is, nobody knows: a mark that wanders says that it moves.
        at = int(now * 4) % max(1, width - 2)
        return (("░" * at, Tone.FAINT), ("▒▒▒", Tone.FLOW), ("░" * (width - 3 - at), Tone.FAINT))
    arrived = min(width, width * moving.done_bytes // moving.size_bytes)
    through = moving.verified_bytes if moving.unpacked_bytes is None else moving.unpacked_bytes
    hashed = min(arrived, width * through // moving.size_bytes)
    return (("█" * hashed, Tone.GOOD), ("▒" * (arrived - hashed), Tone.FLOW), ("░" * (width - arrived), Tone.FAINT))
