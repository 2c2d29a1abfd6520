"""Patterns in URLs: which of a publisher's files they name, where those go, and which names are refused.

data/             everything below the folder, relative to it
data/*.parquet    a glob, as `globs` has them; what it names is relative to `data`
"""

from __future__ import annotations

from collections.abc import Iterable

from conda_assets.errors import UnsafePath
from conda_assets.globs import compile_glob

__all__ = ["fixed_folder", "is_glob", "is_safe", "matching", "names_several", "nearest", "some_of"]

_SIGNS = frozenset("*?[")


def is_glob(path: str) -> bool:
    """The path has a sign that stands for others."""
    return not _SIGNS.isdisjoint(path)


def names_several(path: str) -> bool:
    """A folder (with `/` at its end), or a glob."""
    return path.endswith("/") or is_glob(path)


def fixed_folder(pattern: str) -> str:
    """The folder that a pattern surely lies in, what its files are relative to: empty, or with `/` at its end."""
    head = pattern[: min((at for sign in _SIGNS if (at := pattern.find(sign)) >= 0), default=len(pattern))]
    return head[: head.rfind("/") + 1]


def is_safe(path: str) -> bool:
    """The path is relative and POSIX, stays below its folder, and is one name a part on every system."""
    parts = path.split("/")
    return all(part not in ("", ".", "..") and part.isprintable() and "\\" not in part for part in parts) and ":" not in parts[0]


def matching(asset: str, where: str, pattern: str, paths: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """(path relative to the pattern's fixed folder, path) of each that the pattern names, sorted by the first.

    Raises:
        UnsafePath: one of them would leave the asset's folder; `where` is the publisher, for people.
    """
    folder = fixed_folder(pattern)
    rest = pattern[len(folder) :]
    fits = compile_glob(rest)
    found = ((path[len(folder) :], path) for path in paths if path.startswith(folder))
    chosen = sorted((relative, path) for relative, path in found if not rest or fits.fullmatch(relative))
    for relative, _ in chosen:
        if not is_safe(relative):
            shown = relative.encode("unicode_escape").decode()
            raise UnsafePath(asset, f"{where} lists {shown}, which is no name for a file below the asset's folder")
    return tuple(chosen)


def some_of(names: Iterable[str]) -> str:
    """`a, b, c and 5 more`, for messages; empty where there are none."""
    known = list(names)
    return ", ".join(known[:3]) + (f" and {len(known) - 3} more" if len(known) > 3 else "")


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """The names that are most like it, best first, at most three; those of the same last part first."""
    import difflib  # 1 ms: only when a name is wrong

    known = list(dict.fromkeys(names))
    last = name.rsplit("/", 1)[-1].lower()
    same = [each for each in known if each.rsplit("/", 1)[-1].lower() == last]
    alike = difflib.get_close_matches(name, known[:5000], n=3, cutoff=0.7)
    return list(dict.fromkeys([*same, *alike]))[:3]
