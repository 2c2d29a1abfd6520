"""From typed words to an exit status: 0 done, 1 failed, 2 usage, 3 out of date, 4 wrong content, 130 interrupted."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType

from conda_assets.cli.call import Call, settings_of
from conda_assets.cli.parser import Parser, configure_parser
from conda_assets.errors import AssetsError, Interrupted
from conda_assets.settings import Settings, load
from conda_assets.terminal import say, wants_colour

__all__ = ["main", "run"]

# verb → module below and function. A verb's module is imported when it is called: all of them together cost 150 ms, which a sync
# with nothing to do should not pay.
_VERBS = {
    "add": ("edits", "run_add"),
    "adopt": ("bundles", "run_adopt"),
    "config": ("configured", "run_config"),
    "create": ("environments", "run_create"),
    "export": ("bundles", "run_export"),
    "fetch": ("files", "run_fetch"),
    "gc": ("collecting", "run_gc"),
    "import": ("edits", "run_import"),
    "info": ("looks", "run_info"),
    "list": ("looks", "run_list"),
    "lock": ("locks", "run_lock"),
    "outdated": ("news", "run_outdated"),
    "path": ("looks", "run_path"),
    "push": ("pushing", "run_push"),
    "remove": ("edits", "run_remove"),
    "schema": ("looks", "run_schema"),
    "serve": ("serving", "run_serve"),
    "setup": ("environments", "run_setup"),
    "status": ("looks", "run_status"),
    "sync": ("files", "run_sync"),
    "verify": ("files", "run_verify"),
}


def main(argv: Sequence[str] | None = None, *, conda: Mapping[str, object] | None = None) -> int:
    """The `conda-assets` program, and with what conda's context says in `conda`, its subcommand `conda assets`."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = Parser(prog=_program(conda))
    # Without a verb first it is for `--help` or an error, which know them all.
    configure_parser(parser, words[0] if words and words[0] in _VERBS else None)
    try:
        args = parser.parse_args(words)
    except AssetsError as error:
        verb = next((word for word in words if word in _VERBS), "")
        return _say_error(verb, error, as_json="--json" in words)
    return run(args, conda=conda)


def run(args: argparse.Namespace, *, conda: Mapping[str, object] | None = None) -> int:
    """One verb, from parsed words; `conda` holds what conda's context says when conda runs us."""
    old = _on_termination()
    settings: Settings | None = None
    try:
        settings = settings_of(args, load(environ=os.environ, conda=conda))
        call = Call(args, settings, os.environ, Path.cwd(), sys.stdout, sys.stderr, _program(conda))
        module, function = _VERBS[args.verb]
        verb: Callable[[Call], int] = getattr(import_module(f"conda_assets.cli.{module}"), function)
        return verb(call)
    except AssetsError as error:
        _log(args.verb, settings, error)
        return _say_error(args.verb, error, as_json=args.json)
    except KeyboardInterrupt:
        return _say_error(args.verb, Interrupted(), as_json=args.json)
    except BrokenPipeError:
        # The reader of our output went away (`conda assets list | head`): not an error, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:
        _log(args.verb, settings, error)
        raise
    finally:
        if old is not None:
            signal.signal(signal.SIGTERM, old)


def _log(verb: str, settings: Settings | None, error: Exception) -> None:
    if settings is not None:
        from conda_assets.cli.logged import log_error

        log_error(verb, settings, os.environ, error)


def _program(conda: Mapping[str, object] | None) -> str:
    return "conda-assets" if conda is None else "conda assets"


def _say_error(verb: str, error: AssetsError, *, as_json: bool) -> int:
    from conda_assets.terminal import error_text

    if as_json:
        import json

        from conda_assets.cli.document import error_document

        print(json.dumps(error_document(verb, error), indent=2))
    say(sys.stderr, error_text(error, colour=wants_colour(sys.stderr, os.environ)))
    return error.exit_code


def _on_termination() -> Callable[[int, FrameType | None], object] | int | None:
    """A polite end (batch systems send SIGTERM) saves partial files as Ctrl-C does; gives the handler that was there."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        return signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: whoever runs us there handles signals
        return None
