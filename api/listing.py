"""Lists of an entity's rows: what a query asks for, and the SQL that answers it."""

# ruff: noqa: S608 - identifiers and types are the catalog's, values are bound

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter
from starlette.requests import Request

from api.cursor import DEFAULT_LIMIT, MAX_LIMIT, read_limit, read_parameters, read_position, refuse
from api.errors import Problem
from api.filters import Filter, Filters, Values, documented_filters
from api.query import literal
from api.schemas import base_type, type_adapter
from api.versions import quoted
from assay.catalog import Catalog, Column, Entity

Counting = Literal["exact", "estimated"]
_COUNTINGS: dict[str, Counting] = {"exact": "exact", "estimated": "estimated"}
PARAMETERS = ("limit", "cursor", "sort", "fields", "expand", "count", "q")
_TEXT: TypeAdapter[Any] = TypeAdapter(str)
_MAX_SEARCH = 500
_MAX_SORTS = 5


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
    expanded: tuple[Column, ...]
    """Columns whose row in the other entity is to come too."""
    counting: Counting | None

    @property
    def named(self) -> Iterator[str]:
        """Columns of which the answer tells something because the query says so."""
        columns = (
            *(self.columns or ()),
            *self.filter.columns,
            *(sort.column for sort in self.sorts),
            *(searched(self.entity) if self.search is not None else ()),
            *self.expanded,
        )
        return (column.name for column in columns)

    def page(
        self, seen: tuple[Column, ...], targets: dict[str, tuple[Entity, tuple[Column, ...]]]
    ) -> tuple[str, Values]:
        """Rows (item, position): JSON text, one more row than the limit if there are more.

        The caller sees these columns, and those of the entities that expanded columns refer to.
        """
        values = Values()
        places = ", ".join(f"target.{quoted(sort.column.name)}" for sort in self.sorts)
        conditions = self._conditions(values)
        after = _after(self.sorts, self.after, values) if self.after else "true"
        sql = f"""
            select
                (
                    select row_to_json(item.*)
                    from (select {self._items(seen, targets)}) as item
                )::text as item,
                json_build_array({places})::text as position
            from {_relation(self.entity)} as target
            where {conditions} and {after}
            order by {self._order()}
            limit {self.limit + 1}
        """
        return sql, values

    def rows(self, columns: tuple[Column, ...]) -> tuple[str, Values]:
        """All rows, with these columns."""
        values = Values()
        listed = ", ".join(f"target.{quoted(column.name)}" for column in columns)
        sql = f"""
            select {listed}
            from {_relation(self.entity)} as target
            where {self._conditions(values)}
            order by {self._order()}
        """
        return sql, values

    def count(self) -> tuple[str, Values]:
        """One row (count), or for an estimate one row with the plan in JSON."""
        values = Values()
        counted = "count(*) as count" if self.counting == "exact" else "1"
        sql = f"""
            select {counted} from {_relation(self.entity)} as target
            where {self._conditions(values)}
        """
        return (sql if self.counting == "exact" else f"explain (format json) {sql}"), values

    def position(self, values: str) -> str:
        """What the cursor holds that goes on after a row, whose `position` this is."""
        return f"[{json.dumps(_spelled(self.sorts))}, {values.removeprefix('[')}"

    def _conditions(self, values: Values) -> str:
        held = self.filter.sql(values)
        if self.search is None:
            return held
        query = f"websearch_to_tsquery('simple', {values.bind(self.search)})"
        return f"{held} and {document(self.entity, 'target')} @@ {query}"

    def _order(self) -> str:
        return ", ".join(sort.sql() for sort in self.sorts)

    def _items(
        self, seen: tuple[Column, ...], targets: dict[str, tuple[Entity, tuple[Column, ...]]]
    ) -> str:
        items = [f"target.{quoted(column.name)}" for column in self.columns or seen]
        if self.expanded:
            members = ", ".join(
                f"{literal(column.name)}, {_expansion(column, *targets[column.name])}"
                for column in self.expanded
            )
            items.append(f"json_build_object({members}) as _expanded")
        return ", ".join(items)


class Listings:
    """Reads what is asked of one entity's list."""

    def __init__(self, entity: Entity, catalog: Catalog) -> None:
        self._entity = entity
        self._filters = Filters(entity)
        self._key = entity.columns_by_name[entity.key[0]]
        self._sortable = {column.name: column for column in entity.columns if is_sortable(column)}
        self._adapters = {
            column.name: type_adapter(column.data_type, is_nullable=column.is_nullable)
            for column in self._sortable.values()
        }
        self._expandable = {column.name: column for column in expandable(entity, catalog)}

    def filter(self, request: Request) -> Filter:
        """Only conditions. Raises `Problem` 422."""
        return self._filters.read(read_parameters(request))

    def read(self, request: Request, *others: str) -> Listing:
        """The query, in which there may be `others` too.

        Raises:
            Problem: 422.
        """
        parameters = read_parameters(request)
        sorts = self._sorts(parameters.get("sort", ""))
        cursor = parameters.get("cursor", "")
        return Listing(
            entity=self._entity,
            limit=read_limit(parameters.get("limit", str(DEFAULT_LIMIT))),
            after=self._after(cursor, sorts) if cursor else (),
            sorts=sorts,
            filter=self._filters.read(parameters, (*PARAMETERS, *others)),
            search=self._search(parameters.get("q")),
            columns=self._columns(parameters.get("fields")),
            expanded=self._expanded(parameters.get("expand")),
            counting=_counting(parameters.get("count")),
        )

    def _sorts(self, text: str) -> tuple[Sort, ...]:
        sorts: dict[str, Sort] = {}
        for item in _names("sort", text):
            name = item.removeprefix("-")
            if name not in self._sortable:
                refuse("sort", f"There is no column {name} to sort by.")
            if name in sorts:
                refuse("sort", f"{name} is there twice.")
            sorts[name] = Sort(self._sortable[name], item.startswith("-"))
        if len(sorts) > _MAX_SORTS:
            refuse("sort", f"These are more than {_MAX_SORTS} columns.")
        sorts.setdefault(self._key.name, Sort(self._key, is_descending=False))
        # what follows the key never decides
        return tuple(sorts.values())[: list(sorts).index(self._key.name) + 1]

    def _after(self, cursor: str, sorts: tuple[Sort, ...]) -> tuple[str | None, ...]:
        types = (_TEXT, *(self._adapters[sort.column.name] for sort in sorts))
        try:
            spelled, *values = read_position("cursor", cursor, types)
        except Problem:
            refuse("cursor", "The cursor is not one that a page of this list and sort gave.")
        if spelled != _spelled(sorts):
            refuse("cursor", "The cursor is of another sort: begin with the first page.")
        return tuple(values)

    def _search(self, text: str | None) -> str | None:
        if text is None:
            return None
        if not searched(self._entity):
            refuse("q", "There is no such parameter.")
        if not text.strip() or len(text) > _MAX_SEARCH or "\0" in text:
            refuse("q", f"Give 1 to {_MAX_SEARCH} characters to search for.")
        return text

    def _columns(self, text: str | None) -> tuple[Column, ...] | None:
        return (
            None
            if text is None
            else tuple(self._chosen("fields", text, self._entity.columns_by_name))
        )

    def _expanded(self, text: str | None) -> tuple[Column, ...]:
        return tuple(self._chosen("expand", text, self._expandable)) if text is not None else ()

    def _chosen(self, parameter: str, text: str, known: dict[str, Column]) -> Iterator[Column]:
        names = _names(parameter, text)
        if not names:
            refuse(parameter, "Give names of columns between commas.")
        if len(set(names)) < len(names):
            refuse(parameter, "A column is there twice.")
        for name in names:
            if name not in known:
                refuse(parameter, f"There is no such column: {name}.")
            yield known[name]


def is_sortable(column: Column) -> bool:
    base = base_type(column.data_type)
    return base != "jsonb" and not base.endswith("[]")


def expandable(entity: Entity, catalog: Catalog) -> tuple[Column, ...]:
    """Columns that hold the key of an entity that the API serves."""
    served = {target.name for target in catalog.served}
    return tuple(column for column in entity.columns if column.references in served)


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


def documented_listing(entity: Entity, catalog: Catalog) -> list[dict[str, Any]]:
    """The parameters of a list in OpenAPI."""

    def parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": name,
            "in": "query",
            "description": description,
            "schema": schema,
            **({"style": "form", "explode": False} if schema["type"] == "array" else {}),
        }

    def some_of(names: list[str]) -> dict[str, Any]:
        items = {"type": "string", "enum": names}
        return {"type": "array", "items": items, "minItems": 1, "uniqueItems": True}

    sortable = [column.name for column in entity.columns if is_sortable(column)]
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    parameters = [
        parameter("limit", "Rows on a page.", limit),
        parameter(
            "cursor",
            "`next` of the page before, with the same sort; empty for the first page.",
            {"type": "string"},
        ),
        parameter(
            "sort",
            f"At most {_MAX_SORTS} columns in their order; `-` before one turns it round. "
            "Nulls come last; rows that are equal so far come by their key.",
            {**some_of([*sortable, *(f"-{name}" for name in sortable)]), "maxItems": _MAX_SORTS},
        ),
        parameter("fields", "Only these columns.", some_of([c.name for c in entity.columns])),
        parameter(
            "count",
            "Also how many rows there are on all pages: exact, or PostgreSQL's estimate, "
            "which is fast however many there are.",
            {"type": "string", "enum": ["exact", "estimated"]},
        ),
    ]
    if searched(entity):
        titles = ", ".join(column.title for column in searched(entity))
        description = (
            f"Words that are in {titles}, in any case: all of them; `or` between two for one of "
            'them, "in quotes" for a phrase, `-` before one for its absence.'
        )
        schema = {"type": "string", "minLength": 1, "maxLength": _MAX_SEARCH, "pattern": r"\S"}
        parameters.append(parameter("q", description, schema))
    if names := [column.name for column in expandable(entity, catalog)]:
        description = "Also the rows that these columns refer to, in `_expanded`."
        parameters.append(parameter("expand", description, some_of(names)))
    return [*parameters, *documented_filters(entity)]


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
                select {columns} from {_relation(target)} as other
                where other.{quoted(target.key[0])} = target.{quoted(column.name)}
            ) as found
        )
    """


def _relation(entity: Entity) -> str:
    return f"{quoted(entity.schema)}.{quoted(entity.table)}"


def _spelled(sorts: tuple[Sort, ...]) -> str:
    return ",".join(map(str, sorts))


def _names(parameter: str, text: str) -> list[str]:
    if not text:
        return []
    names = text.split(",")
    if "" in names:
        refuse(parameter, "A name is missing between the commas.")
    return names


def _counting(text: str | None) -> Counting | None:
    if text is None:
        return None
    if text not in _COUNTINGS:
        refuse("count", "The count is exact or estimated.")
    return _COUNTINGS[text]
