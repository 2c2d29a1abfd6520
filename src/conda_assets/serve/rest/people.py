"""Operations on people: sign in and out, accounts, tokens, the audit log."""

from __future__ import annotations

from conda_assets.errors import NotFound
from conda_assets.serve.accounts import NAME, SHORTEST_PASSWORD, Person
from conda_assets.serve.rest import schemas as s
from conda_assets.serve.rest.table import Answer, Call, Operation

__all__ = ["OPERATIONS"]

_PASSWORD = s.text(200)
_NEW_PASSWORD = s.text(200, least=SHORTEST_PASSWORD)


def _me_of(call: Call, person: Person) -> dict[str, object]:
    used = call.centre.board.used_bytes(person.id)
    return {
        "id": person.id,
        "name": person.name,
        "role": person.role,
        "quota_bytes": person.quota_bytes,
        "used_bytes": used,
        "csrf": person.csrf,
    }


def _me(call: Call) -> object:
    return _me_of(call, call.person)


def _sign_in(call: Call) -> object:
    body, accounts = call.body, call.centre.accounts
    if "token" in body:
        person = accounts.by_typed_token(body["token"], call.address)
    else:
        person = accounts.by_password(body["name"], body["password"], call.address)
    secret, person = accounts.open_session(person)
    call.centre.database.note(person.name, call.address, "sign in")
    return Answer(_me_of(call, person), session=secret)


def _sign_out(call: Call) -> object:
    call.centre.accounts.close_session(call.session)
    call.note("sign out")
    return Answer({"done": True}, session="")


def _users(call: Call) -> object:
    return {"users": [_user(call, row["id"]) for row in call.centre.accounts.people()]}


def _user(call: Call, user_id: int) -> dict[str, object]:
    row = next((row for row in call.centre.accounts.people() if row["id"] == user_id), None)
    if row is None:
        raise NotFound(f"no user {user_id}")
    return {
        "id": row["id"],
        "name": row["name"],
        "role": row["role"],
        "quota_bytes": row["quota_bytes"],
        "used_bytes": call.centre.board.used_bytes(row["id"]),
        "disabled": bool(row["disabled"]),
    }


def _add_user(call: Call) -> object:
    body = call.body
    person = call.centre.accounts.add(
        body["name"], body["role"], password=body.get("password"), quota_bytes=body.get("quota_bytes")
    )
    call.note("add user", f"{person.name} {person.role}")
    _, token = call.centre.accounts.new_token(person.id, "first")
    return {"user": _user(call, person.id), "token": token}


def _change_user(call: Call) -> object:
    user_id = int(call.words["id"])
    before = _user(call, user_id)
    call.centre.accounts.change(user_id, dict(call.body))
    call.note("change user", f"{before['name']}: {', '.join(call.body)}")
    return _user(call, user_id)


def _remove_user(call: Call) -> object:
    user_id = int(call.words["id"])
    user = _user(call, user_id)
    call.centre.accounts.remove(user_id)
    call.centre.board.without(user_id)
    call.note("remove user", str(user["name"]))
    return {"done": True}


def _tokens(call: Call) -> object:
    return {"tokens": [dict(row) for row in call.centre.accounts.tokens(call.person.id)]}


def _add_token(call: Call) -> object:
    number, token = call.centre.accounts.new_token(call.person.id, call.body["label"])
    call.note("add token", call.body["label"])
    return {"id": number, "token": token}


def _add_their_token(call: Call) -> object:
    user_id = int(call.words["id"])
    user = _user(call, user_id)
    number, token = call.centre.accounts.new_token(user_id, call.body["label"])
    call.note("add token", f"{user['name']}: {call.body['label']}")
    return {"id": number, "token": token}


def _remove_token(call: Call) -> object:
    call.centre.accounts.remove_token(call.person.id, int(call.words["id"]))
    call.note("remove token", call.words["id"])
    return {"done": True}


def _audit(call: Call) -> object:
    limit, before = int(call.query.get("limit", 100)), int(call.query.get("before", s.MOST_BYTES))
    statement = "SELECT id, at, user, address, action, detail FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?"
    return {"lines": [dict(row) for row in call.centre.database.rows(statement, (before, limit))]}


_TOKEN = s.obj({"id": s.INTEGER, "label": s.TEXT, "created_at": s.NUMBER, "used_at": s.MAYBE_NUMBER})
_LABELLED = s.obj({"label": s.text(80, least=1)}, closed=True)
_LINE = s.obj({"id": s.INTEGER, "at": s.NUMBER, "user": s.TEXT, "address": s.TEXT, "action": s.TEXT, "detail": s.TEXT})

OPERATIONS = (
    Operation(
        "POST",
        "/session",
        "signIn",
        "Sign in with a token, or with a name and a password; sets a cookie",
        _sign_in,
        s.ref("Me"),
        role="",
        slow=True,
        status=201,
        refuses=(401, 429),
        body=s.obj(
            {"token": _PASSWORD, "name": s.text(64), "password": _PASSWORD},
            optional=("token", "name", "password"),
            closed=True,
        )
        | {"anyOf": [{"required": ["token"]}, {"required": ["name", "password"]}]},
    ),
    Operation("DELETE", "/session", "signOut", "Sign out", _sign_out, s.ref("Done")),
    Operation("GET", "/me", "me", "Who you are, and what you have used of your quota", _me, s.ref("Me")),
    Operation("GET", "/users", "listUsers", "Everybody", _users, s.obj({"users": s.array(s.ref("User"))}), role="admin"),
    Operation(
        "POST",
        "/users",
        "addUser",
        "A new account, with a token that is shown this once",
        _add_user,
        s.obj({"user": s.ref("User"), "token": s.TEXT}),
        role="admin",
        status=201,
        slow=True,
        refuses=(409,),
        links=dict.fromkeys(["changeUser", "removeUser", "addUserToken"], "/user/id"),
        body=s.obj(
            {
                "name": {"type": "string", "pattern": NAME},
                "role": s.ROLE,
                "password": _NEW_PASSWORD,
                "quota_bytes": s.MAYBE_BYTES,
            },
            optional=("password", "quota_bytes"),
            closed=True,
        ),
    ),
    Operation(
        "PATCH",
        "/users/{id}",
        "changeUser",
        "Change an account, and end its sessions",
        _change_user,
        s.ref("User"),
        role="admin",
        slow=True,
        word=s.ROW_ID,
        refuses=(409,),
        body=s.obj(
            {"role": s.ROLE, "password": _NEW_PASSWORD, "quota_bytes": s.MAYBE_BYTES, "disabled": {"type": "boolean"}},
            optional=("role", "password", "quota_bytes", "disabled"),
            closed=True,
        )
        | {"minProperties": 1},
    ),
    Operation(
        "DELETE",
        "/users/{id}",
        "removeUser",
        "Delete an account; its files stay",
        _remove_user,
        s.ref("Done"),
        role="admin",
        word=s.ROW_ID,
        refuses=(409,),
    ),
    Operation(
        "POST",
        "/users/{id}/tokens",
        "addUserToken",
        "A new token of somebody who has lost theirs, shown this once",
        _add_their_token,
        s.obj({"id": s.INTEGER, "token": s.TEXT}),
        role="admin",
        status=201,
        word=s.ROW_ID,
        body=_LABELLED,
    ),
    Operation("GET", "/tokens", "listTokens", "Your tokens, without the tokens", _tokens, s.obj({"tokens": s.array(_TOKEN)})),
    Operation(
        "POST",
        "/tokens",
        "addToken",
        "A new token of yours, shown this once",
        _add_token,
        s.obj({"id": s.INTEGER, "token": s.TEXT}),
        status=201,
        links={"removeToken": "/id"},
        body=_LABELLED,
    ),
    Operation(
        "DELETE",
        "/tokens/{id}",
        "removeToken",
        "Make one of your tokens worthless",
        _remove_token,
        s.ref("Done"),
        word=s.ROW_ID,
    ),
    Operation(
        "GET",
        "/audit",
        "listAudit",
        "Who did what, latest first",
        _audit,
        s.obj({"lines": s.array(_LINE)}),
        role="admin",
        query={
            "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
            "before": {"type": "integer", "minimum": 1, "maximum": 999_999_999_999_999},
        },
    ),
)
