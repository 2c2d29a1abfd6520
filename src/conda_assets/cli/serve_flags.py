"""What may be typed after `serve`."""

from __future__ import annotations

import argparse

__all__ = ["EXAMPLES", "add_flags"]

EXAMPLES = (
    "examples:\n  conda assets serve --demo\n  conda assets serve --data /srv/assets --host 0.0.0.0"
    " --tls-cert c.pem --tls-key k.pem"
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Where it listens, who may do what, and what it does instead, or once."""
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=6801, metavar="N", help="port to listen on, 0 for any (default: 6801)")
    parser.add_argument("--data", metavar="DIR", help="folder for the database and logs (default: the user's data folder)")
    reach = parser.add_argument_group("who may do what")
    reach.add_argument("--allow-private", action="store_true", help="also fetch from loopback and private addresses")
    reach.add_argument("--open-store", action="store_true", help="stored files may be read by hash without a token")
    reach.add_argument(
        "--tls-cert", metavar="FILE", help="certificate with its chain, PEM; other addresses than loopback need it"
    )
    reach.add_argument("--tls-key", metavar="FILE", help="its key, PEM")
    reach.add_argument(
        "--plain-http", action="store_true", help="no TLS on other addresses than loopback: a proxy in front has it"
    )
    reach.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name by which browsers call it; may be repeated",
    )
    reach.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="URL",
        help="a page elsewhere that may use /jsonrpc; may be repeated",
    )
    reach.add_argument("--trust-header", metavar="NAME", help="a header with the user's name, from a proxy that signs people in")
    reach.add_argument(
        "--trust-proxy", action="append", default=[], metavar="ADDRESS", help="that proxy's address (default: this machine's)"
    )
    once = parser.add_argument_group("instead, or once")
    once.add_argument("--backup", metavar="FILE", help="copy the database, also while it runs, and end")
    once.add_argument("--new-token", metavar="USER", help="print a new token of that user, and end")
    once.add_argument(
        "--demo", action="store_true", help="a centre to look at, with files on their way, that leaves nothing behind"
    )
