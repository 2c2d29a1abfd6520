"""Text that fits a terminal: harmless, measured in cells, with numbers as people read them. Pure, and without rich.

Everything that a spec, a server or a file system wrote passes `clean` before it is shown.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from enum import Enum
from typing import TextIO

from conda_assets.model import shown_size

__all__ = [
    "Line",
    "Tone",
    "cells",
    "clean",
    "clean_lines",
    "count_of",
    "elapsed",
    "fitting",
    "joined",
    "left",
    "pad",
    "paint",
    "percent",
    "rate",
    "say",
    "share",
    "shorten",
    "text_of",
    "wrap",
]


class Tone(Enum):
    """What a colour would add to words that are clear without it; the value is the SGR parameter."""

    PLAIN = ""
    GOOD = "32"
    BAD = "31"
    WARN = "33"
    FLOW = "36"
    FAINT = "2"


Line = tuple[tuple[str, Tone], ...]

# One sign for one sign, so that columns stay where they are in an encoding without these.
_ASCII = str.maketrans({"…": "~", "—": "-", "✓": "+", "✗": "x", "↻": "~", "█": "#", "▒": "=", "░": "."})


def clean(text: str) -> str:
    """The text on one line without anything that a terminal would obey: no control, escape or direction characters."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else _harmless(sign) for sign in text)


def clean_lines(text: str) -> list[str]:
    """The lines of a text, each one `clean`."""
    return [clean(line) for line in text.splitlines()] or [""]


def _harmless(sign: str) -> str:
    if sign.isspace():
        return " "
    # Lone surrogates (undecodable file names) cannot be written; unassigned signs have no known width.
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(sign) in ("Cs", "Co", "Cn") else ""


def cells(text: str) -> int:
    """Columns that the text takes: 2 for wide East Asian signs and emoji, 0 for marks that sit on another sign."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def _cells_of(sign: str) -> int:
    # Medial and final jamo join the syllable before them.
    if unicodedata.category(sign) in ("Mn", "Me") or "\u1160" <= sign <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def shorten(text: str, width: int) -> str:
    """At most `width` cells; what is too long loses its middle, because names differ at both ends."""
    if cells(text) <= width:
        return text
    if width < 2:
        return "…"[:width]
    tail = _front(text[::-1], (width - 1) // 2)[::-1]
    return _front(text, width - 1 - cells(tail)) + "…" + tail


def _front(text: str, width: int) -> str:
    taken = 0
    for index, sign in enumerate(text):
        taken += _cells_of(sign)
        if taken > width:
            return text[:index]
    return text


def pad(text: str, width: int, *, right: bool = False) -> str:
    """The text and blanks, `width` cells together; `right` puts the text at the right."""
    blanks = " " * (width - cells(text))
    return blanks + text if right else text + blanks


def wrap(text: str, width: int, *, first: str = "", indent: str = "  ") -> list[str]:
    """Lines of at most `width` cells, broken between words. The first one begins with `first`, the others with `indent`."""
    lines, line, is_fresh = [], first, True
    for word in text.split(" "):
        longer = line + word if is_fresh else f"{line} {word}"
        if cells(longer) <= width:
            line, is_fresh = longer, False
            continue
        if not is_fresh:
            lines.append(line.rstrip())
            line = indent
        # A word that is longer than a whole line, such as a URL, is cut where the line ends.
        while word and cells(line + word) > width:
            piece = _front(word, width - cells(line)) or word[0]
            lines.append(line + piece)
            line, word = indent, word[len(piece) :]
        line, is_fresh = line + word, False
    return [*lines, line] if line.strip() or not lines else lines


def text_of(line: Line) -> str:
    """The words of a line, without tones."""
    return "".join(words for words, _ in line)


def paint(line: Line, *, colour: bool) -> str:
    """The line as it is written to a terminal."""
    if not colour:
        return text_of(line)
    return "".join(f"\x1b[{tone.value}m{words}\x1b[0m" if tone.value and words else words for words, tone in line)


def fitting(text: str, encoding: str | None) -> str:
    """The text in signs that the encoding has."""
    if text.isascii() or not encoding:
        return text
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    return text


def say(stream: TextIO, text: str) -> None:
    """Write the text and a line end, also to a stream whose encoding lacks some of its signs."""
    stream.write(fitting(text, stream.encoding) + "\n")
    stream.flush()


def rate(bytes_per_s: float) -> str:
    """`412 MB/s`, `9.5 MB/s`."""
    number, unit = shown_size(bytes_per_s).split()
    return f"{float(number):.0f} {unit}/s" if float(number) >= 100 else f"{number} {unit}/s"


def share(done_bytes: float, size_bytes: float) -> str:
    """`18.2/71.9 GB`: both in the unit of the whole."""
    number, unit = shown_size(size_bytes).split()
    done = done_bytes / 1000 ** ("B", "kB", "MB", "GB", "TB").index(unit)
    return f"{done:.0f}/{number} B" if unit == "B" else f"{done:.1f}/{number} {unit}"


def percent(done: float, whole: float) -> str:
    """`57 %`; 100 only when all is there."""
    return f"{min(99, int(100 * done / whole)) if done < whole else 100} %"


def elapsed(seconds: float) -> str:
    """`5.1 s`, `42 s`, `2 min 5 s`, `1 h 12 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def left(seconds: float | None) -> str:
    """Time that is left, coarse and short: `42 s`, `2 min`, `3 h`, `4 d`; empty when nobody can tell."""
    if seconds is None or seconds > 99 * 86400:
        return ""
    for limit, unit_s, word in ((90, 1, "s"), (90 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds <= limit:
            # Rounded first: 2.0000001 s of a smoothed pace are not 3 s.
            return f"{max(1, math.ceil(round(seconds / unit_s, 3)))} {word}"
    return f"{math.ceil(seconds / 86400)} d"


def count_of(number: int, noun: str) -> str:
    """`1 file`, `3 files`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def joined(names: Iterable[str], *, most: int = 5) -> str:
    """`a, b, c and 4 more`."""
    listed = [clean(name) for name in names]
    more = len(listed) - most
    return ", ".join(listed) if more <= 1 else f"{', '.join(listed[:most])} and {more} more"
