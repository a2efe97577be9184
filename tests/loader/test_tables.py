"""The raw tables."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from assay.catalog import Catalog
from loader.tables import create_raw_tables
from tests.loader.conftest import column, source

Query = Callable[..., list[dict[str, Any]]]
COLUMNS = (
    "select column_name, data_type, is_nullable from information_schema.columns "
    "where table_schema = 'raw' and table_name = %s order by ordinal_position"
)


def catalog_of(*names: str) -> Catalog:
    table = source('odd"s', *(column(name) for name in names))
    return Catalog({}, {table.name: table})


def test_all_source_columns_are_text(conninfo: str, query: Query) -> None:
    """A raw table has the source's columns as text and the platform's own."""
    with psycopg.connect(conninfo) as connection:
        create_raw_tables(connection, catalog_of("select", 'a"b'))
    assert [tuple(row.values()) for row in query(COLUMNS, ['shop__odd"s'])] == [
        ("_load_id", "bigint", "NO"),
        ("_row_number", "bigint", "NO"),
        ("select", "text", "YES"),
        ('a"b', "text", "YES"),
        ("_malformed", "text", "YES"),
        ("_extra", "jsonb", "YES"),
    ]


def test_new_columns_are_added(conninfo: str, query: Query) -> None:
    """A column that is new in the YAML is added; one that left it stays with its content."""
    with psycopg.connect(conninfo) as connection:
        create_raw_tables(connection, catalog_of("a", "b"))
        create_raw_tables(connection, catalog_of("a", "c"))
        create_raw_tables(connection, catalog_of("a", "c"))
    names = [row["column_name"] for row in query(COLUMNS, ['shop__odd"s'])]
    assert names == ["_load_id", "_row_number", "a", "b", "_malformed", "_extra", "c"]
    indexes = query("select 1 from pg_indexes where tablename = %s", ['shop__odd"s'])
    assert len(indexes) == 1


def test_many_at_once(conninfo: str, query: Query) -> None:
    """Processes that prepare the same database at once do not get in each other's way."""

    def prepare(_: int) -> None:
        with psycopg.connect(conninfo) as connection:
            create_raw_tables(connection, catalog_of("a"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(prepare, range(8)))
    assert len(query(COLUMNS, ['shop__odd"s'])) == 5


def test_preparing_waits_for_nobody(conninfo: str, catalog: Catalog) -> None:
    """Tables that exist are not locked: a load or a build in progress does not matter."""
    with psycopg.connect(conninfo) as busy, psycopg.connect(conninfo) as connection:
        busy.execute("lock table raw.shop__things in share row exclusive mode")
        connection.execute("set lock_timeout = '1s'")
        create_raw_tables(connection, catalog)


def test_nothing_is_inserted_without_a_load(conninfo: str) -> None:
    """A row needs the load that brought it."""
    with (
        psycopg.connect(conninfo) as connection,
        pytest.raises(psycopg.errors.UndefinedObject, match=r"assay\.load_id"),
    ):
        connection.execute("insert into raw.shop__things (thing) values ('cup')")
