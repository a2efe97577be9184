"""Conditions in the OpenAPI document: the operators, and the parameters that take them."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from api.filters import GROUPS, operators_of
from api.schemas import name_of
from assay.catalog import Entity

DESCRIPTIONS = {
    "eq": "equals; also without the operator",
    "ne": "differs, or is null",
    "in": "is one of, between commas; what holds a comma stands in double quotes",
    "isnull": "is null: `true` or `false`",
    "lt": "is less than",
    "lte": "is at most",
    "gt": "is greater than",
    "gte": "is at least",
    "contains": "holds this; of a list, as a whole item",
    "icontains": "holds this, in any case",
    "startswith": "begins with this",
}


def documented_filters(entity: Entity) -> list[dict[str, Any]]:
    """The conditions in OpenAPI: three parameters that can say whatever one by column could.

    A parameter for each column and operator would be hundreds, which no viewer shows and no
    generated client can use.
    """
    condition = {
        "title": f"{name_of(entity)}Condition",
        "type": "string",
        "description": (
            "A condition, `column__operator=value`; the introduction has the operators. "
            f"Columns: {', '.join(_kinds(entity))}."
        ),
        "pattern": f"^({'|'.join(_patterns(entity))})=",
        "examples": list(islice(_examples(entity), 3)),
    }
    return [
        {
            "name": name,
            "in": "query",
            "style": "form",
            "explode": True,
            "schema": {"type": "array", "items": condition},
            "description": f"{which}: `{name}=column__operator=value`, as often as you like.{more}",
        }
        for name, which, more in (
            ("filter", "All of these hold", " `column__operator=value` alone says the same."),
            *((group, "One of these holds", "") for group in GROUPS),
        )
    ]


def _kinds(entity: Entity) -> Iterator[str]:
    yield from (f"{column.name} ({column.data_type})" for column in entity.columns)
    yield from (f"{link.name} (keys of {link.path})" for link in entity.links)


def _patterns(entity: Entity) -> Iterator[str]:
    """What may stand before the `=`; columns with the same operators stand together."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for column in entity.columns:
        alike.setdefault(operators_of(column), []).append(escaped(column.name))
    alike.setdefault(("contains",), []).extend(escaped(link.name) for link in entity.links)
    for operators, names in alike.items():
        if names:
            operator = f"__({'|'.join(operators)})"
            may_lack = "?" if "eq" in operators else ""
            yield f"({'|'.join(names)})" + (f"({operator})?" if may_lack else operator)


def escaped(name: str) -> str:
    """As ECMA 262 has it, which knows no more escapes than these."""
    return re.sub(r"[\\^$.*+?()\[\]{}|/]", r"\\\g<0>", name)


def _examples(entity: Entity) -> Iterator[str]:
    """A condition on the columns that have an example."""
    for column in entity.columns:
        operators = operators_of(column)
        for value in (*column.enum[:1], *column.examples[:1])[:1]:
            if "contains" in operators and not column.enum:
                yield f"{column.name}__icontains={value}"
            elif "gte" in operators and not column.enum:
                yield f"{column.name}__gte={value}"
            else:
                yield f"{column.name}={value}"
