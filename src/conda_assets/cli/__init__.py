"""The command line: `conda assets VERB` and `conda-assets VERB` are this one program.

`parser` says what may be typed, `target` which environment and file are meant, `call` what a verb is given; the verbs stand in
`verbs` (files), `looks` (looking) and `environments` (create, setup). `document` is the JSON of all of them.
"""

from __future__ import annotations

from conda_assets.cli.main import main, run
from conda_assets.cli.parser import configure_parser

__all__ = ["configure_parser", "main", "run"]
