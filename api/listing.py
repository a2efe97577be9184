"""Lists of an entity's rows: what a query asks for, and the SQL that answers it."""

# ruff: noqa: S608 - identifiers and types are the catalog's, values are bound

import json
from dataclasses import dataclass
from typing import Literal

from api import linking
from api.filters import Filter, Values
from api.formats import Format
from api.proposal import literal
from api.versions import quoted, relation_of
from assay.catalog import Column, Entity, Link
from assay.data_types import base_type

Counting = Literal["exact", "estimated"]


@dataclass(frozen=True)
class Sort:
    column: Column
    is_descending: bool

    def sql(self) -> str:
        nulls = " nulls last" if self.column.is_nullable else ""
        return f"target.{quoted(self.column.name)}{' desc' * self.is_descending}{nulls}"

    def __str__(self) -> str:
        return f"{'-' * self.is_descending}{self.column.name}"


@dataclass(frozen=True)
class Listing:
    """Which rows, in which order, and what of each."""

    entity: Entity
    limit: int
    after: tuple[str | None, ...]
    """The values of `sorts` in the last row of the page before."""
    sorts: tuple[Sort, ...]
    """The last one is the key, so the order is total."""
    filter: Filter
    search: str | None
    columns: tuple[Column, ...] | None
    """Those that were asked for by name; else all that the caller may see."""
    links: tuple[Link, ...] | None
    """Likewise."""
    expanded: tuple[Column | Link, ...]
    """Whose row, or rows, in the other entity are to come too."""
    counting: Counting | None
    format: Format = "json"
    template: str | None = None
    """The source table whose columns a file is to have, not the entity's; "" for the only one."""
    has_bom: bool = False
    """A CSV file begins with a byte order mark, by which Excel knows that it is UTF-8."""
    is_sorted: bool = True
    """The query names a sort; all rows at once need no other order."""

    @property
    def named(self) -> tuple[str, ...]:
        """Columns and links of which the answer tells something because the query says so."""
        columns = (
            *(self.columns or ()),
            *(self.links or ()),
            *(sort.column for sort in self.sorts),
            *(searched(self.entity) if self.search is not None else ()),
            *self.expanded,
        )
        return (*(column.name for column in columns), *self.filter.names)

    def page(
        self,
        seen: tuple[Column, ...],
        links: tuple[Link, ...],
        targets: dict[str, tuple[Entity, tuple[Column, ...]]],
    ) -> tuple[str, Values]:
        """Rows (item, position): JSON text, one more row than the limit if there are more.

        The caller sees these columns and links, and those columns of the entities that what is
        expanded refers to.
        """
        values = Values()
        places = ", ".join(f"target.{quoted(sort.column.name)}" for sort in self.sorts)
        conditions = self._conditions(values)
        after = _after(self.sorts, self.after, values) if self.after else "true"
        sql = f"""
            select
                (
                    select row_to_json(item.*)
                    from (select {self._items(seen, links, targets)}) as item
                )::text as item,
                json_build_array({places})::text as position
            from {relation_of(self.entity)} as target
            where {conditions} and {after}
            order by {self._order()}
            limit {self.limit + 1}
        """
        return sql, values

    def rows(self, columns: tuple[Column, ...]) -> tuple[str, Values]:
        """All rows, with these columns, and in an order only if the query names one."""
        values = Values()
        listed = ", ".join(f"target.{quoted(column.name)}" for column in columns)
        sql = f"""
            select {listed}
            from {relation_of(self.entity)} as target
            where {self._conditions(values)}
            {f"order by {self._order()}" if self.is_sorted else ""}
        """
        return sql, values

    def count(self) -> tuple[str, Values]:
        """One row (count), or for an estimate one row with the plan in JSON."""
        values = Values()
        counted = "count(*) as count" if self.counting == "exact" else "1"
        sql = f"""
            select {counted} from {relation_of(self.entity)} as target
            where {self._conditions(values)}
        """
        return (sql if self.counting == "exact" else f"explain (format json) {sql}"), values

    def position(self, values: str) -> str:
        """What the cursor holds that goes on after a row, whose `position` this is."""
        return f"[{json.dumps(spelled(self.sorts))}, {values.removeprefix('[')}"

    def _conditions(self, values: Values) -> str:
        held = self.filter.sql(values)
        if self.search is None:
            return held
        query = f"websearch_to_tsquery('simple', {values.bind(self.search)})"
        return f"{held} and {document(self.entity, 'target')} @@ {query}"

    def _order(self) -> str:
        return ", ".join(sort.sql() for sort in self.sorts)

    def _items(
        self,
        seen: tuple[Column, ...],
        links: tuple[Link, ...],
        targets: dict[str, tuple[Entity, tuple[Column, ...]]],
    ) -> str:
        columns = seen if self.columns is None else self.columns
        key = f"target.{quoted(self.entity.key[0])}"
        items = [f"target.{quoted(column.name)}" for column in columns]
        items += linking.fields(links if self.links is None else self.links, key)
        if self.expanded:
            members = ", ".join(
                f"{literal(one.path)}, {linking.rows(one, key, *targets[one.path])}"
                if isinstance(one, Link)
                else f"{literal(one.name)}, {_expansion(one, *targets[one.name])}"
                for one in self.expanded
            )
            items.append(f"json_build_object({members}) as _expanded")
        return ", ".join(items)


def searched(entity: Entity) -> tuple[Column, ...]:
    """The columns whose words `q` looks for: those with an index, else all of text."""
    if entity.search:
        return tuple(entity.columns_by_name[name] for name in entity.search)
    return tuple(c for c in entity.columns if base_type(c.data_type) == "text")


def document(entity: Entity, table: str) -> str:
    """The words of a row, as the macro `search_document` has them in the index."""
    texts = " || ' ' || ".join(
        f"coalesce({table}.{quoted(column.name)}, '')" for column in searched(entity)
    )
    return f"to_tsvector('simple'::regconfig, {texts})"


def _after(sorts: tuple[Sort, ...], position: tuple[str | None, ...], values: Values) -> str:
    """Rows behind a position; nulls come last in both directions."""
    (sort, *others), (value, *following) = sorts, position
    name = f"target.{quoted(sort.column.name)}"
    then = _after(tuple(others), tuple(following), values) if others else "false"
    if value is None:
        return f"({name} is null and {then})"
    bound = f"{values.bind(value)}::{sort.column.data_type}"
    beyond = f"{name} {'<' if sort.is_descending else '>'} {bound}"
    if not others:
        return beyond
    if sort.column.is_nullable:
        beyond = f"{beyond} or {name} is null"
    return f"({beyond} or ({name} = {bound} and {then}))"


def _expansion(column: Column, target: Entity, seen: tuple[Column, ...]) -> str:
    columns = ", ".join(f"other.{quoted(c.name)}" for c in seen)
    return f"""
        (
            select row_to_json(found.*)
            from (
                select {columns} from {relation_of(target)} as other
                where other.{quoted(target.key[0])} = target.{quoted(column.name)}
            ) as found
        )
    """


def spelled(sorts: tuple[Sort, ...]) -> str:
    return ",".join(map(str, sorts))
