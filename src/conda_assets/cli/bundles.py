"""Verbs that move bytes without a network: adopt."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from conda_assets.api.adopt import adopt
from conda_assets.cli.call import Call, exit_status
from conda_assets.cli.document import report_document
from conda_assets.errors import UsageError
from conda_assets.model import Outcome, Report, State, shown_size

__all__ = ["run_adopt"]


def run_adopt(call: Call) -> int:
    """Files that are here already go into the store; nothing is fetched or placed."""
    spec = call.spec()
    only = set(call.args.only)
    if strange := sorted(only - {asset.name for asset in spec.assets}):
        raise UsageError(f"{', '.join(spec.sources)} has no asset {strange[0]!r}", "names stand in the file")
    assets = [asset for asset in spec.assets if not only or asset.name in only]
    places = [call.cwd / Path(os.path.expanduser(place)) for place in call.args.path]  # noqa: PTH111 - `~` of a text
    report = Report("adopt", None, spec.sources, adopt(assets, places, call.settings))
    status = exit_status(report)
    if call.json:
        call.write(report_document(report, success=status == 0))
        return status
    for row in report.outcomes:
        call.tell(f"{row.name}: {_words(row)}")
    here = sum(row.state is State.LINKED for row in report.outcomes)
    sync = shlex.join([*call.program.split(), "sync", *(word for source in spec.sources for word in ("-f", source))])
    call.say(f"{here} of {len(report.outcomes)} assets are in the store; go on with `{sync}`")
    return status


def _words(row: Outcome) -> str:
    size = f" ({shown_size(row.size_bytes)})" if row.size_bytes is not None else ""
    return f"{row.because}{size}" if row.state is State.LINKED else f"not adopted: {row.because}"
