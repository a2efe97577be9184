"""Databases in which dbt has something to do, to end it at any of its statements."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from api.query import plan_of
from assay.catalog import Catalog
from loader.copy import load_file
from tests.conftest import PATIENCE
from tests.faults.arena import LEFTOVERS, METABOLITES, key_of, metabolite, write_metabolites
from tests.faults.dbt import CURATED, WHOLE, Dbt, Death, Outcome

# The manifest names the database that it was parsed for: each trial's has the same name.
DATABASE = "swept"
END_SECONDS = PATIENCE

# what a curated model needs around it
REST = (*WHOLE, "--exclude-resource-type", "test", "--exclude", "config.materialized:curated")


@dataclass(frozen=True)
class State:
    """What a reader sees of an entity, each table as a digest."""

    curated: str
    ledger: str
    accounts: str
    verdicts: str


@dataclass(frozen=True)
class Scenario:
    """A template of a database, and a command of dbt that has something to do there."""

    template: str
    command: tuple[str, ...]
    statements: tuple[str, ...]
    """That the command sends when nobody ends it."""
    states: tuple[State, ...]
    """That it leads through, from the one that it finds to the one that it leaves."""
    after_plain: tuple[State, ...]
    """What a plain run leaves, however far the command came."""
    after_refresh: State


@dataclass
class Sweep:
    """Makes trials: each a copy of a template, where dbt dies at one of its statements."""

    dbt: Dbt
    catalog: Catalog
    folder: Path
    create_database: Callable[..., str]
    is_whole: bool = False
    """Of everything that a build makes, rather than of the curated models."""

    @property
    def plain(self) -> tuple[str, ...]:
        return WHOLE if self.is_whole else CURATED

    @property
    def refresh(self) -> tuple[str, ...]:
        return (*self.plain, "--full-refresh")

    def first(self) -> Scenario:
        """A first load, and no table."""
        url = self.copy("prepared")
        if not self.is_whole:
            self.run(url, *REST)
        self.load(url, "first", range(300), 1)
        return self._scenario_of_plain(self.keep("first"))

    def next(self) -> Scenario:
        """A load that changes, adds, contradicts and repeats rows; edits before and after it."""
        return self._scenario_of_plain(self._built_and_loaded())

    def history(self) -> Scenario:
        """As `next`, with a row that is not what its history says, and a full refresh."""
        url = self.copy(self._built_and_loaded())
        with psycopg.connect(url) as connection:
            connection.execute(DRIFT, [key_of(1)])
        template = self.keep("history")
        before = state_of(url)
        self.run(url, *self.plain)
        drifted = state_of(url)
        url = self.copy(template)
        with psycopg.connect(url) as connection:
            connection.execute(FORGET)
        self.run(url, *self.refresh)
        mended = state_of(url)
        url = self.copy(template)
        statements = self.run(url, *self.refresh).statements
        after = state_of(url)
        states = (before, mended, after)
        assert len({*states, drifted}) == 4
        return Scenario(template, self.refresh, statements, states, (drifted, after), after)

    def try_death(self, scenario: Scenario, death: Death, *, refresh: bool = True) -> bool:
        """Whether dbt came as far as its death; either way the work is done in the end."""
        where = f"{scenario.template}: {death}"
        url = self.copy(scenario.template)
        died = self.run(url, *scenario.command, death=death).died
        assert state_of(url) in scenario.states, where
        self.run(url, *self.plain)
        state, rows = state_of(url), rows_of(url)
        assert state in scenario.after_plain, where
        if refresh:
            self.run(url, *self.refresh)
            assert state_of(url) == scenario.after_refresh, where
            # not even written anew
            assert state != scenario.after_refresh or rows_of(url) == rows, where
        return died

    def run(self, url: str, *command: str, death: Death | None = None) -> Outcome:
        outcome = self.dbt.run(url, *command, death=death)
        assert (outcome.died and death) or outcome.success, outcome.error
        wait_for_the_end(url)
        return outcome

    def copy(self, template: str) -> str:
        return self.create_database(template, DATABASE)

    def keep(self, name: str) -> str:
        """Make a template of what there is now."""
        self.create_database(DATABASE, name)
        return name

    def load(self, url: str, name: str, numbers: Iterable[int], value: int, more: str = "") -> None:
        path = write_metabolites(self.folder / f"{name}.csv", numbers, value)
        with path.open("a") as file:
            file.write(more)
        load_file(url, self.catalog.source_tables[METABOLITES], path, loaded_by="test")

    def edit(self, url: str, number: int, value: int) -> None:
        """As the API does it."""
        statement = plan_of(self.catalog.entities["metabolites"]).patch
        documents = json.dumps([{"sample_value": value}])
        values = (documents, "editor", "metabolites", "[]", key_of(number), None)
        with psycopg.connect(url) as connection:
            psycopg.RawCursor(connection).execute(statement, values)

    def _built_and_loaded(self) -> str:
        url = self.copy("prepared")
        self.load(url, "first", range(300), 1)
        self.run(url, *WHOLE)
        self.edit(url, 210, 10)
        taken, another = metabolite(0)["cas_number"], metabolite(601)["cas_number"]
        self.load(
            url,
            "next",
            [*range(200, 400), 399],
            2,
            f"taken,{taken},GC,1,1,\n"
            f"one,{another},GC,1,1,\nother,{another},GC,1,1,\n"
            "nameless,,GC,1,1,\nshort,\n",
        )
        self.edit(url, 220, 20)
        return self.keep("next")

    def _scenario_of_plain(self, template: str) -> Scenario:
        url = self.copy(template)
        before = state_of(url)
        statements = self.run(url, *self.plain).statements
        after = state_of(url)
        assert before != after
        return Scenario(template, self.plain, statements, (before, after), (after,), after)


def state_of(url: str) -> State:
    """In one snapshot; a table that is missing is as good as an empty one."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ

        def one(statement: str) -> object:
            row = connection.execute(statement).fetchone()
            return row and row[0]

        def digest(table: str) -> str:
            if one(f"select to_regclass('{table}')") is None:
                return ""
            return str(one(DIGEST.format(table)) or "")

        assert connection.execute(LEFTOVERS).fetchall() == []
        curated = digest("curated.metabolites")
        # nobody reads rows that no rule guards
        assert not curated or int(str(one(CONSTRAINTS))) > 0
        return State(
            curated,
            digest("journal.ledger_metabolites"),
            digest("journal.accounts"),
            digest("journal.verdicts"),
        )


def rows_of(url: str) -> list[tuple[str, ...]]:
    """Of the curated table, with what tells a row from the same row written again."""
    with psycopg.connect(url) as connection:
        return connection.execute(ROWS).fetchall()


def wait_for_the_end(url: str, application: str = "%") -> None:
    """Of those at work for a process that was killed; their locks must go with them."""
    deadline = time.monotonic() + END_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(WORKERS, [application]).fetchone():
            assert time.monotonic() < deadline, "PostgreSQL still works for the dead"
            time.sleep(0.005)
        # The two views are not read at one moment: a worker of PostgreSQL's own may come or go.
        while connection.execute(LOCKS_OF_NOBODY).fetchone():
            assert time.monotonic() < deadline, "locks are left of the dead"
            time.sleep(0.005)


# Two runs that do the same do it at other times.
DIGEST = """
select md5(string_agg(said, ' ' order by said))
from (
    select (to_jsonb(t) - '{{done_at, clock, _transaction_id}}'::text[])::text as said
    from {} as t
) as rows
"""
ROWS = "select xmin::text, metabolites::text from curated.metabolites order by metabolite_id"
CONSTRAINTS = "select count(*) from pg_constraint where conrelid = 'curated.metabolites'::regclass"
DRIFT = "update curated.metabolites set method = 'drifted' where metabolite_id = %s"
FORGET = """
delete from raw.loads
where state = 'loaded' and load_id not in (select load_id from journal.accounts)
"""
WORKERS = """
select from pg_stat_activity
where
    datname = current_database() and pid <> pg_backend_pid()
    and backend_type in ('client backend', 'parallel worker')
    and application_name like %s
"""
LOCKS_OF_NOBODY = """
select locktype, mode from pg_locks where pid not in (select pid from pg_stat_activity)
"""
