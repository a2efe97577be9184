"""Writers, readers, loads and builds all at once: what was acknowledged stays."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from bench import generate
from tests.conftest import PATIENCE
from tests.faults.arena import Arena, new_arena, write_metabolites
from tests.faults.conftest import Report
from tests.faults.dbt import CURATED, WHOLE
from tests.faults.locks import Locks, watched_locks
from tests.faults.storm import (
    Answer,
    assert_answered_well,
    assert_kept,
    count_statuses,
    p99,
    reads,
    storm,
    writes,
)
from tests.faults.test_kill import LOADED_ONLY, start_loader

LOCK_TIMEOUT = 5
"""Of the API; see api/database.py."""


@dataclass(frozen=True)
class Size:
    """Of a storm: seconds without builds, then numbers of builds in two lanes."""

    calm: float
    builds: int
    full_refreshes: int


SHORT = Size(calm=1.5, builds=4, full_refreshes=2)
LONG = Size(calm=10, builds=20, full_refreshes=5)


def assert_refused_by_timeout_only(answers: list[Answer]) -> None:
    """Nobody is sent away who did not wait for the lock as long as the API lets him."""
    hasty = [a for a in answers if a.status == 503 and a.seconds < LOCK_TIMEOUT - 0.1]
    assert hasty == []


@pytest.mark.parametrize(
    "size", [SHORT, pytest.param(LONG, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_a20_no_edit_is_lost_in_a_storm(arena: Arena, report: Report, size: Size) -> None:
    """20 writers against loads of 1,000 rows and builds, two at a time, some of all history."""
    calm, busy, locks = asyncio.run(storm_of_builds(arena, size))
    answers = calm + busy
    assert_answered_well(answers)
    assert_refused_by_timeout_only(answers)
    assert locks.waiting_reads == []
    kept = assert_kept(arena, answers)
    arena.assert_history_agrees()
    report(f"{kept} acknowledged edits kept; statuses {count_statuses(answers)}")
    report(f"reads {p99(reads(calm))}; while {size.builds} builds ran {p99(reads(busy))}")
    report(f"writes {p99(writes(calm))}; while builds ran {p99(writes(busy))}")
    report(f"lock held at most {1000 * locks.seconds_held():.0f} ms")


async def storm_of_builds(arena: Arena, size: Size) -> tuple[list[Answer], list[Answer], Locks]:
    numbers = iter(range(size.builds))

    async def build_on(lane: int, command: tuple[str, ...]) -> None:
        # Whole builds wait for each other (`assay build` sees to it), as they make views;
        # builds of curated models may run beside them.
        for number in numbers:
            is_full = number < size.full_refreshes
            value = 10_000 * lane + number
            rows = range(100 * number, 100 * number + 1000)
            await asyncio.to_thread(arena.load_metabolites, rows, value)
            outcome = await asyncio.to_thread(
                arena.dbt.run,
                arena.url,
                *(*command, "--target-path", f"target/{lane}"),
                *(("--full-refresh",) if is_full else ()),
            )
            assert outcome.success, outcome.error

    with watched_locks(arena.url) as locks:
        async with storm(arena) as clients:
            await asyncio.sleep(size.calm)
            before = len(clients.answers)
            async with asyncio.TaskGroup() as lanes:
                lanes.create_task(build_on(1, WHOLE))
                lanes.create_task(build_on(2, CURATED))
    return clients.answers[:before], clients.answers[before:], locks


@pytest.mark.parametrize("processes", [2, pytest.param(8, marks=pytest.mark.long)])
def test_a24_processes_load_one_file_at_once(arena: Arena, processes: int) -> None:
    """One of them loads it; all are content."""
    file = write_metabolites(arena.folder / f"{processes} at once.csv", range(1000), processes)
    (before,) = arena.query(LOADED_ONLY)
    loaders = [start_loader(arena, file.name) for _ in range(processes)]
    assert [loader.wait(PATIENCE) for loader in loaders] == [0] * processes
    (after,) = arena.query(LOADED_ONLY)
    assert after == {"loads": before["loads"] + 1, "rows": before["rows"] + 1000}


def test_a_lock_is_noticed_by_nobody_but_writers_of_its_table(arena: Arena, report: Report) -> None:
    """A table that a build holds for longer than the API waits.

    How long the others take is the machine's affair: none of them is refused, and none waits for
    a lock.
    """
    held = LOCK_TIMEOUT + 1.5

    async def storm_of_one_lock() -> tuple[list[Answer], list[Answer]]:
        async with storm(arena) as clients:
            await asyncio.sleep(1)
            before = len(clients.answers)
            async with await psycopg.AsyncConnection.connect(arena.url) as build:
                await build.execute("lock table curated.metabolites in share row exclusive mode")
                await asyncio.sleep(held)
        return clients.answers[:before], clients.answers[before:]

    with watched_locks(arena.url) as locks:
        calm, busy = asyncio.run(storm_of_one_lock())
    assert any(answer.status == 503 for answer in writes(busy))
    assert_noticed_by_writers_only(calm, busy)
    assert {table for table, _, _ in locks.awaited} == {"metabolites"}
    assert locks.waiting_reads == []
    assert_kept(arena, calm + busy)
    report_beside_lock(report, calm, busy)


def assert_noticed_by_writers_only(calm: list[Answer], busy: list[Answer]) -> None:
    assert_answered_well(calm + busy)
    assert_refused_by_timeout_only(busy)
    others = reads(busy) + reads(busy, "books") + writes(busy, "books")
    assert_answered_well(others, of_fault=())


def report_beside_lock(report: Report, calm: list[Answer], busy: list[Answer]) -> None:
    report(f"statuses of writes to the table: {count_statuses(writes(busy))}")
    for what, choose in (("reads", reads), ("writes", writes)):
        for entity in ("metabolites", "books"):
            before, beside = choose(calm, entity), choose(busy, entity)
            report(f"{what} of {entity} {p99(before)}; beside the lock {p99(beside)}")


@pytest.mark.long
def test_edits_meet_a_build_that_writes_the_same_rows(arena: Arena, report: Report) -> None:
    """Rows that are new, and that people create while a build takes them from a file.

    So many that who waits for the build has waited for more than `deadlock_timeout`, and for
    less than `lock_timeout`, when the build comes to wait for him.
    """
    numbers = range(10_000, 110_000)
    arena.load_metabolites(numbers, "ND")

    async def storm_on_new_rows() -> list[Answer]:
        async with storm(arena, numbers=numbers[:300]) as clients:
            await asyncio.to_thread(arena.dbt.build, arena.url)
        return clients.answers

    answers = asyncio.run(storm_on_new_rows())
    assert_answered_well(answers)
    assert_refused_by_timeout_only(answers)
    kept = assert_kept(arena, answers)
    arena.assert_history_agrees()
    report(f"{kept} acknowledged edits kept; writes {p99(writes(answers))}")


@pytest.mark.long
def test_a_load_of_a_million_rows_is_noticed_by_writers_only(
    tmp_path: Path, report: Report
) -> None:
    """Into a built, empty table; the same rows again; other rows into the table that is full."""
    with new_arena(tmp_path, metabolites=0) as arena:
        first, others = tmp_path / "million.csv", tmp_path / "others.csv"
        generate.write(first, 1_000_000)
        others.write_text(generate.HEADER)
        with others.open("a", encoding="utf-8", newline="") as file:
            file.writelines(map(generate.row, range(1_000_000, 2_000_000)))
        for what, path in (
            ("a first load of 1,000,000 rows", first),
            ("the same rows again", first),
            ("1,000,000 other rows", others),
        ):
            arena.load(path, force=True)
            calm, busy, locks = asyncio.run(storm_of_one_build(arena))
            assert locks.waiting_reads == []
            assert_noticed_by_writers_only(calm, busy)
            assert_kept(arena, calm + busy)
            report(f"{what}: lock held {locks.seconds_held():.2f} s")
            report_beside_lock(report, calm, busy)
        arena.assert_history_agrees()


async def storm_of_one_build(arena: Arena) -> tuple[list[Answer], list[Answer], Locks]:
    """Edits of an empty table begin under the lock, so that it is empty when it is filled."""
    is_empty = not arena.query("select from curated.metabolites limit 1")
    begin = asyncio.Event()
    async with storm(arena, begin=begin) as clients:
        if not is_empty:
            begin.set()
        await asyncio.sleep(2)
        before = len(clients.answers)
        with watched_locks(arena.url) as locks:
            build = asyncio.create_task(asyncio.to_thread(arena.dbt.build, arena.url))
            while not (locks.held or build.done()):  # noqa: ASYNC110 - a thread looks
                await asyncio.sleep(0.01)
            begin.set()
            await build
    return clients.answers[:before], clients.answers[before:], locks
