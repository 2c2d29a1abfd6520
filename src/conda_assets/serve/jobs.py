"""A job of the centre: one file to bring, whoever asks for it, and how far it is."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from enum import Enum
from urllib.parse import urlsplit

from conda_assets.api.sync import want_key
from conda_assets.digest import Digest, parse_digest
from conda_assets.model import Asset, Stored, shown_url
from conda_assets.records import dataclass, field
from conda_assets.serve.database import Row

__all__ = ["ENDED", "Job", "JobState", "Need", "Wanted", "new_job", "read_job"]


class JobState(str, Enum):
    """Where a job is. A job that a kill found active is queued again."""

    QUEUED = "queued"
    ACTIVE = "active"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: Those that nothing happens to any more unless somebody retries.
ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Need:
    """Who needs the file: a person, and the environment in whose file it stands; empty where it was asked for alone."""

    user_id: int
    environment: str
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks for: an asset, and the environment whose file names it; empty where it is asked for alone."""

    asset: Asset
    environment: str = ""


@dataclass(eq=False)
class Job:
    """Changed under the board's lock only. What stands after `needs` is not kept over a restart.

    `rank`: place in the queue, the lowest first within a priority (-1, 0, 1; the highest first). `pieces`: how full each of up to
    100 parts of the file is, a digit each. `note`: a clause on what it waits for. `version`: the board's when it last changed.
    """

    id: str
    key: str
    name: str
    url: str = field(repr=False)
    mirrors: tuple[str, ...] = field(repr=False)
    digest: Digest | None
    asked_bytes: int | None
    slack_bytes: int
    user_id: int | None
    created_at: float
    state: JobState = JobState.QUEUED
    rank: float = 0.0
    priority: int = 0
    size_bytes: int | None = None
    sha256: str | None = None
    error: Mapping[str, object] | None = None
    source: str = ""
    bytes_fetched: int = 0
    seconds: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    needs: frozenset[Need] = frozenset()
    done_bytes: int = 0
    verified_bytes: int = 0
    bytes_per_s: float = 0.0
    connections: int = 0
    pieces: str = ""
    note: str = ""
    version: int = 0

    @property
    def asset(self) -> Asset:
        """What `fetch` is asked for."""
        return Asset(
            name=self.name,
            url=self.url,
            path=self.name,
            mirrors=self.mirrors,
            digest=self.digest,
            size_bytes=self.asked_bytes,
            size_slack_bytes=self.slack_bytes,
        )

    @property
    def weight_bytes(self) -> int:
        """What it counts for in a quota, as far as is known."""
        return self.size_bytes or self.asked_bytes or 0

    def rest(self) -> None:
        """Nothing moves any more; what has arrived stays."""
        self.bytes_per_s, self.connections, self.note = 0.0, 0, ""

    def end(self, stored: Stored) -> None:
        """It is there."""
        self.state, self.sha256, self.ended_at, self.error = JobState.DONE, stored.sha256, time.time(), None
        self.size_bytes = self.done_bytes = self.verified_bytes = stored.size_bytes
        self.pieces = ""

    def to_json(self, names: Mapping[int, str]) -> dict[str, object]:
        """As the REST interface shows it. `names`: of the users."""
        size = self.size_bytes or self.asked_bytes
        left_s = (size - self.done_bytes) / self.bytes_per_s if size and self.bytes_per_s > 0 else None
        return {
            "id": self.id,
            "name": self.name,
            "url": shown_url(self.url),
            "url_is_whole": shown_url(self.url) == self.url,
            "host": urlsplit(self.url).hostname or "",
            "mirrors": len(self.mirrors),
            "digest": str(self.digest) if self.digest else None,
            "state": self.state.value,
            "rank": self.rank,
            "priority": self.priority,
            "size_bytes": size,
            "done_bytes": size or 0 if self.state is JobState.DONE else self.done_bytes,
            "verified_bytes": self.verified_bytes,
            "bytes_per_s": round(self.bytes_per_s),
            "left_s": round(left_s) if left_s is not None else None,
            "connections": self.connections,
            "pieces": self.pieces,
            "note": self.note,
            "sha256": self.sha256,
            "source": self.source or None,
            "bytes_fetched": self.bytes_fetched,
            "seconds": round(self.seconds, 3),
            "error": self.error,
            "by": names.get(self.user_id or 0),
            "people": sorted({names[need.user_id] for need in self.needs if need.user_id in names}),
            "environments": sorted({need.environment for need in self.needs if need.environment}),
            "created_at": self.created_at,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
        }


def new_job(asset: Asset, user_id: int, rank: float) -> Job:
    """A job for what an asset asks for."""
    return Job(
        id=secrets.token_hex(8),
        key=want_key(asset),
        name=asset.name,
        url=asset.url,
        mirrors=asset.mirrors,
        digest=asset.digest,
        asked_bytes=asset.size_bytes,
        slack_bytes=asset.size_slack_bytes,
        user_id=user_id,
        created_at=time.time(),
        rank=rank,
    )


def read_job(row: Row, needs: frozenset[Need]) -> Job:
    """A job as the database has it."""
    state = JobState(row["state"])
    return Job(
        id=row["id"],
        key=row["key"],
        name=row["name"],
        url=row["url"],
        mirrors=tuple(json.loads(row["mirrors"])),
        digest=parse_digest(row["digest"]) if row["digest"] else None,
        asked_bytes=row["asked_bytes"],
        slack_bytes=row["slack_bytes"],
        user_id=row["user_id"],
        created_at=row["created_at"],
        state=JobState.QUEUED if state is JobState.ACTIVE else state,
        rank=row["rank"],
        priority=row["priority"],
        size_bytes=row["size_bytes"],
        sha256=row["sha256"],
        error=json.loads(row["error"]) if row["error"] else None,
        source=row["source"] or "",
        bytes_fetched=row["bytes_fetched"],
        seconds=row["seconds"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        needs=needs,
    )
