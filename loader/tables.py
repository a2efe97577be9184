"""The raw tables: one per source table, every column text."""

from psycopg import Connection, sql

from assay.catalog import Catalog, SourceTable

_LOCK = "select pg_advisory_xact_lock(hashtextextended('raw tables', 0))"

_COLUMNS = """
select attname from pg_attribute
where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped
"""

# A load sets `assay.load_id` for its transaction. The default reads that and not the sequence,
# because `currval` is volatile, with which COPY inserts row by row (measured: 1.11 s instead of
# 0.84 s for a million rows). The row numbers are drawn under the lock of the source table, and a
# restart empties the cache.
_CREATE = """
create sequence if not exists {sequence} cache 1000;

create table if not exists {table} (
    _load_id bigint not null default current_setting('assay.load_id')::bigint,
    _row_number bigint not null default nextval({sequence_name}),
    {columns},
    _malformed text,
    _extra jsonb
);

alter sequence {sequence} owned by {table}._row_number;

create index on {table} using brin (_load_id, _row_number)
with (pages_per_range = 32, autosummarize = on);
"""

_ADD = "alter table {table} add column if not exists {column} text"


def table_of(source_table: SourceTable) -> sql.Identifier:
    """The raw table."""
    return sql.Identifier(source_table.schema, source_table.table)


def sequence_of(source_table: SourceTable) -> sql.Identifier:
    """The sequence of the raw table's row numbers."""
    return sql.Identifier(source_table.schema, f"{source_table.table}__row_number")


def create_raw_tables(connection: Connection, catalog: Catalog) -> None:
    """Create the raw tables that are missing and add columns that are new in the YAML.

    The platform's tables must exist. What exists is not locked, so that loads and builds go on.
    """
    with connection.transaction():
        connection.execute(_LOCK)
        for source_table in catalog.source_tables.values():
            _create(connection, source_table)


def _create(connection: Connection, source_table: SourceTable) -> None:
    table = table_of(source_table)
    found = {name for (name,) in connection.execute(_COLUMNS, [table.as_string()])}
    if found:
        for column in source_table.columns:
            if column.name not in found:
                connection.execute(
                    sql.SQL(_ADD).format(table=table, column=sql.Identifier(column.name))
                )
        return
    sequence = sequence_of(source_table)
    names = (sql.Identifier(column.name) for column in source_table.columns)
    connection.execute(
        sql.SQL(_CREATE).format(
            table=table,
            sequence=sequence,
            sequence_name=sql.Literal(sequence.as_string()),
            columns=sql.SQL(",\n    ").join(sql.SQL("{} text").format(name) for name in names),
        )
    )
