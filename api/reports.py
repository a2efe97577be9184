"""The SQL of load reports. The catalog's words are bound as JSON, so one text serves all."""

# ruff: noqa: S608 - identifiers and expressions are the catalog's, values are bound

from api.query import quoted
from assay.catalog import SourceTable

_LOAD = """
    load_id, source_table, file_name, sha256, size_bytes, row_count, state, notes, error,
    loaded_by, started_at, finished_at
"""


def page_of_loads(*, is_first: bool) -> str:
    """$1 limit, $2 id to continue below. Columns as in `api.query.Plan`."""
    below = "true" if is_first else "load_id < $2::text::bigint"
    return f"""
        with page as (
            select {_LOAD} from raw.loads where {below}
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


def _counted(column: str) -> str:
    """{rule: count} with messages; a rule that the contract no longer has has only a name."""
    return f"""
        coalesce((
            select jsonb_object_agg(counted.key, jsonb_build_object(
                'count', counted.value,
                'message', coalesce(
                    $2::jsonb -> accounts.entity -> counted.key ->> 'message', counted.key
                )
            ))
            from jsonb_each(accounts.{column}) as counted
        ), '{{}}') as {column}
    """


# $1 load, $2 {entity: {rule: {name, message, columns}}}, $3 {source table: [entity]}
ONE_LOAD = f"""
    select row_to_json(report.*)::text as body
    from (
        select
            {_LOAD},
            coalesce((
                select json_agg(row_to_json(account.*) order by account.entity)
                from (
                    select
                        entity, rows, new, changed, unchanged, superseded, duplicates, rejected,
                        {_counted("rules")}, repairs, {_counted("warnings")}, done_at
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
            ), '[]') as pending
        from raw.loads
        where load_id = $1::text::bigint
    ) as report
"""

SOURCE_OF_LOAD = "select source_table from raw.loads where load_id = $1::text::bigint"


def page_of_rejected(source: SourceTable, *, is_first: bool) -> str:
    """$1 limit, $2 load, $3 as $2 of ONE_LOAD, $4 and $5 entity and row number to go on after."""
    after = "true" if is_first else "(entity, row_number) > ($4::text, $5::text::bigint)"
    columns = ", ".join(f"came.{quoted(column.name)}" for column in source.columns)
    return f"""
        with page as (
            select entity, row_number, rules
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
                        case when came._malformed is null and came._row_number is not null then (
                            select row_to_json(cells.*) from (select {columns}) as cells
                        ) end as row,
                        came._malformed as malformed
                    from shown
                    left join {quoted(source.schema)}.{quoted(source.table)} as came
                        on came._load_id = $2::text::bigint
                        and came._row_number = shown.row_number
                ) as item
            ) as items,
            case when (select count(*) from page) > $1::integer then (
                select json_build_array(entity, row_number)::text
                from shown order by entity desc, row_number desc limit 1
            ) end as last
    """
