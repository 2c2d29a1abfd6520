"""What aria2 is asked for, by the kind of job."""

from __future__ import annotations

from pathlib import Path

import pytest

from conda_assets.settings import Network
from conda_assets.transport import Job, orders

ONE = ("http://127.0.0.1/a.bin",)
TWO = (*ONE, "http://localhost/a.bin")


@pytest.mark.parametrize(
    ("urls", "plain", "selector", "ahead"),
    [(ONE, False, "inorder", "true"), (ONE, True, "inorder", "false"), (TWO, False, "default", "false")],
    ids=["one source", "one that stumbles", "mirrors"],
)
def test_only_one_source_is_read_in_order_with_requests_ahead(
    urls: tuple[str, ...], plain: bool, selector: str, ahead: str
) -> None:
    """Among mirrors, the front of the file would wait for the slowest."""
    job = Job("key", urls, Path("/tmp/data"), size_bytes=10_000_000)
    call = orders.order(job, Network(), urls=urls, length=1 << 20, plain=plain, metalink=True)
    options = call.params[1]
    assert isinstance(options, dict)
    assert (options["stream-piece-selector"], options["enable-http-pipelining"]) == (selector, ahead)
