"""The SQL of links: rows of another entity that belong to a row, by their keys.

A field of links is no column: its keys stand in the entity that has a row for each link, and are
written there by the statement that writes the row. `$2` is the user.
"""

# ruff: noqa: S608 - identifiers and expressions are the catalog's, values are bound

from collections.abc import Iterator

from api.journal import journaled, returning
from api.proposal import literal, unsaid
from api.value_types import is_whole
from api.versions import quoted, relation_of
from assay.catalog import Column, Entity, Link


def rows(link: Link, near: str, target: Entity, seen: tuple[Column, ...]) -> str:
    """The rows that a row is linked with, with the columns that the caller sees, as JSON."""
    key = f"other.{quoted(target.key[0])}"
    columns = ", ".join(f"other.{quoted(column.name)}" for column in seen)
    row = f"(select row_to_json(shown.*) from (select {columns}) as shown)"
    others = f"inner join {relation_of(target)} as other on {key} = link.{quoted(link.far.name)}"
    return _of_links(link, near, f"{row} order by {key}", others)


def _of_links(link: Link, near: str, aggregated: str, others: str = "") -> str:
    return f"""
        (
            select coalesce(json_agg({aggregated}), '[]')
            from {relation_of(link.through)} as link {others}
            where link.{quoted(link.near.name)} = {near}
        )
    """


HAS_TURN = "(select count(*) = 1 from links_turn)"


def turn(entity: Entity) -> str:
    """The CTE that waits for others who change links; what reads `HAS_TURN` comes after it.

    Each takes rows of both ends, in an order of its own.
    """
    name = literal(f"links of {entity.link_turn}")
    return f"links_turn as (select pg_advisory_xact_lock(hashtextextended({name}, 0)))"


def as_said(links: tuple[Link, ...]) -> Iterator[str]:
    """CTEs that make links of rows what their documents say, in `documented` (_key, _document)."""
    for n, link in enumerate(links):
        near, far, field = quoted(link.near.name), quoted(link.far.name), literal(link.name)
        # `3.0` is a whole number in JSON, but PostgreSQL's integers do not read it.
        number = "::numeric" if is_whole(link.far.data_type) else ""
        yield f"""
            said_{n} as (
                select distinct
                    documented._key as near, element{number}::{link.far.data_type} as far
                from documented
                cross join jsonb_array_elements_text(documented._document -> {field}) as element
            )
        """
        yield f"""
            unlinked_{n} as (
                delete from {relation_of(link.through)} as target using documented
                where
                    target.{near} = documented._key
                    and documented._document ? {field}
                    and not exists (
                        select from said_{n} as said
                        where said.near = target.{near} and said.far = target.{far}
                    )
                {returning(link.through)}
            )
        """
        yield f"linked_{n} as ({_insert(link, f'said_{n}')})"
        yield journaled(f"unlinked_{n}", literal(link.through.name))
        yield journaled(f"linked_{n}", literal(link.through.name))


def unknown(link: Link, target: Entity) -> str:
    """Binds a JSON array of documents. Rows (document, place, key) of keys that lead nowhere."""
    number = "::numeric" if is_whole(link.far.data_type) else ""
    return f"""
        select item.place - 1 as document, element.place - 1 as place, element.key
        from jsonb_array_elements($1::text::jsonb) with ordinality as item (document, place)
        cross join
            jsonb_array_elements_text(item.document -> {literal(link.name)})
            with ordinality as element (key, place)
        where not exists (
            select from {relation_of(target)} as other
            where other.{quoted(target.key[0])} = element.key{number}::{link.far.data_type}
        )
        order by document, place
        limit 100
    """


def of_deleted(entity: Entity) -> Iterator[str]:
    """CTEs that take the links of the deleted rows in `written` away."""
    key_type = entity.columns_by_name[entity.key[0]].data_type
    for n, through in enumerate(entity.linked_in):
        ends = ", ".join(f"target.{quoted(c.name)}" for c in through.references(entity))
        yield f"""
            unlinked_{n} as (
                delete from {relation_of(through)} as target using written
                where written._old_key::{key_type} in ({ends})
                {returning(through)}
            )
        """
        yield journaled(f"unlinked_{n}", literal(through.name))


def fields(links: tuple[Link, ...], near: str, *, said: bool = False) -> list[str]:
    """For a select list, the keys that a row is linked with in their order, as JSON arrays.

    A statement does not see what it writes: `said` takes it from the CTEs, joined by `joins`.
    """
    found = []
    for n, link in enumerate(links):
        far = f"link.{quoted(link.far.name)}"
        linked = _of_links(link, near, f"{far} order by {far}")
        if said:
            is_said = f"documented._document ? {literal(link.name)}"
            linked = f"case when {is_said} then coalesce(keys_{n}.keys, '[]') else {linked} end"
        found.append(f"{linked} as {quoted(link.name)}")
    return found


def joins(links: tuple[Link, ...], near: str) -> str:
    keys_said = (
        f"""
        left join (
            select near, json_agg(far order by far) as keys from said_{n} group by near
        ) as keys_{n} on keys_{n}.near = {near}
        """
        for n in range(len(links))
    )
    return f"left join documented on documented._key = {near} {' '.join(keys_said)}"


def link_statement(link: Link) -> str:
    """Binds key, user, key of the other. A row (count) of the links that were not there."""
    near, far = link.near.data_type, link.far.data_type
    given = f"(select $1::text::{near} as near, $3::text::{far} as far where {HAS_TURN})"
    return _counted(_insert(link, given), link)


def unlink_statement(link: Link) -> str:
    """Likewise, of the links that were there."""
    near, far = link.near.data_type, link.far.data_type
    delete = f"""
        delete from {relation_of(link.through)} as target
        where
            target.{quoted(link.near.name)} = $1::text::{near}
            and target.{quoted(link.far.name)} = $3::text::{far}
            and {HAS_TURN}
        {returning(link.through)}
    """
    return _counted(delete, link)


def _counted(write: str, link: Link) -> str:
    return f"""
        with
        {turn(link.through)},
        changed as ({write}),
        {journaled("changed", literal(link.through.name))}
        select count(*) as count, $2::text as username from changed
    """


def _insert(link: Link, source: str) -> str:
    """Those of a relation (near, far) that are not there."""
    given = (link.near.name, link.far.name)
    values = {
        column.name: quoted(column.name) if column.name in given else unsaid(column)
        for column in link.through.columns
    }
    names = ", ".join(quoted(name) for name, value in values.items() if value)
    return f"""
        insert into {relation_of(link.through)} ({names})
        select {", ".join(value for value in values.values() if value)}
        from (
            select near as {quoted(given[0])}, far as {quoted(given[1])}
            from {source} as linked order by near, far
        ) as linked
        on conflict ({quoted(given[0])}, {quoted(given[1])}) do nothing
        {returning(link.through)}
    """
