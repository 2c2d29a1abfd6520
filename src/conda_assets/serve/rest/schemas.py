"""The shapes of what comes in and goes out, as JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conda_assets.serve.accounts import ROLES
from conda_assets.serve.jobs import JobState

__all__ = ["COMPONENTS", "RESPONSES", "array", "json_of", "obj", "ref", "refusals", "text"]

Schema = dict[str, Any]

MOST_BYTES = (1 << 53) - 1
JOB_ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
BYTES: Schema = {"type": "integer", "minimum": 0, "maximum": MOST_BYTES}
MAYBE_BYTES: Schema = {"type": ["integer", "null"], "minimum": 0, "maximum": MOST_BYTES}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
MAYBE_NUMBER: Schema = {"type": ["number", "null"]}
ROLE: Schema = {"type": "string", "enum": list(ROLES)}
STATE: Schema = {"type": "string", "enum": [state.value for state in JobState]}
PRIORITY: Schema = {"type": "integer", "minimum": -1, "maximum": 1}
#: Of a user or a token, in a path.
ROW_ID: Schema = {"type": "integer", "minimum": 0, "maximum": 999_999_999_999_999}


def text(most: int, *, least: int = 0) -> Schema:
    """A text that comes in: so many characters, none of them NUL."""
    return {"type": "string", "minLength": least, "maxLength": most, "pattern": "^[^\\x00]*$"}


def ref(name: str) -> Schema:
    """One of `COMPONENTS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def json_of(schema: Mapping[str, Any]) -> Schema:
    """The content of an answer in JSON."""
    return {"application/json": {"schema": schema}}


def refusals(*statuses: int) -> Schema:
    """Status → what it means and looks like, of `RESPONSES`."""
    return {str(status): {"$ref": f"#/components/responses/{RESPONSES[status][0]}"} for status in statuses}


def array(items: Schema, most: int | None = None) -> Schema:
    """A list."""
    return {"type": "array", "items": items, **({"maxItems": most} if most else {})}


def obj(properties: Schema, *, optional: tuple[str, ...] = (), closed: bool = False) -> Schema:
    """A map with these keys. `closed`: and no others, for what comes in."""
    made: Schema = {"type": "object", "properties": properties}
    if required := [key for key in properties if key not in optional]:
        made["required"] = required
    return {**made, "additionalProperties": False} if closed else made


WINDOW = obj({"from": TEXT, "to": TEXT, "limit_rate": MAYBE_BYTES})
_CLOCK: Schema = {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}
WINDOW_IN = obj({"from": _CLOCK, "to": _CLOCK, "limit_rate": MAYBE_BYTES}, closed=True)

_CAUSE = obj({"code": TEXT, "message": TEXT, "hints": array(TEXT)})

#: Shapes that several operations give.
COMPONENTS: Schema = {
    "Error": obj({"error": _CAUSE}),
    "Job": obj(
        {
            "id": JOB_ID,
            "name": TEXT,
            "url": TEXT,
            "url_is_whole": {"type": "boolean"},
            "host": TEXT,
            "mirrors": INTEGER,
            "digest": MAYBE_TEXT,
            "state": STATE,
            "rank": NUMBER,
            "priority": PRIORITY,
            "size_bytes": MAYBE_BYTES,
            "done_bytes": BYTES,
            "verified_bytes": BYTES,
            "bytes_per_s": BYTES,
            "left_s": MAYBE_NUMBER,
            "connections": INTEGER,
            "pieces": TEXT,
            "note": TEXT,
            "sha256": MAYBE_TEXT,
            "source": MAYBE_TEXT,
            "bytes_fetched": BYTES,
            "seconds": NUMBER,
            "error": {"anyOf": [_CAUSE, {"type": "null"}]},
            "by": MAYBE_TEXT,
            "people": array(TEXT),
            "environments": array(TEXT),
            "created_at": NUMBER,
            "started_at": MAYBE_NUMBER,
            "ended_at": MAYBE_NUMBER,
        }
    ),
    "Me": obj({"id": INTEGER, "name": TEXT, "role": ROLE, "quota_bytes": MAYBE_BYTES, "used_bytes": BYTES, "csrf": TEXT}),
    "User": obj(
        {
            "id": INTEGER,
            "name": TEXT,
            "role": ROLE,
            "quota_bytes": MAYBE_BYTES,
            "used_bytes": BYTES,
            "disabled": {"type": "boolean"},
        }
    ),
    "Totals": obj(
        {
            "bytes_per_s": BYTES,
            "connections": INTEGER,
            "jobs": obj({state.value: INTEGER for state in JobState}),
            "limit_rate": MAYBE_BYTES,
            "store": obj({"files": INTEGER, "size_bytes": BYTES, "free_bytes": BYTES}),
        }
    ),
    "Pace": obj({"limit_rate": MAYBE_BYTES, "windows": array(WINDOW)}),
    "Done": obj({"done": {"type": "boolean"}}),
    "Jobs": obj({"jobs": array(ref("Job")), "version": INTEGER}),
    "News": obj({"version": INTEGER, "anew": {"type": "boolean"}, "jobs": array(ref("Job")), "gone": array(JOB_ID)}),
}

#: Status → its name, and what it means; each says `Error`.
RESPONSES: dict[int, tuple[str, str]] = {
    400: ("Refused", "what was asked for does not fit this document, or cannot be"),
    401: ("NotSignedIn", "no token, no session, or a wrong one"),
    403: ("NotAllowed", "the role or the quota does not reach, or a page of another site asks"),
    404: ("NotFound", "there is none"),
    409: ("OutOfTurn", "not in the state that this needs"),
    429: ("TooOften", "too many wrong passwords or tokens"),
    503: ("NotNow", "the database or the store cannot be used now"),
}
