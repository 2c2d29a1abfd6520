"""What `environment.yml`, channel settings and an environment's own records mean to the bootstrapper. No engine runs here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conda_assets.bootstrap.cache import lock_path, open_cache
from conda_assets.bootstrap.channels import ChannelNames, read_channel_names, shown_channel, without_secrets
from conda_assets.bootstrap.leftovers import files_by_record, sweep
from conda_assets.bootstrap.pip import anchored
from conda_assets.bootstrap.prefix import (
    Ground,
    clear,
    inspect_ground,
    read_history,
    read_pins,
    register,
    write_history,
    write_variables,
)
from conda_assets.bootstrap.requested import Requested, WantedSpec, parse_requested, split_channel
from conda_assets.bootstrap.virtual import virtual_packages
from conda_assets.bootstrap.wire import (
    Done,
    EngineSpec,
    Failed,
    Job,
    Package,
    Progress,
    job_to_line,
    parse_job,
    parse_line,
    to_line,
)
from conda_assets.errors import BootstrapFailed, UsageError


def parse(*texts: str, environ: dict[str, str] | None = None, subdir: str = "linux-64") -> Requested:
    named = [(f"/srv/p/environment{number or ''}.yml", text) for number, text in enumerate(texts)]
    return parse_requested(named, environ=environ or {}, subdir=subdir)


# ---- environment.yml


def test_a_whole_file_is_read() -> None:
    asked = parse(
        "name: demo\nchannels: [conda-forge, nodefaults]\nx-ours: 1\nassets: [https://x.example/y]\n"
        "dependencies:\n- python=3.12\n- conda-forge::numpy >=1.26,<2\n- pip\n- pip: [-r reqs.txt, requests]\n"
        "variables: {GREETING: hello, COUNT: 3, YES: true}\n"
    )
    assert asked == Requested(
        sources=("/srv/p/environment.yml",),
        channels=("conda-forge",),
        alone=True,
        specs=(
            WantedSpec("python=3.12", "python=3.12"),
            WantedSpec("conda-forge::numpy >=1.26,<2", "numpy >=1.26,<2", "conda-forge"),
            WantedSpec("pip", "pip"),
        ),
        pip=("-r /srv/p/reqs.txt", "requests"),
        variables={"GREETING": "hello", "COUNT": "3", "YES": "True"},
    )


def test_yaml_is_read_as_conda_reads_it() -> None:
    """`no`, `012` and `12:30` are text in conda's YAML, and numbers or truth in PyYAML's."""
    asked = parse("dependencies: [no, on]\nvariables: {A: no, B: 012, C: 12:30, D: 1e3}\n")
    assert [spec.text for spec in asked.specs] == ["no", "on"]
    assert asked.variables == {"A": "no", "B": "12", "C": "12:30", "D": "1000.0"}


def test_pip_is_added_where_only_its_section_stands() -> None:
    asked = parse("dependencies: [python, {pip: [requests]}]\n")
    assert [spec.text for spec in asked.specs] == ["python", "pip"]
    assert len(asked.notes) == 1
    assert [spec.text for spec in parse("dependencies: ['pip >=24', {pip: [requests]}]\n").specs] == ["pip >=24"]


def test_several_files_are_one_request() -> None:
    asked = parse(
        "channels: [a]\ndependencies: [x]\nvariables: {A: 1}", "channels: [b, a]\ndependencies: [y, x]\nvariables: {A: 2}"
    )
    assert asked.channels == ("a", "b")
    assert [spec.text for spec in asked.specs] == ["x", "y"]
    assert asked.variables == {"A": "2"}


@pytest.mark.parametrize(
    ("subdir", "names"),
    [("linux-64", ["all", "u", "l"]), ("osx-arm64", ["all", "u", "m"]), ("win-64", ["all", "w", "w2"])],
)
def test_selectors_choose_by_the_platform(subdir: str, names: list[str]) -> None:
    text = "dependencies: [all, {sel(unix): u}, {sel(linux): [l]}, {'sel( osx )': m}, {sel(win): [w, w2]}] # [linux]\n"
    assert [spec.name for spec in parse(text, subdir=subdir).specs] == names


def test_every_fault_of_every_file_is_reported_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        parse(
            "channels: [7, '${NOWHERE}/c']\ndependencies: [1.5, {uv: [x]}, {pip: text}, {sel(moon): x}, '']\n",
            "channels: conda-forge\ndependencies: {a: b}\nvariables: {1a: x, PATH: x, EMPTY: null, L: [1]}\n",
            "- a\n",
            "",
            "a: [\n",
        )
    assert caught.value.exit_code == 2
    lines = caught.value.message.splitlines()
    assert lines[0] == "16 faults:"
    assert [line.split(": ")[1] for line in lines[1:]] == [
        "channels[0]", "channels[1]", "dependencies[0]", "dependencies[1].uv", "dependencies[2].pip", "dependencies[3].sel(moon)",
        "dependencies[4]", "channels", "dependencies", "variables.1a", "variables.PATH", "variables.EMPTY", "variables.L",
        "expected a map with `dependencies:`", "the file is empty", "not YAML",
    ]  # fmt: skip


def test_variables_in_channels_are_expanded_and_never_shown() -> None:
    asked = parse("channels: ['https://$USER_NAME:${WORD}@h.example/c']\n", environ={"USER_NAME": "u", "WORD": "secret"})
    assert asked.channels == ("https://u:secret@h.example/c",)
    assert "secret" not in repr(asked)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("numpy=1.26", WantedSpec("numpy=1.26", "numpy=1.26")),
        ("conda-forge::NumPy", WantedSpec("conda-forge::NumPy", "NumPy", "conda-forge")),
        ("https://h.example/c::x >=1", WantedSpec("https://h.example/c::x >=1", "x >=1", "https://h.example/c")),
        ("x[channel=c]", WantedSpec("x[channel=c]", "x", "c")),
        ("x[version='>=1',channel=\"c\"]", WantedSpec("x[version='>=1',channel=\"c\"]", "x[version='>=1']", "c")),
        ("x[channel=c,build=b]", WantedSpec("x[channel=c,build=b]", "x[build=b]", "c")),
        ("https://h.example/c/noarch/x-1-0.conda", WantedSpec(*["https://h.example/c/noarch/x-1-0.conda"] * 2)),
    ],
)
def test_the_channel_is_taken_out_of_a_spec(text: str, expected: WantedSpec) -> None:
    assert split_channel(text) == expected


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("Foo=1=b", "foo"),
        ("foo >=1", "foo"),
        ("foo[x=1]", "foo"),
        ("c::foo!=2", "foo"),
        ("foo~=1", "foo"),
        ("file:///a-1-0.conda", ""),
    ],
)
def test_a_spec_knows_its_package(spec: str, name: str) -> None:
    assert split_channel(spec).name == name


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-r reqs.txt", "-r /srv/p/reqs.txt"),
        ("--requirement=sub/reqs.txt", "--requirement /srv/p/sub/reqs.txt"),
        ("-c ../c.txt", "-c /srv/c.txt"),
        ("-e .[dev]", "-e /srv/p[dev]"),
        ("-e git+https://h.example/x", "-e git+https://h.example/x"),
        ("./x-1.0.whl", "/srv/p/x-1.0.whl"),
        ("x-1.0-py3-none-any.whl", "/srv/p/x-1.0-py3-none-any.whl"),
        ("requests>=2; python_version>'3'", "requests>=2; python_version>'3'"),
        ("x @ https://h.example/x.zip", "x @ https://h.example/x.zip"),
        ("--extra-index-url https://h.example/simple", "--extra-index-url https://h.example/simple"),
    ],
)
def test_paths_of_the_pip_section_are_relative_to_the_file(line: str, expected: str) -> None:
    assert anchored([line], "/srv/p/environment.yml") == (expected,)


def test_paths_of_a_file_behind_a_url_are_urls() -> None:
    assert anchored(["-r reqs.txt"], "https://h.example/a/environment.yml") == ("-r https://h.example/a/reqs.txt",)


# ---- channels


@pytest.mark.parametrize(
    ("channel", "urls"),
    [
        ("conda-forge", ("https://a.example/conda-forge",)),
        ("conda-forge/linux-64", ("https://a.example/conda-forge",)),
        ("defaults", ("https://d.example/main", "https://a.example/r")),
        ("lab", ("https://lab.example/all/lab",)),
        ("lab/gpu", ("https://lab.example/all/lab/gpu",)),
        ("both", ("https://a.example/x", "https://h.example/y")),
        ("https://h.example/c/noarch/", ("https://h.example/c",)),
        ("file:///srv/c/", ("file:///srv/c",)),
        ("./c", ("file:///work/here/c",)),
        ("/srv/c", ("file:///srv/c",)),
    ],
)
def test_a_channel_means_what_conda_means(channel: str, urls: tuple[str, ...]) -> None:
    names = ChannelNames(
        alias="https://a.example",
        defaults=("https://d.example/main", "r"),
        custom={"lab": "https://lab.example/all"},
        multi={"both": ("x", "https://h.example/y")},
    )
    assert names.urls(channel, Path("/work/here")) == urls


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://conda.anaconda.org/conda-forge", "conda-forge"),
        ("https://conda.anaconda.org/t/tok-1/lab/linux-64", "lab"),
        ("https://repo.anaconda.com/pkgs/main/noarch", "defaults"),
        ("https://u:p@h.example/c", "https://h.example/c"),
        ("file:///srv/c/", "file:///srv/c"),
    ],
)
def test_the_history_gets_conda_s_name_of_a_channel(url: str, name: str) -> None:
    assert ChannelNames().canonical(url) == name


def test_channel_settings_come_from_condarc_and_variables(clean_environ: Path) -> None:
    (clean_environ / ".condarc").write_text(
        "channels: [lab, conda-forge]\nchannel_alias: https://mirror.example/\ncustom_channels: {lab: lab.example/all}\n"
        "default_channels: [https://d.example/main]\n"
    )
    environ = {"HOME": str(clean_environ)}
    names = read_channel_names(environ, None)
    assert names.by_default == ("lab", "conda-forge")
    assert names.urls("conda-forge", Path()) == ("https://mirror.example/conda-forge",)
    assert names.urls("lab", Path()) == ("https://lab.example/all/lab",)
    assert names.urls("defaults", Path()) == ("https://d.example/main",)
    changed = read_channel_names({**environ, "CONDA_CHANNEL_ALIAS": "file:///srv"}, None)
    assert changed.urls("conda-forge", Path()) == ("file:///srv/conda-forge",)
    assert read_channel_names({"HOME": "/nonexistent"}, None) == ChannelNames()
    assert ChannelNames().by_default == ("conda-forge",)


def test_secrets_of_channels_are_cut_out_of_messages() -> None:
    url = "https://user:pw@h.example/t/tok-123/lab"
    assert shown_channel(url) == "https://h.example/lab"
    said = f"error for url ({url}/noarch/repodata.json): https://h.example/t/tok-123/lab2 https://other:pw@x.example/c"
    shown = without_secrets(said, [url])
    assert (
        shown
        == "error for url (https://h.example/lab/noarch/repodata.json): https://h.example/t/<TOKEN>/lab2 https://x.example/c"
    )


# ---- the prefix


def test_the_ground_is_judged_before_anything_is_touched(tmp_path: Path) -> None:
    assert inspect_ground(tmp_path / "new") is Ground.NOTHING
    (tmp_path / "empty").mkdir()
    assert inspect_ground(tmp_path / "empty") is Ground.EMPTY
    (tmp_path / "env" / "conda-meta").mkdir(parents=True)
    assert inspect_ground(tmp_path / "env") is Ground.ENVIRONMENT
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("foreign", "file", "dangling"):
        with pytest.raises(UsageError):
            inspect_ground(tmp_path / name)
    (tmp_path / "env" / "conda-meta" / "frozen").touch()
    with pytest.raises(BootstrapFailed, match="frozen"):
        inspect_ground(tmp_path / "env")


def test_only_what_was_new_is_cleared(tmp_path: Path) -> None:
    for name in ("new", "empty", "env"):
        (tmp_path / name / "lib").mkdir(parents=True)
        (tmp_path / name / "lib" / "file").touch()
        (tmp_path / name / "lib").chmod(0o500)
    clear(tmp_path / "new", Ground.NOTHING)
    clear(tmp_path / "empty", Ground.EMPTY)
    clear(tmp_path / "env", Ground.ENVIRONMENT)
    clear(tmp_path / "never", Ground.NOTHING)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "env"]
    assert list((tmp_path / "empty").iterdir()) == []
    assert (tmp_path / "env" / "lib" / "file").exists()


def test_the_history_tells_requests_and_changes_once(tmp_path: Path) -> None:
    first = ["c/noarch::a-1-0", "c/noarch::b-1-0"]
    assert write_history(tmp_path, command="conda-assets create", specs=["a =1", "c::b"], packages=first)
    assert not write_history(tmp_path, command="conda-assets create", specs=["a =1", "c::b"], packages=first)
    assert write_history(tmp_path, command="conda-assets create", specs=["a =2"], packages=["c/noarch::a-2-0"])
    lines = (tmp_path / "conda-meta" / "history").read_text().splitlines()
    assert [line for line in lines if not line.startswith("==> ")] == [
        "# cmd: conda-assets create",
        "+c/noarch::a-1-0",
        "+c/noarch::b-1-0",
        "# update specs: ['a =1', 'c::b']",
        "# cmd: conda-assets create",
        "-c/noarch::a-1-0",
        "-c/noarch::b-1-0",
        "+c/noarch::a-2-0",
        "# update specs: ['a =2']",
    ]
    history = read_history(tmp_path)
    assert history.requested == {"a": "a =2", "b": "c::b"}
    assert history.state == {"c/noarch::a-2-0"}


def test_conda_s_own_history_is_understood(tmp_path: Path) -> None:
    (tmp_path / "conda-meta").mkdir()
    (tmp_path / "conda-meta" / "history").write_text(
        "==> 2020-01-01 00:00:00 <==\nc/noarch::a-1-0\nc/noarch::b-1-0\n"
        "==> 2024-01-01 00:00:00 <==\n# cmd: /opt/conda/bin/conda install b\n# conda version: 24.7.1\n+c/noarch::d-1-0\n"
        "-c/noarch::a-1-0\n"
        "# update specs: ['a=1', 'd']\n==> 2024-01-02 00:00:00 <==\n# remove specs: ['a']\n# neutered specs: ['d[version=1]']\n"
        "# update specs: [broken\n==> 2024-01-03 00:00:00 <==\n"
    )
    history = read_history(tmp_path)
    assert history.requested == {"d": "d[version=1]"}
    assert history.state == {"c/noarch::b-1-0", "c/noarch::d-1-0"}


def test_variables_join_those_that_are_set_already(tmp_path: Path) -> None:
    (tmp_path / "conda-meta").mkdir()
    state = tmp_path / "conda-meta" / "state"
    write_variables(tmp_path, {})
    assert not state.exists()
    state.write_text(json.dumps({"version": 1, "env_vars": {"A": "1", "B": "2"}}))
    write_variables(tmp_path, {"B": "3", "C": "ü"})
    assert json.loads(state.read_text(encoding="utf-8")) == {"version": 1, "env_vars": {"A": "1", "B": "3", "C": "ü"}}
    state.write_text("[]")
    with pytest.raises(BootstrapFailed, match="state"):
        write_variables(tmp_path, {"A": "1"})


def test_an_environment_is_registered_once(tmp_path: Path) -> None:
    listed = tmp_path / ".conda" / "environments.txt"
    register(Path("/opt/envs/a"), tmp_path)
    register(Path("/opt/envs/a/"), tmp_path)
    listed.write_text(listed.read_text() + "/opt/envs/without-newline")
    register(Path("/opt/envs/b"), tmp_path)
    assert listed.read_text().splitlines() == ["/opt/envs/a", "/opt/envs/without-newline", "/opt/envs/b"]


def test_pins_are_read_without_comments(tmp_path: Path) -> None:
    assert read_pins(tmp_path) == ()
    (tmp_path / "conda-meta").mkdir()
    (tmp_path / "conda-meta" / "pinned").write_text("# ours\nnumpy <2\n\npython 3.12.*  # stay\n")
    assert read_pins(tmp_path) == ("numpy <2", "python 3.12.*")


def test_files_of_a_package_that_went_are_swept(tmp_path: Path) -> None:
    """conda's records name a noarch package's files in a way that rattler does not understand, so it removes none."""
    (tmp_path / "conda-meta").mkdir()
    for name, files in {"gone-1-0": ["lib/gone/a.py", "lib/shared.py"], "kept-1-0": ["lib/shared.py"]}.items():
        (tmp_path / "conda-meta" / f"{name}.json").write_text(
            json.dumps({"noarch": "python", "files": [*files, "../outside", "/etc/x"]})
        )
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
    (tmp_path.parent / "outside").touch()
    before = files_by_record(tmp_path)
    assert sweep(tmp_path, before) == 0
    (tmp_path / "conda-meta" / "gone-1-0.json").unlink()
    assert sweep(tmp_path, before) == 1
    assert sorted(path.name for path in (tmp_path / "lib").iterdir()) == ["shared.py"]
    assert (tmp_path.parent / "outside").exists()


# ---- the rest


def test_the_cache_is_where_conda_keeps_packages(tmp_path: Path) -> None:
    assert (
        open_cache({"HOME": str(tmp_path), "CONDA_PKGS_DIRS": f"{tmp_path}/big,{tmp_path}/other"}, None)
        == tmp_path / "big" / "conda-assets"
    )
    (tmp_path / "file").touch()
    environ = {"HOME": str(tmp_path), "CONDA_PKGS_DIRS": f"{tmp_path}/file,{tmp_path}/other"}
    assert open_cache(environ, None) == tmp_path / "other" / "conda-assets"
    (tmp_path / ".condarc").write_text(f"pkgs_dirs: [{tmp_path}/rc]\n")
    assert open_cache({"HOME": str(tmp_path)}, None) == tmp_path / "rc" / "conda-assets"
    (tmp_path / ".condarc").unlink()
    assert open_cache({"HOME": str(tmp_path), "XDG_CACHE_HOME": f"{tmp_path}/xdg"}, None) == tmp_path / "xdg" / "conda-assets"
    with pytest.raises(BootstrapFailed, match="no folder for packages"):
        open_cache({"HOME": str(tmp_path), "CONDA_PKGS_DIRS": f"{tmp_path}/file", "XDG_CACHE_HOME": f"{tmp_path}/file"}, None)


def test_two_names_of_a_prefix_have_one_lock(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert lock_path(tmp_path, tmp_path / "real" / "env") == lock_path(tmp_path, tmp_path / "link" / "env")
    assert lock_path(tmp_path, tmp_path / "a") != lock_path(tmp_path, tmp_path / "b")


def test_virtual_packages_of_another_platform_may_be_overridden() -> None:
    assert virtual_packages("osx-arm64", {}) == ("__unix=0=0", "__osx=13.0=0", "__archspec=1=m1")
    environ = {"CONDA_OVERRIDE_GLIBC": "2.17", "CONDA_OVERRIDE_CUDA": "12.4", "CONDA_OVERRIDE_LINUX": ""}
    assert virtual_packages("linux-64", environ) == ("__unix=0=0", "__glibc=2.17=0", "__cuda=12.4=0", "__archspec=1=x86_64")
    assert virtual_packages("win-64", {}) == ("__win=10=0", "__archspec=1=x86_64")


@pytest.mark.parametrize(
    "line",
    [Progress("solving"), Failed("channel", "kaputt\n✗"), Done([Package("a", "1", "0", "noarch", "file:///c")], 1, 0)],
    ids=lambda line: type(line).__name__,
)
def test_lines_between_the_processes_come_back_as_they_went(line: Progress | Failed | Done) -> None:
    assert to_line(line).count("\n") == 1
    assert parse_line(to_line(line)) == line


@pytest.mark.parametrize("text", ["", "Segmentation fault", "[1]", '{"said": "done"}', '{"said": "other"}', '{"text": "x"}'])
def test_a_line_of_somebody_else_is_no_result(text: str) -> None:
    assert parse_line(text) is None


def test_a_job_comes_back_as_it_went() -> None:
    job = Job(
        prefix="/opt/e", subdir="linux-64", channels=["file:///c"], specs=[EngineSpec("c::a", "a", "file:///c")],
        kept=[EngineSpec("b", "b")], constraints=["a <2"], cache="/c", native=True, virtual=[], offline=False, dry_run=False,
        verify="/ca.pem", timeout_s=60, user_agent="x",
    )  # fmt: skip
    assert parse_job(job_to_line(job)) == job
