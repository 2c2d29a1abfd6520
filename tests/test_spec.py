"""Loading specs: what a person and a program see of the `assets:` section."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from conda_assets.digest import Digest
from conda_assets.errors import Fault, FileMissing, SpecInvalid, UsageError
from conda_assets.model import Asset, LinkMode, Root, Spec, Unpack
from conda_assets.spec import default_file, load, load_texts

DIGITS = "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707"
CONTRACT = Path(__file__).parent / "data" / "valid" / "contract.yml"


def read(*texts: str, environ: dict[str, str] | None = None) -> Spec:
    names = ("environment.yml", "assets.yml", "third.yml")
    return load_texts(list(zip(names, texts, strict=False)), environ=environ or {}, base=Path("/project"))


def faults(*texts: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SpecInvalid) as caught:
        read(*texts, environ=environ)
    return [str(fault) for fault in caught.value.faults]


def test_the_example_of_the_contract_means_what_it_says() -> None:
    spec = load([str(CONTRACT)], environ={}, cwd=Path("/"), read_url=_unreachable)
    assert spec.name == "bert"
    assert spec.assets == (
        Asset(name="train.csv", url="https://example.org/data/train.csv", path="train.csv", file=str(CONTRACT), line=5),
        Asset(
            name="gpt2-weights",
            url="hf://openai-community/gpt2@607a30d7/model.safetensors",
            mirrors=("https://lab.example/mirror/gpt2.safetensors",),
            digest=Digest("sha256", DIGITS),
            size_bytes=548105171,
            path="models/gpt2.safetensors",
            root=Root.PREFIX,
            env="GPT2_WEIGHTS",
            groups=("train",),
            platforms=("linux-64", "osx-arm64"),
            optional=True,
            file=str(CONTRACT),
            line=7,
        ),
        Asset(
            name="corpus",
            url="s3://lab-data/corpus-v3.tar.zst",
            path="corpus",
            unpack=Unpack(strip=1, include=("*.jsonl",)),
            file=str(CONTRACT),
            line=19,
        ),
    )


def test_a_rounded_size_fits_the_file_that_it_was_rounded_from() -> None:
    (asset,) = read("assets: [{url: https://x.org/a, size: 523 MiB}]").assets
    assert asset.size_bytes == 523 << 20
    assert asset.fits(548105171)  # the contract's own example: 522.7 MiB
    assert not asset.fits(522 << 20)
    assert not asset.fits(524 << 20)


def test_an_exact_size_fits_itself_only() -> None:
    for said in ("548105171", '"548105171"', "548105171 bytes"):
        (asset,) = read(f"assets: [{{url: https://x.org/a, size: {said}}}]").assets
        assert (asset.fits(548105171), asset.fits(548105170), asset.fits(548105172)) == (True, False, False)


def test_variables_are_expanded_in_urls_mirrors_and_headers() -> None:
    text = """
assets:
  - url: ${BASE}/a/$${B}
    name: a
    mirrors: ["https://${HOST}/a"]
    headers: {Authorization: "Bearer ${TOKEN}", X-Price: "$5 and $$6"}
"""
    (asset,) = read(text, environ={"BASE": "https://x.org", "HOST": "y.org", "TOKEN": "t$$0ken${X}"}).assets
    assert asset.url == "https://x.org/a/${B}"
    assert asset.mirrors == ("https://y.org/a",)
    assert asset.headers == {"Authorization": "Bearer t$$0ken${X}", "X-Price": "$5 and $6"}


def test_a_secret_is_in_no_repr() -> None:
    (asset,) = read("assets: [{name: a, url: 'https://${T}@x.org/a', headers: {X-T: '${T}'}}]", environ={"T": "hunter2"}).assets
    assert "hunter2" not in repr(asset)


def test_null_and_an_empty_list_mean_no_assets() -> None:
    for text in ("", "# nothing\n", "assets:\n", "assets: []\n", "assets: ~\n", "name: x\n", "---\n", "null\n"):
        assert read(text).assets == (), text


def test_yaml_1_2_words_stay_text_as_conda_reads_them() -> None:
    spec = read("assets:\n  - {name: no, url: https://x.org/a, groups: [yes, on, off, n]}\n")
    assert (spec.assets[0].name, spec.assets[0].groups) == ("no", ("yes", "on", "off", "n"))


def test_own_fields_win_over_merged_ones() -> None:
    text = """
x: &x {optional: true, groups: [a], root: project}
assets:
  - {<<: *x, url: https://x.org/a, groups: [b]}
"""
    (asset,) = read(text).assets
    assert (asset.optional, asset.groups, asset.root) == (True, ("b",), Root.PROJECT)


def test_the_rows_of_a_chain_of_merges_do_not_explode() -> None:
    """Thirty levels, each merging the one before twice: 2^30 maps, if anybody expanded them."""
    rows = ["a0: &a0 {url: https://x.org/a}"] + [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 30)]
    (asset,) = read("\n".join([*rows, "assets: [*a29]"])).assets
    assert asset.name == "a"


def test_a_file_that_repeats_aliases_costs_what_it_shows() -> None:
    """The billion laughs: nobody multiplies them out, because nobody asked for that field."""
    rows = ["a0: &a0 [ha, ha]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    assert read("\n".join([*rows, "assets: [https://x.org/a]"])).assets[0].name == "a"


def test_several_files_are_merged_in_order() -> None:
    spec = read(
        "prefix: /p\nassets: [https://x.org/a]",
        "name: two\nassets: [https://x.org/b]",
        "name: three\nprefix: /q\n",
    )
    assert [(asset.name, asset.file) for asset in spec.assets] == [("a", "environment.yml"), ("b", "assets.yml")]
    assert (spec.name, spec.prefix, spec.sources) == ("two", "/p", ("environment.yml", "assets.yml", "third.yml"))


def test_the_same_entry_in_two_files_counts_once() -> None:
    entry = "{name: a, url: https://x.org/a, size: 5, headers: {X-A: b}}"
    spec = read(f"assets: [{entry}]", f"# elsewhere\nassets:\n- {entry}\n- https://x.org/b")
    assert [(asset.name, asset.file, asset.line) for asset in spec.assets] == [
        ("a", "environment.yml", 1),
        ("b", "assets.yml", 4),
    ]


def test_the_same_file_twice_is_read_as_once() -> None:
    text = "assets: [https://x.org/a]"
    assert [a.name for a in load_texts([("e.yml", text), ("e.yml", text)], environ={}, base=Path()).assets] == ["a"]


def test_one_name_for_two_things_in_two_files_names_both_places_and_what_differs() -> None:
    said = faults("assets:\n- {name: a, url: https://x.org/a, size: 5}", "assets:\n- {name: a, url: https://y.org/a, size: 6}")
    assert [line.partition(" (make")[0] for line in said] == [
        "assets.yml:2:10: assets[0].name (a): the name `a` is taken in environment.yml:2, with another `url`, `size`"
    ]


def test_a_name_twice_in_the_second_file_is_a_fault_even_if_the_first_file_has_it_too() -> None:
    said = faults("assets: [https://x.org/a]", "assets: [https://x.org/a, https://x.org/a]")
    assert said == ["assets.yml:1:27: assets[1] (a): the name `a` is taken in line 1 (give one of them another `name:`)"]


def test_an_entry_at_fault_in_two_files_is_compared_as_far_as_it_can_be_read() -> None:
    entry = "assets: [{name: a, url: https://x.org/a, size: much}]"
    assert len(faults(entry, entry)) == 2
    said = faults(entry, entry.replace("x.org", "y.org"))
    assert "with another `url`" in said[1]
    assert len(said) == 3


def test_a_name_that_is_taken_does_not_hide_the_other_faults_of_the_entry() -> None:
    rows = "{name: a, url: https://x.org/a}, {url: https://x.org/b, env: B}, {name: a, url: https://x.org/c, path: b, env: B}"
    said = faults(f"assets: [{rows}]")
    assert [line.split(": ")[1] for line in said] == ["assets[2].name (a)", "assets[2].path (a)", "assets[2].env (a)"]


def test_an_entry_without_a_name_clashes_too() -> None:
    said = faults("assets: [{path: p}, {path: p}]")
    assert [line.partition(" (")[0] for line in said] == [
        "environment.yml:1:10: assets[0].url: the field is missing",
        "environment.yml:1:21: assets[1].url: the field is missing",
        "environment.yml:1:28: assets[1].path: `p` is the path of an asset in line 1",
    ]


def test_faults_of_all_files_come_in_the_order_of_the_files_even_if_one_is_not_yaml() -> None:
    said = faults("assets: [{url: 5}]", "assets: [", "assets: [7]")
    assert [line.split(": ")[0] for line in said] == ["environment.yml:1:16", "assets.yml:1:10", "third.yml:1:10"]


def test_paths_and_variables_clash_across_files() -> None:
    said = faults("assets: [{url: https://x.org/a, path: x, env: X}]", "assets: [{url: https://x.org/b, path: X/b, env: X}]")
    assert [line.partition(" (choose")[0] for line in said] == [
        "assets.yml:1:39: assets[0].path (b): `X/b` is inside the path of `a` in environment.yml:1",
        "assets.yml:1:49: assets[0].env (b): `X` is the variable of `a` in environment.yml:1",
    ]


def test_a_fault_is_a_record_with_place_field_and_asset() -> None:
    with pytest.raises(SpecInvalid) as caught:
        read("assets:\n  - sha256: abc\n    url: https://x.org/w\n    name: weights\n")
    assert caught.value.faults == (
        Fault("environment.yml", 2, 13, "assets[0].sha256", "expected 64 hex digits for sha256, got 3", "", "weights"),
    )
    assert caught.value.exit_code == 2
    assert caught.value.to_json()["faults"] == [
        {
            "file": "environment.yml",
            "line": 2,
            "column": 13,
            "field": "assets[0].sha256",
            "message": "expected 64 hex digits for sha256, got 3",
            "hint": "",
            "asset": "weights",
        }
    ]


def test_an_asset_may_not_take_the_place_of_the_file_that_lists_it() -> None:
    assert len(faults("assets: [{url: https://x.org/a, path: Environment.YML, root: project}]")) == 1
    assert read("assets: [{url: https://x.org/a, path: environment.yml}]").assets[0].path == "environment.yml"


def test_secrets_that_are_written_out_are_warned_of_and_not_repeated() -> None:
    text = """
assets:
  - {name: a, url: "https://user:hunter2@x.org/a"}
  - {name: b, url: "https://x.org/b?access_token=hunter2&x=1"}
  - name: c
    url: https://x.org/c
    headers: {Authorization: Bearer hunter2, Cookie: hunter2, X-Api-Key: hunter2, X-Trace: 9f86d081884c7d659a2feaa0c55ad015}
"""
    spec = read(text)
    assert [warning.split(": ")[1] for warning in spec.warnings] == [
        "assets[0].url (a)",
        "assets[1].url (b)",
        "assets[2].headers.Authorization (c)",
        "assets[2].headers.Cookie (c)",
        "assets[2].headers.X-Api-Key (c)",
        "assets[2].headers.X-Trace (c)",
    ]
    assert spec.warnings[0].startswith("environment.yml:3:20: ")
    assert "hunter2" not in "".join(spec.warnings)
    assert all("${" in warning for warning in spec.warnings)


def test_secrets_in_variables_and_harmless_values_are_not_warned_of() -> None:
    text = """
assets:
  - {name: a, url: "https://${USER}:${PASSWORD}@x.org/a?token=${TOKEN}"}
  - {name: b, url: "hf://org/name@0123456789abcdef0123456789abcdef01234567/b?download=true"}
  - name: c
    url: https://x.org/c?sha256=9f86d081884c7d659a2feaa0c55ad015
    headers: {Authorization: "Bearer ${TOKEN}", Accept: application/vnd.github.v3+json, User-Agent: own/0.1 0123456789abcdefghij}
"""
    assert read(text, environ={"USER": "u", "PASSWORD": "p", "TOKEN": "t"}).warnings == ()


def test_a_host_that_stands_in_a_variable_is_no_reason_to_stumble() -> None:
    spec = read("assets: [{name: a, url: 'http://[${ADDRESS}]:80/a?token=x'}]", environ={"ADDRESS": "::1"})
    assert spec.assets[0].url == "http://[::1]:80/a?token=x"


@pytest.mark.parametrize("value", ["-_", "+_", "0x_", "0b_", "-"], ids=repr)
def test_what_only_looks_like_a_number_is_a_fault(value: str) -> None:
    assert faults(f"assets: [{{url: https://x.org/a, size: {value}}}]")[0].startswith(
        "environment.yml:1:39: assets[0].size (a): "
    )


def test_half_a_sign_is_a_fault_of_its_value() -> None:
    (said,) = faults('assets: [{url: https://x.org/a, path: "\\ud800"}]')
    assert said.startswith("environment.yml:1:39: assets[0].path (a): half of a surrogate pair in the text")


def test_keys_that_are_no_text_are_passed_over() -> None:
    assert read("? [a, b]\n: c\n5: d\nassets: [https://x.org/a]\n").assets[0].name == "a"


def test_a_misspelt_section_is_warned_of() -> None:
    spec = read("name: x\nasset: [https://x.org/a]\n")
    assert spec.assets == ()
    assert spec.warnings == ("environment.yml:2:1: asset: unknown key; did you mean `assets`? There are no assets otherwise",)
    assert read("name: x\nchannels: [a]\nvariables: {}\nplatforms: []\ncategory: main\n").warnings == ()


# --- reading files


def _unreachable(url: str) -> str:
    raise AssertionError(f"{url} was not to be read")


def loaded(folder: Path, *sources: str, read_url: Callable[[str], str] = _unreachable) -> Spec:
    return load(sources, environ={}, cwd=folder, read_url=read_url)


def test_paths_are_relative_to_the_folder_of_the_call(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "e.yml").write_text("name: n\nassets: [https://x.org/a]")
    spec = loaded(tmp_path, "sub/e.yml")
    assert (spec.base, spec.sources, spec.assets[0].file) == (tmp_path / "sub", ("sub/e.yml",), "sub/e.yml")
    assert loaded(Path("/"), str(tmp_path / "sub/e.yml")).base == tmp_path / "sub"


def test_a_url_is_read_through_the_reader_and_has_no_folder(tmp_path: Path) -> None:
    asked: list[str] = []

    def reader(url: str) -> str:
        asked.append(url)
        return "\ufeffassets: [{url: https://x.org/a, sha256: 1}]"

    with pytest.raises(SpecInvalid) as caught:
        loaded(tmp_path, "https://u:p@x.org/e.yml?token=t", read_url=reader)
    assert asked == ["https://u:p@x.org/e.yml?token=t"]
    assert caught.value.faults[0].file == "https://x.org/e.yml"
    spec = loaded(tmp_path, "https://x.org/e.yml", read_url=lambda url: "assets: [https://x.org/a]")
    assert spec.base == tmp_path


def test_a_file_url_is_read_from_the_disk(tmp_path: Path) -> None:
    (tmp_path / "an env.yml").write_text("assets: [https://x.org/a]")
    spec = loaded(Path("/"), (tmp_path / "an env.yml").as_uri())
    assert (spec.base, spec.assets[0].name) == (tmp_path, "a")


def test_the_project_is_the_folder_of_the_first_local_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "e.yml").write_text("assets: [https://x.org/a]")
    assert loaded(tmp_path, "https://x.org/e.yml", "a/e.yml", read_url=lambda url: "name: x").base == tmp_path / "a"


def test_a_missing_file_is_named_with_what_was_probably_meant(tmp_path: Path) -> None:
    (tmp_path / "environment.yml").write_text("name: x")
    with pytest.raises(FileMissing) as caught:
        loaded(tmp_path, "enviroment.yml")
    assert caught.value.message == "there is no file enviroment.yml"
    assert caught.value.hint == "did you mean `-f environment.yml`?"
    with pytest.raises(FileMissing) as caught:
        loaded(tmp_path, "nowhere/environment.yml")
    assert "nowhere" in caught.value.hint


def test_no_file_at_all_is_said_with_the_names_that_would_do(tmp_path: Path) -> None:
    with pytest.raises(FileMissing) as caught:
        loaded(tmp_path)
    assert "environment.yml, environment.yaml, assets.yml, assets.yaml" in caught.value.message


def test_a_folder_is_answered_with_the_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "assets.yml").write_text("")
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path, "project")
    assert (caught.value.message, caught.value.hint) == (
        "project is a folder",
        f"name the file: `-f {Path('project/assets.yml')}`",
    )


def test_a_file_that_may_not_be_read_is_said_so(tmp_path: Path) -> None:
    secret = tmp_path / "environment.yml"
    secret.write_text("name: x")
    secret.chmod(0)
    if os.access(secret, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(UsageError, match="permission denied"):
        loaded(tmp_path, "environment.yml")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"name: x\nassets: [https://x.org/\xff]\n", "e.yml is not UTF-8 text: byte 31, in line 2"),
        (b"\x80\x04model", "e.yml is not UTF-8 text: byte 0, in line 1"),
        (b"\xff\xfea", "e.yml is not UTF-8 text: byte 2, in line 1"),
    ],
    ids=["latin-1", "pickle", "half of UTF-16"],
)
def test_what_is_not_text_is_said_with_its_place(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "e.yml").write_bytes(data)
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path, "e.yml")
    assert caught.value.message == said


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_encodings_that_conda_reads_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "e.yml").write_bytes("name: ünï\nassets: [https://x.org/a]".encode(encoding))
    assert loaded(tmp_path, "e.yml").name == "ünï"


def test_an_endless_file_is_refused(tmp_path: Path) -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("no endless file here")
    with pytest.raises(UsageError, match="64 MiB"):
        loaded(tmp_path, "/dev/zero")


@pytest.mark.parametrize(
    "source",
    ["a\0b", "x" * 5000, "file://server/share/e.yml", "https://[x/e.yml"],
    ids=["NUL", "too long", "another machine", "no host"],
)
def test_a_name_that_no_file_can_have_is_a_usage_error(tmp_path: Path, source: str) -> None:
    with pytest.raises(UsageError):
        loaded(tmp_path, source)


def test_without_libyaml_the_file_is_read_all_the_same() -> None:
    """conda-forge has a PyYAML without libyaml, and PyYAML may be absent."""
    script = (
        "import sys; sys.modules['yaml'] = None\n"
        "from pathlib import Path; from conda_assets.spec import load, without_section\n"
        "spec = load([sys.argv[1]], environ={}, cwd=Path(), read_url=None)\n"
        "print([asset.name for asset in spec.assets], list(without_section(Path(sys.argv[1]).read_text())))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(CONTRACT)], capture_output=True, text=True, check=True)
    assert done.stdout == "['train.csv', 'gpt2-weights', 'corpus'] ['name', 'channels', 'dependencies']\n"


def test_the_default_file_is_the_first_one_with_a_section(tmp_path: Path) -> None:
    assert default_file(tmp_path) is None
    (tmp_path / "assets.yaml").write_text("assets: []")
    assert default_file(tmp_path) == "assets.yaml"
    (tmp_path / "assets.yml").write_text("assets: []")
    assert default_file(tmp_path) == "assets.yml"
    (tmp_path / "environment.yml").write_text("name: x")
    assert default_file(tmp_path) == "assets.yml"
    (tmp_path / "environment.yml").write_text("name: x\nassets: []")
    assert default_file(tmp_path) == "environment.yml"


def test_without_any_section_the_default_is_the_first_file(tmp_path: Path) -> None:
    (tmp_path / "environment.yaml").write_text("name: x")
    (tmp_path / "assets.yml").mkdir()
    assert default_file(tmp_path) == "environment.yaml"


# --- properties

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
ENTRIES = st.fixed_dictionaries(
    {"name": NAMES, "url": NAMES.map("https://x.org/{}".format)},
    optional={
        "mirrors": st.lists(NAMES.map("https://y.org/{}".format), unique=True, max_size=3),
        "sha256": st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
        "size": st.integers(0, 2**63 - 1),
        "path": st.lists(NAMES.map("d{}".format), min_size=1, max_size=3).map("/".join),
        "root": st.sampled_from([root.value for root in Root]),
        "env": NAMES.map("MY_{}".format),
        "groups": st.lists(NAMES, unique=True, max_size=3),
        "platforms": st.lists(st.sampled_from(["linux-64", "osx-arm64"]), unique=True, min_size=1),
        "optional": st.booleans(),
        "unpack": st.fixed_dictionaries({"strip": st.integers(0, 64), "include": st.lists(NAMES, unique=True, max_size=2)}),
        "headers": st.dictionaries(
            NAMES.map("X-{}".format), st.from_regex(r"[!#-~]([ -#%-~]{0,20}[!#-~])?", fullmatch=True), max_size=3
        ),
        "link": st.sampled_from([mode.value for mode in LinkMode]),
    },
)


@settings(max_examples=200, deadline=None)
@given(entry=ENTRIES, flow=st.booleans())
def test_what_is_written_is_what_is_read(entry: dict[str, object], flow: bool) -> None:
    given = entry.get("headers", {}).items()  # type: ignore[attr-defined]
    # ruamel leaves `?0` bare between brackets, which libyaml takes for a key.
    entry["headers"] = {key: value for key, value in given if "$" not in value and not value.startswith("?")}
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = flow
    out = io.StringIO()
    writer.dump({"assets": [entry]}, out)
    (asset,) = read(out.getvalue()).assets
    unpack = entry.get("unpack")
    assert asset == Asset(
        name=str(entry["name"]),
        url=str(entry["url"]),
        path=str(entry.get("path", entry["name"])),
        mirrors=tuple(entry.get("mirrors", ())),  # type: ignore[arg-type]
        digest=Digest("sha256", str(entry["sha256"])) if "sha256" in entry else None,
        size_bytes=entry.get("size"),  # type: ignore[arg-type]
        root=Root(entry.get("root", "prefix")),
        env=entry.get("env"),  # type: ignore[arg-type]
        groups=tuple(entry.get("groups", ())),  # type: ignore[arg-type]
        platforms=tuple(entry.get("platforms", ())),  # type: ignore[arg-type]
        optional=bool(entry.get("optional")),
        unpack=Unpack(unpack["strip"], tuple(unpack["include"])) if unpack else None,  # type: ignore[index]
        headers=entry["headers"],  # type: ignore[arg-type]
        link=LinkMode(entry.get("link", "auto")),
        file="environment.yml",
        line=asset.line,
    )


# --- cost


def many(count: int) -> str:
    return "assets:\n" + "".join(
        f"  - {{name: s{n}, url: https://x.org/s{n}, sha256: f{n:063x}, size: {n}, path: c/{n % 10}/{n}, env: V{n}}}\n"
        for n in range(count)
    )


def calls(text: str) -> int:
    """How many Python functions a load calls: a measure of work that no busy machine disturbs."""
    count = 0

    def profile(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        read(text)
    finally:
        sys.setprofile(None)
    return count


def test_the_work_is_linear_in_the_number_of_assets() -> None:
    small, large = many(300), many(1200)
    read(small)
    assert calls(large) < 4.1 * calls(small)


def test_importing_the_package_loads_no_yaml_and_no_http() -> None:
    """conda pays for this import in each command that meets a file with assets."""
    heavy = {"yaml", "ruamel.yaml", "requests", "urllib.request", "ssl", "http.client", "json", "jsonschema"}
    script = (
        f"import sys; before = set(sys.modules); import conda_assets.spec; print(sorted({heavy!r} & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
