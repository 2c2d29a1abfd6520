"""What the parent and the engine's process say to each other: one JSON document a line.

    parent → stdin    {"channels": […], "specs": […], …}      one line, then silence; its end means that the parent is gone
    engine → stdout   {"said": "progress", "text": "downloading 3 of 12 packages"}
                      {"said": "done", "packages": […], "linked": 12, "unlinked": 0}
                  or  {"said": "failed", "kind": "unsolvable", "text": "…"}

Only a `done` or `failed` line counts as the result: the engine's process can crash after its work is complete.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from conda_assets.records import dataclass

__all__ = ["Done", "EngineSpec", "Failed", "Job", "Package", "Progress", "job_to_line", "parse_job", "parse_line", "to_line"]


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """A spec with its channel taken out and resolved. `text`: as written; `channel`: one of `Job.channels`, or empty."""

    text: str
    rest: str
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """What the engine is to do. `channels`: URLs, strongest first; `verify`: True, False or a CA file; `timeout_s`: per request.

    `kept`: specs of earlier requests, dropped where they no longer parse; `constraints`: pins, not installed by themselves.
    `native`: for this machine's platform, so that scripts of packages can run; `virtual`: else, `name=version=build` of each.
    """

    prefix: str
    subdir: str
    channels: list[str]
    specs: list[EngineSpec]
    kept: list[EngineSpec]
    constraints: list[str]
    cache: str
    native: bool
    virtual: list[str]
    offline: bool
    dry_run: bool
    verify: bool | str
    timeout_s: int
    user_agent: str


@dataclass(frozen=True, slots=True)
class Package:
    """A package of the environment. `channel`: a URL without secrets."""

    name: str
    version: str
    build: str
    subdir: str
    channel: str


@dataclass(frozen=True, slots=True)
class Progress:
    """A line for people."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The work is complete. `packages`: all of the environment; `linked`, `unlinked`: how many came and went."""

    packages: list[Package]
    linked: int
    unlinked: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The work failed. `kind`: spec, unsolvable, channel, package, offline, disk, link_script, import, internal."""

    kind: str
    text: str


Line = Progress | Done | Failed
_WORDS: dict[type[Progress] | type[Done] | type[Failed], str] = {Progress: "progress", Done: "done", Failed: "failed"}


def to_line(line: Line) -> str:
    """The line with its end."""
    return json.dumps({"said": _WORDS[type(line)], **asdict(line)}) + "\n"


def parse_line(text: str) -> Line | None:
    """What a line says; None when it is not one of ours."""
    try:
        content = json.loads(text)
        said = content.pop("said")
        if said == "done":
            return Done([Package(**row) for row in content["packages"]], content["linked"], content["unlinked"])
        return Progress(**content) if said == "progress" else Failed(**content) if said == "failed" else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def job_to_line(job: Job) -> str:
    """The job with the end of the line."""
    return json.dumps(asdict(job)) + "\n"


def parse_job(text: str) -> Job:
    """The job of a line that `job_to_line` wrote."""
    content = json.loads(text)
    specs = {key: [EngineSpec(**row) for row in content[key]] for key in ("specs", "kept")}
    return Job(**{**content, **specs})
