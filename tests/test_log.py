"""The log: what it says, what it must not say, how large it grows, and who may write it at once."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from conda_assets.log import Log, mask, secrets_of
from conda_assets.log.masking import _RULES
from lab import Lab
from server import Faults, Server

pytestmark = pytest.mark.slow

BODY = b"the very bytes\n" * 1000
SECRET = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=8, max_size=40).filter(
    lambda text: not text.lower().startswith(("bearer", "basic", "digest"))
)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="?&;=:@/\"'<>#", exclude_categories=("Cs",)), max_size=30)

#: Where secrets have been seen to stand.
PLACES = [
    "https://{}@lab.example/w.bin",
    "https://me:{}@lab.example/w.bin",
    "ftp://me:p@{}@lab.example/w.bin",
    "GET /w.bin?{}=1&sig={} HTTP/1.1",
    "https://lab.example/w.bin?X-Amz-Signature={}&v=2",
    "https://lab.example/w.bin?a=1;token={}",
    "https://account.blob.core.windows.net/c/w.bin?{}",
    "https://lab.example/t/{}/noarch",
    "https://lab.example/w.bin#access_token={}",
    "https://lab.example/w.bin?a=1#{}",
    "Location: /w.bin#{}",
    "Authorization: Bearer {}",
    "Authorization: Basic {}",
    "authorization=token {}",
    "Proxy-Authorization: Digest username=me, response={}",
    "Cookie: a=b; session={}",
    "Set-Cookie: session={}; Path=/",
    "X-Auth-Token: {}",
    "X-Api-Key: {}",
    "PRIVATE-TOKEN: {}",
    "{{'Authorization': 'Bearer {}'}}",
    '{{"access_token": "{}", "expires_in": 3600}}',
    "HF_TOKEN={}",
    "AWS_SECRET_ACCESS_KEY={} and more",
    "rpc-secret={}",
    "ftp-passwd={}",
    "http-passwd: {}",
    "said bearer {}",
    "hf_{}",
    "ghp_{}",
]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def log_file(clean_environ: Path) -> Path:
    return clean_environ / ".local" / "state" / "conda-assets" / "log" / "conda-assets.log"


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@given(secret=SECRET, before=WORDS, after=WORDS)
def test_no_secret_passes(place: str, secret: str, before: str, after: str) -> None:
    if place.count("{}") > 1:
        place = place.replace("{}", "name", 1)
    masked = mask(f"{before} {place.format(secret)} {after}")
    assume(secret not in before + after)
    assert secret not in masked
    assert mask(masked) == masked


@given(secret=SECRET, around=WORDS)
def test_what_is_known_to_be_secret_passes_nowhere(secret: str, around: str) -> None:
    assert secret not in mask(f"{around}{secret}{around}", {secret}).replace("***", "\0")


@given(st.lists(st.sampled_from(["plan: 2 fetch", "weights: fetched, 548.1 MB in 5.1 s", "/opt/envs/bert", "try 2 in 0.5 s"])))
def test_plain_words_stay(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert mask(text) == text


def test_a_path_and_a_host_stay() -> None:
    text = "w.bin: started, 12 bytes, from https://lab.example:8443/a/w.bin"
    assert mask(text) == text


def test_variables_that_are_called_like_secrets_are_known() -> None:
    environ = {"HF_TOKEN": "x" * 20, "LAB_PASSWORD": "geheimnis", "LAB_KEY": "schluessel"}
    assert secrets_of({**environ, "PATH": "/usr/bin:/bin", "API_TOKEN": "short"}) == set(environ.values())


def test_a_sync_leaves_what_happened(server: Server, lab: Lab, log_file: Path) -> None:
    lab.write([server.add("/w.bin", BODY)])
    assert lab.call("sync", "-p", str(lab.prefix())).status == 0
    text = log_file.read_text()
    for part in ("sync: conda-assets ", "stores = ", "plan: 1 fetch", "w.bin: started, 15000 bytes", "w.bin: fetched, 15.0 kB"):
        assert part in text
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \d+ info    sync: .*", text.splitlines()[0])
    assert stat.S_IMODE(log_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(log_file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("quiet", [[], ["-q"], ["--json"]], ids=["", "-q", "--json"])
def test_a_failed_sync_names_the_log(server: Server, lab: Lab, log_file: Path, quiet: list[str]) -> None:
    lab.write([server.url("/gone.bin")])
    said = lab.call("sync", "-p", str(lab.prefix()), *quiet)
    assert said.status == 1
    assert said.err.endswith(f"\nLog: {log_file}\n")
    text = log_file.read_text()
    assert " error   gone.bin: failed: " in text
    assert "Traceback" not in text


def test_at_level_debug_it_says_where_and_what_aria2_said(server: Server, lab: Lab, log_file: Path) -> None:
    lab.write([server.add("/w.bin", BODY) + "?sig=canary-in-a-query", server.url("/gone.bin")])
    assert lab.call("sync", "-p", str(lab.prefix()), "--log-level", "debug").status == 1
    text = log_file.read_text()
    assert "Traceback (most recent call last)" in text
    assert " debug   aria2:" in text
    assert "GET /w.bin?sig=***" in text
    assert "canary" not in text


def test_headers_and_passwords_do_not_reach_the_log(
    server: Server, lab: Lab, log_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_KEY", "canary-in-a-header")
    url = server.add("/w.bin", BODY, faults=Faults()).replace("http://", "http://me:canary-in-a-url@")
    lab.write([{"url": url, "headers": {"X-Lab": "Word ${LAB_KEY}", "Authorization": "Bearer ${LAB_KEY}"}}])
    lab.call("sync", "-p", str(lab.prefix()), "--log-level", "debug")
    assert " debug   aria2:" in log_file.read_text()
    assert "canary" not in log_file.read_text()


def test_a_command_that_cannot_begin_says_so_in_the_log(lab: Lab, log_file: Path) -> None:
    lab.write([{"url": "https://x.y/z", "sha256": "zz"}])
    assert lab.call("sync", "-p", str(lab.prefix())).status == 2
    assert " error   sync: " in log_file.read_text()


@pytest.mark.parametrize("words", [["--log-level", "none"], []], ids=["flag", "setting"])
def test_nothing_is_written_when_nothing_is_wanted(
    server: Server, lab: Lab, log_file: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    if not words:
        monkeypatch.setenv("CONDA_PLUGINS_ASSETS_LOG_LEVEL", "none")
    lab.write([server.url("/gone.bin")])
    said = lab.call("sync", "-p", str(lab.prefix()), *words)
    assert (said.status, "Log:" in said.err, log_file.parent.exists()) == (1, False, False)


def test_a_level_that_is_none_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.write([])
    monkeypatch.setenv("CONDA_PLUGINS_ASSETS_LOG_LEVEL", "loud")
    said = lab.call("info")
    assert (said.status, "expected one of debug, info, warning, error, none" in said.err) == (2, True)


def test_info_says_where_the_log_is(lab: Lab, log_file: Path) -> None:
    lab.write([])
    assert lab.call("info", "--json").json["log"] == str(log_file)
    assert f"log : {log_file}" in lab.call("info").out
    assert not log_file.exists()


def test_a_home_that_cannot_be_written_does_not_end_a_sync(server: Server, lab: Lab, clean_environ: Path, log_file: Path) -> None:
    (clean_environ / ".local").write_text("in the way")
    lab.write([server.add("/w.bin", BODY), server.url("/gone.bin")])
    said = lab.call("sync", "-p", str(lab.prefix()))
    assert (said.status, "Log:" in said.err, "Traceback" in said.err) == (1, False, False)


def test_what_gc_removed_is_written_down(lab: Lab, log_file: Path) -> None:
    lab.write([])
    store = Path(os.environ["CONDA_ASSETS_STORE"])
    from test_gc import bring

    stored = bring(store, BODY)
    lab.call("gc", "-y")
    assert f"removed file {stored.path}" in log_file.read_text()


def test_the_log_is_bound_in_size(tmp_path: Path) -> None:
    log = Log(folder=lambda: tmp_path, largest_bytes=1000)
    for number in range(200):
        log.write("info", f"line {number} {'x' * 50}")
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir() if path.name != ".lock"}
    assert set(sizes) <= {"conda-assets.log", *(f"conda-assets.log.{number}" for number in range(1, 5))}
    assert len(sizes) >= 4
    assert max(sizes.values()) < 1200
    newest = "".join(sorted_texts(tmp_path))
    assert "line 199 " in newest
    assert "line 0 " not in newest


def sorted_texts(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.glob("conda-assets.log*"))]


def test_the_log_is_bound_in_age(tmp_path: Path) -> None:
    first = Log(folder=lambda: tmp_path)
    first.write("info", "old")
    first.close()
    path = tmp_path / "conda-assets.log"
    path.replace(tmp_path / "conda-assets.log.2")
    later = path.parent.stat().st_mtime + 31 * 86400
    second = Log(folder=lambda: tmp_path, clock=lambda: later)
    second.write("info", "new")
    assert {each.name for each in tmp_path.iterdir()} == {"conda-assets.log"}
    assert "new" in path.read_text()


def test_records_keep_to_their_lines(tmp_path: Path) -> None:
    log = Log(folder=lambda: tmp_path)
    log.write("info", "two\nlines\x1b[31m\r\u2028 and more")
    first, second = (tmp_path / "conda-assets.log").read_text().splitlines()
    assert first.endswith(" info    two")
    assert second == "    lines [31m   and more"


def test_levels_leave_out_what_is_below(tmp_path: Path) -> None:
    log = Log("warning", folder=lambda: tmp_path)
    for level in ("debug", "info", "warning", "error"):
        log.write(level, level)
    assert [line.split()[-1] for line in (tmp_path / "conda-assets.log").read_text().splitlines()] == ["warning", "error"]


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "conda-assets.log").symlink_to(tmp_path / "victim")
    Log(folder=lambda: tmp_path).write("info", "a line")
    assert not (tmp_path / "victim").exists()


_WRITER = """
import sys
from pathlib import Path
from conda_assets.log import Log
log = Log(folder=lambda: Path(sys.argv[1]), largest_bytes=20_000)
for number in range(300):
    log.write("info", f"{sys.argv[2]}-{number} " + "x" * 80)
"""


def test_several_processes_write_whole_lines_and_lose_none_while_it_rotates(tmp_path: Path) -> None:
    """All that were written last are there; none is torn."""
    writers = [subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path), str(number)]) for number in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    lines = [line for text in sorted_texts(tmp_path) for line in text.splitlines()]
    assert all(re.fullmatch(r"\S+Z \d+ info    \d-\d+ x{80}", line) for line in lines)
    assert len(set(lines)) == len(lines)
    assert len(lines) > 5 * 20_000 // 130 * 0.7


PARTS = (
    *("https://", "a@b", "/t/", "?", "&", ";", "=", ": ", " ", "\n", '"', "K", "0123456789"),
    *("Authorization", "cooKie", "ſet-cookie", "TOKEN", "ſecret", "paSSwd", "api_Key", "signature", "credential"),
    *("Bearer ", "baſic ", "digest ", "AWS4-HMAC-SHA256 ", "hf_", "ghp_", "AKIA", "eyJ", "ya29.", "xoxb-"),
)


@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
def test_a_rule_that_is_left_out_would_have_found_nothing(text: str) -> None:
    """Most lines hold no sign of a secret, and are not searched for one."""
    expected = text
    for _, pattern, replacement in _RULES:
        expected = pattern.sub(replacement, expected)
    assert mask(text) == expected
