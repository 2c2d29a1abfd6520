"""What readers of archives say when they cannot go on; `extract` turns it into an error that names the asset."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["NoArchive", "Refused", "reading", "shown"]

_SHOWN = 80
# What the standard library raises on bytes that are not what they claim to be, as found by fuzzing it.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    EOFError, OSError, ValueError, OverflowError, NotImplementedError, RuntimeError, KeyError, IndexError,
)  # fmt: skip


class Refused(Exception):
    """The archive cannot be unpacked. `cause`: a clause that follows the asset's name; `fix`: what to do about it."""

    def __init__(self, cause: str, fix: str = "") -> None:
        super().__init__(cause)
        self.cause, self.fix = cause, fix


class NoArchive(Exception):
    """It is none. `cause` as in `Refused`."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Everything that a library says about damaged bytes becomes `Refused`; `what`: "the zip archive".

    For reading only: an error of the disk that is written to must not be taken for damage.
    """
    try:
        yield
    except _DAMAGE as error:
        said = str(error) or type(error).__name__
        raise Refused(f"{what} is damaged: {said}", "if its hash is right, the publisher's file is broken") from error


def shown(name: str) -> str:
    """A member's name for a message: in backticks, on one line, without signs that would steer a terminal."""
    line = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in name[: _SHOWN + 1])
    return f"`{line[:_SHOWN]}…`" if len(line) > _SHOWN else f"`{line}`"
