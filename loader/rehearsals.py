"""Rehearsals: loads that are judged and reported, and of which nothing is kept."""

import psycopg
from psycopg import Connection, sql

from assay.catalog import Catalog, SourceTable
from loader.tables import table_of

_ROWS = "delete from {table} where _load_id = %s"
_LOAD = "delete from raw.loads where load_id = %s and state = 'rehearsal'"
_LEFT_OVER = """
select load_id, source_table from raw.loads
where state = 'rehearsal' and finished_at < now() - interval '1 day'
"""


def forget(conninfo: str, source_table: SourceTable, load_id: int) -> None:
    """Take a rehearsal away, with its raw rows."""
    with psycopg.connect(conninfo) as connection:
        _forget(connection, source_table, load_id)


def forget_left_over(conninfo: str, catalog: Catalog) -> None:
    """Take away what rehearsals left that died before their end."""
    with psycopg.connect(conninfo) as connection:
        for load_id, name in connection.execute(_LEFT_OVER).fetchall():
            if name in catalog.source_tables:
                _forget(connection, catalog.source_tables[name], load_id)


def _forget(connection: Connection, source_table: SourceTable, load_id: int) -> None:
    # The load first: only of a rehearsal are rows taken away.
    if connection.execute(_LOAD, [load_id]).rowcount:
        statement = sql.SQL(_ROWS).format(table=table_of(source_table))
        connection.execute(statement, [load_id])
