"""Large files in conda environments: listed in `environment.yml`, fetched over many connections, verified, shared.

    import conda_assets
    conda_assets.path("gpt2-weights")                            # where it stands in this environment
    conda_assets.sync("environment.yml", prefix="/opt/envs/bert")
    conda_assets.fetch("https://example.org/w.bin", sha256="248d…")

Importing costs milliseconds and needs no conda: everything behind these names loads when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from conda_assets.version import __version__

if TYPE_CHECKING:
    from conda_assets.api.here import path
    from conda_assets.api.python import fetch, sync

__all__ = ["__version__", "fetch", "path", "sync"]


def __getattr__(name: str) -> object:
    if name == "path":
        from conda_assets.api import here

        return here.path
    if name in ("fetch", "sync"):
        from conda_assets.api import python

        return getattr(python, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
