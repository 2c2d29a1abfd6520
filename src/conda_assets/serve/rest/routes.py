"""From the table to routes: who asks, does it fit, do it, answer in JSON."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from conda_assets.errors import CentreRefused, NotFound
from conda_assets.serve.accounts import Person
from conda_assets.serve.centre import Centre
from conda_assets.serve.door import COOKIE, address_of, is_safe, person_of
from conda_assets.serve.rest import jobs, looks, people, shelf
from conda_assets.serve.rest.checking import check, from_text
from conda_assets.serve.rest.document import document
from conda_assets.serve.rest.schemas import json_of, refusals
from conda_assets.serve.rest.table import Answer, Call, Operation

__all__ = ["OPERATIONS", "routes"]

OPERATIONS: tuple[Operation, ...] = (*jobs.OPERATIONS, *people.OPERATIONS, *looks.OPERATIONS, *shelf.OPERATIONS)
_NOBODY = Person(0, "-", "reader")
_DESCRIBED = {
    "/api/openapi.json": {
        "get": {
            "operationId": "describe",
            "summary": "This document",
            "security": [],
            "responses": {"200": {"description": "it", "content": json_of({"type": "object"})}, **refusals(403)},
        }
    }
}


def routes(centre: Centre, *described: Mapping[str, Any]) -> list[Any]:
    """Starlette's routes for all operations and the document. `described`: paths that others serve, as the document has them."""
    by_path: dict[str, dict[str, Operation]] = {}
    for each in OPERATIONS:
        by_path.setdefault(each.path, {})[each.method] = each
    made = json.dumps(document(OPERATIONS, _DESCRIBED, *described)).encode()

    async def describe(request: Request) -> Response:
        return Response(made, media_type="application/json")

    ours = [Route(f"/api/v1{path}", _endpoint(centre, table), methods=list(table)) for path, table in by_path.items()]
    return [Route("/api/openapi.json", describe), *ours]


def _endpoint(centre: Centre, table: dict[str, Operation]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        operation = table["GET" if request.method == "HEAD" else request.method]
        person = person_of(request, centre) if operation.role else _NOBODY
        if operation.role:
            person.must(operation.role)
        _check_word(request, operation)
        if missing := operation.must - set(request.query_params):
            raise CentreRefused(f"{min(missing)} is missing in the query")
        call = Call(
            centre=centre,
            person=person,
            address=address_of(request, centre),
            words=request.path_params,
            query={
                name: from_text(request.query_params[name], schema, name)
                for name, schema in operation.query.items()
                if name in request.query_params
            },
            body=await _body(request, operation),
            session=request.cookies.get(COOKIE, ""),
        )
        given = await run_in_threadpool(operation.run, call) if operation.slow else operation.run(call)
        return _response(given, operation, safe=is_safe(request, centre))

    return answer


def _check_word(request: Request, operation: Operation) -> None:
    """What the path names has to be what can be named.

    Raises:
        NotFound: it is not.
    """
    if "id" in request.path_params:
        try:
            from_text(request.path_params["id"], operation.word, "id")
        except CentreRefused as error:
            raise NotFound(error.message) from error


def _response(given: object, operation: Operation, *, safe: bool) -> Response:
    answer = given if isinstance(given, Answer) else Answer(given)
    if isinstance(answer.value, bytes):
        return Response(answer.value, operation.status, media_type="application/json")
    response = JSONResponse(answer.value, status_code=operation.status)
    if answer.session:
        response.set_cookie(COOKIE, answer.session, httponly=True, samesite="strict", secure=safe, path="/")
    elif answer.session is not None:
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=safe, path="/")
    return response


async def _body(request: Request, operation: Operation) -> dict[str, Any]:
    """What came in, checked. A page of another site can send forms and plain text, but no JSON, without being asked first."""
    if operation.body is None:
        return {}
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise CentreRefused("expected `Content-Type: application/json`")
    text = b""
    async for block in request.stream():
        text += block
        if len(text) > operation.most_bytes:
            raise CentreRefused(f"more than {operation.most_bytes} bytes", "ask for fewer files at once")
    try:
        value = json.loads(text, parse_float=_number, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise CentreRefused(f"the body is not JSON: {error}") from error
    check(value, operation.body)
    assert isinstance(value, dict)
    return value


def _number(text: str) -> float | int:
    """JSON knows no difference between 1 and 1.0."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 1 << 53 else value


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")
