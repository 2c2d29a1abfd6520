"""Records are dataclasses: the same bodies, made by the standard library and by us, must behave the same."""

from __future__ import annotations

import ast
import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest

import conda_assets
from conda_assets import records

STANDARD = dataclasses.dataclass, dataclasses.field
OURS = records.dataclass, records.field


def _family(dataclass: Any, field: Any) -> dict[str, type]:
    """One of each kind that the package has."""

    @dataclass(frozen=True, slots=True)
    class Frozen:
        """All that a field can say."""

        name: str
        secret: str = field(repr=False)
        count: int = 3
        parts: tuple[str, ...] = field(default=("a",), repr=False)
        table: dict[str, int] = field(default_factory=dict)
        call: object = field(default=None, repr=False, compare=False)
        kind: ClassVar[str] = "frozen"

        @property
        def double(self) -> int:
            return 2 * self.count

    @dataclass(frozen=True, slots=True)
    class Child(Frozen):
        """Adds one and changes one."""

        count: int = 5
        more: str = ""

    @dataclass(frozen=True)
    class Loose:
        """Frozen, without slots."""

        name: str
        count: int = 1

    @dataclass
    class Plain:
        """Whose values may change, so that it has no hash."""

        name: str = "n"
        seen: list[int] = field(default_factory=list)

    @dataclass(slots=True)
    class Late:
        """One value comes from the others."""

        count: int
        double: int = field(init=False)

        def __post_init__(self) -> None:
            self.double = 2 * self.count

    @dataclass(eq=False, repr=False)
    class Own:
        """Equal to nothing but itself."""

        name: str = "n"

    @dataclass(frozen=True)
    class Said:
        """Says itself what it is, and when it is equal."""

        name: str
        count: int = 0

        def __repr__(self) -> str:
            return self.name

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Said) and self.name == other.name

        def __hash__(self) -> int:
            return 7

    @dataclass(eq=False)
    class Failed(Exception):
        """An error."""

        said: str
        hint: str = ""
        code: ClassVar[str] = "failed"

    @dataclass(eq=False)
    class FailedMore(Failed):
        """An error below it."""

        after_s: float = 0.0

    @dataclass(frozen=True, slots=True)
    class Nothing:
        """No field at all."""

    return {each.__name__: each for each in (Frozen, Child, Loose, Plain, Late, Own, Said, Failed, FailedMore, Nothing)}


PAIRS = [(theirs, ours) for theirs, ours in zip(_family(*STANDARD).values(), _family(*OURS).values(), strict=True)]

ARGS: dict[str, list[tuple[Any, ...]]] = {
    "Frozen": [("n", "s"), ("n", "s", 4), ("n", "other"), ("n", "s", 3, ("a",), {}, 7), ("m", "s", 3, ("b",), {"x": 1})],
    "Child": [("n", "s"), ("n", "s", 5, ("a",), {}, None, "x")],
    "Loose": [("n",), ("n", 2)],
    "Plain": [(), ("n", [1])],
    "Late": [(1,), (2,)],
    "Own": [(), ("n",)],
    "Said": [("n", 1), ("n", 2), ("m",)],
    "Failed": [("a",), ("a", "b")],
    "FailedMore": [("a",), ("a", "b", 2.0)],
    "Nothing": [()],
}


@pytest.fixture(params=PAIRS, ids=lambda pair: pair[0].__name__)
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    return request.param  # type: ignore[no-any-return]


def _values(kind: Any) -> list[Any]:
    return [kind(*args) for args in ARGS[kind.__name__]]


def _caught(call: Any) -> object:
    """What the call gives, or the kind of its error."""
    try:
        return call()
    except Exception as error:
        return type(error)


def test_both_print_the_same(pair: tuple[Any, Any]) -> None:
    """Fields with `repr=False` hold secrets."""
    theirs, ours = map(_values, pair)
    if pair[0].__name__ != "Own":
        assert [*map(repr, ours)] == [*map(repr, theirs)]
    else:
        assert all(" object at " in repr(each) for each in ours)


def test_both_are_equal_to_the_same(pair: tuple[Any, Any]) -> None:
    theirs, ours = ([[a == b for b in row] for a in row] for row in map(_values, pair))
    assert ours == theirs
    assert not any(a == b for a, b in zip(_values(pair[0]), _values(pair[1]), strict=True) if pair[0].__name__ != "Said")


def test_both_have_a_hash_or_none(pair: tuple[Any, Any]) -> None:
    kinds = [[type(_caught(lambda each=each: hash(each))) for each in _values(kind)] for kind in pair]
    assert kinds[0] == kinds[1]
    for one in (ours := _values(pair[1])):
        for other in ours:
            if one == other and kinds[1][0] is int:
                assert hash(one) == hash(other)


def test_both_refuse_the_same_changes(pair: tuple[Any, Any]) -> None:
    def tried(each: Any) -> list[object]:
        names = [field.name for field in dataclasses.fields(each)]
        told = [_caught(lambda name=name: setattr(each, name, 9)) for name in names]
        return told + [_caught(lambda name=name: delattr(each, name)) for name in names]

    assert tried(_values(pair[1])[0]) == tried(_values(pair[0])[0])


def test_both_are_called_the_same(pair: tuple[Any, Any]) -> None:
    theirs, ours = pair
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    assert ours.__match_args__ == theirs.__match_args__
    assert ours.__init__.__qualname__ == theirs.__init__.__qualname__
    assert [hasattr(_values(kind)[0], "__dict__") for kind in pair] == [hasattr(_values(theirs)[0], "__dict__")] * 2
    assert [type(_caught(lambda kind=kind: kind(no_such=1))) for kind in pair] == [type] * 2


def test_the_functions_of_the_standard_library_know_ours(pair: tuple[Any, Any]) -> None:
    assert dataclasses.is_dataclass(pair[1])
    theirs, ours = ([(each.name, each.type, each.repr, each.init) for each in dataclasses.fields(kind)] for kind in pair)
    assert ours == theirs
    assert [(each.name, each.type, each.repr, each.init) for each in records.fields(pair[1])] == theirs
    for one, other in zip(*map(_values, pair), strict=True):
        assert dataclasses.asdict(other) == dataclasses.asdict(one)
        assert dataclasses.astuple(other) == dataclasses.astuple(one)


@pytest.mark.parametrize("replace", [dataclasses.replace, records.replace], ids=["theirs", "ours"])
def test_replacing_makes_another_one(replace: Any) -> None:
    kind = _family(*OURS)["Frozen"]
    one: Any = kind("n", "s", 4)
    other = replace(one, count=5)
    assert (one.count, other.count, other.secret) == (4, 5, "s")
    assert replace(other, count=4) == one
    with pytest.raises(TypeError):
        replace(one, no_such=1)


@pytest.mark.parametrize("name", ["Frozen", "Child", "Loose", "Plain", "Late", "FailedMore"])
def test_copies_and_pickles_hold_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind: Any = _family(*OURS)[name]
    kind.__qualname__ = name
    monkeypatch.setitem(globals(), name, kind)
    for each in _values(kind):
        for other in (copy.copy(each), copy.deepcopy(each), pickle.loads(pickle.dumps(each))):
            assert type(other) is kind
            assert dataclasses.asdict(other) == dataclasses.asdict(each)


def test_a_pickle_is_read_before_any_was_made(tmp_path: Path) -> None:
    """Another process never called the class; what a record needs is there all the same."""
    from conda_assets.model import Unpack

    text = pickle.dumps(Unpack(2, ("*.csv",)))
    ask = f"import pickle; each = pickle.loads({text!r}); print(repr(each), hash(each) == hash(type(each)(2, ('*.csv',))))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout == "Unpack(strip=2, include=('*.csv',)) True\n"


def test_the_standard_library_may_decorate_what_follows() -> None:
    """Users derive from our errors."""
    base: Any = _family(*OURS)["FailedMore"]

    @dataclasses.dataclass(eq=False)
    class Mine(base):  # type: ignore[misc]
        status: int = 1

    mine: Any = Mine("a", status=3)
    assert (mine.said, mine.hint, mine.after_s, mine.status) == ("a", "", 0.0, 3)
    assert repr(mine).endswith("Mine(said='a', hint='', after_s=0.0, status=3)")


def test_a_record_that_holds_itself_is_printed() -> None:
    each: Any = _family(*OURS)["Plain"]()
    each.seen.append(each)
    assert "..." in repr(each)


def test_a_default_that_all_would_share_is_refused() -> None:
    with pytest.raises(ValueError, match="default_factory"):

        @records.dataclass
        class Shared:
            seen: list[int] = []  # noqa: RUF012


def test_many_threads_may_make_the_first_one() -> None:
    for _ in range(20):
        kind: Any = _family(*OURS)["Frozen"]
        made: list[Any] = []
        gate = threading.Barrier(4)

        def make(kind: Any = kind, made: list[Any] = made, gate: threading.Barrier = gate) -> None:
            gate.wait()
            made.append(kind("n", "s"))

        threads = [threading.Thread(target=make) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert made == [kind("n", "s")] * 4


def test_no_module_of_ours_makes_them_otherwise() -> None:
    """One import of `dataclasses` costs as much as a hundred records."""
    # conda's record is changed by its own means, in a process that has them.
    wrong, allowed = [], {("exporting.py", "replace")}
    for file in Path(next(iter(conda_assets.__path__))).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "dataclasses" and file.name != "records.py":
                wrong += [
                    f"{file}: {each.name}"
                    for each in node.names
                    if each.name not in ("asdict", "astuple") and (file.name, each.name) not in allowed
                ]
    assert not wrong
