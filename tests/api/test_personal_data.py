"""Columns with `pii: true` are for those whose scopes say so, wherever they would show."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from api.app import create_app
from api.security import Tokens
from assay.catalog import Catalog, Column
from assay.settings import Settings
from tests.api.conftest import SECRET, Datasets, Served, client_of

pytestmark = pytest.mark.anyio

BOOKS = "/api/v1/books"
EMMA = {"isbn": "1", "title": "Emma", "page_count": 474}


def hidden(column: Column) -> Column:
    return replace(column, is_personal=column.name == "title")


@pytest.fixture
def catalog(datasets: Datasets) -> Catalog:
    """As if the titles of books were personal."""
    books = datasets.catalog.entities["books"]
    personal = replace(books, columns=tuple(map(hidden, books.columns)))
    return replace(datasets.catalog, entities={**datasets.catalog.entities, "books": personal})


@pytest.fixture
async def app(served: Served, datasets: Datasets, catalog: Catalog) -> AsyncIterator[FastAPI]:
    settings = Settings(
        project=datasets.folder,
        database_url=SecretStr(served.warehouse.url),
        assay_secret=SecretStr(SECRET),
    )
    app = create_app(settings, catalog)
    async with app.router.lifespan_context(app):
        yield app


def client(served: Served, app: FastAPI, tokens: Tokens, name: str, *scopes: str) -> Any:
    (user,) = served.warehouse.query(
        "update auth.users set scopes = %s where username = %s returning user_id, token_version",
        list(scopes),
        name,
    )
    return client_of(app, tokens.issue(user["user_id"], user["token_version"]))


@pytest.fixture
def clerk(served: Served, app: FastAPI, tokens: Tokens) -> httpx.AsyncClient:
    """An editor who does not see titles."""
    made: httpx.AsyncClient = client(served, app, tokens, "editor", "books:write")
    return made


@pytest.fixture
async def librarian(served: Served, app: FastAPI, tokens: Tokens) -> httpx.AsyncClient:
    """A reader who does, with a book that somebody else wrote."""
    response = await served.editor.post(BOOKS, json=EMMA)
    assert response.status_code == 201
    made: httpx.AsyncClient = client(served, app, tokens, "reader", "books:pii")
    return made


@pytest.mark.parametrize(
    "path",
    ["", "/1", "/1?as_of=2999-01-01T00:00:00Z", "/1/history", "/changes", "?fields=isbn"],
)
async def test_b23_personal_columns_show_with_their_scope_only(
    librarian: httpx.AsyncClient, clerk: httpx.AsyncClient, path: str
) -> None:
    seen = await librarian.get(BOOKS + path)
    assert seen.status_code == 200, seen.text
    assert ("Emma" in seen.text) == (path != "?fields=isbn")
    masked = await clerk.get(BOOKS + path)
    assert masked.status_code == 200, masked.text
    assert '"isbn":"1"' in masked.text.replace(" ", "")
    assert "title" not in masked.text
    assert "Emma" not in masked.text


@pytest.mark.parametrize(
    "query",
    [
        "title=Emma",
        "title__startswith=E",
        "title__isnull=false",
        "or[title]=Emma&or[isbn]=2",
        "sort=title",
        "sort=-title",
        "fields=isbn,title",
        "q=emma",
    ],
)
async def test_b23_nothing_is_learned_by_asking(
    librarian: httpx.AsyncClient, clerk: httpx.AsyncClient, query: str
) -> None:
    """Filters, order and search would tell value by value."""
    assert (await librarian.get(f"{BOOKS}?{query}")).status_code == 200
    refused = await clerk.get(f"{BOOKS}?{query}")
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "title: this takes the scope books:pii.",
    )


@pytest.mark.usefixtures("librarian")
async def test_b23_writes_neither_show_nor_take_personal_columns(
    clerk: httpx.AsyncClient, served: Served
) -> None:
    """Nor does a whole row replace what its writer cannot see."""
    changed = await clerk.patch(f"{BOOKS}/1", json={"page_count": 475})
    assert changed.status_code == 200, changed.text
    assert "title" not in changed.text
    many = await clerk.patch(BOOKS, json=[{"isbn": "1", "page_count": 476}])
    assert many.json()["items"][0]["page_count"] == 476
    assert "title" not in many.text
    version = (await clerk.get(f"{BOOKS}/1/history")).json()["items"][-1]["version"]
    for response in (
        await clerk.patch(f"{BOOKS}/1", json={"title": "Other"}),
        await clerk.patch(BOOKS, json=[{"isbn": "1", "title": "Other"}]),
        await clerk.patch(f"{BOOKS}?title=Emma", json={"page_count": 1}),
        await clerk.delete(f"{BOOKS}?title=Emma"),
        await clerk.post(BOOKS, json={"isbn": "2", "title": "Other"}),
        await clerk.put(f"{BOOKS}/1", json=EMMA),
        await clerk.post(f"{BOOKS}/1/revert", json={"version": version}),
        await clerk.put(BOOKS, files={"file": ("books.csv", b"isbn,title,pages\n1,Other,1\n")}),
    ):
        assert response.status_code == 403, response.text
    (book,) = served.warehouse.query("select title, page_count from curated.books")
    assert book == {"title": "Emma", "page_count": 476}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", {"json": {"isbn": "2"}}),
        ("POST", "", {"json": [{"isbn": "2"}]}),
        ("POST", "", {"json": {"isbn": "2", "title": "Other"}}),
        ("POST", "", {"content": "{"}),
        ("PUT", "/1", {"json": {"page_count": 1}}),
        ("PUT", "/1", {"json": EMMA}),
        ("PUT", "", {"files": {"file": ("books.csv", b"isbn,title,pages\n1,Other,1\n")}}),
        ("PUT", "?dry_run=true", {"files": {"file": ("books.csv", b"isbn,title,pages\n")}}),
    ],
)
@pytest.mark.usefixtures("librarian")
async def test_nobody_is_asked_for_what_he_may_not_write(
    clerk: httpx.AsyncClient, served: Served, method: str, path: str, body: dict[str, Any]
) -> None:
    """A mandatory column that is personal: the scope is what lacks, whatever else does."""
    refused = await clerk.request(method, BOOKS + path, **body)
    assert refused.status_code == 403, refused.text
    assert "this takes the scope books:pii." in refused.json()["detail"]
    rows = served.warehouse.query("select isbn, title from curated.books")
    assert rows == [{"isbn": "1", "title": "Emma"}]


async def test_an_admin_gives_the_scope_to_himself_and_loses_nothing(
    served: Served, app: FastAPI, tokens: Tokens
) -> None:
    """A new database has nobody who sees personal values."""
    (user,) = served.warehouse.query(
        "update auth.users set role = 'admin' where username = 'editor' returning user_id"
    )
    admin = client(served, app, tokens, "editor")
    assert (await admin.post(BOOKS, json=EMMA)).status_code == 403
    given = await admin.patch(
        f"/api/v1/users/{user['user_id']}", json={"scopes": ["*:write", "*:pii"]}
    )
    assert given.status_code == 200, given.text
    admin = client(served, app, tokens, "editor", *given.json()["scopes"])
    created = await admin.post(BOOKS, json=EMMA)
    assert (created.status_code, created.json()["title"]) == (201, "Emma"), created.text
    for path in app.openapi()["paths"]:
        if path.startswith("/api/v1/") and "{" not in path and path.count("/") == 3:
            assert (await admin.get(path)).status_code != 404, path
