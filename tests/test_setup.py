"""The user's `.condarc` is edited as text; what it means before and after is read by YAML, and by a real conda."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from conda_assets.errors import DiskRefused, EnvironmentMissing, UsageError
from conda_assets.setup import Change, Where, apply_change, plan_setup
from condas import Conda, conda_params

BOTH = "channels:\n  - conda-forge\nchannel_priority: strict\n"


def load(text: str) -> dict[str, Any]:
    content = YAML(typ="safe", pure=True).load(text)
    return {} if content is None else content


@pytest.fixture
def user(tmp_path: Path) -> Where:
    home = tmp_path / "home"
    home.mkdir()
    return Where(None, home)


def set_up(where: Where, *, undo: bool = False) -> Change:
    change = plan_setup(where, undo=undo)
    apply_change(change)
    return change


def edited(user: Where, text: str) -> str:
    """What setup makes of a `.condarc`."""
    user.user_file.write_bytes(text.encode())
    set_up(user)
    return user.user_file.read_bytes().decode()


# What people have in their .condarc, and what becomes of it.
EDITS = {
    "empty": ("", BOTH),
    "comment-only": ("# mine\n", "# mine\n" + BOTH),
    "comment-without-end": ("# mine", "# mine\n" + BOTH),
    "document-start": ("---\n", "---\n" + BOTH),
    "directive": ("%YAML 1.2\n---\na: 1\n", "%YAML 1.2\n---\na: 1\n" + BOTH),
    "bom": ("\ufeffa: 1\n", "\ufeffa: 1\n" + BOTH),
    "other-keys": ("ssl_verify: false  # proxy\n", "ssl_verify: false  # proxy\n" + BOTH),
    "no-last-newline": ("ssl_verify: false", "ssl_verify: false\n" + BOTH),
    "block": (
        "channels:\n  - defaults\nssl_verify: false\n",
        "channels:\n  - conda-forge\n  - defaults\nssl_verify: false\nchannel_priority: strict\n",
    ),
    "block-not-indented": ("channels:\n- defaults\n", "channels:\n- conda-forge\n- defaults\nchannel_priority: strict\n"),
    "block-commented": (
        "channels: # ours\n  # the lab\n  - lab  # fast\n\n  # the rest\n  - defaults\nchannel_priority: false",
        "channels: # ours\n  - conda-forge\n  # the lab\n  - lab  # fast\n\n  # the rest\n  - defaults\nchannel_priority: strict",
    ),
    "block-moved": (
        "channels:\n  - lab  # a\n  - conda-forge  # b\n  - defaults  # c\n",
        "channels:\n  - conda-forge  # b\n  - lab  # a\n  - defaults  # c\nchannel_priority: strict\n",
    ),
    "block-moved-from-an-unfinished-line": (
        "channels:\n  - lab\n  - 'conda-forge'",
        "channels:\n  - 'conda-forge'\n  - lab\nchannel_priority: strict\n",
    ),
    "crlf": (
        "channels:\r\n  - defaults\r\nchannel_priority: flexible\r\n",
        "channels:\r\n  - conda-forge\r\n  - defaults\r\nchannel_priority: strict\r\n",
    ),
    "crlf-new": ("ssl_verify: false\r\n", "ssl_verify: false\r\n" + BOTH.replace("\n", "\r\n")),
    "flow": ("channels: [defaults]  # x\n", "channels: [conda-forge, defaults]  # x\nchannel_priority: strict\n"),
    "flow-empty": ("channels: []\n", "channels: [conda-forge]\nchannel_priority: strict\n"),
    "flow-moved": (
        'channels: [ a ,b,"conda-forge" , c ]\n',
        'channels: [ "conda-forge" ,a,b , c ]\nchannel_priority: strict\n',
    ),
    "flow-over-lines": (
        "channels: [\n  a,\n  conda-forge,\n]\n",
        "channels: [\n  conda-forge,\n  a,\n]\nchannel_priority: strict\n",
    ),
    "flow-commented": (
        "channels: [\n  a,  # first\n  conda-forge,  # second\n  b]\n",
        "channels: [\n  conda-forge, a,  # first\n  # second\n  b]\nchannel_priority: strict\n",
    ),
    "null": ("channels:\nx: 1\n", "channels: [conda-forge]\nx: 1\nchannel_priority: strict\n"),
    "null-commented": ("channels:   # none\n", "channels: [conda-forge]   # none\nchannel_priority: strict\n"),
    "null-written": ("channels: ~  # none\n", "channels: [conda-forge]  # none\nchannel_priority: strict\n"),
    "json": ('{"channels": ["defaults"]}\n', '{channel_priority: strict, "channels": [conda-forge, "defaults"]}\n'),
    "json-empty": ("{}", "{channel_priority: strict, channels: [conda-forge]}"),
    "alias-key": ("channel:\n- defaults\n", "channel:\n- conda-forge\n- defaults\nchannel_priority: strict\n"),
    "quoted-key": ('"channels" : [a]\n', '"channels" : [conda-forge, a]\nchannel_priority: strict\n'),
    "address": (
        "channels: [a, https://conda.anaconda.org/conda-forge]\n",
        "channels: [https://conda.anaconda.org/conda-forge, a]\nchannel_priority: strict\n",
    ),
    "indented": ("  a: 1\n  b: 2\n", "  a: 1\n  b: 2\n  channels:\n    - conda-forge\n  channel_priority: strict\n"),
    "marked-top": (
        "channels:\n  - lab #!top\n  - conda-forge\n",
        "channels:\n  - conda-forge #!top\n  - lab #!top\nchannel_priority: strict\n",
    ),
    "marked-bottom": (
        "channels:\n  - conda-forge #!bottom\n  - lab\n",
        "channels:\n  - conda-forge\n  - lab\nchannel_priority: strict\n",
    ),
    "marked-final": (
        "channels: #!final\n  - lab\n",
        "channels: #!final\n  - conda-forge\n  - lab\nchannel_priority: strict\n",
    ),
    "priority": (
        "channel_priority: flexible  #!final\nchannels: [conda-forge]\n",
        "channel_priority: strict  #!final\nchannels: [conda-forge]\n",
    ),
    "priority-old": ("channel_priority: false\nchannels: [conda-forge]\n", "channel_priority: strict\nchannels: [conda-forge]\n"),
    "priority-quoted": (
        "channel_priority: 'disabled'\nchannels: [conda-forge]\n",
        "channel_priority: strict\nchannels: [conda-forge]\n",
    ),
    "priority-null": ("channel_priority:\nchannels: [conda-forge]\n", "channel_priority: strict\nchannels: [conda-forge]\n"),
    "text-at-the-end": ("a: |\n  text", "channel_priority: strict\nchannels:\n  - conda-forge\na: |\n  text"),
    "document-end-and-bom": ("\ufeffa: 1\n...\n", "\ufeffchannel_priority: strict\nchannels:\n  - conda-forge\na: 1\n...\n"),
    "document-end": ("a: 1\n...\n", "channel_priority: strict\nchannels:\n  - conda-forge\na: 1\n...\n"),
}


@pytest.mark.parametrize(("before", "after"), EDITS.values(), ids=EDITS)
def test_two_keys_change_and_nothing_else(before: str, after: str, user: Where) -> None:
    assert edited(user, before) == after


@pytest.mark.parametrize(("before", "after"), EDITS.values(), ids=EDITS)
def test_undo_gives_back_every_byte(before: str, after: str, user: Where) -> None:
    edited(user, before)
    set_up(user, undo=True)
    assert user.user_file.read_bytes().decode() == before
    assert sorted(os.listdir(user.home)) == [".condarc"]


@pytest.mark.parametrize(("before", "after"), EDITS.values(), ids=EDITS)
def test_a_second_setup_changes_nothing_and_keeps_the_notes(before: str, after: str, user: Where) -> None:
    edited(user, before)
    again = set_up(user)
    assert not again.is_needed
    assert again.said == (f"{user.user_file} does it already",)
    set_up(user, undo=True)
    assert user.user_file.read_bytes().decode() == before


SAFE_AS_THEY_ARE = {
    "block": "channels:\n  - conda-forge\n  - defaults\nchannel_priority: strict\n",
    "flow": "{channels: [conda-forge], channel_priority: Strict}",
    "address": "channel_priority: strict\nchannels: ['https://conda.anaconda.org/conda-forge/']",
    "marked": "channels:\n  - conda-forge #!top\n  - lab #!top\nchannel_priority: strict #!final\n",
}


@pytest.mark.parametrize("text", SAFE_AS_THEY_ARE.values(), ids=SAFE_AS_THEY_ARE)
def test_what_is_right_already_is_not_touched(text: str, user: Where) -> None:
    assert edited(user, text) == text
    assert sorted(os.listdir(user.home)) == [".condarc"]


# Text → line, and what is said of it.
REFUSED = {
    "anchor": ("a: 1\nchannels: &c [lab]\nb: *c\n", 2, "`channels` has an anchor or an alias"),
    "alias": ("b: &c [lab]\nchannels: *c\n", 2, "`channels` has an anchor or an alias"),
    "entry-anchor": ("channels:\n- &x lab\nb: *x\n", 1, "`channels` has an anchor or an alias"),
    "priority-alias": ("a: &p flexible\nchannel_priority: *p\n", 2, "`channel_priority` has an anchor or an alias"),
    "merge-key": ("<<: {channels: [lab]}\n", 1, "it has a merge key `<<`"),
    "documents": ("a: 1\n---\nb: 2\n", 3, "it holds several YAML documents"),
    "tab": ("a: 1\nchannels:\n\t- lab\n", 3, "it is not YAML: found character '\\t' that cannot start any token"),
    "unfinished": ("a: 1\nchannels: [lab\n", 3, "it is not YAML: expected ',' or ']', but got '<stream end>'"),
    "twice": ("channels: [https://x/t/SECRET/y]\nchannels: [b]\n", 2, "it has a key twice"),
    "both-names": ("channels: [a]\nchannel: [b]\n", 1, "it has both `channels` and `channel`, which conda refuses"),
    "text": ("a: 1\nchannels: lab,other\n", 2, "`channels` is not a list"),
    "mapping": ("channels:\n  lab: 1\n", 2, "`channels` is not a list"),
    "priority-list": ("channels: [conda-forge]\nchannel_priority: [strict]\n", 2, "`channel_priority` is not a word"),
    "a-list": ("- lab\n", 1, "it is not a list of `key: value` lines"),
    "a-word": ("lab", 1, "it is not a list of `key: value` lines"),
    "explicit-key": ("? channels\n: - lab\n", 1, "`channels` is written in a way that cannot be edited with certainty"),
    "dash-alone": ("channels:\n-\n  lab\n-\n  conda-forge\n", 5, "`conda-forge` shares its line with something else"),
    "marked-in-flow": ("channels: [\n lab, #!top\n]\n", 1, "it marks a channel with `#!top`"),
    "marked-bottom-in-flow": (
        "channels: []  #!bottom\n",
        1,
        "`channels` is written in a way that cannot be edited with certainty",
    ),
    "unknown-tag": ("a: !mine 1\n", 1, "it is not YAML: could not determine a constructor for the tag '!mine'"),
    "no-date": ("a: 2001-99-99\n", 0, "it holds something that cannot be read as YAML"),
}


@pytest.mark.parametrize(("text", "line", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_edited_safely_is_left_to_the_user(text: str, line: int, why: str, user: Where) -> None:
    """With the file, the line, and the lines to write by hand."""
    user.user_file.write_text(text)
    with pytest.raises(UsageError) as caught:
        plan_setup(user)
    place = f"{user.user_file}:{line}" if line else str(user.user_file)
    assert caught.value.message == f"{place}: {why}"
    (hint,) = caught.value.hints
    assert "channels:\n  - conda-forge" in hint.text
    assert "channel_priority: strict" in hint.text
    assert user.user_file.read_text() == text
    assert sorted(os.listdir(user.home)) == [".condarc"]


def test_bytes_that_are_not_utf8_are_left_to_the_user(user: Where) -> None:
    user.user_file.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(UsageError, match=re.escape(f"{user.user_file}:2: it is not UTF-8")):
        plan_setup(user)


def test_a_plan_writes_nothing(user: Where, tmp_path: Path) -> None:
    for where in (user, environment(tmp_path)):
        before = sorted(tmp_path.rglob("*"))
        assert plan_setup(where).is_needed
        assert not plan_setup(where, undo=True).is_needed
        assert sorted(tmp_path.rglob("*")) == before


def test_a_new_file_is_made_and_taken_away_again(user: Where) -> None:
    change = set_up(user)
    assert user.user_file.read_text() == BOTH
    none = "(it lists none, and conda's own defaults count only while no file lists any)"
    assert change.said == (
        f"{user.user_file}: put `conda-forge` first in `channels` {none}",
        f"{user.user_file}: set `channel_priority: strict`, was not set",
    )
    assert stat.S_IMODE(next((user.home / ".conda").iterdir()).stat().st_mode) & 0o077 == 0
    undone = set_up(user, undo=True)
    assert undone.said == (
        f"{user.user_file}: put `channel_priority` back as it was",
        f"{user.user_file}: put `channels` back as it was",
        f"remove {user.user_file}",
    )
    assert list(user.home.iterdir()) == []


def test_the_change_is_told_in_json_without_the_files_text(user: Where) -> None:
    user.user_file.write_text("channels: [https://conda.example/t/SECRET/lab]\nchannel_priority: flexible\n")
    change = plan_setup(user)
    assert json.loads(json.dumps(change.to_json())) == {
        "file": str(user.user_file),
        "changed": True,
        "undo": False,
        "said": [
            f"{user.user_file}: put `conda-forge` first in `channels`",
            f"{user.user_file}: set `channel_priority: strict`, was flexible",
        ],
    }
    assert "SECRET" not in repr(change)


# What the user does between setup and undo: the text before, their edit of it, and how the file ends.
LATER = {
    "a-key-above": ("channels: [lab]\n", lambda text: "a: 1\n" + text, "a: 1\nchannels: [lab]\n"),
    "a-key-below": ("channels: [lab]\n", lambda text: text + "a: 1\n", "channels: [lab]\na: 1\n"),
    "a-key-below-an-unfinished-line": ("channels: [lab]", lambda text: text + "a: 1\n", "channels: [lab]\na: 1\n"),
    "a-key-above-an-unfinished-line": ("channels: [lab]", lambda text: "a: 1\n" + text, "a: 1\nchannels: [lab]"),
    "another-line-edited": (
        "ssl_verify: true\nchannels:\n- lab\n",
        lambda text: text.replace("true", "false"),
        "ssl_verify: false\nchannels:\n- lab\n",
    ),
    "the-unfinished-line-edited": (
        "channels:\n- lab\nssl_verify: true",
        lambda text: text.replace("true", "false"),
        "channels:\n- lab\nssl_verify: false\n",
    ),
    "a-channel-added": (
        "channels:\n- lab\n",
        lambda text: text.replace("- lab\n", "- lab\n- more\n"),
        "channels:\n- lab\n- more\n",
    ),
    "a-channel-added-behind-a-moved-one": (
        "channels:\n- lab\n- conda-forge\n- last\n",
        lambda text: text.replace("- lab\n", "- lab\n- more\n"),
        "channels:\n- lab\n- conda-forge\n- more\n- last\n",
    ),
    "a-channel-added-between": (
        "channels:\n- lab\n",
        lambda text: text.replace("- lab\n", "- more\n- lab\n"),
        "channels:\n- more\n- lab\n",
    ),
    "line-ends-changed": (
        "a: 1\nchannels:\n- lab\n",
        lambda text: text.replace("\n", "\r\n"),
        "a: 1\r\nchannels:\r\n- lab\r\n",
    ),
    "comments-added": (
        "channels:\n- lab\nchannel_priority: flexible\n",
        lambda text: "# a\n" + text.replace("channel_priority", "# b\nchannel_priority") + "# c\n",
        "# a\nchannels:\n- lab\n# b\nchannel_priority: flexible\n# c\n",
    ),
}


@pytest.mark.parametrize(("before", "edit", "after"), LATER.values(), ids=LATER)
def test_undo_keeps_what_the_user_has_edited_since(before: str, edit: Callable[[str], str], after: str, user: Where) -> None:
    user.user_file.write_bytes(edit(edited(user, before)).encode())
    set_up(user, undo=True)
    assert user.user_file.read_bytes().decode() == after


# As above, where the user has edited our own lines: they stay, and that is said.
OWN_LINES = {
    "priority-changed": (
        "channels: [lab]\n",
        lambda text: text.replace("strict", "disabled"),
        "channels: [lab]\nchannel_priority: disabled\n",
        ("channel_priority",),
    ),
    "priority-removed": (
        "channels: [lab]\n",
        lambda text: text.replace("channel_priority: strict\n", ""),
        "channels: [lab]\n",
        ("channel_priority",),
    ),
    "flow-list-extended": (
        "channels: [lab]\n",
        lambda text: text.replace("lab", "lab, more"),
        "channels: [conda-forge, lab, more]\n",
        ("channels",),
    ),
    "channels-added-below-the-key-that-was-ours": (
        "ssl_verify: true\n",
        lambda text: text.replace("- conda-forge\n", "- conda-forge\n  - lab\n"),
        "ssl_verify: true\nchannels:\n  - conda-forge\n  - lab\n",
        ("channels",),
    ),
    "channels-added-where-only-they-would-be-left": (
        "proxy_servers: {http: x}\n",
        lambda text: text.replace("- conda-forge\n", "- conda-forge\n  - lab\n"),
        "proxy_servers: {http: x}\nchannels:\n  - conda-forge\n  - lab\n",
        ("channels",),
    ),
    "our-line-is-part-of-a-text-now": (
        "channels:\n  - lab\n",
        lambda text: text.replace("channels:\n", "channels:\n- |\n"),
        "channels:\n- |\n  - conda-forge\n  - lab\n",
        ("channels",),
    ),
    "a-comment-between-our-lines": (
        "channels: [\n  a,  # first\n  conda-forge,  # second\n  b]\n",
        lambda text: text.replace("# first\n", "# first\n  # mine\n"),
        "channels: [\n  conda-forge, a,  # first\n  # mine\n  # second\n  b]\n",
        ("channels",),
    ),
    "our-channel-removed": (
        "channels:\n- lab\n",
        lambda text: text.replace("- conda-forge\n", ""),
        "channels:\n- lab\n",
        ("channels",),
    ),
    "all-replaced": ("channels: [lab]\n", lambda text: "a: 1\n", "a: 1\n", ("channel_priority", "channels")),
}


@pytest.mark.parametrize(("before", "edit", "after", "kept"), OWN_LINES.values(), ids=OWN_LINES)
def test_undo_leaves_our_lines_where_the_user_has_edited_them(
    before: str, edit: Callable[[str], str], after: str, kept: tuple[str, ...], user: Where
) -> None:
    user.user_file.write_text(edit(edited(user, before)))
    change = set_up(user, undo=True)
    assert user.user_file.read_text() == after
    left = [said for said in change.said if said.endswith("was edited since and stays as it is")]
    assert left == [f"{user.user_file}: `{name}` was edited since and stays as it is" for name in kept]
    assert set_up(user, undo=True).said == (f"there is nothing to undo in {user.user_file}",)


def test_two_setups_with_the_users_own_change_between_are_both_undone(user: Where) -> None:
    user.user_file.write_text("channels: [lab]\n")
    set_up(user)
    user.user_file.write_text(user.user_file.read_text().replace("[conda-forge, lab]", "[other, conda-forge, lab]"))
    set_up(user)
    assert user.user_file.read_text() == "channels: [conda-forge, other, lab]\nchannel_priority: strict\n"
    set_up(user, undo=True)
    assert user.user_file.read_text() == "channels: [other, conda-forge, lab]\n"


def test_a_file_that_is_gone_leaves_nothing_to_undo(user: Where) -> None:
    set_up(user)
    user.user_file.unlink()
    assert set_up(user, undo=True).said == (f"{user.user_file} is gone, and with it what was set up",)
    assert list(user.home.iterdir()) == []


def test_undo_of_a_file_that_is_no_longer_yaml_says_where(user: Where) -> None:
    text = edited(user, "channels: [lab]\n") + "a: [1\n"
    user.user_file.write_text(text)
    with pytest.raises(UsageError, match=re.escape(f"{user.user_file}:4: it is not YAML")):
        plan_setup(user, undo=True)
    assert user.user_file.read_text() == text


@pytest.mark.parametrize("notes", ["", "[]", "{}", '{"schema": 99}', '{"schema": 1, "file": "x"}', "\xff"])
def test_damaged_notes_are_named_and_nothing_is_undone(notes: str, user: Where) -> None:
    text = edited(user, "a: 1\n")
    (record,) = (user.home / ".conda").iterdir()
    record.write_bytes(notes.encode("latin-1"))
    with pytest.raises(UsageError, match=re.escape(str(record))) as caught:
        plan_setup(user, undo=True)
    assert str(record) in caught.value.hints[0].text
    assert user.user_file.read_text() == text


def test_condarc_names_the_file_and_each_file_has_its_own_notes(user: Where, tmp_path: Path) -> None:
    named = tmp_path / "elsewhere.yml"
    other = Where(None, user.home, {"CONDARC": str(named)})
    set_up(user)
    set_up(other)
    assert other.user_file == named
    assert named.read_text() == BOTH
    set_up(other, undo=True)
    assert not named.exists()
    assert user.user_file.read_text() == BOTH
    assert Where(None, user.home, {"CONDARC": "~/mine.yml"}).user_file == user.home / "mine.yml"
    assert Where(None, user.home, {"CONDARC": ""}).user_file == user.home / ".condarc"


def test_a_variable_that_outranks_the_file_is_named(tmp_path: Path) -> None:
    where = Where(None, tmp_path, {"CONDA_CHANNEL_PRIORITY": "flexible", "CONDA_CHANNELS": ""})
    assert plan_setup(where).said[-1] == "$CONDA_CHANNEL_PRIORITY is set in this shell and ranks above every file"


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640])
def test_the_mode_of_the_file_stays(mode: int, user: Where) -> None:
    user.user_file.write_text("channels: [lab]\n")
    user.user_file.chmod(mode)
    for undo in (False, True):
        set_up(user, undo=undo)
        assert stat.S_IMODE(user.user_file.stat().st_mode) == mode


def test_a_link_stays_and_its_target_is_written(user: Where, tmp_path: Path) -> None:
    """People keep their dotfiles in a repository elsewhere."""
    target = tmp_path / "dotfiles/condarc"
    target.parent.mkdir()
    target.write_text("channels: [lab]\n")
    user.user_file.symlink_to(target)
    set_up(user)
    assert user.user_file.readlink() == target
    assert target.read_text() == "channels: [conda-forge, lab]\nchannel_priority: strict\n"
    set_up(user, undo=True)
    assert user.user_file.readlink() == target
    assert target.read_text() == "channels: [lab]\n"
    assert os.listdir(target.parent) == ["condarc"]


def test_a_link_to_nothing_yet_is_filled_and_emptied(user: Where, tmp_path: Path) -> None:
    user.user_file.symlink_to(tmp_path / "dotfiles/condarc")
    set_up(user)
    assert (tmp_path / "dotfiles/condarc").read_text() == BOTH
    set_up(user, undo=True)
    assert user.user_file.is_symlink()
    assert not (tmp_path / "dotfiles/condarc").exists()


def test_the_owner_of_the_file_stays(user: Where) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can give a file to someone else")
    user.user_file.write_text("channels: [lab]\n")
    os.chown(user.user_file, 12345, 12346)
    set_up(user)
    assert (user.user_file.stat().st_uid, user.user_file.stat().st_gid) == (12345, 12346)


def test_a_change_that_is_no_longer_true_is_not_applied(user: Where) -> None:
    change = plan_setup(user)
    user.user_file.write_text("a: 1\n")
    with pytest.raises(UsageError, match="was changed meanwhile"):
        apply_change(change)
    assert user.user_file.read_text() == "a: 1\n"
    assert sorted(os.listdir(user.home)) == [".condarc"]


def test_a_disk_that_refuses_leaves_the_old_file(user: Where) -> None:
    resource = pytest.importorskip("resource", reason="a limit on the size of a file stands in for a full disk")
    user.user_file.write_text("channels: [lab]\n" + "# mine\n" * 1000)
    before = user.user_file.read_bytes()
    change = plan_setup(user)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(DiskRefused, match="cannot be written: File too large"):
            apply_change(change)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert user.user_file.read_bytes() == before
    assert [path for path in user.home.rglob("*") if path.is_file()] == [user.user_file]


def test_a_folder_in_place_of_the_file_is_named(user: Where) -> None:
    user.user_file.mkdir()
    with pytest.raises(DiskRefused, match=re.escape(f"{user.user_file} cannot be read")):
        plan_setup(user)


def environment(tmp_path: Path, *, root: Path | None = None) -> Where:
    prefix = tmp_path / "envs/bert"
    (prefix / "conda-meta").mkdir(parents=True, exist_ok=True)
    return Where(prefix, tmp_path / "home", root=root)


def by_package(prefix: Path) -> Path:
    """What the conda package brings."""
    file = prefix / "condarc.d/conda-assets.yml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(BOTH)
    record = {"name": "conda-assets", "files": ["bin/conda-assets", "condarc.d/conda-assets.yml"]}
    (prefix / "conda-meta/conda-assets-0.1.0-0.json").write_text(json.dumps(record))
    return file


def test_an_environment_gets_a_file_of_its_own_and_loses_it(tmp_path: Path) -> None:
    where = environment(tmp_path)
    assert where.prefix is not None
    before = sorted(where.prefix.rglob("*"))
    file = where.prefix / "condarc.d/conda-assets-setup.yml"
    assert set_up(where).said == (f"write {file}: `conda-forge` first in `channels`, `channel_priority: strict`",)
    assert load(file.read_text()) == {"channels": ["conda-forge"], "channel_priority": "strict"}
    assert set_up(where).said == (f"{file} does it already",)
    assert set_up(where, undo=True).said == (f"remove {file}",)
    assert sorted(where.prefix.rglob("*")) == before
    assert set_up(where, undo=True).said == (f"there is nothing to undo in {where.prefix}",)


def test_other_settings_of_the_environment_stay(tmp_path: Path) -> None:
    where = environment(tmp_path)
    assert where.prefix is not None
    other = where.prefix / "condarc.d/lab.yml"
    other.parent.mkdir()
    other.write_text("ssl_verify: false\n")
    set_up(where)
    set_up(where, undo=True)
    assert os.listdir(other.parent) == ["lab.yml"]


def test_what_the_package_does_already_is_not_done_twice(tmp_path: Path) -> None:
    where = environment(tmp_path)
    assert where.prefix is not None
    file = by_package(where.prefix)
    said = f"{file} does it, as long as the package conda-assets is installed there"
    for undo in (False, True):
        change = set_up(where, undo=undo)
        assert not change.is_needed
        assert change.said == (said,)
    assert os.listdir(file.parent) == ["conda-assets.yml"]


@pytest.mark.parametrize(
    "content", [b"", b"channels: [lab]\n", b"channels: [", b"\xff", None], ids=["emptied", "edited", "broken", "bytes", "deleted"]
)
def test_a_package_file_that_says_otherwise_does_not_count(content: bytes | None, tmp_path: Path) -> None:
    where = environment(tmp_path)
    assert where.prefix is not None
    file = by_package(where.prefix)
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    assert set_up(where).is_needed


def test_a_damaged_record_of_the_package_is_named(tmp_path: Path) -> None:
    where = environment(tmp_path)
    assert where.prefix is not None
    record = where.prefix / "conda-meta/conda-assets-0.1.0-0.json"
    record.write_text("{")
    with pytest.raises(UsageError, match=re.escape(f"{record} cannot be read")):
        plan_setup(where)


def test_undo_takes_our_file_even_where_the_package_came_later(tmp_path: Path) -> None:
    where = environment(tmp_path)
    assert where.prefix is not None
    set_up(where)
    file = by_package(where.prefix)
    change = set_up(where, undo=True)
    assert change.is_needed
    assert change.said[1].startswith(str(file))
    assert os.listdir(file.parent) == ["conda-assets.yml"]


def test_an_edited_file_of_ours_is_neither_overwritten_nor_removed(tmp_path: Path) -> None:
    where = environment(tmp_path)
    assert where.prefix is not None
    set_up(where)
    file = where.prefix / "condarc.d/conda-assets-setup.yml"
    file.write_text("channels: [lab]\n")
    with pytest.raises(UsageError, match=re.escape(f"{file} was edited")):
        plan_setup(where)
    assert set_up(where, undo=True).said == (f"{file} was edited and stays as it is",)
    assert file.read_text() == "channels: [lab]\n"


def test_in_base_the_users_file_is_said_to_rank_above(tmp_path: Path) -> None:
    where = environment(tmp_path, root=tmp_path / "envs/bert")
    said = plan_setup(where).said
    assert said[1] == f"in base {tmp_path}/home/.condarc ranks above it; `conda assets setup --user` edits that"


def test_no_environment_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentMissing, match="is not a conda environment"):
        plan_setup(Where(tmp_path, tmp_path))


def settings_of(conda: Conda, tmp_path: Path, text: str | None, prefix: Path | None) -> tuple[list[str], str]:
    root = conda.make_root(tmp_path / "conda", "file:///nowhere")
    (root.home / ".condarc").unlink()
    if text is not None:
        (root.home / ".condarc").write_text(text)
    active = {"CONDA_PREFIX": str(prefix)} if prefix else {}
    done = root.run("config", "--show", "channels", "channel_priority", "--json", env=active)
    assert done.status == 0, done
    return done.json["channels"], done.json["channel_priority"]


@pytest.mark.slow
@pytest.mark.parametrize("conda", conda_params())
@pytest.mark.parametrize(
    "name",
    ["block-commented", "block-moved", "flow-moved", "null", "json", "alias-key", "crlf", "marked-top", "marked-bottom", "bom"],
)
def test_real_conda_reads_what_was_meant(conda: Conda, name: str, tmp_path: Path) -> None:
    before, after = EDITS[name]
    channels, priority = settings_of(conda, tmp_path, after, None)
    content = load(before)
    listed = content.get("channels") or content.get("channel") or []
    assert priority == "strict"
    assert channels == ["conda-forge", *(each for each in listed if each != "conda-forge")]


@pytest.mark.slow
@pytest.mark.parametrize("conda", conda_params())
def test_real_conda_obeys_an_environments_file_above_the_users(conda: Conda, tmp_path: Path) -> None:
    where = environment(tmp_path)
    mine = "channels: [lab]\nchannel_priority: flexible\n"
    assert settings_of(conda, tmp_path / "before", mine, where.prefix) == (["lab"], "flexible")
    set_up(where)
    assert settings_of(conda, tmp_path / "active", mine, where.prefix) == (["conda-forge", "lab"], "strict")
    assert settings_of(conda, tmp_path / "elsewhere", mine, None) == (["lab"], "flexible")
    set_up(where, undo=True)
    assert settings_of(conda, tmp_path / "after", mine, where.prefix) == (["lab"], "flexible")


# Texts as people write them, put together at random.
_NAMES = st.sampled_from(
    ["defaults", "conda-forge", "lab", "'quoted name'", '"double"', "https://x.example/c", "conda-forge/label/a"]
)
_COMMENT = st.sampled_from(["", "  # why", " #!top", "  #!bottom", " #no space", "  # ä → 日本"])
_BETWEEN = st.sampled_from(["", "# a line of its own\n", "\n", "  # indented\n", "\n\n# two\n\n"])


@st.composite
def _channels(draw: st.DrawFn) -> str:
    names = draw(st.lists(_NAMES, max_size=4, unique=True))
    key = draw(st.sampled_from(["channels", "channels", "channel", '"channels"']))
    form = draw(st.sampled_from(["block", "block", "flow", "lines", "null"]))
    if form == "null" or not names:
        return key + ":" + draw(st.sampled_from(["", " ~", " null", " []", " [ ]"])) + draw(_COMMENT) + "\n"
    if form == "flow":
        return f"{key}: [{draw(st.sampled_from(['', ' ']))}{', '.join(names)}{draw(st.sampled_from(['', ' ', ',', ' , ']))}]\n"
    indent = draw(st.sampled_from(["", "  ", "    "]))
    if form == "lines":
        return f"{key}: [\n" + "".join(f"{indent} {name},{draw(_COMMENT)}\n" for name in names) + " ]\n"
    return f"{key}:{draw(_COMMENT)}\n" + "".join(f"{draw(_BETWEEN)}{indent}- {name}{draw(_COMMENT)}\n" for name in names)


_PRIORITY = st.sampled_from(
    ["strict", "flexible", "'disabled'", "true", "False", "", "~", '"STRICT"  # loud', "flexible #!final"]
).map(lambda value: f"channel_priority: {value}\n")
_OTHER = st.sampled_from(
    [
        "ssl_verify: false\n",
        "proxy_servers:\n  http: http://u:p@x:1\n  https: null\n",
        "envs_dirs:\n- /a\n-   /b\n",
        "pinned: |\n  a\n\n  b\n",
        "kept: |+\n  a\n\n\n",
        "folded: >-\n  a\n  b\n",
        "plain: several\n  lines\n",
        "'quoted': \"a # b\"\n",
        "anchored: &a [1, 2]\nalias: *a\n",
        "nan: .nan\n",
        "empty:\n",
        "custom_channels: {lab: 'http://x', conda-forge: y}\n",
    ]
)


@st.composite
def _condarcs(draw: st.DrawFn, *, plain: bool = False) -> str:
    """`plain`: complete lines, one document, nothing that makes the end of the file mean something."""
    parts = [draw(_OTHER.map(str)) for _ in range(draw(st.integers(0, 3)))]
    parts = list(dict.fromkeys(parts))
    parts += [draw(_channels())] if draw(st.booleans()) else []
    parts += [draw(_PRIORITY)] if draw(st.booleans()) else []
    body = "".join(draw(_BETWEEN) + part for part in draw(st.permutations(parts))) + draw(_BETWEEN)
    if plain:
        body = body.replace("|+", "|") + "# end\n"
    else:
        body = draw(st.sampled_from(["", "", "---\n", "# head\n", "%YAML 1.2\n---\n"])) + body
        body += draw(st.sampled_from(["", "", "...\n"]))
        body = body.rstrip("\n") if draw(st.booleans()) else body
        body = draw(st.sampled_from(["", "\ufeff"])) + body
    return body.replace("\n", draw(st.sampled_from(["\n", "\n", "\r\n", "\r"])))


# Texts that nobody writes: the edit must be right or refused there too.
_PIECES = ["channels", "channels:", "channel_priority:", "conda-forge", "strict", "#!top", "0o8", "2001-13-41"]
_SIGNS = [*"abx:-[]{},#'\"|>?*&!%~ \t\n\r\u2028\x85\ufeff\x00", "\n", "\n", " ", "  ", ": ", "- ", "---\n", "...\n", "<<: "]
_WILD = st.lists(st.sampled_from([*_PIECES, *_SIGNS]), max_size=30).map("".join)


def check(text: str, home: Path) -> bool:
    """The three promises, for one text; whether it could be edited."""
    where = Where(None, home)
    where.user_file.write_bytes(text.encode())
    try:
        change = plan_setup(where)
    except UsageError:
        return False
    apply_change(change)
    after = where.user_file.read_bytes().decode()
    old, new = load(text), load(after)
    key = "channel" if "channel" in old else "channels"
    ours = [each for each in old.get(key) or [] if each == "conda-forge"][:1]
    rest = list(old.get(key) or [])
    if ours:
        rest.remove("conda-forge")
    assert new.pop(key) == ["conda-forge", *rest]
    assert str(new.pop("channel_priority")).lower() == "strict"
    assert repr(new) == repr({name: value for name, value in old.items() if name not in (key, "channel_priority")})
    # No comment is lost or altered, and none appears but the mark that a marked list needs.
    assert sorted(re.findall(r"#[^\r\n]*", text)) == sorted(re.findall(r"#[^\r\n]*", after)) or "#!" in text
    assert not plan_setup(where).is_needed
    set_up(where, undo=True)
    assert where.user_file.read_bytes().decode() == text
    assert [path for path in home.rglob("*") if path.is_file()] == [where.user_file]
    return True


_MANY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@pytest.mark.slow
@_MANY
@given(text=_condarcs())
@example(text="channels:\n- a\n- conda-forge")
def test_any_condarc_is_set_up_and_restored(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(text, tmp_path_factory.mktemp("home"))


@_MANY
@given(text=_WILD)
def test_any_text_is_edited_rightly_or_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(text, tmp_path_factory.mktemp("home"))


@_MANY
@given(text=_condarcs(plain=True), above=st.booleans(), line=st.sampled_from(["# mine", "always_yes: true", ""]))
def test_a_line_added_before_the_undo_is_all_that_stays(
    text: str, above: bool, line: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Undo of an edited file equals the same edit of the file as it was."""
    end = re.search(r"\r\n|\n|\r", text)
    assert end is not None
    added = line + end[0]
    where = Where(None, tmp_path_factory.mktemp("home"))
    where.user_file.write_bytes(text.encode())
    try:
        set_up(where)
    except UsageError:
        return
    after = where.user_file.read_bytes().decode()
    mine = added + after if above else after + added
    where.user_file.write_bytes(mine.encode())
    set_up(where, undo=True)
    assert where.user_file.read_bytes().decode() == (added + text if above else text + added)
