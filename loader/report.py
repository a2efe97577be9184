"""What became of a load: data to print or to serve.

The queries have PostgreSQL's own parameters (`$1`) and answer with one JSON text per row, so
that psycopg (with a `RawCursor`) and asyncpg run them alike and `to_report` and `to_rejected`
read the answers of both.
"""

import json
from collections.abc import Iterable
from typing import Any

from psycopg import Connection, RawCursor, sql

from assay.catalog import Catalog, Entity, SourceTable
from loader.tables import table_of

REPORT = """
select json_build_object(
    'load_id', loads.load_id,
    'source_table', loads.source_table,
    'file_name', loads.file_name,
    'state', loads.state,
    'rows', loads.row_count,
    'loaded_by', loads.loaded_by,
    'started_at', loads.started_at,
    'finished_at', loads.finished_at,
    'notes', loads.notes,
    'error', loads.error,
    'entities', coalesce(
        (
            select json_object_agg(
                accounts.entity, to_jsonb(accounts) - array['entity', 'load_id', 'done_at']
                order by accounts.entity
            )
            from journal.accounts
            where accounts.load_id = loads.load_id
        ),
        '{}'
    )
)::text
from raw.loads
where loads.load_id = $1
"""
"""One report. Parameter: load id."""

_SOURCE_TABLE = "select source_table from raw.loads where load_id = $1"

_REJECTED = """
with page as materialized (
    select row_number, rules
    from journal.verdicts
    where entity = $1 and load_id = $2 and row_number > $3
    order by row_number
    limit $4
)

select json_build_object(
    'row_number', page.row_number,
    'rules', page.rules,
    'row', (select row_to_json(fields) from (select {columns}) as fields),
    'malformed', rows._malformed
)::text
from page
inner join {table} as rows on rows._row_number = page.row_number
where
    rows._load_id = $2
    -- bounds, because the index knows ranges of rows only
    and rows._row_number between
    (select min(page.row_number) from page) and (select max(page.row_number) from page)
order by page.row_number
"""


def rejected_query(source_table: SourceTable) -> str:
    """Query for a page of rejected rows.

    Parameters: entity, load id, row number after which the page begins, limit.
    """
    columns = (sql.Identifier("rows", column.name) for column in source_table.columns)
    query = sql.SQL(_REJECTED).format(
        table=table_of(source_table), columns=sql.SQL(", ").join(columns)
    )
    return query.as_string()


def to_report(catalog: Catalog, answer: str) -> dict[str, Any]:
    """A report from the answer of `REPORT`: counts of rules and warnings get their messages."""
    report: dict[str, Any] = json.loads(answer)
    for name, account in report["entities"].items():
        entity = catalog.entities.get(name)
        for kind in ("rules", "warnings"):
            account[kind] = {
                rule: {"count": count, "message": _message(entity, rule)}
                for rule, count in account[kind].items()
            }
    return report


def to_rejected(entity: Entity, answers: Iterable[str]) -> list[dict[str, Any]]:
    """Rejected rows from the answers of `rejected_query`: rules get messages and columns."""
    rows: list[dict[str, Any]] = [json.loads(answer) for answer in answers]
    for row in rows:
        row["rules"] = [
            {"name": rule, "message": _message(entity, rule), "columns": _columns(entity, rule)}
            for rule in row["rules"]
        ]
    return rows


def read_report(connection: Connection, catalog: Catalog, load_id: int) -> dict[str, Any] | None:
    """What became of a load, None if there is no such load.

    Returns:
        `load_id`, `source_table`, `file_name`, `state`, `rows`, `loaded_by`, `started_at`,
        `finished_at` (ISO 8601), `notes`, `error`, `entities`. For each entity that is done:
        `rows`, `new`, `changed`, `unchanged`, `superseded`, `duplicates`, `rejected`, `rules`
        and `warnings` (by name: `count`, `message`), `repairs` (by column: count).
    """
    answer = RawCursor(connection).execute(REPORT, [load_id]).fetchone()
    return None if answer is None else to_report(catalog, answer[0])


def read_rejected(  # noqa: PLR0913  # a page has these parts
    connection: Connection,
    catalog: Catalog,
    load_id: int,
    entity: str,
    *,
    limit: int = 100,
    after_row: int = 0,
) -> list[dict[str, Any]]:
    """A page of the rows of a load that an entity rejected, by row number.

    Returns:
        For each row: `row_number`, `rules` (each `name`, `message`, `columns`), `row` (source
        columns and their text), `malformed` (the fields as CSV when their number is wrong).
    """
    cursor = RawCursor(connection)
    source_table = cursor.execute(_SOURCE_TABLE, [load_id]).fetchone()
    if source_table is None or source_table[0] not in catalog.source_tables:
        return []
    query = rejected_query(catalog.source_tables[source_table[0]])
    # Text of this module and quoted identifiers of the catalog only.
    cursor.execute(query.encode(), [entity, load_id, after_row, limit])
    return to_rejected(catalog.entities[entity], (answer for (answer,) in cursor))


def _message(entity: Entity | None, rule: str) -> str:
    """A rule that the contract no longer has is told by its name."""
    known = entity.rules_by_name.get(rule) if entity else None
    return known.message if known else rule


def _columns(entity: Entity, rule: str) -> list[str]:
    known = entity.rules_by_name.get(rule)
    return list(known.columns) if known else []
