"""All faults at once, at random: every answer agrees with what happened."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.faults.arena import Arena
from tests.faults.conftest import Report
from tests.faults.dbt import CURATED, WHOLE, Death
from tests.faults.history import History, contradictions, history_of
from tests.faults.storm import (
    Answer,
    Edit,
    assert_answered_well,
    assert_kept,
    count_statuses,
    storm,
)
from tests.faults.sweep import wait_for_the_end
from tests.faults.test_restart import END_ONE

# no file has these
NUMBERS = range(500_000, 500_020)
SECONDS = float(os.environ.get("SECONDS", "300"))
SEED = int(os.environ.get("SEED", random.SystemRandom().randint(1, 2**31)))
SHORT_SEED = 22

Fault = Callable[[], Awaitable[object]]


@pytest.mark.parametrize(
    ("seed", "seconds", "once"),
    [(SHORT_SEED, 0, 3), pytest.param(SEED, SECONDS, 6, marks=pytest.mark.long)],
    ids=["short", "long"],
)
def test_a30_every_answer_agrees_with_history(
    arena: Arena, report: Report, seed: int, seconds: float, once: int
) -> None:
    """Edits and reads beside builds, while API, PostgreSQL and dbt are killed."""
    (begin,) = arena.query("select last_value as clock from journal.clock")
    answers, faults = asyncio.run(random_run(arena, random.Random(seed), seconds, once))
    assert_answered_well(answers, of_fault=(0, 503, 504))
    assert list(contradictions(history_of(arena, begin["clock"]), answers)) == [], f"SEED={seed}"
    arena.dbt.build(arena.url)
    kept = assert_kept(arena, answers)
    report(f"seed {seed}: {faults}; {kept} edits kept; statuses {count_statuses(answers)}")


async def random_run(
    arena: Arena, dice: random.Random, seconds: float, once: int
) -> tuple[list[Answer], list[str]]:
    """So many different faults, in any order, then any of them until the time is over."""

    async def kill_the_api() -> None:
        arena.api.kill()
        await asyncio.to_thread(wait_for_the_end, arena.url, "assay api")
        await asyncio.to_thread(arena.api.start)

    async def end_backends() -> None:
        for _ in range(10):
            await asyncio.to_thread(arena.query, END_ONE)
            await asyncio.sleep(0.05)

    async def restart_postgres() -> None:
        await asyncio.to_thread(arena.restart_database)

    async def pause_postgres() -> None:
        with arena.paused_database():
            await asyncio.sleep(1)

    async def build() -> None:
        value = dice.randrange(10**9)
        await asyncio.to_thread(arena.load_metabolites, range(100), value)
        full = dice.choice([(), ("--full-refresh",)])
        await asyncio.to_thread(arena.dbt.build, arena.url, *full)

    async def kill_dbt() -> None:
        death = Death(dice.randrange(1, 150), "inside")
        command = dice.choice([WHOLE, CURATED])
        await asyncio.to_thread(arena.dbt.run, arena.url, *command, death=death)
        await asyncio.to_thread(wait_for_the_end, arena.url, "dbt")

    every: list[Fault] = [
        kill_the_api,
        end_backends,
        restart_postgres,
        pause_postgres,
        build,
        kill_dbt,
    ]
    faults = dice.sample(every, once)
    played = []
    async with storm(arena, numbers=NUMBERS) as clients:
        deadline = time.monotonic() + seconds
        while faults or time.monotonic() < deadline:
            fault = faults.pop() if faults else dice.choice(every)
            played.append(fault.__name__)
            await fault()
            await asyncio.sleep(dice.uniform(0, 1))
    return clients.answers, played


ASKED = Answer("metabolites", Edit("metabolites", "k", 1), 201, None, seconds=1, at=2)
READ = Answer("metabolites", None, 200, None, seconds=1, at=4, key="/k", seen=1)
LATER = replace(ASKED, edit=Edit("metabolites", "k", 2), at=2.5)
HISTORY = History({1: 10, 2: 20}, {"k": [30]})


@pytest.mark.parametrize(
    ("history", "answers", "complaints"),
    [
        (HISTORY, [ASKED, READ], 0),
        (HISTORY, [replace(ASKED, status=503)], 0),
        (HISTORY, [replace(ASKED, status=409)], 1),
        (History({}, {}), [replace(ASKED, status=0)], 0),
        (History({}, {}), [ASKED], 1),
        (HISTORY, [ASKED, LATER, READ], 1),
        (HISTORY, [ASKED, LATER, replace(READ, seen=2)], 0),
        (HISTORY, [ASKED, LATER, replace(READ, status=404, seen=None)], 0),
        (History({1: 10, 2: 20}, {"k": [15]}), [LATER, replace(READ, status=404)], 1),
        # begun before the answer to the edit
        (HISTORY, [ASKED, LATER, replace(READ, seconds=2)], 0),
    ],
)
def test_contradictions_are_found(history: History, answers: list[Answer], complaints: int) -> None:
    history.deletions.setdefault("k", [])
    assert len(list(contradictions(history, answers))) == complaints
