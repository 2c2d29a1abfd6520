"""What conda's commands do when something is wrong or only to be shown: exit statuses, one JSON document, nothing half done."""

from __future__ import annotations

import os
import shlex
import signal
from typing import TYPE_CHECKING

import pytest

from server import Virtual

if TYPE_CHECKING:
    from plugged import Project

pytest_plugins = ["plugged"]

_WRONG = "0" * 64


def _resume_words(project: Project, text: str) -> list[str]:
    """The command that a message tells to go on with, as words after `conda`."""
    command = text.rsplit("go on with `", 1)[1].split("`", 1)[0]
    first, *words = shlex.split(command)
    assert first == "conda"
    assert words[:2] == ["assets", "sync"]
    return words


def test_a_missing_file_leaves_the_environment_and_says_how_to_go_on(project: Project):
    """Exit 1; the message names the asset, the cause and the command; the command does what it says once the file is there."""
    project.write(project.asset("a.bin"), project.asset("gone.bin", at="100%25s.bin", serve_status=404))
    done = project.conda("env", "create", "-f", "environment.yml")
    assert done.status == 1, done.told
    assert (project.prefix() / "share" / "tiny.txt").exists()
    assert project.placed("a.bin") == project.body("a.bin")
    assert "1 of 2 assets failed: gone.bin" in done.stderr
    assert "100%25s.bin" in done.stderr
    assert "404" in done.stderr
    assert "Traceback" not in done.stderr
    assert "gone" not in done.stdout
    words = _resume_words(project, done.stderr)
    assert project.conda(*words).status == 1
    project.asset("gone.bin", at="100%25s.bin")
    again = project.conda(*words)
    assert again.status == 0, again
    assert project.placed("gone.bin") == project.body("gone.bin")


@pytest.mark.slow
def test_wrong_content_is_exit_4(project: Project):
    project.write(project.asset("a.bin") | {"sha256": _WRONG})
    done = project.conda("env", "create")
    assert done.status == 4, done.told
    assert _WRONG in done.stderr
    assert project.placed("a.bin") is None
    assert (project.prefix() / "share" / "tiny.txt").exists()


@pytest.mark.slow
def test_an_optional_asset_is_a_warning(project: Project):
    project.write(project.asset("a.bin"), project.asset("extra.bin", optional=True, serve_status=404))
    done = project.conda("env", "create")
    assert done.status == 0, done.told
    assert "extra.bin" in done.stderr
    assert project.placed("a.bin") == project.body("a.bin")


_FAULTY = [
    {"name": "a.bin", "url": "gopher://example.org/a.bin"},
    {"name": "b.bin", "url": "https://example.org/b.bin", "sha256": "xyz"},
    {"name": "c.bin", "url": "https://example.org/c.bin", "path": "../c.bin"},
    {"name": "d.bin", "url": "https://example.org/d.bin", "colour": "red"},
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["env", "create"], ["env", "update", "-n", "base"], ["env", "create", "--dry-run"]], ids=" ".join
)
def test_a_faulty_section_ends_before_the_solve(project: Project, words: list[str]):
    """Exit 2, every fault with its line, no environment, nothing asked for and nothing written."""
    path = project.write(project.asset("fine.bin"), *_FAULTY, dependencies=["no-such-package"])
    lines = path.read_text().splitlines()
    done = project.conda(*words)
    assert done.status == 2, done.told
    for entry, field in (("a.bin", "url"), ("b.bin", "sha256"), ("c.bin", "path"), ("d.bin", "colour")):
        start = next(number for number, line in enumerate(lines, 1) if entry in line)
        at = next(number for number, line in enumerate(lines, 1) if number >= start and f"{field}:" in line)
        assert f"environment.yml:{at}:" in done.stderr, done.told
    assert "no-such-package" not in done.stderr
    assert not project.prefix().exists()
    assert project.asked == []
    assert not project.store.exists()


def test_a_faulty_section_is_one_json_document(project: Project):
    """conda's own error document, with our code, hints and the faults as data."""
    project.write(*_FAULTY)
    done = project.conda("env", "create", "--json")
    assert done.status == 2, done.told
    assert done.json["code"] == "spec_invalid"
    assert [fault["line"] > 0 for fault in done.json["faults"]] == [True] * 4
    assert done.json["hints"]


@pytest.mark.parametrize("state", ["fine", "missing", "wrong"])
def test_json_stays_one_document(project: Project, state: str):
    faults = {"missing": {"serve_status": 404}}.get(state, {})
    extra = project.asset("b.bin", **faults) | ({"sha256": _WRONG} if state == "wrong" else {})
    project.write(project.asset("a.bin"), extra)
    done = project.conda("env", "create", "--json")
    assert done.status == {"fine": 0, "missing": 1, "wrong": 4}[state], done.told
    assert done.json["success"] is True
    assert project.placed("a.bin") == project.body("a.bin")
    if state == "fine":
        assert done.stderr == ""
    else:
        assert "b.bin" in done.stderr
        assert "Traceback" not in done.stderr
        assert _resume_words(project, done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["--json"], ["-n", "{name}-other"]], ids=lambda words: " ".join(words) or "plain")
def test_dry_run_shows_the_plan_and_changes_nothing(project: Project, words: list[str]):
    project.write(project.asset("a.bin"), project.asset("b.bin"))
    before = sorted(project.root.prefix.joinpath("envs").iterdir())
    done = project.conda("env", "create", "--dry-run", *(word.format(name=project.name) for word in words))
    assert done.status == 0, done.told
    assert "a.bin" in done.stderr
    assert "To fetch" in done.stderr
    assert "2 files" in done.stderr
    assert "a.bin" not in done.stdout
    if words == ["--json"]:
        assert done.json
    assert project.asked == []
    assert not project.store.exists()
    assert sorted(project.root.prefix.joinpath("envs").iterdir()) == before


@pytest.mark.slow
def test_quiet_says_nothing_but_errors(project: Project):
    project.write(project.asset("a.bin"))
    done = project.conda("env", "create", "-q")
    assert (done.status, done.stderr) == (0, ""), done.told
    project.write(project.asset("a.bin"), project.asset("gone.bin", serve_status=404))
    done = project.conda("env", "create", "-q", "-n", f"{project.name}-2")
    assert done.status == 1, done.told
    assert "gone.bin" in done.stderr
    assert "404" in done.stderr
    assert "check `url:` of `gone.bin`" in done.stderr
    assert _resume_words(project, done.stderr)


@pytest.mark.slow
def test_offline_uses_the_store_alone(project: Project):
    project.write(project.asset("a.bin"))
    done = project.conda("env", "create", "--offline")
    assert done.status == 1, done.told
    assert "offline" in done.stderr
    assert project.asked == []
    assert project.conda("env", "create", "-n", f"{project.name}-2").status == 0
    before = len(project.asked)
    done = project.conda("env", "create", "-n", f"{project.name}-3", env={"CONDA_OFFLINE": "1"})
    assert done.status == 0, done.told
    assert len(project.asked) == before
    assert project.placed("a.bin", project.prefix(f"{project.name}-3")) == project.body("a.bin")


@pytest.mark.slow
def test_download_only_fills_conda_s_cache_and_no_more(project: Project):
    project.write(project.asset("a.bin"))
    done = project.conda("env", "create", env={"CONDA_DOWNLOAD_ONLY": "1"})
    assert project.asked == [], done.told


@pytest.mark.slow
def test_ctrl_c_keeps_what_came_and_says_how_to_go_on(project: Project):
    """Exit 130, the environment stays, and the command resumes instead of starting over."""
    body = Virtual(8_000_000, seed=7)
    url = project.server.add(f"/{project.name}/big.bin", body, rate=800_000)
    project.write({"name": "big.bin", "url": url, "sha256": body.sha256, "size": body.size})
    process = project.root.start(
        "env", "create", cwd=project.folder, env={**project.environ, "CONDA_PLUGINS_ASSETS_CONNECTIONS": "2"}
    )
    try:
        project.server.wait(lambda: project.server.sent(f"/{project.name}/big.bin") > 3_000_000, 60)
        # What a terminal does: the whole group.
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert (project.prefix() / "share" / "tiny.txt").exists()
    words = _resume_words_or_hint(said)
    came = project.fetched
    project.server.add(f"/{project.name}/big.bin", body)
    done = project.conda(*words)
    assert done.status == 0, done.told
    assert project.placed("big.bin") == body.read(0, body.size)
    assert project.fetched - came < body.size - 1_000_000


def _resume_words_or_hint(text: str) -> list[str]:
    command = text.rsplit("resume with `", 1)[1].split("`", 1)[0]
    return shlex.split(command)[1:]


def test_a_setting_that_cannot_be_meant_ends_before_the_solve(project: Project):
    project.write(project.asset("a.bin"))
    done = project.conda("env", "create", env={"CONDA_PLUGINS_ASSETS_CONNECTIONS": "99"})
    assert done.status == 2, done.told
    assert "assets_connections" in done.stderr
    assert not project.prefix().exists()


def test_without_plugins_conda_is_on_its_own(project: Project):
    """`--no-plugins` is the way out: conda warns of the section, as it did before us, and nothing of ours runs."""
    if project.root.conda.program is None:
        pytest.skip("conda-lock's conda takes its own plugins for foreign ones, by their module names")
    project.write(project.asset("a.bin"))
    done = project.conda("--no-plugins", "env", "create")
    assert done.status == 0, done.told
    assert project.SECTION_WARNING in done.stdout
    assert project.asked == []
