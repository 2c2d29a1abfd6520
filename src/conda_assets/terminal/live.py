"""Events drawn on a terminal: finished files scroll off, a block below shows what is on its way."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from conda_assets.events import Event, Progressed, Started, Unpacking
from conda_assets.records import replace
from conda_assets.terminal.frame import block
from conda_assets.terminal.lines import Wording, total_line
from conda_assets.terminal.size import size_of
from conda_assets.terminal.tally import Tally
from conda_assets.terminal.words import Line, Tone, clean, fitting, paint

if TYPE_CHECKING:
    from conda_assets.terminal.screen import Screen

__all__ = ["Live"]

_FRAME_S = 0.25
# Nobody drew for that long: the process was stopped (Ctrl-Z), and the shell has written in the meantime.
_STOPPED_S = 2.0


class Live:
    """An observer for a terminal. Events only note what is new; a thread draws, so a halted terminal (Ctrl-S) halts no transfer.

    rich is imported when a transfer lasts longer than one frame.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        colour: bool,
        verbosity: int,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._colour, self._environ, self._clock = stream, colour, environ, clock
        self._tally = Tally()
        self._wording = Wording(self._tally.algorithms, verbosity)
        # Reentrant: a warning that is printed while an event is taken in comes back here.
        self._state = threading.RLock()
        self._scrolled: list[Line] = []
        self._screen: Screen | None = None
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._is_blind = False
        self._aside: _Aside | None = None

    def __enter__(self) -> Live:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        try:
            if self._thread is not None:
                self._thread.join()
        finally:
            if self._aside is not None:
                self._aside.close()
            self._last_frame(broken=kind is not None)

    def __call__(self, event: Event) -> None:
        """Take in an event; returns at once when a transfer is going on."""
        with self._state:
            self._tally.take(event, self._clock())
            if not isinstance(event, (Progressed, Unpacking)):
                self._scrolled += self._wording.scrolled(event, size_of(self._stream, self._environ)[0] - 1)
            if self._thread is None and isinstance(event, (Started, Progressed, Unpacking)):
                self._thread = threading.Thread(target=self._draw_on, name="terminal", daemon=True)
                self._thread.start()
        if self._thread is None:
            self._write_plainly()

    def say_aside(self, text: str) -> None:
        """Show a line that somebody else wants to print, above the block."""
        with self._state:
            self._scrolled.append(((clean(text), Tone.PLAIN),))

    def _draw_on(self) -> None:
        drawn = self._clock()
        while not self._over.wait(_FRAME_S):
            if self._screen is None and self._is_busy():
                self._begin()
            if self._screen is None:
                self._write_plainly()
            else:
                self._draw(self._screen, was_stopped=self._clock() - drawn > _STOPPED_S)
            drawn = self._clock()

    def _is_busy(self) -> bool:
        with self._state:
            return self._tally.is_busy

    def _begin(self) -> None:
        from conda_assets.terminal.screen import Screen  # rich: 50 ms that a short run does not pay

        self._screen = Screen(self._stream, colour=self._colour)
        if sys.stderr is self._stream:
            self._aside = _Aside(self._stream, self)

    def _draw(self, screen: Screen, *, was_stopped: bool) -> None:
        columns, rows = size_of(self._stream, self._environ)
        in_front = _in_foreground(self._stream)
        if was_stopped or not in_front:
            screen.forget()
        with self._state:
            scrolled, self._scrolled = self._scrolled, []
            lines = block(self._tally, columns, rows, self._clock()) if in_front else []
        self._show(screen, scrolled, lines, columns)

    def _last_frame(self, *, broken: bool) -> None:
        if self._screen is None:
            self._write_plainly()
            return
        columns, _ = size_of(self._stream, self._environ)
        if not _in_foreground(self._stream):
            self._screen.forget()
        with self._state:
            # Where it stopped stays readable above the error.
            if broken and self._tally.is_busy:
                reached = replace(self._tally.totals(self._clock()), rate=0.0, left_s=None)
                self._scrolled.append(((total_line(reached, columns - 1), Tone.PLAIN),))
        self._show(self._screen, self._scrolled, [], columns)

    def _show(self, screen: Screen, scrolled: list[Line], lines: list[Line], columns: int) -> None:
        if self._is_blind:
            return
        try:
            screen.draw(scrolled, lines, columns)
        except OSError:
            # The terminal went away; the transfer it was watching need not.
            self._is_blind = True

    def _write_plainly(self) -> None:
        with self._state:
            scrolled, self._scrolled = self._scrolled, []
        if not scrolled or self._is_blind:
            return
        try:
            self._stream.write(
                "".join(fitting(paint(line, colour=self._colour), self._stream.encoding) + "\n" for line in scrolled)
            )
            self._stream.flush()
        except OSError:
            self._is_blind = True


class _Aside:
    """Stands in for `sys.stderr` while a block is drawn: a warning from elsewhere goes above the block instead of into it."""

    def __init__(self, stream: TextIO, live: Live) -> None:
        self._stream, self._live, self._rest = stream, live, ""
        self._is_open = True
        sys.stderr = self

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Keep the text until its line is complete."""
        if not self._is_open:
            # A log handler that was made in the meantime holds on to this.
            return self._stream.write(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._live.say_aside(line)
        return len(text)

    def flush(self) -> None:
        """Nothing while a block is drawn: the next frame shows it."""
        if not self._is_open:
            self._stream.flush()

    def close(self) -> None:
        """Give `sys.stderr` back."""
        self._is_open = False
        if sys.stderr is self:
            sys.stderr = self._stream
        if self._rest:
            self._live.say_aside(self._rest)


def _in_foreground(stream: TextIO) -> bool:
    """Not a job in the background of a shell, whose prompt a block would overwrite."""
    if not hasattr(os, "tcgetpgrp"):
        return True
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        # Not our controlling terminal: nobody's jobs are on it.
        return True
