"""Bringing bytes into the store: claim, probe, move, hash beside the transfer, adopt; with retries and blame.

    waiting ─claim→ probing ─probe→ moving ─tidings→ finishing ─digests right→ Arrival
       ↑ parked: another process has it, or a retry is due later

One thread drives everything; probes, hashing and adopting run in a few worker threads. Nothing here trusts the transport: a file
is adopted only when the digest of its bytes is what the asset asks for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conda_assets.fetch.run import fetch
    from conda_assets.fetch.want import Arrival, Claim, Limits, Salvage, Small, Want, Warehouse

__all__ = ["Arrival", "Claim", "Limits", "Salvage", "Small", "Want", "Warehouse", "fetch"]


def __getattr__(name: str) -> object:
    # Saying what is wanted costs nothing; bringing it imports the transports.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'run' if name == 'fetch' else 'want'}"), name)
