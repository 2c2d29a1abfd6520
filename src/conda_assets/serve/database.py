"""The centre's memory: one SQLite file, written ahead (WAL), so that a kill at any time loses nothing that was answered for.

<data>/centre.db        users, tokens, sessions, jobs, needs, settings, audit; 0600 in a folder of 0700
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from conda_assets.errors import StoreFailed, UsageError
from conda_assets.model import shown_url

__all__ = ["Database", "Row"]

_VERSION = 1
# A job's id is aria2's kind of GID: 16 hex digits. `rank`: place in the queue. Times are seconds since 1970.
_SCHEMA = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL, password TEXT, quota_bytes INTEGER,
    disabled INTEGER NOT NULL DEFAULT 0, created_at REAL NOT NULL);
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE, label TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE, created_at REAL NOT NULL, used_at REAL);
CREATE TABLE sessions (
    digest TEXT PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE, csrf TEXT NOT NULL,
    ends_at REAL NOT NULL);
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, key TEXT NOT NULL, name TEXT NOT NULL, url TEXT NOT NULL, mirrors TEXT NOT NULL, digest TEXT,
    asked_bytes INTEGER, slack_bytes INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL, rank REAL NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0, user_id INTEGER REFERENCES users(id) ON DELETE SET NULL, size_bytes INTEGER,
    sha256 TEXT, error TEXT, source TEXT, bytes_fetched INTEGER NOT NULL DEFAULT 0, seconds REAL NOT NULL DEFAULT 0,
    created_at REAL NOT NULL, started_at REAL, ended_at REAL);
CREATE INDEX jobs_by_state ON jobs (state, ended_at);
CREATE INDEX jobs_by_key ON jobs (key);
CREATE INDEX jobs_by_user ON jobs (user_id);
CREATE TABLE needs (
    job_id TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    environment TEXT NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL, created_at REAL NOT NULL,
    PRIMARY KEY (job_id, user_id, environment, name));
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE audit (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, user TEXT NOT NULL, address TEXT NOT NULL, action TEXT NOT NULL,
    detail TEXT NOT NULL);
"""

# Of a job whose URL is not in a backup as it was.
_LOST = {"code": "refused", "message": "its URL held a secret, which a backup does not keep", "hints": ["ask for it again"]}

Row = sqlite3.Row
_T = TypeVar("_T")


class Database:
    """One connection for all threads, one statement or transaction at a time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "centre.db"
        self._lock = threading.RLock()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Before SQLite makes it, with the mode of the process: it holds URLs, which may be secret.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self._connection = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
            self._connection.create_function("shown", 1, shown_url, deterministic=True)
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise UsageError(
                f"the centre's data cannot be kept in {folder}: {error}", "name a folder with `--data DIR`"
            ) from error

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        # Without a sync for each commit: a kill loses nothing, a power cut the last seconds, and the queue stays whole.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.execute("PRAGMA busy_timeout = 5000")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
        elif version > _VERSION:
            raise UsageError(
                f"{self.path} has version {version}, this program knows {_VERSION}",
                "update conda-assets, or name another `--data`",
            )

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Everything that a SELECT gives."""
        return self._execute(statement, values, lambda cursor: cursor.fetchall())

    def row(self, statement: str, values: Sequence[object] = ()) -> Row | None:
        """The first row."""
        found: Row | None = self._execute(statement, values, lambda cursor: cursor.fetchone())
        return found

    def run(self, statement: str, values: Sequence[object] = ()) -> int:
        """Change something; gives how many rows were changed."""
        return self._execute(statement, values, lambda cursor: cursor.rowcount)

    def insert(self, statement: str, values: Sequence[object] = ()) -> int:
        """Add a row; gives its number."""
        return self._execute(statement, values, lambda cursor: cursor.lastrowid or 0)

    def _execute(self, statement: str, values: Sequence[object], of: Callable[[sqlite3.Cursor], _T]) -> _T:
        with self._lock:
            try:
                return of(self._connection.execute(statement, values))
            except sqlite3.Error as error:
                raise StoreFailed(f"the centre's database {self.path} cannot be used: {error}") from error

    @contextmanager
    def together(self) -> Iterator[None]:
        """All of it or nothing of it. May be nested; the outermost decides."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def note(self, user: str, address: str, action: str, detail: str = "") -> None:
        """A line of the audit log."""
        values = (time.time(), user, address, action, detail[:1000])
        self.run("INSERT INTO audit (at, user, address, action, detail) VALUES (?, ?, ?, ?, ?)", values)

    def setting(self, key: str, default: str = "") -> str:
        """A value that was kept."""
        found = self.row("SELECT value FROM settings WHERE key = ?", (key,))
        return str(found["value"]) if found else default

    def keep(self, key: str, value: str) -> None:
        """Keep a value."""
        self.run(
            "INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
        )

    def back_up(self, into: Path) -> None:
        """A copy of everything as it is now, while the centre goes on; `into` appears when it is whole.

        What may be secret in URLs is not in it: it is copied to other places. Jobs that need it have failed there, and say why.

        Raises:
            StoreFailed: it cannot be written.
        """
        beside = into.with_name(f".{into.name}.{os.getpid()}")
        try:
            os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with closing(sqlite3.connect(beside)) as copy:
                # In steps, so that others get at the database in between.
                self._connection.backup(copy, pages=256)
                _mask(copy)
            beside.replace(into)
        except (OSError, sqlite3.Error) as error:
            beside.unlink(missing_ok=True)
            raise StoreFailed(f"the backup {into} cannot be written: {error}") from error

    def close(self) -> None:
        """Write what is in the log into the file. Nothing may be asked any more."""
        with self._lock:
            self._connection.close()


def _mask(copy: sqlite3.Connection) -> None:
    """Take out what may be secret: also of pages that are free now, so that nothing is left of it in the file."""
    copy.create_function("shown", 1, shown_url, deterministic=True)
    copy.create_function("all_shown", 1, lambda text: json.dumps([shown_url(url) for url in json.loads(text)]))
    copy.execute("DELETE FROM sessions")
    copy.execute(
        "UPDATE jobs SET state = 'failed', ended_at = ?, error = ?"
        " WHERE (shown(url) != url OR all_shown(mirrors) != mirrors) AND state IN ('queued', 'active', 'paused')",
        (time.time(), json.dumps(_LOST)),
    )
    copy.execute("UPDATE jobs SET url = shown(url), mirrors = all_shown(mirrors), source = shown(coalesce(source, ''))")
    copy.commit()
    copy.execute("VACUUM")
