"""Lists in the OpenAPI document: the parameters that they take."""

from typing import Any

from api.cursor import CURSOR, LIMIT, MAX_LIMIT
from api.filter_documents import documented_filters, escaped
from api.formats import MEDIA_TYPES
from api.listing import searched
from api.parameters import MAX_SEARCH, MAX_SORTS, expandable, is_sortable
from api.schemas import name_of
from assay.catalog import Catalog, Entity


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

    def some_of(names: list[str], what: str) -> dict[str, Any]:
        items = {"title": f"{name_of(entity)}{what}", "type": "string", "enum": names}
        return {"type": "array", "items": items, "minItems": 1, "uniqueItems": True}

    sortable = [column.name for column in entity.columns if is_sortable(column)]
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}
    sorts = "|".join(map(escaped, sortable))
    parameters = [
        parameter("limit", LIMIT, limit),
        parameter(
            "cursor",
            "`next` of the page before, with the same sort; empty for the first page.",
            {"type": "string", **CURSOR},
        ),
        parameter(
            "sort",
            f"At most {MAX_SORTS} columns in their order; `-` before one turns it round. "
            "Nulls come last; rows that are equal so far come by their key.",
            {
                "type": "array",
                "items": {"type": "string", "pattern": f"^-?({sorts})$"},
                "minItems": 1,
                "maxItems": MAX_SORTS,
                "uniqueItems": True,
            },
        ),
        parameter(
            "fields",
            "Only these columns.",
            some_of([*entity.columns_by_name, *(link.name for link in entity.links)], "Field"),
        ),
        parameter(
            "count",
            "Also how many rows there are on all pages: exact, or PostgreSQL's estimate, "
            "which is fast however many there are.",
            {"type": "string", "enum": ["exact", "estimated"]},
        ),
    ]
    parameters.append(
        parameter(
            "format",
            "Instead of `Accept`. All but JSON are files with all rows: no pages then.",
            {"type": "string", "enum": list(MEDIA_TYPES)},
        )
    )
    parameters.append(
        parameter(
            "bom",
            "Begin a CSV file with a byte order mark: Excel then reads it as UTF-8.",
            {"type": "boolean"},
        )
    )
    if entity.file_sources:
        parameters += [
            parameter(
                "form",
                "A CSV or XLSX file as it is uploaded, with the headers of its source.",
                {"type": "string", "enum": ["template"]},
            ),
            parameter(
                "source",
                "Which source, where there are several.",
                {"type": "string", "enum": list(entity.file_sources)},
            ),
        ]
    if searched(entity):
        titles = ", ".join(column.title for column in searched(entity))
        description = (
            f"Words that are in {titles}, in any case: all of them; `or` between two for one of "
            'them, "in quotes" for a phrase, `-` before one for its absence.'
        )
        schema = {"type": "string", "minLength": 1, "maxLength": MAX_SEARCH, "pattern": r"\S"}
        parameters.append(parameter("q", description, schema))
    if names := list(expandable(entity, catalog)):
        description = "Also the rows that these refer to, in `_expanded`."
        parameters.append(parameter("expand", description, some_of(names, "Reference")))
    return [*parameters, *documented_filters(entity)]
