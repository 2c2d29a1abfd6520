"""Text for people: tables, summaries, errors, and the words they are made of. Exact strings, no terminal."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conda_assets.errors import BootstrapFailed, DiskFull, Fault, NotThere, SpecInvalid, UsageError
from conda_assets.model import (
    Asset,
    Health,
    LinkType,
    Outcome,
    Placed,
    Plan,
    Report,
    Root,
    State,
    Step,
    Stored,
    Target,
    Verb,
)
from conda_assets.terminal import error_text, info_text, list_text, plan_text, report_text, say, status_text
from conda_assets.terminal.tables import Column, table
from conda_assets.terminal.words import (
    cells,
    clean,
    count_of,
    elapsed,
    fitting,
    joined,
    left,
    pad,
    percent,
    rate,
    share,
    shorten,
    wrap,
)

MB = 1_000_000
GB = 1_000_000_000
TARGET = Target(Path("/opt/envs/bert"), Path("/home/me/project"))
ASSETS = TARGET.prefix / "share" / "assets"
STEPS = (
    Step(
        Verb.FETCH,
        Asset("gpt2-weights", "hf://openai-community/gpt2@607a30d7/model.safetensors", "m", size_bytes=548 * MB),
        "not here yet",
    ),
    Step(Verb.FETCH, Asset("train.csv", "https://me:secret@example.org/data/train.csv?token=secret", "t"), "not here yet"),
    Step(
        Verb.LINK,
        Asset("corpus", "https://lab.org/v3.tar.zst", "c"),
        "gone or changed since then",
        stored=Stored(Path("/store/blob"), "0" * 64, 4100 * MB, 0),
    ),
    Step(Verb.KEEP, Asset("notes", "https://example.org/notes.txt", "n", size_bytes=12_300), "already right"),
    Step(Verb.SKIP, Asset("big", "https://example.org/big.bin", "b", size_bytes=72 * GB), "only with --group train"),
)


def test_a_plan_is_a_table_and_totals() -> None:
    assert plan_text(Plan(STEPS), free_bytes=120 * GB, store="/home/me/.conda/assets").splitlines() == [
        "action  name              size  source                                                 why",
        "fetch   gpt2-weights  548.0 MB  hf://openai-community/gpt2@607a30d7/model.safetensors  not here yet",
        "fetch   train.csv            ?  https://example.org/data/train.csv                     not here yet",
        "link    corpus          4.1 GB  https://lab.org/v3.tar.zst                             gone or changed since then",
        "keep    notes          12.3 kB  https://example.org/notes.txt                          already right",
        "skip    big            72.0 GB  https://example.org/big.bin                            only with --group train",
        "",
        "To fetch:             2 files, 548.0 MB and 1 of unknown size",
        "Already in the store: 1 file, 4.1 GB",
        "Kept:                 1 file, 12.3 kB",
        "Skipped:              1 file",
        "Free:                 120.0 GB in /home/me/.conda/assets",
    ]


def test_a_plan_at_80_columns_shortens_sources_and_folds_reasons() -> None:
    lines = plan_text(Plan(STEPS[:3]), free_bytes=None, store="", width=80).splitlines()
    assert lines[:5] == [
        "action  name              size  source                          why",
        "fetch   gpt2-weights  548.0 MB  hf://openai-com…el.safetensors  not here yet",
        "fetch   train.csv            ?  https://example…data/train.csv  not here yet",
        "link    corpus          4.1 GB  https://lab.org/v3.tar.zst      gone or changed",
        "                                                                since then",
    ]


def test_a_plan_on_a_narrow_terminal_is_a_paragraph_an_asset() -> None:
    lines = plan_text(Plan(STEPS[:1]), free_bytes=None, store="", width=40).splitlines()
    assert lines == [
        "fetch  gpt2-weights  548.0 MB",
        "  hf://openai-community/gpt2@607a30d7/mo",
        "    del.safetensors",
        "  not here yet",
        "",
        "To fetch:             1 file, 548.0 MB",
    ]


def test_a_plan_says_when_the_disk_is_too_small() -> None:
    assert (
        plan_text(Plan(STEPS[:1]), free_bytes=48 * MB, store="/s").splitlines()[-1]
        == "Free:                 48.0 MB in /s, 500.0 MB too little"
    )


def test_a_plan_without_assets_is_one_line() -> None:
    assert plan_text(Plan(()), free_bytes=1, store="/s") == "Nothing to do: no assets are listed"


FETCHED = Outcome("gpt2-weights", State.FETCHED, path=ASSETS / "m", size_bytes=548 * MB, bytes_fetched=548 * MB)
LINKED = Outcome("corpus", State.LINKED, path=ASSETS / "c", size_bytes=4100 * MB)
KEPT = Outcome("notes", State.KEPT, path=ASSETS / "n", size_bytes=12_300)
SKIPPED = Outcome("big", State.SKIPPED, "only with --group train")
FAILED = Outcome("y", State.FAILED, "y: the server answers 404", error=NotThere("y", "the server answers 404"))
OPTIONAL = Outcome("x", State.FAILED, optional=True, error=NotThere("x", "404"))


def report(*outcomes: Outcome, command: str = "sync") -> Report:
    return Report(command, TARGET, ("environment.yml",), outcomes)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((FETCHED,), "1 fetched (548.0 MB)"),
        ((FETCHED, LINKED), "1 fetched (548.0 MB), 1 linked from the store — 4.1 GB was already here"),
        ((LINKED, KEPT), "1 linked from the store, 1 kept — 4.1 GB were already here"),
        (
            (FETCHED, LINKED, KEPT, FAILED, OPTIONAL),
            "1 fetched (548.0 MB), 1 linked from the store, 1 kept, 1 failed: y, 1 optional failed: x — 4.1 GB were already here",
        ),
        ((KEPT,), "Nothing to do: 1 asset in place (12.3 kB)"),
        ((KEPT, KEPT, SKIPPED), "Nothing to do: 2 assets in place (24.6 kB), 1 skipped"),
        ((SKIPPED,), "Nothing to do: 1 skipped"),
        ((), "Nothing to do: no assets are listed"),
        ((FAILED,) * 9, "9 failed: y, y, y, y, y and 4 more"),
    ],
    ids=["fetched", "linked", "here", "all", "kept", "kept and skipped", "skipped", "empty", "many failures"],
)
def test_a_report_is_one_line(outcomes: tuple[Outcome, ...], expected: str) -> None:
    assert report_text(report(*outcomes), verbose=False) == expected


def test_filling_the_store_does_not_speak_of_links() -> None:
    assert report_text(report(LINKED, command="fetch"), verbose=False) == "1 already in the store — 4.1 GB was already here"


def test_a_verbose_report_has_a_row_an_asset() -> None:
    assert report_text(report(FETCHED, SKIPPED, FAILED), verbose=True).splitlines() == [
        "name          state        size  path            why",
        "gpt2-weights  fetched  548.0 MB  share/assets/m",
        "big           skipped                            only with --group train",
        "y             failed                             the server answers 404",
        "",
        "1 fetched (548.0 MB), 1 skipped, 1 failed: y",
    ]


PRESENT = Outcome("gpt2-weights", Health.PRESENT, path=ASSETS / "models" / "gpt2.safetensors", size_bytes=548 * MB)
MISSING = Outcome("corpus", Health.MISSING, "not here yet", ASSETS / "corpus", 4 * GB)
DAMAGED = Outcome("data", Health.DAMAGED, "gone or changed since it was placed", Path("/home/me/project/data.csv"), 5)
OUTDATED = Outcome("old", Health.OUTDATED, "the file asks for something else now", ASSETS / "old")
IDLE = Outcome("big", Health.SKIPPED, "only with --group train")


def test_a_status_is_a_table_and_the_next_step() -> None:
    assert status_text(report(PRESENT, MISSING, DAMAGED, OUTDATED, IDLE, command="status")).splitlines() == [
        "name          state         size  path                                  why",
        "gpt2-weights  present   548.0 MB  share/assets/models/gpt2.safetensors",
        "corpus        missing     4.0 GB  share/assets/corpus                   not here yet",
        "data          damaged        5 B  /home/me/project/data.csv             gone or changed since it was placed",
        "old           outdated            share/assets/old                      the file asks for something else now",
        "big           skipped                                                   only with --group train",
        "",
        "1 present, 1 missing, 1 outdated, 1 damaged, 1 skipped",
        "Next: `conda assets sync` brings 3 files, 4.0 GB and 1 of unknown size",
    ]


@pytest.mark.parametrize(
    ("outcomes", "command", "expected"),
    [
        ((PRESENT,), "status", "1 asset is in place (548.0 MB)"),
        ((PRESENT, PRESENT, IDLE), "status", "All 2 assets are in place (1.1 GB), 1 skipped"),
        ((PRESENT, PRESENT), "verify", "All 2 assets are right, every byte (1.1 GB)"),
        ((IDLE,), "status", "No asset is wanted here, 1 skipped"),
        ((DAMAGED,), "verify", "Next: `conda assets verify --repair` brings 1 file, 5 B"),
        ((MISSING,), "status", "Next: `conda-assets sync -n bert` brings 1 file, 4.0 GB"),
    ],
    ids=["one", "all", "verified", "none wanted", "damaged", "missing"],
)
def test_a_status_ends_with_what_to_do(outcomes: tuple[Outcome, ...], command: str, expected: str) -> None:
    said = status_text(report(*outcomes, command=command), sync="conda-assets sync -n bert")
    assert said.splitlines()[-1] == expected


def test_a_status_without_assets_is_one_line() -> None:
    assert status_text(report(command="status")) == "No assets are listed"


def placed(name: str, root: Root = Root.PREFIX, **rest: str) -> Placed:
    return Placed(name, f"x/{name}", root, "0" * 64, 12, 0, LinkType.HARDLINK, "https://x.org/", "key", **rest)  # type: ignore[arg-type]


def test_a_list_names_paths_in_the_environment_and_outside_of_it() -> None:
    rows = [placed("weights", env="WEIGHTS"), placed("data", Root.PROJECT, project="/home/other/project")]
    assert list_text(rows, TARGET).splitlines() == [
        "Environment /opt/envs/bert: 2 assets, 24 B",
        "",
        "name     size  link      path                        env      source",
        "weights  12 B  hardlink  share/assets/x/weights      WEIGHTS  https://x.org/",
        "data     12 B  hardlink  /home/other/project/x/data           https://x.org/",
    ]
    assert list_text([], TARGET) == "No assets in /opt/envs/bert"


def test_faults_of_a_file_begin_with_the_place_so_that_editors_jump_there() -> None:
    faults = (
        Fault("environment.yml", 12, 5, "assets[2].sha256", "expected 64 hex digits, got 63"),
        Fault("environment.yml", 14, 5, "assets[3].ur", "unknown field", "did you mean `url`?"),
    )
    assert error_text(SpecInvalid(faults), colour=False).splitlines() == [
        "Error: 2 faults in the assets section of environment.yml",
        str(faults[0]),
        str(faults[1]),
        "Hint: `conda assets schema` prints a JSON Schema that editors complete and check with",
    ]


def test_an_error_stands_apart_from_its_hints() -> None:
    assert error_text(DiskFull("/s", 10, 5, "a"), colour=False).splitlines() == [
        "Error: a: /s has 5 bytes free, 10 are needed",
        "Hint: make room there, or set `CONDA_ASSETS_STORE` to a folder on a larger disk",
        "Hint: then run the same command again: it resumes from what has arrived",
    ]


def test_colour_marks_the_first_word_of_an_error_only() -> None:
    said = error_text(UsageError("no such thing", "look"), colour=True)
    assert said == "\x1b[31mError:\x1b[0m no such thing\n\x1b[36mHint:\x1b[0m look"


def test_what_a_child_process_said_is_indented_and_harmless() -> None:
    error = BootstrapFailed("it failed:\nline \x1b]0;owned\x07one\n\n\u202eline two", "try\nagain")
    assert error_text(error, colour=False) == "Error: it failed:\n  line ]0;ownedone\n  \n  line two\nHint: try again"


def test_info_lines_up_like_conda_info() -> None:
    values = {
        "conda-assets": "0.1",
        "stores": ["/a", "/b"],
        "limit": None,
        "offline": False,
        "engine": {"path": "/x", "by": ["a", "b"]},
    }
    assert info_text(values).splitlines() == [
        "conda-assets : 0.1",
        "      stores : /a",
        "               /b",
        "       limit : none",
        "     offline : no",
        "      engine : path = /x",
        "               by = a b",
    ]
    assert info_text({}) == ""


def test_no_text_of_a_hostile_file_holds_control_characters() -> None:
    evil = "e\x1b[31mvil\x07\u202e\x9b\n"
    asset = Asset(evil, f"https://x.org/{evil}", evil, size_bytes=1)
    texts = [
        plan_text(Plan((Step(Verb.FETCH, asset, evil),)), free_bytes=1, store=evil),
        report_text(report(Outcome(evil, State.FAILED, evil, Path(evil))), verbose=True),
        status_text(report(Outcome(evil, Health.MISSING, evil, Path(evil)), command="status")),
        list_text([placed(evil)], Target(Path("/" + evil), Path("/"))),
        error_text(SpecInvalid((Fault(evil, 1, 1, evil, evil, evil),)), colour=False),
        error_text(NotThere(evil, evil), colour=False),
        info_text({evil: [evil, {evil: evil}]}),
    ]
    for text in texts:
        assert [sign for sign in text if not sign.isprintable() and sign != "\n"] == []


def test_texts_need_no_rich() -> None:
    script = (
        "import sys, conda_assets.terminal; print(sorted(m for m in sys.modules if m.partition('.')[0] in ('rich', 'conda')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


# Words.


def test_clean_keeps_letters_of_all_languages_and_drops_what_terminals_obey() -> None:
    assert clean("größe 日本語 ✓ e\u0301") == "größe 日本語 ✓ e\u0301"
    assert clean("a\tb\nc\r\u2028d") == "a b c  d"
    assert clean("\x1b[2J\x00\x7f\x85\x9b\u200b\u202e\ufeff") == "[2J "
    assert clean("caf\udce9") == "caf\ufffd"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", 3),
        ("größe", 5),
        ("日本", 4),
        ("한국", 4),
        ("e\u0301", 1),
        ("🙂", 2),
        ("ｱ", 1),
        ("Ａ", 2),
        ("", 0),
        ("\u1112\u1161\u11ab", 2),
    ],
)
def test_cells_counts_wide_signs_twice_and_marks_not_at_all(text: str, expected: int) -> None:
    assert cells(text) == expected


@pytest.mark.parametrize(
    ("width", "expected"),
    [(32, "model-00001-of-00030.safetensors"), (12, "model-…nsors"), (3, "m…s"), (2, "m…"), (1, "…"), (0, "")],
)
def test_shortening_keeps_both_ends(width: int, expected: str) -> None:
    assert shorten("model-00001-of-00030.safetensors", width) == expected


@given(st.text(max_size=40), st.integers(0, 50))
def test_a_shortened_text_fits(text: str, width: int) -> None:
    text = clean(text)
    assert cells(shorten(text, width)) <= width
    if cells(text) <= width:
        assert cells(pad(text, width)) == width
        assert shorten(text, width) == text


@given(st.text(max_size=80), st.integers(6, 50))
def test_wrapping_loses_nothing_and_fits(text: str, width: int) -> None:
    text = clean(text)
    lines = wrap(text, width, first="> ")
    assert all(cells(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == ">" + text.replace(" ", "")


def test_a_column_of_wide_names_stays_in_line() -> None:
    rows = [("日本語", "1 B"), ("a", "22 B")]
    assert table([Column("name"), Column("size", right=True)], rows, None) == ["name    size", "日本語   1 B", "a       22 B"]


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        ("1 kept — ✓ größe…", "utf-8", "1 kept — ✓ größe…"),
        ("1 kept — ✓ größe…", "latin-1", "1 kept - + größe~"),
        ("1 kept — ✓ größe…", "ascii", "1 kept - + gr??e~"),
        ("1 kept — größe", "cp1252", "1 kept — größe"),
        ("✓", None, "✓"),
    ],
)
def test_a_text_is_written_in_signs_that_the_encoding_has(text: str, encoding: str | None, expected: str) -> None:
    assert fitting(text, encoding) == expected


def test_say_writes_to_a_stream_of_few_signs() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", newline="\n")
    say(stream, "1 kept — 4.1 GB")
    assert raw.getvalue() == b"1 kept - 4.1 GB\n"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (rate(412e6), "412 MB/s"),
        (rate(9.46e6), "9.5 MB/s"),
        (rate(0), "0 B/s"),
        (share(18.2 * GB, 71.9 * GB), "18.2/71.9 GB"),
        (share(0, 812), "0/812 B"),
        (percent(999, 1000), "99 %"),
        (percent(1000, 1000), "100 %"),
        (elapsed(5.06), "5.1 s"),
        (elapsed(9.97), "10 s"),
        (elapsed(59.7), "1 min"),
        (elapsed(125), "2 min 5 s"),
        (elapsed(4321), "1 h 12 min"),
        (left(None), ""),
        (left(0.2), "1 s"),
        (left(90), "90 s"),
        (left(91), "2 min"),
        (left(5401), "2 h"),
        (left(172801), "3 d"),
        (left(1e12), ""),
        (count_of(1, "file"), "1 file"),
        (count_of(1234, "file"), "1,234 files"),
        (joined("abcdef"), "a, b, c, d, e, f"),
        (joined("abcdefg"), "a, b, c, d, e and 2 more"),
    ],
)
def test_numbers_read_as_people_write_them(said: str, expected: str) -> None:
    assert said == expected
