"""Scopes: which datasets a user has, and what of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import jwt
import psycopg
import pytest
from fastapi import FastAPI

from api import router
from api.app import create_app
from api.tokens import Tokens
from api.users import User, add_user_statement
from assay.catalog import Catalog
from assay.settings import Settings
from tests.api.conftest import CATALOG, GEM, GEMS, NOBODYS, PASSWORD, SOURCE, STONE, client_of

pytestmark = pytest.mark.anyio

RESTRICTED = replace(GEM, is_restricted=True)
PERSONAL = replace(
    GEM, columns=tuple(replace(c, is_personal=c.name == "mine") for c in GEM.columns)
)
STONES = "/api/v1/stones"
REJECTED = "/api/v1/loads/1/rejected"

AddUser = Callable[..., str]


@pytest.fixture
def add_user(database: psycopg.Connection[Any], tokens: Tokens) -> AddUser:
    """Makes a user and gives a token."""

    def add(role: str, *scopes: str) -> str:
        name = uuid4().hex
        database.execute(*add_user_statement(name, PASSWORD, role))
        row = database.execute(
            "update auth.users set scopes = %s where username = %s returning *",
            (list(scopes), name),
        ).fetchone()
        assert row
        return tokens.issue(row["user_id"], row["token_version"])

    return add


@asynccontextmanager
async def app_of(settings: Settings, catalog: Catalog) -> AsyncIterator[FastAPI]:
    app = create_app(settings, catalog)
    async with app.router.lifespan_context(app):
        yield app


def add_load(database: psycopg.Connection[Any]) -> None:
    """Load 1, of the gems' source, with a row that broke a rule."""
    database.execute(
        "insert into raw.loads (load_id, source_table, file_name, sha256, row_count, state, clock,"
        " loaded_by, started_at)"
        " values (1, 'shop.gems', 'gems.csv', '', 1, 'loaded', 1, 'x', now())"
    )
    database.execute("insert into journal.verdicts values ('gems', 1, 1, '{label_short}')")


async def status(app: FastAPI, token: str, method: str, url: str, **body: Any) -> int:
    async with client_of(app, token) as client:
        return (await client.request(method, url, **body)).status_code


@pytest.mark.parametrize(
    ("role", "scopes", "reads", "writes", "sees"),
    [
        ("reader", (), True, False, False),
        ("editor", (), True, True, False),
        ("admin", (), True, True, False),
        ("admin", ("stones:write",), False, False, False),
        ("editor", ("gems:read",), True, False, False),
        ("editor", ("gems:write",), True, True, False),
        ("reader", ("gems:write",), True, False, False),
        ("editor", ("gems:pii",), True, False, True),
        ("editor", ("gems:pii", "gems:write"), True, True, True),
        ("editor", ("*:pii",), True, False, True),
        ("editor", ("*:write",), True, True, False),
        ("reader", ("*:write", "*:pii"), True, False, True),
        ("admin", ("*:write", "*:pii"), True, True, True),
        ("admin", ("stones:write", "*:pii"), True, False, True),
    ],
)
def test_b23_a_role_says_which_verbs_and_scopes_say_which_datasets(
    role: Any, scopes: tuple[str, ...], reads: bool, writes: bool, sees: bool
) -> None:
    """As the table of scopes in docs/security.md says; the dataset has personal data."""
    user = User(uuid4(), "x", role, frozenset(scopes))
    assert user.may_read(PERSONAL) is reads
    assert user.may_write(PERSONAL) is writes
    assert user.sees_personal_data_of(PERSONAL) is sees


@pytest.mark.parametrize("role", ["reader", "editor", "admin"])
def test_b23_a_restricted_dataset_takes_a_scope_from_everybody(role: Any) -> None:
    """Admins too."""
    user = User(uuid4(), "x", role)
    assert not user.may_read(RESTRICTED)
    assert not user.may_write(RESTRICTED)
    of_all = replace(user, scopes=frozenset({"*:read", "*:write", "*:pii"}))
    assert not of_all.may_read(RESTRICTED)
    assert not of_all.may_write(RESTRICTED)
    assert not of_all.sees_personal_data_of(replace(PERSONAL, is_restricted=True))
    assert replace(user, scopes=frozenset({"gems:read"})).may_read(RESTRICTED)


def test_b23_everybody_sees_the_personal_data_that_is_not_there() -> None:
    """So that callers ask one question only."""
    assert User(uuid4(), "x", "reader").sees_personal_data_of(STONE)


async def test_b23_a_restricted_dataset_in_the_api(settings: Settings, add_user: AddUser) -> None:
    """Not there without its scope; with it, as the role says."""
    catalog = replace(CATALOG, entities={**CATALOG.entities, "gems": RESTRICTED})
    row = {"json": {"label": "x"}}
    async with app_of(settings, catalog) as app:
        assert await status(app, add_user("admin"), "GET", GEMS) == 404
        assert await status(app, add_user("admin"), "POST", GEMS, **row) == 404
        assert await status(app, add_user("admin"), "GET", STONES) == 200
        assert await status(app, add_user("reader", "gems:read"), "GET", GEMS) == 200
        assert await status(app, add_user("editor", "gems:read"), "POST", GEMS, **row) == 403
        assert await status(app, add_user("reader", "gems:write"), "POST", GEMS, **row) == 403
        assert await status(app, add_user("editor", "gems:write"), "POST", GEMS, **row) == 201


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", GEMS),
        ("PUT", GEMS),
        ("GET", f"{GEMS}/{NOBODYS}"),
        ("DELETE", f"{GEMS}/{NOBODYS}"),
        ("GET", f"{GEMS}/{NOBODYS}/history"),
        ("GET", f"{GEMS}/changes"),
        ("GET", "/api/v1/loads/1"),
        ("GET", REJECTED),
        ("DELETE", "/api/v1/loads/1"),
    ],
)
async def test_b24_another_dataset_is_404(
    app: FastAPI, add_user: AddUser, database: psycopg.Connection[Any], method: str, url: str
) -> None:
    """Not 403, which would say that it exists; its loads too."""
    add_load(database)
    body = {"files": {"field": (None, "x")}} if method == "PUT" else {}
    token = add_user("editor", "stones:write")
    assert await status(app, token, method, url, **body) == 404


async def test_b24_loads_of_other_datasets_are_not_listed(
    app: FastAPI, add_user: AddUser, database: psycopg.Connection[Any]
) -> None:
    """The list has those that feed an entity that the caller may read."""
    add_load(database)

    async def listed(*scopes: str) -> list[int]:
        async with client_of(app, add_user("reader", *scopes)) as client:
            page = (await client.get("/api/v1/loads")).json()
        return [load["load_id"] for load in page["items"]]

    assert await listed() == [1]
    assert await listed("gems:read") == [1]
    assert await listed("stones:read") == []


async def test_b24_taking_a_load_back_takes_writing_what_it_feeds(
    app: FastAPI, add_user: AddUser, database: psycopg.Connection[Any]
) -> None:
    """An editor who may only read it gets 403."""
    add_load(database)
    url = "/api/v1/loads/1"
    assert await status(app, add_user("editor", "gems:read"), "DELETE", url) == 403


async def test_b23_raw_rows_take_the_scope_for_personal_data(
    settings: Settings, add_user: AddUser, database: psycopg.Connection[Any]
) -> None:
    """Rejected rows are raw: all columns are in them."""
    add_load(database)
    catalog = Catalog({"gems": PERSONAL, "stones": STONE}, {"shop.gems": SOURCE})
    async with app_of(settings, catalog) as app:
        for token in (add_user("admin"), add_user("reader", "gems:read")):
            assert await status(app, token, "GET", REJECTED) == 403
        assert await status(app, add_user("reader", "gems:pii"), "GET", REJECTED) == 200
    kept = database.execute(
        "select event, outcome from auth.audit_events order by event_id"
    ).fetchall()
    assert [tuple(row.values()) for row in kept] == [
        ("authz_fail", "failure"),
        ("authz_fail", "failure"),
        ("sensitive_read", "success"),
    ]


async def test_b46_reading_personal_data_is_kept(
    settings: Settings, add_user: AddUser, database: psycopg.Connection[Any]
) -> None:
    """`sensitive_read`, of those to whom it is shown."""
    catalog = Catalog({"gems": PERSONAL}, {"shop.gems": SOURCE})
    async with app_of(settings, catalog) as app:
        assert await status(app, add_user("reader"), "GET", GEMS) == 200
        assert await status(app, add_user("reader", "gems:pii"), "GET", GEMS) == 200
    rows = database.execute("select event, target from auth.audit_events").fetchall()
    assert rows == [{"event": "sensitive_read", "target": f"GET {GEMS}"}]


async def test_the_check_of_the_user_is_one_query(
    reader: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is measured against a bare endpoint."""
    asked = []
    fetch = app.state.database.fetch

    async def counting(sql: str, *values: object) -> Any:
        asked.append(sql)
        return await fetch(sql, *values)

    monkeypatch.setattr(app.state.database, "fetch", counting)
    assert (await reader.get(GEMS)).status_code == 200
    assert len([sql for sql in asked if "auth." in sql]) == 1
    assert len(asked) == 2


@pytest.mark.parametrize(
    "change", ["is_active = false", "role = 'reader'", "scopes = '{stones:write}'"]
)
async def test_rights_are_asked_again_when_a_body_took_its_time(
    app: FastAPI,
    database: psycopg.Connection[Any],
    add_user: AddUser,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    """Who may no longer write when the last of it comes does not write."""
    monkeypatch.setattr(router, "RIGHTS_SECONDS", 0.1)
    token = add_user("editor")
    user_id = jwt.decode(token, options={"verify_signature": False})["sub"]

    async def body() -> AsyncIterator[bytes]:
        yield b'{"label": '
        database.execute(f"update auth.users set {change} where user_id = %s", (user_id,))
        await asyncio.sleep(0.2)
        yield b'"late"}'

    headers = {"Content-Type": "application/json"}
    async with client_of(app, token) as client:
        answer = await client.post(GEMS, content=body(), headers=headers)
    assert answer.status_code == 401  # what changed ended the session
    assert database.execute("select from curated.gems where label = 'late'").rowcount == 0
