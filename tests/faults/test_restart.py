"""PostgreSQL crashes under load: 503 meanwhile, then as before, and no edit is lost."""

import asyncio
import time

import psycopg
import pytest

from api.database import MAX_READERS
from tests.faults.arena import Arena
from tests.faults.conftest import Report
from tests.faults.storm import (
    Answer,
    Clients,
    assert_answered_well,
    assert_kept,
    clients_of,
    count_statuses,
)

REQUESTS_PER_SECOND = 50
CALM_SECONDS = 1
RECOVERY_SECONDS = 10
"""After PostgreSQL has returned."""


@pytest.mark.parametrize("restarts", [3, pytest.param(2 * MAX_READERS, marks=pytest.mark.long)])
def test_the_api_outlives_restarts_of_postgres(arena: Arena, report: Report, restarts: int) -> None:
    answers, outages = asyncio.run(requests_beside_restarts(arena, restarts))
    assert_answered_well(answers)
    assert any(answer.status == 503 for answer in answers)
    kept = assert_kept(arena, answers)
    assert asyncio.run(slots_of_pool(arena)) == MAX_READERS
    report(f"{kept} acknowledged edits kept; statuses {count_statuses(answers)}")
    report(f"outages of {min(outages):.2f} to {max(outages):.2f} s")


async def requests_beside_restarts(arena: Arena, restarts: int) -> tuple[list[Answer], list[float]]:
    """Answers, and seconds from each crash to the last refusal."""
    outages = []
    async with clients_of(arena) as clients:
        requests = asyncio.create_task(keep_requesting(clients))
        for _ in range(restarts):
            await asyncio.sleep(CALM_SECONDS)
            crashed = time.monotonic()
            await asyncio.to_thread(arena.restart_database)
            outages.append(await recovery(clients) - crashed)
        await asyncio.sleep(CALM_SECONDS)
        requests.cancel()
        await asyncio.gather(requests, return_exceptions=True)
    return clients.answers, outages


async def keep_requesting(clients: Clients) -> None:
    """At the same rate whether or not there are answers."""
    begun = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in range(10**9):
            tasks.create_task(clients.dice.choice(clients.everything)())
            due = begun + number / REQUESTS_PER_SECOND
            await asyncio.sleep(max(0, due - time.monotonic()))


async def recovery(clients: Clients) -> float:
    """When the last request was refused: wait until a second's requests are answered well."""
    returned = time.monotonic()
    while True:
        await asyncio.sleep(0.1)
        recovered = max((a.at for a in clients.answers if a.status == 503), default=returned)
        assert recovered - returned < RECOVERY_SECONDS
        if time.monotonic() > max(recovered, returned) + 1:
            return recovered


async def slots_of_pool(arena: Arena) -> int:
    """How many requests PostgreSQL works on at once: fewer than MAX_READERS if a slot is lost."""
    async with (
        clients_of(arena) as clients,
        await psycopg.AsyncConnection.connect(arena.url) as other,
        asyncio.TaskGroup() as tasks,
    ):
        await other.execute("lock table curated.books in access exclusive mode")
        for _ in range(MAX_READERS):
            tasks.create_task(clients.read_book())
        await asyncio.sleep(1)
        row = await (await other.execute(WAITING)).fetchone()
        await other.rollback()
    return int(row[0]) if row else 0


WAITING = """
select count(*) from pg_stat_activity
where application_name = 'assay api' and wait_event_type = 'Lock'
"""
