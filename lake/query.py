"""SQL of what is exported, and its rows as Arrow's tables."""

# ruff: noqa: S608 - identifiers are the catalog's and quoted, numbers are numbers

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from psycopg import Connection, RawCursor, errors, sql
from psycopg.rows import dict_row

from assay.changes import (
    FeedError,
    bounds_of_changes,
    changed_keys,
    is_news,
    is_no_sample,
)
from assay.columnar import table_of
from lake.columns import OPERATION, Hasher, LakeColumn, LakeTable, Treatment

_BLOCK = 8 * 2**20
"""Bytes of CSV that become a table at once."""
_SNAPSHOT = "set transaction isolation level repeatable read, read only"
_COLUMNS = """
select attname, format_type(atttypid, atttypmod)
from pg_attribute
where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped
order by attnum
"""


class NotBuiltError(ValueError):
    """A model is not in the database as the project has it; the message names the remedy."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not built as the project has it now: run `assay build`.")


@dataclass(frozen=True)
class Moment:
    """What an export reads: the database as it is at one moment."""

    exported_at: datetime
    until: int = 0
    """The transaction where the feed of changes ends."""
    is_known: bool = False
    """Whether the feed can be followed from where the last export ended."""


def begin(connection: Connection[Any], table: LakeTable, since: int) -> Moment:
    """Fix what all statements of this transaction see, its first one.

    Raises:
        FeedError: The rows carry transactions of another server.
        NotBuiltError: There is no such table.
    """
    connection.execute(_SNAPSHOT)
    connection.execute("set local timezone to 'UTC'")
    connection.execute("set local datestyle to 'ISO'")
    lock = sql.SQL("lock table {} in access share mode")
    try:
        # Before the first query: rows that a build rewrites later are not there for older queries.
        connection.execute(lock.format(sql.Identifier(table.schema, table.table)))
        cursor = RawCursor(connection, row_factory=dict_row)
        moment: dict[str, Any] = cursor.execute("select now() as exported_at").fetchone() or {}
        if table.entity:
            bounds = cursor.execute(bounds_of_changes(table.entity), [str(since)])
            moment |= bounds.fetchone() or {}
    except errors.UndefinedTable:
        raise NotBuiltError(table.name) from None
    if not moment.pop("is_whole", True):
        raise FeedError
    return Moment(**moment)


def types_of(connection: Connection[Any], schema: str, table: str) -> dict[str, str]:
    """PostgreSQL's types of a relation's columns."""
    return dict(connection.execute(_COLUMNS, [_identifier(schema, table)]).fetchall())


def everything(table: LakeTable) -> str:
    """All rows but samples; those beyond the feed's end are said again by a later export."""
    columns = ", ".join([_value(column) for column in table.columns])
    wanted = (
        is_no_sample("model.updated_by")
        if table.entity
        else "model._load_id not in (select load_id from raw.loads where is_sample)"
    )
    return f"""
        select {columns}, 'upsert' from {_identifier(table.schema, table.table)} as model
        where {wanted}
    """


def changes(table: LakeTable, since: int, until: int) -> str:
    """What changed, each row once as it is now; of a row that is gone its key."""
    assert table.entity  # noqa: S101 - a staging model has no feed
    key = table.entity.columns_by_name[table.entity.key[0]]
    name = sql.Identifier(key.name).as_string()
    found = f"changed.key::{key.data_type}"
    columns = [found if c.name == key.name else _value(c) for c in table.columns]
    return f"""
        select
            {", ".join(columns)},
            case when model.{name} is null then 'delete' else 'upsert' end
        from ({changed_keys(table.entity, since, until)}) as changed
        left join {_identifier(table.schema, table.table)} as model on model.{name} = {found}
        where {is_news(table.entity, "changed.key")}
    """


def read(
    connection: Connection[Any], statement: str, table: LakeTable, hasher: Hasher
) -> Iterator[pa.Table]:
    """The rows of a statement, in tables of some megabytes; in the transaction of `begin`.

    Raises:
        NotBuiltError: The table has not the columns of the contract.
        ValueError: A value is too much for its column in the lake.
    """
    block = bytearray()
    with connection.cursor() as cursor:
        try:
            with cursor.copy(f"copy ({statement}) to stdout (format csv)") as copy:
                for row in copy:
                    block += row
                    if len(block) >= _BLOCK:
                        yield _rows(block, table, hasher)
                        block.clear()
        except (errors.UndefinedColumn, errors.UndefinedTable):
            raise NotBuiltError(table.name) from None
    if block:
        yield _rows(block, table, hasher)


def _rows(block: bytearray, table: LakeTable, hasher: Hasher) -> pa.Table:
    fields = [(c.name, pa.string() if c.is_list else c.type) for c in table.columns]
    try:
        rows = table_of(bytes(block), pa.schema([*fields, (OPERATION, pa.string())]))
        for place, column in enumerate(table.columns):
            if column.treatment == Treatment.HASHED:
                rows = rows.set_column(place, column.name, hasher.hash_all(rows[column.name]))
            elif column.is_list:
                rows = rows.set_column(place, column.name, _lists(rows[column.name], column.type))
    except pa.ArrowInvalid as error:
        # Arrow counts columns from 0, and repeats the value, which may be personal
        found = next(
            (c for i, c in enumerate(table.columns) if f"column #{i}:" in str(error)), None
        )
        raise ValueError(
            f"{table.name}: {found.name if found else 'a list'} has a value that is no "
            f"{found.type if found else 'list of its type'} of the lake, such as infinity: give "
            "the contract a rule against it, or the column the type text."
        ) from None
    return rows


def _lists(values: pa.ChunkedArray, type_: pa.DataType) -> pa.Array:
    """Lists of their elements' texts in JSON, as PostgreSQL wrote them."""
    read = [None if v is None else json.loads(v) for v in values.to_pylist()]
    return pa.array(read, pa.list_(pa.string())).cast(type_)


def _value(column: LakeColumn) -> str:
    value = f"model.{sql.Identifier(column.name).as_string()}"
    if column.is_list:
        return f"to_json({value}::text[])::text"
    return f"{value}::text" if column.treatment == Treatment.HASHED else value


def _identifier(*names: str) -> str:
    return sql.Identifier(*names).as_string()
