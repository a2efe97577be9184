"""What HTTP says of every resource: HEAD, a slash at the end, compressed bodies, `Accept`."""

import gzip
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from api import database as databases
from api.tokens import Tokens
from tests.api.conftest import GEMS, client_of

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]
PROBLEM = "application/problem+json"
OF_ONE_ANSWER = ("x-request-id", "ratelimit")


def paths_of(app: FastAPI, method: str) -> Iterator[str]:
    """Those that the routes have, the hidden ones too."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and method in route.methods:
            yield route.path


@pytest.fixture
async def admin(
    app: FastAPI, users: dict[str, UUID], tokens: Tokens, database: Database
) -> httpx.AsyncClient:
    assert database
    return client_of(app, tokens.issue(users["admin"]))


async def test_head_is_get_without_the_body(app: FastAPI, admin: httpx.AsyncClient) -> None:
    """RFC 9110, 9.3.2: wherever GET is, with the same status and header."""
    key = (await admin.post(GEMS, json={"label": "a"})).headers["location"].rpartition("/")[2]
    filled = {re.sub(r"\{\w+\}", key, path) for path in paths_of(app, "GET")}
    exports = {f"{GEMS}?format={name}" for name in ("json", "csv", "ndjson", "xlsx", "parquet")}
    statuses = set()
    for url in sorted({*filled, *exports, f"{GEMS}?nothing=1", "/nowhere", "/docs/swagger-ui.css"}):
        get, head = await admin.get(url), await admin.head(url)
        assert (head.status_code, head.content) == (get.status_code, b""), url
        got, had = (
            {n: v for n, v in answer.headers.items() if n not in OF_ONE_ANSWER}
            for answer in (get, head)
        )
        if url in ("/metrics", f"{GEMS}?nothing=1", "/nowhere") or get.status_code >= 400:
            # it counts the requests, or names this one
            got.pop("content-length"), had.pop("content-length")
        assert had == got, url
        statuses.add(head.status_code)
    assert {200, 404, 422} <= statuses


async def test_head_of_a_file_makes_no_file(
    admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the rows are read nor a place among the exports is taken."""

    async def stream(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(databases.Database, "stream", stream)
    for name in ("csv", "ndjson", "xlsx", "parquet"):
        head = await admin.head(f"{GEMS}?format={name}")
        assert head.status_code == 200
        assert head.headers["content-disposition"] == f'attachment; filename="gems.{name}"'


async def test_head_needs_what_get_needs(nobody: httpx.AsyncClient) -> None:
    answer = await nobody.head(GEMS)
    assert (answer.status_code, answer.content) == (401, b"")


async def test_head_of_what_takes_no_get_names_what_it_takes(admin: httpx.AsyncClient) -> None:
    answer = await admin.head("/api/v1/auth/login")
    assert (answer.status_code, answer.headers["allow"], answer.content) == (405, "POST", b"")
    assert (await admin.options(GEMS)).status_code == 405


async def test_a_slash_at_the_end_says_nothing(app: FastAPI, admin: httpx.AsyncClient) -> None:
    """The same resource, whatever the method, with its query; a slash in a key is another key."""
    made = await admin.post(f"{GEMS}/", json={"label": "a"})
    assert made.status_code == 201
    url = made.headers["location"]
    for path in paths_of(app, "GET"):
        if "{" not in path:
            plain, slashed = await admin.get(path), await admin.get(f"{path}/")
            assert slashed.status_code == plain.status_code, path
    listed = await admin.get(f"{GEMS}/", params={"label": "a", "fields": "label"})
    assert listed.json()["items"] == [{"label": "a"}]
    assert (await admin.get(f"{GEMS}/?label=b")).json()["items"] == []
    assert (await admin.get(f"{GEMS}/?nothing=1")).status_code == 422
    assert (await admin.get(f"{url}/")).json() == (await admin.get(url)).json()
    assert (await admin.patch(f"{url}/", json={"grade": 1})).json()["grade"] == 1
    assert (await admin.get(f"{url}//")).status_code == 404
    assert (await admin.get(f"{url}%2F")).status_code == 422
    assert (await admin.delete(f"{url}/")).status_code == 204


@pytest.mark.parametrize("coding", ["gzip", "br", "GZIP, identity", "zstd"])
async def test_a_compressed_body_is_refused(admin: httpx.AsyncClient, coding: str) -> None:
    """415, and RFC 9110, 12.5.3: with what may be sent instead, wherever a body is read."""
    login = b"username=a&password=b"
    form = {"file": ("gems.csv", gzip.compress(b"gem,weight"))}
    headers = {"Content-Encoding": coding}
    json = headers | {"Content-Type": "application/json"}
    for answer in (
        await admin.post(GEMS, content=gzip.compress(b'{"label": "a"}'), headers=json),
        await admin.patch(f"{GEMS}?label=a", content=gzip.compress(b"{}"), headers=json),
        await admin.put(GEMS, files=form, headers=headers),
        await admin.post(
            "/api/v1/auth/login",
            content=gzip.compress(login),
            headers=headers | {"Content-Type": "application/x-www-form-urlencoded"},
        ),
    ):
        assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
        assert "Content-Encoding" in answer.json()["detail"]


async def test_a_body_that_is_said_to_be_as_it_is_is_taken(admin: httpx.AsyncClient) -> None:
    headers = {"Content-Encoding": "identity"}
    assert (await admin.post(GEMS, json={"label": "a"}, headers=headers)).status_code == 201


def without_a_body(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Each method and path whose success has none."""
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            if "204" in operation["responses"]:
                yield method.upper(), path


@pytest.mark.parametrize("accept", [PROBLEM, "text/html", "application/xml, image/png;q=0.5"])
async def test_an_answer_without_a_body_is_acceptable_to_all(
    app: FastAPI, admin: httpx.AsyncClient, accept: str
) -> None:
    """Never 406, in any of these operations."""
    operations = list(without_a_body(app))
    assert len(operations) >= 4
    for method, path in operations:
        url = re.sub(r"\{\w+\}", "00000000-0000-0000-0000-000000000000", path)
        answer = await admin.request(method, url, headers={"Accept": accept})
        assert answer.status_code != 406, (method, path)
    url = (await admin.post(GEMS, json={"label": "a"})).headers["location"]
    gone = await admin.delete(url, headers={"Accept": accept, "If-Match": "*"})
    assert gone.status_code == 204


async def test_what_the_document_names_is_accepted(app: FastAPI, admin: httpx.AsyncClient) -> None:
    """Each type of each operation, by itself."""
    asked = 0
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            types = {t for r in operation["responses"].values() for t in r.get("content", {})}
            for media_type in types:
                url = re.sub(r"\{\w+\}", "00000000-0000-0000-0000-000000000000", path)
                headers = {"Accept": media_type, "If-Match": '"1"'}
                if "/password" in path or "/auth/" in path:
                    continue  # they would end the session
                answer = await admin.request(method, url, headers=headers)
                assert answer.status_code != 406, (method, path, media_type)
                asked += 1
    assert asked > 50
    listed = await admin.get(GEMS, headers={"Accept": PROBLEM})
    assert listed.headers["content-type"] == "application/json"
    assert (await admin.get(GEMS, headers={"Accept": "text/html"})).status_code == 406
