"""SIGTERM and SIGINT end a command as people expect, wherever it is."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.conftest import PATIENCE
from tests.faults.arena import PENDING, Arena, environment, write_metabolites
from tests.faults.conftest import Report
from tests.faults.sweep import wait_for_the_end
from tests.faults.test_kill import (
    LOADED,
    LOADED_ONLY,
    no_load_ends,
    start_build,
    start_loader,
    wait_for_copied,
    wait_for_lock,
)

ROWS = 50_000
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
WORKER = """
select pid from pg_stat_activity
where
    datname = current_database() and application_name = '' and state = 'active'
    and pid <> pg_backend_pid()
"""
LAST_ERROR = "select error from raw.loads order by load_id desc limit 1"


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a04_a_signal_ends_a_build(arena: Arena, number: signal.Signals) -> None:
    """One that waits for a table, like any other; the next one does its work."""
    load_id = arena.load_metabolites(range(100), f"build {number.name}")
    with psycopg.connect(arena.url) as writer:
        writer.execute("lock table curated.metabolites in row exclusive mode")
        build = start_build(arena)
        wait_for_lock(arena)
        build.send_signal(number)
        assert build.wait(PATIENCE) == CODES[number]
    wait_for_the_end(arena.url, application="dbt")
    assert load_id in [row["load_id"] for row in arena.query(PENDING)]
    arena.dbt.build(arena.url)
    assert arena.query(PENDING) == []


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a04_a_signal_takes_a_load_back(arena: Arena, number: signal.Signals) -> None:
    """It leaves a record that says so, and nothing in the temporary folder."""
    temporary = arena.folder / number.name
    temporary.mkdir()
    file = write_metabolites(arena.folder / f"{number.name}.csv", range(ROWS), number.value)
    (before,) = arena.query(LOADED)
    with no_load_ends(arena):
        loader = start_loader(arena, file.name, TMPDIR=str(temporary))
        wait_for_copied(arena, loader, ROWS // 4)
        loader.send_signal(number)
        assert loader.wait(PATIENCE) == CODES[number]
    wait_for_the_end(arena.url, application="")
    assert arena.query(LOADED) == [{**before, "loads": before["loads"] + 1}]
    assert arena.query(LAST_ERROR) == [{"error": f"{file.name}: the load was interrupted."}]
    assert list(temporary.iterdir()) == []
    assert start_loader(arena, file.name).wait(PATIENCE) == 0
    assert arena.query(LOADED) == [
        {"loads": before["loads"] + 2, "rows": before["rows"] + ROWS},
    ]


def test_a04_a_second_signal_waits_for_nothing(arena: Arena) -> None:
    """PostgreSQL does not answer, so the load cannot be taken back."""
    file = write_metabolites(arena.folder / "second.csv", range(ROWS), "second")
    (before,) = arena.query(LOADED)
    with no_load_ends(arena):
        loader = start_loader(arena, file.name)
        wait_for_copied(arena, loader, 1000)
        with stopped_worker(arena):
            loader.terminate()
            time.sleep(0.5)
            assert loader.poll() is None
            loader.terminate()
            # a shell says 143
            assert loader.wait(PATIENCE) == -signal.SIGTERM
    wait_for_the_end(arena.url, application="")
    assert arena.query(LOADED) == [before]


@contextmanager
def stopped_worker(arena: Arena) -> Iterator[None]:
    """The backend of the loader stands still."""
    (row,) = arena.query(WORKER)
    os.kill(row["pid"], signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(row["pid"], signal.SIGCONT)


@pytest.mark.parametrize(
    ("number", "stride"),
    [
        (signal.SIGTERM, 12),
        (signal.SIGKILL, 12),
        pytest.param(signal.SIGTERM, 1, marks=pytest.mark.long),
        pytest.param(signal.SIGKILL, 1, marks=pytest.mark.long),
    ],
)
def test_a02_a_signal_at_each_step_of_a_load(
    arena: Arena, report: Report, tmp_path: Path, number: signal.Signals, stride: int
) -> None:
    """The file is loaded or not, and is loaded once in the end."""
    for step in itertools.count(1, stride):
        value = f"{number.name} {stride} {step}"
        file = write_metabolites(tmp_path / f"{value}.csv", range(ROWS // 50), value)
        (before,) = arena.query(LOADED_ONLY)
        code = end_at_step(arena, step, number, file)
        wait_for_the_end(arena.url, application="")
        (after,) = arena.query(LOADED_ONLY)
        whole = {"loads": before["loads"] + 1, "rows": before["rows"] + ROWS // 50}
        assert after in (before, whole), step
        assert start_loader(arena, str(file)).wait(PATIENCE) == 0
        assert arena.query(LOADED_ONLY) == [whole], step
        if not code:
            break
        assert code == CODES.get(number, -number), step
    report(f"ended at {step // stride} steps")


def end_at_step(arena: Arena, step: int, number: signal.Signals, file: Path) -> int:
    command = [sys.executable, "-m", "tests.loader.steps", str(step), str(int(number))]
    return subprocess.run(
        [*command, "load", str(file)],
        cwd=arena.folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        check=False,
        timeout=PATIENCE,
    ).returncode
