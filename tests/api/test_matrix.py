"""Who may do what: the table of docs/security.md, sent request by request (B-22).

A new route takes a line there, and one in BODIES if its right request has a body.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import psycopg
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from api.tokens import Tokens, id_of
from api.users import add_user_statement
from tests.api.conftest import PASSWORD, SECRET, Served, client_of
from tests.conftest import ROOT

pytestmark = pytest.mark.anyio

NOBODY = UUID(int=0)
NO_FILE = {"files": {"field": (None, "a form without a file")}}
ROW = {"json": {"label": "x"}}
BODIES: dict[str, dict[str, Any]] = {
    "POST /api/v1/{path}": ROW,
    "PUT /api/v1/{path}": NO_FILE,
    "PATCH /api/v1/{path}": ROW,
    "PUT /api/v1/{path}/{key}": ROW,
    "PATCH /api/v1/{path}/{key}": ROW,
    "POST /api/v1/{path}/{key}/revert": {"json": {"version": 1}},
    "POST /api/v1/auth/login": {"data": {"username": "reader", "password": PASSWORD}},
    "POST /api/v1/auth/refresh": {"json": {"refresh_token": "unknown"}},
    "POST /api/v1/auth/reset": {
        "json": {"username": "reader", "code": "wrong", "password": PASSWORD}
    },
    "POST /api/v1/users": {"json": {"username": "new", "password": PASSWORD}},
    "PATCH /api/v1/users/me": {"json": {"display_name": "X"}},
    "POST /api/v1/users/me/password": {
        "json": {"old_password": "wrong", "new_password": PASSWORD[::-1]}
    },
    "PATCH /api/v1/users/{user_id}": {"json": {"role": "editor"}},
}
INVALID = 'error="invalid_token"'
ELSEWHERE = ("10.0.0.7", 5000)


def read_table() -> tuple[list[str], dict[str, list[int]]]:
    """The people, and of each request the status that each of them gets."""
    lines = (ROOT / "docs" / "security.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    people = next(row[1:] for row in rows if row[0] == "request")
    requests = {
        cells[0].strip("`"): [int(cell) for cell in cells[1:]]
        for cells in rows
        if re.match(r"`[A-Z]+ /", cells[0])
    }
    return people, requests


PEOPLE, TABLE = read_table()
LINKS = {request for request in TABLE if "{link}" in request}
"""Of the project's own datasets; those of the tests have none."""


def routes_of(routes: list[BaseRoute]) -> Iterator[APIRoute]:
    """Also those of routers: FastAPI keeps these whole."""
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is not None:
            yield from routes_of(router.routes)
        else:
            assert isinstance(route, APIRoute), f"{route} is of a kind that this test cannot see"
            yield route


def test_b22_every_route_is_in_the_table(app: FastAPI) -> None:
    """Reason: what is not there is not tested for strangers. Remedy: a line in docs/security.md."""
    served = {
        f"{method} {route.path.replace('/gems', '/{path}')}"
        for route in routes_of(app.routes)
        if not re.search("/(mines|stones)", route.path)
        for method in route.methods
    }
    assert served == set(TABLE) - LINKS


@pytest.fixture
def people(
    database: psycopg.Connection[Any], tokens: Tokens, users: dict[str, UUID]
) -> dict[str, str]:
    return tokens_of_people(database, tokens, users)


def tokens_of_people(
    database: psycopg.Connection[Any], tokens: Tokens, users: dict[str, UUID]
) -> dict[str, str]:
    """A token of each."""

    def add(name: str, change: str) -> UUID:
        database.execute(*add_user_statement(name, PASSWORD, "editor"))
        row = database.execute(
            f"update auth.users set {change} where username = %s returning user_id", (name,)
        ).fetchone()
        assert row
        user_id: UUID = row["user_id"]
        return user_id

    good = tokens.issue(users["admin"])
    claims = jwt.decode(good, options={"verify_signature": False})
    past = datetime.now(UTC) - timedelta(days=1)
    headers = {"typ": "at+jwt", "kid": id_of(SECRET)}
    return {
        "anonymous": "",
        "expired": jwt.encode(claims | {"exp": past}, SECRET, headers=headers),
        "disabled": tokens.issue(add("disabled", "is_active = false"), 1),
        **{role: tokens.issue(users[role]) for role in ("reader", "editor", "admin")},
        "scoped": tokens.issue(add("scoped", "scopes = '{stones:write}'"), 1),
    }


@pytest.mark.parametrize("request_line", sorted(set(TABLE) - LINKS))
async def test_b22_the_matrix(
    app: FastAPI,
    people: dict[str, str],
    database: psycopg.Connection[Any],
    request_line: str,
) -> None:
    """Each route answers each kind of caller with the status that the table gives."""
    method, _, path = request_line.partition(" ")
    url = path.replace("{path}", "gems").replace("{load_id}", "1").replace("{name}", "x")
    url = re.sub(r"\{(key|user_id)\}", str(NOBODY), url)
    found = []
    for person in PEOPLE:
        async with client_of(app, people[person] or None, client=ELSEWHERE) as client:
            response = await client.request(method, url, **BODIES.get(request_line, {}))
        found.append(response.status_code)
        if response.status_code == 401 and "/auth/re" not in url:
            challenge = response.headers["www-authenticate"]
            assert challenge == ("Bearer" if person == "anonymous" else "Bearer " + INVALID)
        database.execute(
            "delete from curated.gems; delete from auth.failures;"
            "delete from auth.users where username = 'new'"
        )
    assert dict(zip(PEOPLE, found, strict=True)) == dict(
        zip(PEOPLE, TABLE[request_line], strict=True)
    )


BROKEN: dict[str, dict[str, Any]] = {
    "no JSON": {"content": "{", "headers": {"Content-Type": "application/json"}},
    "no form": {"content": "x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
    "another kind": {"content": "x", "headers": {"Content-Type": "text/plain"}},
    "an unknown column": {"json": {"nothing": 1}},
    "nothing": {},
}


@pytest.mark.parametrize("request_line", sorted(set(TABLE) - LINKS))
async def test_b22_rights_come_before_what_is_asked(
    app: FastAPI,
    people: dict[str, str],
    database: psycopg.Connection[Any],
    request_line: str,
) -> None:
    """Whatever is wrong with a request, who may not make it learns that and nothing else.

    That is: the status and the words are those of the right request. A path without a right has
    nothing to hide; where a body is what proves a right, its faults come first.
    """
    method, _, path = request_line.partition(" ")
    refused = {
        person: status
        for person, status in zip(PEOPLE, TABLE[request_line], strict=True)
        if status in (401, 403) or (status == 404 and person == "scoped")
    }
    if "anonymous" not in refused or path.startswith("/api/v1/auth/re"):
        return
    url = path.replace("{path}", "gems").replace("{load_id}", "1").replace("{name}", "x")
    right = re.sub(r"\{(key|user_id)\}", str(NOBODY), url)
    wrong = re.sub(r"\{(key|user_id)\}", "no-key", url)
    for person, status in refused.items():
        async with client_of(app, people[person] or None, client=ELSEWHERE) as client:
            for name, request in BROKEN.items():
                for target in (right, f"{wrong}?limit=x&nothing=1&sort=nothing&dry_run=maybe"):
                    answer = await client.request(method, target, **request)
                    assert answer.status_code == status, (person, name, target, answer.text)
                    assert answer.json()["errors"] == []
    database.execute("delete from auth.failures")


async def test_b22_links(served: Served, tokens: Tokens) -> None:
    """The same for routes of links, all of which are in the table."""
    routes = {
        f"{method} {re.sub('/(sites|groups)/{other}', '/{link}/{other}', route.path)}"
        for route in routes_of(served.app.routes)
        if "{other}" in route.path
        for method in route.methods
    }
    assert {re.sub("v1/(sites|groups)", "v1/{path}", route) for route in routes} == LINKS

    database = served.warehouse.connection
    database.execute(*add_user_statement("admin", PASSWORD, "admin"))
    rows = served.warehouse.query("select * from auth.users")
    people = tokens_of_people(database, tokens, {r["username"]: r["user_id"] for r in rows})
    site = {
        "name": "Adige",
        "country": "italy",
        "installation_date": "2021-01-02",
        "max_power_megawatt": 2,
        "min_power_megawatt": 1,
    }
    (made,) = (await served.editor.post("/api/v1/sites", json=[site])).json()["items"]
    group = {"name": "Alps", "type": "group1"}
    (other,) = (await served.editor.post("/api/v1/groups", json=[group])).json()["items"]
    url = f"/api/v1/sites/{made['id']}/groups/{other['id']}"
    for request_line in sorted(LINKS):
        method = request_line.partition(" ")[0]
        found = []
        for person in PEOPLE:
            await served.editor.put(url)
            async with client_of(served.app, people[person] or None, client=ELSEWHERE) as client:
                found.append((await client.request(method, url)).status_code)
        assert found == TABLE[request_line]

    # who may write one end has to be able to read the other
    (scoped,) = served.warehouse.query("""
        update auth.users set scopes = '{sites:write}' where username = 'scoped'
        returning user_id, token_version
    """)
    token = tokens.issue(scoped["user_id"], scoped["token_version"])
    async with client_of(served.app, token) as client:
        assert (await client.put(url)).status_code == 403
        body = {"group_ids": [other["id"]]}
        assert (await client.patch(f"/api/v1/sites/{made['id']}", json=body)).status_code == 403
        name = {"name": "Brenta"}
        assert (await client.patch(f"/api/v1/sites/{made['id']}", json=name)).status_code == 200
