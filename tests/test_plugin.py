"""conda's own commands with an `assets:` section: what arrives where, in every conda found, from a real channel and server."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from plugged import Project

pytestmark = pytest.mark.slow

pytest_plugins = ["plugged"]

# What a release of conda cannot do at all: read environment.yml with `create --file`, or several files.
READS_YAML_IN_CREATE, READS_SEVERAL = (26, 3), (26, 7)


def test_env_create_brings_the_assets(project: Project):
    """One command: packages and files, nothing about the section on stdout, and the copy of the bytes is verified."""
    project.write(project.asset("a.bin"), project.asset("b.bin", path="models/b.bin"))
    done = project.conda("env", "create", "-f", "environment.yml")
    assert done.status == 0, done.told
    assert project.SECTION_WARNING not in done.stdout + done.stderr
    assert "a.bin" not in done.stdout
    assert (project.prefix() / "share" / "tiny.txt").exists()
    assert project.placed("a.bin") == project.body("a.bin")
    assert project.placed("models/b.bin") == project.body("b.bin")
    assert set(project.receipt()) == {"a.bin", "b.bin"}
    assert not (project.root.prefix / "share" / "assets").exists()


def test_a_second_environment_fetches_nothing(project: Project):
    project.write(project.asset("a.bin"), project.asset("unpinned.bin", pinned=False))
    assert project.conda("env", "create").status == 0
    before = project.fetched
    done = project.conda("env", "create", "-n", f"{project.name}-again")
    assert done.status == 0, done.told
    assert project.fetched == before
    assert project.placed("a.bin", project.prefix(f"{project.name}-again")) == project.body("a.bin")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["default", "name", "prefix", "relative-prefix", "subfolder"])
def test_the_assets_go_where_the_packages_go(project: Project, how: str):
    """-n, -p, the file's name, with and without -f: never the base environment."""
    elsewhere = project.folder.parent / "elsewhere" / "env"
    words, prefix = {
        "default": ([], project.prefix()),
        "name": (["-n", f"{project.name}-n", "-f", "environment.yml"], project.prefix(f"{project.name}-n")),
        "prefix": (["-p", elsewhere], elsewhere),
        "relative-prefix": (["-p", "./env", "-f", "environment.yml"], project.folder / "env"),
        "subfolder": (["-f", "deep/er/my env.yml"], project.prefix()),
    }[how]
    project.write(project.asset("a.bin"))
    project.write(project.asset("a.bin"), file="deep/er/my env.yml")
    done = project.conda("env", "create", *words)
    assert done.status == 0, done.told
    assert (prefix / "share" / "tiny.txt").exists(), done.told
    assert project.placed("a.bin", prefix) == project.body("a.bin")
    assert not (project.root.prefix / "share" / "assets").exists()


def test_a_project_asset_goes_beside_its_file(project: Project):
    """`root: project` is the folder of environment.yml, not the current one."""
    project.write(project.asset("a.bin", root="project", path="data/a.bin"), file="sub/environment.yml")
    done = project.conda("env", "create", "-f", "sub/environment.yml")
    assert done.status == 0, done.told
    assert (project.folder / "sub" / "data" / "a.bin").read_bytes() == project.body("a.bin")


@pytest.mark.slow
def test_the_lock_beside_the_file_holds(project: Project):
    """Bytes that are not the locked ones are refused, and a faulty lock stops before the solve."""
    project.write(project.asset("a.bin", pinned=False))
    done = project.conda("assets", "lock")
    assert done.status == 0, done.told
    lock = project.folder / "environment.assets.lock"
    text = lock.read_text()
    lock.write_text(text.replace("sha256:", "sha265:"))
    done = project.conda("env", "create")
    assert (done.status, project.prefix().exists()) == (2, False), done.told
    assert "environment.assets.lock:" in done.told
    lock.write_text(text)
    project.asset("a.bin", body=b"evil " + project.body("a.bin")[5:])
    shutil.rmtree(project.store)
    done = project.conda("env", "create")
    assert (done.status, project.placed("a.bin")) == (4, None), done.told
    assert "lock -f environment.yml --update a.bin" in done.told
    assert (project.prefix() / "conda-meta").is_dir()


def test_a_url_works_like_a_file(project: Project):
    path = project.write(project.asset("a.bin"))
    url = project.server.add(f"/spec/{project.name}/environment.yml", path.read_bytes())
    path.unlink()
    done = project.conda("env", "create", "-f", url)
    assert done.status == 0, done.told
    assert project.SECTION_WARNING not in done.stdout
    assert project.placed("a.bin") == project.body("a.bin")


def test_several_files_are_one_spec(project: Project):
    """Files of one name in two folders, one without a section; conda before 26.7 refuses them or reads the first one alone."""
    project.write(project.asset("a.bin"), file="one/environment.yml")
    project.write(project.asset("b.bin"), file="two/environment.yml", dependencies=["other"], name=None)
    project.write(file="three/environment.yml", assets=None, name=None)
    files = ["one/environment.yml", "two/environment.yml", "three/environment.yml"]
    done = project.conda("env", "create", "-n", project.name, "-f", *files)
    if project.root.conda.number < READS_SEVERAL:
        assert project.placed("b.bin") is None, done.told
        assert (done.status == 0) == (project.placed("a.bin") is not None), done.told
        return
    assert done.status == 0, done.told
    assert project.SECTION_WARNING not in done.stdout
    assert (project.prefix() / "share" / "other.txt").exists()
    assert project.placed("a.bin") == project.body("a.bin")
    assert project.placed("b.bin") == project.body("b.bin")


@pytest.mark.parametrize("words", [["-n", "{name}"], []], ids=["name", "from-the-file"])
def test_create_file_brings_the_assets_where_conda_reads_it(project: Project, words: list[str]):
    project.write(project.asset("a.bin"))
    done = project.conda("create", "-y", *(word.format(name=project.name) for word in words), "--file", "environment.yml")
    if project.root.conda.number < READS_YAML_IN_CREATE:
        assert done.status in (1, 2), done.told
        assert project.fetched == 0
        return
    assert done.status == 0, done.told
    assert project.SECTION_WARNING not in done.stdout
    assert project.placed("a.bin") == project.body("a.bin")


def test_install_file_brings_the_assets_where_conda_reads_it(project: Project):
    """The environment is the one that conda installs into, whatever name stands in the file."""
    assert project.conda("create", "-y", "-n", project.name, "other").status == 0
    project.write(project.asset("a.bin"), name="another")
    done = project.conda("install", "-y", "-n", project.name, "--file", "environment.yml")
    if project.root.conda.number < READS_YAML_IN_CREATE:
        assert done.status == 1, done.told
        assert project.fetched == 0
        return
    assert done.status == 0, done.told
    assert project.placed("a.bin") == project.body("a.bin")
    assert not project.prefix("another").exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["default", "name", "prefix", "prune", "active"])
def test_env_update_brings_what_is_new(project: Project, how: str):
    project.write(project.asset("a.bin"))
    assert project.conda("env", "create").status == 0
    name, env = (
        (None, {"CONDA_PREFIX": str(project.prefix()), "CONDA_DEFAULT_ENV": project.name})
        if how == "active"
        else (project.name, {})
    )
    project.write(project.asset("a.bin"), project.asset("b.bin"), dependencies=["tiny", "other"], name=name)
    words = {
        "default": [],
        "name": ["-n", project.name, "-f", "environment.yml"],
        "prefix": ["-p", project.prefix(), "--file", "environment.yml"],
        "prune": ["--prune"],
        "active": ["-f", "environment.yml"],
    }[how]
    before = len(project.asked)
    done = project.conda("env", "update", *words, env=env)
    assert done.status == 0, done.told
    assert project.SECTION_WARNING not in done.stdout
    assert (project.prefix() / "share" / "other.txt").exists()
    assert project.placed("b.bin") == project.body("b.bin")
    assert not any(path.endswith("a.bin") for path in project.asked[before:])
    assert not (project.root.prefix / "share" / "assets").exists()


@pytest.mark.slow
def test_env_update_with_nothing_to_install_still_syncs(project: Project):
    """No transaction, no package: the assets come all the same."""
    project.write(project.asset("a.bin"))
    assert project.conda("env", "create").status == 0
    project.write(project.asset("b.bin"))
    done = project.conda("env", "update")
    assert done.status == 0, done.told
    assert project.placed("b.bin") == project.body("b.bin")


def test_a_file_of_assets_alone_makes_an_environment(project: Project):
    project.write(project.asset("a.bin"), dependencies=None)
    done = project.conda("env", "create")
    assert done.status == 0, done.told
    assert "Warning" not in done.stdout + done.stderr
    assert project.placed("a.bin") == project.body("a.bin")


def test_creating_again_links_from_the_store(project: Project):
    """conda up to 25.3 refuses, then updates in place, and from 26.7 on deletes the prefix: the bytes are kept."""
    project.write(project.asset("a.bin"))
    assert project.conda("env", "create").status == 0
    before = project.fetched
    done = project.conda("env", "create")
    assert project.fetched == before
    assert project.placed("a.bin") == project.body("a.bin"), done.told


@pytest.mark.slow
def test_clone_rename_remove_and_export_know_nothing_of_it(project: Project):
    project.write(project.asset("a.bin"))
    assert project.conda("env", "create").status == 0
    before = project.fetched
    clone, renamed = f"{project.name}-clone", f"{project.name}-renamed"
    done = project.conda("create", "-y", "-n", clone, "--clone", project.name)
    assert done.status == 0, done.told
    assert project.placed("a.bin", project.prefix(clone)) == project.body("a.bin")
    done = project.conda("rename", "-n", clone, renamed)
    assert done.status == 0, done.told
    assert project.placed("a.bin", project.prefix(renamed)) == project.body("a.bin")
    done = project.conda("env", "export", "-n", renamed)
    assert done.status == 0, done.told
    assert "assets" not in done.stdout
    done = project.conda("env", "remove", "-y", "-n", renamed)
    assert done.status == 0, done.told
    assert not project.prefix(renamed).exists()
    assert project.fetched == before


def test_pip_requirements_stay_relative_to_the_file(project: Project):
    """conda reads a copy of the file from another folder; what the file names beside itself is still found."""
    (project.folder / "sub").mkdir()
    (project.folder / "sub" / "requirements.txt").write_text("left-pad\n")
    pip = ["python", "pip", {"pip": ["-r requirements.txt", "right-pad"]}]
    project.write(project.asset("a.bin"), dependencies=pip, file="sub/environment.yml")
    done = project.conda("env", "create", "-f", "sub/environment.yml")
    assert done.status == 0, done.told
    log = (project.prefix() / "share" / "pip.log").read_text()
    assert "-r requirements.txt" in log
    assert f"in {project.folder / 'sub'}" in log
    assert project.placed("a.bin") == project.body("a.bin")


def test_other_unknown_sections_are_still_named_with_the_users_path(project: Project):
    project.write(project.asset("a.bin"), nonsense={"a": 1})
    done = project.conda("env", "create", "-f", "environment.yml")
    assert done.status == 0, done.told
    assert "nonsense" in done.stdout
    assert "- assets" not in done.stdout
    assert "conda-assets-" not in done.stdout + done.stderr
    assert "environment.yml' is invalid" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_are_decoded_as_conda_does(project: Project, encoding: str):
    path = project.write(project.asset("a.bin", path="modèle/ä.bin"), variables={"GREETING": "grüß 🙂 100%"})
    path.write_text(path.read_text(encoding="utf-8").replace("\n", "\r\n"), encoding=encoding, newline="")
    done = project.conda("env", "create")
    assert done.status == 0, done.told
    assert project.placed("modèle/ä.bin") == project.body("a.bin")
    assert "grüß 🙂 100%" in project.conda("env", "config", "vars", "list", "-n", project.name).stdout


def test_a_pipe_is_left_for_conda_to_read(project: Project):
    """A list of packages on standard input can be read once only."""
    if project.root.conda.number >= (26,):
        pytest.skip("from 26 on conda itself reads the file twice: the list is empty with --no-plugins, too")
    done = project.conda("create", "-y", "-n", project.name, "--file", "/dev/stdin", typed="other\n")
    assert done.status == 0, done.told
    assert (project.prefix() / "share" / "other.txt").exists()


def test_a_remote_definition_does_not_use_the_file_that_lies_about(project: Project):
    """`conda env create user/name` never meant ./environment.yml, up to 24.7; later ones ignore the word and read the file."""
    project.write(project.asset("a.bin"))
    done = project.conda("env", "create", "-n", project.name, "somebody/something")
    assert (project.placed("a.bin") is not None) == (done.status == 0), done.told


def test_when_conda_fails_nothing_is_fetched(project: Project):
    project.write(project.asset("a.bin"), dependencies=["no-such-package"])
    done = project.conda("env", "create")
    assert done.status == 1, done.told
    assert project.asked == []
    assert not project.store.exists()
