"""Bringing bytes into the store: claim, probe, move, hash beside the transfer, adopt; with retries and blame.

    waiting ─claim→ probing ─probe→ moving ─tidings→ finishing ─digests right→ Arrival
       ↑ parked: another process has it, or a retry is due later

One thread drives everything; probes, hashing and adopting run in a few worker threads. Nothing here trusts the transport: a file
is adopted only when the digest of its bytes is what the asset asks for.
"""

from __future__ import annotations

from conda_assets.fetch.run import fetch
from conda_assets.fetch.want import Arrival, Claim, Limits, Want, Warehouse

__all__ = ["Arrival", "Claim", "Limits", "Want", "Warehouse", "fetch"]
