"""The SQL of an entity's endpoints, made from the contract at start-up.

Identifiers and expressions come from the catalog only; all values are bound. Rows travel as
JSON text both ways: PostgreSQL takes them apart by the contract's types and makes the answers.
One row is written as many are: as a list of one.
"""

# ruff: noqa: S608 - identifiers and expressions are the catalog's, values are bound

from collections.abc import Callable
from dataclasses import dataclass

from api import linking, proposal, versions
from api.journal import journaled, returning
from api.versions import quoted, relation_of
from assay.catalog import PROVENANCE, Column, Entity, Link

FAULTS = "select journal.faults_of($1, $2::jsonb, $3, $4, $5, $6)::text as faults"
"""What a statement over documents refuses of them, each by itself: the statement, its four values,
and how many faults are enough. `faults` is a JSON array of {place, sqlstate, ...}."""


@dataclass(frozen=True)
class Plan:
    """Statements of one entity. `$n` below says what is bound.

    Writes give rows (key, version, body): the row's key, its ETag's and its JSON, none for a
    deletion; they write the journal too. `documents` is a JSON array, and no row is one that
    was not there to be changed, or was changed since the versions.
    """

    one: str
    """key"""
    as_of: str
    """key, time"""
    first_versions: str
    """limit, key"""
    next_versions: str
    """limit, key, version to go on below"""
    insert: str
    """documents, username, entity's name, rules of severity `warn`"""
    insert_once: str
    """as insert; user's id, route, idempotency key, hash of the request. No row: another request
    with that key is at work."""
    replace: str
    """as insert; key, versions that it may have or null"""
    patch: str
    """as replace"""
    patch_many: str
    """as insert; each document has the key. AS404: a row is not there."""
    revert: str
    """version, username, entity's name, rules of severity `warn`, key; also `is_deletion` of the
    version, and no row where there is no such version"""
    delete: str
    """key, username, entity's name, versions that it may have or null"""
    delete_many: str
    """keys as a JSON array, else as insert. AS404: a row is not there."""

    patch_where: Callable[[str], str]
    """With a condition over `target`, whose values begin with $4: documents, username, entity's
    name. A row (count)."""
    delete_where: Callable[[str], str]
    """Likewise, and null in the place of the documents."""


def plan_of(  # noqa: C901, PLR0915 - the statements share their parts
    entity: Entity,
    visible: tuple[Column, ...] | None = None,
    links: tuple[Link, ...] = (),
    *,
    said: bool = False,
) -> Plan:
    """The statements of an entity with a key of one column.

    Answers have the visible columns, and the links; the documents say something of these where they
    are `said`.
    """
    table = relation_of(entity)
    key = quoted(entity.key[0])
    key_type = entity.columns_by_name[entity.key[0]].data_type
    columns = ", ".join(quoted(column.name) for column in entity.columns)
    visible = visible or entity.columns
    shown = ", ".join(quoted(column.name) for column in visible)
    written_row = returning(entity)

    edited = journaled("written", "$3::text")

    def answered(*, said: bool = said) -> str:
        near = f"written.{key}"
        fields = ", ".join([shown, *linking.fields(links, near, said=said)])
        return f"""
            select
                written._new_key as key,
                written._transaction_id::text as version,
                row_to_json(answer.*)::text as body
            from written
            {linking.joins(links, near) if said else ""}
            cross join lateral (
                select {fields}, ({proposal.warnings(entity, visible)}) as warnings
            ) as answer
        """

    def linked(documented: str) -> str:
        if not said:
            return ""
        ctes = [f"documented as ({documented})", *linking.as_said(links)]
        return "".join(f", {cte}" for cte in ctes)

    answer = answered()
    linked_new = linked(f"select {key} as _key, _document from proposed")
    linked_old = linked(f"select {key} as _key, _document from written")
    unlinked = "".join(f", {cte}" for cte in linking.of_deleted(entity))
    turn = f"{linking.turn(entity)}, " if said else ""
    given = turn + proposal.given(entity, linking.HAS_TURN if said else "true")
    proposed = proposal.proposed(entity)
    inserted = f"""
        written as (
            insert into {table} ({columns}) select {columns} from proposed order by _place
            {written_row}
        )
    """

    # The links of a row are seen as they were when the statement began: where it waited for another
    # writer of the row it is begun again.
    unmoved = f"""
        journal.insist(target._transaction_id = (
            select seen._transaction_id from {table} as seen where seen.{key} = target.{key}
        ), '40001')
    """

    def updated(
        source: str, assign: Callable[[Column], str | None], condition: str, name: str = "written"
    ) -> str:
        document = f", {source}._document" if said and name == "written" else ""
        assignments = [f"{quoted(c.name)} = {to}" for c in entity.columns if (to := assign(c))]
        assignments.append("_transaction_id = pg_current_xact_id()")
        if links:
            condition = f"({condition}) and {unmoved}"
        return f"""
            {name} as (
                update {table} as target set {", ".join(assignments)} from {source}
                where {condition}
                {written_row}{document}
            )
        """

    def deleted(source: str, condition: str) -> str:
        if entity.linked_in:
            condition = f"({condition}) and {unmoved} and {linking.HAS_TURN}"
        return (
            f"written as (delete from {table} as target {source} where {condition} {written_row})"
        )

    def versions_in(value: str) -> str:
        return f"""
            ({value}::text[] is null or target._transaction_id = any({value}::text[]::xid8[]))
        """

    this_row = f"target.{key} = $5::text::{key_type} and {versions_in('$6')}"
    that_row = f"target.{key} = given.{key}"
    given_key = f"target.{key} = given.key::{key_type}"
    # Also where no row is written: hence not a condition of the answer.
    or_none = """
        union all
        select null, null, null where not journal.insist(
            (select count(*) from written) = jsonb_array_length($1::jsonb), 'AS404'
        )
    """

    # `clock_timestamp()` stands in the assignments themselves: PostgreSQL computes those again
    # after a wait for another writer of the row.
    def replaced(column: Column) -> str | None:
        if column.name in PROVENANCE:
            return proposal.provenance(column)
        if column.name in entity.key:
            return (
                None if column.is_server_owned else proposal.if_given(column, "proposed", "target")
            )
        if column.is_server_owned and column.default is None:
            return None
        return f"proposed.{quoted(column.name)}"

    def patched(column: Column) -> str | None:
        if column.name in PROVENANCE:
            return proposal.provenance(column)
        return None if column.is_server_owned else proposal.if_given(column, "given", "target")

    def restored(column: Column) -> str | None:
        if column.name in PROVENANCE:
            return proposal.provenance(column)
        return None if column.name in entity.key else f"proposed.{quoted(column.name)}"

    reverted = ", ".join(
        f"{proposal.provenance(c) if c.name in PROVENANCE else quoted(c.name)} as {quoted(c.name)}"
        for c in entity.columns
    )

    whole = ", ".join([shown, *linking.fields(links, f"target.{key}")])

    once = "(select is_ours from turn)" + (f" and {linking.HAS_TURN}" if said else "")
    gone = f"{linking.turn(entity)}, " if entity.linked_in else ""
    given_keys = "using jsonb_array_elements_text($1::jsonb) as given (key)"
    this_key = f"target.{key} = $1::text::{key_type} and {versions_in('$4')}"

    return Plan(
        one=f"""
            select
                target._transaction_id::text as version,
                (select row_to_json(found.*)::text from (select {whole}) as found) as body
            from {table} as target
            where target.{key} = $1::text::{key_type}
        """,
        as_of=versions.as_of(entity, visible),
        first_versions=versions.page(entity, "true", visible),
        next_versions=versions.page(entity, "version < $3::text::bigint", visible),
        insert=f"with {given}, {proposed}, {inserted}, {edited} {linked_new} {answer}",
        insert_once=f"""
            with turn as (
                select pg_try_advisory_xact_lock(
                    hashtextextended(concat_ws(' ', $5::text, $6::text, $7::text), 0)
                ) as is_ours
            ),
            {turn}
            {proposal.given(entity, once)},
            {proposed},
            {inserted},
            {edited}
            {linked_new},
            answered as ({answer}),
            kept as (
                insert into auth.answered_requests (
                    user_id, route, idempotency_key, sha256, keys, versions, bodies
                )
                select
                    $5::text::uuid, $6::text, $7::text, $8::text,
                    array_agg(key), array_agg(version), array_agg(body)
                from answered
                having count(*) > 0
            )
            table answered
        """,
        replace=f"""
            with {given}, {proposed}, {updated("proposed", replaced, this_row)}, {edited}
            {linked_old} {answer}
        """,
        patch=f"""
            with {given}, {updated("given", patched, this_row)}, {edited} {linked_old} {answer}
        """,
        patch_many=f"""
            with {given}, {updated("given", patched, that_row)}, {edited}
            {linked_old} {answer} {or_none}
        """,
        revert=f"""
            with version as (
                select image from {versions.function_of(entity)}($5::text)
                where version = $1::text::bigint
            ),
            proposed as (
                select {reverted}
                from version
                cross join lateral {versions.as_row(entity.columns, "version.image")}
                where version.image is not null
            ),
            {updated("proposed", restored, f"target.{key} = $5::text::{key_type}", "updated")},
            inserted as (
                insert into {table} ({columns})
                select {columns} from proposed where not exists (select from updated)
                {written_row}
            ),
            written as (table updated union all table inserted),
            {journaled("written", "$3::text", "'revert to ' || $1::text")},
            answered as ({answered(said=False)})
            select version.image is null as is_deletion, answered.*
            from version
            left join answered on true
        """,
        delete=f"""
            with {gone} {deleted("", this_key)},
            {edited} {unlinked}
            select _old_key as key from written
        """,
        delete_many=f"""
            with {gone} {deleted(given_keys, given_key)},
            {edited} {unlinked}
            select _old_key as key, null as version, $4::text as body from written {or_none}
        """,
        patch_where=lambda condition: (
            f"""
            with {given}, {updated("given", patched, condition)}, {edited} {linked_old}
            select count(*) as count from written
        """
        ),
        delete_where=lambda condition: (
            f"""
            with {gone} {deleted("", f"$1::text is null and ({condition})")}, {edited} {unlinked}
            select count(*) as count from written
        """
        ),
    )
