"""PostgreSQL fails under load: 503 or 504 meanwhile, then as before, and no edit is lost."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import psycopg
import pytest

from api.database import ACQUIRE_SECONDS, COMMAND_SECONDS, MAX_READERS
from tests.conftest import PATIENCE
from tests.faults.arena import PENDING, Arena
from tests.faults.conftest import Report
from tests.faults.storm import (
    Answer,
    Clients,
    assert_answered_well,
    assert_kept,
    clients_of,
    count_statuses,
)
from tests.faults.test_kill import start_build, wait_for_lock

REQUESTS_PER_SECOND = 50
ENDED_A_SECOND = 5
CALM_SECONDS = 1
RECOVERY_SECONDS = 60
"""After PostgreSQL has returned."""
LONGEST_WAIT = 2 * (ACQUIRE_SECONDS + COMMAND_SECONDS) + RECOVERY_SECONDS
"""A request reads who asks, then does its work; and machines are busy."""


@pytest.mark.parametrize("restarts", [3, pytest.param(2 * MAX_READERS, marks=pytest.mark.long)])
def test_a09_the_api_outlives_restarts_of_postgres(
    arena: Arena, report: Report, restarts: int
) -> None:
    answers, outages = asyncio.run(requests_beside_restarts(arena, restarts))
    assert_answered_well(answers)
    assert any(answer.status == 503 for answer in answers)
    kept = assert_kept(arena, answers)
    assert asyncio.run(slots_of_pool(arena)) == MAX_READERS
    report(f"{kept} acknowledged edits kept; statuses {count_statuses(answers)}")
    report(f"outages of {min(outages):.2f} to {max(outages):.2f} s")


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.long)])
def test_a10_the_api_outlives_the_end_of_its_backends(
    arena: Arena, report: Report, seconds: int
) -> None:
    """One by one, whatever they are doing."""
    answers, ended = asyncio.run(requests_beside_ended_backends(arena, seconds))
    assert ended == ENDED_A_SECOND * seconds
    assert_answered_well(answers)
    kept = assert_kept(arena, answers)
    assert asyncio.run(slots_of_pool(arena)) == MAX_READERS
    report(f"{ended} backends ended; {kept} edits kept; statuses {count_statuses(answers)}")


async def requests_beside_ended_backends(arena: Arena, seconds: int) -> tuple[list[Answer], int]:
    ended = 0
    async with clients_of(arena) as clients, requests_to(clients):
        while ended < ENDED_A_SECOND * seconds:
            ended += len(await asyncio.to_thread(arena.query, END_ONE))
            await asyncio.sleep(1 / ENDED_A_SECOND)
        await recovery(clients)
    return clients.answers, ended


@pytest.mark.parametrize("seconds", [3, pytest.param(20, marks=pytest.mark.long)])
def test_a17_the_api_outlives_a_pause_of_postgres(
    arena: Arena, report: Report, seconds: int
) -> None:
    """Its answers come late or are 503 or 504; what was done is done once."""
    (before,) = arena.query("select max(clock) as clock from journal.edits")
    answers = asyncio.run(requests_beside_pause(arena, seconds))
    assert_answered_well(answers, of_fault=(503, 504))
    longest = max(answer.seconds for answer in answers)
    # whoever asked in the first half of the pause waited for the second
    assert min(seconds, COMMAND_SECONDS) / 2 < longest < LONGEST_WAIT
    kept = assert_kept(arena, answers)
    assert arena.query(DONE_TWICE, before["clock"]) == []
    assert asyncio.run(slots_of_pool(arena)) == MAX_READERS
    report(f"{kept} edits kept; longest {longest:.1f} s; statuses {count_statuses(answers)}")


async def requests_beside_pause(arena: Arena, seconds: int) -> list[Answer]:
    async with clients_of(arena) as clients, requests_to(clients):
        await asyncio.sleep(CALM_SECONDS)
        with arena.paused_database():
            await asyncio.sleep(seconds)
        await recovery(clients)
    return clients.answers


@asynccontextmanager
async def requests_to(clients: Clients) -> AsyncIterator[None]:
    """Meanwhile; those that are under way at the end are answered."""
    is_over = asyncio.Event()
    requests = asyncio.create_task(keep_requesting(clients, is_over))
    yield
    is_over.set()
    await requests


def test_a09_a_build_is_tried_again(arena: Arena) -> None:
    """It ends with 5, as it is not to blame; the next one does its work."""
    load_id = arena.load_metabolites(range(100), "restarted")
    with closing(psycopg.connect(arena.url)) as writer:
        writer.execute("lock table curated.metabolites in row exclusive mode")
        build = start_build(arena)
        wait_for_lock(arena)
        arena.restart_database()
        assert build.wait(PATIENCE) == 5
    assert load_id in [row["load_id"] for row in arena.query(PENDING)]
    assert start_build(arena).wait(PATIENCE) == 0
    assert arena.query(PENDING) == []


async def requests_beside_restarts(arena: Arena, restarts: int) -> tuple[list[Answer], list[float]]:
    """Answers, and seconds from each crash to the last refusal."""
    outages = []
    async with clients_of(arena) as clients, requests_to(clients):
        for _ in range(restarts):
            await asyncio.sleep(CALM_SECONDS)
            crashed = time.monotonic()
            await asyncio.to_thread(arena.restart_database)
            outages.append(await recovery(clients) - crashed)
        await asyncio.sleep(CALM_SECONDS)
    return clients.answers, outages


async def keep_requesting(clients: Clients, is_over: asyncio.Event) -> None:
    """At the same rate whether or not there are answers."""
    begun = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in itertools.takewhile(lambda _: not is_over.is_set(), itertools.count()):
            tasks.create_task(clients.dice.choice(clients.everything)())
            due = begun + number / REQUESTS_PER_SECOND
            await asyncio.sleep(max(0, due - time.monotonic()))


async def recovery(clients: Clients) -> float:
    """When the last request was refused: wait until a second's requests are answered well."""
    returned = time.monotonic()
    while True:
        await asyncio.sleep(0.1)
        refused = (a.at for a in clients.answers if a.status in (503, 504))
        recovered = max(refused, default=returned)
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
        reads = [tasks.create_task(clients.read_book()) for _ in range(MAX_READERS)]
        most = 0
        # until all are there, or have waited as long as they may
        while most < MAX_READERS and not any(read.done() for read in reads):
            (row,) = await asyncio.to_thread(arena.query, WAITING)
            most = max(most, row["count"])
            await asyncio.sleep(0.05)
        await other.rollback()
    return most


WAITING = """
select count(*) from pg_stat_activity
where application_name = 'assay api' and wait_event_type = 'Lock'
"""
END_ONE = """
select pg_terminate_backend(pid) from (
    select pid from pg_stat_activity
    where application_name = 'assay api'
    order by random()
    limit 1
) as one
"""
# the mark of an edit is its own in a storm
DONE_TWICE = """
select key from journal.edits
where operation <> 'delete' and clock > %s
group by key, after ->> 'sample_value', after ->> 'page_count'
having count(*) > 1
"""
