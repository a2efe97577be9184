"""An invented table with a column of every type, and a feed of its changes as a build makes it."""

from typing import Any

import psycopg
from psycopg import sql

from assay.catalog import Catalog, Entity
from tests.api.conftest import column

COLUMNS = {
    "thing": "text",
    "code": "uuid",
    "small": "smallint",
    "whole": "integer",
    "large": "bigint",
    "price": "numeric(12, 2)",
    "exact": "numeric",
    "ratio": "double precision",
    "is_good": "boolean",
    "day": "date",
    "moment": "timestamptz",
    "document": "jsonb",
    "words": "text[]",
    "numbers": "integer[]",
    "updated_by": "text",
}
ENTITY = Entity(
    name="things",
    schema="curated",
    table="things",
    title="Things",
    description="One row per thing.",
    path=None,
    key=("thing",),
    columns=tuple(column(name, data_type) for name, data_type in COLUMNS.items()),
    rules=(),
    source_tables=(),
    is_in_lake=True,
)
CATALOG = Catalog({ENTITY.name: ENTITY}, {})

_MAKE = f"""
create schema if not exists curated;
create schema if not exists staging;
create table curated.things (
    {", ".join(f"{name} {data_type}" for name, data_type in COLUMNS.items())},
    _transaction_id xid8 not null default pg_current_xact_id(),
    primary key (thing)
);
"""
VIEW = """
create view staging.things__changes as
select _transaction_id as transaction_id, thing as key from curated.things
union all
select transaction_id, key from journal.vanished
where entity = 'things' and key not in (select thing from curated.things);
"""


def make(connection: psycopg.Connection[Any]) -> None:
    connection.execute(_MAKE)
    connection.execute(VIEW)


def put(connection: psycopg.Connection[Any], thing: str, **values: Any) -> None:
    """Write a thing, or write it anew."""
    row = {"thing": thing, **values}
    connection.execute(
        sql.SQL("""
            insert into curated.things ({names}) values ({values})
            on conflict (thing) do update
            set ({names}, _transaction_id) = row({excluded}, pg_current_xact_id())
        """).format(
            names=sql.SQL(", ").join(map(sql.Identifier, row)),
            values=sql.SQL(", ").join(map(sql.Placeholder, row)),
            excluded=sql.SQL(", ").join(sql.Identifier("excluded", name) for name in row),
        ),
        row,
    )


def remove(connection: psycopg.Connection[Any], thing: str) -> None:
    connection.execute(
        """
        with gone as (delete from curated.things where thing = %s returning thing)
        insert into journal.vanished (entity, key) select 'things', thing from gone
        """,
        [thing],
    )
