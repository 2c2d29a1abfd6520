"""The receipt: what `sync` placed into an environment, so that `status`, `list`, `path` and `gc` need no `environment.yml`.

    <prefix>/etc/conda-assets/receipt.json
        {"schema": 1, "assets": [{"name": "gpt2-weights", "path": "models/gpt2.safetensors", "root": "prefix", "sha256": "248d…",
                                  "size_bytes": 548105171, "modified_ns": 1761…, "link": "hardlink", "source": "https://…",
                                  "url_key": "9c1e…", "want": "sha256:248d…", "env": "GPT2_WEIGHTS", "groups": [],
                                  "optional": false, "private": false, "project": null, "unpack": null, "member": "",
                                  "revision": "607a30d7…"}]}

`unpack` is `{"strip": 1, "include": ["*.jsonl"]}` for a folder, `member` the path of a file of a pattern, `revision` what the
publisher called the version, where that is known; older receipts lack the three.

Below `etc`, because conda copies that when it clones or renames an environment, and drops `conda-meta` but for its own records.
Paths are relative, so a clone's receipt is right where it lands. Written whole, to a new file, then renamed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from conda_assets.errors import DiskRefused, UsageError
from conda_assets.model import LinkType, Placed, Root, Unpack
from conda_assets.records import fields

__all__ = ["FORMAT", "read_receipt", "receipt_path", "write_receipt"]

FORMAT = 1
_NAMES = tuple(each.name for each in fields(Placed))


def receipt_path(prefix: Path) -> Path:
    """Where the receipt of an environment stands."""
    return prefix / "etc" / "conda-assets" / "receipt.json"


def read_receipt(prefix: Path) -> dict[str, Placed]:
    """name → what was placed; empty where nothing was.

    Raises:
        UsageError: the receipt is not ours, damaged, or of a newer version.
    """
    path = receipt_path(prefix)
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {error}", f"delete {path}, then run `conda assets sync` again") from error
    try:
        version = content["schema"]
        if version != FORMAT:
            raise UsageError(f"{path} has version {version}, this conda-assets reads {FORMAT}", "update conda-assets")
        return {row["name"]: _placed(row) for row in content["assets"]}
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise UsageError(
            f"{path} is not a receipt of conda-assets: {error!r}", f"delete {path}, then run `conda assets sync` again"
        ) from error


def write_receipt(prefix: Path, placed: Iterable[Placed]) -> None:
    """Replace the receipt, atomically.

    Raises:
        DiskRefused: the prefix cannot be written.
    """
    path = receipt_path(prefix)
    rows = [_row(each) for each in sorted(placed, key=lambda each: each.name)]
    # A line an asset; `indent` would take ten times as long, for thousands of them.
    lines = ",\n  ".join(map(json.JSONEncoder(ensure_ascii=False).encode, rows))
    text = f'{{"schema": {FORMAT}, "assets": [\n  {lines}\n]}}\n'
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise DiskRefused("receipt", f"{path} cannot be written: {error.strerror}") from error


def _row(placed: Placed) -> dict[str, object]:
    row = {name: getattr(placed, name) for name in _NAMES}
    return {**row, "unpack": placed.unpack.to_json() if placed.unpack else None}


def _placed(row: dict[str, Any]) -> Placed:
    return Placed(
        name=str(row["name"]),
        path=_below(str(row["path"])),
        root=Root(row["root"]),
        sha256=str(row["sha256"]),
        size_bytes=int(row["size_bytes"]),
        modified_ns=int(row["modified_ns"]),
        link=LinkType(row["link"]),
        source=str(row["source"]),
        url_key=str(row["url_key"]),
        want=_text(row.get("want")),
        env=_text(row.get("env")),
        groups=tuple(map(str, row.get("groups", ()))),
        optional=bool(row.get("optional", False)),
        private=bool(row.get("private", False)),
        project=_text(row.get("project")),
        unpack=_unpack(row.get("unpack")),
        member=str(row.get("member", "")),
        revision=_text(row.get("revision")),
    )


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _below(path: str) -> str:
    """The path, which leads nowhere else: environments are copied, and receipts with them."""
    parts = PurePosixPath(path)
    if not parts.parts or parts.is_absolute() or ".." in parts.parts or "\0" in path:
        raise ValueError(f"{path!r} is no path below a folder")
    return path


def _unpack(how: dict[str, Any] | None) -> Unpack | None:
    return None if how is None else Unpack(int(how["strip"]), tuple(str(glob) for glob in how["include"]))
