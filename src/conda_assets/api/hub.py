"""The `hf://` assets of an environment, laid out as Hugging Face's libraries keep their own cache: found offline, without a copy.

    <prefix>/share/conda-assets/huggingface/        HF_HOME
        hub/models--org--name/
            refs/main                               the commit
            snapshots/<commit>/model.safetensors    a link to the asset

Made from the receipt each time it is asked for: links that are right stay, others come and go. Files of one repository that were
placed at different commits stand in different snapshots; `refs/main` leads to one only where there is no doubt.

Source: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from conda_assets.api.places import place_of
from conda_assets.errors import AssetsError, DiskRefused
from conda_assets.model import Placed, Target
from conda_assets.receipt import read_receipt
from conda_assets.records import dataclass
from conda_assets.regexes import regex
from conda_assets.sources.hub import Place, read_place

__all__ = ["Home", "lay_out"]

_COMMIT = regex("[0-9a-f]{40}")
_MAIN = "main"
#: The paths that we made, below `HF_HOME`.
_OURS = ".conda-assets.json"


@dataclass(frozen=True, slots=True)
class Home:
    """`gone`: assets that are not where they were placed, and so are not shown."""

    home: Path
    repositories: tuple[str, ...]
    notes: tuple[str, ...]
    gone: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    place: Place
    path: Path
    sha256: str
    commit: str


def lay_out(target: Target) -> Home:
    """Make the folder what the receipt says; it is empty where there are no such assets.

    Raises:
        DiskRefused: it cannot be made.
    """
    home = target.prefix / "share" / "conda-assets" / "huggingface"
    files: dict[str, list[_File]] = {}
    gone: list[str] = []
    for placed in read_receipt(target.prefix).values():
        file = _file(target, placed)
        if file is None:
            continue
        if file.path.exists():
            files.setdefault(f"{file.place.kind}--{file.place.repo.replace('/', '--')}", []).append(file)
        else:
            gone.append(placed.name)
    notes = [f"{name} is gone; `conda assets sync` brings it back" for name in gone]
    wanted: dict[Path, Path | str] = {}
    for folder, group in sorted(files.items()):
        wanted |= _repository(home / "hub" / folder, group, notes)
    try:
        _make(home, wanted)
    except OSError as error:
        raise DiskRefused("huggingface", f"{home} cannot be made: {error.strerror or error}") from error
    return Home(home, tuple(sorted({file.place.page for group in files.values() for file in group})), tuple(notes), tuple(gone))


def _file(target: Target, placed: Placed) -> _File | None:
    """What of the receipt's line is to be shown; None for what is not from the Hub, or is no longer the file that it was."""
    if not placed.source.startswith("hf:") or placed.unpack is not None:
        return None
    try:
        place = read_place(placed.name, placed.source)
    except AssetsError:  # a receipt of a version that knew more forms
        return None
    if place.is_pattern or place.kind not in ("models", "datasets", "spaces"):
        return None
    known = place.revision if _COMMIT.fullmatch(place.revision) else placed.revision or ""
    return _File(placed.name, place, place_of(target, placed), placed.sha256, known if _COMMIT.fullmatch(known) else "")


def _repository(folder: Path, files: list[_File], notes: list[str]) -> dict[Path, Path | str]:
    """path → what a link there leads to, or what a file there says."""
    wanted: dict[Path, Path | str] = {}
    commits: dict[str, str] = {}
    for revision in dict.fromkeys(file.place.revision for file in files):
        group = [file for file in files if file.place.revision == revision]
        found = {file.commit for file in group}
        # Files of one branch that came on different days may be of two commits.
        commits[revision] = group[0].commit if len(found) == 1 and "" not in found else _stand_in(group)
        if commits[revision] != revision:
            wanted[folder / "refs" / revision] = commits[revision]
        if commits[revision] not in found:
            names = ", ".join(file.name for file in group)
            notes.append(
                f"{names}: the commit of `{revision}` is not one that is known, another stands for it; `@COMMIT` pins it"
            )
        wanted |= {folder / "snapshots" / commits[revision] / file.place.path: file.path for file in group}
    if _MAIN not in commits:
        if len(commits) == 1:
            wanted[folder / "refs" / _MAIN] = next(iter(commits.values()))
        else:
            known = ", ".join(sorted(commits))
            notes.append(
                f"{files[0].place.page} is here at {len(commits)} revisions: say `revision=` when loading, one of {known}"
            )
    return wanted


def _stand_in(files: Iterable[_File]) -> str:
    """A name of the form of a commit for files whose commit is not known: the same for the same bytes."""
    said = "".join(sorted(f"{file.place.path}\0{file.sha256}\n" for file in files))
    return hashlib.sha256(said.encode()).hexdigest()[:40]


def _make(home: Path, wanted: Mapping[Path, Path | str]) -> None:
    (home / "hub").mkdir(parents=True, exist_ok=True)
    for path, value in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(value, str):
            if not path.is_file() or path.read_text(encoding="ascii", errors="replace") != value:
                fresh = _fresh(path)
                fresh.write_text(value, encoding="ascii")
                fresh.replace(path)
        elif not _leads_to(path, value):
            fresh = _fresh(path)
            _link(value, fresh)
            fresh.replace(path)
    _clear(home, wanted)


def _leads_to(path: Path, value: Path) -> bool:
    try:
        same = path.samefile(value)
        return same and (not path.is_symlink() or os.readlink(path) == _relative(value, path.parent))  # noqa: PTH115 - as written
    except OSError:
        return False


def _relative(value: Path, folder: Path) -> str:
    """Relative, so that a renamed or cloned environment keeps its links."""
    try:
        return os.path.relpath(value, folder)
    except ValueError:  # another drive
        return str(value)


def _link(value: Path, path: Path) -> None:
    try:
        path.symlink_to(_relative(value, path.parent))
    except OSError:  # Windows without the right to make them; the bytes are shared all the same
        os.link(value, path)


def _fresh(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _clear(home: Path, wanted: Iterable[Path]) -> None:
    """Take away what we made and no asset asks for any more; what Hugging Face's own tools put there stays."""
    ours = home / _OURS
    made = sorted(path.relative_to(home).as_posix() for path in wanted)
    try:
        before = json.loads(ours.read_bytes())
    except (OSError, ValueError):
        before = []
    for name in before if isinstance(before, list) else ():
        path = home / str(name)
        if name not in made and ".." not in path.parts:
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder in (home, home / "hub"):
                    break
                with suppress(OSError):  # something is in it
                    folder.rmdir()
    fresh = _fresh(ours)
    fresh.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    fresh.replace(ours)
