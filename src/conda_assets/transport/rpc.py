"""A thin JSON-RPC client for one aria2c on 127.0.0.1: keep-alive, many calls in one request.

aria2's own traps are handled here: option values must be strings (others are ignored without a word), a request above
`rpc-max-request-size` is dropped, and an idle connection is closed after 30 s.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping, Sequence

from conda_assets.errors import EngineFailed
from conda_assets.records import dataclass

__all__ = ["Call", "Refused", "Rpc"]

#: Calls in one request: 10,000 (2.6 MB) make aria2 drop the connection, 1,000 take 0.06 s.
_CHUNK_CALLS = 1000
_CHUNK_BYTES = 900_000
# aria2 hangs up on a silent client after 30 s; a request that cannot be repeated must not run into that.
_IDLE_S = 10.0


@dataclass(frozen=True, slots=True)
class Call:
    """One method of aria2 (`addUri`) and its parameters without the secret. Option values are strings or lists of strings."""

    method: str
    params: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """aria2's answer when it does not do what a call asks for."""

    code: int
    said: str


class Rpc:
    """Not safe for two threads. `timeout_s`: for one request; aria2 is silent while it writes to a slow disk."""

    def __init__(self, port: int, secret: str, *, timeout_s: float = 30.0) -> None:
        self._port, self._secret, self._timeout_s = port, secret, timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._used_at = 0.0

    def call(self, method: str, *params: object) -> object:
        """The result of one call.

        Raises:
            EngineFailed: no answer, or a refusal.
        """
        (result,) = self.calls([Call(method, params)])
        if isinstance(result, Refused):
            raise EngineFailed(f"aria2 refuses {method}: {result.said}")
        return result

    def calls(self, calls: Sequence[Call], *, repeatable: bool = True) -> list[object | Refused]:
        """The results, in the order of the calls. `repeatable`: may be sent twice when the connection breaks.

        Raises:
            EngineFailed: no answer.
        """
        results: list[object | Refused] = []
        for chunk in _chunks([self._encoded(call) for call in calls]):
            answer = self._exchange(b"[[" + b",".join(chunk) + b"]]", repeatable)
            results += [_result(each) for each in answer]
        if len(results) != len(calls):
            raise EngineFailed(f"aria2 answers {len(results)} of {len(calls)} calls")
        return results

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _encoded(self, call: Call) -> bytes:
        params = [f"token:{self._secret}", *call.params]
        return json.dumps({"methodName": f"aria2.{call.method}", "params": params}, separators=(",", ":")).encode()

    def _exchange(self, params: bytes, repeatable: bool) -> list[object]:
        body = b'{"jsonrpc":"2.0","id":"1","method":"system.multicall","params":' + params + b"}"
        if time.monotonic() - self._used_at > _IDLE_S:
            self.close()
        for last in (not repeatable, True):
            try:
                return _parse(self._post(body))
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if last:
                    raise EngineFailed(f"aria2 does not answer: {error or type(error).__name__}") from error
        raise AssertionError("unreachable")

    def _post(self, body: bytes) -> bytes:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._timeout_s)
        self._connection.request("POST", "/jsonrpc", body, {"Content-Type": "application/json"})
        content = self._connection.getresponse().read()
        self._used_at = time.monotonic()
        return content


def _chunks(calls: Sequence[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for call in calls:
        if chunk and (len(chunk) == _CHUNK_CALLS or size + len(call) > _CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(call)
        size += len(call) + 1
    if chunk:
        yield chunk


def _parse(content: bytes) -> list[object]:
    try:
        answer = json.loads(content)
    except ValueError as error:
        raise EngineFailed("aria2 answers with something that is not JSON") from error
    result = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(result, list):
        said = answer.get("error") if isinstance(answer, dict) else None
        raise EngineFailed(f"aria2 refuses the request: {_refusal(said).said}")
    return result


def _result(each: object) -> object | Refused:
    # A success is wrapped in a list of one, a fault is a bare map.
    if isinstance(each, list) and len(each) == 1:
        result: object = each[0]
        return result
    return _refusal(each)


def _refusal(said: object) -> Refused:
    if isinstance(said, Mapping):
        return Refused(int(said.get("code", said.get("faultCode", 1))), str(said.get("message", said.get("faultString", ""))))
    return Refused(1, "no reason given")
