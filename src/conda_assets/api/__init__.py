"""The use cases: the one place that knows the order of the stages.

preview   what a sync would do           status   what is there, by size and time stamp
sync      make the disk match the file   verify   what is there, byte by byte; and mend it
fetch     fill the store only            path     where an asset stands
"""

from __future__ import annotations

from conda_assets.api.look import health, listing, path_of, status
from conda_assets.api.sync import Options, fetch_url, preview, sync
from conda_assets.api.verify import set_damaged_aside, verify

__all__ = ["Options", "fetch_url", "health", "listing", "path_of", "preview", "set_damaged_aside", "status", "sync", "verify"]
