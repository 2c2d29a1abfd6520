"""A change of one file: a value to print, to refuse or to apply."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from conda_assets.errors import DiskRefused, UsageError
from conda_assets.records import dataclass, field

__all__ = ["Change", "Where", "apply_change", "outranked", "read_file"]


@dataclass(frozen=True, slots=True)
class Where:
    """Whose settings: those of the environment `prefix`, or the user's where it is None. `root`: conda's base, if known."""

    prefix: Path | None
    home: Path
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    root: Path | None = None

    @property
    def user_file(self) -> Path:
        """The file of the user that conda ranks highest. `conda config` writes `~/.condarc`, and reads `$CONDARC` above it."""
        named = self.environ.get("CONDARC", "")
        if named.startswith(("~/", "~\\")):
            return self.home / named[2:]
        return Path(named).absolute() if named else self.home / ".condarc"


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done to a file, decided and not yet done. Bytes are whole files, None for no file; they may hold tokens.

    `said`: what it does and why not more, in sentences that are true before and after. `record`: where the undo notes stand,
    `notes`: what they will say, None when they end.
    """

    file: Path
    before: bytes | None = field(repr=False)
    after: bytes | None = field(repr=False)
    said: tuple[str, ...]
    undo: bool = False
    record: Path | None = None
    notes: bytes | None = field(default=None, repr=False)

    @property
    def is_needed(self) -> bool:
        """Whether the file will differ."""
        return self.before != self.after

    def to_json(self) -> dict[str, object]:
        """The change as it stands in `--json`."""
        return {"file": str(self.file), "changed": self.is_needed, "undo": self.undo, "said": list(self.said)}


def apply_change(change: Change) -> None:
    """Do what was planned, atomically; a link is kept and its target written, with its mode and owner.

    Raises:
        UsageError: the file is no longer as it was when the change was planned.
        DiskRefused: it cannot be written.
    """
    if read_file(change.file) != change.before:
        raise UsageError(f"{change.file} was changed meanwhile", "run the same command again")
    # Notes first: an edit without them cannot be undone, while notes of an edit that never came match no line.
    if change.record is not None and change.notes is not None:
        _write(change.record, change.notes, mode=0o600)
    if change.is_needed and change.after is not None:
        _write(change.file, change.after, mode=0o666)
    elif change.is_needed:
        _delete(change.file)
    if change.record is not None and change.notes is None:
        _delete(change.record)


def read_file(path: Path) -> bytes | None:
    """The file's bytes; None where there is none.

    Raises:
        DiskRefused: it is there and cannot be read.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DiskRefused("setup", f"{path} cannot be read: {error.strerror}") from error


def outranked(where: Where) -> Iterator[str]:
    """Sentences about what conda ranks above any file."""
    for name in ("CONDA_CHANNELS", "CONDA_CHANNEL", "CONDA_CHANNEL_PRIORITY"):
        if where.environ.get(name):
            yield f"${name} is set in this shell and ranks above every file"


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Replace the file, or the one that a link leads to. `mode`: of a new file, before the umask."""
    target = Path(os.path.realpath(path))
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    with _disk(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            old = target.stat() if target.exists() else None
            # Private at first: a token must not be readable for the moment before the mode is copied.
            opening = mode if old is None else 0o600
            with open(fresh, "xb", opener=lambda name, flags: os.open(name, flags, opening)) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if old is not None:
                _copy_owner(fresh, old)
                fresh.chmod(old.st_mode & 0o7777)
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)


def _copy_owner(path: Path, like: os.stat_result) -> None:
    # With sudo the file stays its owner's; where the owner may not be set it is ours, as with every editor.
    if hasattr(os, "chown") and (like.st_uid, like.st_gid) != (path.stat().st_uid, path.stat().st_gid):
        with contextlib.suppress(PermissionError):
            os.chown(path, like.st_uid, like.st_gid)


def _delete(path: Path) -> None:
    target = Path(os.path.realpath(path))
    with _disk(target):
        target.unlink(missing_ok=True)
        # Folders that are conda's, and may be there for our file alone.
        if target.parent.name in ("condarc.d", ".conda"):
            with contextlib.suppress(OSError):
                target.parent.rmdir()


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskRefused("setup", f"{path} cannot be written: {error.strerror}") from error
