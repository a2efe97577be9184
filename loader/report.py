"""What became of each load: reports and rejected rows, for the terminal and the API.

Each query answers with the JSON that people get. Its parameters are PostgreSQL's own (`$1`), so
psycopg (by a `RawCursor`) and asyncpg run the same text. What the catalog knows is bound as JSON,
so one text serves all datasets.
"""

# ruff: noqa: S608 - identifiers are the catalog's and quoted, values are bound

import json
import re
from typing import Any

from psycopg import Connection, RawCursor, sql

from assay.catalog import Catalog, SourceTable
from loader.headers import ADDED
from loader.tables import table_of

MAX_SHOWN = 1000
"""Characters of a text in lists of rejected rows; workbooks have all."""
PROPOSED = "Perhaps"
"""Begins what a value may have been, behind the reasons."""

_LOAD = """
    load_id, source_table, file_name, sha256, size_bytes, row_count, state, notes, error,
    loaded_by, started_at, finished_at
"""


def page_of_loads(*, is_first: bool) -> str:
    """$1 limit, $2 source tables or null for all, $3 id to continue below.

    Columns `items` and `last` as in `api.query.Plan`.
    """
    below = "true" if is_first else "load_id < $3::text::bigint"
    return f"""
        with page as (
            select {_LOAD} from raw.loads
            where
                state <> 'rehearsal'
                and ($2::text[] is null or source_table = any($2::text[]))
                and {below}
            order by load_id desc limit $1::integer + 1
        ),
        shown as (select * from page order by load_id desc limit $1::integer)
        select
            (
                select coalesce(json_agg(row_to_json(shown.*) order by load_id desc), '[]')::text
                from shown
            ) as items,
            case when (select count(*) from page) > $1::integer then (
                select json_build_array(min(load_id))::text from shown
            ) end as last
    """


def _counted(table: str, column: str) -> str:
    """{rule: count} with messages; a rule that the contract no longer has has only a name."""
    return f"""
        coalesce((
            select jsonb_object_agg(counted.key, jsonb_build_object(
                'count', counted.value,
                'message', coalesce(
                    $2::jsonb -> {table}.entity -> counted.key ->> 'message', counted.key
                )
            ))
            from jsonb_each({table}.{column}) as counted
        ), '{{}}') as {column}
    """


_REPORT = f"""
    select row_to_json(report.*)::text as body
    from (
        select
            {_LOAD},
            coalesce((
                select json_agg(row_to_json(account.*) order by account.entity)
                from (
                    select
                        entity, rows, new, changed, unchanged, superseded, duplicates, rejected,
                        {_counted("accounts", "rules")}, repairs,
                        {_counted("accounts", "warnings")}, done_at
                    from journal.accounts
                    where accounts.load_id = loads.load_id
                ) as account
            ), '[]') as entities,
            coalesce((
                select json_agg(fed.entity order by fed.entity)
                from jsonb_array_elements_text($3::jsonb -> loads.source_table) as fed (entity)
                where loads.state = 'loaded' and not exists (
                    select from journal.accounts
                    where accounts.load_id = loads.load_id and accounts.entity = fed.entity
                )
            ), '[]') as pending,
            coalesce((
                select json_agg(row_to_json(undone.*) order by undone.entity)
                from (
                    select
                        entity, unloaded_by, unloaded_at, deleted, restored, newer,
                        {_counted("unloads", "refused")}
                    from journal.unloads
                    where unloads.load_id = loads.load_id
                ) as undone
            ), '[]') as unloads
        from raw.loads
        where load_id = $1::text::bigint and (state = 'rehearsal') = %s
    ) as report
"""

# $1 load, $2 {entity: {rule: {name, message, columns}}}, $3 {source table: [entity]}
ONE_LOAD = _REPORT % "false"
_ONE_REHEARSAL = _REPORT % "true"

# Loads that no build has taken yet.
WAITING = """
    select load_id from raw.loads
    where state = 'loaded' and not exists (
        select from journal.accounts where accounts.load_id = loads.load_id
    )
"""

STATE_OF_LOAD = """
    select load_id, source_table, state from raw.loads
    where load_id = $1::text::bigint and state <> 'rehearsal'
"""


def _examples(source: SourceTable) -> str:
    """$1 limit of each rule, $2 load."""
    # The verdicts of a rule are looked for up to the limit; a million of them are not sorted.
    return f"""
        with shown as materialized (
            select accounts.entity, rule.name, first.row_number, first.proposals
            from journal.accounts
            cross join jsonb_object_keys(accounts.rules) as rule (name)
            cross join lateral (
                select row_number, proposals from journal.verdicts
                where
                    verdicts.entity = accounts.entity
                    and load_id = $2::bigint
                    and rules @> array[rule.name]
                order by row_number limit $1::integer
            ) as first
            where accounts.load_id = $2::bigint
        )
        select shown.entity, shown.name, row_to_json(item.*)
        from shown
        cross join lateral (
            select
                shown.row_number,
                shown.proposals,
                {_row_as_it_came(source)},
                {_cut("came", "_malformed", "malformed")}
            from (select) as always
            left join {table_of(source).as_string()} as came
                on came._load_id = $2::bigint and came._row_number = shown.row_number
        ) as item
        order by shown.entity, shown.name, shown.row_number
    """


def _row_as_it_came(source: SourceTable) -> str:
    """Null where the row is malformed or no longer there."""
    columns = ", ".join(_cut("came", column.name) for column in source.columns)
    return f"""
        case when came._malformed is null and came._row_number is not null then (
            select row_to_json(cells.*) from (select {columns}) as cells
        ) end as row
    """


def page_of_rejected(source: SourceTable, *, is_first: bool) -> str:
    """$1 limit, $2 load, $3 as $2 of ONE_LOAD, $4 and $5 entity and row number to go on after."""
    after = "true" if is_first else "(entity, row_number) > ($4::text, $5::text::bigint)"
    return f"""
        with page as (
            select entity, row_number, rules, proposals
            from journal.verdicts
            where load_id = $2::text::bigint and {after}
            order by entity, row_number limit $1::integer + 1
        ),
        shown as (select * from page order by entity, row_number limit $1::integer)
        select
            (
                select coalesce(
                    json_agg(row_to_json(item.*) order by item.entity, item.row_number), '[]'
                )::text
                from (
                    select
                        shown.entity,
                        shown.row_number,
                        (
                            select json_agg(coalesce(
                                $3::jsonb -> shown.entity -> broken.name,
                                jsonb_build_object(
                                    'name', broken.name, 'message', broken.name,
                                    'columns', '[]'::jsonb
                                )
                            ) order by broken.name)
                            from unnest(shown.rules) as broken (name)
                        ) as rules,
                        shown.proposals,
                        {_row_as_it_came(source)},
                        {_cut("came", "_malformed", "malformed")}
                    from shown
                    left join {table_of(source).as_string()} as came
                        on came._load_id = $2::text::bigint
                        and came._row_number = shown.row_number
                ) as item
            ) as items,
            case when (select count(*) from page) > $1::integer then (
                select json_build_array(entity, row_number)::text
                from shown order by entity desc, row_number desc limit 1
            ) end as last
    """


def _cut(table: str, column: str, name: str | None = None) -> str:
    """A text as it came, but for one so long that answers would be too."""
    text = sql.Identifier(table, column).as_string()
    return f"""
        case
            when length({text}) > {MAX_SHOWN}
                then left({text}, {MAX_SHOWN}) || '… (' || length({text}) || ' characters)'
            else {text}
        end as {sql.Identifier(name or column).as_string()}
    """


def all_rejected(source: SourceTable) -> str:
    """$1 load, $2 as $2 of ONE_LOAD. The rejected rows, each once, with the source's headers."""
    columns = ", ".join(
        f"{sql.Identifier('came', c.name).as_string()} as {sql.Identifier(c.header).as_string()}"
        for c in source.columns
    )
    row, malformed, reasons = (sql.Identifier(name).as_string() for name in ADDED)
    return f"""
        with broken as (
            select
                verdicts.row_number,
                concat_ws(
                    ' ',
                    string_agg(
                        distinct coalesce(
                            $2::text::jsonb -> verdicts.entity -> rule.name ->> 'message', rule.name
                        ),
                        ' '
                    ),
                    string_agg(distinct '{PROPOSED} ' || proposal || '.', ' ')
                ) as reasons
            from journal.verdicts
            cross join unnest(verdicts.rules) as rule (name)
            left join unnest(verdicts.proposals) as proposal on true
            where verdicts.load_id = $1::text::bigint
            group by verdicts.row_number
        )
        select
            {columns},
            broken.row_number::text as {row},
            came._malformed as {malformed},
            broken.reasons as {reasons}
        from broken
        left join {table_of(source).as_string()} as came
            on came._load_id = $1::text::bigint and came._row_number = broken.row_number
        order by broken.row_number
    """


def rules_as_json(catalog: Catalog) -> str:
    """Rules by entity and name: {entity: {rule: {name, message, columns}}}."""
    return json.dumps(
        {
            entity.name: {
                rule.name: {"name": rule.name, "message": rule.message, "columns": rule.columns}
                for rule in entity.rules
            }
            for entity in catalog.entities.values()
        }
    )


def feeds_as_json(catalog: Catalog) -> str:
    """Entities that a load feeds: {source table: [entity]}."""
    return json.dumps(
        {name: [entity.name for entity in catalog.fed_by(name)] for name in catalog.source_tables}
    )


def read_report(connection: Connection, catalog: Catalog, load_id: int) -> dict[str, Any]:
    """The report of a load: its row of `raw.loads`, `entities` with their accounts, `pending`."""
    parameters = (str(load_id), rules_as_json(catalog), feeds_as_json(catalog))
    row = RawCursor(connection).execute(ONE_LOAD, parameters).fetchone()
    report: dict[str, Any] = json.loads(row[0]) if row else {}
    return report


def read_examples(
    connection: Connection, catalog: Catalog, source_table: str, load_id: int, limit: int
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The first rows of each rule: {entity: {rule: [{row_number, proposals, row, malformed}]}}."""
    query = _examples(catalog.source_tables[source_table])
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    # the text is this module's own, with the catalog's identifiers quoted
    for entity, rule, row in RawCursor(connection).execute(query.encode(), (limit, load_id)):
        found.setdefault(entity, {}).setdefault(rule, []).append(row)
    return found


def reports_as_literals(
    catalog: Catalog, source_table: str, load_id: int, limit: int, *, is_rehearsal: bool
) -> tuple[str, str]:
    """`ONE_LOAD` and the first page of rejected rows, as SQL that is complete in itself."""
    rules = rules_as_json(catalog)
    one = _ONE_REHEARSAL if is_rehearsal else ONE_LOAD
    page = page_of_rejected(catalog.source_tables[source_table], is_first=True)
    return (
        _with_literals(one, str(load_id), rules, feeds_as_json(catalog)),
        _with_literals(page, limit, str(load_id), rules),
    )


def _with_literals(query: str, *values: object) -> str:
    literals = [sql.Literal(value).as_string() for value in values]
    return re.sub(r"\$(\d)", lambda found: literals[int(found[1]) - 1], query)
