"""What an event says in words, once: the lines that scroll off on a terminal, and the lines of a log.

✓ gpt2-weights  548.1 MB in 5.1 s (107 MB/s), sha256 verified
✗ corpus  the server answers 404
↻ corpus  503 Service Unavailable, next try in 4 s

gpt2-weights: fetched 548.1 MB in 5.1 s (107 MB/s), sha256 verified
corpus: failed: the server answers 404
"""

from __future__ import annotations

from conda_assets.events import Event, Failed, Finished, Noted, Planned, Reading, Retrying, Started, Unpacking, Waiting
from conda_assets.model import Plan, State, Verb, shown_size
from conda_assets.terminal.tally import Totals
from conda_assets.terminal.words import (
    Line,
    Tone,
    cells,
    clean,
    count_of,
    elapsed,
    left,
    rate,
    share,
    shorten,
    wrap,
)

__all__ = ["Wording", "total_line", "total_log"]

# A name stays readable down to here; then the rest of its line gives way.
_LEAST_NAME = 12
# More links than this get no line each.
_MOST_LINKS = 20


class Wording:
    """Words for events. `algorithms`: asset → what its bytes are compared with; `verbosity` as counted from `-v`."""

    def __init__(self, algorithms: dict[str, str], verbosity: int) -> None:
        self._algorithms, self._verbosity = algorithms, verbosity
        self._retried: set[tuple[str, str]] = set()
        self._hinted: set[str] = set()
        self._unpacked: set[str] = set()
        self._links = 0

    def scrolled(self, event: Event, columns: int) -> list[Line]:
        """The lines that stay on a terminal of that width; none for an event that only moves a bar."""
        if isinstance(event, Finished):
            return self._finished(event, columns)
        if isinstance(event, Failed):
            tone, sign = (Tone.WARN, "!") if event.optional else (Tone.BAD, "✗")
            hints = [
                ((line, Tone.PLAIN),) for hint in self._hints(event) for line in wrap(hint, columns, first="  ", indent="    ")
            ]
            return [*_marked(sign, tone, clean(event.asset), _cause(event), columns), *hints]
        if isinstance(event, Retrying) and self._is_news(event):
            return _marked("↻", Tone.WARN, clean(event.asset), _retry(event), columns)
        if isinstance(event, Waiting):
            return _marked("↻", Tone.WARN, clean(event.asset), _waiting(event), columns)
        if isinstance(event, Noted):
            return _noted(event, columns)
        if isinstance(event, Planned) and (words := self._announcement(event.plan)):
            return [((line, Tone.PLAIN),) for line in wrap(words, columns)]
        return []

    def logged(self, event: Event) -> str:
        """The line of a log, empty for an event that has none."""
        if isinstance(event, Finished):
            return self._logged_end(event)
        if isinstance(event, Failed):
            said = f"{clean(event.asset)}: failed{' (optional)' if event.optional else ''}: {_cause(event, optional=False)}"
            return "\n".join([said, *(f"  {hint}" for hint in self._hints(event))])
        if isinstance(event, Started):
            return _logged_start(event)
        if isinstance(event, Retrying):
            return f"{clean(event.asset)}: {_retry(event)}" if self._is_news(event) else ""
        if isinstance(event, Waiting):
            return f"{clean(event.asset)}: {_waiting(event)}"
        if isinstance(event, Unpacking):
            return self._logged_unpacking(event)
        if isinstance(event, Reading):
            return f"Reading {count_of(event.files, 'file')}, {shown_size(event.size_bytes)}" if event.files else ""
        if isinstance(event, Noted):
            return f"{'Warning' if event.level == 'warning' else 'Note'}: {clean(event.text)}"
        return self._announcement(event.plan) if isinstance(event, Planned) else ""

    def _finished(self, event: Finished, columns: int) -> list[Line]:
        if not self._is_told(event):
            return []
        name, variants = clean(event.asset), self._ends(event)
        room = columns - 4
        # Facts go before the name does; a name goes before it is beyond recognition.
        words = next((each for each in variants if cells(each) + min(cells(name), _LEAST_NAME) <= room), variants[-1])
        name = shorten(name, max(room - cells(words), 1))
        line: Line = (("✓", Tone.GOOD), (f" {name}  ", Tone.PLAIN), (shorten(words, max(room - cells(name), 0)), Tone.FAINT))
        where = [((f"  {clean(event.path)}", Tone.FAINT),)] if self._verbosity else []
        return [line, *where]

    def _logged_end(self, event: Finished) -> str:
        if not self._is_told(event):
            return ""
        words = self._ends(event)[0]
        verb = {State.FETCHED: "fetched ", State.LINKED: "linked "}.get(event.state, "")
        return f"{clean(event.asset)}: {verb}{words}" + (f", {clean(event.path)}" if self._verbosity else "")

    def _logged_unpacking(self, event: Unpacking) -> str:
        """A line when it begins; the totals say how far it is."""
        if event.asset in self._unpacked:
            return ""
        self._unpacked.add(event.asset)
        return f"{clean(event.asset)}: unpacking {shown_size(event.size_bytes)}"

    def _is_told(self, event: Finished) -> bool:
        """Kept files are no news; thousands of links were announced together."""
        if self._verbosity:
            return True
        return event.state is State.FETCHED or (event.state is State.LINKED and self._links <= _MOST_LINKS)

    def _ends(self, event: Finished) -> list[str]:
        """What there is to say of an end, from all of it to the least."""
        size = shown_size(event.size_bytes)
        unpacked = f", unpacked in {elapsed(event.unpack_s)}" if event.unpack_s >= 0.05 else ""
        if event.state is State.LINKED:
            return [f"{size} from the store{unpacked}", f"{size} from the store", size]
        if event.state is not State.FETCHED:
            return [event.state.value]
        seconds = event.seconds - event.unpack_s
        spent = f" in {elapsed(seconds)}" if seconds >= 0.05 else ""
        pace = f" ({rate(event.bytes_fetched / seconds)})" if seconds >= 0.05 and event.bytes_fetched else ""
        # What an earlier run left makes the figures look wrong unless it is said.
        begun = f"{size}, resumed: {shown_size(event.bytes_fetched)}" if event.bytes_fetched < event.size_bytes else size
        algorithm = self._algorithms.get(event.asset)
        proof = f", {algorithm} verified" if algorithm else ""
        return [
            f"{begun}{spent}{pace}{proof}{unpacked}",
            f"{begun}{spent}{pace}{proof}",
            f"{begun}{spent}{pace}",
            f"{size}{spent}{pace}",
            f"{size}{spent}",
            size,
        ]

    def _announcement(self, plan: Plan) -> str:
        """What is going to happen, before the first server has answered; empty when nothing is."""
        to_fetch, to_link = plan.of(Verb.FETCH), plan.of(Verb.LINK)
        self._links = len(to_link)
        unknown = sum(step.asset.size_bytes is None for step in to_fetch)
        size = shown_size(plan.known_bytes) + (f" and {unknown:,} of unknown size" if unknown else "")
        if unknown == len(to_fetch):
            size = "size unknown"
        reused = shown_size(sum(step.stored.size_bytes for step in to_link if step.stored))
        parts = [
            f"{count_of(len(to_fetch), 'file')} to fetch ({size})" if to_fetch else "",
            f"{len(to_link):,} from the store ({reused})" if to_link else "",
        ]
        return "Assets: " + ", ".join(part for part in parts if part) if to_fetch or to_link else ""

    def _hints(self, event: Failed) -> list[str]:
        """Next steps that were not said before: a hundred files that fail for one reason need one hint."""
        news = [hint for hint in event.hints if hint not in self._hinted]
        self._hinted.update(news)
        return [f"Hint: {clean(hint)}" for hint in news]

    def _is_news(self, event: Retrying) -> bool:
        """The first try that fails for this reason; the row shows the others, `-v` lists them."""
        known = (event.asset, event.because) in self._retried
        self._retried.add((event.asset, event.because))
        return bool(self._verbosity) or not known


def total_line(totals: Totals, columns: int) -> str:
    """The line over the bars: as much as fits of files, bytes, pace, time left and what was saved."""
    files = f"{totals.done_files:,}/{totals.files:,}"
    amount = _amount(totals)
    pace = rate(totals.rate) if totals.rate >= 1 else ""
    ahead = left(totals.left_s)
    saved = f"({shown_size(totals.reused_bytes)} reused)" if totals.reused_bytes else ""
    full = ["Assets", f"{files} files", amount, pace, f"ETA {ahead}" if ahead else ""]
    variants = [
        [*full, saved],
        full,
        [*full[:4], ahead],
        [files, amount, pace, ahead],
        [files, amount, pace],
        [files, amount],
        [amount],
    ]
    lines = ["  ".join(part for part in variant if part) for variant in variants]
    return next((line for line in lines if cells(line) <= columns), shorten(lines[-1], columns))


def total_log(totals: Totals) -> str:
    """The same for a log, which is wide enough."""
    ahead = left(totals.left_s)
    parts = [
        f"{totals.done_files:,}/{totals.files:,} files",
        _amount(totals),
        rate(totals.rate) if totals.rate >= 1 else "" if totals.unpacking else "no bytes are arriving",
        f"ETA {ahead}" if ahead else "",
        f"unpacking {' and '.join(totals.unpacking)}" if totals.unpacking else "",
    ]
    return "Assets: " + ", ".join(part for part in parts if part)


def _amount(totals: Totals) -> str:
    if totals.unknown and totals.size_bytes <= totals.done_bytes:
        return shown_size(totals.done_bytes)
    amount = share(totals.done_bytes, totals.size_bytes)
    # Some size is unknown: this much, and more.
    return amount.replace(" ", "+ ") if totals.unknown else amount


def _marked(sign: str, tone: Tone, name: str, words: str, columns: int) -> list[Line]:
    name = shorten(name, max(_LEAST_NAME, columns // 2))
    first, *more = wrap(words, columns, first=f"{sign} {name}  ")
    return [((sign, tone), (first[1:], Tone.PLAIN)), *(((line, Tone.PLAIN),) for line in more)]


def _noted(event: Noted, columns: int) -> list[Line]:
    word, tone = ("Warning:", Tone.WARN) if event.level == "warning" else ("Note:", Tone.FLOW)
    first, *more = wrap(clean(event.text), columns, first=f"{word} ")
    return [((word, tone), (first[len(word) :], Tone.PLAIN)), *(((line, Tone.PLAIN),) for line in more)]


def _cause(event: Failed, *, optional: bool = True) -> str:
    """The message without the name that stands before it already."""
    words = clean(event.message).removeprefix(f"{clean(event.asset)}: ")
    return f"{words} (optional)" if optional and event.optional else words


def _retry(event: Retrying) -> str:
    after = f"next try in {left(event.after_s)}" if event.after_s >= 1 else "trying again"
    return f"{clean(event.because)}, {after}"


def _waiting(event: Waiting) -> str:
    holder = clean(event.holder)
    return (
        f"waiting for {holder}, which brings the same file"
        if holder
        else "waiting for another process, which brings the same file"
    )


def _logged_start(event: Started) -> str:
    size = f"{shown_size(event.size_bytes)} " if event.size_bytes is not None else ""
    verb = f"resuming at {shown_size(event.done_bytes)} of " if event.done_bytes else "fetching "
    return f"{clean(event.asset)}: {verb}{size or 'an unknown size '}from {clean(event.source)}"
