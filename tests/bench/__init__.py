"""Measures a sync beside the programs that a user would take instead, in turn, in one run.

    ground      servers: nginx, on loopback or behind a link made with a network namespace and tc
    peers       who takes part, and the command of each
    profiles    what is fetched, over which link, and what is measured of it
    measure     rounds; each peer once in each, in an order that turns
    report      JSON → Markdown and a plot

`python -m bench` with `tests` on the path; `scripts/bench` does that.
"""
