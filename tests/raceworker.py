"""Processes that sync into one store, remove environments and collect, all at once, for tests.

`python raceworker.py sync|collect WHAT`, or `main()` through `users.start_as`. It says `ready`, waits for a line, then says what
it did in one line of JSON. WHAT is JSON: `store`, `room` (for environments, and the file `stop`), `files` (name → [URL, sha256]),
`name`, `seed`, `seconds`, `churn`.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from conda_assets.api.collect import Policy, collect, survey
from conda_assets.api.options import Options
from conda_assets.api.sync import sync
from conda_assets.digest import Digest
from conda_assets.model import Asset, Spec, State, Target
from conda_assets.settings import Settings, load
from conda_assets.store import collecting


def settings_for(store: Path, home: Path) -> Settings:
    """The engine without processes: the race is about the store."""
    os.environ.update(HOME=str(home))
    return load(environ={"HOME": str(home), "CONDA_ASSETS_STORE": str(store), "CONDA_PLUGINS_ASSETS_ARIA2C": "none"})


def spec_of(files: dict[str, list[str]]) -> Spec:
    """An asset a file."""
    assets = tuple(Asset(name=name, url=url, path=name, digest=Digest("sha256", hex)) for name, (url, hex) in files.items())
    return Spec(assets=assets, sources=("environment.yml",), base=Path("/"))


def warm_up(what: dict[str, Any]) -> None:
    """Load all that a sync loads."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        settings = settings_for(place / "store", place)
        name, file = next(iter(what["files"].items()))
        sync(spec_of({name: file}), Target(place / "env", place), settings)
        with survey(settings, Policy(), os.environ) as findings:
            collect(findings)


def syncs(what: dict[str, Any]) -> dict[str, Any]:
    """Sync and check until the time is over; with `churn`, other files each time, and environments come and go."""
    dice, room = random.Random(what["seed"]), Path(what["room"])
    settings = settings_for(Path(what["store"]), room)
    fetched: Counter[str] = Counter()
    links: Counter[str] = Counter()
    errors: list[str] = []
    count, end = 0, time.monotonic() + what["seconds"]
    while count == 0 or time.monotonic() < end:
        prefix = room / f"{what['name']}-{count % 3}"
        names = sorted(dice.sample(sorted(what["files"]), 3)) if what["churn"] else list(what["files"])
        spec = spec_of({name: what["files"][name] for name in names})
        report = sync(spec, Target(prefix, room), settings, options=Options(prune=True))
        for row in report.outcomes:
            fetched[row.name] += row.state is State.FETCHED
            if row.link:
                links[row.link.value] += 1
            if row.error is not None:
                errors.append(f"{row.name}: {row.error.message}")
            elif row.path is None or hashlib.sha256(row.path.read_bytes()).hexdigest() != row.sha256:
                errors.append(f"{row.path} has other bytes")
        count += 1
        if what["churn"] and dice.random() < 0.5:
            shutil.rmtree(room / f"{what['name']}-{dice.randrange(3)}", ignore_errors=True)
    return {"syncs": count, "fetched": dict(fetched), "links": dict(links), "errors": errors}


def collects(what: dict[str, Any]) -> dict[str, Any]:
    """Collect until somebody says stop."""
    room = Path(what["room"])
    settings = settings_for(Path(what["store"]), room)
    # What is fresh stays while others are at work. Without that rule nothing but holds and marks protects anybody.
    collecting._FRESH_NS = 0
    rounds = removed = 0
    while not (room / "stop").exists():
        with survey(settings, Policy(), os.environ) as findings:
            removed += sum(each.kind == "file" for each in collect(findings))
        rounds += 1
    return {"rounds": rounds, "removed": removed, "errors": []}


def main() -> None:
    verb, what = sys.argv[1], json.loads(sys.argv[2])
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps({"sync": syncs, "collect": collects}[verb](what)), flush=True)


if __name__ == "__main__" and sys.argv[0].endswith(".py"):
    main()
