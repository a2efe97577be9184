"""Every error has one shape and its headers, and no words of PostgreSQL's or Python's."""

import logging
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import psycopg
import pytest
from fastapi import FastAPI

from api.database import Database
from api.errors import problem_of
from tests.api.conftest import CATALOG, GEMS, NOBODYS

pytestmark = pytest.mark.anyio

LOADS = "/api/v1/loads"

JSON = {"Content-Type": "application/json"}
LARGE = b'{"label": "' + b"x" * 1_048_576 + b'"}'
CASES: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", "/nothing", {}, 404),
    ("GET", "/api/v1/nothing", {}, 404),
    ("GET", f"{GEMS}/{NOBODYS}", {}, 404),
    ("DELETE", LOADS, {}, 405),
    ("TRACE", GEMS, {}, 405),
    ("POST", f"{GEMS}/{NOBODYS}", {}, 405),
    ("GET", GEMS, {"headers": {"Accept": "application/xml"}}, 406),
    ("POST", GEMS, {"content": LARGE, "headers": JSON}, 413),
    ("POST", GEMS, {"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
    ("POST", GEMS, {"content": b"{}"}, 415),
    ("POST", GEMS, {"content": b"{", "headers": JSON}, 422),
    ("POST", GEMS, {"json": {"label": None}}, 422),
    ("POST", GEMS, {"json": {"label": "x" * 41}}, 422),
    ("POST", GEMS, {"json": {"label": "x", "mine": "y"}}, 409),
    ("GET", f"{GEMS}?x=1", {}, 422),
    ("GET", f"{GEMS}/x", {}, 422),
    ("GET", "/docs/..%2f..%2fapp.py", {}, 404),
]
TITLES = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
LEAKS = (
    "psycopg",
    "asyncpg",
    "pydantic",
    "constraint",
    "relation",
    "violates",
    "Traceback",
    "gems_",
)


def assert_shape(response: httpx.Response, status: int) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert list(body) == ["type", "title", "status", "detail", "instance", "request_id", "errors"]
    assert body["title"] == TITLES[status]
    assert body["type"] == "urn:assay:problem:" + TITLES[status].lower().replace(" ", "-")
    assert body["status"] == status
    assert body["detail"].endswith(".")
    assert body["instance"] == response.url.raw_path.decode().partition("?")[0]
    assert body["request_id"] == response.headers["x-request-id"]
    for error in body["errors"]:
        assert error["detail"].endswith(".")
        assert set(error) <= {"detail", "pointer", "parameter", "rule", "columns"}
        assert ("pointer" in error) != ("parameter" in error)
    assert not [leak for leak in LEAKS if leak in response.text]
    assert_headers(response)


def assert_headers(response: httpx.Response) -> None:
    headers = response.headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "server" not in headers


@pytest.mark.parametrize(
    ("method", "url", "body", "status"), CASES, ids=[f"{m} {u} {s}" for m, u, _, s in CASES]
)
async def test_b36_every_error_is_a_problem(
    editor: httpx.AsyncClient, method: str, url: str, body: dict[str, Any], status: int
) -> None:
    assert_shape(await editor.request(method, url, **body), status)


async def test_shape_of_401_and_403(nobody: httpx.AsyncClient, reader: httpx.AsyncClient) -> None:
    assert_shape(await nobody.get(GEMS), 401)
    assert_shape(await reader.delete(f"{GEMS}/{uuid4()}"), 403)


async def test_b39_a_success_has_the_headers_too(reader: httpx.AsyncClient) -> None:
    assert_headers(await reader.get(GEMS))


async def test_b32_405_names_all_methods_of_the_path(reader: httpx.AsyncClient) -> None:
    assert (await reader.request("TRACE", GEMS)).headers["allow"] == (
        "DELETE, GET, HEAD, PATCH, POST, PUT"
    )
    answer = await reader.post(f"{GEMS}/{uuid4()}")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH, PUT"
    assert (await reader.post("/live")).headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [("abc-123", True), ("x" * 65, False), ("", False), ("a b", False), ("a\tb", False)],
)
async def test_a_request_id_is_taken_over_if_it_is_harmless(
    reader: httpx.AsyncClient, given: str, is_taken: bool
) -> None:
    response = await reader.get(GEMS, headers={"X-Request-ID": given})
    assert (response.headers["x-request-id"] == given) == is_taken
    assert response.headers["x-request-id"]


async def test_b37_an_unexpected_exception_is_500_and_only_the_log_says_why(
    app: FastAPI,
    reader: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError("constraint of the relation")

    monkeypatch.setattr(app.state.database, "fetch_row", fail)
    with caplog.at_level(logging.ERROR):
        response = await reader.get(GEMS)
    assert_shape(response, 500)
    assert response.json()["request_id"] in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("23505", 409),
        ("23503", 409),
        ("23P01", 409),
        ("23514", 422),
        ("23502", 422),
        ("22003", 422),
        ("22021", 422),
        ("22P02", 422),
        ("54000", 422),
        ("55P03", 503),
        ("57P01", 503),
        ("57P03", 503),
        ("53300", 503),
        ("53100", 503),
        ("08006", 503),
        ("40001", 503),
        ("40P01", 503),
        ("42P01", 503),
        ("57014", 504),
        ("42501", 500),
        ("42601", 500),
        ("XX000", 500),
    ],
)
def test_b38_an_sqlstate_has_one_status(code: str, status: int) -> None:
    error = asyncpg.PostgresError.new({"C": code, "M": "constraint of the relation"})
    problem = problem_of(error, CATALOG)
    assert problem.status == status
    assert ("Retry-After" in problem.headers) == (status == 503)
    assert "relation" not in problem.detail


async def test_a_table_that_is_not_built_yet_is_503_and_says_so(
    reader: httpx.AsyncClient, database: psycopg.Connection[Any]
) -> None:
    database.execute("alter table curated.gems rename to elsewhere")
    try:
        response = await reader.get(GEMS)
    finally:
        database.execute("alter table curated.elsewhere rename to gems")
    assert_shape(response, 503)
    assert response.json()["detail"] == "This has not been built yet: run `assay build`."


async def test_a_bad_token_costs_no_connection(
    app: FastAPI, nobody: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a body that comes with it."""
    monkeypatch.setattr(Database, "fetch_row", None)
    assert app.state.database.fetch_row is None
    for method, url, body, status in CASES:
        if status in (413, 415) or url.endswith(("?x=1", "/x")) or body.get("content") == b"{":
            headers = {**body.get("headers", {}), "Authorization": "Bearer x.y.z"}
            answer = await nobody.request(method, url, **{**body, "headers": headers})
            assert answer.status_code == 401
