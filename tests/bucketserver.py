"""A bucket of a real S3 server program (moto), with what was asked of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import botocore.session
import pytest
from moto.server import ThreadedMotoServer
from werkzeug.serving import WSGIRequestHandler

__all__ = ["bucket_server"]

Asked = list[tuple[str, dict[str, str]]]


@contextmanager
def bucket_server(bucket: str) -> Iterator[tuple[str, Asked]]:
    """(endpoint, what is asked from now on: path with query, headers)."""
    asked: Asked = []
    lock, before = threading.Lock(), WSGIRequestHandler.make_environ

    def heard(self: WSGIRequestHandler) -> dict[str, object]:
        with lock:
            asked.append((self.path, dict(self.headers.items())))
        return before(self)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(WSGIRequestHandler, "make_environ", heard)
        server.start()
        host, port = server.get_host_and_port()
        session = botocore.session.Session()
        session.set_credentials("AKID", "secret")
        client = session.create_client("s3", region_name="us-east-1", endpoint_url=f"http://{host}:{port}")
        client.create_bucket(Bucket=bucket)
        try:
            yield f"http://{host}:{port}", asked
        finally:
            server.stop()
