"""Run as a program of its own: reads a 7z or rar archive with libarchive and writes its members to standard output.

A process of its own, because libarchive is C and is fed bytes from strangers: should it crash or eat all memory, this process
ends, and the parent says so. It knows no path and gets no file but the open archive, as standard input.

Arguments: bytes of memory that it may use. Output, in frames: a kind (1 byte), a length (4 bytes, big-endian), the data:

    E   a member: JSON {"name", "sort", "size", "mtime", "executable", "leads"}
    D   bytes of the member before
    X   the end, with what went wrong: JSON {"why": "missing" | "damaged", "said": "…"}
    Z   the end, all right
"""

from __future__ import annotations

import json
import stat
import struct
import sys
from typing import Any, BinaryIO

__all__ = ["main"]

_BLOCK_BYTES = 1 << 20
_OPEN_BYTES = 128 << 10


def main() -> int:
    """Read standard input, write frames; the exit status says nothing that they do not."""
    out = sys.stdout.buffer
    try:
        from libarchive import ffi  # optional, and the C library behind it too
    except (ImportError, OSError, TypeError, AttributeError) as error:
        _end(out, "missing", str(error))
        return 0
    _limit(int(sys.argv[1]))
    archive = ffi.read_new()
    try:
        for name in ("7zip", "rar", "rar5"):
            try:
                ffi.get_read_format_function(name)(archive)
            except ValueError:
                continue  # an old libarchive
        ffi.read_open_fd(archive, 0, _OPEN_BYTES)
        _copy(ffi, archive, out)
    except ffi.ArchiveError as error:
        _end(out, "damaged", str(error.msg or error))
    except MemoryError:
        _end(out, "damaged", "it wants more memory than there is for it")
    else:
        _frame(out, b"Z", b"")
        out.flush()
    return 0


def _copy(ffi: Any, archive: Any, out: BinaryIO) -> None:
    import ctypes

    from libarchive.entry import ArchiveEntry

    buffer = ctypes.create_string_buffer(_BLOCK_BYTES)
    while True:
        entry = ArchiveEntry(archive)
        status = ffi.read_next_header2(archive, entry._entry_p)
        if status == ffi.ARCHIVE_EOF:
            return
        _check(ffi, archive, status)
        facts = _facts(entry)
        _frame(out, b"E", json.dumps(facts).encode())
        while facts["sort"] == "FILE":
            # Not the package's own loop: that takes the warning for a wrong checksum for a length.
            count = ffi.read_data(archive, buffer, _BLOCK_BYTES)
            if count == 0:
                break
            _check(ffi, archive, count)
            _frame(out, b"D", memoryview(buffer)[:count])


def _check(ffi: Any, archive: Any, status: int) -> None:
    """A warning of libarchive is a wrong checksum or a name that it could not read: not good enough."""
    if status < 0:
        raise ffi.archive_error(archive, status)


def _facts(entry: Any) -> dict[str, object]:
    kinds = (
        (stat.S_ISLNK, "SYMLINK"), (stat.S_ISDIR, "FOLDER"), (stat.S_ISFIFO, "FIFO"),
        (stat.S_ISSOCK, "SOCKET"), (stat.S_ISBLK, "DEVICE"), (stat.S_ISCHR, "DEVICE"),
    )  # fmt: skip
    mode = entry.filetype
    sort = next((name for test, name in kinds if test(mode)), "FILE")
    if entry.islnk:
        sort = "HARDLINK"
    return {
        "name": _text(entry.pathname),
        "sort": sort,
        "size": entry.size,
        "mtime": entry.mtime or 0,
        "executable": bool(entry.perm & 0o111),
        "leads": _text(entry.linkpath) if sort in ("SYMLINK", "HARDLINK") else "",
    }


def _text(name: str | bytes | None) -> str:
    return name.decode("latin-1") if isinstance(name, bytes) else name or ""


def _frame(out: BinaryIO, kind: bytes, data: bytes | memoryview) -> None:
    out.write(kind + struct.pack(">L", len(data)))
    out.write(data)


def _end(out: BinaryIO, why: str, said: str) -> None:
    _frame(out, b"X", json.dumps({"why": why, "said": said}).encode())
    out.flush()


def _limit(memory_bytes: int) -> None:
    """No file may be written, no core be dumped, and memory is bounded, where the system has such limits."""
    try:
        import resource
    except ImportError:
        return
    for name, value in (("RLIMIT_AS", memory_bytes), ("RLIMIT_CORE", 0), ("RLIMIT_FSIZE", 0)):
        kind = getattr(resource, name, None)
        if kind is not None:
            resource.setrlimit(kind, (value, value))


if __name__ == "__main__":
    sys.exit(main())
