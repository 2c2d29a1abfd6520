"""Make the disk match the file: decide, link what the store has, fetch what is missing, place it, write it down."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from conda_assets.api.members import is_several, strays
from conda_assets.api.options import Options, choose
from conda_assets.api.pinning import name_lock
from conda_assets.api.places import place_of, still_stands
from conda_assets.api.placing import Ledger
from conda_assets.api.rooting import Registration
from conda_assets.api.unpacking import Beside, check_archive
from conda_assets.digest import Digest
from conda_assets.errors import AssetsError, HashRequired, Offline
from conda_assets.events import Event, Failed, Finished, Observer, Planned, nobody
from conda_assets.model import Asset, Outcome, Placed, Plan, Report, Spec, State, Step, Stored, Target, Verb, last_part, shown_url
from conda_assets.plan import Choice, Disk, make_plan, url_key, why_not
from conda_assets.receipt import read_receipt
from conda_assets.settings import Settings
from conda_assets.store import Store, open_stores

if TYPE_CHECKING:
    from conda_assets.fetch import Arrival, Salvage, Want

__all__ = ["fetch_url", "one_at_a_time", "preview", "sync", "want_key"]


def preview(
    spec: Spec, target: Target, settings: Settings, *, options: Options | None = None, environ: Mapping[str, str] | None = None
) -> Plan:
    """What `sync` would do; touches nothing, asks nobody. The target's prefix need not exist yet.

    Raises:
        UsageError: a group or a name that the file does not have.
    """
    options = options or Options()
    environ = os.environ if environ is None else environ
    placed = read_receipt(target.prefix) if options.place else {}
    return _plan(spec, target, settings, choose(spec, target, settings, options, environ), placed)


def _plan(spec: Spec, target: Target, settings: Settings, choice: Choice, placed: Mapping[str, Placed]) -> Plan:
    store = open_stores(settings.stores)
    disk = Disk(placed, lambda each: still_stands(target, each), lambda asset: _find(store, asset))
    return make_plan(spec.assets, choice, disk, str(target.project))


def sync(
    spec: Spec,
    target: Target,
    settings: Settings,
    *,
    options: Options | None = None,
    watch: Observer = nobody,
    environ: Mapping[str, str] | None = None,
) -> Report:
    """Make the disk match the file. A failed asset does not stop the others; the report says what became of each.

    Raises:
        UsageError: a group or a name that the file does not have.
        KeyboardInterrupt: as raised; what has arrived is kept and what was placed is written down.
    """
    options = options or Options()
    environ = os.environ if environ is None else environ
    watch = one_at_a_time(watch)
    choice = choose(spec, target, settings, options, environ)
    unlisted: Mapping[str, AssetsError] = {}
    if any(is_several(asset) for asset in spec.assets):
        from conda_assets.api.expand import expanded

        placed = read_receipt(target.prefix) if options.place else {}
        if options.stage is not None:
            # Offline, the environment itself knows the files of a pattern.
            placed = {**read_receipt(options.stage.origin.prefix), **placed}
        spec, unlisted = expanded(spec, lambda asset: not why_not(asset, choice), placed, settings, watch)
        choice = choose(spec, target, settings, options, environ)
    run = _Sync(spec, target, settings, options, watch, environ)
    run.unlisted = unlisted
    report = run.report(_plan(spec, target, settings, choice, run.placed))
    if settings.remotes:
        from conda_assets.api.pushing import after_sync

        after_sync(report, spec.assets, settings, watch)
    return report


def fetch_url(
    url: str, *, digest: Digest | None, settings: Settings, watch: Observer = nobody, environ: Mapping[str, str] | None = None
) -> Path:
    """Bring one file into the store and give its path there, read-only.

    Raises:
        AssetsError: it could not be brought.
    """
    name = last_part(url) or "download"
    asset = Asset(name=name, url=url, path=name, digest=digest)
    nowhere = Path(os.devnull)
    spec = Spec(assets=(asset,), sources=(shown_url(url),), base=nowhere)
    report = sync(spec, Target(nowhere, nowhere), settings, options=Options(place=False), watch=watch, environ=environ)
    outcome = report.outcomes[0]
    if outcome.error is not None:
        raise outcome.error
    assert outcome.path is not None
    return outcome.path


def _find(store: Store, asset: Asset) -> Stored | None:
    return store.find(asset.digest) if asset.digest else store.find_url(asset.url)


def one_at_a_time(watch: Observer) -> Observer:
    """Workers report from several threads; faces need not care."""
    lock = threading.Lock()

    def locked(event: Event) -> None:
        with lock:
            watch(event)

    return locked


class _Sync:
    def __init__(
        self, spec: Spec, target: Target, settings: Settings, options: Options, watch: Observer, environ: Mapping[str, str]
    ) -> None:
        self._spec, self._target, self._settings, self._options = spec, target, settings, options
        self._watch, self._environ = watch, environ
        self._store = open_stores(settings.stores, holds=True)
        # Whoever is led to files of a store is known to that one: nobody else's is written by a node that has copies.
        self._leading = options.stage.store if options.stage else self._store
        # A node's disk and its network card want more than one stream.
        self._beside = Beside(watch, settings.jobs) if options.stage else Beside(watch)
        self._ledger = Ledger(target, self._beside.watch) if options.place else None
        self._outcomes: dict[str, Outcome] = {}
        self.unlisted: Mapping[str, AssetsError] = {}
        self._registration: Registration | None = None

    @property
    def placed(self) -> Mapping[str, Placed]:
        """The receipt."""
        return self._ledger.placed if self._ledger else {}

    def report(self, plan: Plan) -> Report:
        self._watch(Planned(plan))
        if self._ledger:
            hoped = frozenset(sha256 for step in plan.steps if (sha256 := _sha256_of(step)))
            self._registration = Registration(self._leading, self._target, hoped)
        lost = []
        try:
            # Files first: one may have to leave the place of a folder.
            for step in sorted(plan.steps, key=lambda step: step.asset.unpack is not None):
                if step.verb is Verb.LINK and step.stored is not None:
                    # Found again, and held: a collector may have come between the plan and now.
                    if (stored := self._store.find(Digest("sha256", step.stored.sha256))) is not None:
                        self._settle(step.asset, stored)
                    else:
                        lost.append(step.asset)
                elif step.verb in (Verb.SKIP, Verb.KEEP):
                    self._outcomes[step.asset.name] = self._idle(step)
                    if self._ledger and step.placed and step.placed.unpack:
                        self._beside.begin(partial(self._ledger.tidy, step.placed))
            self._fetch([step.asset for step in plan.of(Verb.FETCH)] + lost)
            self._beside.finish()
            if self._ledger and self._options.prune:
                self._ledger.remove(strays(self._ledger.placed, self._spec))
        finally:
            self._beside.close()
            if self._ledger:
                self._ledger.close()
            with closing(self._store), closing(self._leading):
                self._write_down()
        outcomes = tuple(self._outcomes[asset.name] for asset in self._spec.assets)
        return Report("sync" if self._options.place else "fetch", self._target, self._spec.sources, outcomes)

    def _write_down(self) -> None:
        if self._ledger and self._registration:
            self._ledger.save()
            # Before the store lets go of what was held.
            self._registration.settle(self._ledger.placed)

    def _fetch(self, assets: list[Asset]) -> None:
        wants = self._wants(assets) if assets else []
        if not wants:
            return
        # Transports and publishers: 60 ms, for who has something to fetch.
        from conda_assets.api.bringing import bring_all

        arrivals = bring_all(wants, self._store, self._settings, self._environ, self._watch)
        with closing(arrivals):  # type: ignore[type-var]
            for arrival in arrivals:
                self._arrived(arrival)

    def _wants(self, assets: list[Asset]) -> list[Want]:
        """What really has to come, one want for all assets that share bytes; the rest is settled here."""
        shared: dict[str, list[Asset]] = {}
        for asset in assets:
            if (error := self._refusal(asset)) is not None:
                self._fail(asset, error)
            elif self._ledger and (placed := self._ledger.adopt(asset)):
                path = place_of(self._target, placed)
                self._watch(Finished(asset.name, State.KEPT, placed.size_bytes, 0, 0.0, str(path)))
                because = "already there, with the right bytes"
                self._outcomes[asset.name] = self._outcome(
                    asset,
                    State.KEPT,
                    because=because,
                    path=path,
                    size_bytes=placed.size_bytes,
                    sha256=placed.sha256,
                    link=placed.link,
                )
            else:
                left = None if asset.digest else self._left_of([asset])
                # Of their own: what is taken over of a damaged file must not become a part of another version of it.
                shared.setdefault(f"sha256-{left.sha256}" if left else want_key(asset), []).append(asset)
        from conda_assets.fetch import Want

        return [Want(key, tuple(group), salvage=self._left_of(group)) for key, group in shared.items()]

    def _left_of(self, assets: list[Asset]) -> Salvage | None:
        return next((left for asset in assets if (left := self._options.salvage.get(asset.name))), None)

    def _refusal(self, asset: Asset) -> AssetsError | None:
        if asset.name in self.unlisted:
            return self.unlisted[asset.name]
        if self._options.require_hashes and asset.digest is None:
            return HashRequired(asset.name, f"{asset.file}:{asset.line} has no hash, and hashes are required")
        if self._settings.offline:
            return Offline(asset.name, "not in the store, and the network may not be used (offline)")
        return None

    def _arrived(self, arrival: Arrival) -> None:
        for index, asset in enumerate(arrival.want.assets):
            if arrival.error is not None:
                self._fail(asset, arrival.error)
            elif arrival.stored is not None:
                # The bytes came once; the other assets that share them are linked.
                first = arrival if arrival.fetched and index == 0 else None
                self._settle(asset, arrival.stored, first)
        if self._ledger:
            self._ledger.save(now=False)

    def _settle(self, asset: Asset, stored: Stored, arrival: Arrival | None = None) -> None:
        """Put what is stored where it belongs; an archive is unpacked, and a copy staged, beside what else goes on."""
        stage = self._options.stage
        if self._ledger and self._registration:
            self._registration.announce(self._ledger.placed)
        if self._ledger is None or (asset.unpack is None and stage is None):
            self._put(asset, stored, time.monotonic(), arrival=arrival)
            return
        ledger = self._ledger

        def work() -> None:
            since = time.monotonic()
            try:
                here = stage.bring(asset, stored, self._beside.watch) if stage else stored
                if arrival is None and asset.unpack is not None:
                    check_archive(asset, here, self._leading, self._beside.watch)
            except AssetsError as error:
                self._fail(asset, error)
                return
            self._put(asset, here, since, arrival=arrival)
            ledger.save(now=False)

        self._beside.begin(work)

    def _put(self, asset: Asset, stored: Stored, since: float, *, arrival: Arrival | None = None) -> None:
        try:
            link, path = None, stored.path
            if self._ledger:
                placed, path = self._ledger.put(asset, stored, revision=arrival.revision if arrival else None)
                link = placed.link
        except AssetsError as error:
            self._fail(asset, error)
            return
        state = State.FETCHED if arrival else State.LINKED
        put_s = time.monotonic() - since
        seconds = (arrival.seconds if arrival else 0.0) + put_s
        count = arrival.bytes_fetched if arrival else 0
        self._outcomes[asset.name] = self._outcome(
            asset,
            state,
            path=path,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            link=link,
            bytes_fetched=count,
            seconds=seconds,
            source=arrival.source if arrival else None,
        )
        unpack_s = put_s if asset.unpack and self._ledger else 0.0
        self._watch(Finished(asset.name, state, stored.size_bytes, count, seconds, str(path), unpack_s))

    def _fail(self, asset: Asset, error: AssetsError) -> None:
        error = name_lock(error, asset)
        self._outcomes[asset.name] = self._outcome(asset, State.FAILED, because=error.message, error=error)
        self._watch(Failed(asset.name, error.message, tuple(hint.text for hint in error.hints), asset.optional))

    def _idle(self, step: Step) -> Outcome:
        state = State.KEPT if step.verb is Verb.KEEP else State.SKIPPED
        if step.placed is None:
            return self._outcome(step.asset, state, because=step.because)
        placed = step.placed
        return self._outcome(
            step.asset,
            state,
            because=step.because,
            path=place_of(self._target, placed),
            size_bytes=placed.size_bytes,
            sha256=placed.sha256,
            link=placed.link,
        )

    def _outcome(self, asset: Asset, state: State, *, source: str | None = None, **rest: object) -> Outcome:
        return Outcome(
            asset.name,
            state,
            source=source or shown_url(asset.url),
            pinned=asset.digest is not None,
            optional=asset.optional,
            unpack=asset.unpack if self._ledger else None,
            **rest,  # type: ignore[arg-type]
        )


def _sha256_of(step: Step) -> str | None:
    """Of what the step may place, where that is known."""
    if step.verb is Verb.LINK and step.stored is not None:
        return step.stored.sha256
    return step.asset.digest.hex if step.asset.digest and step.asset.digest.algorithm == "sha256" else None


def want_key(asset: Asset) -> str:
    """The store's name for what the asset asks for; safe as a file name."""
    return f"{asset.digest.algorithm}-{asset.digest.hex}" if asset.digest else f"url-{url_key(asset.url)}"
