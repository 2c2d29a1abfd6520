"""One entry of `assets:` from its node: its values, and an Asset if all of them are right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from conda_assets.model import Asset, LinkMode, Root, last_part
from conda_assets.records import dataclass
from conda_assets.spec.fields import FIELDS
from conda_assets.spec.nodes import Items, Node, Pairs, Scalar
from conda_assets.spec.paths import read_path
from conda_assets.spec.values import Size, Wrong, read_name, shown
from conda_assets.spec.walk import Walk, gather, said

__all__ = ["Draft", "Spot", "draft"]


class Spot(NamedTuple):
    """A place in the file; the nodes themselves are let go, as they are larger than the assets."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry as far as it could be read. What is None is missing or at fault.

    `asset` stands when nothing was at fault; else `values` has what could be read. `…_at`: where it is written.
    """

    file: str
    index: int
    at: Spot
    asset: Asset | None
    name: str | None
    path: str | None
    root: Root
    env: str | None
    platforms: tuple[str, ...]
    name_at: Spot
    path_at: Spot
    env_at: Spot
    values: Mapping[str, object]


def draft(node: Node, index: int, walk: Walk) -> Draft:
    """Read an entry; its faults are in the walk."""
    at = f"assets[{index}]"
    faults_before = len(walk.faults)
    walk.asset = ""
    if isinstance(node, Pairs):
        nodes = _fields(node, at, walk)
    elif isinstance(node, Scalar) and node.kind == "text":
        nodes = {"url": node}
    else:
        walk.fault(
            node, at, f"expected a URL or a map with `url:`, got {said(node)}", "write `- https://…`, or `- url: https://…`"
        )
        nodes = {}
    values = _values(node, nodes, at, walk)
    _check_path(node, nodes, at, values, walk)
    _check_digests(nodes, at, values, walk)
    right = len(walk.faults) == faults_before
    return _draft(node, index, nodes, values, walk.file, right)


def _values(node: Node, nodes: Mapping[str, Node], at: str, walk: Walk) -> dict[str, object]:
    values: dict[str, object] = {}
    if "name" not in nodes and "url" in nodes:
        # The URL first: faults in the other fields shall carry the name that it gives.
        where = f"{at}.url" if isinstance(node, Pairs) else at
        values["url"] = url = FIELDS["url"].type.read(nodes["url"], where, walk)
        if isinstance(url, str):
            values["name"] = name = _default_name(nodes["url"], at, url, walk)
            walk.asset = name or ""
    for field, value in nodes.items():
        if field not in values:
            values[field] = FIELDS[field].type.read(value, f"{at}.{field}", walk)
    return values


def _fields(node: Pairs, at: str, walk: Walk) -> dict[str, Node]:
    for key, value in node.pairs:  # the name first: faults in the fields above it shall carry it
        if isinstance(key, Scalar) and key.text == "name" and isinstance(value, Scalar) and value.kind == "text":
            with suppress(Wrong):
                walk.asset = read_name(value.text)
            break
    nodes = gather(node, at, FIELDS, walk)
    if "url" not in nodes:
        walk.fault(node, f"{at}.url", "the field is missing", "every asset has one `url:`")
    return nodes


def _default_name(node: Node, at: str, url: str, walk: Walk) -> str | None:
    name = last_part(url)
    try:
        return read_name(name)
    except Wrong as wrong:
        # What a variable holds is not repeated: it may be a secret.
        secret = isinstance(node, Scalar) and "${" in node.text
        message = "the URL ends without a part that could be the name"
        if name:
            message = f"the last part of the URL{'' if secret else f', {shown(name)},'} cannot be the name"
        walk.fault(node, at, message, f"give it a `name:`: {wrong.hint}")
    return None


def _check_path(node: Node, nodes: Mapping[str, Node], at: str, values: dict[str, Any], walk: Walk) -> None:
    """The default path is a path too; one that ends in `/` is a folder, which only an unpacked asset or several files are."""
    path = values.get("path")
    if path is None:
        name = values.get("name")
        if name is None or "path" in nodes:
            return
        try:
            values["path"] = read_path(name)
        except Wrong as wrong:
            where, field = (nodes["name"], f"{at}.name") if "name" in nodes else (nodes.get("url", node), at)
            walk.fault(where, field, f"{wrong.message}; the name is the path too", "give it a `path:`")
    elif path.endswith("/"):
        values["path"] = path.rstrip("/")
        if "unpack" in nodes and values["unpack"] is None and not _is_false(nodes["unpack"]):
            return  # at fault itself
        if values.get("unpack") is None and not _names_several(values.get("url")):
            file = f"{path}{values.get('name') or 'file'}"
            walk.fault(nodes["path"], f"{at}.path", f"{shown(path)} is a folder, and the asset is a file", f"write {shown(file)}")


def _names_several(url: object) -> bool:
    """The URL ends in `/` or has a glob, and its scheme has such; whole repositories are seen by their source only."""
    return isinstance(url, str) and not url.startswith(("http", "ftp:", "sftp:")) and bool(re.search(r"[*?\[]|/$", url))


def _is_false(node: Node) -> bool:
    return isinstance(node, Scalar) and node.kind == "boolean"


def _check_digests(nodes: Mapping[str, Node], at: str, values: dict[str, Any], walk: Walk) -> None:
    sha256, other = values.get("sha256"), values.get("hash")
    values["digest"] = sha256 or other
    if sha256 is not None and other is not None and sha256 != other:
        what = "another digest than" if other.algorithm == "sha256" else "given beside"
        walk.fault(nodes["hash"], f"{at}.hash", f"{what} `sha256` in line {nodes['sha256'].line}", "keep one of the two")


def _draft(node: Node, index: int, nodes: Mapping[str, Node], values: Mapping[str, Any], file: str, right: bool) -> Draft:
    root = values.get("root") or Root.PREFIX
    platforms = values.get("platforms") or ()
    at = Spot(node.line, node.column)
    name_at = _spot(nodes.get("name") or nodes.get("url"), at)
    return Draft(
        file=file,
        index=index,
        at=at,
        asset=_asset(node, nodes, values, root, platforms, file) if right else None,
        name=values.get("name"),
        path=values.get("path"),
        root=root,
        env=values.get("env"),
        platforms=platforms,
        name_at=name_at,
        path_at=_spot(nodes.get("path"), name_at),
        env_at=_spot(nodes.get("env"), at),
        values={} if right else values,
    )


def _spot(node: Node | None, otherwise: Spot) -> Spot:
    """Where the node is; what an alias brings from above is taken to be where the alias is."""
    if node is None:
        return otherwise
    here = Spot(node.line, node.column)
    return here if here >= otherwise else otherwise


def _asset(
    node: Node, nodes: Mapping[str, Node], values: Mapping[str, Any], root: Root, platforms: tuple[str, ...], file: str
) -> Asset:
    size: Size | None = values.get("size")
    mirrors: tuple[str, ...] = values.get("mirrors") or ()
    written = _written(nodes)
    return Asset(
        name=values["name"],
        url=values["url"],
        path=values["path"],
        mirrors=tuple(url for url in mirrors if url != values["url"]) if mirrors else (),
        digest=values["digest"],
        size_bytes=size.size_bytes if size else None,
        size_slack_bytes=size.slack_bytes if size else 0,
        root=root,
        env=values.get("env"),
        groups=values.get("groups") or (),
        platforms=platforms,
        optional=bool(values.get("optional")),
        unpack=values.get("unpack"),
        headers=values.get("headers") or {},
        link=values.get("link") or LinkMode.AUTO,
        file=file,
        line=node.line,
        written=() if written == (values["url"], *mirrors) else written,
    )


def _written(nodes: Mapping[str, Node]) -> tuple[str, ...]:
    """The URL and its mirrors as they stand in the file."""
    url = nodes["url"]
    if "mirrors" not in nodes and isinstance(url, Scalar):
        return (url.text,)
    mirrors = nodes.get("mirrors")
    listed = [url, *(mirrors.items if isinstance(mirrors, Items) else ())]
    return tuple(dict.fromkeys(each.text for each in listed if isinstance(each, Scalar)))
