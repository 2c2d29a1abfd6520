"""Change a spec file on the disk: read, edit as text, read the outcome as a spec, and only then write.

The file is replaced by a new one beside it, never written into: a kill leaves the old one. A link to it stays a link.
Encoding (UTF-8, UTF-16), byte-order mark and line ends stay as they are.
"""

from __future__ import annotations

import codecs
import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from conda_assets.errors import Fault, FileMissing, SpecInvalid, UnknownAsset, UsageError
from conda_assets.records import dataclass
from conda_assets.spec import Anything, load_texts, names_of
from conda_assets.spec.edit import drop, put
from conda_assets.spec.entry import Fields, block_lines, flow_text
from conda_assets.spec.events import Unreadable
from conda_assets.spec.lines import Uneditable
from conda_assets.spec.source import DEFAULT_NAMES, local_path, read_source
from conda_assets.spec.values import nearest

__all__ = ["Change", "add_entries", "check_entry", "remove_entries", "save"]

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_FLAGS = {"groups": "--group", "mirrors": "--mirror", "platforms": "--platform", "url": "the URL"}


@dataclass(frozen=True, slots=True)
class Change:
    """A file before and after, as text without its mark. `old` is None for a file that is yet to be made."""

    source: str
    path: Path
    old: str | None
    new: str
    mark: bytes = b""
    encoding: str = "utf-8"
    warnings: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether there is anything to write."""
        return self.old != self.new


def check_entry(fields: Fields) -> None:
    """Refuse an entry that could not stand in any file.

    Raises:
        UsageError: all that is wrong with it, by the flags that were typed.
    """
    try:
        load_texts([("", "assets:\n" + _lines(fields))], environ=Anything({}), base=Path())
    except SpecInvalid as error:
        said = [f"{_flag(fault.field)}: {fault.message}" for fault in error.faults]
        hints = [fault.hint for fault in error.faults if fault.hint]
        raise UsageError("; ".join(said), "; ".join(dict.fromkeys(hints)) or "`--help` shows how each is written") from error


def add_entries(source: str, new: Sequence[Fields], cwd: Path) -> Change:
    """The file with these entries behind its others; a file of a default name is made where it is missing.

    Raises:
        UsageError: the file cannot be edited, with what to type instead.
        SpecInvalid: the faults of the file, or those that it would have.
    """

    def edit(text: str) -> str:
        return put(text, new)

    change = _changed(source, cwd, edit, tuple(new))
    if change.old:
        _check(source, change.old, cwd)
    return Change(
        change.source, change.path, change.old, change.new, change.mark, change.encoding, _check(source, change.new, cwd)
    )


def remove_entries(source: str, names: Sequence[str], cwd: Path) -> Change:
    """The file without the entries of these names.

    Raises:
        UnknownAsset: none of that name.
        UsageError: an entry cannot be taken out, with what to do instead.
        SpecInvalid: the text is not YAML.
    """

    def edit(text: str) -> str:
        for name in dict.fromkeys(names):
            text = drop(text, _index(source, text, name))
        return text

    return _changed(source, cwd, edit, ())


def save(change: Change) -> None:
    """Write it.

    Raises:
        UsageError: the folder cannot be written, or somebody else has changed the file meanwhile.
    """
    path = Path(os.path.realpath(change.path))
    data = change.mark + change.new.encode(change.encoding)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        if change.old is not None and path.read_bytes() != change.mark + change.old.encode(change.encoding):
            raise UsageError(f"{change.source} was changed meanwhile", "run the same command again")
        with fresh.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if change.old is not None:
            fresh.chmod(path.stat().st_mode & 0o7777)
        fresh.replace(path)
    except OSError as error:
        raise UsageError(
            f"{change.source} cannot be written: {error.strerror}", f"`ls -ld {path.parent}` shows who may"
        ) from error
    finally:
        with suppress(OSError):
            fresh.unlink()


def _changed(source: str, cwd: Path, edit: Callable[[str], str], new: Sequence[Fields]) -> Change:
    path = local_path(source, cwd)
    if path is None:
        raise UsageError("a file on the web cannot be edited", "download it, then name it with `-f FILE`")
    old, mark, encoding = _read(source, path, cwd, may_be_missing=bool(new))
    try:
        return Change(source, path, old, edit(old or ""), mark, encoding)
    except Uneditable as error:
        where = f"{source}:{error.line}" if error.line else source
        hint = "edit it by hand"
        if new:
            hint = f"put it there by hand: {', '.join(f'`- {flow_text(fields)}`' for fields in new)}"
        raise UsageError(f"{where}: {error.message}", hint) from error
    except Unreadable as error:
        raise SpecInvalid((Fault(source, error.line, error.column, "", error.message, error.hint),)) from error


def _read(source: str, path: Path, cwd: Path, *, may_be_missing: bool) -> tuple[str | None, bytes, str]:
    """Text, mark and encoding."""
    try:
        read_source(source, cwd, lambda _: "")  # says what is wrong with a file that is no text
        data = path.read_bytes()
    except FileMissing:
        if may_be_missing and path.name in DEFAULT_NAMES and path.parent.is_dir():
            return None, b"", "utf-8"
        raise
    mark, encoding = next(((mark, encoding) for mark, encoding in _MARKS if data.startswith(mark)), (b"", "utf-8"))
    return data[len(mark) :].decode(encoding), mark, encoding


def _check(source: str, text: str, cwd: Path) -> tuple[str, ...]:
    return load_texts([(source, text)], environ=Anything({}), base=cwd).warnings


def _index(source: str, text: str, name: str) -> int:
    names = names_of(source, text)
    found = [index for index, each in enumerate(names) if each == name]
    if not found:
        meant = nearest(name, (each for each in names if each))
        hint = f"did you mean `{meant}`?" if meant else f"it has {', '.join(each for each in names if each) or 'none'}"
        raise UnknownAsset(f"{source} has no asset {name!r}", hint)
    if len(found) > 1:
        raise UsageError(f"{source} has {len(found)} assets named {name!r}", "take one of them out by hand")
    return found[0]


def _lines(fields: Fields) -> str:
    first, *rest = block_lines(fields)
    return "\n".join([f"- {first}", *(f"  {line}" for line in rest), ""])


def _flag(field: str) -> str:
    name = field.partition("].")[2].partition("[")[0]
    return _FLAGS.get(name or "url", f"--{name}")
