"""What the hooks say, in the words of each shell: pure text, straight-line code, one block a variable.

A block takes back what an earlier activation set, then sets what is not set:

    if the marker is not empty:   unset the variable if it still has the marker's value; unset the marker
    if the variable is empty:     set the variable and the marker

A deactivation is the first half alone, so it needs neither the values nor `$CONDA_PREFIX`. The code works under `set -eu`,
defines no function, and writes each path as a literal that its shell neither expands nor splits.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

from conda_assets.records import dataclass
from conda_assets.regexes import regex

__all__ = ["MARKER", "SHELLS", "Place", "Shell"]

#: Before a variable's name: the variable that holds the value a hook gave it.
MARKER = "_CONDA_ASSETS_SET_"

_FIRST_LINE = "Written by conda-assets, and written again by each sync: edits are lost"
_CONTROL = regex(r"[\x00-\x1f\x7f]")
_ODD = regex(r"(?![A-Za-z0-9/._-])[\x00-\x7f]")
_UNPAIRED = regex(r"[\ud800-\udfff]")  # bytes of a file name that are not UTF-8, as os.fsdecode has them


@dataclass(frozen=True, slots=True)
class Place:
    """A path as a hook says it: `parts` below `$CONDA_PREFIX` (none for the prefix itself), or `absolute`."""

    parts: tuple[str, ...] = ()
    absolute: str | None = None

    @classmethod
    def of(cls, path: Path, prefix: Path) -> Place:
        """Relative where the path is the prefix or below it, by its words: links are not followed."""
        plain, base = Path(os.path.normpath(path)), Path(os.path.normpath(prefix))
        if plain.is_relative_to(base):
            return cls(parts=plain.relative_to(base).parts)
        return cls(absolute=str(plain))

    def text(self, separator: str) -> str:
        """The literal part: the absolute path, or what follows `$CONDA_PREFIX`, with its leading separator."""
        return self.absolute if self.absolute is not None else "".join(separator + part for part in self.parts)


class Shell(ABC):
    """One language of hooks."""

    suffix: ClassVar[str]
    comment: ClassVar[str] = "#"

    def activation(self, places: Mapping[str, Place]) -> bytes:
        """The script that sets the variables."""
        blocks = []
        for name, place in places.items():
            blocks.append(self.take_back(name))
            given = self.give(name, place)
            blocks.append(given if given is not None else f"{self.comment} {name}: its path cannot be written in this language")
        return self.finished(self.guarded("\n".join(blocks)))

    def deactivation(self, names: Iterable[str]) -> bytes:
        """The script that unsets what was set."""
        return self.finished("\n".join(self.take_back(name) for name in names))

    def finished(self, body: str) -> bytes:
        """The file's bytes: our first line, the code, a last newline."""
        return os.fsencode(self.text(body))

    def text(self, body: str) -> str:
        """The file before it is encoded."""
        return f"{self.comment} {_FIRST_LINE}\n{body}\n"

    @abstractmethod
    def guarded(self, code: str) -> str:
        """The code, run only where `$CONDA_PREFIX` is not empty."""

    @abstractmethod
    def take_back(self, name: str) -> str:
        """Unset what a hook set."""

    @abstractmethod
    def give(self, name: str, place: Place) -> str | None:
        """Set the variable and its marker where the variable is empty; None where the language has no way to write the path."""


class Posix(Shell):
    """bash, zsh, dash, ksh and other Bourne shells; xonsh reads it with bash."""

    suffix = ".sh"

    def guarded(self, code: str) -> str:
        return f'if [ -n "${{CONDA_PREFIX-}}" ]; then\n{code}\nfi'

    def take_back(self, name: str) -> str:
        return (
            f'if [ -n "${{{MARKER}{name}-}}" ]; then\n'
            f'  if [ "${{{name}-}}" = "${{{MARKER}{name}}}" ]; then unset {name}; fi\n'
            f"  unset {MARKER}{name}\n"
            f"fi"
        )

    def give(self, name: str, place: Place) -> str:
        literal = "'" + place.text("/").replace("'", "'\\''") + "'"
        value = literal if place.absolute is not None else '"${CONDA_PREFIX}"' + literal
        return f'if [ -z "${{{name}-}}" ]; then\n  export {name}={value}\n  export {MARKER}{name}="${{{name}}}"\nfi'


class Fish(Shell):
    """fish; `-g` because a universal variable of the same name is the user's."""

    suffix = ".fish"

    def guarded(self, code: str) -> str:
        return f'if test -n "$CONDA_PREFIX"\n{code}\nend'

    def take_back(self, name: str) -> str:
        return (
            f'if test -n "${MARKER}{name}"\n'
            f'  if test "${name}" = "${MARKER}{name}"\n'
            f"    set -eg {name}\n"
            f"  end\n"
            f"  set -eg {MARKER}{name}\n"
            f"end"
        )

    def give(self, name: str, place: Place) -> str:
        literal = "'" + place.text("/").replace("\\", "\\\\").replace("'", "\\'") + "'"
        value = literal if place.absolute is not None else '"$CONDA_PREFIX"' + literal
        return f'if test -z "${name}"\n  set -gx {name} {value}\n  set -gx {MARKER}{name} "${name}"\nend'


class Csh(Shell):
    """csh and tcsh: an unset variable must not even be mentioned in a condition, hence the nesting."""

    suffix = ".csh"

    def guarded(self, code: str) -> str:
        return f'if ( $?CONDA_PREFIX ) then\nif ( "${{CONDA_PREFIX:q}}" != "" ) then\n{code}\nendif\nendif'

    def take_back(self, name: str) -> str:
        return (
            f"if ( $?{MARKER}{name} ) then\n"
            f"  if ( $?{name} ) then\n"
            f'    if ( "${{{name}:q}}" == "${{{MARKER}{name}:q}}" ) unsetenv {name}\n'
            f"  endif\n"
            f"  unsetenv {MARKER}{name}\n"
            f"endif"
        )

    def give(self, name: str, place: Place) -> str:
        value = _csh_literal(place.text("/"))
        if place.absolute is None:
            value = '"${CONDA_PREFIX:q}"' + value
        return (
            f'if ( ! $?{name} ) setenv {name} ""\n'
            f'if ( "${{{name}:q}}" == "" ) then\n'
            f"  setenv {name} {value}\n"
            f'  setenv {MARKER}{name} "${{{name}:q}}"\n'
            f"endif"
        )


def _csh_literal(text: str) -> str:
    # Outside quotes a backslash makes any sign plain, whatever `histchars` and `backslash_quote` are set to; inside them it
    # depends. A newline alone must stand in quotes.
    return "".join("'\\\n'" if sign == "\n" else f"\\{sign}" if _ODD.match(sign) else sign for sign in text)


class PowerShell(Shell):
    """Windows PowerShell 5.1 and PowerShell 7."""

    suffix = ".ps1"

    def finished(self, body: str) -> bytes:
        text = self.text(body)
        # 5.1 reads a file without the mark in the machine's old code page.
        return text.encode("utf-8" if text.isascii() else "utf-8-sig")

    def guarded(self, code: str) -> str:
        return f"if (${{Env:CONDA_PREFIX}}) {{\n{code}\n}}"

    def take_back(self, name: str) -> str:
        # $null removes a variable of the environment; a cmdlet would load a module first.
        return (
            f"if (${{Env:{MARKER}{name}}}) {{\n"
            f"  if (${{Env:{name}}} -ceq ${{Env:{MARKER}{name}}}) {{ ${{Env:{name}}} = $null }}\n"
            f"  ${{Env:{MARKER}{name}}} = $null\n"
            f"}}"
        )

    def give(self, name: str, place: Place) -> str | None:
        text = place.text(os.sep)
        if _UNPAIRED.search(text):
            return None
        # PowerShell takes the typographic marks for the plain one; each is doubled to stand for itself.
        literal = "'" + re.sub("['\u2018\u2019\u201a\u201b]", r"\g<0>\g<0>", text) + "'"
        value = literal if place.absolute is not None else "${Env:CONDA_PREFIX} + " + literal
        return f"if (-not ${{Env:{name}}}) {{\n  ${{Env:{name}}} = {value}\n  ${{Env:{MARKER}{name}}} = ${{Env:{name}}}\n}}"


class Cmd(Shell):
    """cmd.exe, with delayed expansion off (as usual) or on (`cmd /V:ON`), where `!` means something."""

    suffix = ".bat"
    comment = "@REM"

    def finished(self, body: str) -> bytes:
        # Since conda 26.1 an activation fails where a hook's last command did.
        text = self.text(f"{body}\n@EXIT /B 0").replace("\n", "\r\n")
        try:
            return text.encode("oem")  # what a console reads, unless its user chose another code page
        except (LookupError, UnicodeEncodeError):
            return text.encode("utf-8")

    def guarded(self, code: str) -> str:
        return f"@IF NOT DEFINED CONDA_PREFIX @EXIT /B 0\n{code}"

    def take_back(self, name: str) -> str:
        # Values are compared as !X!: whatever is in them, quotes too, it is no longer read as code.
        return (
            f"@SETLOCAL EnableExtensions EnableDelayedExpansion\n"
            f'@IF NOT "!{name}!"=="!{MARKER}{name}!" @ENDLOCAL & @GOTO :conda_assets_kept_{name}\n'
            f"@ENDLOCAL\n"
            f'@IF DEFINED {name} @SET "{name}="\n'
            f":conda_assets_kept_{name}\n"
            f'@IF DEFINED {MARKER}{name} @SET "{MARKER}{name}="'
        )

    def give(self, name: str, place: Place) -> str | None:
        text = place.text("\\")
        # Not to be had in a Windows path; one of them would end the literal.
        if _UNPAIRED.search(text) or _CONTROL.search(text) or '"' in text:
            return None
        plain = text.replace("%", "%%")
        delayed = plain
        if place.absolute is None or "!" in text:
            delayed = plain.replace("^", "^^").replace("!", "^!")
        if place.absolute is None:
            plain, delayed = "%CONDA_PREFIX%" + plain, "!CONDA_PREFIX!" + delayed
        # One literal a line, at its end: read in the wrong code page, a last sign may swallow the closing mark.
        lines = [f"@IF DEFINED {name} @GOTO :conda_assets_done_{name}"]
        for variable in (MARKER + name, name):
            lines.append(f'@IF NOT "!!"=="" @SET "{variable}={plain}"')
            lines.append(f'@IF "!!"=="" @SET "{variable}={delayed}"')
        return "\n".join([*lines, f":conda_assets_done_{name}"])


#: All of them are written on every platform: a prefix may be seen from several, and a script nobody reads costs nothing.
SHELLS: tuple[Shell, ...] = (Posix(), Fish(), Csh(), PowerShell(), Cmd())
