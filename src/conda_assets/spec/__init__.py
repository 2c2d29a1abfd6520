"""The `assets:` section of environment.yml, or of a file of its own.

    assets:
      - https://example.org/data/train.csv            # a URL, named by its last part
      - name: gpt2-weights                            # or a map; `fields` has all there may be
        url: hf://openai-community/gpt2@607a30d7/model.safetensors
        sha256: 248dfc39…
        path: models/gpt2.safetensors

Text goes through parser events (`events`) and nodes with their places (`nodes`) to drafts (`draft`), and only what is right in
all files becomes a Spec. All faults are found in one pass. Nothing here imports a YAML library before a text is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath

from conda_assets.errors import Fault, FileMissing, SpecInvalid
from conda_assets.model import Spec
from conda_assets.records import dataclass
from conda_assets.spec.across import merge
from conda_assets.spec.draft import Draft, draft
from conda_assets.spec.events import Unreadable, fast_parser
from conda_assets.spec.nodes import Items, Node, Scalar, entries
from conda_assets.spec.scan import has_section, without_section
from conda_assets.spec.schema import json_schema
from conda_assets.spec.source import DEFAULT_NAMES, is_file, local_path, read_source, shown_source
from conda_assets.spec.values import nearest, one_line
from conda_assets.spec.walk import Walk, said

__all__ = ["Anything", "default_file", "has_section", "json_schema", "load", "load_texts", "names_of", "without_section"]


def default_file(cwd: Path) -> str | None:
    """The file to read when none was named: the first of `DEFAULT_NAMES` with an `assets:` section, else the first there is."""
    there = [name for name in DEFAULT_NAMES if is_file(cwd / name)]
    for name in there:
        try:
            if has_section((cwd / name).read_text("utf-8", errors="replace")):
                return name
        except OSError:
            return name  # whoever reads it says why it cannot be read
    return there[0] if there else None


def load(sources: Sequence[str], *, environ: Mapping[str, str], cwd: Path, read_url: Callable[[str], str]) -> Spec:
    """Read and merge spec files.

    Args:
        sources: paths (relative to `cwd`) and URLs, merged in this order.
        environ: what `${NAME}` in URLs and headers is replaced from.
        read_url: gives the text at a URL that is not `file:`.

    Raises:
        SpecInvalid: all faults of all files.
        FileMissing: a file is not there, or none was named.
        UsageError: a file cannot be read.
    """
    if not sources:
        raise FileMissing(f"{cwd} has none of {', '.join(DEFAULT_NAMES)}", "name a file with `-f FILE`")
    texts = [(shown_source(source), read_source(source, cwd, read_url)) for source in sources]
    paths = [local_path(source, cwd) for source in sources]
    first = next((path for path in paths if path is not None), None)
    return load_texts(texts, environ=environ, base=first.parent if first else cwd)


def load_texts(texts: Sequence[tuple[str, str]], *, environ: Mapping[str, str], base: Path) -> Spec:
    """Merge texts that have been read already: pairs of source (as messages name it) and text.

    `base`: the project's folder.

    Raises:
        SpecInvalid: all faults of all texts.
    """
    files = [_read(source, text.removeprefix("\ufeff"), environ) for source, text in texts]
    drafts, between = merge([file.drafts for file in files], _own_names(texts))
    faults = [fault for file in files for fault in file.faults] + between
    if faults:
        order: dict[str, int] = {}
        for source, _ in texts:
            order.setdefault(source, len(order))
        raise SpecInvalid(tuple(sorted(faults, key=lambda fault: (order[fault.file], fault.line, fault.column))))
    return Spec(
        assets=tuple(draft.asset for draft in drafts if draft.asset is not None),
        sources=tuple(source for source, _ in texts),
        base=base,
        name=next((file.name for file in files if file.name), None),
        prefix=next((file.prefix for file in files if file.prefix), None),
        warnings=tuple(warning for file in files for warning in file.warnings),
    )


def names_of(source: str, text: str) -> tuple[str | None, ...]:
    """The names of a text's entries, in order, also of those that are at fault; None where there is none.

    Raises:
        SpecInvalid: the text is not YAML, or `assets:` is no list.
    """
    file = _read(source, text.removeprefix("\ufeff"), Anything({}))
    if not file.drafts and file.faults:
        raise SpecInvalid(tuple(file.faults))
    return tuple(draft.name for draft in file.drafts)


class Anything(dict[str, str]):
    """An environment in which every variable is set: for files that are looked at and not fetched from."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return "x"


def _own_names(texts: Sequence[tuple[str, str]]) -> set[str]:
    """The files that were read, as far as they are in the project's folder."""
    paths = [PurePath(source) for source, _ in texts if "://" not in source]
    return {path.name for path in paths if path.parent == paths[0].parent}


@dataclass(frozen=True, slots=True)
class _File:
    drafts: list[Draft]
    faults: list[Fault]
    warnings: list[str]
    name: str | None = None
    prefix: str | None = None


def _read(source: str, text: str, environ: Mapping[str, str]) -> _File:
    """One file; where it is not YAML, that is its only fault.

    COST: a broken file is read twice, and the second reader takes 7 s for 10,000 assets.
    """
    said: Unreadable | None = None
    if fast_parser(text):
        try:
            return _walked(source, text, environ, fast=True)
        except Unreadable as error:
            said = error  # the other parser has the last word, if it has one
    try:
        return _walked(source, text, environ, fast=False)
    except Unreadable as error:
        said = said if said and error.vague else error
        return _File([], [Fault(source, said.line, said.column, "", said.message, said.hint)], [])


def _walked(source: str, text: str, environ: Mapping[str, str], *, fast: bool) -> _File:
    walk = Walk(source, environ)
    drafts: list[Draft] = []
    lines: dict[str, int] = {}
    named: dict[str, str] = {}
    for key, value in entries(text, fast=fast):
        if not isinstance(key, Scalar):
            continue
        if key.text in lines:
            walk.asset = ""
            walk.fault(key, one_line(key.text), f"the key is there twice, first in line {lines[key.text]}", "keep one of them")
            continue
        lines[key.text] = key.line
        if key.text == "assets":
            drafts = _drafts(value, walk)
        elif key.text in ("name", "prefix") and isinstance(value, Scalar) and value.kind not in ("null", "tagged"):
            named[key.text] = value.text
    if "assets" not in lines:
        _warn_of_typo(lines, walk)
    return _File(drafts, walk.faults, walk.warnings, named.get("name"), named.get("prefix"))


def _drafts(value: Node, walk: Walk) -> list[Draft]:
    if isinstance(value, Items):
        return [draft(item, index, walk) for index, item in enumerate(value.items)]
    if not (isinstance(value, Scalar) and value.kind == "null"):
        walk.asset = ""
        walk.fault(
            value, "assets", f"expected a list of assets, got {said(value)}", "put `- ` before each asset: `- name: weights`"
        )
    return []


def _warn_of_typo(lines: Mapping[str, int], walk: Walk) -> None:
    for key, line in lines.items():
        if key.lower() in ("asset", "assets") or nearest(key, ("assets",)):
            walk.warn(Scalar("text", key, line, 1), key, "unknown key; did you mean `assets`? There are no assets otherwise")
