"""A block of lines at the end of a terminal's output that is drawn over and over: the only importer of rich.

Between two frames the cursor rests at the start of the line below the block, visible. So whatever ends the process, Ctrl-C or
SIGKILL, the shell's prompt stands on a line of its own, and there is no state of the terminal to restore.

rich's own Live is not used: it hides the cursor, and it takes the block for as high as it drew it, which is wrong as soon as a
narrower terminal has folded the lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType, Segment, Segments
from rich.style import Style

from conda_assets.terminal.words import Line, Tone, cells, fitting, text_of

__all__ = ["Screen"]

_STYLES = {
    Tone.GOOD: Style(color="green"),
    Tone.BAD: Style(color="red"),
    Tone.WARN: Style(color="yellow"),
    Tone.FLOW: Style(color="cyan"),
    Tone.FAINT: Style(dim=True),
}
_ERASE_REST = Control((ControlType.ERASE_IN_LINE, 0)).segment
_ERASE_LINE = Control((ControlType.ERASE_IN_LINE, 2)).segment


class Screen:
    """Draws on `stream`, a terminal that can move its cursor. Not safe for several threads at once."""

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        self._console = Console(
            file=stream,
            force_terminal=True,
            force_jupyter=False,
            color_system="standard" if colour else None,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._encoding = stream.encoding
        self._colour = colour
        self._block: tuple[Line, ...] = ()

    def forget(self) -> None:
        """Leave the block where it is; the next one begins below."""
        self._block = ()

    def draw(self, scrolled: Sequence[Line], block: Sequence[Line], columns: int) -> None:
        """Put `scrolled` above the block for good, and `block` in place of the one before; `columns`: the terminal's now.

        All of it in one write, and each line over its predecessor, so that nothing flickers.

        Raises:
            OSError: the terminal is gone.
        """
        if not scrolled and tuple(block) == self._block:
            return
        # What the lines of the block before take on a terminal that may have become narrower and folded them.
        old = sum(_height(line, columns) for line in self._block)
        # A typed sign or the echo of Ctrl-C has moved the cursor along its line.
        segments = [Control(ControlType.CARRIAGE_RETURN).segment, *_up(old)]
        if old > len(self._block):
            # Only a row that is erased whole forgets that it was folded; else a wider terminal would join it to the next one.
            segments += [_ERASE_LINE, Segment.line()] * old + _up(old)
        for line in (*scrolled, *block):
            segments += [self._segment(words, tone) for words, tone in line]
            segments += [_ERASE_REST, Segment.line()]
        surplus = max(0, old - sum(_height(line, columns) for line in (*scrolled, *block)))
        # The row where the cursor comes to rest may hold a `^C`.
        segments += [_ERASE_REST, Segment.line()] * surplus + [_ERASE_REST] + _up(surplus)
        self._block = tuple(block)
        self._console.print(Segments(segments), end="", soft_wrap=True)

    def _segment(self, words: str, tone: Tone) -> Segment:
        return Segment(fitting(words, self._encoding), _STYLES.get(tone) if self._colour else None)


def _height(line: Line, columns: int) -> int:
    return max(1, -(-cells(text_of(line)) // columns))


def _up(rows: int) -> list[Segment]:
    return [Control((ControlType.CURSOR_UP, rows)).segment] if rows > 0 else []
