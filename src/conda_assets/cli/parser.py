"""What may be typed. Flags follow conda; every verb takes `--json`, `-q` and `-v`."""

from __future__ import annotations

import argparse
from typing import NoReturn

from conda_assets.cli.serve_flags import EXAMPLES, add_flags
from conda_assets.errors import UsageError
from conda_assets.model import ENGINES
from conda_assets.version import __version__

__all__ = ["Parser", "configure_parser"]


class Parser(argparse.ArgumentParser):
    """A parser that raises instead of exiting, so that `--json` stays one document even for a typing error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"`{self.prog} --help` lists what can be typed")


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add our verbs to a parser: conda's subcommand's, or our own."""
    parser.description = "Large files in conda environments: listed in environment.yml, fetched fast, verified, shared."
    parser.add_argument("--version", action="version", version=f"conda-assets {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    _sync(verbs)
    _fetch(verbs)
    _status(verbs)
    _verify(verbs)
    _path(verbs)
    _list(verbs)
    _create(verbs)
    _lock(verbs)
    _outdated(verbs)
    _setup(verbs)
    _add(verbs)
    _remove(verbs)
    _import(verbs)
    _adopt(verbs)
    _serve(verbs)
    _verb(verbs, "schema", "print the JSON Schema of environment.yml with its assets section", where=False)
    _verb(verbs, "info", "show versions, paths, the engine, and where each setting comes from")


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    words: str,
    *,
    where: bool = True,
    file: bool = False,
    examples: str = "",
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=words,
        description=words[0].upper() + words[1:] + ".",
        epilog=examples or None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if where:
        target = parser.add_argument_group("target environment (default: the active one, then the name in the file)")
        either = target.add_mutually_exclusive_group()
        either.add_argument("-n", "--name", metavar="ENVIRONMENT", help="name of the environment")
        either.add_argument("-p", "--prefix", metavar="PATH", help="path of the environment")
    if file:
        parser.add_argument(
            "-f",
            "--file",
            action="append",
            metavar="FILE",
            help="path or URL; may be repeated (default: environment.yml, then assets.yml)",
        )
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="one JSON document on standard output")
    output.add_argument("-q", "--quiet", action="store_true", help="no progress, no summary")
    output.add_argument("-v", "--verbose", action="count", default=0, help="say more; may be repeated")
    return parser


def _choice(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which assets")
    group.add_argument("--group", action="append", default=[], metavar="G", help="also assets of this group; may be repeated")
    group.add_argument("--all-groups", action="store_true", help="assets of every group")
    group.add_argument("--only", action="append", default=[], metavar="NAME", help="only this asset; may be repeated")


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
    _common(parser)
    _lock_use(parser)
    parser.add_argument("--prune", action="store_true", help="remove assets that the file no longer names")


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
    parser.add_argument("asset", metavar="NAME", help="name of the asset")


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
    parser.add_argument("--update", action="append", default=[], metavar="NAME", help="ask anew for this asset; may be repeated")
    parser.add_argument("--update-all", action="store_true", help="ask anew for every asset")
    parser.add_argument("--check", action="store_true", help="write nothing, ask nobody; exit 3 when the lock is out of date")
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


def _add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs,
        "add",
        "add an asset to the file, all else in it kept; nothing is fetched",
        file=True,
        where=False,
        examples="examples:\n  conda assets add https://example.org/train.csv\n"
        "  conda assets add hf://org/repo/*.safetensors --env WEIGHTS --group train",
    )
    parser.add_argument("url", metavar="URL", help="where it comes from")
    entry = parser.add_argument_group("the entry")
    entry.add_argument("--name", dest="asset_name", metavar="NAME", help="what it is called (default: last part of the URL)")
    entry.add_argument("--sha256", metavar="HEX", help="what its bytes must be")
    entry.add_argument("--hash", metavar="ALGORITHM:HEX", help="the same with another algorithm")
    entry.add_argument("--size", metavar="BYTES", help="expected bytes, or a figure such as 523MiB")
    entry.add_argument("--path", metavar="PATH", help="where it appears (default: the name)")
    entry.add_argument("--root", choices=("prefix", "project"), help="what the path is relative to")
    entry.add_argument("--env", metavar="VARIABLE", help="a variable that holds its path")
    entry.add_argument("--link", choices=("auto", "copy"), help="share the bytes with the store, or have a private copy")
    entry.add_argument("--mirror", action="append", default=[], metavar="URL", help="the same bytes elsewhere; may be repeated")
    entry.add_argument("--group", action="append", default=[], metavar="G", help="fetched only with it; may be repeated")
    entry.add_argument("--platform", action="append", default=[], metavar="SUBDIR", help="only there; may be repeated")
    entry.add_argument("--optional", action="store_true", help="its failure is a warning")
    entry.add_argument("--unpack", action="store_true", help="it is an archive; its path is a folder")
    _dry_run(parser)


def _remove(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs,
        "remove",
        "take assets out of the file, all else in it kept; files stay until they are pruned",
        file=True,
        where=False,
    )
    parser.add_argument("asset", nargs="+", metavar="NAME", help="name of the asset")
    _dry_run(parser)


def _import(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs,
        "import",
        "take other tools' lists into the file: anaconda-project.yml, Metalink, pooch registries, aria2 input lists, URLs",
        file=True,
        where=False,
        examples="examples:\n  conda assets import anaconda-project.yml\n"
        "  conda assets import registry.txt --base-url https://example.org/data/\n  conda assets import urls.txt --print",
    )
    parser.add_argument("source", nargs="+", metavar="FILE", help="path or URL of a list")
    parser.add_argument("--from", dest="kind", choices=("anaconda-project", "metalink", "pooch", "aria2"), help="what it is")
    parser.add_argument("--base-url", metavar="URL", help="what the names of a pooch registry are appended to")
    parser.add_argument("--group", action="append", default=[], metavar="G", help="put all of them into this group")
    parser.add_argument("--print", action="store_true", help="print an assets section, change no file")
    _dry_run(parser)


def _adopt(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs,
        "adopt",
        "take files that are on this disk into the store, by their hash; the originals stay",
        file=True,
        where=False,
        examples="examples:\n  conda assets adopt ~/.cache/huggingface/hub\n  conda assets adopt /data/old ~/Downloads/w.bin",
    )
    parser.add_argument("path", nargs="+", metavar="PATH", help="file or folder; folders are searched")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this asset; may be repeated")


def _serve(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    words = "run the download centre: a page, a queue and a cache that a lab shares"
    add_flags(_verb(verbs, "serve", words, where=False, examples=EXAMPLES))


def _dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", "--dry-run", action="store_true", help="show the change, write nothing")
