"""From runs to numbers for people: a JSON document, Markdown tables, a plot.

    {"schema": 1, "machine": {…}, "quick": false, "missing": ["axel: `apt install axel`"],
     "profiles": [{"name": "connection", "title": "…", "kind": "fetch", "axis": "", "skipped": "", "note": "", "load": [0.5, 2.1],
                   "rounds": 5, "on": "2026-11-26",
                   "peers": [{"name": "aria2c", "verified": false, "seconds": [3.9, …], "cpu_s": […], "ratios": […], "again": […],
                              "error": ""}],
                   "bars": [{"peer": "aria2c", "most": 1.05, "got": 1.02, "met": true}]}],
     "runs": [{"profile": "connection", "peer": "aria2c", "round": 1, "seconds": 3.9, …}]}

A ratio is ours to theirs of the same round: below 1 we were faster.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from bench.measure import Run
from bench.peers import OURS, PEERS
from bench.profiles import PROFILES, Profile

__all__ = ["document", "joined", "markdown", "plot", "write"]

Document = dict[str, Any]
# Times what the best setting by hand takes.
_BEST = 1.05


def document(
    runs: Sequence[Run],
    profiles: Sequence[Profile],
    *,
    machine: Mapping[str, object],
    missing: Sequence[str] = (),
    quick: bool = False,
    tuned: bool = False,
) -> Document:
    """Everything that was measured, and what follows from it. `tuned`: beside settings of aria2c; the best one counts."""
    return {
        "schema": 1,
        "machine": dict(machine),
        "quick": quick,
        "tuned": tuned,
        "missing": list(missing),
        "profiles": [
            _profile(each, [run for run in runs if run.profile == each.name], quick=quick, tuned=tuned)
            | {"on": date.today().isoformat()}
            for each in profiles
        ],
        "runs": [asdict(run) for run in runs],
    }


def joined(old: Document, new: Document) -> Document:
    """The new figures, and of the old ones those of profiles that were not measured anew.

    Raises:
        ValueError: they are of different machines, or sizes.
    """
    for key in ("schema", "quick", "tuned"):
        if old.get(key) != new[key]:
            raise ValueError(f"what is there has {key} = {old.get(key)}, expected {new[key]}")
    for key in ("cores", "system"):
        if old["machine"].get(key) != new["machine"].get(key):
            raise ValueError(f"what is there is of another machine: {key} {old['machine'].get(key)}")
    fresh = {each["name"]: each for each in new["profiles"]}
    stay = {each["name"]: each for each in old["profiles"] if each["name"] not in fresh}
    order = [each.name for each in PROFILES]
    profiles = sorted((*stay.values(), *fresh.values()), key=lambda each: order.index(each["name"]))
    runs = [run for run in old["runs"] if run["profile"] in stay] + new["runs"]
    return {**new, "profiles": profiles, "runs": runs}


def _profile(profile: Profile, runs: Sequence[Run], *, quick: bool, tuned: bool) -> Document:
    ours = {run.round: run for run in runs if run.peer == OURS and not run.error}
    verify = {peer.name for peer in PEERS if peer.verified}
    ranks = [peer.name for peer in PEERS]
    peers = []
    names = dict.fromkeys(run.peer for run in runs if run.peer)
    for name in sorted(names, key=lambda each: ranks.index(each) if each in ranks else len(ranks)):
        mine = [run for run in runs if run.peer == name]
        good = [run for run in mine if not run.error]
        peers.append(
            {
                "name": name,
                "verified": name in verify,
                "seconds": [run.seconds for run in good],
                "cpu_s": [run.cpu_s for run in good],
                "ratios": [ours[run.round].seconds / run.seconds for run in good if run.round in ours and run.seconds],
                "again": [run.again for run in good if run.again is not None],
                "error": next((run.error for run in mine if run.error), ""),
            }
        )
    bars = _best(peers) if tuned else [_bar(bar.peer, bar.most, peers) for bar in profile.bars]
    return {
        "name": profile.name,
        "title": _title(profile, quick=quick),
        "kind": profile.kind,
        "axis": profile.axis,
        "rounds": max((run.round for run in runs), default=0),
        "at": len(profile.sizes) if profile.axis == "files" else sum(profile.sizes),
        "note": next((run.note for run in runs if run.note), ""),
        "load": [min(run.load for run in runs), max(run.load for run in runs)] if runs else [],
        "skipped": next((run.error for run in runs if not run.peer), ""),
        "peers": peers,
        "bars": bars,
    }


def _title(profile: Profile, *, quick: bool) -> str:
    """What the profile is, and what it was where sizes were small."""
    if not quick or profile.quick_sizes == profile.sizes:
        return profile.title
    return f"{profile.title} (here only {len(profile.quick_sizes):,} of {sum(profile.quick_sizes) / 1e6:,.0f} MB in all)"


def _bar(name: str, most: float, peers: Sequence[Document]) -> Document:
    found = next((peer for peer in peers if peer["name"] == (name or OURS)), None)
    values = found["ratios" if name else "again"] if found else []
    got = median(values) if values else None
    return {"peer": name, "most": most, "got": got, "met": None if got is None else got <= most}


def _best(peers: Sequence[Document]) -> list[Document]:
    others = [each for each in peers if each["name"] != OURS and each["seconds"]]
    return [_bar(min(others, key=lambda each: median(each["seconds"]))["name"], _BEST, peers)] if others else []


def markdown(said: Document) -> str:
    """Tables for people, with what was not measured and why."""
    machine = ", ".join(f"{key} {value}" for key, value in said["machine"].items())
    title = "Beside aria2c with every setting" if said.get("tuned") else "Measured"
    lines = [f"# {title}", "", f"{machine}{'; small sizes' if said['quick'] else ''}.", ""]
    lines += [
        "Seconds are wall time, CPU user and system time with children; `ours ÷` is the ratio of our time to theirs in the same"
    ]
    lines += ["round, median (least to most): below 1 we were faster. ✓: it compares a digest.", ""]
    if said["missing"]:
        lines += ["Not here: " + "; ".join(said["missing"]) + ".", ""]
    for profile in said["profiles"]:
        lines += _section(profile)
    return "\n".join(lines).rstrip() + "\n"


def _section(profile: Document) -> list[str]:
    lines = [f"## {profile['title']}", ""]
    if profile["skipped"]:
        return [*lines, f"Skipped: {profile['skipped']}.", ""]
    if profile["load"]:
        least, most = profile["load"]
        when = f"{profile['on']}, {profile['rounds']} rounds, load of the machine {least:.1f} to {most:.1f}"
        lines += [f"{when}; {profile['note'] or 'all as it says'}.", ""]
    resumed = profile["kind"] == "resume"
    lines += [
        f"| | seconds | CPU | ours ÷ |{' fetched again |' if resumed else ''}",
        f"|---|---|---|---|{'---|' if resumed else ''}",
    ]
    for peer in sorted(profile["peers"], key=lambda each: median(each["seconds"] or [1e9])):
        name = f"**{peer['name']}**" if peer["name"] == OURS else peer["name"]
        name += " ✓" if peer["verified"] else ""
        if not peer["seconds"]:
            lines.append(f"| {name} | {peer['error'].replace('|', '/')} | | |{' |' if resumed else ''}")
            continue
        ratio = "" if peer["name"] == OURS else _spread(peer["ratios"])
        again = f" {median(peer['again']):.1%} |" if resumed and peer["again"] else ""
        lines.append(f"| {name} | {_spread(peer['seconds'])} | {median(peer['cpu_s']):.2f} | {ratio} |{again}")
    for bar in profile["bars"]:
        if bar["got"] is not None:
            what = f"ours ÷ {bar['peer']}" if bar["peer"] else "fetched again"
            lines += ["", f"{what}: {bar['got']:.2f}, the bar is {bar['most']:.3g}: {'met' if bar['met'] else '**missed**'}."]
    return [*lines, ""]


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else ""


def plot(said: Document, folder: Path) -> list[Path]:
    """A picture of all profiles, and one of the curves, as PNG and SVG; says what was written."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "bench"
    from matplotlib import pyplot

    flat = [each for each in said["profiles"] if not each["axis"] and any(peer["seconds"] for peer in each["peers"])]
    written = []
    if flat:
        figure, axes = pyplot.subplots(len(flat), 1, figsize=(9, 2.4 * len(flat)), squeeze=False)
        for axis, profile in zip(axes[:, 0], flat, strict=True):
            _bars(axis, profile)
        written += _save(figure, folder / "profiles")
    curves = [name for name in ("files", "bytes") if any(each["axis"] == name for each in said["profiles"])]
    if curves:
        figure, axes = pyplot.subplots(1, len(curves), figsize=(5.5 * len(curves), 4), squeeze=False)
        for axis, name in zip(axes[0], curves, strict=True):
            _curve(axis, name, [each for each in said["profiles"] if each["axis"] == name])
        written += _save(figure, folder / "curves")
    return written


def _bars(axis: Any, profile: Document) -> None:
    peers = sorted((each for each in profile["peers"] if each["seconds"]), key=lambda each: -median(each["seconds"]))
    middle = [median(each["seconds"]) for each in peers]
    spread = [[m - min(each["seconds"]) for m, each in zip(middle, peers, strict=True)],
              [max(each["seconds"]) - m for m, each in zip(middle, peers, strict=True)]]  # fmt: skip
    colours = ["#1f6f8b" if each["name"] == OURS else "#b8c4ca" for each in peers]
    axis.barh([each["name"] for each in peers], middle, xerr=spread, color=colours, error_kw={"elinewidth": 1, "capsize": 2})
    axis.set_title(profile["title"], loc="left", fontsize=9)
    axis.set_xlabel("seconds", fontsize=8)
    axis.tick_params(labelsize=8)


def _curve(axis: Any, name: str, profiles: Sequence[Document]) -> None:
    for peer in dict.fromkeys(peer["name"] for each in profiles for peer in each["peers"]):
        points = [
            (each["at"], median(found["seconds"]))
            for each in profiles
            for found in each["peers"]
            if found["name"] == peer and found["seconds"]
        ]
        if points:
            axis.loglog(*zip(*sorted(points), strict=True), marker="o", label=peer, linewidth=2 if peer == OURS else 1)
    axis.set_xlabel(name)
    axis.set_ylabel("seconds")
    axis.legend(fontsize=8)
    axis.grid(visible=True, which="major", alpha=0.3)


def _save(figure: Any, stem: Path) -> list[Path]:
    figure.tight_layout()
    paths = [stem.with_suffix(end) for end in (".png", ".svg")]
    for path in paths:
        figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
    figure.clear()
    return paths


def with_kept(said: Document, folder: Path) -> Document:
    """`joined` with what stands in the folder, if anything does."""
    path = folder / ("tuned.json" if said["tuned"] else "result.json")
    return joined(json.loads(path.read_text()), said) if path.exists() else said


def write(said: Document, folder: Path, *, keep: bool = False) -> list[Path]:
    """result.json, result.md, and the plots where matplotlib is; `keep`: with what stands there of other profiles.

    Raises:
        ValueError: that is of another machine.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = "tuned" if said["tuned"] else "result"
    paths = [folder / f"{stem}.json", folder / f"{stem}.md"]
    if keep:
        said = with_kept(said, folder)
    paths[0].write_text(json.dumps(said, indent=1) + "\n")
    paths[1].write_text(markdown(said))
    if said["tuned"]:
        return paths
    try:
        return paths + plot(said, folder)
    except ModuleNotFoundError as error:
        paths[1].write_text(markdown(said) + f"\nNo plot: {error}.\n")
        return paths
