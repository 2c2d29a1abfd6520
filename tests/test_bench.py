"""The bench itself: what it measures at tiny sizes, and what it makes of figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import main
from bench.__main__ import main as bench_main
from bench.ground import Link, Skipped, open_ground
from bench.measure import Run, measure
from bench.peers import OURS, PEERS, tuned
from bench.profiles import PROFILES, Bar, Profile
from bench.report import document, markdown, write

pytestmark = pytest.mark.slow

NAMES = {profile.name for profile in PROFILES}


def has_ground(folder: Path) -> bool:
    try:
        folder.mkdir()
        with open_ground(Link(), folder, [], folder / "here"):
            return True
    except Skipped:
        return False


def test_figures_become_ratios_of_the_same_round_bars_and_tables() -> None:
    profile = Profile("x", "A title", (10,), (1,), bars=(Bar("aria2c", 1.05), Bar("curl", 0.5)))
    runs = [
        Run("x", OURS, 1, 2.0, 0.5, load=0.1),
        Run("x", "aria2c", 1, 1.0),
        Run("x", OURS, 2, 4.0, 0.7),
        Run("x", "aria2c", 2, 4.0),
        Run("x", OURS, 3, 1.0, 0.6),
        Run("x", "aria2c", 3, 2.0),
        Run("x", "axel", 1, error="takes one URL a run"),
        Run("x", "curl", 1, 10.0),
    ]
    said = document(runs, [profile], machine={"cores": 2}, quick=False, missing=["lftp pget: `apt install lftp`"])
    (row,) = said["profiles"]
    assert {each["name"]: each["ratios"] for each in row["peers"]}["aria2c"] == [2.0, 1.0, 0.5]
    assert row["bars"] == [
        {"peer": "aria2c", "most": 1.05, "got": 1.0, "met": True},
        {"peer": "curl", "most": 0.5, "got": 0.2, "met": True},
    ]
    text = markdown(said)
    assert "| **conda-assets** ✓ | 2.00 (1.00 to 4.00) | 0.60 |  |" in text
    assert "| aria2c | 2.00 (1.00 to 4.00) | 0.00 | 1.00 (0.50 to 2.00) |" in text
    assert "| axel | takes one URL a run | | |" in text
    assert "Not here: lftp pget: `apt install lftp`." in text
    assert text.index("aria2c") < text.index("axel")


def test_what_was_skipped_is_said() -> None:
    profile = Profile("x", "A title", (10,), (1,), Link(mbit=100))
    said = document([Run("x", "", 0, error="needs root")], [profile], machine={}, quick=True)
    assert "Skipped: needs root." in markdown(said)


def test_a_result_is_written_and_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="in the group `bench`")
    profiles = [Profile("x", "A title", (10,), (1,)), *(Profile(f"c{n}", "curve", (n,), (n,), axis="bytes") for n in (1, 10))]
    runs = [Run(each.name, peer, number, 1.0 + number) for each in profiles for peer in (OURS, "curl") for number in (1, 2)]
    said = document(runs, profiles, machine={}, quick=False)
    names = {path.name for path in write(said, tmp_path)}
    assert names == {"result.json", "result.md", "profiles.png", "profiles.svg", "curves.png", "curves.svg"}
    assert json.loads((tmp_path / "result.json").read_text()) == said
    assert all((tmp_path / name).stat().st_size > 100 for name in names)


def test_profiles_that_were_not_measured_now_keep_their_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="in the group `bench`")
    link, small = (next(each for each in PROFILES if each.name == name) for name in ("link", "small"))
    machine = {"cores": 2, "system": "Linux 6"}

    def of(*profiles: Profile, seconds: float) -> dict[str, Any]:
        runs = [Run(each.name, peer, 1, seconds) for each in profiles for peer in (OURS, "curl -Z")]
        return document(runs, profiles, machine=machine)

    write(of(link, small, seconds=1.0), tmp_path)
    write(of(link, seconds=9.0), tmp_path, keep=True)
    said = json.loads((tmp_path / "result.json").read_text())
    assert [(each["name"], each["peers"][0]["seconds"]) for each in said["profiles"]] == [("link", [9.0]), ("small", [1.0])]
    assert len(said["runs"]) == 4
    machine["cores"] = 64
    with pytest.raises(ValueError, match="another machine: cores 2"):
        write(of(link, seconds=9.0), tmp_path, keep=True)


def test_figures_of_another_machine_are_noticed_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"schema": 1, "quick": False, "tuned": False, "machine": {"cores": 512}, "profiles": [], "runs": []}
    (tmp_path / "result.json").write_text(json.dumps(said))
    with pytest.raises(SystemExit):
        bench_main(["--keep", "--out", str(tmp_path), "--profile", "loopback"])
    assert "is of another machine: cores 512; without --keep it is replaced" in capsys.readouterr().err


def test_of_many_settings_the_best_one_counts() -> None:
    one, many = tuned(1), tuned(50)
    assert {peer.name for peer in (one[0], many[0])} == {OURS}
    assert "aria2c -x16 -s16 -k1M" in {peer.name for peer in one}
    profile = Profile("x", "A title", (10,), (1,), bars=(Bar("wget", 0.1),))
    runs = [
        Run("x", peer.name, number, 2.0 if peer.name == OURS else 1.0 + index)
        for number in (1, 2)
        for index, peer in enumerate(one)
    ]
    (row,) = document(runs, [profile], machine={}, tuned=True)["profiles"]
    assert row["bars"] == [{"peer": one[1].name, "most": 1.05, "got": 1.0, "met": True}]


def test_every_bar_names_somebody_who_takes_part() -> None:
    peers = {peer.name for peer in PEERS}
    for profile in PROFILES:
        assert {bar.peer for bar in profile.bars} <= peers | {""}
        assert profile.only <= peers


@pytest.mark.parametrize("kind", ["fetch", "warm", "second", "resume", "verify"])
def test_tiny_files_are_measured(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_ground(tmp_path / "try"):
        pytest.skip("no nginx on this machine")
    # The rest of a tiny file has come before a busy machine looks again.
    monkeypatch.setattr("bench.measure._KILL_AT", 0.5)
    peers = frozenset({OURS, "sha256sum" if kind == "verify" else "curl"})
    slow = Link(each=(700_000,) if kind == "resume" else (None,))
    profile = Profile("tiny", "tiny", (6_000_000,) if kind == "resume" else (3_000_000, 20_000), (), slow, kind=kind, only=peers)
    runs = list(measure(profile, 1, tmp_path / "work", quick=False, tell=print))
    assert {run.peer: run.error for run in runs} == dict.fromkeys(peers, "")
    assert all(run.seconds > 0 and run.cpu_s >= 0 for run in runs)
    assert {run.again is None for run in runs} == {kind != "resume"}
    assert not (tmp_path / "work").exists()


def test_a_peer_that_fails_is_told_of_and_not_timed(tmp_path: Path) -> None:
    if not has_ground(tmp_path / "try"):
        pytest.skip("no nginx on this machine")
    profile = replace(PROFILES[0], name="axel", sizes=(10,) * 70, link=Link(), only=frozenset({"axel"}), bars=())
    for run in measure(profile, 2, tmp_path / "work", quick=False, tell=print):
        assert (run.error, run.seconds) == ("takes one URL a run", 0.0)


def test_the_command_line_knows_the_profiles(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--profile", "nothing"])
    said = capsys.readouterr().err
    assert all(name in said for name in NAMES)
