"""`--empty` and `--sample` look whether the SQL is right, and change nothing that serves."""

from typing import Any

import pytest

from tests.dbt.test_changes import (
    CONTRACT,
    NEW_COLUMN,
    STAGING,
    Change,
    change,  # noqa: F401  a fixture
)
from tests.dbt.test_merge import edit, rebuild_changes_nothing, row
from tests.warehouse import Warehouse

BATCH = (
    (CONTRACT, "\n      - name: updated_at\n", NEW_COLUMN),
    (STAGING, "    ---------- notes\n    repairs\n", "    'first'::text as batch,\n    repairs\n"),
)


def everything(warehouse: Warehouse) -> list[Any]:
    """Each table, view, function and constraint of the database, and what the tables hold."""
    catalogs = (
        """
        select nspname, relname, pg_class.oid, relfilenode, pg_class.xmin::text,
            case when relkind = 'v' then pg_get_viewdef(pg_class.oid) end as definition
        from pg_class inner join pg_namespace on pg_namespace.oid = relnamespace
        where not starts_with(nspname, 'pg_') and nspname <> 'information_schema'
        order by nspname, relname
        """,
        """
        select pg_proc.oid, proname, prosrc, pg_proc.xmin::text
        from pg_proc inner join pg_namespace on pg_namespace.oid = pronamespace
        where not starts_with(nspname, 'pg_') and nspname <> 'information_schema' order by proname
        """,
        "select oid, conname, xmin::text from pg_constraint order by oid",
        "select oid, tgname, tgenabled, xmin::text from pg_trigger order by oid",
        "select nspname, oid from pg_namespace where not starts_with(nspname, 'pg_t') order by oid",
    )
    tables = warehouse.query(
        "select schemaname, tablename from pg_tables"
        " where schemaname in ('raw', 'curated', 'journal', 'auth') order by 1, 2"
    )
    return [
        *(warehouse.query(catalog) for catalog in catalogs),
        *(
            warehouse.query(
                f"select xmin::text, t::text as row from"
                f' "{table["schemaname"]}"."{table["tablename"]}" as t order by 2'
            )
            for table in tables
        ),
    ]


def succeeds(warehouse: Warehouse, *arguments: str) -> bool:
    return bool(warehouse.invoke(warehouse.url, *arguments).success)


def test_nothing_that_serves_is_changed(warehouse: Warehouse) -> None:
    """Whatever is selected; what comes after finds all as it was."""
    warehouse.load(row("a", 0), row("b", 1), row("b", 2))
    warehouse.build()
    edit(warehouse, "a", sample_value=7)
    warehouse.load(row("c", 3), name="waits.csv")
    before = everything(warehouse)
    for arguments in (
        ("run", "--select", "+metabolites", "--empty"),
        ("run", "--select", "stg_laboratory__metabolites", "--empty"),
        ("run", "--select", "metabolites", "--empty", "--full-refresh"),
        ("run", "--select", "rejected_metabolites+", "--empty"),
        ("build", "--select", "+metabolites", "rejected_metabolites", "--empty"),
        ("run", "--select", "+metabolites", "--sample", "3 days"),
        ("build", "--select", "+metabolites", "--sample", "3 days", "--full-refresh"),
    ):
        assert succeeds(warehouse, *arguments), arguments
        assert everything(warehouse) == before, arguments
    warehouse.build()
    assert rebuild_changes_nothing(warehouse)


@pytest.mark.parametrize("option", [("--empty",), ("--sample", "1 day")])
def test_all_of_a_database_that_was_never_built(
    warehouse: Warehouse, option: tuple[str, ...]
) -> None:
    """Tests and unit tests run too."""
    before = everything(warehouse)
    assert succeeds(warehouse, "build", *option)
    assert everything(warehouse) == before


def test_sql_that_is_not_built_yet(
    warehouse: Warehouse,
    change: Change,  # noqa: F811
) -> None:
    """A model is judged with the models that it is made from, as they are in the files."""
    warehouse.load(row("a", 0))
    warehouse.build()
    before = everything(warehouse)
    change(*BATCH)
    assert succeeds(warehouse, "build", "--select", "+metabolites", "--empty")
    assert everything(warehouse) == before
    change((STAGING, "'first'::text as batch", "no_such_column as batch"))
    assert not succeeds(warehouse, "run", "--select", "+metabolites", "--empty")
    assert everything(warehouse) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("identification_level between 1 and 5", "identification_level between 1 and no_such"),
        ("data_type: smallint", "data_type: date"),
    ],
)
def test_contract_that_does_not_fit(
    warehouse: Warehouse,
    change: Change,  # noqa: F811
    old: str,
    new: str,
) -> None:
    """Neither a check that PostgreSQL cannot read nor a column that staging casts otherwise."""
    change((CONTRACT, old, new))
    before = everything(warehouse)
    assert not succeeds(warehouse, "run", "--select", "+metabolites", "--empty")
    assert everything(warehouse) == before
