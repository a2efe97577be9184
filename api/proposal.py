"""The SQL of rows that are proposed: documents as rows of the contract, its defaults, its warnings.

`$1` is a JSON array of documents, `$2` the user, `$4` the rules of severity `warn`, as JSON.
"""

# ruff: noqa: S608 - identifiers and expressions are the catalog's, values are bound

import json

from api.value_types import is_whole
from api.versions import quoted, relation_of
from assay.catalog import PROVENANCE, Column, Entity, Rule


def given(entity: Entity, condition: str = "true") -> str:
    """The documents as rows of the contract's types; what is absent is null here."""
    # `3.0` is a whole number in JSON, but PostgreSQL's integers do not read it.
    taken = ", ".join(f"{quoted(c.name)} {_wide(c)}" for c in entity.columns)
    typed = ", ".join(
        f"record.{quoted(c.name)}::{c.data_type} as {quoted(c.name)}" for c in entity.columns
    )
    return f"""
        given as (
            select element._document, element._place, {typed}
            from jsonb_array_elements(
                case when {condition} then $1::jsonb else '[]' end
            ) with ordinality as element (_document, _place)
            cross join lateral jsonb_to_record(element._document) as record ({taken})
        )
    """


def _wide(column: Column) -> str:
    return "numeric" if is_whole(column.data_type) else column.data_type


def proposed(entity: Entity) -> str:
    """The whole rows as they are to be: absent fields have the contract's defaults."""
    values = ", ".join(f"{_proposal(c)} as {quoted(c.name)}" for c in entity.columns)
    return f"proposed as (select _document, _place, {values} from given)"


def _proposal(column: Column) -> str:
    given, default = quoted(column.name), unsaid(column)
    if default is None:
        return given
    if column.is_server_owned:
        return default
    return f"case when _document ? {literal(column.name)} then {given} else {default} end"


def unsaid(column: Column) -> str | None:
    """What a column is of which a writer says nothing; None where it is null."""
    if column.name in PROVENANCE:
        return provenance(column)
    return None if column.default is None else f"({column.default})::{column.data_type}"


def if_given(column: Column, source: str, otherwise: str) -> str:
    name = quoted(column.name)
    is_given = f"{source}._document ? {literal(column.name)}"
    return f"case when {is_given} then {source}.{name} else {otherwise}.{name} end"


def provenance(column: Column) -> str:
    return {"updated_at": "clock_timestamp()", "updated_by": "$2::text"}[column.name]


def warnings(entity: Entity, visible: tuple[Column, ...]) -> str:
    """JSON array of those rules in $4 that the row of `written` breaks, as far as it is visible."""
    names = {column.name for column in visible}
    rules = [(i, r) for i, r in enumerate(warn_rules(entity)) if names.issuperset(r.columns)]
    # The first one stands for "no rule", so that there always is a list.
    held = ["(-1, true)", *(f"({i}, ({_holds(entity, rule)}))" for i, rule in rules)]
    return f"""
        select coalesce(jsonb_agg($4::jsonb -> judged.place order by judged.place), '[]')
        from (values {", ".join(held)}) as judged (place, holds)
        where not judged.holds
    """


def _holds(entity: Entity, rule: Rule) -> str:
    if rule.expression:
        return rule.expression
    # The statement sees the table as it was before it; `written` has the rows as they are now.
    # Not asked row by row: the columns need no index.
    key = quoted(entity.key[0])
    columns = ", ".join(quoted(column) for column in rule.columns)
    return f"""
        ({columns}) not in (
            select {columns}
            from (
                select {columns} from {relation_of(entity)} as old
                where not exists (select from written as new where new.{key} = old.{key})
                union all
                select {columns} from written
            ) as all_rows
            where ({columns}) is not null
            group by {columns} having count(*) > 1
        )
    """


def warnings_of(entity: Entity) -> str:
    """What $4 of the writes is: those rules as they are told to people, as JSON."""
    return json.dumps(
        [{"name": r.name, "message": r.message, "columns": r.columns} for r in warn_rules(entity)]
    )


def warn_rules(entity: Entity) -> tuple[Rule, ...]:
    """The rules that a written row is judged by and may break, in the order of their list."""
    return tuple(
        rule
        for rule in entity.rules
        if rule.severity == "warn" and (rule.expression or rule.kind == "unique")
    )


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
