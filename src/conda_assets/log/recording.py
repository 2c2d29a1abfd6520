"""What events and errors leave in the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from conda_assets.events import Event, Failed, Finished, Noted, Observer, Planned, Retrying, Started, Waiting
from conda_assets.log.file import Log
from conda_assets.model import shown_size, shown_url

__all__ = ["recorder", "write_error"]


def recorder(log: Log, then: Observer) -> Observer:
    """An observer that writes events down, and passes them on."""

    def watch(event: Event) -> None:
        line = _LINES.get(type(event))
        if line is not None:
            level, text = line(event)
            log.write(level, text)
        then(event)

    return watch


def write_error(log: Log, level: str, text: str, error: BaseException) -> None:
    """What went wrong; where it was raised as well, at level `debug`."""
    log.write(level, text)
    if log.wants("debug"):
        import traceback

        log.write("debug", "".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip())


def _planned(event: Planned) -> tuple[str, str]:
    counts = Counter(step.verb.value for step in event.plan.steps)
    rows = [
        f"{step.asset.name}: {step.verb.value}, {step.because}, {shown_url(step.asset.url)}"
        for step in event.plan.steps
        if step.verb.value in ("fetch", "link")
    ]
    return "info", "\n".join([f"plan: {', '.join(f'{count} {verb}' for verb, count in counts.items()) or 'nothing'}", *rows])


def _started(event: Started) -> tuple[str, str]:
    size = "unknown size" if event.size_bytes is None else f"{event.size_bytes} bytes"
    return "info", f"{event.asset}: started, {size}, {event.done_bytes} here already, from {event.source}"


def _finished(event: Finished) -> tuple[str, str]:
    what = f"{event.state.value}, {shown_size(event.size_bytes)}"
    return "info", f"{event.asset}: {what}, {event.bytes_fetched} bytes fetched in {event.seconds:.1f} s, {event.path}"


def _failed(event: Failed) -> tuple[str, str]:
    return ("warning" if event.optional else "error"), "\n".join([f"{event.asset}: failed: {event.message}", *event.hints])


def _retrying(event: Retrying) -> tuple[str, str]:
    return "warning", f"{event.asset}: try {event.attempt + 1} in {event.after_s:.1f} s, because {event.because}"


def _waiting(event: Waiting) -> tuple[str, str]:
    return "info", f"{event.asset}: {event.holder} fetches it already"


def _noted(event: Noted) -> tuple[str, str]:
    return event.level, event.text


_LINES: dict[type, Callable[..., tuple[str, str]]] = {
    Planned: _planned,
    Started: _started,
    Finished: _finished,
    Failed: _failed,
    Retrying: _retrying,
    Waiting: _waiting,
    Noted: _noted,
}
