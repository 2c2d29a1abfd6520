"""`downloads:` of an anaconda-project.yml.

    downloads:
      IRIS: https://example.org/iris.csv            # variable: URL
      FLUX:
        url: https://example.org/flux.zip
        filename: data/flux                         # below the project's folder
        unzip: true                                 # also without it, where the URL ends in .zip and the filename does not
        sha256: 9f86…                               # or md5, sha1, sha224, sha384, sha512
        description: Fluxes

Source: anaconda-project's user guide, "downloads", and its reference.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from conda_assets.digest import Digest
from conda_assets.errors import Fault
from conda_assets.spec.entry import ABOUT, Fields, Value
from conda_assets.spec.events import Unreadable as NotYaml
from conda_assets.spec.events import fast_parser
from conda_assets.spec.importers.found import Found, Unreadable, digest_fields, last_of, note, read_digest, safe_url
from conda_assets.spec.naming import tame
from conda_assets.spec.nodes import Items, Node, Pairs, Scalar, entries
from conda_assets.spec.values import Wrong, read_variable, shown
from conda_assets.spec.walk import said

__all__ = ["read"]

_OTHERS = ("packages", "dependencies", "channels", "platforms", "env_specs", "variables", "services", "commands")
_HASHES = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")


def read(text: str, base_url: str) -> Found:
    """All downloads, in the order of the file. `base_url` is not needed."""
    section, others = _section(text)
    notes: list[Fault] = []
    if others:
        named = ", ".join(f"`{each}`" for each in others)
        notes.append(
            note(0, "", f"{named} left out: only `downloads` are taken over", "packages and channels stand in environment.yml")
        )
    if section is None or (isinstance(section, Scalar) and section.kind == "null"):
        return Found((), tuple(notes))
    if not isinstance(section, Pairs):
        raise Unreadable(section.line, f"`downloads:` is {said(section)}, expected a map of variables")
    made: list[Fields] = []
    for key, value in section.pairs:
        variable = key.text if isinstance(key, Scalar) else ""
        fields = _download(variable, value, notes) if variable else None
        if not variable:
            notes.append(note(key.line, "", f"the name of a download is {said(key)}; it is left out"))
        elif fields:
            made.append(fields)
    return Found(tuple(made), tuple(notes))


def _section(text: str) -> tuple[Node | None, list[str]]:
    """The section, and the other keys that say how a project is run."""
    section: Node | None = None
    others: list[str] = []
    try:
        for key, value in entries(text, fast=fast_parser(text)):
            if isinstance(key, Scalar) and key.text == "downloads":
                section = value._replace(items=tuple(value.items)) if isinstance(value, Items) else value
            elif isinstance(key, Scalar) and key.text in _OTHERS and not (isinstance(value, Pairs) and not value.pairs):
                others.append(key.text)
    except NotYaml as error:
        raise Unreadable(error.line, error.message, error.hint) from error
    return section, others


def _download(variable: str, value: Node, notes: list[Fault]) -> Fields | None:
    if isinstance(value, Scalar):
        options: dict[str, Scalar] = {"url": value}
    elif isinstance(value, Pairs):
        options = {}
        for key, each in value.pairs:
            name = key.text if isinstance(key, Scalar) else said(key)
            if name not in (*_HASHES, "url", "filename", "unzip", "description"):
                notes.append(note(key.line, variable, f"{shown(name)} is not known in a download; it is left out"))
            elif isinstance(each, Scalar) and each.kind != "null":
                options[name] = each
            elif not isinstance(each, Scalar):
                notes.append(note(each.line, variable, f"`{name}` is {said(each)}; it is left out"))
    else:
        notes.append(note(value.line, variable, f"a download is {said(value)}; it is left out", "a URL, or a map with `url:`"))
        return None
    url = options.get("url")
    if url is None or url.kind != "text":
        notes.append(note(value.line, variable, "the download has no `url`; it is left out"))
        return None
    return _fields(variable, url, options, notes)


def _fields(variable: str, url: Scalar, options: dict[str, Scalar], notes: list[Fault]) -> Fields:
    last = last_of(url.text)
    is_zip = last.lower().endswith(".zip")
    named = options["filename"].text if "filename" in options else ""
    path = PurePosixPath(named or last or variable).as_posix()
    asked = options["unzip"].text.lower() == "true" if "unzip" in options else None
    unpack = asked if asked is not None else is_zip and not named.lower().endswith(".zip")
    if unpack and not named and is_zip:
        path = path[:-4]
    fields: dict[str, Value] = {"name": tame(variable) or tame(path), "url": safe_url(url.text), "path": path, "root": "project"}
    try:
        fields["env"] = read_variable(variable)
    except Wrong as wrong:
        notes.append(note(url.line, variable, f"the variable is left out: {wrong.message}", wrong.hint))
    if unpack:
        fields["unpack"] = True
        message = (
            f"anaconda-project drops a single top folder that is called {shown(PurePosixPath(path).name)}; `unpack` keeps it"
        )
        notes.append(note(url.line, variable, message, "if the archive has one: `unpack: {strip: 1}`"))
    if "description" in options:
        fields[ABOUT] = options["description"].text
    return fields | digest_fields(_digests(variable, options, notes))


def _digests(variable: str, options: dict[str, Scalar], notes: list[Fault]) -> list[Digest]:
    digests: list[Digest] = []
    for algorithm in _HASHES:
        value = options.get(algorithm)
        if value is None:
            continue
        try:
            digest = read_digest(algorithm, value.text)
        except ValueError as error:
            notes.append(note(value.line, variable, f"the hash is left out: {error}"))
            continue
        if digest is None:
            notes.append(note(value.line, variable, f"`{algorithm}` cannot be checked here; the hash is left out"))
        else:
            digests.append(digest)
    return digests
