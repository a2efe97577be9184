"""Rehearsals: loads that are judged and reported, and of which nothing is kept."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import Connection, sql

from assay.catalog import Catalog, SourceTable
from loader.tables import table_of

_ROWS = "delete from {table} where _load_id = %s"
_LOAD = "delete from raw.loads where load_id = %s and state = 'rehearsal'"
_REHEARSALS = "select load_id, source_table from raw.loads where state = 'rehearsal'"
# Of the source table, not of the load: it is held before the load is there to be seen.
_HOLD = "select pg_advisory_lock_shared(hashtextextended('rehearse ' || %s, 0))"
_IS_FREE = "select pg_try_advisory_xact_lock(hashtextextended('rehearse ' || %s, 0))"


@contextmanager
def rehearsing(conninfo: str, source_table: SourceTable) -> Iterator[None]:
    """While this lasts the rehearsals of a source table are not left over; a death ends it."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(_HOLD, [source_table.name])
        yield


def forget(conninfo: str, source_table: SourceTable, load_id: int) -> None:
    """Take a rehearsal away, with its raw rows."""
    with psycopg.connect(conninfo) as connection:
        _forget(connection, source_table, load_id)


def forget_left_over(conninfo: str, catalog: Catalog) -> None:
    """Take away what rehearsals left that died before their end."""
    with psycopg.connect(conninfo) as connection:
        for load_id, name in connection.execute(_REHEARSALS).fetchall():
            if name in catalog.source_tables and _is_free(connection, name):
                _forget(connection, catalog.source_tables[name], load_id)


def _is_free(connection: Connection, name: str) -> bool:
    return connection.execute(_IS_FREE, [name]).fetchone() == (True,)


def _forget(connection: Connection, source_table: SourceTable, load_id: int) -> None:
    # The load first: only of a rehearsal are rows taken away.
    if connection.execute(_LOAD, [load_id]).rowcount:
        statement = sql.SQL(_ROWS).format(table=table_of(source_table))
        connection.execute(statement, [load_id])
