"""What settings make of the envelope: origins, proxies, operators, how many requests at once."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from api import body
from api.app import create_app
from api.security import Tokens
from assay.settings import Settings
from tests.api.conftest import CATALOG, GEMS, client_of
from tests.api.test_errors import assert_headers, assert_shape

pytestmark = pytest.mark.anyio

PAGE = "https://example.org"
LOGIN = "/api/v1/auth/login"


@asynccontextmanager
async def served(settings: Settings, **changes: object) -> AsyncIterator[FastAPI]:
    """The application with other settings."""
    app = create_app(Settings(**(settings.model_dump() | changes)), CATALOG)
    async with app.router.lifespan_context(app):
        yield app


async def test_b39_only_https_is_promised_for_later(app: FastAPI) -> None:
    """RFC 6797, 7.2: a plain answer says nothing of it."""
    async with client_of(app) as client:
        assert "strict-transport-security" not in (await client.get("/live")).headers
        answer = await client.get("https://localhost:8000/live")
    assert answer.headers["strict-transport-security"] == "max-age=63072000"
    assert_headers(answer)


async def test_b40_no_page_elsewhere_may_ask(nobody: httpx.AsyncClient) -> None:
    """Unless the settings name its origin."""
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}
    answer = await nobody.get("/live", headers={"Origin": PAGE})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    refused = await nobody.options(GEMS, headers=asked)
    assert refused.status_code == 405
    assert not [name for name in refused.headers if name.startswith("access-control")]


async def test_b40_pages_of_exact_origins_may_ask(settings: Settings) -> None:
    """Errors can be read there too, and no credentials are taken."""
    async with served(settings, cors_origins=(PAGE,)) as app, client_of(app) as client:
        answer = await client.get(GEMS, headers={"Origin": PAGE})
        assert answer.status_code == 401
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "origin" in answer.headers["vary"].lower()
        assert "ETag" in answer.headers["access-control-expose-headers"]
        asked = {"Origin": PAGE, "Access-Control-Request-Method": "PATCH"}
        before = await client.options(f"{GEMS}/x", headers=asked)
        assert before.status_code == 204
        assert "PATCH" in before.headers["access-control-allow-methods"]
        assert "If-Match" in before.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in before.headers
        assert_headers(before)
        for other in ("https://example.org.evil", "http://example.org", "null", ""):
            for refused in (
                await client.get("/live", headers={"Origin": other}),
                await client.options(GEMS, headers=asked | {"Origin": other}),
            ):
                assert "access-control-allow-origin" not in refused.headers
                assert refused.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "origins", ["*", "https://*.example.org", "example.org", "https://example.org/", "null"]
)
def test_b40_an_origin_is_exact(settings: Settings, origins: str) -> None:
    """The API does not start with others."""
    with pytest.raises(ValueError, match=r"is refused"):
        Settings(**(settings.model_dump() | {"cors_origins": origins}))


def test_lists_of_settings_are_parted_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example, http://localhost:3000")
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.0/8,::1")
    settings = Settings()
    assert settings.cors_origins == ("https://a.example", "http://localhost:3000")
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "::1/128"]


@pytest.mark.parametrize("networks", ["*", "0.0.0.0/0", "::/0", "10.0.0.1/8", "proxy"])
@pytest.mark.parametrize("name", ["trusted_proxies", "operator_addresses"])
def test_b35_not_everybody_is_a_proxy(settings: Settings, name: str, networks: str) -> None:
    """Nor an operator."""
    with pytest.raises(ValueError, match=name):
        Settings(**(settings.model_dump() | {name: networks}))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.0.0.7", "198.51.100.9", "198.51.100.9"),
        ("10.0.0.7", "203.0.113.5, 198.51.100.9", "198.51.100.9"),
        ("10.0.0.7", "203.0.113.5, 198.51.100.9, 10.0.0.8", "198.51.100.9"),
        ("192.0.2.1", "198.51.100.9", "192.0.2.1"),
    ],
)
async def test_b35_only_named_proxies_say_for_whom_they_ask(
    settings: Settings, caplog: pytest.LogCaptureFixture, peer: str, forwarded: str, address: str
) -> None:
    """The last address that is not a proxy's: what stands before it anybody may write."""
    headers = {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https"}
    with caplog.at_level(logging.INFO, "api.access"):
        async with (
            served(settings, trusted_proxies="10.0.0.0/8") as app,
            client_of(app, client=(peer, 5000)) as client,
        ):
            answer = await client.get("/live", headers=headers)
    assert vars(caplog.records[-1])["address"] == address
    assert ("strict-transport-security" in answer.headers) == (peer != address)


async def test_b35_nobody_is_believed_by_default(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a proxy in the settings the peer is the client."""
    async with client_of(app, client=("127.0.0.1", 5000)) as client:
        with caplog.at_level(logging.INFO, "api.access"):
            await client.get("/live", headers={"X-Forwarded-For": "198.51.100.9"})
    assert vars(caplog.records[-1])["address"] == "127.0.0.1"


@pytest.mark.parametrize("url", ["/metrics", "/openapi.json", "/docs"])
async def test_b41_operators_read_the_pages_from_elsewhere(settings: Settings, url: str) -> None:
    """Those whose addresses the settings name, and nobody else."""
    async with served(settings, operator_addresses="10.1.2.0/24") as app:
        for address, status in (("10.1.2.3", 200), ("::ffff:10.1.2.3", 200), ("10.1.3.3", 404)):
            async with client_of(app, client=(address, 5000)) as client:
                headers = {"Host": "assay.example.org"}
                assert (await client.get(url, headers=headers)).status_code == status
                headers["X-Forwarded-For"] = "10.1.2.3"
                assert (await client.get(url, headers=headers)).status_code == 404


async def test_b41_operators_are_known_behind_a_proxy(settings: Settings) -> None:
    """By the address that a proxy of the settings names."""
    names = {"operator_addresses": "10.1.2.0/24", "trusted_proxies": "10.1.2.9"}
    async with (
        served(settings, **names) as app,
        client_of(app, client=("10.1.2.9", 5000)) as client,
    ):
        for address, status in (("10.1.2.3", 200), ("198.51.100.9", 404)):
            answer = await client.get("/metrics", headers={"X-Forwarded-For": address})
            assert answer.status_code == status


async def test_b31_a_body_that_does_not_come_is_408(
    editor: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the connection is closed, since the rest may still come."""
    monkeypatch.setattr(body, "PATIENCE_SECONDS", 0.2)

    async def stalling() -> AsyncIterator[bytes]:
        yield b'{"label": '
        await asyncio.Event().wait()

    headers = {"Content-Type": "application/json"}
    answer = await editor.post(GEMS, content=stalling(), headers=headers)
    assert (answer.status_code, answer.json()["title"]) == (408, "Request Timeout")
    assert answer.headers["connection"] == "close"


async def test_b31_a_body_that_comes_steadily_has_time(
    editor: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte that comes gives it more."""
    monkeypatch.setattr(body, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(body, "SLOWEST", 1)

    async def slow() -> AsyncIterator[bytes]:
        yield b'{"label": '
        await asyncio.sleep(0.5)
        yield b'"a"}'

    headers = {"Content-Type": "application/json"}
    assert (await editor.post(GEMS, content=slow(), headers=headers)).status_code == 201


async def test_b45_more_requests_than_it_can_answer_are_503(
    settings: Settings, users: dict[str, UUID], tokens: Tokens, database_url: str
) -> None:
    """At once, while those before are answered; and it is still alive."""
    async with (
        served(settings, max_requests=2) as app,
        client_of(app, tokens.issue(users["reader"])) as client,
    ):
        with psycopg.connect(database_url) as lock:
            lock.execute("lock table curated.gems in access exclusive mode")
            waiting = [asyncio.create_task(client.get(GEMS)) for _ in range(2)]
            await until_waiting(database_url, 2)
            assert_shape(await client.get("/api/v1/users/me"), 503)
            answer = await client.get(GEMS)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            assert (await client.get("/live")).status_code == 200
        assert [(await task).status_code for task in waiting] == [200, 200]
        assert (await client.get(GEMS)).status_code == 200


async def until_waiting(url: str, many: int) -> None:
    waiting = """
        select 1 from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'
    """
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(waiting).rowcount < many:  # noqa: ASYNC110 - PostgreSQL's event
            await asyncio.sleep(0.02)


async def test_a_line_per_request_names_no_values(
    editor: httpx.AsyncClient, users: dict[str, UUID], caplog: pytest.LogCaptureFixture
) -> None:
    """Route, status, time and user; neither query nor path nor body nor token."""
    with caplog.at_level(logging.INFO):
        await editor.post(f"{GEMS}/sensitive?sensitive=1", json={"label": "sensitive"})
        await editor.get(f"{GEMS}?label=sensitive")
        await editor.get("/sensitive")
    lines: list[dict[str, Any]] = [vars(r) for r in caplog.records if r.name == "api.access"]
    assert [(line["route"], line["status"]) for line in lines] == [
        (f"{GEMS}/{{key}}", 405),
        (GEMS, 200),
        ("none", 404),
    ]
    assert lines[1]["user_id"] == users["editor"]
    assert lines[1]["milliseconds"] > 0
    token = editor.headers["authorization"].removeprefix("Bearer ")
    for line in lines:
        assert not {"sensitive", token} & set(str(list(line.values())).split())
        assert "sensitive" not in repr(line)
