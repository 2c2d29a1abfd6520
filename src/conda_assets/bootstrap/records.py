"""The records of installed packages, `conda-meta/<name>-<version>-<build>.json`, where we have to write into them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from conda_assets.bootstrap.channels import shown_channel

__all__ = ["hide_secrets", "write_record"]


def hide_secrets(prefix: Path, urls: Sequence[str]) -> None:
    """Cut users, passwords and tokens of channels out of the records, as conda does; rattler (0.28) writes them in full.

    `urls`: the channels in full.

    Raises:
        OSError: a record cannot be written.
    """
    secret = [url for url in urls if shown_channel(url) != url]
    if not secret:
        return
    for path in (prefix / "conda-meta").glob("*.json"):
        text = path.read_text(encoding="utf-8")
        if any(url in text for url in secret):
            content = json.loads(text)
            # `channel` has stars for the secrets, and would be no channel for conda.
            content.update({key: shown_channel(str(content[key])) for key in ("url", "channel") if content.get(key)})
            write_record(path, content)


def write_record(path: Path, content: Mapping[str, object]) -> None:
    """Replace a record by this content, at once.

    Raises:
        OSError: it cannot be written.
    """
    # conda reads every *.json of the folder as a record: the draft must not be called so.
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")
    draft.replace(path)
