"""What may be typed. Flags follow conda; every verb takes `--json`, `-q` and `-v`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

from conda_assets.cli.parser_edits import EDITS
from conda_assets.cli.serve_flags import EXAMPLES, add_flags
from conda_assets.cli.verb import add_choice as _choice
from conda_assets.cli.verb import add_verb as _verb
from conda_assets.errors import UsageError
from conda_assets.model import ENGINES
from conda_assets.version import __version__

__all__ = ["Parser", "configure_parser"]


class Parser(argparse.ArgumentParser):
    """A parser that raises instead of exiting, so that `--json` stays one document even for a typing error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"`{self.prog} --help` lists what can be typed")


def configure_parser(parser: argparse.ArgumentParser, only: str | None = None) -> None:
    """Add our verbs to a parser: conda's subcommand's, or our own. `only`: that one is asked for; all would take 10 ms."""
    parser.description = "Large files in conda environments: listed in environment.yml, fetched fast, verified, shared."
    parser.add_argument("--version", action="version", version=f"conda-assets {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, configure in _VERBS.items():
        if only in (None, verb):
            configure(verbs)


def _transfer(parser: argparse.ArgumentParser, *, hashes: bool = True) -> None:
    group = parser.add_argument_group("transfer")
    group.add_argument(
        "--connections", type=int, metavar="N", help="connections to one server for one file, 1 to 16 (default: 16)"
    )
    group.add_argument("--limit-rate", metavar="RATE", help="bytes per second for everything together, such as 20M")
    group.add_argument("--offline", action="store_true", help="use the store only, never the network")
    if hashes:
        group.add_argument("--require-hashes", action="store_true", help="refuse assets without a hash in the file or its lock")
    group.add_argument(
        "--progress",
        choices=("auto", "tty", "plain", "json", "none"),
        help="how progress is shown on standard error (default: auto; none with --json or -q)",
    )


def _swarm(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("swarm, for files whose lock has a torrent; see docs/fan-out.md")
    group.add_argument("--swarm", metavar="URL", help="announce URL of a tracker: take pieces from other machines, and give them")
    group.add_argument("--limit-upload", metavar="RATE", help="bytes per second that others get, such as 20M (default: no limit)")
    group.add_argument(
        "--seed-time", type=float, default=60.0, metavar="SECONDS", help="how long to give once all is here (default: 60)"
    )


def _lock_use(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("lock (default: used for each asset that it fits)")
    either = group.add_mutually_exclusive_group()
    either.add_argument("--locked", action="store_true", help="exit 3 unless the lock fits the whole file")
    either.add_argument("--frozen", action="store_true", help="use the lock as it is; what the file changed since does not count")


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", "--dry-run", action="store_true", help="show what would be done, change nothing")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _sync(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs,
        "sync",
        "make the disk match the file: fetch what is missing, link what the store has, leave what is right",
        file=True,
        examples="examples:\n  conda assets sync\n  conda assets sync -n bert -f environment.yml --group train\n"
        "  conda assets sync --dry-run --json",
    )
    _choice(parser)
    _transfer(parser)
    _swarm(parser)
    _common(parser)
    _lock_use(parser)
    parser.add_argument("--prune", action="store_true", help="remove assets that the file no longer names")
    parser.add_argument(
        "--stage",
        metavar="DIR",
        help="copy to this folder on the machine's own disk instead, and print the variables that lead there; see docs/hpc.md",
    )


def _fetch(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs,
        "fetch",
        "fill the store only; on a login node, before `sync --offline` on a compute node",
        file=True,
        where=False,
        examples="examples:\n  conda assets fetch -f environment.yml --all-groups",
    )
    _choice(parser)
    _transfer(parser)
    _swarm(parser)
    _lock_use(parser)
    _common(parser)


def _status(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs,
        "status",
        "show what is present, missing, outdated or damaged, by size and time stamp; exit 3 unless all is",
        file=True,
    )
    _choice(parser)


def _verify(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(verbs, "verify", "read every byte and compare; exit 4 when content is wrong", file=True)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this asset; may be repeated")
    parser.add_argument("--repair", action="store_true", help="bring what is damaged or missing anew")
    _transfer(parser)
    _lock_use(parser)
    _common(parser)


def _path(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs,
        "path",
        "print the absolute path of an asset and nothing else",
        examples="examples:\n  cat $(conda assets path corpus)",
    )
    parser.add_argument("asset", nargs="?", metavar="NAME", help="name of the asset")
    parser.add_argument(
        "--hf-home", action="store_true", help="instead a folder for HF_HOME, in which all `hf://` assets are found offline"
    )


def _list(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    _verb(verbs, "list", "list the assets of an environment, from its receipt")


def _create(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs,
        "create",
        "make the environment and bring its assets in one go, also on a machine without conda",
        file=True,
        examples="examples:\n  conda-assets create -f environment.yml\n"
        "  conda-assets create -f environment.yml -p ./env --engine rattler",
    )
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default="auto",
        help="who makes the environment (default: auto: conda, mamba or micromamba where there is one, else the embedded one)",
    )
    _choice(parser)
    _transfer(parser)
    _lock_use(parser)
    _common(parser)


def _lock(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs,
        "lock",
        "write what publishers say (size, hash, revision) to a lock beside the file; download only where nobody gives a hash",
        file=True,
        where=False,
        examples="examples:\n  conda assets lock\n  conda assets lock --check\n  conda assets lock --update gpt2-weights",
    )
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--update", action="append", default=[], metavar="NAME", help="ask anew for this asset; may be repeated")
    either.add_argument("--update-all", action="store_true", help="ask anew for every asset")
    either.add_argument("--check", action="store_true", help="write nothing, ask nobody; exit 3 when the lock is out of date")
    parser.add_argument("--torrents", action="store_true", help="add torrents of what the store has, for `sync --swarm`")
    _transfer(parser, hashes=False)
    _common(parser)


def _outdated(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs,
        "outdated",
        "ask publishers whether they still have what is locked or placed: moved, vanished, changed at the same URL; exit 3 if so",
        file=True,
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this asset; may be repeated")


def _setup(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(verbs, "setup", "put conda-forge first with strict channel priority, for the environment or the user")
    parser.add_argument("--user", action="store_true", help="for every environment of this user, in ~/.condarc")
    parser.add_argument("--undo", action="store_true", help="take back what setup changed")
    _common(parser)


def _gc(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs,
        "gc",
        "remove from the store what no environment uses; what a running sync needs stays",
        where=False,
        examples="examples:\n  conda assets gc --dry-run\n  conda assets gc --older-than 30d --max-size 100G -y\n"
        "  conda assets gc --remote --dry-run",
    )
    parser.add_argument("--remote", action="store_true", help="from buckets and registries, what no machine has a lease for")
    parser.add_argument("--max-size", metavar="SIZE", help="stop once the store has no more than SIZE, such as 100G")
    parser.add_argument("--older-than", metavar="AGE", help="only what has not been used for AGE, such as 30d, 12h")
    parser.add_argument(
        "--forget",
        action="append",
        default=[],
        metavar="PREFIX",
        help="an environment that is not coming back, though that cannot be told (its disk or host is away); may be repeated",
    )
    _common(parser)


def _serve(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    words = "run the download centre: a page, a queue and a cache that a lab shares"
    add_flags(_verb(verbs, "serve", words, where=False, examples=EXAMPLES))


def _config(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs,
        "config",
        "show the settings in force and where each comes from",
        where=False,
        examples="examples:\n  conda assets config connections\n"
        "set one with `conda config --set plugins.assets_jobs 8`, or as a line below `plugins:` in ~/.condarc",
    )
    parser.add_argument("key", nargs="?", metavar="KEY", help="only this one")


def _schema(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    _verb(verbs, "schema", "print the JSON Schema of environment.yml with its assets section", where=False)


def _info(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    _verb(verbs, "info", "show versions, paths, the engine, and where each setting comes from")


# In the order of `--help`.
_VERBS: dict[str, Callable[[argparse._SubParsersAction[argparse.ArgumentParser]], None]] = {
    "sync": _sync,
    "fetch": _fetch,
    "status": _status,
    "verify": _verify,
    "path": _path,
    "list": _list,
    "create": _create,
    "lock": _lock,
    "outdated": _outdated,
    "setup": _setup,
    "gc": _gc,
    **EDITS,
    "serve": _serve,
    "schema": _schema,
    "info": _info,
    "config": _config,
}
