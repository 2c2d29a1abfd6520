"""Many connections a file, by a private aria2c that lives as long as the run.

aria2 moves the bytes; what it says of them is not believed but checked, and what it forgets is kept beside them (`partial`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from conda_assets.errors import (
    AccessDenied,
    AssetFailed,
    AssetsError,
    DiskRefused,
    EngineFailed,
    NetworkFailed,
    NoSource,
    UpstreamChanged,
)
from conda_assets.model import shown_url
from conda_assets.records import replace
from conda_assets.settings import Network
from conda_assets.transport import Job, Tiding, bittorrent, orders
from conda_assets.transport.answers import Answers, trouble_with
from conda_assets.transport.daemon import Daemon
from conda_assets.transport.door import Door
from conda_assets.transport.failures import of_complaints, of_disk, shown_source
from conda_assets.transport.flushing import Flusher
from conda_assets.transport.live import KEYS, Live, Row, pin_of, read_rows
from conda_assets.transport.partial import Journal, Partial
from conda_assets.transport.pieces import empty_bits
from conda_assets.transport.rpc import Call, Refused
from conda_assets.web.reach import origin_of

if TYPE_CHECKING:
    from conda_assets.transport.broker import Broker, Route

__all__ = ["Aria2"]

_STOP_S = 30.0
_LOOK_S = 0.02
_ENDED = ("complete", "error", "removed")
# Codes after which a server is asked the plain way: it may have stumbled over requests sent ahead.
_STUMBLES = frozenset({1, 2, 5, 6, 8, 22})


class Aria2:
    """See `Transport`. aria2c starts with the first job.

    `scratch`: folder of ours (0700) for the conf file with the secret, removed at the end. `limit_rate`: bytes per second in all.
    `inherit_fds`: open files that aria2c shall hold as long as it lives. `files_at_once`: further jobs wait. `stall_s`: without a
    new byte, until a transfer counts as stalled. `log`: file for aria2's own log, which may hold URLs and headers.
    """

    def __init__(
        self,
        binary: Path,
        network: Network,
        *,
        scratch: Path,
        limit_rate: int | None = None,
        inherit_fds: tuple[int, ...] = (),
        files_at_once: int = 32,
        stall_s: float = 60.0,
        log: Path | None = None,
    ) -> None:
        self._binary, self._network, self._scratch, self._stall_s = binary, network, scratch, stall_s
        self._limit_rate, self._inherit, self._files, self._log = limit_rate, inherit_fds, files_at_once, log
        self._daemon: Daemon | None = None
        self._broker: Broker | None = None
        self._lost: EngineFailed | None = None
        self._version, self._closed = "", False
        self._features: frozenset[str] = frozenset()
        self._queued: list[Job] = []
        self._live: dict[str, Live] = {}
        self._plain: set[tuple[str, str, int]] = set()
        self._heard_at = time.monotonic()
        self._door: Door | None = None
        self._answers: Answers | None = None
        self._flusher = Flusher()

    @property
    def name(self) -> str:
        """For people: `aria2 1.37.0 (/usr/bin/aria2c)`."""
        return f"aria2 {self._version} ({self._binary})" if self._version else f"aria2 ({self._binary})"

    @property
    def pid(self) -> int | None:
        """The process id of aria2c, None before the first job."""
        return self._daemon.pid if self._daemon else None

    def wake(self) -> None:
        """Start aria2c before there is a job.

        Raises:
            EngineFailed: it does not start.
        """
        self._running()

    def log_begun(self) -> None:
        """aria2c has opened its own log, if it has one; nothing is to be done about that."""

    def start(self, jobs: Sequence[Job]) -> None:
        """Queue them; they are handed over in one request with the next poll."""
        self._queued += jobs

    def poll(self) -> list[Tiding]:
        """See `Transport`."""
        if self._lost is not None:
            raise self._lost
        tidings = self._hand_over()
        if self._live:
            tidings += self._listen()
        return tidings

    def stop(self, job_id: str) -> None:
        """See `Transport`."""
        self._queued = [job for job in self._queued if job.id != job_id]
        live = next((each for each in self._live.values() if each.job.id == job_id), None)
        if live is not None:
            self._halt(live)

    def limit(self, bytes_per_s: int | None) -> None:
        """See `Transport`."""
        self._limit_rate = bytes_per_s
        if self._daemon is not None:
            self._ask([Call("changeGlobalOption", (orders.pace(bytes_per_s),))])

    def close(self) -> None:
        """See `Transport`."""
        idle = not self._live
        self._queued.clear()
        self._live.clear()
        self._closed = True
        self._flusher.close()
        if self._daemon is not None:
            self._daemon.stop(idle=idle)
            self._daemon = None
        self._close_broker()
        self._close_answers()
        if self._door is not None:
            self._door.close()
        (self._scratch / "authorities.pem").unlink(missing_ok=True)
        with suppress(OSError):  # not there any more, or others keep something in it
            self._scratch.rmdir()

    # Handing over

    def _hand_over(self) -> list[Tiding]:
        jobs, self._queued = self._queued, []
        tidings, ready = [], []
        # aria2 takes a torrent once: its files come one after the other.
        busy = {live.job.swarm.info_hash for live in self._live.values() if live.job.swarm}
        for job in jobs:
            if job.swarm is not None and job.swarm.info_hash in busy:
                self._queued.append(job)
                continue
            busy |= {job.swarm.info_hash} if job.swarm else set()
            try:
                made = self._prepare(job)
            except EngineFailed:
                raise
            except AssetsError as error:
                made = Tiding(job.id, 0, job.size_bytes, 0, 0, 0.0, 0, error=error)
            if isinstance(made, Tiding):
                tidings.append(made)
            else:
                ready.append(made)
        if ready:
            tidings += self._add(ready)
        return tidings

    def _prepare(self, job: Job) -> Tiding | tuple[Live, Call]:
        """What there is to do for a job, after a look at what an earlier run left."""
        if job.swarm is not None:
            return self._prepare_swarm(job)
        partial, pin = Partial(job.into), pin_of(job)
        if any(url.startswith("sftp:") for url in job.urls) and not self._has("SFTP"):
            raise NoSource(
                job.id, f"{self.name} was built without SFTP", "use conda-forge's: `conda install -c conda-forge aria2`"
            )
        plain = any(origin_of(url) in self._plain for url in job.urls)
        try:
            # aria2 would make the folder, wherever it is.
            job.into.parent.stat()
            left = partial.resume(pin, salvage=job.checked)
            if job.size_bytes == 0:
                os.close(os.open(job.into, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                return Tiding(job.id, 0, 0, 0, 0, 0.0, 0, done=True)
            if left is not None and left.complete:
                return Tiding(job.id, left.size_bytes, left.size_bytes, left.size_bytes, 0, 0.0, 0, done=True)
            length = left.piece_bytes if left else orders.piece_bytes(job, plain=plain)
            live = Live(job, "", partial, left.done_bytes if left else 0, plain, self._routes(job))
            metalink = self._has("Metalink")
            self._door = door = self._door or Door()
            call = orders.order(
                job, self._network, urls=live.urls, length=length, plain=plain, metalink=metalink, closed=door.url
            )
            if left is None and pin.size_bytes is not None:
                # From the first byte on it is known whose bytes these are.
                partial.write_journal(Journal(pin, length, empty_bits(pin.size_bytes, length)))
        except OSError as error:
            raise of_disk(job, error) from error
        return live, call

    def _prepare_swarm(self, job: Job) -> Tiding | tuple[Live, Call]:
        if not self._has("BitTorrent"):
            if not job.in_swarm_alone:
                return self._prepare(replace(job, swarm=None))
            raise NoSource(job.id, f"{self.name} was built without BitTorrent", "`conda install -c conda-forge aria2` brings one")
        try:
            job.into.parent.stat()
            live = Live(job, "", Partial(job.into), 0, plain=True, routes=self._routes(job))
            urls = () if job.in_swarm_alone else live.urls
            asked = (*urls, job.swarm.tracker) if job.swarm and urls else ()
            direct = [urlsplit(route.url).hostname or "" for route in live.routes.values()]
            call = bittorrent.first_order(job, self._network, orders.proxy_options(asked, self._network, direct=direct), urls)
        except OSError as error:
            raise of_disk(job, error) from error
        live.metadata = call.method == "addUri"
        return live, call

    def _swarm_ended(self, live: Live) -> Tiding | None:
        """Go on with the file when its torrent has come; None when the file is in its place."""
        try:
            if live.metadata:
                call = bittorrent.second_order(live.job, self._network, orders.proxy_options((), self._network, direct=[]))
                live.metadata, live.row = False, None
                return next(iter(self._add([(live, call)])), live.tiding())
            bittorrent.take(live.job)
        except AssetsError as error:
            return live.tiding(error=error)
        except OSError as error:
            return live.tiding(error=of_disk(live.job, error))
        return None

    def _add(self, ready: Sequence[tuple[Live, Call]]) -> list[Tiding]:
        daemon, tidings = self._running(), []
        for live, _ in ready:
            if live.blind:
                self._listen_to_servers().follow(live.urls)
        mark = daemon.said_bytes()
        results = daemon.rpc.calls([call for _, call in ready], repeatable=False)
        for (live, _), result in zip(ready, results, strict=True):
            if isinstance(result, Refused):
                self._drop(live)
                error = AssetFailed(live.job.id, f"aria2 does not take the job: {result.said}")
                tidings.append(live.tiding(error=error))
                continue
            live.said_bytes = mark
            live.gid = str(result[0] if isinstance(result, list) and result else result)
            self._live[live.gid] = live
        self._heard_at = time.monotonic()
        return tidings

    def _routes(self, job: Job) -> dict[str, Route]:
        """The broker's stand-ins for what aria2 must not ask itself."""
        if job.fresh and self._broker is None:
            from conda_assets.transport.broker import Broker  # http.server: 10 ms, for credentials and expiring links

            self._broker = Broker(self._network)
            if self._network.admit is not None:
                self._network.admit(self._broker.port)
        return {url: self._broker.route(job.id, ask) for url, ask in job.fresh.items()} if self._broker else {}

    def _listen_to_servers(self) -> Answers:
        """Have aria2 write down what it is answered, where only we can read it: there may be URLs and headers in it."""
        if self._answers is None:
            path = self._log or self._scratch / "aria2.answers"
            if self._log is None:
                path.unlink(missing_ok=True)
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                self._ask([Call("changeGlobalOption", ({"log": str(path), "log-level": "info"},))])
            self._answers = Answers(path.open("rb"))
            if self._log is None:
                with suppress(OSError):  # not of an open file on every system
                    path.unlink()
        return self._answers

    def _close_answers(self) -> None:
        if self._answers is not None:
            self._answers.close()
            self._answers = None
            (self._scratch / "aria2.answers").unlink(missing_ok=True)

    def _doubt(self, live: Live) -> AssetsError | None:
        """What speaks against the bytes of a file that has no digest: its parts may be those of several files."""
        if self._answers is None or not live.blind:
            return None
        for url, asked in zip(live.job.urls, live.urls, strict=True):
            if trouble := trouble_with(self._answers.of(asked), url, live.job.page):
                return UpstreamChanged(live.job.id, f"{shown_url(url)} {trouble}")
        return None

    def _drop(self, live: Live) -> None:
        if self._answers is not None:
            self._answers.forget(live.urls)
        for route in live.routes.values():
            if self._broker is not None:
                self._broker.drop(route)

    def _close_broker(self) -> None:
        if self._broker is not None:
            self._broker.close()
            self._broker = None

    def _running(self) -> Daemon:
        if self._closed:
            raise EngineFailed("this transport is closed")
        if self._lost is not None:
            raise self._lost
        if self._daemon is None:
            options = orders.conf(
                self._network, scratch=self._scratch, limit_rate=self._limit_rate, files_at_once=self._files, log=self._log
            )
            if self._log is not None:
                # Before aria2c makes it: it may hold what others must not read.
                os.close(os.open(self._log, os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600))
            self._daemon = Daemon(self._binary, options, scratch=self._scratch, inherit_fds=self._inherit)
            if self._log is not None:
                # As long as it has a name.
                self._listen_to_servers()
            self.log_begun()
            said = self._daemon.rpc.call("getVersion")
            if isinstance(said, dict):
                self._version = str(said.get("version", ""))
                self._features = frozenset(said.get("enabledFeatures", ()))
        return self._daemon

    def _has(self, feature: str) -> bool:
        """This aria2c was built with it: `Metalink`, `SFTP`, `BitTorrent`."""
        self._running()
        return feature in self._features

    # Listening

    def _listen(self) -> list[Tiding]:
        active, stopped = (
            read_rows(each) for each in self._ask([Call("tellActive", (KEYS,)), Call("tellStopped", (0, 1000, KEYS))])
        )
        tidings, now = [], time.monotonic()
        if active or stopped:
            self._heard_at = now
        elif now - self._heard_at > self._stall_s:
            raise self._lose(EngineFailed(f"aria2c does nothing for {self._stall_s:.0f} s"))
        ended = [row for row in stopped if row.status in _ENDED]
        if ended:
            self._ask([Call("removeDownloadResult", (row.gid,)) for row in ended])
        for row in ended:
            live = self._live.pop(row.gid, None)
            if live is not None:
                live.row = row
                tidings.append(self._ended(live, row))
        for row in active:
            if (live := self._live.get(row.gid)) is not None and live.hear(row):
                self._flusher.note(live.job.into)
        return tidings + [self._watched(live, now) for live in list(self._live.values())]

    def _watched(self, live: Live, now: float) -> Tiding:
        if (doubt := self._doubt(live)) is not None:
            self._halt(live)
            return live.tiding(error=doubt)
        if (trouble := self._flusher.trouble(live.job.into)) is not None:
            self._halt(live)
            return self._not_kept(live, trouble)
        if live.row is None or now - live.moved_at <= self._stall_s:
            return live.tiding()
        self._halt(live)
        self._plain.update(map(origin_of, live.job.urls))
        return live.tiding(
            error=NetworkFailed(live.job.id, f"stalled: no byte from {shown_source(live.job)} for {self._stall_s:.0f} s")
        )

    def _ended(self, live: Live, row: Row) -> Tiding:
        doubt, trouble = self._doubt(live), self._flusher.leave(live.job.into)
        self._drop(live)
        if trouble is not None:
            return self._not_kept(live, trouble)
        if row.status == "complete":
            if live.job.swarm and (tiding := self._swarm_ended(live)) is not None:
                return tiding
            error = _unfinished(live) or doubt
            if error is None:
                live.keep(complete=True)
                return live.tiding(done=True)
            return live.tiding(error=error)
        live.keep()
        heard = self._daemon.complaints(live.urls, live.said_bytes) if self._daemon else []
        error = _told_by_broker(live, of_complaints(live.job, [*heard, (row.code, row.said)]))
        if row.code in _STUMBLES and not live.plain and not isinstance(error, AccessDenied):
            self._plain.update(map(origin_of, live.job.urls))
        return live.tiding(error=error)

    def _not_kept(self, live: Live, trouble: OSError) -> Tiding:
        """Which of its bytes the disk has lost it does not say."""
        with suppress(OSError):
            live.partial.discard()
        return live.tiding(error=of_disk(live.job, trouble))

    def _halt(self, live: Live) -> None:
        """Take a job from aria2; returns when its files are closed and its control file is written."""
        self._live.pop(live.gid, None)
        self._flusher.leave(live.job.into)
        self._drop(live)
        self._ask([Call("forceRemove", (live.gid,))])
        deadline = time.monotonic() + _STOP_S
        while time.monotonic() < deadline:
            (result,) = self._ask([Call("tellStatus", (live.gid, KEYS))])
            rows = read_rows([result])
            if not rows or rows[0].status in _ENDED:
                if rows:
                    live.row = rows[0]
                    live.keep()
                    self._ask([Call("removeDownloadResult", (live.gid,))])
                return
            time.sleep(_LOOK_S)
        raise self._lose(EngineFailed(f"aria2c does not end a transfer within {_STOP_S:.0f} s"))

    def _ask(self, calls: Iterable[Call]) -> list[object | Refused]:
        daemon = self._daemon
        if daemon is None:
            raise EngineFailed("aria2c is gone")
        try:
            return daemon.rpc.calls(list(calls))
        except EngineFailed as error:
            words = daemon.last_words()
            if daemon.alive:
                raise self._lose(error) from None
            raise self._lose(EngineFailed(f"aria2c ended by itself{': ' + words if words else ''}")) from error

    def _lose(self, error: EngineFailed) -> EngineFailed:
        """aria2c is of no use any more: nothing of it may go on writing, and every later poll says so."""
        self._lost = error
        self._live.clear()
        if self._daemon is not None:
            self._daemon.stop()
            self._daemon = None
        self._close_broker()
        self._close_answers()
        return error


def _told_by_broker(live: Live, error: AssetsError) -> AssetsError:
    """What the broker knows of it: aria2 was only told a status."""
    if not isinstance(error, AssetFailed) or isinstance(error, (DiskRefused, UpstreamChanged)):
        return error
    return next((route.error for route in live.routes.values() if route.error is not None), error)


def _unfinished(live: Live) -> AssetsError | None:
    """Why a transfer that aria2 calls complete is not."""
    job = live.job
    try:
        size_bytes = job.into.lstat().st_size
    except OSError as error:
        return of_disk(job, error)
    if live.partial.control.exists():
        return NetworkFailed(job.id, "aria2 says complete and keeps its control file")
    if job.size_bytes is not None and size_bytes != job.size_bytes:
        return NetworkFailed(job.id, f"{shown_source(job)} sent {size_bytes} of {job.size_bytes} bytes")
    return None
