"""A network that fails between the API and PostgreSQL: 503 or 504, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from api import database as module
from tests.api.conftest import GEMS
from tests.api.test_database import pool_of
from tests.conftest import PATIENCE
from tests.proxy import Proxy, Toxic, proxied

pytestmark = pytest.mark.anyio

SLOW = (Toxic("latency", 0.02), Toxic("bandwidth", 50_000), Toxic("slicer"), Toxic("slow_close", 1))
CUT = (
    Toxic("down"),
    Toxic("timeout", 0.1),
    Toxic("timeout", 60),
    Toxic("reset_peer"),
    Toxic("limit_data", 2000),
    # what was asked for is done, and nobody is told
    Toxic("reset_peer", after=(b"insert into",)),
)


@pytest.fixture
async def network(
    app: FastAPI, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Proxy]:
    """The way of the application to PostgreSQL; whom nothing answers waits less than in earnest."""
    for name in ("CONNECT_SECONDS", "COMMAND_SECONDS", "ACQUIRE_SECONDS"):
        monkeypatch.setattr(module, name, 1.0)
    with proxied(database_url) as proxy:
        async with pool_of(app, proxy.url):
            yield proxy


async def create(editor: httpx.AsyncClient, label: str) -> tuple[str, int]:
    response = await editor.post(GEMS, json={"label": label})
    if response.status_code == 503:
        assert int(response.headers["retry-after"]) > 0
    return label, response.status_code


async def labels(editor: httpx.AsyncClient) -> set[str]:
    answer = await editor.get(GEMS, params={"limit": 100})
    assert answer.status_code == 200
    return {item["label"] for item in answer.json()["items"]}


@pytest.mark.parametrize("toxic", SLOW, ids=lambda toxic: toxic.name)
async def test_a_slow_network_only_takes_time(
    editor: httpx.AsyncClient, network: Proxy, toxic: Toxic
) -> None:
    network.toxic = toxic
    done = await asyncio.gather(*(create(editor, f"slow {n}") for n in range(8)))
    assert {status for _, status in done} == {201}
    assert await labels(editor) == {label for label, _ in done}


@pytest.mark.parametrize("toxic", CUT, ids=lambda toxic: f"{toxic.name} {toxic.amount}")
async def test_a_network_that_is_cut_is_503_or_504(
    editor: httpx.AsyncClient,
    network: Proxy,
    database: psycopg.Connection[dict[str, Any]],
    toxic: Toxic,
) -> None:
    """What was acknowledged is there, what is there was asked for once, and the pool is whole."""
    # A connection that has prepared the statement would send its text no more.
    done = [] if toxic.after else [await create(editor, "before")]
    network.toxic = toxic
    first = len(done)
    done += await asyncio.gather(*(create(editor, f"cut {n}") for n in range(20)))
    assert {status for _, status in done[first:]} <= {201, 503, 504}
    assert {status for _, status in done} & {503, 504}
    network.toxic = None
    async with asyncio.timeout(PATIENCE):
        while (await create(editor, "after"))[1] not in (201, 409):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    found = await labels(editor)
    assert {label for label, status in done if status == 201} <= found
    assert found <= {label for label, _ in done} | {"after"}
    edits = "select key from journal.edits group by key having count(*) > 1"
    assert database.execute(edits).fetchall() == []
    async with asyncio.timeout(PATIENCE):
        reads = await asyncio.gather(*(editor.get(GEMS) for _ in range(40)))
    assert {read.status_code for read in reads} == {200}
