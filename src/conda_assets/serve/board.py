"""All jobs that somebody may look at, in memory, and written down whenever their state changes.

Reads are many (pages, clients, front ends) and cost no disk. Each change has a number, so that a reader who knows up to which one
it has read is given the rest and misses none.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterable, Iterator

from conda_assets.errors import NotFound
from conda_assets.serve.database import Database, Row
from conda_assets.serve.jobs import ENDED, Job, JobState, Need, read_job

__all__ = ["Board"]

# Older ones are in the database only: a page shows the latest, and searches the rest.
_MOST_ENDED = 1000
_MOST_GONE = 10_000
# As `_SCHEMA` of the database and the fields of `Job` have them.
_COLUMNS = (
    *("id", "key", "name", "url", "mirrors", "digest", "asked_bytes", "slack_bytes", "state", "rank", "priority", "user_id"),
    *("size_bytes", "sha256", "error", "source", "bytes_fetched", "seconds", "created_at", "started_at", "ended_at"),
)


class Board:
    """The jobs. Hold `lock` to change one, and `touch` it then; reading methods lock by themselves.

    `version` counts all changes, `turns` those of anything but progress.
    """

    def __init__(self, database: Database) -> None:
        self.lock = threading.RLock()
        self.version = 0
        self.turns = 0
        self._database = database
        self._jobs: dict[str, Job] = {}
        self._by_key: dict[str, Job] = {}
        self._ended: deque[str] = deque()
        self._gone: deque[tuple[int, str, JobState]] = deque(maxlen=_MOST_GONE)
        self._load()

    def _load(self) -> None:
        ended = ", ".join(f"'{state.value}'" for state in ENDED)
        waiting = self._database.rows(f"SELECT * FROM jobs WHERE state NOT IN ({ended}) ORDER BY rank")
        latest = self._database.rows(
            f"SELECT * FROM jobs WHERE state IN ({ended}) ORDER BY ended_at DESC LIMIT ?",
            (_MOST_ENDED,),
        )
        for job in self._read([*reversed(latest), *waiting]):
            self._put(job)

    def _read(self, rows: Iterable[Row]) -> Iterator[Job]:
        for row in rows:
            needs = self._database.rows("SELECT user_id, environment, name, path FROM needs WHERE job_id = ?", (row["id"],))
            yield read_job(row, frozenset(Need(*each) for each in needs))

    def _put(self, job: Job) -> None:
        self._jobs[job.id] = job
        self._by_key[job.key] = job
        if job.state in ENDED:
            self._ended.append(job.id)
        self.touch(job)

    # Reading

    def get(self, job_id: str) -> Job:
        """The job of that id, from memory or, when it ended long ago, from the database.

        Raises:
            NotFound: none.
        """
        with self.lock:
            if (job := self._jobs.get(job_id)) is not None:
                return job
        row = self._database.row("SELECT * FROM jobs WHERE id = ?", (job_id,))
        if row is None:
            raise NotFound(f"no job {job_id}", "`GET /api/v1/jobs` lists them")
        return next(self._read([row]))

    def by_key(self, key: str) -> Job | None:
        """The latest job for these bytes."""
        with self.lock:
            return self._by_key.get(key)

    def waiting(self) -> list[Job]:
        """Those that have not ended, in the order in which they get their turn."""
        with self.lock:
            return sorted((job for job in self._jobs.values() if job.state not in ENDED), key=_turn)

    def shown(self) -> list[Job]:
        """All in memory: first those that have not ended, then the ended ones, latest first."""
        with self.lock:
            ended = [job for job in self._jobs.values() if job.state in ENDED]
            return self.waiting() + sorted(ended, key=lambda job: -(job.ended_at or 0.0))

    def since(self, version: int) -> tuple[int, list[Job], list[str], bool]:
        """(version now, jobs changed after `version`, ids of those removed since, whether to begin anew instead)."""
        with self.lock:
            oldest = self._gone[0][0] if len(self._gone) == self._gone.maxlen else 0
            anew = not 0 < version <= self.version or version < oldest
            jobs = self.shown() if anew else [job for job in self._jobs.values() if job.version > version]
            gone = [] if anew else [job_id for at, job_id, _ in self._gone if at > version]
            return self.version, jobs, gone, anew

    def fates(self, version: int) -> list[tuple[str, JobState]]:
        """(id, how it ended) of jobs that were removed after `version`."""
        with self.lock:
            return [(job_id, state) for at, job_id, state in self._gone if at > version]

    def history(self, words: str, *, limit: int, offset: int) -> tuple[int, list[Job]]:
        """(how many, some of them) ended jobs whose name, URL or sha256 has the words in it, latest first."""
        ended = ", ".join(f"'{state.value}'" for state in ENDED)
        like = "%" + words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        where = (
            f"state IN ({ended}) AND (name LIKE ?1 ESCAPE '\\' OR shown(url) LIKE ?1 ESCAPE '\\' OR sha256 LIKE ?1 ESCAPE '\\')"
        )
        count = self._database.row(f"SELECT count(*) FROM jobs WHERE {where}", (like,))
        rows = self._database.rows(
            f"SELECT * FROM jobs WHERE {where} ORDER BY ended_at DESC LIMIT ?2 OFFSET ?3",
            (like, limit, offset),
        )
        return (count[0] if count else 0), list(self._read(rows))

    def used_bytes(self, user_id: int) -> int:
        """What a person has asked for and got, or still waits for."""
        row = self._database.row(
            "SELECT coalesce(sum(coalesce(size_bytes, asked_bytes, 0)), 0) FROM jobs"
            " WHERE user_id = ? AND state NOT IN ('failed', 'cancelled')",
            (user_id,),
        )
        return int(row[0]) if row else 0

    # Changing

    def touch(self, job: Job) -> None:
        """It looks different now."""
        self.version += 1
        job.version = self.version

    def add(self, job: Job) -> None:
        """A new job."""
        with self.lock:
            marks = ", ".join("?" * len(_COLUMNS))
            self._database.run(f"INSERT INTO jobs ({', '.join(_COLUMNS)}) VALUES ({marks})", _values(job))
            self.turns += 1
            self._put(job)

    def need(self, job: Job, need: Need, at: float) -> None:
        """Somebody needs it."""
        with self.lock:
            if need in job.needs:
                return
            self.turns += 1
            job.needs = job.needs | {need}
            values = (job.id, need.user_id, need.environment, need.name, need.path, at)
            self._database.run(
                "INSERT OR REPLACE INTO needs (job_id, user_id, environment, name, path, created_at) VALUES (?, ?, ?, ?, ?, ?)",
                values,
            )
            self.touch(job)

    def leave(self, job: Job, user_id: int) -> None:
        """Somebody needs it no more; another one who does stands for it."""
        with self.lock:
            job.needs = frozenset(need for need in job.needs if need.user_id != user_id)
            self._database.run("DELETE FROM needs WHERE job_id = ? AND user_id = ?", (job.id, user_id))
            if job.user_id == user_id:
                job.user_id = min((need.user_id for need in job.needs), default=user_id)
            self.save(job)

    def without(self, user_id: int) -> None:
        """Somebody's account is gone: what was asked for stays, and is another's, or nobody's."""
        with self.lock:
            for job in self._jobs.values():
                if job.user_id == user_id or any(need.user_id == user_id for need in job.needs):
                    job.needs = frozenset(need for need in job.needs if need.user_id != user_id)
                    if job.user_id == user_id:
                        job.user_id = min((need.user_id for need in job.needs), default=None)
                    self.save(job)

    def save(self, job: Job) -> None:
        """Write it down as it is."""
        with self.lock:
            sets = ", ".join(f"{column} = ?" for column in _COLUMNS)
            self._database.run(f"UPDATE jobs SET {sets} WHERE id = ?", (*_values(job), job.id))
            if job.state in ENDED and job.id not in self._ended:
                self._ended.append(job.id)
                self._trim()
            elif job.state not in ENDED and job.id in self._ended:
                self._ended.remove(job.id)
            self.turns += 1
            self.touch(job)

    def bring_back(self, job: Job) -> None:
        """Into memory again: one that ended long ago gets another turn."""
        with self.lock:
            if job.id not in self._jobs:
                self._put(job)

    def forget(self, job: Job) -> None:
        """Strike it from the history; the file stays in the store."""
        with self.lock:
            self._database.run("DELETE FROM jobs WHERE id = ?", (job.id,))
            self._drop(job.id)

    def _trim(self) -> None:
        while len(self._ended) > _MOST_ENDED:
            self._drop(self._ended[0])

    def _drop(self, job_id: str) -> None:
        job = self._jobs.pop(job_id, None)
        if job is None:
            return
        if job_id in self._ended:
            self._ended.remove(job_id)
        if self._by_key.get(job.key) is job:
            del self._by_key[job.key]
        self.turns += 1
        self.version += 1
        self._gone.append((self.version, job_id, job.state))


def _turn(job: Job) -> tuple[bool, int, float]:
    return job.state is not JobState.ACTIVE, -job.priority, job.rank


def _values(job: Job) -> list[object]:
    plain: dict[str, object] = {
        "mirrors": json.dumps(job.mirrors),
        "digest": str(job.digest) if job.digest else None,
        "state": job.state.value,
        "error": json.dumps(job.error) if job.error else None,
    }
    return [plain.get(column, getattr(job, column)) if column not in plain else plain[column] for column in _COLUMNS]
