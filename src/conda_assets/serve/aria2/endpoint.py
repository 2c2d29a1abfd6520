"""JSON-RPC 2.0 around the methods: requests and batches, tokens, `system.multicall`, and notifications over WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from conda_assets.errors import AssetsError, CentreRefused, NotSignedIn
from conda_assets.serve.accounts import Person
from conda_assets.serve.aria2.methods import METHODS, NOTIFICATIONS
from conda_assets.serve.centre import Centre
from conda_assets.serve.door import address_of, is_here
from conda_assets.serve.jobs import ENDED, JobState
from conda_assets.serve.stream import Ticker

__all__ = ["Rpc", "routes"]

_MOST_BYTES = 2 << 20
_MOST_CALLS = 2000
# JSON-RPC's own, and aria2's code for everything else.
_PARSE, _INVALID, _FAILED = -32700, -32600, 1
_WITHOUT_TOKEN = {"system.listMethods", "system.listNotifications"}


class Rpc:
    """Answers for one caller. `is_told`: of what happens: from this machine, or after a call with a token that is known.

    Front ends that only listen (aria2p) show none; a notification has a GID in it and nothing else.
    """

    def __init__(self, centre: Centre, address: str, *, is_told: bool = False) -> None:
        self._centre, self._address = centre, address
        self.is_told = is_told

    def answer(self, text: str | bytes) -> tuple[bytes, bool]:
        """(the answer to a request or a batch, whether all went well)."""
        try:
            asked = json.loads(text)
        except (ValueError, RecursionError):
            return _made(_error(None, _PARSE, "Parse error.")), False
        if isinstance(asked, list):
            if not 0 < len(asked) <= _MOST_CALLS:
                return _made(_error(None, _INVALID, "Invalid Request.")), False
            answers = [self._one(each) for each in asked]
            return _made(answers), True
        answer = self._one(asked)
        return _made(answer), "error" not in answer

    def _one(self, asked: object) -> dict[str, Any]:
        if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
            return _error(_id(asked), _INVALID, "Invalid Request.")
        said = asked.get("params", [])
        if not isinstance(said, list):
            return _error(_id(asked), _INVALID, "Invalid Request.")
        try:
            return {"id": _id(asked), "jsonrpc": "2.0", "result": self._call(asked["method"], said)}
        except AssetsError as error:
            return _error(_id(asked), _FAILED, _message(error))

    def _call(self, method: str, said: list[Any]) -> object:
        if method == "system.multicall":
            return self._many(said)
        if method == "system.listMethods":
            return sorted([*METHODS, "system.multicall", *_WITHOUT_TOKEN])
        if method == "system.listNotifications":
            return sorted(NOTIFICATIONS.values())
        person, said = self._person(said)
        if method not in METHODS:
            raise CentreRefused(f"No such method: {method[:60]}")
        try:
            result = METHODS[method](self._centre, person, said)
        except (ValueError, OverflowError, UnicodeError) as error:
            raise CentreRefused(f"{method}: {error}") from error
        if person.may("member") and not method.startswith(("aria2.get", "aria2.tell")):
            self._centre.database.note(person.name, self._address, method, str(result))
        return result

    def _many(self, said: list[Any]) -> object:
        calls = said[0] if said and isinstance(said[0], list) else None
        if calls is None or len(calls) > _MOST_CALLS:
            raise CentreRefused(f"expected a list of at most {_MOST_CALLS} calls")
        results: list[object] = []
        for each in calls:
            try:
                if not isinstance(each, Mapping) or each.get("methodName") == "system.multicall":
                    raise CentreRefused("Recursive system.multicall forbidden.")
                inner = each.get("params", [])
                results.append([self._call(str(each.get("methodName")), inner if isinstance(inner, list) else [])])
            except AssetsError as error:
                results.append({"code": _FAILED, "message": _message(error)})
        return results

    def _person(self, said: list[Any]) -> tuple[Person, list[Any]]:
        """Whose token the first parameter is, and the others."""
        token = said[0] if said and isinstance(said[0], str) else ""
        if not token.startswith("token:"):
            raise NotSignedIn("Unauthorized")
        person = self._centre.accounts.by_typed_token(token.removeprefix("token:"), self._address)
        self.is_told = True
        return person, said[1:]


def routes(centre: Centre, ticker: Ticker) -> list[Any]:
    """POST and WebSocket at /jsonrpc."""

    async def post(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204)
        text = b""
        async for block in request.stream():
            text += block
            if len(text) > _MOST_BYTES:
                return Response(_made(_error(None, _INVALID, "Request too long.")), 413, media_type="application/json-rpc")
        made, well = await run_in_threadpool(Rpc(centre, address_of(request, centre)).answer, text)
        return Response(made, 200 if well else 400, media_type="application/json-rpc")

    async def socket(socket: WebSocket) -> None:
        await socket.accept()
        rpc = Rpc(centre, address_of(socket, centre), is_told=is_here(socket, centre))
        telling = asyncio.get_running_loop().create_task(_tell(socket, rpc, centre, ticker))
        try:
            while True:
                said = await socket.receive()
                if said["type"] == "websocket.disconnect":
                    return
                made, _ = await run_in_threadpool(rpc.answer, said.get("text") or said.get("bytes") or b"")
                await socket.send_text(made.decode())
        except WebSocketDisconnect:
            return
        finally:
            telling.cancel()

    return [Route("/jsonrpc", post, methods=["POST", "OPTIONS"]), WebSocketRoute("/jsonrpc", socket)]


async def _tell(socket: WebSocket, rpc: Rpc, centre: Centre, ticker: Ticker) -> None:
    """Tell what happens to jobs."""
    version, jobs, _, _ = centre.board.since(0)
    states = {job.id: job.state for job in jobs}
    while not ticker.ended:
        await ticker.next()
        since = version
        version, jobs, _, _ = centre.board.since(since)
        # Some are removed as soon as they have ended.
        fates = centre.board.fates(since)
        for job_id, state in [*((job.id, job.state) for job in jobs), *fates]:
            before, states[job_id] = states.get(job_id, JobState.QUEUED), state
            for each in _passed(before, state):
                if rpc.is_told and each in NOTIFICATIONS:
                    event = {"jsonrpc": "2.0", "method": NOTIFICATIONS[each], "params": [{"gid": job_id}]}
                    await socket.send_text(json.dumps(event))
        for job_id, _ in fates:
            states.pop(job_id, None)


def _passed(before: JobState, now: JobState) -> list[JobState]:
    """The states that a job has come into since; a small file may begin and end between two looks."""
    if before is now:
        return []
    begun = now in (JobState.DONE, JobState.FAILED) and before not in (JobState.ACTIVE, *ENDED)
    return [JobState.ACTIVE, now] if begun else [now]


def _id(asked: object) -> object:
    """What the caller knows the answer by: a text or a number. Anything else may be as deep as nothing can be written."""
    said = asked.get("id") if isinstance(asked, dict) else None
    return said if isinstance(said, (str, int, float)) else None


def _message(error: AssetsError) -> str:
    return "Unauthorized" if isinstance(error, NotSignedIn) else error.message


def _error(number: object, code: int, message: str) -> dict[str, Any]:
    return {"id": number, "jsonrpc": "2.0", "error": {"code": code, "message": message}}


def _made(value: object) -> bytes:
    return json.dumps(value).encode()
