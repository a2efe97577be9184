"""What the URL of a list may ask: read, and described in OpenAPI."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter
from starlette.requests import Request

from api.cursor import (
    DEFAULT_LIMIT,
    read_limit,
    read_parameters,
    read_position,
    refuse,
)
from api.errors import Problem
from api.filters import CONDITIONS, Filter, Filters
from api.formats import Format, negotiate
from api.listing import Counting, Listing, Sort, searched, spelled
from api.value_types import type_adapter
from assay.catalog import LIST_PARAMETERS, Catalog, Column, Entity, Link
from assay.data_types import base_type
from assay.grammar import composed

_OF_PAGES = ("limit", "cursor", "expand", "count")
_COUNTINGS: dict[str, Counting] = {"exact": "exact", "estimated": "estimated"}
_TEXT: TypeAdapter[Any] = TypeAdapter(str)
MAX_SEARCH = 500
MAX_SORTS = 5


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
        self._links = {link.name: link for link in entity.links}
        self._expandable = expandable(entity, catalog)

    def filter(self, request: Request) -> Filter:
        """Only conditions. Raises `Problem` 422."""
        read_parameters(request, CONDITIONS)
        return self._filters.read(request.query_params.multi_items())

    def read(self, request: Request, *others: str) -> Listing:
        """The query, in which there may be `others` too.

        Raises:
            Problem: 422.
        """
        parameters = read_parameters(request, CONDITIONS)
        sorts = self._sorts(parameters.get("sort", ""))
        columns, links = self._fields(parameters.get("fields"))
        cursor = parameters.get("cursor", "")
        format_ = negotiate(request, parameters.get("format"))
        if format_ != "json":
            for name in _OF_PAGES:
                if name in parameters:
                    refuse(name, f"A file has no pages: {format_} is all rows.")
            if links:
                refuse("fields", f"{links[0].name}: a file has no links; they have a list.")
        return Listing(
            entity=self._entity,
            limit=read_limit(parameters.get("limit", str(DEFAULT_LIMIT))),
            after=self._after(cursor, sorts) if cursor else (),
            sorts=sorts,
            filter=self._filters.read(
                request.query_params.multi_items(), (*LIST_PARAMETERS, *others)
            ),
            search=self._search(parameters.get("q")),
            columns=columns,
            links=links,
            expanded=self._expanded(parameters.get("expand")),
            counting=_counting(parameters.get("count")),
            format=format_,
            template=_template(parameters, format_),
            has_bom=_bom(parameters.get("bom"), format_),
            is_sorted="sort" in parameters,
        )

    def _sorts(self, text: str) -> tuple[Sort, ...]:
        sorts: dict[str, Sort] = {}
        items = _names("sort", text)
        for item in items:
            name = item.removeprefix("-")
            if name not in self._sortable:
                refuse("sort", f"There is no column {name} to sort by.")
            if items.count(item) > 1:
                refuse("sort", f"{item} is there twice.")
            # the other way round decides nothing more
            sorts.setdefault(name, Sort(self._sortable[name], item.startswith("-")))
        if len(items) > MAX_SORTS:
            refuse("sort", f"These are more than {MAX_SORTS} columns.")
        sorts.setdefault(self._key.name, Sort(self._key, is_descending=False))
        # what follows the key never decides
        return tuple(sorts.values())[: list(sorts).index(self._key.name) + 1]

    def _after(self, cursor: str, sorts: tuple[Sort, ...]) -> tuple[str | None, ...]:
        types = (_TEXT, *(self._adapters[sort.column.name] for sort in sorts))
        try:
            sort, *values = read_position("cursor", cursor, types)
        except Problem:
            refuse("cursor", "The cursor is not one that a page of this list and sort gave.")
        if sort != spelled(sorts):
            refuse("cursor", "The cursor is of another sort: begin with the first page.")
        return tuple(values)

    def _search(self, text: str | None) -> str | None:
        if text is None:
            return None
        if not searched(self._entity):
            refuse("q", "There is no such parameter.")
        if not text.strip() or len(text) > MAX_SEARCH or "\0" in text:
            refuse("q", f"Give 1 to {MAX_SEARCH} characters to search for.")
        return composed(text)

    def _fields(
        self, text: str | None
    ) -> tuple[tuple[Column, ...] | None, tuple[Link, ...] | None]:
        if text is None:
            return None, None
        chosen = tuple(_chosen("fields", text, {**self._entity.columns_by_name, **self._links}))
        return (
            tuple(field for field in chosen if isinstance(field, Column)),
            tuple(field for field in chosen if isinstance(field, Link)),
        )

    def _expanded(self, text: str | None) -> tuple[Column | Link, ...]:
        return tuple(_chosen("expand", text, self._expandable)) if text is not None else ()


def _chosen(
    parameter: str, text: str, known: Mapping[str, Column | Link]
) -> Iterator[Column | Link]:
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


def expandable(entity: Entity, catalog: Catalog) -> dict[str, Column | Link]:
    """What holds keys of an entity that the API serves: columns by name, links by path."""
    served = {target.name for target in catalog.served}
    columns = {column.name: column for column in entity.columns if column.references in served}
    links = {link.path: link for link in entity.links if link.far.references in served}
    return {**columns, **links}


def _names(parameter: str, text: str) -> list[str]:
    if not text:
        return []
    names = text.split(",")
    if "" in names:
        refuse(parameter, "A name is missing between the commas.")
    return names


def _template(parameters: dict[str, str], format_: Format) -> str | None:
    if "form" not in parameters:
        if "source" in parameters:
            refuse("source", "This goes with form=template.")
        return None
    if parameters["form"] != "template":
        refuse("form", "The form is template.")
    if format_ not in ("csv", "xlsx"):
        refuse("form", "A template is csv or xlsx.")
    if "fields" in parameters:
        refuse("fields", "A template has the columns of its source.")
    if parameters.get("source") == "":
        refuse("source", "There is no such source table.")
    return parameters.get("source", "")


def _bom(text: str | None, format_: Format) -> bool:
    if text is None:
        return False
    if text not in ("true", "false"):
        refuse("bom", "Give true or false.")
    if format_ != "csv":
        refuse("bom", "Only CSV has a byte order mark.")
    return text == "true"


def _counting(text: str | None) -> Counting | None:
    if text is None:
        return None
    if text not in _COUNTINGS:
        refuse("count", "The count is exact or estimated.")
    return _COUNTINGS[text]
