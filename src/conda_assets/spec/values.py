"""What the text of a value means: names, sizes, digests, variables. No file, no node, no environment.

Each reader takes the text and gives the value, or raises `Wrong` with a sentence for users. The patterns are those of the
JSON Schema as well (ECMA 262 and Python read them alike), so that the two cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from conda_assets.digest import ALGORITHMS, Digest
from conda_assets.regexes import regex

__all__ = [
    "Size",
    "Wrong",
    "nearest",
    "one_line",
    "read_glob",
    "read_group",
    "read_hash",
    "read_name",
    "read_platform",
    "read_sha256",
    "read_size",
    "read_variable",
    "shown",
]


class Wrong(Exception):
    """The value cannot be meant. `message`: what is wrong; `hint`: what to write instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def shown(text: str) -> str:
    """The text for a message: in backticks, on one line, at most 60 signs."""
    return f"`{one_line(text)}`" if text else "an empty text"


def one_line(text: str) -> str:
    """At most 60 signs of the text, nothing in them that a terminal would obey."""
    line = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text[:61])
    return f"{line[:60]}…" if len(line) > 60 else line


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or an empty string."""
    import difflib  # 1 ms: only when something is wrong

    by_fold = {each.lower(): each for each in known}
    close = difflib.get_close_matches(word.lower()[:60], by_fold, n=1, cutoff=0.6)
    return by_fold[close[0]] if close else ""


NAME = "[A-Za-z0-9][A-Za-z0-9._-]*"
_NAME = regex(NAME)
_NAME_HINT = "letters, digits, `.`, `_` and `-`, the first one a letter or digit"


def read_name(text: str) -> str:
    """An asset's name."""
    if not _NAME.fullmatch(text):
        raise Wrong(f"{shown(text)} is not a name", _NAME_HINT)
    return text


def read_group(text: str) -> str:
    """A group's name."""
    if not _NAME.fullmatch(text):
        raise Wrong(f"{shown(text)} is not a group's name", _NAME_HINT)
    return text


VARIABLE = "[A-Za-z_][A-Za-z0-9_]*"
_VARIABLE = regex(VARIABLE)
# Compared in upper case: Windows knows no other, and `path` is PATH in csh and zsh.
_TAKEN_PREFIXES = ("CONDA", "_CONDA", "_CE_", "MAMBA_", "_MAMBA", "PIXI_", "LD_", "DYLD_", "LC_", "GIT_", "BASH", "FISH_", "ZSH_")
_TAKEN_NAMES = (
    "ALLUSERSPROFILE APPDATA ARGV CDPATH CLASSPATH COMSPEC EDITOR ENV EUID FPATH GID HISTFILE HISTORY HOME HOMEDRIVE HOMEPATH "
    "HOSTNAME IFS JAVA_TOOL_OPTIONS LANG LANGUAGE LINENO LOCALAPPDATA LOGNAME MAILPATH MANPATH NODE_OPTIONS OLDPWD OPTARG "
    "OPTIND PAGER PATH PATHEXT PERL5LIB PERL5OPT PIPESTATUS PPID PROGRAMDATA PROGRAMFILES PROMPT PROMPT_COMMAND PS1 PS2 PS3 PS4 "
    "PSMODULEPATH PWD PYTHONEXECUTABLE PYTHONHOME PYTHONINSPECT PYTHONNOUSERSITE PYTHONPATH PYTHONPLATLIBDIR "
    "PYTHONPYCACHEPREFIX PYTHONSTARTUP PYTHONUSERBASE RANDOM RUBYLIB RUBYOPT SECONDS SHELL SHELLOPTS SHLVL STATUS "
    "SYSTEMDRIVE SYSTEMROOT TEMP TERM TERMINFO TMP TMPDIR UID USER USERNAME USERPROFILE VERSION VISUAL WINDIR "
    "XDG_RUNTIME_DIR ZDOTDIR _"
)
_TAKEN = frozenset(_TAKEN_NAMES.split())


def read_variable(text: str) -> str:
    """The name of an environment variable that an activation script may set."""
    if not _VARIABLE.fullmatch(text):
        said = text.strip("${}")
        hint = f"write {shown(said)}" if said != text and _VARIABLE.fullmatch(said) else "letters, digits and `_`, no digit first"
        raise Wrong(f"{shown(text)} is not the name of a variable", hint)
    folded = text.upper()
    if folded in _TAKEN or folded.startswith(_TAKEN_PREFIXES):
        raise Wrong(
            f"{shown(text)} belongs to the system, the shell or conda: setting it would break them", "choose another name"
        )
    return text


# conda's list, and what conda-forge has added since. Source: KNOWN_SUBDIRS in conda/base/constants.py (24.7.1).
_SUBDIRS = (
    "linux-64 linux-aarch64 osx-arm64 osx-64 win-64 win-arm64 linux-ppc64le linux-s390x linux-riscv64 linux-armv7l linux-armv6l "
    "linux-ppc64 linux-riscv32 linux-32 win-32 freebsd-64 emscripten-wasm32 wasi-wasm32 zos-z"
)
PLATFORMS = tuple(_SUBDIRS.split())
_PLATFORMS = frozenset(PLATFORMS)
_ELSEWHERE = {
    "amd64": "linux-64",
    "arm64": "linux-aarch64",
    "darwin": "osx-64",
    "linux": "linux-64",
    "linux-amd64": "linux-64",
    "linux-arm64": "linux-aarch64",
    "linux-x86_64": "linux-64",
    "mac": "osx-arm64",
    "macos": "osx-arm64",
    "macos-arm64": "osx-arm64",
    "osx": "osx-64",
    "osx-aarch64": "osx-arm64",
    "win": "win-64",
    "win-amd64": "win-64",
    "windows": "win-64",
}


def read_platform(text: str) -> str:
    """A conda subdir."""
    if text in _PLATFORMS:
        return text
    if text == "noarch":
        raise Wrong("`noarch` is not a platform", "leave `platforms` out: then the asset is wanted everywhere")
    meant = _ELSEWHERE.get(text.lower()) or nearest(text, PLATFORMS)
    raise Wrong(
        f"unknown platform {shown(text)}", f"did you mean `{meant}`?" if meant else "for example `linux-64` or `osx-arm64`"
    )


#: Signs that no file system, terminal or log should meet in a name: controls, zero-width and direction marks.
UNSEEN = "\\u0000-\\u001f\\u007f-\\u009f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff"

GLOB = f"(?!/)(?!(?:.*/)?\\.\\.(?:/|$))(?![A-Za-z]:)[^\\\\{UNSEEN}]+"
_GLOB = regex(GLOB)


def read_glob(text: str) -> str:
    """A pattern for the members of an archive: relative, with `/`."""
    if not _GLOB.fullmatch(text):
        raise Wrong(
            f"{shown(text)} is not a pattern for the members of an archive", "relative, with `/`, without `..`: `*.jsonl`"
        )
    return text


SHA256 = "[0-9a-fA-F]{64}"
_SHA256 = regex(SHA256)
_BY_LENGTH = {32: "md5", 40: "sha1", 128: "sha512"}


def read_sha256(text: str) -> Digest:
    """64 hex digits, of either case."""
    if _SHA256.fullmatch(text):
        return Digest("sha256", text.lower())
    hint = ""
    if ":" in text:
        hint = "leave the algorithm out here, or write `hash:` instead"
    elif text != text.strip():
        hint = "take the white space out"
    elif len(text) in _BY_LENGTH and not set(text.lower()) - set("0123456789abcdef"):
        algorithm = _BY_LENGTH[len(text)]
        hint = f"as long as {algorithm}: then write `hash: {algorithm}:{text[:8]}…`"
    raise _wrong_digits("sha256", text, hint)


HASH = "(?:" + "|".join(
    "{}:[0-9a-fA-F]{{{}}}".format("".join(f"[{s}{s.upper()}]" if s.isalpha() else s for s in algorithm), digits)
    for algorithm, digits in ALGORITHMS.items()
) + ")"  # fmt: skip
_HASH = regex(HASH)


def read_hash(text: str) -> Digest:
    """`algorithm:hex`."""
    algorithm, colon, digits = text.partition(":")
    algorithm = algorithm.lower()
    if _HASH.fullmatch(text):
        return Digest(algorithm, digits.lower())
    if not colon:
        named = {**_BY_LENGTH, 64: "sha256"}.get(len(text))
        raise Wrong("no algorithm before the digits", f"write `hash: {named or 'sha256'}:{text[:8] if named else ''}…`")
    if algorithm not in ALGORITHMS:
        meant = nearest(algorithm.replace("-", "").strip(), ALGORITHMS)
        known = ", ".join(ALGORITHMS)
        raise Wrong(f"unknown algorithm {shown(algorithm)}", f"did you mean `{meant}`?" if meant else f"one of {known}")
    raise _wrong_digits(algorithm, digits, "take the white space out" if digits != digits.strip() else "")


def _wrong_digits(algorithm: str, digits: str, hint: str) -> Wrong:
    strange = sorted(set(digits.strip()) - set("0123456789abcdefABCDEF:"))
    if strange:
        return Wrong(f"expected hex digits, got {shown(strange[0])}", hint)
    return Wrong(f"expected {ALGORITHMS[algorithm]} hex digits for {algorithm}, got {len(digits)}", hint)


class Size(NamedTuple):
    """A size as the file gives it, in bytes; the true one is nearer than `slack_bytes` + 1."""

    size_bytes: int
    slack_bytes: int


SIZE = "[0-9]{1,15}(?:\\.[0-9]{1,9})? ?(?:[kKmMgGtTpP]?[bB]?|[kKmMgGtTpP][iI][bB]?|[bB][yY][tT][eE][sS]?)"
_SIZE = regex(SIZE)
_POWERS = "_kmgtp"
_SIZE_HINT = 'bytes, such as 4937123456, or a figure with a unit, such as "4.9 GB" or "523 MiB"'
#: The largest offset that a file can have anywhere.
MAX_BYTES = (1 << 63) - 1


def read_size(text: str) -> Size:
    """`523 MiB` (powers of 1024), `4.9 GB` (powers of 1000), `1234` or `1234 bytes`; a unit leaves one last digit as slack."""
    if not _SIZE.fullmatch(text):
        raise Wrong(f"cannot read {shown(text)} as a size", _SIZE_HINT)
    figure = text.lower().rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = text[len(figure) :].strip().lower()
    power = _POWERS.index(unit[0]) if unit and unit[0] != "b" else 0
    scale = (1024 if "i" in unit else 1000) ** power
    whole, _, decimals = figure.partition(".")
    divisor = 10 ** len(decimals)
    exact = int(whole + decimals) * scale  # in parts of a byte, `divisor` of them
    if exact % divisor and not power:
        raise Wrong(f"{shown(text)} is not a whole number of bytes", _SIZE_HINT)
    size_bytes = (2 * exact + divisor) // (2 * divisor)  # a half is rounded up
    if size_bytes > MAX_BYTES:
        raise Wrong(f"{shown(text)} is more than any file can have", _SIZE_HINT)
    return Size(size_bytes, max(0, scale // divisor - 1) if power else 0)
