"""Other tools' lists become entries: read, named apart, each one checked; what cannot be an entry is left out and named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from conda_assets.api.editing import check_entry
from conda_assets.errors import Fault, FileMissing, SpecInvalid, UsageError
from conda_assets.records import dataclass
from conda_assets.spec import Anything, load_texts
from conda_assets.spec.entry import Fields, block_lines
from conda_assets.spec.importers import read_list, unique
from conda_assets.spec.importers.found import last_of
from conda_assets.spec.source import read_source, shown_source

__all__ = ["Gathered", "gather", "section_text"]


@dataclass(frozen=True, slots=True)
class Gathered:
    """`left_out`: how many entries cannot stand in a file; the notes say which and why."""

    entries: tuple[Fields, ...]
    notes: tuple[Fault, ...]
    left_out: int = 0
    known: int = 0


def gather(
    sources: Sequence[str],
    *,
    cwd: Path,
    read_url: Callable[[str], str],
    into: str | None = None,
    kind: str = "",
    base_url: str = "",
    groups: Sequence[str] = (),
) -> Gathered:
    """The entries of all lists, fit to stand behind those of `into`, a spec file that need not exist.

    Raises:
        FileMissing, UsageError: a list cannot be read, or is none that is known.
        SpecInvalid: a list is damaged, or `into` is.
    """
    names, urls = _known(into, cwd) if into else ((), set())
    found: list[Fields] = []
    notes: list[Fault] = []
    left_out = known = 0
    for source in sources:
        listed = read_list(shown_source(source), read_source(source, cwd, read_url), kind=kind, base_url=base_url)
        notes += listed.notes
        for fields in listed.entries:
            if (why := _refusal(fields)) is not None:
                left_out += 1
                message, hint = why
                notes.append(Fault(shown_source(source), 0, 0, _who(fields), f"it is left out: {message}", hint))
            elif (url := _expanded(fields)) in urls:
                known += 1
            else:
                urls.add(url)
                found.append({**fields, "groups": [*groups]} if groups else fields)
    return Gathered(tuple(unique(found, names)), tuple(notes), left_out, known)


def section_text(entries: Sequence[Fields]) -> str:
    """The entries as an `assets:` section of its own."""
    lines = ["assets:"] if entries else ["assets: []"]
    for fields in entries:
        first, *rest = block_lines(fields)
        lines += [f"  - {first}", *(f"    {line}" for line in rest)]
    return "\n".join([*lines, ""])


def _known(source: str, cwd: Path) -> tuple[tuple[str, ...], set[str]]:
    """Names and URLs of a spec file's entries."""
    try:
        text = read_source(source, cwd, lambda _: "")
    except FileMissing:
        return (), set()
    assets = load_texts([(source, text)], environ=Anything({}), base=cwd).assets
    return tuple(asset.name for asset in assets), {asset.url for asset in assets}


def _refusal(fields: Fields) -> tuple[str, str] | None:
    try:
        check_entry(fields)
    except UsageError as error:
        return error.said.replace("--", ""), error.hint
    return None


def _expanded(fields: Fields) -> str:
    try:
        (asset,) = load_texts([("", section_text([fields]))], environ=Anything({}), base=Path()).assets
    except SpecInvalid:  # pragma: no cover - checked before
        return ""
    return asset.url


def _who(fields: Fields) -> str:
    return str(fields.get("name") or last_of(str(fields["url"])) or "an entry")
