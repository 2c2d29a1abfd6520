"""What may be typed for the verbs that change the file, and those that move bytes from here to elsewhere."""

from __future__ import annotations

import argparse

from conda_assets.cli.verb import add_choice, add_verb

__all__ = ["EDITS"]


def _add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_verb(
        verbs,
        "add",
        "add assets to the file, all else in it kept; nothing is fetched",
        file=True,
        where=False,
        examples="examples:\n  conda assets add https://example.org/train.csv\n"
        "  conda assets add hf://org/repo/*.safetensors --env WEIGHTS --group train",
    )
    parser.add_argument("url", nargs="+", metavar="URL", help="where it comes from; may be a folder or a pattern")
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
    parser = add_verb(
        verbs,
        "remove",
        "take assets out of the file, all else in it kept; files stay until they are pruned",
        file=True,
        where=False,
    )
    parser.add_argument("asset", nargs="+", metavar="NAME", help="name of the asset")
    _dry_run(parser)


def _import(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_verb(
        verbs,
        "import",
        "take in a bundle of `export`, another file's assets, or a list: anaconda-project.yml, Metalink, pooch, aria2, URLs",
        file=True,
        where=False,
        examples="examples:\n  conda assets import anaconda-project.yml\n"
        "  conda assets import registry.txt --base-url https://example.org/data/\n  conda assets import urls.txt --print\n"
        "  conda assets import bundle.tar",
    )
    parser.add_argument("source", nargs="+", metavar="FILE", help="a bundle, or path or URL of a list")
    parser.add_argument(
        "--from", dest="kind", choices=("spec", "anaconda-project", "metalink", "pooch", "aria2"), help="what it is"
    )
    parser.add_argument("--base-url", metavar="URL", help="what the names of a pooch registry are appended to")
    parser.add_argument("--group", action="append", default=[], metavar="G", help="put all of them into this group")
    parser.add_argument("--print", action="store_true", help="print an assets section, change no file")
    _dry_run(parser)


def _adopt(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_verb(
        verbs,
        "adopt",
        "take files that are on this disk into the store, by their hash; the originals stay",
        file=True,
        where=False,
        examples="examples:\n  conda assets adopt ~/.cache/huggingface/hub\n  conda assets adopt /data/old ~/Downloads/w.bin",
    )
    parser.add_argument("path", nargs="+", metavar="PATH", help="file or folder; folders are searched")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this asset; may be repeated")


def _export(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_verb(
        verbs,
        "export",
        "bundle the file, its lock and all bytes for a machine without a network; or print a list of the files",
        file=True,
        examples="examples:\n  conda assets export -o bundle.tar\n  conda assets export -o /media/stick/bundle --all-groups\n"
        "  conda assets export --spec -n bert >> environment.yml\n  conda assets export --format metalink -o files.meta4",
    )
    parser.add_argument("-o", "--output", metavar="PATH", help="of a bundle: a file that ends in .tar, or a folder")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--format", choices=("bundle", "spec", "metalink", "aria2"), default="bundle", help="default: bundle")
    what.add_argument("--spec", action="store_true", help="the environment's assets as a section, as it was placed")
    add_choice(parser)


def _push(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_verb(
        verbs,
        "push",
        "copy what the file names from the store into the remote store, where others find it before they ask its origin",
        file=True,
        where=False,
        examples="examples:\n  conda assets fetch --all-groups && conda assets push --all-groups\n"
        "  conda assets push --dry-run --json",
    )
    add_choice(parser)
    parser.add_argument(
        "--progress", choices=("auto", "tty", "plain", "json", "none"), help="how progress is shown (default: auto)"
    )
    parser.add_argument("-d", "--dry-run", action="store_true", help="show what would be sent, send nothing")


def _dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", "--dry-run", action="store_true", help="show the change, write nothing")


#: Verb → adds it.
EDITS = {"add": _add, "remove": _remove, "import": _import, "export": _export, "adopt": _adopt, "push": _push}
