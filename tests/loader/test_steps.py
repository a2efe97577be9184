"""A load fails at each of its steps: it is whole or not there, and the next one is as the first."""

import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from loader import copy, csv_files
from loader.copy import load_file
from tests.loader.conftest import THINGS
from tests.loader.steps import failing

Query = Callable[..., list[dict[str, Any]]]

ROWS = 5000
BLOCK = 1 << 14
CLEAN = "delete from raw.loads; delete from raw.shop__things"
LOADED = """
select
    (select count(*) from raw.loads where state = 'loaded') as loads,
    (select count(*) from raw.shop__things) as rows,
    (select count(distinct (_load_id, _row_number)) from raw.shop__things) as numbers
"""
NOTHING = {"loads": 0, "rows": 0, "numbers": 0}
ALL = {"loads": 1, "rows": ROWS, "numbers": ROWS}


CUT = """
select pg_terminate_backend(pid, 1000) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""


@pytest.mark.parametrize("is_piped", [True, False], ids=["piped", "row by row"])
def test_a02_a_load_fails_at_each_step(
    conninfo: str,
    write: Callable[..., Path],
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
    is_piped: bool,
) -> None:
    """PostgreSQL hangs up, until a run is untouched."""
    monkeypatch.setattr(copy, "_BLOCK", BLOCK)
    monkeypatch.setattr(csv_files, "CHUNK", BLOCK)
    if not is_piped:
        monkeypatch.setattr(csv_files.CsvFile, "is_pipeable", lambda *_: False)
    path = write("Thing Name,Colour,Weight (g)\n" + "cup,red,120\n" * ROWS)

    def load() -> str:
        return load_file(conninfo, THINGS, path, loaded_by="ann").state

    seen = set()
    for step in itertools.count(1):
        with failing(lambda: query(CUT), step) as failed, suppress(psycopg.OperationalError):
            load()
        if not failed():
            break
        (left,) = query(LOADED)
        assert left in (NOTHING, ALL), step
        is_there = left == ALL
        seen.add(is_there)
        # one that is not there says that it failed
        assert is_there or len(query("table raw.loads")) == 1, step
        assert load() == ("already loaded" if is_there else "loaded"), step
        assert query(LOADED) == [ALL], step
        with psycopg.connect(conninfo) as connection:
            connection.execute(CLEAN)
    assert step > 30
    assert seen == {True, False}
