"""What all verbs have in common on the command line."""

from __future__ import annotations

import argparse

from conda_assets.settings import LEVELS

__all__ = ["add_choice", "add_verb"]


def add_verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    words: str,
    *,
    where: bool = True,
    file: bool = False,
    examples: str = "",
) -> argparse.ArgumentParser:
    """A verb with its output flags; `where`: with `-n` and `-p`, `file`: with `-f`."""
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
    output.add_argument("--log-level", choices=LEVELS, help="how much goes into the log (default: info)")
    return parser


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Which of the file's assets are meant."""
    group = parser.add_argument_group("which assets")
    group.add_argument("--group", action="append", default=[], metavar="G", help="also assets of this group; may be repeated")
    group.add_argument("--all-groups", action="store_true", help="assets of every group")
    group.add_argument("--only", action="append", default=[], metavar="NAME", help="only this asset; may be repeated")
