"""What single values mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conda_assets.spec.paths import PATH, fold, read_path
from conda_assets.spec.types import anchored
from conda_assets.spec.urls import SCHEMES, URL, expand, read_url
from conda_assets.spec.values import (
    GLOB,
    HASH,
    NAME,
    SHA256,
    SIZE,
    VARIABLE,
    Size,
    Wrong,
    nearest,
    one_line,
    read_glob,
    read_hash,
    read_name,
    read_sha256,
    read_size,
    read_variable,
)

T = TypeVar("T")


def attempt(reader: Callable[[str], T], text: str) -> tuple[T | str, Wrong | None]:
    """What a reader makes of a text, and what it has against it."""
    try:
        return reader(text), None
    except Wrong as wrong:
        return "", wrong


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", Size(0, 0)),
        ("548105171", Size(548105171, 0)),
        ("548105171 B", Size(548105171, 0)),
        ("12 bytes", Size(12, 0)),
        ("1 byte", Size(1, 0)),
        ("5k", Size(5000, 999)),
        ("5 kB", Size(5000, 999)),
        ("5KB", Size(5000, 999)),
        ("5 KiB", Size(5120, 1023)),
        ("523 MiB", Size(523 << 20, (1 << 20) - 1)),
        ("4.9 GB", Size(4_900_000_000, 99_999_999)),
        ("4.90 GB", Size(4_900_000_000, 9_999_999)),
        ("1.5Gi", Size(3 << 29, (1 << 30) // 10 - 1)),
        ("2 T", Size(2 * 10**12, 10**12 - 1)),
        ("1 PiB", Size(1 << 50, (1 << 50) - 1)),
        ("0.1 kB", Size(100, 99)),
    ],
)
def test_a_size_is_exact_in_bytes_and_has_the_slack_of_its_last_digit(text: str, size: Size) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize(
    "text", ["12 parsecs", "MB", "", "1,000", "1.5", "-1", "1 000", "9999999 PB", "0x10", "1e9", "½ GB", "５", "1 GBit"]
)
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Wrong) as caught:
        read_size(text)
    assert "4937123456" in caught.value.hint


@pytest.mark.parametrize(
    ("path", "other"),
    [("Models/X.bin", "models/x.BIN"), ("café", "cafe\u0301"), ("STRASSE", "straße"), ("ΣΑΣ", "σας"), ("ﬁle", "FILE")],
)
def test_paths_that_are_one_on_a_mac_or_on_windows_fold_alike(path: str, other: str) -> None:
    assert fold(path) == fold(other)


@given(st.text())
def test_folding_twice_changes_nothing(path: str) -> None:
    assert fold(fold(path)) == fold(path)


@given(
    st.lists(
        st.sampled_from(["..", ".", "", "a", "b ", "c.", "CON", "nul.x", ".git", "~", "C:", "\\", "é", "x" * 300]), max_size=5
    )
)
def test_a_path_that_is_taken_stays_below_its_folder(parts: list[str]) -> None:
    path, wrong = attempt(read_path, "/".join(parts))
    if wrong is not None:
        assert wrong.message
        return
    kept = str(path).removesuffix("/").split("/")
    assert not {"", ".", "..", "CON", "nul.x", ".git", "c.", "b ", "C:", "\\"} & set(kept)
    assert kept[0] != "~"


READERS: dict[str, tuple[Callable[[str], object], str]] = {
    "name": (read_name, NAME),
    "path": (read_path, PATH),
    "variable": (read_variable, VARIABLE),
    "glob": (read_glob, GLOB),
    "sha256": (read_sha256, SHA256),
    "hash": (read_hash, HASH),
    "size": (read_size, SIZE),
}
PIECES = st.sampled_from(
    [*"aA0_./\\:-~$*{ \n\0", "..", "CON", "sha256:", "md5:", "f" * 32, "f" * 64, "GB", "KiB", "é", "\u202e", "${A}"]
)


@pytest.mark.parametrize("kind", READERS)
def test_what_a_reader_takes_the_schema_takes_too(kind: str) -> None:
    reader, pattern = READERS[kind]

    @given(st.lists(PIECES, max_size=5).map("".join) | st.from_regex(pattern, fullmatch=True))
    def check(text: str) -> None:
        _, wrong = attempt(reader, text)
        if wrong is not None:
            assert wrong.message.isprintable()
        else:
            assert re.search(anchored(pattern), text)

    check()


# fmt: off
URL_PIECES = st.sampled_from([
    *SCHEMES, "HTTP", "://", ":", "/", "//", "x.org", "@", "user:pw@", ":80", ":x", "?", "#", "&", "$", "${A}", "${", "$$", " ",
    "\n", "[::1]", "[", "%0a", "%20", "xt=urn:btih:0", "\\", '"', "<", "é", "\u200b", "key", "a.metalink", "localhost", "..",
])
# fmt: on


@given(st.lists(URL_PIECES, max_size=8).map("".join))
def test_a_url_that_is_taken_has_a_known_scheme_and_nothing_that_could_split_a_request(text: str) -> None:
    url, wrong = attempt(lambda text: read_url(text, {"A": "https://a.org"}).text, text)
    if wrong is not None:
        assert "user:pw" not in wrong.message + wrong.hint
        return
    assert str(url).partition(":")[0] in SCHEMES
    assert not re.search(r"[\s\x00-\x20\x7f]", str(url))
    assert re.search(anchored(URL), text)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("https://bücher.example/ü?x=ü", "https://xn--bcher-kva.example/ü?x=ü"),
        ("https://Me:pw@BÜCHER.example:8443/a", "https://Me:pw@xn--bcher-kva.example:8443/a"),
        ("ftp://例え.テスト/a", "ftp://xn--r8jz45g.xn--zckzah/a"),
        ("http://straße.de/a", "http://xn--strae-oqa.de/a"),
        ("http://１２７.0.0.1/a", "http://127.0.0.1/a"),
        ("https://example.org/ü", "https://example.org/ü"),
        ("s3://eimer/ü", "s3://eimer/ü"),
    ],
)
def test_a_server_of_any_script_is_called_as_dns_does(text: str, asked: str) -> None:
    assert read_url(text, {}).text == asked


@pytest.mark.parametrize("host", ["ü..example", "ü" * 64, "\u2028ü", "-ü-.example", "[::ü]"])
def test_a_host_that_no_dns_can_have_is_refused(host: str) -> None:
    _, wrong = attempt(lambda text: read_url(text, {}).text, f"https://{host}/a")
    assert wrong is not None


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("${A}", "1"),
        ("${A}${B}", "1${A}"),
        ("$${A}", "${A}"),
        ("$$${A}", "$1"),
        ("$A $ $", "$A $ $"),
        ("a$", "a$"),
        ("$$", "$"),
        ("100$", "100$"),
    ],
)
def test_only_braces_are_expanded_and_only_once(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1", "B": "${A}"}).text == expanded


@pytest.mark.parametrize("text", ["${", "${A", "${}", "${A B}", "${A:-x}", "${1A}", "${A-}", "${$A}", "${é}", "${A\n}"])
def test_other_forms_of_variables_are_refused(text: str) -> None:
    with pytest.raises(Wrong, match="only `\\$\\{NAME\\}` is expanded"):
        expand(text, {"A": "1"})


@pytest.mark.parametrize(
    "name", ["PATH", "path", "HOME", "LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "PYTHONPATH", "PYTHONHOME"]
)
def test_variables_that_would_break_a_program_are_refused(name: str) -> None:
    with pytest.raises(Wrong, match="belongs to the system, the shell or conda"):
        read_variable(name)


@pytest.mark.parametrize(
    "name",
    [
        "CONDA",
        "CONDA_PREFIX",
        "conda_x",
        "_CONDA_ROOT",
        "MAMBA_ROOT_PREFIX",
        "PIXI_HOME",
        "IFS",
        "BASH_ENV",
        "PS1",
        "status",
        "_",
    ],
)
def test_variables_of_the_shell_and_of_conda_are_refused(name: str) -> None:
    with pytest.raises(Wrong):
        read_variable(name)


@pytest.mark.parametrize(
    "name", ["GPT2_WEIGHTS", "data", "_x", "HF_HOME", "MYPATH", "PATH_TO_DATA", "PYTHON_DATA", "SSL_CERT_FILE", "A1"]
)
def test_other_variables_are_taken(name: str) -> None:
    assert read_variable(name) == name


def test_the_nearest_word_does_not_depend_on_case_and_may_be_none() -> None:
    assert nearest("SHA-256", ["sha256", "size"]) == "sha256"
    assert nearest("zzz", ["sha256", "size"]) == ""
    assert nearest("x" * 10**6, ["sha256"]) == ""


def test_text_in_a_message_is_one_short_printable_line() -> None:
    assert one_line("a\n\x1b[31mb\u202e") == "a\\n\\x1b[31mb\\u202e"
    assert one_line("x" * 100) == "x" * 60 + "…"
