"""Progress: what stands on the screen, in a log, in a pipe; on real pseudo-terminals, read back through pyte's emulator."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte
import pytest

from conda_assets.digest import Digest
from conda_assets.errors import UsageError
from conda_assets.events import (
    Event,
    Failed,
    Finished,
    Noted,
    Observer,
    Planned,
    Progressed,
    Retrying,
    Started,
    Unpacking,
    Waiting,
)
from conda_assets.model import Asset, Plan, State, Step, Stored, Verb
from conda_assets.terminal import drawing, wants_colour, width_of
from conda_assets.terminal.frame import MOST_ROWS, block
from conda_assets.terminal.live import Live
from conda_assets.terminal.logs import TOTAL_EVERY_S, Plain
from conda_assets.terminal.tally import Pace, Tally
from conda_assets.terminal.words import cells, text_of

MB = 1_000_000
SHA = Digest("sha256", "0" * 64)
XTERM = {"TERM": "xterm-256color"}
ESC = "\x1b"


def asset(name: str, size_bytes: int | None, digest: Digest | None = None) -> Asset:
    return Asset(name=name, url=f"https://u:p@x.org/{name}?token=1", path=name, size_bytes=size_bytes, digest=digest)


def planned(*assets: Asset, linked: Stored | None = None) -> Planned:
    steps = [Step(Verb.FETCH, each, "not here yet") for each in assets]
    if linked:
        steps.append(Step(Verb.LINK, asset("old", None), "not here yet", stored=linked))
    return Planned(Plan(tuple(steps)))


def started(name: str, size_bytes: int | None, done_bytes: int = 0) -> Started:
    return Started(name, size_bytes, done_bytes, f"https://x.org/{name}")


def progressed(name: str, done: int, size: int | None, *, verified: int | None = None, per_s: float = 0.0) -> Progressed:
    return Progressed(name, done, size, per_s, 16, done if verified is None else verified)


def fetched(name: str, size: int, *, came: int | None = None, seconds: float = 5.0) -> Finished:
    return Finished(name, State.FETCHED, size, size if came is None else came, seconds, f"/env/{name}")


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal:
    """A pseudo-terminal: `stream` is what a program writes to, `lines` what a person sees."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.master, self.slave = pty.openpty()
        self.screen = pyte.Screen(columns, rows)
        self.fed = pyte.ByteStream(self.screen)
        self.written = b""
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def read(self, timeout_s: float = 0.05) -> None:
        while select.select([self.master], [], [], timeout_s)[0]:
            data = os.read(self.master, 65536)
            self.written += data
            self.fed.feed(data)

    @property
    def lines(self) -> list[str]:
        self.read()
        lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def until(self, claim: Callable[[list[str]], bool]) -> list[str]:
        deadline = time.monotonic() + 20
        while not claim(self.lines):
            assert time.monotonic() < deadline, "\n".join(self.lines)
        return self.lines


@contextmanager
def terminal(columns: int = 80, rows: int = 24) -> Iterator[tuple[Terminal, io.TextIOWrapper]]:
    made = Terminal(columns, rows)
    with os.fdopen(os.dup(made.slave), "w", encoding="utf-8") as stream:
        yield made, stream
    os.close(made.slave)
    os.close(made.master)


def live(stream: io.TextIOWrapper, clock: Clock, *, colour: bool = False, verbosity: int = 0) -> Live:
    return Live(stream, colour=colour, verbosity=verbosity, environ=XTERM, clock=clock)


def play(watch: Observer, clock: Clock) -> None:
    """Two files at half, after two seconds of 10 MB/s each."""
    watch(planned(asset("gpt2-weights", 40 * MB, SHA), asset("train.csv", 40 * MB), asset("tiny", 812)))
    for name in ("gpt2-weights", "train.csv"):
        watch(started(name, 40 * MB))
    clock.now += 2
    watch(progressed("gpt2-weights", 20 * MB, 40 * MB, verified=18 * MB))
    watch(progressed("train.csv", 20 * MB, 40 * MB))


def test_bars_stand_below_finished_lines() -> None:
    clock = Clock()
    with terminal() as (seen, stream), live(stream, clock) as watch:
        play(watch, clock)
        watch(started("tiny", 812))
        watch(fetched("tiny", 812, seconds=0.01))
        assert seen.until(lambda lines: len(lines) == 5) == [
            "Assets: 3 files to fetch (80.0 MB)",
            "✓ tiny  812 B",
            "Assets  1/3 files  40.0/80.0 MB  20.0 MB/s  ETA 2 s",
            "gpt2-weights  █████████▒░░░░░░░░░░    20.0/40.0 MB  10.0 MB/s      2 s  16 conn",
            "train.csv     ██████████░░░░░░░░░░    20.0/40.0 MB  10.0 MB/s      2 s  16 conn",
        ]


def test_nothing_but_finished_lines_remains() -> None:
    clock = Clock()
    with terminal() as (seen, stream):
        with live(stream, clock) as watch:
            play(watch, clock)
            seen.until(lambda lines: len(lines) == 4)
            watch(fetched("gpt2-weights", 40 * MB, seconds=4))
            watch(fetched("train.csv", 40 * MB, came=20 * MB, seconds=2))
        assert seen.lines == [
            "Assets: 3 files to fetch (80.0 MB)",
            "✓ gpt2-weights  40.0 MB in 4.0 s (10.0 MB/s), sha256 verified",
            "✓ train.csv  40.0 MB, resumed: 20.0 MB in 2.0 s (10.0 MB/s)",
        ]
        assert (seen.screen.cursor.x, seen.screen.cursor.y, seen.screen.cursor.hidden) == (0, 3, False)


def test_every_kind_of_line_can_be_told_without_colour() -> None:
    clock = Clock()
    with terminal(60) as (seen, stream):
        with live(stream, clock) as watch:
            watch(Noted("something to know"))
            watch(Noted("no aria2c found: one connection a file; for many, `conda install aria2`", "warning"))
            watch(Waiting("corpus", "lab3 pid 4711"))
            watch(Retrying("corpus", "503 Service Unavailable", 4.0, 1))
            watch(Retrying("corpus", "503 Service Unavailable", 8.0, 2))
            watch(Failed("corpus", "corpus: the server answers 404", ("check `url:`",), optional=False))
            watch(Failed("extra", "extra: the server answers 404", ("check `url:`",), optional=True))
            watch(Finished("old", State.LINKED, 4100 * MB, 0, 0.1, "/env/old"))
            watch(Finished("kept", State.KEPT, 1, 0, 0.0, "/env/kept"))
        assert seen.lines == [
            "Note: something to know",
            "Warning: no aria2c found: one connection a file; for many,",
            "  `conda install aria2`",
            "↻ corpus  waiting for lab3 pid 4711, which brings the same",
            "  file",
            "↻ corpus  503 Service Unavailable, next try in 4 s",
            "✗ corpus  the server answers 404",
            "  Hint: check `url:`",
            "! extra  the server answers 404 (optional)",
            "✓ old  4.1 GB from the store",
        ]


def test_many_links_are_announced_and_told_together() -> None:
    steps = tuple(Step(Verb.LINK, asset(f"a{index}", 5), "", stored=Stored(Path("/s"), "0", 5, 0)) for index in range(1000))
    ends = [Finished(f"a{index}", State.LINKED, 5, 0, 0.0, "") for index in range(1000)]
    for mode in ("plain", "tty"):
        stream = io.StringIO()
        with drawing(mode, stream, environ=XTERM) as watch:
            for event in (Planned(Plan(steps)), *ends):
                watch(event)
        assert stream.getvalue() == "Assets: 1,000 from the store (5.0 kB)\n"


def test_verbose_tells_paths_repeated_tries_and_kept_files() -> None:
    clock = Clock()
    with terminal() as (seen, stream):
        with live(stream, clock, verbosity=1) as watch:
            watch(Retrying("corpus", "503", 4.0, 1))
            watch(Retrying("corpus", "503", 8.0, 2))
            watch(Finished("old", State.LINKED, 812, 0, 0.1, "/env/old"))
            watch(Finished("kept", State.KEPT, 1, 0, 0.0, "/env/kept"))
        assert seen.lines == [
            "↻ corpus  503, next try in 4 s",
            "↻ corpus  503, next try in 8 s",
            "✓ old  812 B from the store",
            "  /env/old",
            "✓ kept  kept",
            "  /env/kept",
        ]


def test_at_most_eight_rows_are_drawn_and_the_rest_counted() -> None:
    tally = Tally()
    for index in range(12):
        tally.take(started(f"shard-{index}", 10 * MB), 0.0)
    lines = [text_of(line) for line in block(tally, 80, 24, 0.0)]
    assert len(lines) == 1 + MOST_ROWS + 1
    assert lines[-1] == "and 4 more"


def test_a_low_terminal_keeps_the_total_line() -> None:
    tally = Tally()
    for index in range(5):
        tally.take(started(f"shard-{index}", 10 * MB), 0.0)
    heights = [len(block(tally, 80, rows, 0.0)) for rows in range(1, 9)]
    assert heights == [1, 1, 1, 3, 4, 5, 6, 6]


def busy_tally() -> Tally:
    tally = Tally()
    names = [
        "a",
        "model-00001-of-00030.safetensors",
        "日本語のとても長いデータセット名前.tar.zst",
        "한국어",
        "unknown",
        "r",
        "w",
        "v",
        "s",
    ]
    tally.take(planned(*[asset(name, 1 << 40) for name in names], linked=Stored(Path("/s"), "0" * 64, 1 << 40, 0)), 0.0)
    for index, name in enumerate(names):
        size = None if name == "unknown" else 10 ** (index + 4)
        tally.take(started(name, size), 0.0)
        tally.take(progressed(name, 10 ** (index + 3) + 7, size, verified=11), 1.0)
        tally.take(progressed(name, 10 ** (index + 3) * 9, size, verified=99), 2.5)
    tally.take(Retrying("r", "503", 4000.0, 1), 2.5)
    tally.take(Waiting("w", "a-host-with-a-long-name.cluster.example.org pid 4711"), 2.5)
    tally.take(progressed("v", 10**11, 10**11, verified=5 * 10**10), 2.5)
    return tally


@pytest.mark.parametrize("later_s", [0.0, 60.0], ids=["moving", "stalled"])
def test_no_line_of_the_block_reaches_the_last_column(later_s: float) -> None:
    tally = busy_tally()
    for columns in range(1, 200):
        for line in block(tally, columns, 24, 2.5 + later_s):
            assert cells(text_of(line)) <= max(0, columns - 1), (columns, text_of(line))


def test_rows_give_up_figures_before_names_as_the_terminal_narrows() -> None:
    tally = Tally()
    tally.take(started("gpt2-weights", 548 * MB), 0.0)
    tally.take(progressed("gpt2-weights", 100 * MB, 548 * MB), 1.0)
    tally.take(progressed("gpt2-weights", 200 * MB, 548 * MB), 2.0)
    assert [text_of(block(tally, columns, 24, 2.0)[1]) for columns in (100, 60, 40, 30, 16)] == [
        "gpt2-weights  ██████████░░░░░░░░░░░░░░░░░░░░  200.0/548.0 MB   100 MB/s      4 s  16 conn",
        "gpt2-weights  ███░░░░░░  200.0/548.0 MB   100 MB/s      4 s",
        "gpt2-weights   36 %   100 MB/s      4 s",
        "gpt2-…ights   36 %   100 MB/s",
        "gpt2…hts   36 %",
    ]


def test_rows_say_when_they_verify_wait_stall_or_do_not_know_their_size() -> None:
    rows = [text_of(line) for line in block(busy_tally(), 80, 24, 30.0)]
    figures = {row.split()[0]: row.split("  ", 1)[1].strip() for row in rows[1:-1]}
    assert figures["r"] == "next try in 67 min"
    assert figures["w"] == "waiting for a-host-with-a-lo….cluster.example.org pid 4711"
    assert figures["v"].endswith("100.0/100.0 GB  verifying     50 %")
    assert figures["a"].endswith("9.0/10.0 kB    stalled           16 conn")
    assert figures["unknown"].endswith("90.0 MB    stalled           16 conn")


def test_a_placed_file_is_not_called_stalled() -> None:
    tally = Tally()
    tally.take(started("copy", 5 * MB), 0.0)
    tally.take(progressed("copy", 5 * MB, 5 * MB), 1.0)
    assert text_of(block(tally, 80, 24, 60.0)[1]).split()[-1] == "placing"


def test_an_archive_is_shown_while_it_is_unpacked_and_then_no_more() -> None:
    tally = Tally()
    tally.take(planned(asset("corpus", 200 * MB), asset("more", 100 * MB)), 0.0)
    tally.take(started("corpus", 200 * MB), 0.0)
    tally.take(progressed("corpus", 200 * MB, 200 * MB), 1.0)
    tally.take(Unpacking("corpus", 0, 200 * MB), 1.0)
    tally.take(Unpacking("corpus", 100 * MB, 200 * MB), 2.0)
    assert [text_of(line) for line in block(tally, 80, 24, 60.0)] == [
        "Assets  0/2 files  200.0/300.0 MB  3.3 MB/s  ETA 30 s",
        "corpus  ███████████████▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒  200.0/200.0 MB  unpacking     50 %",
    ]
    assert tally.is_busy
    tally.take(fetched("corpus", 200 * MB), 61.0)
    assert [text_of(line) for line in block(tally, 80, 24, 61.0)][1:] == []


def test_an_archive_of_the_store_is_shown_too_and_is_no_transfer() -> None:
    tally = Tally()
    tally.take(planned(linked=Stored(Path("/s"), "0" * 64, 200 * MB, 0)), 0.0)
    tally.take(Unpacking("old", 20 * MB, 200 * MB), 1.0)
    totals = tally.totals(2.0)
    assert (totals.done_bytes, totals.size_bytes, totals.rate, totals.unpacking) == (0, 0, 0.0, ("old 10 %",))
    assert text_of(block(tally, 80, 24, 2.0)[1]).endswith("200.0/200.0 MB  unpacking     10 %")


def test_totals_count_shared_bytes_once_and_forget_failures() -> None:
    tally = Tally()
    twin = Digest("sha256", "1" * 64)
    plan = planned(asset("a", 10, twin), asset("b", 10, twin), asset("c", 100), asset("d", None))
    tally.take(plan, 0.0)
    assert (tally.totals(0.0).size_bytes, tally.totals(0.0).unknown, tally.totals(0.0).files) == (110, 1, 4)
    tally.take(Failed("c", "c: 404", (), optional=False), 1.0)
    tally.take(started("d", 1000, 400), 1.0)
    tally.take(fetched("a", 10), 2.0)
    tally.take(Finished("b", State.LINKED, 10, 0, 0.0, "/b"), 2.0)
    totals = tally.totals(2.0)
    assert (totals.done_files, totals.done_bytes, totals.size_bytes, totals.unknown) == (3, 410, 1010, 0)


def test_what_an_earlier_run_left_counts_as_done_but_not_as_pace() -> None:
    tally = Tally()
    tally.take(started("a", 1000 * MB, 900 * MB), 0.0)
    tally.take(progressed("a", 900 * MB, 1000 * MB), 0.5)
    tally.take(progressed("a", 910 * MB, 1000 * MB), 1.5)
    totals = tally.totals(1.5)
    assert totals.done_bytes == 910 * MB
    assert totals.rate < 10 * MB


def test_a_file_that_begins_anew_does_not_turn_the_pace_negative() -> None:
    tally = Tally()
    tally.take(started("a", 100 * MB), 0.0)
    tally.take(progressed("a", 90 * MB, 100 * MB), 1.0)
    tally.take(progressed("a", 0, 100 * MB), 2.0)
    tally.take(progressed("a", 1 * MB, 100 * MB), 3.0)
    assert tally.totals(3.0).rate >= 0
    assert tally.totals(3.0).done_bytes == 1 * MB


def test_verifying_without_starts_shows_bars_and_counts_what_is_through() -> None:
    tally = Tally()
    tally.take(Progressed("a", 64 * MB, 64 * MB, 0.0, 0, 64 * MB), 0.0)
    tally.take(Progressed("b", 64 * MB, 128 * MB, 0.0, 0, 64 * MB), 0.0)
    tally.take(Progressed("b", 96 * MB, 128 * MB, 0.0, 0, 96 * MB), 1.0)
    lines = [text_of(line) for line in block(tally, 80, 24, 1.0)]
    assert lines == [
        "Assets  1/2 files  160.0/192.0 MB  32.0 MB/s  ETA 1 s",
        "b  ██████████████████████░░░░░░░░   96.0/128.0 MB  32.0 MB/s      1 s",
    ]


def test_the_pace_follows_a_steady_line_and_falls_when_it_falls_silent() -> None:
    pace = Pace(3.0)
    assert pace.at(0.0) is None
    for tenth in range(200):
        pace.add(1 * MB, tenth / 10)
    assert pace.at(20.0) == pytest.approx(10 * MB, rel=0.01)
    silent = [pace.at(20.0 + wait) or 0.0 for wait in (0, 3, 6, 30)]
    assert silent == sorted(silent, reverse=True)
    assert silent[-1] < 0.1 * MB


def test_the_time_left_of_all_is_not_less_than_that_of_the_slowest() -> None:
    tally = Tally()
    tally.take(started("fast", 1000 * MB), 0.0)
    tally.take(started("slow", 100 * MB), 0.0)
    for second in range(1, 10):
        tally.take(progressed("fast", second * 100 * MB, 1000 * MB), second)
        tally.take(progressed("slow", second * MB, 100 * MB), second)
    assert tally.totals(9.0).left_s == pytest.approx(91, rel=0.05)


def test_a_narrower_terminal_folds_no_line_of_the_next_frame() -> None:
    clock = Clock()
    with terminal(80) as (seen, stream), live(stream, clock) as watch:
        play(watch, clock)
        seen.until(lambda lines: len(lines) == 4)
        seen.resize(40, 24)
        assert seen.until(lambda lines: "0/3  40.0/80.0 MB  20.0 MB/s  2 s" in lines)[-2:] == [
            "gpt2-weights   50 %  10.0 MB/s      2 s",
            "train.csv      50 %  10.0 MB/s      2 s",
        ]


#: Two files that never end, and a third whose time to wait is half the terminal's width as the program knows it.
SLOW_RUN = """
import os, signal, sys, time
from conda_assets.events import Progressed, Retrying, Started
from conda_assets.terminal import drawing
# Whoever runs the tests in the background ignores it, and so would we.
signal.signal(signal.SIGINT, signal.default_int_handler)
with drawing("tty", sys.stderr, environ={"TERM": "xterm"}) as watch:
    for name in ("gpt2-weights", "train.csv"):
        watch(Started(name, 900_000_000, 0, "https://x.org/"))
    for done in range(1, 900):
        watch(Progressed("gpt2-weights", done * 1_000_000, 900_000_000, 1e6, 16, 0))
        watch(Progressed("train.csv", done * 1_000_000, 900_000_000, 1e6, 16, 0))
        watch(Retrying("width", "503", os.get_terminal_size(2).columns / 2, 1))
        time.sleep(0.05)
"""


@pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux: pyte does not fold lines when it narrows, as terminals do")
def test_resizing_leaves_one_block_and_all_that_stood_above_it(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(SLOW_RUN)
    socket = str(tmp_path / "socket")

    def tmux(*words: str) -> str:
        words = ("tmux", "-S", socket, "-f", "/dev/null", *words)
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=20).stdout

    tmux("new-session", "-d", "-x", "90", "-y", "24", "-s", "t", f"seq 40; {sys.executable} {tmp_path / 'run.py'}; cat")
    try:
        for columns in (90, 44, 100, 60, 110):
            tmux("resize-window", "-t", "t", "-x", str(columns), "-y", "24")
            deadline = time.monotonic() + 20
            lines: list[str] = []
            while not lines or lines[-1].split(None, 1)[1:] != [f"next try in {columns // 2} s"]:
                assert time.monotonic() < deadline, "\n".join(lines)
                time.sleep(0.05)
                lines = [line.rstrip() for line in tmux("capture-pane", "-p", "-S", "-", "-t", "t").splitlines() if line.strip()]
            assert [line.split(" ")[0] for line in lines[:41]] == [*map(str, range(1, 41)), "↻"]
            first, *names = [line.split(" ")[0] for line in lines[41:]]
            assert first in ("Assets", "0/3")
            assert names == ["gpt2-weights", "train.csv", "width"]
    finally:
        tmux("kill-server")


@contextmanager
def running(columns: int, script: str, *words: str) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    """A program whose controlling terminal is a pseudo-terminal, as in a shell's window."""
    made = Terminal(columns)

    def become_foreground() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-c", script, *words],
        stdin=made.slave,
        stdout=made.slave,
        stderr=made.slave,
        preexec_fn=become_foreground,
    )
    try:
        yield made, process
    finally:
        process.kill()
        process.wait()
        os.close(made.slave)
        os.close(made.master)


def test_control_c_leaves_the_total_a_visible_cursor_and_a_free_line() -> None:
    with running(80, SLOW_RUN) as (seen, process):
        seen.until(lambda lines: len(lines) == 5)
        os.write(seen.master, b"\x03")
        process.wait(20)
        lines = seen.lines
        assert re.fullmatch(r"Assets  0/3 files  [\d.]+/1\.8\+ GB", lines[1])
        assert lines[2] == "Traceback (most recent call last):"
        assert lines[-1] == "KeyboardInterrupt"
        assert (seen.screen.cursor.x, seen.screen.cursor.hidden) == (0, False)


def test_a_kill_leaves_the_cursor_visible_on_a_free_line() -> None:
    with running(80, SLOW_RUN) as (seen, process):
        seen.until(lambda lines: len(lines) == 5)
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        assert len(seen.lines) == 5
        assert (seen.screen.cursor.x, seen.screen.cursor.y, seen.screen.cursor.hidden) == (0, 5, False)


def test_what_is_typed_meanwhile_does_not_shift_the_block() -> None:
    with running(80, SLOW_RUN) as (seen, _):
        seen.until(lambda lines: len(lines) == 5)
        os.write(seen.master, b"xyz")
        seen.until(lambda lines: b"xyz" in seen.written)
        frames = seen.written.count(b"Assets")
        lines = seen.until(lambda lines: seen.written.count(b"Assets") > frames + 2)
        assert [line.split()[0] for line in lines] == ["↻", "Assets", "gpt2-weights", "train.csv", "width"]


def test_a_run_in_the_background_writes_lines_but_draws_no_block() -> None:
    script = """
import os, signal, sys, time
from conda_assets.events import Finished, Progressed, Started
from conda_assets.model import State
from conda_assets.terminal import drawing
child = os.fork()
if child:
    os.waitpid(child, 0)
    sys.exit()
os.setpgid(0, 0)
with drawing("tty", sys.stderr, environ={"TERM": "xterm"}) as watch:
    watch(Started("slow", 9, 0, ""))
    time.sleep(0.8)
    watch(Finished("fast", State.FETCHED, 812, 812, 0.0, ""))
    time.sleep(0.6)
"""
    with running(80, script) as (seen, process):
        process.wait(20)
        assert seen.lines == ["✓ fast  812 B"]


def test_a_run_without_bytes_to_move_imports_no_rich() -> None:
    script = """
import sys, time
from conda_assets.events import Finished, Noted, Progressed, Started
from conda_assets.model import State
from conda_assets.terminal import drawing
with drawing("tty", sys.stderr, environ={"TERM": "xterm"}) as watch:
    watch(Noted("hello"))
    watch(Finished("old", State.LINKED, 812, 0, 0.0, ""))
    time.sleep(0.6)
    if len(sys.argv) > 1:
        watch(Started("a", 10, 0, ""))
        watch(Progressed("a", 1, 10, 1.0, 1, 1))
        time.sleep(0.9)
print(sorted({name.partition(".")[0] for name in sys.modules} & {"rich"}))
"""
    with running(80, script) as (seen, process):
        process.wait(20)
        assert seen.lines == ["Note: hello", "✓ old  812 B from the store", "[]"]
    with running(80, script, "move") as (seen, process):
        process.wait(20)
        assert seen.lines == ["Note: hello", "✓ old  812 B from the store", "['rich']"]


def test_a_warning_from_elsewhere_goes_above_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    with terminal() as (seen, stream):
        monkeypatch.setattr(sys, "stderr", stream)
        with live(stream, clock) as watch:
            play(watch, clock)
            seen.until(lambda lines: len(lines) == 4)
            kept = sys.stderr
            print("InsecureRequestWarning:", file=sys.stderr)
            print("  without a line end", end="", file=sys.stderr)
            lines = seen.until(lambda lines: len(lines) == 5)
            assert lines[1] == "InsecureRequestWarning:"
            assert lines[2].startswith("Assets")
        assert sys.stderr is stream
        print("a log handler that kept the stream", file=kept, flush=True)
        assert seen.lines[1:] == ["InsecureRequestWarning:", "  without a line end", "a log handler that kept the stream"]


@pytest.mark.slow
def test_a_halted_terminal_does_not_halt_the_run() -> None:
    """Ctrl-S: nobody reads the terminal any more, and writing to it blocks."""
    clock = Clock()
    with terminal() as (seen, stream):
        with live(stream, clock) as watch:
            play(watch, clock)
            seen.until(lambda lines: len(lines) == 4)
            termios.tcflow(seen.slave, termios.TCOOFF)
            seen.read()
            shown = len(seen.written)
            deadline, slowest, done = time.monotonic() + 3, 0.0, 20 * MB
            while time.monotonic() < deadline:
                since, done = time.monotonic(), done + 1000
                watch(progressed("train.csv", done, 40 * MB))
                slowest = max(slowest, time.monotonic() - since)
                time.sleep(0.01)
            seen.read()
            assert len(seen.written) == shown
            termios.tcflow(seen.slave, termios.TCOON)
        assert slowest < 1


def test_a_terminal_that_goes_away_does_not_end_the_run() -> None:
    clock = Clock()
    made = Terminal()
    stream = os.fdopen(made.slave, "w", encoding="utf-8")
    with live(stream, clock) as watch:
        play(watch, clock)
        made.until(lambda lines: len(lines) == 4)
        os.close(made.master)
        watch(Noted("nobody reads this"))
    # The terminal is really gone: what is left in the stream cannot be written.
    with pytest.raises(OSError, match="Input/output"):
        stream.close()


@pytest.mark.slow
def test_a_thousand_events_a_second_cost_a_tenth_of_a_core_at_most() -> None:
    with terminal() as (seen, stream), Live(stream, colour=True, verbosity=0, environ=XTERM) as watch:
        for index in range(200):
            watch(started(f"shard-{index}", 1000 * MB))
        seen.until(lambda lines: "and 192 more" in lines)
        spent, since = time.process_time(), time.monotonic()
        for second in range(2):
            for index in range(1000):
                watch(progressed(f"shard-{index % 200}", (second * 1000 + index) * 1000, 1000 * MB))
            while time.monotonic() - since < second + 1:
                time.sleep(0.05)
        assert time.process_time() - spent < 0.1 * 2


def test_escape_sequences_of_a_spec_or_a_server_do_not_reach_the_terminal() -> None:
    clock = Clock()
    evil = f"evil{ESC}]0;owned\x07{ESC}[2J\u202etxt\x9b31m\nnext"
    with terminal() as (seen, stream):
        with live(stream, clock) as watch:
            watch(Started(evil, 10 * MB, 0, evil))
            watch(Waiting(evil, evil))
            seen.until(lambda lines: len(lines) >= 2)
            watch(Noted(evil))
            watch(Retrying(evil, evil, 3.0, 1))
            watch(Failed(evil, evil, (evil,), optional=False))
            watch(Finished(evil, State.FETCHED, 1, 1, 1.0, evil))
        seen.read()
    said = seen.written.decode()
    for control in (f"{ESC}]", "\x07", f"{ESC}[2J", "\u202e", "\x9b"):
        assert control not in said
    assert "evil]0;owned[2Jtxt31m next" in said


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp932"])
def test_signs_that_the_encoding_lacks_are_replaced_and_columns_stay(encoding: str) -> None:
    clock = Clock()
    made = Terminal()
    with os.fdopen(os.dup(made.slave), "w", encoding=encoding) as stream, live(stream, clock) as watch:
        watch(started("größe", 40 * MB))
        watch(started("plain", 40 * MB))
        deadline = time.monotonic() + 20
        while b"Assets" not in made.written:
            made.read()
            assert time.monotonic() < deadline
        watch(fetched("größe", 40 * MB))
    made.read()
    os.close(made.slave)
    os.close(made.master)
    rows = [line for line in made.written.decode(encoding).splitlines() if line.startswith("plain")]
    assert rows
    if encoding == "ascii":
        assert rows[0].startswith("plain  ..............................     0.0/40.0 MB")


# Logs and pipes.


def test_a_log_has_a_line_at_the_start_and_the_end_of_a_file_and_a_total_every_ten_seconds() -> None:
    stream, clock = io.StringIO(), Clock()
    with Plain(stream, verbosity=0, clock=clock) as watch:
        watch(planned(asset("a", 40 * MB, SHA), asset("b", None), linked=Stored(Path("/s"), "0" * 64, 4100 * MB, 0)))
        watch(Finished("old", State.LINKED, 4100 * MB, 0, 0.1, "/env/old"))
        watch(started("a", 40 * MB, 20 * MB))
        watch(started("b", None))
        for second in range(1, 25):
            clock.now += 1
            watch(progressed("a", 20 * MB + second * 500_000, 40 * MB))
        watch(Retrying("b", "503 Service Unavailable", 0.5, 1))
        watch(Waiting("c", "lab3 pid 4711"))
        watch(fetched("a", 40 * MB, came=20 * MB, seconds=24))
        watch(Failed("b", "b: the server answers 404", ("check `url:` of `b`",), optional=True))
        watch(Noted("two\nlines", "warning"))
    assert stream.getvalue().splitlines() == [
        "Assets: 2 files to fetch (40.0 MB and 1 of unknown size), 1 from the store (4.1 GB)",
        "old: linked 4.1 GB from the store",
        "a: resuming at 20.0 MB of 40.0 MB from https://x.org/a",
        "b: fetching an unknown size from https://x.org/b",
        "Assets: 1/3 files, 25.0/40.0+ MB, 500 kB/s",
        "Assets: 1/3 files, 30.0/40.0+ MB, 500 kB/s",
        "b: 503 Service Unavailable, trying again",
        "c: waiting for lab3 pid 4711, which brings the same file",
        "a: fetched 40.0 MB, resumed: 20.0 MB in 24 s (833 kB/s), sha256 verified",
        "b: failed (optional): the server answers 404",
        "  Hint: check `url:` of `b`",
        "Warning: two lines",
    ]


def test_a_log_says_that_it_lives_also_while_nothing_happens() -> None:
    stream, clock = io.StringIO(), Clock()
    with Plain(stream, verbosity=0, clock=clock) as watch:
        watch(started("a", 40 * MB))
        clock.now += TOTAL_EVERY_S
        deadline = time.monotonic() + 20
        while "Assets" not in stream.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert stream.getvalue().splitlines()[1:] == ["Assets: 0/1 files, 0.0/40.0 MB, no bytes are arriving"]


def test_a_log_tells_that_an_archive_is_unpacked_and_how_far() -> None:
    stream, clock = io.StringIO(), Clock()
    with Plain(stream, verbosity=0, clock=clock) as watch:
        watch(planned(asset("corpus", 40 * MB)))
        for second in range(12):
            clock.now += 1
            watch(Unpacking("corpus", second * MB, 40 * MB))
        watch(Finished("corpus", State.FETCHED, 40 * MB, 40 * MB, 24.0, "/env/corpus", 20.0))
        watch(Finished("old", State.LINKED, 40 * MB, 0, 2.5, "/env/old", 2.5))
    assert stream.getvalue().splitlines() == [
        "Assets: 1 file to fetch (40.0 MB)",
        "corpus: unpacking 40.0 MB",
        "Assets: 0/1 files, 0.0/40.0 MB, unpacking corpus 25 %",
        "corpus: fetched 40.0 MB in 4.0 s (10.0 MB/s), unpacked in 20 s",
        "old: linked 40.0 MB from the store, unpacked in 2.5 s",
    ]


def test_json_is_one_ascii_object_a_line_with_schema_and_type() -> None:
    stream = io.StringIO()
    events: list[Event] = [
        planned(asset("größe", 5)),
        started("größe", 5),
        progressed("größe", 3, 5, per_s=1.23456),
        Waiting("größe", "lab3"),
        Retrying("größe", "503", 2.0, 1),
        fetched("größe", 5),
        Failed("größe", f"{ESC}[31m", ("hint",), optional=False),
        Noted("text"),
        Unpacking("größe", 3, 5),
    ]
    with drawing("json", stream, environ={}) as watch:
        for event in events:
            watch(event)
    assert stream.getvalue().isascii()
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [row["schema"] for row in rows] == [1] * 9
    assert [row["type"] for row in rows] == [
        "planned", "started", "progressed", "waiting", "retrying", "finished", "failed", "noted", "unpacking",
    ]  # fmt: skip
    assert rows[0]["assets"] == [
        {"name": "größe", "action": "fetch", "because": "not here yet", "size_bytes": 5, "source": "https://x.org/größe"}
    ]
    assert rows[2] == {
        "schema": 1, "type": "progressed", "asset": "größe", "done_bytes": 3, "size_bytes": 5, "bytes_per_s": 1.235,
        "connections": 16, "verified_bytes": 3,
    }  # fmt: skip
    assert rows[5]["state"] == "fetched"
    assert rows[6]["hints"] == ["hint"]
    assert rows[8] == {"schema": 1, "type": "unpacking", "asset": "größe", "done_bytes": 3, "size_bytes": 5}


@pytest.mark.parametrize(
    ("mode", "quiet", "expected"),
    [
        ("none", False, "b: failed: no\n  Hint: look\n"),
        ("none", True, ""),
        ("plain", True, ""),
        ("json", True, ""),
        ("tty", True, ""),
    ],
)
def test_none_tells_failures_alone_and_quiet_nothing(mode: str, quiet: bool, expected: str) -> None:
    stream = io.StringIO()
    with drawing(mode, stream, quiet=quiet, environ=XTERM) as watch:
        watch(started("a", 5))
        watch(Noted("a warning", "warning"))
        watch(fetched("a", 5))
        watch(Failed("b", "b: no", ("look",), optional=False))
    assert stream.getvalue() == expected


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("mode", "stream", "environ", "is_log"),
    [
        ("auto", Tty(), XTERM, False),
        ("auto", Tty(), {}, False),
        ("auto", Tty(), {"CI": "false"}, False),
        ("auto", Tty(), {"CI": "true"}, True),
        ("auto", Tty(), {"SLURM_JOB_ID": "7"}, True),
        ("auto", Tty(), {"TERM": "dumb"}, True),
        ("tty", Tty(), {"TERM": "dumb"}, True),
        ("auto", io.StringIO(), XTERM, True),
        ("plain", Tty(), XTERM, True),
        ("tty", io.StringIO(), {"CI": "1"}, False),
    ],
)
def test_auto_draws_bars_where_somebody_watches(mode: str, stream: io.StringIO, environ: dict[str, str], is_log: bool) -> None:
    with drawing(mode, stream, environ=environ) as watch:
        watch(started("a", 5))
        assert (stream.getvalue() == "a: fetching 5 B from https://x.org/a\n") is is_log
        watch(fetched("a", 5))


def test_an_unknown_mode_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="fancy"), drawing("fancy", io.StringIO(), environ={}):
        pass


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("mode", ["plain", "json", "none", "tty"])
def test_a_reader_that_goes_away_does_not_end_the_run(mode: str) -> None:
    with drawing(mode, Broken(), environ=XTERM) as watch:
        watch(started("a", 5))
        watch(Failed("a", "a: no", (), optional=False))
        watch(Noted("on it goes"))


@pytest.mark.parametrize(
    ("stream", "environ", "expected"),
    [
        (Tty(), XTERM, True),
        (Tty(), {"TERM": "dumb"}, False),
        (Tty(), {"NO_COLOR": "1"}, False),
        (Tty(), {"NO_COLOR": ""}, True),
        (io.StringIO(), XTERM, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (Tty(), {"FORCE_COLOR": "0"}, False),
        (Tty(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour_follows_the_terminal_no_color_and_force_color(
    stream: io.StringIO, environ: dict[str, str], expected: bool
) -> None:
    assert wants_colour(stream, environ) is expected


def test_no_color_keeps_colours_out_of_bars_and_lines() -> None:
    for environ, has_colour in ((XTERM, True), (XTERM | {"NO_COLOR": "1"}, False)):
        with terminal() as (seen, stream):
            with drawing("tty", stream, environ=environ) as watch:
                watch(Noted("first", "warning"))
                watch(started("a", 10 * MB))
                watch(progressed("a", 5 * MB, 10 * MB))
                seen.until(lambda lines: len(lines) == 3)
                watch(fetched("a", 10 * MB))
            seen.read()
        # SGR sequences end in `m`; moving the cursor and erasing do not.
        assert (f"{ESC}[33m" in seen.written.decode()) is has_colour
        assert (f"{ESC}[32m" in seen.written.decode()) is has_colour


def test_the_width_is_that_of_the_terminal_and_endless_elsewhere() -> None:
    with terminal(57) as (_, stream):
        assert width_of(stream, {}) == 57
    with terminal(0, 0) as (_, stream):
        assert width_of(stream, {}) == 80
    assert width_of(io.StringIO(), {"COLUMNS": "40"}) is None
