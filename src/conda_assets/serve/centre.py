"""The centre itself: its parts, put together; begun and ended."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence

from conda_assets.api.engine import limits_of, make_transport
from conda_assets.api.expand import listed
from conda_assets.api.members import is_several
from conda_assets.errors import AccessDenied, AssetsError, NetworkFailed
from conda_assets.events import Event, Noted
from conda_assets.model import Asset, Locked
from conda_assets.records import replace
from conda_assets.serve.accounts import Accounts
from conda_assets.serve.board import Board
from conda_assets.serve.carrier import Carrier
from conda_assets.serve.database import Database
from conda_assets.serve.desk import Desk
from conda_assets.serve.gate import Gate
from conda_assets.serve.jobs import JobState, Wanted
from conda_assets.serve.meter import Meter
from conda_assets.serve.options import ServeOptions
from conda_assets.serve.pace import Pace, read_pace
from conda_assets.serve.queue import Queue
from conda_assets.serve.tickets import Tickets
from conda_assets.settings import Settings
from conda_assets.sources import probe
from conda_assets.store import open_stores

__all__ = ["Centre"]

_LOG = logging.getLogger("conda_assets.serve")
# Jobs that move at once; twice what one run of `sync` takes for large files, as many of them are small.
_FILES_PER_JOB = 2
# How old the progress in a list may be.
_LISTED_S = 0.25


class Centre:
    """Owns the database, the queue, the engine, the gate. `close` it; what is under way goes on at the next start.

    `gate`: for tests; else the way out is guarded unless private addresses are allowed or a proxy of the site decides.
    """

    def __init__(self, options: ServeOptions, settings: Settings, environ: Mapping[str, str], gate: Gate | None = None) -> None:
        self.options = options
        self.started_at = time.time()
        self.database = Database(options.data)
        self.tickets = Tickets()
        self.accounts = Accounts(self.database)
        self.board = Board(self.database)
        self.store = open_stores(settings.stores)
        self._gate = gate
        if gate is None and not options.allow_private and not settings.network.proxies:
            self._gate = Gate()
        network = settings.network
        if self._gate is not None:
            network = replace(network, proxies=(("all", self._gate.url),), admit=self._gate.admit)
        self._network = network
        self._settings = replace(settings, network=network, limit_rate=None)
        self.carrier = Carrier(lambda: make_transport(self._settings, self.store, environ, _said))
        self._listing: tuple[float, int, list[dict[str, object]], bytes] = (0.0, -1, [], b"")
        self.meter = Meter(self._stock, self.store.free_bytes)
        self.queue = Queue(
            self.board,
            self.store,
            self.carrier,
            self._probe,
            limits=limits_of(settings, paced=True),
            files=int(self.database.setting("files") or _FILES_PER_JOB * settings.jobs),
            quota=self._quota,
            arrived=self.meter.stale,
        )
        self.desk = Desk(self.board, self.store, self.queue)
        default = Pace(settings.limit_rate)
        kept = self.database.setting("pace")
        self.queue.pace = read_pace(kept) if kept else default

    def start(self) -> str | None:
        """Begin; the first administrator's token when this is the first start."""
        token = self.accounts.first_start()
        if self._gate is not None:
            self._gate.start()
        self.queue.start()
        if self._settings.remotes:
            _LOG.warning("stores elsewhere are not asked by the centre, only folders are")
        return token

    def close(self) -> None:
        """Halt and put everything away."""
        self.queue.close()
        self.carrier.close()
        if self._gate is not None:
            self._gate.close()
        self.store.close()
        self.database.close()

    def admit(self, port: int) -> None:
        """Let the queue fetch from that port of this machine."""
        if self._gate is not None:
            self._gate.admit(port)

    def listed(self, wanted: Sequence[Wanted]) -> tuple[list[Wanted], list[tuple[str, str]]]:
        """(each file of what names several, and the others as they are; name and reason of what cannot be listed)."""
        several = {each.asset.name: each for each in wanted if is_several(each.asset)}
        found, refused = [each for each in wanted if each.asset.name not in several], []
        for asset, files in listed([each.asset for each in several.values()], self._settings):
            if isinstance(files, AssetsError):
                refused.append((asset.name, files.message))
            else:
                found += [Wanted(file, several[asset.name].environment) for file in files]
        return found, refused

    def set_pace(self, pace: Pace) -> None:
        """From now on, and after the next start."""
        self.queue.pace = pace
        self.database.keep("pace", json.dumps(pace.to_json()))
        self.queue.nudge()

    def set_files(self, count: int) -> None:
        """So many jobs move at once, from now on and after the next start."""
        self.queue.files = count
        self.database.keep("files", str(count))
        self.queue.nudge()

    def names(self) -> dict[int, str]:
        """Number → name of each user."""
        return self.accounts.names()

    def listing(self) -> tuple[list[dict[str, object]], bytes]:
        """All jobs in sight as the REST interface shows them, and the same as JSON: made once for all who ask at a time."""
        turns, now = self.board.turns, time.monotonic()
        made_at, made_of, rows, made = self._listing
        if made_of != turns or now - made_at > _LISTED_S:
            version, names = self.board.version, self.names()
            rows = [job.to_json(names) for job in self.board.shown()]
            made = json.dumps({"jobs": rows, "version": version}, separators=(",", ":")).encode()
            self._listing = (now, turns, rows, made)
        return rows, made

    def totals(self) -> dict[str, object]:
        """What everything adds up to now."""
        counts = dict.fromkeys((state.value for state in JobState), 0)
        speed = connections = 0.0
        for job in self.board.shown():
            counts[job.state.value] += 1
            if job.state is JobState.ACTIVE:
                speed += job.bytes_per_s
                connections += job.connections
        return {
            "bytes_per_s": round(speed),
            "connections": round(connections),
            "jobs": counts,
            "limit_rate": self.queue.pace_now(),
            "store": {"files": self.meter.files, "size_bytes": self.meter.stored_bytes, "free_bytes": self.meter.free_bytes},
        }

    def _quota(self, user_id: int) -> int | None:
        row = self.database.row("SELECT quota_bytes FROM users WHERE id = ?", (user_id,))
        return row["quota_bytes"] if row else None

    def _stock(self) -> tuple[int, int]:
        sizes = [stored.size_bytes for stored in self.store.objects()]
        return len(sizes), sum(sizes)

    def _probe(self, asset: Asset, url: str) -> Locked:
        try:
            return probe(asset, url, self._network)
        except NetworkFailed as error:
            # To whoever asks through a proxy a refusal looks like any failure of it.
            for host in self._gate.refused() if self._gate else ():
                if host in error.cause.lower():
                    raise AccessDenied(asset.name, f"{host} is in a private network, where the centre does not go") from error
            raise


def _said(event: Event) -> None:
    if isinstance(event, Noted):
        _LOG.log(logging.WARNING if event.level == "warning" else logging.INFO, "%s", event.text)
