"""The setup of the user: two keys of `~/.condarc`, and the notes that bring back what was there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from conda_assets.errors import UsageError
from conda_assets.setup.change import Change, Where, outranked, read_file
from conda_assets.setup.edit import put_channel_first, set_strict
from conda_assets.setup.read import CHANNEL, CHANNELS, PRIORITY, Unsafe, channels_of, is_channel, parse, without
from conda_assets.setup.undo import Record, Step, read_record, record_text, step_between, undo_step

__all__ = ["plan_user", "undo_user"]


def plan_user(where: Where) -> Change:
    """What is to be edited in the user's file, and noted.

    Raises:
        UsageError: it cannot be edited safely.
        DiskRefused: it cannot be read.
    """
    file = where.user_file
    present = read_file(file)
    before = _decoded(file, present)
    try:
        channels = put_channel_first(before)
        after = set_strict(channels)
        content = parse(before)
    except Unsafe as error:
        raise _by_hand(file, error) from error
    said, steps = [], []
    if channels != before:
        steps.append(step_between(before, channels, CHANNELS[0]))
        none = "" if channels_of(content) else " (it lists none, and conda's own defaults count only while no file lists any)"
        said.append(f"{file}: put `{CHANNEL}` first in `channels`{none}")
    if after != channels:
        steps.append(step_between(channels, after, PRIORITY))
        said.append(f"{file}: set `{PRIORITY}: strict`, was {content.get(PRIORITY) or 'not set'}")
    if not steps:
        return Change(file, present, present, (f"{file} does it already", *outranked(where)))
    record = _record_path(where, file)
    notes = _noted(file, present, _read_record(record), tuple(steps))
    return Change(file, present, after.encode(), (*said, *outranked(where)), record=record, notes=notes)


def undo_user(where: Where) -> Change:
    """What of the earlier setups is to be taken back: each change whose lines are as it left them.

    Raises:
        UsageError: the file or the notes cannot be understood.
        DiskRefused: one of them cannot be read.
    """
    file = where.user_file
    path = _record_path(where, file)
    record, present = _read_record(path), read_file(file)
    if record is None:
        return Change(file, present, present, (f"there is nothing to undo in {file}",), undo=True)
    if present is None:
        return Change(file, None, None, (f"{file} is gone, and with it what was set up",), undo=True, record=path)
    text, said = _decoded(file, present), []
    try:
        for step in reversed(record.steps):
            undone = undo_step(text, step)
            if undone is None or not _is_only(step.about, text, undone):
                said.append(f"{file}: `{step.about}` was edited since and stays as it is")
            else:
                said.append(f"{file}: put `{step.about}` back as it was")
                text = undone
    except Unsafe as error:
        where_in = f"{file}:{error.line}" if error.line else str(file)
        raise UsageError(f"{where_in}: {error.why}", f"mend {file}, then run it again") from error
    if record.created and not text:
        return Change(file, present, None, (*said, f"remove {file}"), undo=True, record=path)
    return Change(file, present, text.encode(), tuple(said), undo=True, record=path)


def _noted(file: Path, present: bytes | None, known: Record | None, steps: tuple[Step, ...]) -> bytes:
    # Of a file that is gone the earlier notes say nothing any more.
    if known is None or present is None:
        known = Record(str(file), created=present is None, steps=())
    return record_text(Record(known.file, known.created, (*known.steps, *steps))).encode()


def _is_only(about: str, text: str, undone: str) -> bool:
    """Whether the step's key is all that differs, and of the channels conda-forge alone."""
    names = CHANNELS if about in CHANNELS else (about,)
    before = parse(text)
    try:
        after = parse(undone)
    except Unsafe:
        return False
    kept = [[each for each in channels_of(content) if not is_channel(each)] for content in (before, after)]
    return without(before, *names) == without(after, *names) and kept[0] == kept[1]


def _by_hand(file: Path, error: Unsafe) -> UsageError:
    place = f"{file}:{error.line}" if error.line else str(file)
    lines = f"channels:\n  - {CHANNEL}\n  # … then the channels you have\n{PRIORITY}: strict"
    return UsageError(f"{place}: {error.why}", f"edit {file} by hand, so that it says\n{lines}")


def _record_path(where: Where, file: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(file)).hexdigest()[:12]
    return where.home / ".conda" / f"conda-assets-undo-{digest}.json"


def _read_record(path: Path) -> Record | None:
    content = read_file(path)
    if content is None:
        return None
    try:
        return read_record(content.decode("utf-8"))
    except ValueError as error:
        raise UsageError(f"{path}: {error}", f"delete {path}; what it noted can then not be undone") from error


def _decoded(file: Path, content: bytes | None) -> str:
    try:
        return (content or b"").decode("utf-8")
    except UnicodeDecodeError as error:
        line = (content or b"")[: error.start].count(b"\n") + 1
        raise _by_hand(file, Unsafe(line, "it is not UTF-8")) from error
