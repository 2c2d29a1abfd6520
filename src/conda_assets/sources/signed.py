"""How long a signed URL is good for, as far as the URL itself says.

X-Amz-Date=20251101T120000Z & X-Amz-Expires=3600     S3 and what speaks like it (seconds after the date)
X-Goog-Date=… & X-Goog-Expires=…                     Google Cloud Storage, likewise
Expires=1762000000                                   CloudFront, and S3's first version (epoch)
se=2025-11-01T13:00:00Z                              Azure Blob
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from urllib.parse import parse_qs, urlsplit

__all__ = ["good_for_s"]

# Asked anew a little before the end: clocks differ, and a connection is not made at once.
_SPARE_S = 30.0


def good_for_s(url: str, now: float | None = None) -> float | None:
    """Seconds that the URL can still be used, the earliest end that it names; None where it names none. Never negative."""
    said = {name.lower(): values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    ends = [end for end in (_amz(said, "x-amz"), _amz(said, "x-goog"), _epoch(said.get("expires")), _iso(said.get("se"))) if end]
    if not ends:
        return None
    return max(0.0, min(ends) - (time.time() if now is None else now) - _SPARE_S)


def _amz(said: dict[str, str], prefix: str) -> float | None:
    try:
        made = datetime.strptime(said[f"{prefix}-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        return made.timestamp() + float(said[f"{prefix}-expires"])
    except (KeyError, ValueError):
        return None


def _epoch(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else None


def _iso(text: str | None) -> float | None:
    try:
        moment = datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
