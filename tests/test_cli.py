"""The program as it is typed: exit status, standard output, and the one JSON document."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conda_assets.cli.main import _VERBS as VERBS
from conda_assets.cli.parser import _VERBS as ADDED
from conda_assets.cli.parser import configure_parser
from lab import Lab
from server import Faults, Server

BODY = b"the very bytes\n" * 1000
SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        server.add("/w.bin", BODY)
        yield server


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def synced(server: Server, lab: Lab) -> Lab:
    lab.write([{"name": "weights", "url": server.url("/w.bin"), "sha256": SHA, "path": "models/w.bin", "env": "WEIGHTS"}])
    said = lab.run("sync", "-p", str(lab.prefix()), "-q")
    assert (said.status, said.out, said.err) == (0, "", "")
    return lab


def test_sync_says_in_json_what_the_contract_says(server: Server, lab: Lab) -> None:
    lab.write(
        [
            {"name": "weights", "url": server.url("/w.bin"), "sha256": SHA},
            {"name": "gone", "url": server.url("/gone.bin"), "sha256": "1" * 64},
        ]
    )
    server.add("/other.bin", b"other")
    said = lab.run("sync", "-p", str(lab.prefix()), "--json")
    assert said.status == 1
    document = said.json
    rows = said.rows()
    assert {key: document[key] for key in ("schema", "success", "command", "prefix", "file")} == {
        "schema": 1,
        "success": False,
        "command": "sync",
        "prefix": str(lab.prefix()),
        "file": "environment.yml",
    }
    seconds = rows["weights"].pop("seconds")
    assert isinstance(seconds, float)
    assert rows["weights"] == {
        "name": "weights",
        "state": "fetched",
        "path": str(lab.placed("weights")),
        "size_bytes": len(BODY),
        "sha256": SHA,
        "source": server.url("/w.bin"),
        "bytes_fetched": len(BODY),
        "link": "hardlink",
        "unpack": None,
        "pinned": True,
        "optional": False,
        "because": None,
        "error": None,
    }
    assert rows["gone"]["state"] == "failed"
    error = rows["gone"]["error"]
    assert isinstance(error, dict)
    assert error["code"] == "not_found"
    assert error["hints"]
    assert document["totals"] == {
        "assets": 2,
        "fetched": 1,
        "linked": 0,
        "kept": 0,
        "skipped": 0,
        "failed": 1,
        "bytes_fetched": len(BODY),
    }
    assert "conda-assets sync -p" in said.err, "how to go on"


def test_wrong_bytes_are_exit_status_four(server: Server, lab: Lab) -> None:
    lab.write([{"name": "weights", "url": server.url("/w.bin"), "sha256": "0" * 64}])
    said = lab.run("sync", "-p", str(lab.prefix()))
    assert said.status == 4
    assert "expected sha256 " + "0" * 64 in said.err
    assert SHA in said.err


def test_an_optional_failure_is_told_and_exits_zero(server: Server, lab: Lab) -> None:
    lab.write([{"name": "extra", "url": server.url("/gone.bin"), "optional": True}])
    said = lab.run("sync", "-p", str(lab.prefix()))
    assert said.status == 0
    assert "extra" in said.err
    assert "answers 404" in said.err


def test_a_faulty_file_exits_two_and_touches_nothing(server: Server, lab: Lab) -> None:
    lab.write(
        [
            {"name": "a b", "url": "gopher://example.org/x"},
            {"name": "w", "url": server.url("/w.bin"), "sha256": "12", "path": "../out", "root": "home", "shasum": "x"},
        ]
    )
    said = lab.run("sync", "-p", str(lab.prefix()))
    assert said.status == 2
    assert said.out == ""
    faults = [line for line in said.err.splitlines() if line.startswith("environment.yml:")]
    assert len(faults) == 6, said.err
    document = lab.run("sync", "-p", str(lab.prefix()), "--json").json
    error = document["error"]
    assert isinstance(error, dict)
    assert (document["success"], error["code"]) == (False, "spec_invalid")
    assert all(fault["line"] > 0 and fault["field"].startswith("assets[") for fault in error["faults"])
    assert server.requests == []
    assert not (lab.prefix() / "share").exists()
    assert not (lab.prefix() / "etc").exists()


def test_status_tells_present_missing_outdated_and_damaged_apart(synced: Lab, server: Server) -> None:
    prefix = str(synced.prefix())
    assert synced.run("status", "-p", prefix).status == 0

    def state() -> tuple[int, object]:
        said = synced.run("status", "-p", prefix, "--json")
        return said.status, said.rows()["weights"]["state"]

    assert state() == (0, "present")
    placed = synced.placed("models/w.bin")
    placed.unlink()
    assert state() == (3, "missing")
    placed.write_bytes(b"x" * len(BODY))
    assert state() == (3, "damaged")
    synced.write([{"name": "weights", "url": server.url("/w.bin"), "sha256": "1" * 64, "path": "models/w.bin"}])
    assert state() == (3, "outdated")


def test_status_needs_no_file(synced: Lab) -> None:
    synced.file.unlink()
    said = synced.run("status", "-p", str(synced.prefix()), "--json")
    assert (said.status, said.rows()["weights"]["state"]) == (0, "present")


def test_verify_reads_every_byte_and_repairs(synced: Lab, server: Server) -> None:
    prefix = str(synced.prefix())
    placed = synced.placed("models/w.bin")
    stamp = placed.stat()
    placed.chmod(0o644)
    with placed.open("r+b") as file:
        file.seek(7)
        file.write(b"X")
    import os

    os.utime(placed, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert synced.run("status", "-p", prefix).status == 0, "a stat cannot tell"
    said = synced.run("verify", "-p", prefix, "--json")
    assert (said.status, said.rows()["weights"]["state"]) == (4, "damaged")
    error = said.rows()["weights"]["error"]
    assert isinstance(error, dict)
    assert error["code"] == "digest_mismatch"
    said = synced.run("verify", "-p", prefix, "--repair", "--json")
    assert (said.status, said.rows()["weights"]["state"]) == (0, "fetched"), said.err
    assert placed.read_bytes() == BODY
    assert synced.run("verify", "-p", prefix).status == 0


def test_path_prints_the_path_and_nothing_else(synced: Lab) -> None:
    said = synced.run("path", "weights", "-p", str(synced.prefix()))
    assert (said.status, said.out, said.err) == (0, f"{synced.placed('models/w.bin')}\n", "")
    said = synced.run("path", "nobody", "-p", str(synced.prefix()))
    assert (said.status, said.out) == (2, "")
    assert "no asset 'nobody'" in said.err
    synced.placed("models/w.bin").unlink()
    assert synced.run("path", "weights", "-p", str(synced.prefix())).status == 3


def test_the_active_environment_is_the_target(synced: Lab) -> None:
    said = synced.run("list", "--json", environ={"CONDA_PREFIX": str(synced.prefix())})
    assert said.rows()["weights"]["env"] == "WEIGHTS"
    assert said.rows()["weights"]["path"] == str(synced.placed("models/w.bin"))


def test_a_name_is_found_where_conda_keeps_environments(synced: Lab) -> None:
    environ = {"CONDA_ENVS_DIRS": str(synced.prefix().parent)}
    assert synced.run("list", "-n", "env", environ=environ).status == 0
    said = synced.run("list", "-n", "other", environ=environ)
    assert said.status == 2
    assert "no environment named 'other'" in said.err


def test_the_name_in_the_file_is_the_last_resort(synced: Lab) -> None:
    (synced.prefix().parent / "lab").symlink_to(synced.prefix())
    assert synced.run("status", environ={"CONDA_ENVS_DIRS": str(synced.prefix().parent)}).status == 0
    assert synced.run("status").status == 2


def test_a_dry_run_shows_bytes_and_changes_nothing(server: Server, lab: Lab) -> None:
    lab.write([{"name": "weights", "url": server.url("/w.bin"), "sha256": SHA, "size": len(BODY)}])
    said = lab.run("sync", "-p", str(lab.prefix()), "--dry-run", "--json")
    assert said.status == 0
    assert (said.rows()["weights"]["action"], said.rows()["weights"]["size_bytes"]) == ("fetch", len(BODY))
    assert server.requests == []
    assert "15.0 kB" in lab.run("sync", "-p", str(lab.prefix()), "-d").out
    assert not (lab.prefix() / "share").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("snyc",), "invalid choice"),
        (("sync", "--connections", "17"), "expected 1 to 16"),
        (("sync", "--limit-rate", "fast"), "cannot read 'fast' as a rate"),
        (("sync", "-n", "a", "-p", "b"), "not allowed with argument"),
        (("sync", "-f", "nowhere.yml"), "there is no file nowhere.yml"),
        (("sync", "-n", "a/b"), "is not the name of an environment"),
    ],
    ids=["verb", "connections", "rate", "name-and-prefix", "file", "name"],
)
def test_what_cannot_be_meant_exits_two_with_one_document(lab: Lab, words: tuple[str, ...], says: str) -> None:
    lab.write([])
    said = lab.run(*words)
    assert (said.status, said.out) == (2, "")
    assert says in said.err
    assert "Hint: " in said.err
    said = lab.run(*words, "--json")
    assert (said.status, said.json["success"]) == (2, False)


def test_no_file_at_all_is_told(lab: Lab) -> None:
    said = lab.run("sync", "-p", str(lab.folder))
    assert said.status == 2
    assert "no environment.yml and no assets.yml" in said.err


def test_fetch_fills_the_store_for_an_offline_sync(server: Server, lab: Lab) -> None:
    lab.write([{"name": "weights", "url": server.url("/w.bin"), "sha256": SHA}])
    assert lab.run("fetch", "--json").rows()["weights"]["state"] == "fetched"
    server.close()
    said = lab.run("sync", "--offline", "-p", str(lab.prefix()), "--json")
    assert (said.status, said.rows()["weights"]["state"]) == (0, "linked")


def test_a_spec_may_stand_on_the_web(server: Server, lab: Lab) -> None:
    lab.write([{"name": "weights", "url": server.url("/w.bin"), "sha256": SHA}])
    url = server.add("/environment.yml", lab.file.read_bytes())
    lab.file.unlink()
    said = lab.run("sync", "-f", url, "-p", str(lab.prefix()), "--json")
    assert (said.status, said.json["file"]) == (0, url)
    said = lab.run("sync", "-f", server.url("/gone.yml"), "-p", str(lab.prefix()))
    assert said.status == 2
    assert "cannot be read" in said.err


def test_two_files_are_one_spec(server: Server, lab: Lab) -> None:
    server.add("/b.bin", b"b")
    lab.write([{"name": "weights", "url": server.url("/w.bin"), "sha256": SHA}])
    (lab.folder / "more.yml").write_text(f"assets:\n  - {server.url('/b.bin')}\n")
    said = lab.run("sync", "-f", "environment.yml", "-f", "more.yml", "-p", str(lab.prefix()), "--json")
    assert (said.status, sorted(said.rows())) == (0, ["b.bin", "weights"])


def test_schema_and_info_are_json(lab: Lab) -> None:
    lab.folder.mkdir(exist_ok=True)
    assert "$schema" in lab.run("schema").json
    document = lab.run("info", "--json").json
    assert document["success"] is True
    settings = document["settings"]
    assert isinstance(settings, dict)
    assert settings["stores"]["origin"] == "$CONDA_ASSETS_STORE"
    assert "conda-assets" in lab.run("info").out


def test_setup_for_an_environment_and_back(lab: Lab) -> None:
    prefix = lab.prefix()
    before = sorted(path.relative_to(prefix) for path in prefix.rglob("*"))
    said = lab.run("setup", "-p", str(prefix), "--json")
    assert (said.status, said.json["changed"]) == (0, True)
    written = "".join(path.read_text() for path in (prefix / "condarc.d").iterdir())
    assert "conda-forge" in written
    assert "channel_priority: strict" in written
    assert lab.run("setup", "-p", str(prefix), "--json").json["changed"] is False
    assert lab.run("setup", "-p", str(prefix), "--undo").status == 0
    assert sorted(path.relative_to(prefix) for path in prefix.rglob("*")) == before


def test_progress_as_json_lines_goes_to_standard_error(server: Server, lab: Lab) -> None:
    lab.write([{"name": "weights", "url": server.url("/w.bin"), "sha256": SHA}])
    said = lab.run("sync", "-p", str(lab.prefix()), "--json", "--progress", "json")
    assert said.json["success"] is True
    events = [json.loads(line) for line in said.err.splitlines()]
    assert {"planned", "started", "finished"} <= {event["type"] for event in events}


def test_a_secret_in_a_url_is_nowhere_in_what_is_said(server: Server, lab: Lab) -> None:
    server.add("/secret.bin", BODY, Faults(status=403))
    url = server.url("/secret.bin").replace("://", "://user:canary@") + "?token=canary"
    lab.write([{"name": "weights", "url": url, "sha256": SHA}])
    for words in (("sync",), ("sync", "--json"), ("sync", "-d"), ("status",), ("sync", "-vv")):
        said = lab.run(*words, "-p", str(lab.prefix()))
        assert "canary" not in said.out + said.err, words


def test_config_says_where_a_setting_comes_from(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_PLUGINS_ASSETS_JOBS", "7")
    said = lab.run("config", "jobs")
    assert (said.status, said.out.split()) == (0, ["jobs", ":", "7", "($CONDA_PLUGINS_ASSETS_JOBS)"])
    assert lab.run("config", "assets_jobs", "--json").json["settings"]["jobs"]["value"] == 7
    assert set(lab.run("config", "--json").json["settings"]) >= {"stores", "aria2c", "connections", "user_agent"}
    assert lab.run("config", "speed").status == 2


@pytest.mark.parametrize("verb", ["sync", "import", "serve", "info"])
def test_one_verb_alone_is_read_as_among_all(verb: str) -> None:
    """The parser of the others is not made: they are ten milliseconds."""
    helps = []
    for only in (None, verb):
        parser = argparse.ArgumentParser(prog="conda-assets")
        configure_parser(parser, only)
        (action,) = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
        helps.append(action.choices[verb].format_help())
        assert [*action.choices] == ([*ADDED] if only is None else [verb])
    assert helps[0] == helps[1]
    assert {*ADDED} == {*VERBS}


@pytest.mark.skipif(os.name == "nt", reason="a shell of Unix closes it")
def test_a_closed_standard_error_is_no_failure(lab: Lab) -> None:
    command = f'"{sys.executable}" -m conda_assets info --json 2>&-'
    done = subprocess.run(["sh", "-c", command], cwd=lab.folder, stdout=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == 0
    assert json.loads(done.stdout)["success"]
