"""What `setup` did to a file, kept so that it can be taken back after the user has edited other lines.

    {"schema": 1, "file": "/home/ann/.condarc", "created": false,
     "steps": [{"about": "channels", "lines": ["5f2c9a1b…", …], "open_end": null,
                "hunks": [{"at": 1, "after": ["  - conda-forge\n"], "before": []}]}]}

A step is one change. `lines` are digests of the lines that it left behind: they find the place again in the file of today,
without a second copy of what may hold a token. A hunk says that the lines `after`, from line `at` (counted from 0) of these,
stand for the lines `before`. `open_end` is the digest of a last line that had no line break, and got one.
Steps are undone last to first, each wholly or not at all.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from difflib import SequenceMatcher
from typing import Any

from conda_assets.records import dataclass
from conda_assets.regexes import regex

__all__ = ["FORMAT", "Record", "Step", "read_record", "record_text", "step_between", "undo_step"]

FORMAT = 1
_LINE = regex(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines with their line breaks; `after` stands where `before` stood."""

    at: int
    after: tuple[str, ...]
    before: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a file. `about`: the key it concerns."""

    about: str
    lines: tuple[str, ...]
    open_end: str | None
    hunks: tuple[Hunk, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """All that `setup` did to one file, first to last. `created`: there was no file before."""

    file: str
    created: bool
    steps: tuple[Step, ...]


def step_between(before: str, after: str, about: str) -> Step:
    """What turned one text into the other."""
    old, new = _split(before), _split(after)
    # Compared without line breaks: a last line that only got one is not part of the change.
    codes = SequenceMatcher(None, _bare(old), _bare(new), autojunk=False).get_opcodes()
    hunks = tuple(Hunk(j1, tuple(new[j1:j2]), tuple(old[i1:i2])) for tag, i1, i2, j1, j2 in codes if tag != "equal")
    open_end = _digest(old[-1]) if old and not _is_complete(old[-1]) else None
    return Step(about, tuple(map(_digest, new)), open_end, hunks)


def undo_step(text: str, step: Step) -> str | None:
    """The text without that step; None where its lines are no longer as the step left them."""
    lines = _split(text)
    blocks = SequenceMatcher(None, step.lines, [_digest(line) for line in lines], autojunk=False).get_matching_blocks()
    here = {block.a + i: block.b + i for block in blocks for i in range(block.size)}
    for hunk in reversed(step.hunks):
        place = _place(hunk, here)
        if place is None:
            return None
        lines[place : place + len(hunk.after)] = hunk.before
    newline = next((line[len(line.rstrip("\r\n")) :] for line in lines if _is_complete(line)), "\n")
    whole = [line if _is_complete(line) else line + newline for line in lines[:-1]] + lines[-1:]
    if whole and step.open_end == _digest(whole[-1]):
        whole[-1] = whole[-1].rstrip("\r\n")
    return "".join(whole)


def record_text(record: Record) -> str:
    """The record as it is stored."""
    return json.dumps({"schema": FORMAT, **asdict(record)}, ensure_ascii=False, indent=1) + "\n"


def read_record(text: str) -> Record:
    """The record of a stored text.

    Raises:
        ValueError: not a record, or of a newer version.
    """
    content = json.loads(text)
    try:
        if content["schema"] != FORMAT:
            raise ValueError(f"it has version {content['schema']}, this conda-assets reads {FORMAT}")
        steps = tuple(map(_step, content["steps"]))
        return Record(str(content["file"]), bool(content["created"]), steps)
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is not a record of setup: {error!r}") from error


def _step(row: dict[str, Any]) -> Step:
    hunks = tuple(Hunk(int(each["at"]), tuple(each["after"]), tuple(each["before"])) for each in row["hunks"])
    return Step(str(row["about"]), tuple(row["lines"]), row["open_end"], hunks)


def _place(hunk: Hunk, here: dict[int, int]) -> int | None:
    found = [here.get(hunk.at + i) for i in range(len(hunk.after))]
    if found:
        first = found[0]
        return first if first is not None and found == list(range(first, first + len(found))) else None
    # Lines are to come back between two others: behind the one, or else before the other.
    above, below = here.get(hunk.at - 1), here.get(hunk.at)
    return above + 1 if above is not None else below


def _split(text: str) -> list[str]:
    return _LINE.findall(text)


def _bare(lines: list[str]) -> list[str]:
    return [line.rstrip("\r\n") for line in lines]


def _is_complete(line: str) -> bool:
    return line.endswith(("\n", "\r"))


def _digest(line: str) -> str:
    return hashlib.sha256(line.rstrip("\r\n").encode("utf-8", "surrogatepass")).hexdigest()[:16]
