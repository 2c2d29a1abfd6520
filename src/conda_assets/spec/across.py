"""What can only be wrong between assets: one name, one path or one variable for two; a path inside another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from conda_assets.errors import Fault
from conda_assets.model import Asset, Root
from conda_assets.records import fields, replace
from conda_assets.spec.draft import Draft, Spot
from conda_assets.spec.paths import fold
from conda_assets.spec.values import shown

__all__ = ["merge"]


def merge(files: Sequence[Sequence[Draft]], project_files: Iterable[str] = ()) -> tuple[list[Draft], list[Fault]]:
    """The drafts of all files in order, and the faults between them. Linear in the number of assets.

    An entry that says the same in two files counts once; twice in one file it is a fault, as any name twice is.
    `project_files`: paths below the project's folder that no asset may take.
    """
    names: dict[str, Draft] = {}
    kept: list[Draft] = []
    faults: list[Fault] = []
    for drafts in files:
        here: dict[str, Draft] = {}
        for draft in drafts:
            if draft.name is None:
                kept.append(draft)
                continue
            twin = here.get(draft.name)
            first = twin or names.get(draft.name)
            here.setdefault(draft.name, draft)
            if first and not twin and not _differing(first, draft):
                continue
            kept.append(draft)
            if first:
                faults.append(_twice(first, draft))
        names = {**here, **names}
    faults += _clashes(kept, frozenset(map(fold, project_files)))
    return kept, faults


def _bare(asset: Asset) -> Asset:
    return replace(asset, file="", line=0)


def _differing(first: Draft, second: Draft) -> list[str]:
    """The attributes in which two entries differ."""
    if first.asset and second.asset:
        one, other = _bare(first.asset), _bare(second.asset)
        return [each.name for each in fields(Asset) if getattr(one, each.name) != getattr(other, each.name)]
    keys = dict.fromkeys((*first.values, *second.values))
    return [key for key in keys if first.values.get(key) != second.values.get(key)]


def _who(draft: Draft) -> str:
    return f"`{draft.name}`" if draft.name else "an asset"


def _place(draft: Draft, at: Spot, reader: Draft) -> str:
    """Where something stands, as somebody reads it who looks at `reader`."""
    return f"line {at.line}" if draft.file == reader.file else f"{draft.file}:{at.line}"


_FIELD_OF = {"digest": "sha256", "size_bytes": "size"}


def _twice(first: Draft, second: Draft) -> Fault:
    message = f"the name `{second.name}` is taken in {_place(first, first.name_at, second)}"
    hint = "give one of them another `name:`"
    if first.file != second.file:
        differ = [_FIELD_OF.get(name, name) for name in _differing(first, second) if name != "size_slack_bytes"]
        message += f", with another {', '.join(f'`{name}`' for name in differ)}" if differ else ""
        hint = "make the two entries equal, or give one of them another `name:`"
    return _fault(second, second.name_at, "name", message, hint)


def _fault(draft: Draft, at: Spot, field: str, message: str, hint: str = "") -> Fault:
    where = f"assets[{draft.index}].{field}" if at != draft.at else f"assets[{draft.index}]"
    return Fault(draft.file, at.line, at.column, where, message, hint, draft.name or "")


class _Claims:
    """Who wants what. Two assets can have the same thing if no platform wants both."""

    def __init__(self) -> None:
        self._of: dict[tuple[Root | None, str], dict[tuple[str, ...], Draft]] = {}

    def rival(self, root: Root | None, key: str, draft: Draft) -> Draft | None:
        """Whoever has claimed it for a platform that the draft is for; not one of the same name, which is a fault already."""
        for platforms, other in self._of.get((root, key), {}).items():
            if draft.name is not None and other.name == draft.name:
                continue
            if not platforms or not draft.platforms or not set(platforms).isdisjoint(draft.platforms):
                return other
        return None

    def add(self, root: Root | None, key: str, draft: Draft) -> None:
        """Claim it. The first one stays, so that messages name the first one."""
        self._of.setdefault((root, key), {}).setdefault(draft.platforms, draft)


def _clashes(drafts: Iterable[Draft], project_files: frozenset[str]) -> list[Fault]:
    faults: list[Fault] = []
    variables, paths, folders = _Claims(), _Claims(), _Claims()
    for draft in drafts:
        if draft.env is not None:
            key = draft.env.upper()  # Windows knows no other case
            rival = variables.rival(None, key, draft)
            if rival:
                faults.append(_one_variable(rival, draft))
            variables.add(None, key, draft)
        if draft.path is not None:
            fault = _path_fault(draft, paths, folders, project_files)
            if fault:
                faults.append(fault)
    return faults


def _one_variable(rival: Draft, draft: Draft) -> Fault:
    same = "" if rival.env == draft.env else f", and differs from `{rival.env}` only in case"
    message = f"`{draft.env}` is the variable of {_who(rival)} in {_place(rival, rival.env_at, draft)}{same}"
    return _fault(draft, draft.env_at, "env", message, "choose another name for one of them")


def _path_fault(draft: Draft, paths: _Claims, folders: _Claims, project_files: frozenset[str]) -> Fault | None:
    """The fault of this path with earlier ones, if any; then claims the path and the folders above it."""
    root, path = draft.root, draft.path or ""
    key = fold(path)
    above: list[str] = []
    cut = key.rfind("/")
    while cut > 0:
        above.append(key[:cut])
        cut = key.rfind("/", 0, cut)
    message = ""
    if root is Root.PROJECT and not project_files.isdisjoint((key, *above)):
        message = f"{shown(path)} is the file that lists the assets, or inside it"
    elif rival := paths.rival(root, key, draft):
        case = "" if rival.path == path else f" (`{rival.path}`, the same file on macOS and Windows)"
        message = f"{shown(path)} is the path of {_who(rival)} in {_place(rival, rival.path_at, draft)}{case}"
    elif rival := next(filter(None, (paths.rival(root, each, draft) for each in above)), None):
        message = f"{shown(path)} is inside the path of {_who(rival)} in {_place(rival, rival.path_at, draft)}"
    elif rival := folders.rival(root, key, draft):
        message = f"the path of {_who(rival)} in {_place(rival, rival.path_at, draft)} is inside {shown(path)}"
    paths.add(root, key, draft)
    for each in above:
        folders.add(root, each, draft)
    return _fault(draft, draft.path_at, "path", message, "choose another `path:` for one of them") if message else None
