"""A functional dependency whose determinant several rows have: one interval per serial number."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.conftest import long
from tests.dbt.dataset import Dataset, project_with
from tests.warehouse import Warehouse

FILES = {
    "marts/checks/_checks__models.yml": """
version: 2
models:
  - name: checks
    description: One row per check of an instrument.
    config:
      meta:
        api: {path: checks}
        rules:
          - name: one_interval_per_instrument
            determinant: [maker, serial]
            dependent: [days, rate]
            message: An instrument has one interval and one rate.
    constraints:
      - {type: primary_key, columns: [number]}
    columns:
      - {name: number, data_type: integer}
      - {name: maker, data_type: text}
      - {name: serial, data_type: text, config: {meta: {title: Serial number}}}
      - {name: days, data_type: integer}
      - {name: rate, data_type: numeric}
      - {name: updated_at, data_type: timestamptz}
      - {name: updated_by, data_type: text}
""",
    "marts/checks/checks.sql": "select * from {{ ref('stg_workshop__checks') }}\n",
    "staging/workshop/_workshop__sources.yml": """
version: 2
sources:
  - name: workshop
    schema: raw
    tables:
      - name: checks
        identifier: workshop__checks
        config: {meta: {load: {formats: [csv]}}}
        columns:
          - {name: number, config: {meta: {mandatory: true}}}
          - {name: maker}
          - {name: serial}
          - {name: days}
          - {name: rate}
""",
    "staging/workshop/stg_workshop__checks.sql": """
select
    {{ provenance() }},
    {{ to_integer('number', 'integer') }} as number,
    {{ clean_text('maker') }} as maker,
    {{ clean_text('serial') }} as serial,
    {{ to_integer('days', 'integer') }} as days,
    {{ to_number('rate') }} as rate,
    '{}'::text[] as _problems
from {{ source('workshop', 'checks') }}
""",
}
RULE = "one_interval_per_instrument"
COLUMNS = ("number", "maker", "serial", "days", "rate")


@pytest.fixture(scope="module")
def made(
    create_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Warehouse]]:
    with project_with(FILES, tmp_path_factory.mktemp("checks"), create_database) as make:
        yield make


@pytest.fixture
def checks(made: Callable[[], Warehouse]) -> Iterator[Dataset]:
    warehouse = made()
    with warehouse.connection:
        yield Dataset(warehouse, "workshop.checks", "checks", *COLUMNS)


def test_rows_of_a_file_that_differ_are_rejected_together(checks: Dataset) -> None:
    """Nulls neither agree nor differ, nor do numbers of other digits, nor another's instruments."""
    assert checks.load(
        "1,A,s1,30,1.5",
        "2,A,s1,60,1.50",
        "3,B,s1,90,",
        "4,B,s1,,2",
        "5,,s1,1,1",
        "6,,s1,2,2",
        "7,C,s1,,1",
        "8,C,s1,,1.00",
    ) == {2: [RULE], 3: [RULE]}
    assert [row[0] for row in checks.rows()] == [3, 4, 5, 6, 7, 8]
    assert checks.is_the_same_when_recomputed()


def test_what_is_curated_stands(checks: Dataset) -> None:
    """Against rows of other keys as against the row itself; a null does not erase it."""
    checks.load("1,A,s,30,1", "2,A,s,,1")
    assert checks.load("4,A,s,30.0,", "1,A,s,,") == {}
    assert checks.load("3,A,s,60,", "2,A,s,60,1") == {2: [RULE], 3: [RULE]}
    assert checks.rows() == [
        (1, "A", "s", 30, 1),
        (2, "A", "s", None, 1),
        (4, "A", "s", 30, None),
    ]
    assert checks.is_the_same_when_recomputed()


def test_a_row_of_another_determinant_leaves_its_value_behind(checks: Dataset) -> None:
    """A null says nothing of what depends on the determinant, as long as that is the same."""
    checks.load("1,A,s,30,1", "2,A,t,60,")
    assert checks.load("1,A,t,,", "2,A,t,,3") == {}
    assert checks.rows() == [(1, "A", "t", None, None), (2, "A", "t", 60, 3)]
    assert checks.load("1,s", header="number,serial") == {}
    assert checks.rows()[0] == (1, "A", "s", None, None)
    assert checks.is_the_same_when_recomputed()


def test_postgresql_refuses_it_by_the_name_of_the_rule(checks: Dataset) -> None:
    """One row cannot change what several have; all of them in one statement can."""
    checks.load("1,A,s,30,1", "2,A,s,30,1", "3,A,t,30,1")
    for statement in (
        "update curated.checks set days = 60 where number = 1",
        "update curated.checks set serial = 's', rate = 2 where number = 3",
        "insert into curated.checks values (4, 'A', 's', 60, null, now(), 'x')",
        (
            "insert into curated.checks values"
            " (4, 'A', 'u', 60, null, now(), 'x'), (5, 'A', 'u', 61, null, now(), 'x')"
        ),
    ):
        with pytest.raises(psycopg.errors.ExclusionViolation) as refusal:
            checks.connection.execute(statement.encode())
        assert refusal.value.diag.constraint_name == f"checks__{RULE}"
    checks.edit("serial = 's'", "days = 60")
    assert [row[3] for row in checks.rows()] == [60, 60, 30]
    # what the file said before is no news, and what it says now is contradicted by the edit
    assert checks.load("4,A,s,60,1", "3,A,t,30,1") == {}
    assert checks.load("1,A,s,30,1", "5,A,s,30,1") == {3: [RULE]}
    assert checks.is_the_same_when_recomputed()


def test_the_message_names_the_way(checks: Dataset) -> None:
    rule = checks.warehouse.catalog.entities["checks"].rules_by_name[RULE]
    assert rule.message == (
        "An instrument has one interval and one rate. To change it, PATCH all rows of one "
        "Maker and Serial number in one request."
    )


def test_writers_at_once_do_not_break_it(checks: Dataset) -> None:
    """Each sees what the other wrote, in whatever order they come."""
    checks.load("1,A,s,30,1")
    numbers = range(10, 50)

    def insert(number: int) -> str:
        with psycopg.connect(checks.warehouse.url) as connection:
            try:
                connection.execute(
                    "insert into curated.checks values (%s, 'A', 'new', %s, null, now(), 'x')",
                    [number, number % 2],
                )
            except psycopg.errors.ExclusionViolation:
                return "refused"
        return "written"

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(insert, numbers))
    days = {row[3] for row in checks.rows() if row[2] == "new"}
    assert len(days) == 1
    assert outcomes.count("written") == sum(number % 2 in days for number in numbers)


def test_a_new_rule_names_rows_that_break_it(checks: Dataset) -> None:
    """And a lost trigger comes back."""
    checks.load("1,A,s,30,1")
    checks.connection.execute(f"drop function curated.checks__{RULE} cascade".encode())
    checks.connection.execute("update curated.checks set serial = 's'")
    checks.connection.execute(
        "insert into curated.checks values (2, 'A', 's', 60, null, now(), 'x')"
    )
    assert RULE in checks.warehouse.failure_of_build("--select", "checks")
    checks.connection.execute("delete from curated.checks where number = 2")
    checks.warehouse.build("--select", "checks")
    with pytest.raises(psycopg.errors.ExclusionViolation):
        checks.connection.execute(
            "insert into curated.checks values (2, 'A', 's', 60, null, now(), 'x')"
        )


@pytest.mark.parametrize("seed", [0, *long(1)])
def test_random_histories_keep_it(checks: Dataset, seed: int) -> None:
    """At every moment, and a recomputation gives the same (P5)."""
    choice = random.Random(seed)
    for _ in range(8):
        rows = {
            number: f"{number},A,{choice.choice('st')},{choice.choice(['', '30', '30', '60'])},"
            for number in choice.sample(range(6), 3)
        }
        checks.load(*rows.values())
        if choice.random() < 0.4:
            checks.edit(f"serial = '{choice.choice('st')}'", f"days = {choice.choice([30, 60])}")
        said: dict[str, set[int]] = {}
        for _, _, serial, days, _ in checks.rows():
            said.setdefault(serial, set()).update({days} - {None})
        assert all(len(days) <= 1 for days in said.values())
    assert checks.is_the_same_when_recomputed()
