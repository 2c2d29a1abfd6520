"""The names of `import conda_assets`: the use cases with the defaults of a script."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from conda_assets import spec as specs
from conda_assets.api.here import prefix_of
from conda_assets.api.lockfiles import find_locks, read_locks
from conda_assets.api.options import Options
from conda_assets.api.pinning import Use, pin
from conda_assets.api.sync import fetch_url
from conda_assets.api.sync import sync as sync_spec
from conda_assets.digest import Digest, parse_digest
from conda_assets.errors import UsageError
from conda_assets.events import Observer, nobody
from conda_assets.model import Report, Target
from conda_assets.records import replace
from conda_assets.settings import Settings, load
from conda_assets.sources import read_text

__all__ = ["fetch", "sync"]


def sync(
    file: str | Path | Sequence[str | Path] = "environment.yml",
    *,
    prefix: str | Path | None = None,
    groups: Sequence[str] = (),
    only: Sequence[str] = (),
    offline: bool = False,
    watch: Observer = nobody,
) -> Report:
    """Make an environment match its file and the lock beside it; the report says what became of each asset.

    Raises:
        SpecInvalid, FileMissing: the file, with all its faults.
        AssetsError: the first failure of an asset that is not optional, after all others have been brought.
    """
    settings = _settings(offline=offline)
    sources = [str(file)] if isinstance(file, (str, Path)) else [str(each) for each in file]

    def read_url(url: str) -> str:
        return read_text(url, settings.network)

    spec = specs.load(sources, environ=os.environ, cwd=Path.cwd(), read_url=read_url)
    spec = pin(spec, read_locks(find_locks(spec.sources, Path.cwd())), Use.PLAIN, environ=os.environ)
    target = Target(prefix_of(prefix), spec.base.absolute())
    report = sync_spec(spec, target, settings, options=Options(groups=tuple(groups), only=tuple(only)), watch=watch)
    for row in report.failures:
        assert row.error is not None
        raise row.error
    return report


def fetch(url: str, *, sha256: str | None = None, hash: str | None = None, watch: Observer = nobody) -> Path:
    """Bring one file into the store and give its path there; read-only, shared, verified when a hash is given.

    `sha256`: 64 hex digits; `hash`: `algorithm:hex`.

    Raises:
        UsageError: a hash that cannot be read.
        AssetsError: the file could not be brought, or has other bytes.
    """
    digest: Digest | None = None
    try:
        if sha256 or hash:
            digest = parse_digest(f"sha256:{sha256}" if sha256 else str(hash))
    except ValueError as error:
        raise UsageError(str(error)) from error
    return fetch_url(url, digest=digest, settings=_settings(offline=False), watch=watch)


def _settings(*, offline: bool) -> Settings:
    settings = load(environ=os.environ)
    return replace(settings, offline=settings.offline or offline)
