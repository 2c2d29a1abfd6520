"""How fast the centre may be at which time of the day: a limit, and windows in which another one holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from conda_assets.errors import CentreRefused
from conda_assets.records import dataclass
from conda_assets.regexes import regex

__all__ = ["Pace", "Window", "read_pace"]

_CLOCK = regex(r"([01]\d|2[0-3]):([0-5]\d)")
_MOST_WINDOWS = 16


@dataclass(frozen=True, slots=True)
class Window:
    """From `begins` to `ends` in minutes after midnight, local time; over midnight when it ends before it begins."""

    begins: int
    ends: int
    limit_rate: int | None

    def holds(self, minute: int) -> bool:
        """That minute of the day is in it; a window that ends when it begins is the whole day."""
        if self.begins < self.ends:
            return self.begins <= minute < self.ends
        return minute >= self.begins or minute < self.ends


@dataclass(frozen=True, slots=True)
class Pace:
    """Bytes per second for everything together; None: no limit, 0: nothing moves. The first window that holds decides."""

    limit_rate: int | None = None
    windows: tuple[Window, ...] = ()

    def at(self, moment: datetime) -> int | None:
        """The limit at that time."""
        minute = moment.hour * 60 + moment.minute
        return next((window.limit_rate for window in self.windows if window.holds(minute)), self.limit_rate)

    def to_json(self) -> dict[str, object]:
        """As the REST interface shows it, and as it is kept."""
        windows = [{"from": _clock(each.begins), "to": _clock(each.ends), "limit_rate": each.limit_rate} for each in self.windows]
        return {"limit_rate": self.limit_rate, "windows": windows}


def read_pace(said: Mapping[str, object] | str) -> Pace:
    """A pace from what `to_json` makes, or its text; the empty text is no limit.

    Raises:
        CentreRefused: a clock time or a rate that cannot be.
    """
    value = json.loads(said or "{}") if isinstance(said, str) else said
    windows = value.get("windows") or ()
    if not isinstance(windows, Sequence) or len(windows) > _MOST_WINDOWS:
        raise CentreRefused(f"expected a list of at most {_MOST_WINDOWS} windows")
    return Pace(
        _rate(value.get("limit_rate")),
        tuple(Window(_minute(each.get("from")), _minute(each.get("to")), _rate(each.get("limit_rate"))) for each in windows),
    )


def _rate(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise CentreRefused(f"{value!r} is no rate, expected bytes per second, 0 for nothing, or null for no limit")
    return value


def _minute(value: object) -> int:
    match = _CLOCK.fullmatch(str(value))
    if match is None:
        raise CentreRefused(f"{value!r} is no time of the day", "write it as `22:30`")
    return int(match[1]) * 60 + int(match[2])


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
