"""kill -9 of everything, everywhere: the next plain run finishes the work."""

import asyncio
import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from assay.catalog import read_catalog
from tests.conftest import PATIENCE, leave_out_datasets, long
from tests.e2e.conftest import copy_project
from tests.faults.arena import (
    PENDING,
    Arena,
    environment,
    key_of,
    metabolite,
    new_arena,
    prepare,
    write_metabolites,
)
from tests.faults.conftest import Report
from tests.faults.dbt import CURATED, Death, Moment, warm_dbt
from tests.faults.storm import (
    Answer,
    assert_answered_well,
    assert_kept,
    count_statuses,
    storm,
)
from tests.faults.sweep import DATABASE, Sweep, wait_for_the_end

MOMENTS: tuple[Moment, ...] = ("before", "inside", "after")
SCENARIOS = ("first", "next", "history")


@pytest.fixture(scope="session")
def new_sweep(
    tmp_path_factory: pytest.TempPathFactory, create_database: Callable[..., str]
) -> Iterator[Callable[[bool], Sweep]]:
    folder = tmp_path_factory.mktemp("sweep")
    copy_project(folder)
    leave_out_datasets(folder)
    with warm_dbt(folder, create_database(name=DATABASE)) as dbt:
        catalog = read_catalog(folder / "target" / "manifest.json")
        prepare(create_database(name="prepared"), catalog)
        yield lambda is_whole: Sweep(dbt, catalog, folder, create_database, is_whole)


@pytest.mark.parametrize("name", ["next", *long("first", "history")])
def test_a05_dbt_dies_at_some_statements(
    new_sweep: Callable[[bool], Sweep], report: Report, name: str
) -> None:
    """Spread over those of a curated model."""
    sweep = new_sweep(False)
    scenario = getattr(sweep, name)()
    deaths = [
        Death(1 + len(scenario.statements) * (place + 1) // 4, moment)
        for place, moment in enumerate(MOMENTS)
    ]
    for death in deaths:
        assert sweep.try_death(scenario, death, refresh=death == deaths[-1]), death
    report(f"died at {len(deaths)} of {len(scenario.statements)} statements")


def test_a06_dbt_dies_after_a_commit_of_a_model(
    new_sweep: Callable[[bool], Sweep], report: Report
) -> None:
    """What it committed stands, and the next run goes on from there."""
    sweep = new_sweep(False)
    scenario = sweep.next()
    commits = [n for n, said in enumerate(scenario.statements, 1) if said.lower() == "commit"]
    for number in (commits[len(commits) // 2], commits[-1]):
        assert sweep.try_death(scenario, Death(number, "after"), refresh=False)
    report(f"died after 2 of {len(commits)} commits")


def test_a05_nobody_notices_that_dbt_dies(arena: Arena, report: Report) -> None:
    """Neither readers nor writers: each is answered as without it."""
    answers = asyncio.run(storm_of_deaths(arena))
    assert_answered_well(answers, of_fault=())
    arena.dbt.build(arena.url)
    assert arena.query(PENDING) == []
    kept = assert_kept(arena, answers)
    report(f"{kept} acknowledged edits kept; statuses {count_statuses(answers)}")


async def storm_of_deaths(arena: Arena) -> list[Answer]:
    await asyncio.to_thread(arena.load_metabolites, range(1000, 2000), "dying")
    async with storm(arena) as clients:
        for number in (40, 60, 80):
            death = Death(number, "inside")
            outcome = await asyncio.to_thread(arena.dbt.run, arena.url, *CURATED, death=death)
            assert outcome.died
            await asyncio.to_thread(wait_for_the_end, arena.url, "dbt")
    return clients.answers


@pytest.mark.long
@pytest.mark.parametrize(
    ("is_whole", "moment"),
    # after a statement is before the next one, so the whole build is swept once only
    [(False, "before"), (False, "inside"), (False, "after"), (True, "after")],
    ids=["curated-before", "curated-inside", "curated-after", "whole-after"],
)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a05_dbt_dies_at_each_statement(
    new_sweep: Callable[[bool], Sweep], report: Report, name: str, moment: Moment, is_whole: bool
) -> None:
    """The whole sweep, until a run is untouched."""
    sweep = new_sweep(is_whole)
    scenario = getattr(sweep, name)()
    numbers = itertools.count(1)
    last = next(n for n in numbers if not sweep.try_death(scenario, Death(n, moment)))
    assert last > len(scenario.statements)
    report(f"died at each of {last - 1} statements")


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.long)])
def test_the_api_dies_in_a_storm(arena: Arena, report: Report, kills: int) -> None:
    """What it had answered is there, what it had not is done or not, and its locks are gone."""
    answers = asyncio.run(storm_of_kills(arena, kills))
    assert_answered_well(answers, of_fault=(0,))
    kept = assert_kept(arena, answers)
    arena.assert_history_agrees()
    report(f"{kept} acknowledged edits kept; statuses {count_statuses(answers)}")


def test_a28_an_answer_that_was_lost_is_given_again(arena: Arena) -> None:
    """The API dies between the effect and its answer; the same request is then done once."""
    headers = arena.api.headers()

    def create(number: int) -> httpx.Response:
        key = {"Idempotency-Key": f"number-{number}"}
        return client.post("/api/v1/metabolites", json=metabolite(number), headers=headers | key)

    with (
        httpx.Client(base_url=arena.api.url, timeout=PATIENCE) as client,
        ThreadPoolExecutor() as pool,
    ):
        # once it is prepared, a statement is sent whole
        assert create(700_001).status_code == 201
        with psycopg.connect(arena.url) as lock:
            lock.execute("lock table curated.metabolites in share row exclusive mode")
            lost = pool.submit(create, 700_000)
            wait_for_lock(arena)
            arena.api.kill()
            with pytest.raises(httpx.TransportError):
                lost.result()
        wait_for_the_end(arena.url, "assay api")
        rows = "select from journal.edits where key = %s"
        assert len(arena.query(rows, key_of(700_000))) == 1
        arena.api.start()
        again, once_more = create(700_000), create(700_000)
        assert again.status_code == 201
        assert again.json()["metabolite_id"] == key_of(700_000)
        assert (once_more.status_code, once_more.content) == (201, again.content)
    assert len(arena.query(rows, key_of(700_000))) == 1


def wait_for_lock(arena: Arena) -> None:
    deadline = time.monotonic() + PATIENCE
    while not arena.query("select from pg_locks where locktype = 'relation' and not granted"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def storm_of_kills(arena: Arena, kills: int) -> list[Answer]:
    async with storm(arena) as clients:
        for _ in range(kills):
            await asyncio.sleep(1)
            arena.api.kill()
            await asyncio.to_thread(wait_for_the_end, arena.url, "assay api")
            await asyncio.to_thread(arena.api.start)
        await asyncio.sleep(1)
    return clients.answers


def test_a01_the_loader_dies_in_a_copy(arena: Arena, report: Report) -> None:
    kill_loaders(arena, report, 50_000, (0, 0.3))


@pytest.mark.long
def test_a01_the_loader_dies_in_a_large_copy(tmp_path: Path, report: Report) -> None:
    with new_arena(tmp_path, metabolites=0) as arena:
        kill_loaders(arena, report, 1_000_000, (0, 0.2, 0.4, 0.6, 0.8))


def kill_loaders(arena: Arena, report: Report, rows: int, shares: tuple[float, ...]) -> None:
    """At some shares of a file: nothing of it is seen until it is loaded again."""
    file = write_metabolites(arena.folder / f"{rows} rows.csv", range(rows), "NA")
    (before,) = arena.query(LOADED)
    for share in shares:
        with no_load_ends(arena):
            loader = start_loader(arena, file.name)
            copied = wait_for_copied(arena, loader, int(rows * share))
            loader.kill()
            loader.wait()
        wait_for_the_end(arena.url, application="")
        assert arena.query(LOADED) == [before], f"it had come to {copied} rows"
        report(f"died after {copied} of {rows} rows")
    assert start_loader(arena, file.name).wait(PATIENCE) == 0
    (after,) = arena.query(LOADED)
    assert after == {"loads": before["loads"] + 1, "rows": before["rows"] + rows}
    arena.assert_history_agrees()


def start_loader(arena: Arena, *files: str, **variables: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "assay", "load", *files],
        cwd=arena.folder,
        env=environment(**variables),
        stdout=subprocess.DEVNULL,
    )


def start_build(arena: Arena) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "assay", "build"],
        cwd=arena.folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
    )


@contextmanager
def no_load_ends(arena: Arena) -> Iterator[None]:
    """Meanwhile each load waits at its end, so that whoever is slow still finds it under way."""
    with psycopg.connect(arena.url) as connection:
        connection.execute("select pg_advisory_xact_lock(hashtextextended('journal.clock', 0))")
        yield


def wait_for_copied(arena: Arena, loader: subprocess.Popen[bytes], rows: int) -> int:
    """How far the loader is when PostgreSQL has taken more than so many rows from it, or all."""
    with psycopg.connect(arena.url, autocommit=True) as connection:
        while loader.poll() is None:
            found = connection.execute(COPIED).fetchone()
            if found and found[0] > rows:
                return int(found[0])
            if connection.execute(AT_ITS_END).fetchone():
                return rows
            time.sleep(0.001)
    pytest.fail("the loader ended by itself")


COPIED = """
select tuples_processed from pg_stat_progress_copy where datname = current_database()
"""
AT_ITS_END = """
select from pg_stat_activity
where datname = current_database() and wait_event = 'advisory' and application_name = ''
"""
LOADED = """
select
    (select count(*) from raw.loads) as loads,
    (select count(*) from raw.laboratory__metabolites) as rows
"""
LOADED_ONLY = """
select
    (select count(*) from raw.loads where state = 'loaded') as loads,
    (select count(*) from raw.laboratory__metabolites) as rows
"""
