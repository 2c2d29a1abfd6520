"""scripts/bench: measure, then write `docs/bench/`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

from bench.measure import Run, measure
from bench.peers import PEERS, missing, tuned
from bench.profiles import PROFILES
from bench.report import document, markdown, with_kept, write

_OUT = Path(__file__).parents[2] / "docs" / "bench"


def main(words: list[str] | None = None) -> int:
    """Status 1 when a bar was missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure a sync beside its peers, in turn, in one run.")
    parser.add_argument("--rounds", type=int, help="default: 5, with --quick 2")
    parser.add_argument("--quick", action="store_true", help="small sizes, no curves: a minute or two")
    parser.add_argument("--profile", action="append", metavar="NAME", choices=[each.name for each in PROFILES] + ["curves"],
                        help="only this one; repeatable")  # fmt: skip
    parser.add_argument("--peer", action="append", metavar="NAME", choices=[each.name for each in PEERS],
                        help="only this one, for a look; repeatable")  # fmt: skip
    parser.add_argument("--tuned", action="store_true",
                        help="beside aria2c with each setting that one would try by hand; writes tuned.md")  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="keep what is in the folder of profiles that are not measured now")
    parser.add_argument("--out", type=Path, help="folder for the results; default: docs/bench, with --quick none")
    parser.add_argument(
        "--work", type=Path, help="folder for files on their way, 10 GB; default: a new one in the temporary folder"
    )
    said = parser.parse_args(words)
    rounds = said.rounds or (2 if said.quick else 5)
    chosen = [
        each
        for each in PROFILES
        if (not said.profile and not (said.quick and each.axis))
        or each.name in (said.profile or ())
        or (each.axis and "curves" in (said.profile or ()))
    ]
    if said.tuned:
        chosen = [each for each in chosen if each.kind == "fetch" and not each.axis]
    absent = missing()
    for each in absent:
        print(f"not here: {each}", file=sys.stderr)
    out = said.out or (None if said.quick or said.peer else _OUT)
    machine = _machine()
    if said.keep and out is not None:
        try:
            with_kept(document([], [], machine=machine, quick=said.quick, missing=absent, tuned=said.tuned), out)
        except ValueError as error:
            parser.error(f"{out}: {error}; without --keep it is replaced, and --out names another folder")
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=said.work) as work:
        for profile in chosen:
            among = [peer for peer in PEERS if profile.takes(peer.name) and (not said.peer or peer.name in said.peer)]
            among = list(tuned(len(profile.sizes))) if said.tuned else among
            runs += measure(profile, rounds, Path(work) / profile.name, quick=said.quick, among=among, tell=_tell)
    result = document(runs, chosen, machine=machine, quick=said.quick, missing=absent, tuned=said.tuned)
    if out is None:
        print(markdown(result))
    else:
        for path in write(result, out, keep=said.keep):
            print(path)
    return int(any(bar["met"] is False for profile in result["profiles"] for bar in profile["bars"]))


def _machine() -> dict[str, object]:
    return {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "load before": round(os.getloadavg()[2], 1),
    }


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
