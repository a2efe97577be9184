"""Writers, readers, loads and builds all at once: what was acknowledged stays."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from bench import generate
from tests.faults.arena import Arena, new_arena
from tests.faults.conftest import Report
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

LOCK_TIMEOUT = 5
"""Of the API; see api/database.py."""
WHOLE = ("build", "--exclude-resource-type", "unit_test")
CURATED = ("run", "--select", "config.materialized:curated")


@dataclass(frozen=True)
class Size:
    """Of a storm: seconds without builds, then numbers of builds in two lanes."""

    calm: float
    builds: int
    full_refreshes: int


SHORT = Size(calm=2, builds=4, full_refreshes=2)
LONG = Size(calm=10, builds=20, full_refreshes=5)


def assert_refused_by_timeout_only(answers: list[Answer]) -> None:
    """Nobody is sent away who did not wait for the lock as long as the API lets him."""
    hasty = [a for a in answers if a.status == 503 and a.seconds < LOCK_TIMEOUT - 0.1]
    assert hasty == []


@pytest.mark.parametrize("size", [SHORT, pytest.param(LONG, marks=pytest.mark.long)], ids=str)
def test_no_edit_is_lost_in_a_storm(arena: Arena, report: Report, size: Size) -> None:
    """20 writers against loads of 1,000 rows and builds, two at a time, some of them from history."""
    began = asyncio.run(storm_of_builds(arena, size))
    calm, busy, locks = began
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
        # `assay build` has them wait for each other; of a model alone they may be simultaneous
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
