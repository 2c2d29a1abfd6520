"""`dataclass` as the standard library has it, at a tenth of its price: a module of records is read before it does anything.

`@dataclass(frozen=True, slots=True)` of Python 3.11 compiles six functions a class, 0.6 ms, and needs `inspect`, which needs
`ast`, `dis` and `tokenize`, 10 ms: together 55 of the 185 ms that a `sync` without work took. Here all classes share what prints
and what refuses a change; `__init__`, `__eq__` and `__hash__` are compiled when somebody first looks for them: most errors and
events never happen in a run, and few records are compared.

What it makes *is* a dataclass to everybody else: `dataclasses.fields`, `replace`, `asdict`, `is_dataclass` and a subclass that
the standard library decorates work, by a description that is made when it is asked for. Checkers see the standard names.
Left out is what nobody here uses: `order`, `kw_only`, `InitVar`, `unsafe_hash`, `weakref_slot`, `metadata`.
"""

from __future__ import annotations

from reprlib import recursive_repr
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from dataclasses import dataclass, field, fields, replace

__all__ = ["dataclass", "field", "fields", "replace"]


class _Missing:
    """No value; a signature shows it in the place of one that a call makes."""

    def __repr__(self) -> str:
        return "<factory>"


_MISSING: Any = _Missing()

T = TypeVar("T")


class _Field:
    """One attribute, with what `dataclasses.field` knows of it. `default`, `default_factory`: `_MISSING` where there is none."""

    __slots__ = ("compare", "default", "default_factory", "init", "name", "repr", "type")

    def __init__(
        self,
        *,
        default: Any = _MISSING,
        default_factory: Any = _MISSING,
        init: bool = True,
        repr: bool = True,
        compare: bool = True,
    ) -> None:
        self.name = self.type = ""
        self.default = default
        self.default_factory = default_factory
        self.init = init
        self.repr = repr
        self.compare = compare


class _Record:
    """What a class is made of. `options`: as they were given to `dataclass`, without `slots`."""

    __slots__ = ("fields", "options")

    def __init__(self, fields: tuple[_Field, ...], options: dict[str, bool]) -> None:
        self.fields = fields
        self.options = options


def _dataclass(cls: Any = None, /, *, eq: bool = True, repr: bool = True, frozen: bool = False, slots: bool = False) -> Any:
    """As `dataclasses.dataclass`. Raises ValueError for a default that all would share, as a list.

    A default before a field without one is left to the checker: at run time, the first call of the class is a SyntaxError.
    """
    options = {"eq": eq, "repr": repr, "frozen": frozen}
    if cls is None:
        return lambda cls: _made(cls, options, slots)
    return _made(cls, options, slots)


def _made(cls: Any, options: dict[str, bool], slots: bool) -> Any:
    own = list(_own_fields(cls))
    inherited: tuple[_Field, ...] = cls.__record__.fields if hasattr(cls, "__record__") else ()
    fields = tuple({each.name: each for each in (*inherited, *own)}.values())
    if slots:
        cls = _slotted(cls, own, inherited)
    cls.__record__ = _Record(fields, options)
    given = vars(cls)
    if "__match_args__" not in given:
        # Checkers know it as nothing to be set.
        type.__setattr__(cls, "__match_args__", tuple(each.name for each in fields if each.init))
    if "__init__" not in given:
        cls.__init__ = _Late(cls, "__init__", _init_of)
    cls.__dataclass_fields__ = _Standard(cls, "__dataclass_fields__")
    cls.__dataclass_params__ = _Standard(cls, "__dataclass_params__")
    if options["repr"] and "__repr__" not in given:
        cls.__repr__ = _repr
    if options["eq"]:
        _comparable(cls, options["frozen"])
    if options["frozen"]:
        cls.__setattr__, cls.__delattr__ = _set, _delete
        if slots and "__getstate__" not in given:
            cls.__getstate__, cls.__setstate__ = _state, _restore
    return cls


def _comparable(cls: Any, frozen: bool) -> None:
    given = vars(cls)
    # Python itself puts a None there where a class defines `__eq__` only.
    hashes = "__hash__" in given and not (given["__hash__"] is None and "__eq__" in given)
    if "__eq__" not in given:
        cls.__eq__ = _Late(cls, "__eq__", _eq_of)
    if not hashes:
        cls.__hash__ = _Late(cls, "__hash__", _hash_of) if frozen else None


def _own_fields(cls: Any) -> Iterator[_Field]:
    """The annotated attributes, in order; afterwards the class has their defaults, and none of `field`."""
    for name, kind in cls.__annotations__.items():
        # Text, as all modules have `from __future__ import annotations`.
        if kind.startswith("ClassVar"):
            continue
        given = getattr(cls, name, _MISSING)
        # The slot of a base, which has no default.
        if isinstance(given, MemberDescriptorType):
            given = _MISSING
        each = given if isinstance(given, _Field) else _Field(default=given)
        each.name, each.type = name, kind
        if each.default is not _MISSING and type(each.default).__hash__ is None:
            raise ValueError(f"{cls.__qualname__}.{name}: all would share one default: use `default_factory`")
        if each is given:
            if each.default is _MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, each.default)
        yield each


def _slotted(cls: Any, own: list[_Field], inherited: tuple[_Field, ...]) -> Any:
    """The same class once more: slots cannot be added to one that exists."""
    body = {key: value for key, value in vars(cls).items() if key not in ("__dict__", "__weakref__")}
    for each in own:
        body.pop(each.name, None)
    known = {each.name for each in inherited}
    body["__slots__"] = tuple(each.name for each in own if each.name not in known)
    made = type(cls)(cls.__name__, cls.__bases__, body)
    made.__qualname__ = cls.__qualname__
    return made


class _Late:
    """Stands for a method until somebody calls it or looks at it, then makes it. Two threads at once make the same one twice."""

    def __init__(self, cls: Any, name: str, make: Callable[[Any], Any]) -> None:
        self._cls = cls
        self._name = name
        self._make = make

    def __get__(self, instance: object, owner: object = None) -> Any:
        made = self._make(self._cls)
        made.__module__ = self._cls.__module__
        made.__qualname__ = f"{self._cls.__qualname__}.{self._name}"
        setattr(self._cls, self._name, made)
        return made.__get__(instance, owner)


def _compiled(name: str, arguments: list[str], lines: list[str], known: dict[str, Any]) -> Any:
    """The function of that name. `known`: what its lines may name."""
    exec("\n ".join([f"def {name}({', '.join(arguments)}):", *lines]), known)
    return known[name]


def _eq_of(cls: Any) -> Any:
    sides = [_tuple_of(cls, of) for of in ("self", "other")]
    line = f"return {sides[0]} == {sides[1]} if other.__class__ is self.__class__ else NotImplemented"
    return _compiled("__eq__", ["self", "other"], [line], {})


def _hash_of(cls: Any) -> Any:
    return _compiled("__hash__", ["self"], [f"return hash({_tuple_of(cls, 'self')})"], {})


def _tuple_of(cls: Any, of: str) -> str:
    return f"({''.join(f'{of}.{each.name}, ' for each in cls.__record__.fields if each.compare)})"


def _init_of(cls: Any) -> Any:
    record = cls.__record__
    # `object.__setattr__` goes around the refusal of a frozen one.
    line = "_set(self, {0!r}, {1})" if record.options["frozen"] else "self.{0} = {1}"
    known: dict[str, Any] = {"_set": object.__setattr__, "_MISSING": _MISSING}
    words, lines = ["self"], []
    for each in record.fields:
        value = each.name
        if each.default_factory is not _MISSING:
            known[f"_make_{each.name}"] = each.default_factory
            value = f"_make_{each.name}()"
            if each.init:
                words.append(f"{each.name}=_MISSING")
                value += f" if {each.name} is _MISSING else {each.name}"
        elif not each.init:
            continue
        elif each.default is not _MISSING:
            known[f"_default_{each.name}"] = each.default
            words.append(f"{each.name}=_default_{each.name}")
        else:
            words.append(each.name)
        lines.append(line.format(each.name, value))
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    made = _compiled("__init__", words, lines or ["pass"], known)
    made.__annotations__ = {**{each.name: each.type for each in record.fields if each.init}, "return": None}
    return made


class _Standard:
    """What the functions of `dataclasses` look for on a class, made by `dataclasses` when they do."""

    def __init__(self, cls: Any, name: str) -> None:
        self._cls = cls
        self._name = name

    def __get__(self, instance: object, owner: object = None) -> Any:
        import dataclasses

        cls = self._cls
        described = []
        for each in cls.__record__.fields:
            given = {key: getattr(each, key) for key in ("default", "default_factory") if getattr(each, key) is not _MISSING}
            made = dataclasses.field(init=each.init, repr=each.repr, compare=each.compare, **given)
            described.append((each.name, each.type, made))
        same = dataclasses.make_dataclass(cls.__name__, described, **cls.__record__.options)
        for name in ("__dataclass_fields__", "__dataclass_params__"):
            setattr(cls, name, getattr(same, name))
        return getattr(cls, self._name)


@recursive_repr()
def _repr(self: Any) -> str:
    shown = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in self.__record__.fields if each.repr)
    return f"{self.__class__.__qualname__}({shown})"


def _set(self: object, name: str, value: object) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delete(self: object, name: str) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[object]:
    return [getattr(self, each.name) for each in self.__record__.fields]


def _restore(self: Any, state: list[object]) -> None:
    for each, value in zip(self.__record__.fields, state, strict=True):
        object.__setattr__(self, each.name, value)


def _fields(record: Any) -> tuple[_Field, ...]:
    """As `dataclasses.fields`, of a class of ours or an instance of one: name, type, defaults, `init`, `repr`, `compare`."""
    described: tuple[_Field, ...] = record.__record__.fields
    return described


def _replace(record: T, /, **changes: Any) -> T:
    """As `dataclasses.replace`. Raises TypeError for a name that the record does not have."""
    for each in _fields(record):
        if each.init and each.name not in changes:
            changes[each.name] = getattr(record, each.name)
    return record.__class__(**changes)


if not TYPE_CHECKING:
    dataclass, field, fields, replace = _dataclass, _Field, _fields, _replace
