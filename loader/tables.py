"""The raw tables: one per source table, every column text.

A row of a file is such a row. A record of an API is kept whole, as `jsonb`; its columns are
computed from it when they are read.
"""

from collections.abc import Iterator

from psycopg import Connection, sql

from assay.catalog import Catalog, SourceColumn, SourceTable

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
    _extra jsonb{record}
);

alter sequence {sequence} owned by {table}._row_number;

create index on {table} using brin (_load_id, _row_number)
with (pages_per_range = 32, autosummarize = on);
"""

# The page that had the record, and the fields of the parent's record that its URL names.
_RECORD = ",\n    _page bigint,\n    _parent jsonb,\n    _record jsonb"
_FIELD = "{column} text generated always as ({record} #>> {path}) virtual"
_ADD = "alter table {table} add column if not exists {column}"
_MEND = "alter table {table} alter column {column} set expression as ({record} #>> {path})"
_EXPRESSIONS = """
select attname, pg_get_expr(adbin, adrelid)
from pg_attrdef
inner join pg_attribute on attrelid = adrelid and attnum = adnum
where adrelid = to_regclass(%s) and attgenerated <> ''
"""


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
        for name, definition in _columns(source_table):
            if name not in found:
                connection.execute(sql.SQL(_ADD).format(table=table, column=definition))
        _mend_fields(connection, source_table, found)
        return
    sequence = sequence_of(source_table)
    connection.execute(
        sql.SQL(_CREATE).format(
            table=table,
            sequence=sequence,
            sequence_name=sql.Literal(sequence.as_string()),
            columns=sql.SQL(",\n    ").join(column for _, column in _columns(source_table)),
            record=sql.SQL(_RECORD if source_table.listing else ""),
        )
    )


def _columns(source_table: SourceTable) -> Iterator[tuple[str, sql.Composed]]:
    """Name and definition of each column that the source table declares."""
    for column in source_table.columns:
        name = sql.Identifier(column.name)
        if source_table.listing is None:
            yield column.name, sql.SQL("{} text").format(name)
            continue
        yield column.name, sql.SQL(_FIELD).format(column=name, **_field(column))


def _field(column: SourceColumn) -> dict[str, sql.Composable]:
    """Where the text of a column is in a record, or in its parent's."""
    path = (column.parent_field or column.header).split(".")
    record = sql.Identifier("_parent" if column.parent_field else "_record")
    return {"record": record, "path": sql.Literal(path)}


def _mend_fields(connection: Connection, source_table: SourceTable, found: set[str]) -> None:
    """Columns of records are computed as the YAML says today."""
    table = table_of(source_table)
    expressions: dict[str, str] = dict(
        connection.execute(_EXPRESSIONS, [table.as_string()]).fetchall()
    )
    for column in source_table.columns:
        if source_table.listing is None or column.name not in found:
            continue
        parts = _field(column)
        said = sql.SQL("({record} #>> {path}::text[])").format(**parts).as_string(connection)
        if expressions.get(column.name, "").replace('"', "") != said.replace('"', ""):
            name = sql.Identifier(column.name)
            connection.execute(sql.SQL(_MEND).format(table=table, column=name, **parts))
