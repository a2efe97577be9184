"""Requests beside builds and beside each other, on the real engine."""

import asyncio
from collections import Counter
from itertools import count
from typing import Any

import httpx
import psycopg
import pytest

from tests.api.conftest import GEMS, Served

pytestmark = pytest.mark.anyio

METABOLITES = "/api/v1/metabolites"


async def test_a22_columns_come_and_go_under_prepared_statements(
    editor: httpx.AsyncClient, database: psycopg.Connection[dict[str, Any]]
) -> None:
    """As when a build adds a column or gives one another type: each is answered as before."""
    row = (await editor.post(GEMS, json={"label": "a"})).json()
    url = f"{GEMS}/{row['gem_id']}"
    is_over = asyncio.Event()
    facets = count()
    statuses = Counter[int]()

    async def ask() -> None:
        while not is_over.is_set():
            for answer in (
                await editor.get(GEMS),
                await editor.get(url),
                await editor.patch(url, json={"facets": next(facets)}),
                await editor.get(f"{GEMS}?format=csv"),
            ):
                statuses[answer.status_code] += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(ask())
        changes = count()
        while next(changes) < 20 or statuses.total() < 80:
            for change in (
                "add column polish text",
                "alter column facets type bigint",
                "drop column polish",
                "alter column facets type integer",
            ):
                await asyncio.to_thread(database.execute, f"alter table curated.gems {change}")
                await asyncio.sleep(0.02)
        is_over.set()
    # 429: one export of a user at once
    assert set(statuses) <= {200, 429}


async def test_a27_of_two_rows_that_contradict_each_other_one_is_made(served: Served) -> None:
    """One feature by two methods, and one identifier of two features, at once: PostgreSQL says."""
    one = {"cas_number": "50-00-0", "method": "GC"}
    other = {"cas_number": "64-17-5", "method": "LC"}
    for number in range(10):
        feature = f"feature {number}"
        documents = [{"feature": feature, **one}, {"feature": feature, **other}]
        if number % 2:
            documents = [{"feature": f"{feature} {n}", **one} for n in (1, 2)]
        both = await asyncio.gather(*(served.editor.post(METABOLITES, json=d) for d in documents))
        assert sorted(answer.status_code for answer in both) == [201, 409]
        (refused,) = [answer.json() for answer in both if answer.status_code == 409]
        assert refused["errors"][0]["rule"]
        (made,) = [answer for answer in both if answer.status_code == 201]
        await served.editor.delete(made.headers["location"])
