"""PostgreSQL crashes under load: 503 meanwhile, then as before, and no edit is lost."""

import asyncio
import statistics
import time

import psycopg
import pytest

from api.database import MAX_SIZE
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


@pytest.mark.parametrize("restarts", [3, pytest.param(2 * MAX_SIZE, marks=pytest.mark.long)])
def test_the_api_outlives_restarts_of_postgres(arena: Arena, report: Report, restarts: int) -> None:
    answers, recoveries = asyncio.run(requests_beside_restarts(arena, restarts))
    assert_answered_well(answers)
    assert any(answer.status == 503 for answer in answers)
    kept = assert_kept(arena, answers)
    assert asyncio.run(slots_of_pool(arena)) == MAX_SIZE
    report(f"{kept} acknowledged edits kept; statuses {count_statuses(answers)}")
    report(
        f"recovered within {max(recoveries):.2f} s of PostgreSQL's return,"
        f" median {statistics.median(recoveries):.2f} s"
    )


async def requests_beside_restarts(arena: Arena, restarts: int) -> tuple[list[Answer], list[float]]:
    """Answers, and seconds from each return of PostgreSQL to the last refusal."""
    recoveries = []
    async with clients_of(arena) as clients:
        requests = asyncio.create_task(keep_requesting(clients))
        for _ in range(restarts):
            await asyncio.sleep(CALM_SECONDS)
            await asyncio.to_thread(arena.restart_database)
            recoveries.append(await recovery(clients))
        await asyncio.sleep(CALM_SECONDS)
        requests.cancel()
        await asyncio.gather(requests, return_exceptions=True)
    return clients.answers, recoveries


async def keep_requesting(clients: Clients) -> None:
    """At the same rate whether or not there are answers."""
    begun = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in range(10**9):
            tasks.create_task(clients.dice.choice(clients.everything)())
            due = begun + number / REQUESTS_PER_SECOND
            await asyncio.sleep(max(0, due - time.monotonic()))


async def recovery(clients: Clients) -> float:
    """Wait until a second's requests are answered well; how long it was until then."""
    returned = time.monotonic()
    while time.monotonic() < returned + RECOVERY_SECONDS + 2:
        await asyncio.sleep(0.1)
        refused = [a.at for a in clients.answers if a.at > returned and a.status == 503]
        recovered = max(refused, default=returned)
        assert recovered - returned < RECOVERY_SECONDS
        if time.monotonic() > recovered + 1:
            return recovered - returned
    pytest.fail("the API did not recover")


async def slots_of_pool(arena: Arena) -> int:
    """How many requests PostgreSQL works on at once: fewer than MAX_SIZE if a slot is lost."""
    async with (
        clients_of(arena) as clients,
        await psycopg.AsyncConnection.connect(arena.url) as other,
        asyncio.TaskGroup() as tasks,
    ):
        await other.execute("lock table curated.books in access exclusive mode")
        for _ in range(MAX_SIZE):
            tasks.create_task(clients.read_book())
        await asyncio.sleep(1)
        row = await (await other.execute(WAITING)).fetchone()
        await other.rollback()
    return int(row[0]) if row else 0


WAITING = """
select count(*) from pg_stat_activity
where application_name = 'assay api' and wait_event_type = 'Lock'
"""
