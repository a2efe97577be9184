"""The SQL of an entity's endpoints, made from the contract at start-up.

Identifiers and expressions come from the catalog only; all values are bound. A row travels as
JSON text both ways: PostgreSQL takes it apart by the contract's types and makes the answer.
"""

# ruff: noqa: S608 - identifiers and expressions are the catalog's, values are bound

import json
from collections.abc import Callable
from dataclasses import dataclass

from api import versions
from api.schemas import is_whole
from api.versions import quoted
from assay.catalog import PROVENANCE, Column, Entity, Rule


@dataclass(frozen=True)
class Plan:
    """Statements of one entity. `$n` below says what is bound.

    Pages have columns `items` (JSON array) and `last` (JSON array of key values, null on the
    last page). Writes have `key` and `body` (JSON object, null for a deletion); they write the
    journal too. No row: the key is unknown.
    """

    first_page: str
    """limit"""
    next_page: str
    """limit, key to continue after"""
    one: str
    """key"""
    as_of: str
    """key, time"""
    first_versions: str
    """limit, key"""
    next_versions: str
    """limit, key, version to go on below"""
    insert: str
    """document, username, entity's name, rules of severity `warn`"""
    replace: str
    """as insert, and key"""
    patch: str
    """as insert, and key"""
    revert: str
    """as replace, with a version in the place of the document; also `is_deletion` of the version,
    and no row where there is no such version"""
    delete: str
    """key, username, entity's name"""


def plan_of(entity: Entity) -> Plan:
    """The statements of an entity with a key of one column."""
    table = f"{quoted(entity.schema)}.{quoted(entity.table)}"
    key = quoted(entity.key[0])
    key_type = entity.columns_by_name[entity.key[0]].data_type
    columns = ", ".join(quoted(column.name) for column in entity.columns)
    returning = f"""
        returning
            to_jsonb(old) - '_transaction_id' as _before,
            to_jsonb(new) - '_transaction_id' as _after,
            old.{key}::text as _old_key,
            new.{key}::text as _new_key,
            new.*
    """
    # The default of `clock` is drawn while these rows come out of the write, so after any wait
    # for a lock, and the time is the row's, so both tell of one order. Another key is another
    # row: one goes, one comes.
    journal = """
        journaled as (
            insert into journal.edits (
                entity, key, operation, before, after, edited_by, edited_at, cause
            )
            select
                $3::text, image.key, image.operation, image.before, image.after, $2::text,
                coalesce(written.updated_at, clock_timestamp()), {cause}
            from written
            cross join lateral (
                select
                    _old_key as key,
                    case when _new_key = _old_key then 'update' else 'delete' end as operation,
                    _before as before,
                    case when _new_key = _old_key then _after end as after
                where _before is not null
                union all
                select _new_key, 'insert', null, _after
                where _after is not null and _new_key is distinct from _old_key
            ) as image
        )
    """
    edited = journal.format(cause="null")
    answer = f"""
        select written._new_key as key, row_to_json(answer.*)::text as body
        from written
        cross join lateral (select {columns}, ({_warnings(entity)}) as warnings) as answer
    """
    proposed = _proposed(entity)
    inserted = f"""
        written as (
            insert into {table} ({columns}) select {columns} from proposed
            {returning}
        )
    """

    def updated(source: str, assign: Callable[[Column], str | None], name: str = "written") -> str:
        assignments = [f"{quoted(c.name)} = {to}" for c in entity.columns if (to := assign(c))]
        assignments.append("_transaction_id = pg_current_xact_id()")
        return f"""
            {name} as (
                update {table} as target set {", ".join(assignments)} from {source}
                where target.{key} = $5::text::{key_type}
                {returning}
            )
        """

    # `clock_timestamp()` stands in the assignments themselves: PostgreSQL computes those again
    # after a wait for another writer of the row.
    def replaced(column: Column) -> str | None:
        if column.name in PROVENANCE:
            return _provenance(column)
        if column.name in entity.key:
            return None if column.is_server_owned else _if_given(column, "proposed", "target")
        if column.is_server_owned and column.default is None:
            return None
        return f"proposed.{quoted(column.name)}"

    def patched(column: Column) -> str | None:
        if column.name in PROVENANCE:
            return _provenance(column)
        return None if column.is_server_owned else _if_given(column, "given", "target")

    def restored(column: Column) -> str | None:
        if column.name in PROVENANCE:
            return _provenance(column)
        return None if column.name in entity.key else f"proposed.{quoted(column.name)}"

    reverted = ", ".join(
        f"{_provenance(c) if c.name in PROVENANCE else quoted(c.name)} as {quoted(c.name)}"
        for c in entity.columns
    )

    return Plan(
        first_page=_page(table, columns, key, "true"),
        next_page=_page(table, columns, key, f"{key} > $2::text::{key_type}"),
        one=f"""
            select row_to_json(found.*)::text as body
            from (select {columns} from {table} where {key} = $1::text::{key_type}) as found
        """,
        as_of=versions.as_of(entity),
        first_versions=versions.page(entity, "true"),
        next_versions=versions.page(entity, "version < $3::text::bigint"),
        insert=f"with {_given(entity)}, {proposed}, {inserted}, {edited} {answer}",
        replace=f"""
            with {_given(entity)}, {proposed}, {updated("proposed", replaced)}, {edited} {answer}
        """,
        patch=f"with {_given(entity)}, {updated('given', patched)}, {edited} {answer}",
        revert=f"""
            with version as (
                select image from {versions.function_of(entity)}($5::text)
                where version = $1::text::bigint
            ),
            proposed as (
                select {reverted}
                from version
                cross join lateral {versions.as_row(entity, "version.image")}
                where version.image is not null
            ),
            {updated("proposed", restored, "updated")},
            inserted as (
                insert into {table} ({columns})
                select {columns} from proposed where not exists (select from updated)
                {returning}
            ),
            written as (table updated union all table inserted),
            {journal.format(cause="'revert to ' || $1::text")},
            answered as ({answer})
            select version.image is null as is_deletion, answered.*
            from version
            left join answered on true
        """,
        delete=f"""
            with written as (
                delete from {table} where {key} = $1::text::{key_type}
                {returning}
            ),
            {edited}
            select _old_key as key, null as body from written
        """,
    )


def warnings_of(entity: Entity) -> str:
    """What $4 of the writes is: those rules as they are told to people, as JSON."""
    return json.dumps(
        [{"name": r.name, "message": r.message, "columns": r.columns} for r in warn_rules(entity)]
    )


def warn_rules(entity: Entity) -> tuple[Rule, ...]:
    """The rules that a written row is judged by and may break, in the order of their list."""
    return tuple(rule for rule in entity.rules if rule.severity == "warn" and rule.expression)


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _page(table: str, columns: str, key: str, after: str) -> str:
    """One row more than is shown tells whether there is a next page."""
    return f"""
        with page as (
            select {columns} from {table} where {after} order by {key} limit $1::integer + 1
        ),
        shown as (select {columns} from page order by {key} limit $1::integer)
        select
            (
                select coalesce(json_agg(row_to_json(shown.*) order by {key}), '[]')::text
                from shown
            ) as items,
            case when (select count(*) from page) > $1::integer then (
                select json_build_array({key})::text from shown order by {key} desc limit 1
            ) end as last
    """


def _given(entity: Entity) -> str:
    """The document as a row of the contract's types; what is absent is null here."""
    # `3.0` is a whole number in JSON, but PostgreSQL's integers do not read it.
    taken = ", ".join(f"{quoted(c.name)} {_wide(c)}" for c in entity.columns)
    typed = ", ".join(
        f"{quoted(c.name)}::{c.data_type} as {quoted(c.name)}" for c in entity.columns
    )
    return f"given as (select {typed} from jsonb_to_record($1::jsonb) as document ({taken}))"


def _wide(column: Column) -> str:
    return "numeric" if is_whole(column.data_type) else column.data_type


def _proposed(entity: Entity) -> str:
    """The whole row as it is to be: absent fields have the contract's defaults."""
    values = ", ".join(f"{_proposal(c)} as {quoted(c.name)}" for c in entity.columns)
    return f"proposed as (select {values} from given)"


def _proposal(column: Column) -> str:
    if column.name in PROVENANCE:
        return _provenance(column)
    given = quoted(column.name)
    if column.default is None:
        return given
    default = f"({column.default})::{column.data_type}"
    if column.is_server_owned:
        return default
    return f"case when $1::jsonb ? {literal(column.name)} then {given} else {default} end"


def _if_given(column: Column, source: str, otherwise: str) -> str:
    name = quoted(column.name)
    is_given = f"$1::jsonb ? {literal(column.name)}"
    return f"case when {is_given} then {source}.{name} else {otherwise}.{name} end"


def _provenance(column: Column) -> str:
    return {"updated_at": "clock_timestamp()", "updated_by": "$2::text"}[column.name]


def _warnings(entity: Entity) -> str:
    """JSON array of those rules in $4 whose expression is false for the row."""
    # The first one stands for "no rule", so that there always is a list.
    rules = enumerate(warn_rules(entity))
    held = ["(-1, true)", *(f"({i}, ({rule.expression}))" for i, rule in rules)]
    return f"""
        select coalesce(jsonb_agg($4::jsonb -> judged.place order by judged.place), '[]')
        from (values {", ".join(held)}) as judged (place, holds)
        where not judged.holds
    """
