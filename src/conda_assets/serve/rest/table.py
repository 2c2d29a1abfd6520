"""What an operation is, what it is given, what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from conda_assets.records import dataclass, field
from conda_assets.serve.accounts import Person
from conda_assets.serve.centre import Centre
from conda_assets.serve.rest.schemas import JOB_ID

__all__ = ["Answer", "Call", "Operation"]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked. `words`: of the path; `query` and `body` fit the schemas. `session`: the cookie's secret."""

    centre: Centre
    person: Person
    address: str
    words: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, Any]
    session: str = field(default="", repr=False)

    def note(self, action: str, detail: str = "") -> None:
        """A line of the audit log."""
        self.centre.database.note(self.person.name, self.address, action, detail)


@dataclass(frozen=True, slots=True)
class Answer:
    """`value`: what becomes JSON, or is JSON already (bytes).

    `session`: a secret for the cookie, empty to take the cookie away, None to leave it.
    """

    value: object
    session: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Operation:
    """`role`: what it needs; empty for nobody's. `body`, `gives`: JSON Schemas. `slow`: runs in a worker thread.

    `query`: a schema for each parameter; those in `must` have to be there. `word`: of the `{id}` in the path, where there is one.
    `refuses`: statuses that are not seen from the rest. `links`: operation → where its `{id}` stands in this one's answer.
    """

    method: str
    path: str
    name: str
    summary: str
    run: Callable[[Call], object]
    gives: Mapping[str, Any]
    role: str = "reader"
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    must: frozenset[str] = frozenset()
    status: int = 200
    slow: bool = False
    most_bytes: int = 64 << 10
    word: Mapping[str, Any] = field(default_factory=lambda: JOB_ID)
    refuses: tuple[int, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def statuses(self) -> tuple[int, ...]:
        """With which it may refuse, in order."""
        fits = bool(self.query) or self.body is not None
        ifs = {400: fits, 401: bool(self.role), 403: True, 404: "{id}" in self.path, 503: True}
        return tuple(sorted({status for status, may in ifs.items() if may} | set(self.refuses)))
