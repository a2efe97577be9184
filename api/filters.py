"""Conditions in a query: `column__operator=value`, and clauses of which one part has to hold.

The operators that a column has follow from its type. Values are judged here and bound as text,
which PostgreSQL reads by the contract's type.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from api.cursor import as_text, refuse
from api.schemas import adapter_of, schema_of
from api.versions import quoted
from assay.catalog import Column, Entity
from assay.data_types import base_type

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_EQUALITY = ("eq", "ne", "in", "isnull")
_ORDER = (*_EQUALITY, "lt", "lte", "gt", "gte")
_OPERATORS = {
    "text": (*_ORDER, "contains", "startswith"),
    "boolean": ("eq", "ne", "isnull"),
    "uuid": _EQUALITY,
    "jsonb": ("isnull",),
}
_OPERATORS_OF_LISTS = ("contains", "isnull")

_SQL = {
    "eq": "{column} = {value}::{type}",
    # a null differs from each value
    "ne": "{column} is distinct from {value}::{type}",
    "lt": "{column} < {value}::{type}",
    "lte": "{column} <= {value}::{type}",
    "gt": "{column} > {value}::{type}",
    "gte": "{column} >= {value}::{type}",
    "in": "{column} = any({value}::{type}[])",
    # no LIKE: its wildcards would be a language of their own
    "contains": "strpos({column}, {value}) > 0",
    "startswith": "starts_with({column}, {value})",
    "isnull": "({column} is null) = {value}::boolean",
}
_IN_LIST = "{value}::{type} = any({column})"

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
    "startswith": "begins with this",
}

GROUPS = ("or", "or2")
_MEMBER = re.compile(r"(or2?)\[([^\[\]]*)\]")
_MAX_VALUES = 1000
_ITEM = r'("([^"]|"")+"|[^",\r\n][^,\r\n]*)'
"""A text among others, between commas."""


@dataclass
class Values:
    """What a statement binds, in the order of its placeholders."""

    bound: list[object] = field(default_factory=list)

    def bind(self, value: object) -> str:
        self.bound.append(value)
        type_of_array = "[]" if isinstance(value, list) else ""
        return f"${len(self.bound)}::text{type_of_array}"


@dataclass(frozen=True)
class Condition:
    """One comparison of a column, already judged."""

    column: Column
    operator: str
    value: str | list[str]

    def sql(self, values: Values, table: str = "target") -> str:
        is_list = base_type(self.column.data_type).endswith("[]")
        template = _IN_LIST if is_list and self.operator == "contains" else _SQL[self.operator]
        return template.format(
            column=f"{table}.{quoted(self.column.name)}",
            type=self.column.data_type.removesuffix("[]") if is_list else self.column.data_type,
            value=values.bind(self.value),
        )


@dataclass(frozen=True)
class Filter:
    """All of these hold; of a clause at least one part."""

    clauses: tuple[tuple[Condition, ...], ...] = ()

    def sql(self, values: Values, table: str = "target") -> str:
        held = [
            " or ".join(f"({condition.sql(values, table)})" for condition in clause)
            for clause in self.clauses
        ]
        return " and ".join(f"({clause})" for clause in held) or "true"

    @property
    def columns(self) -> Iterator[Column]:
        return (condition.column for clause in self.clauses for condition in clause)


class Filters:
    """Reads the conditions that can be asked of one entity."""

    def __init__(self, entity: Entity) -> None:
        self._known: dict[str, tuple[Column, str]] = {}
        self._adapters: dict[str, TypeAdapter[Any]] = {}
        for column in entity.columns:
            self._adapters[column.name] = adapter_of(column)
            for operator in operators_of(column):
                self._known[f"{column.name}__{operator}"] = (column, operator)
        # a column wins over an operator of another
        self._known |= {c.name: (c, "eq") for c in entity.columns if "eq" in operators_of(c)}

    def read(self, parameters: Mapping[str, str], known: tuple[str, ...] = ()) -> Filter:
        """The conditions among the parameters of a query; the names in `known` are none.

        Raises:
            Problem: 422.
        """
        clauses: list[tuple[Condition, ...]] = []
        alternatives: dict[str, list[Condition]] = {}
        for name, text in parameters.items():
            member = _MEMBER.fullmatch(name)
            if member:
                condition = self._condition(name, member[2], text)
                alternatives.setdefault(member[1], []).append(condition)
            elif name not in known:
                clauses.append((self._condition(name, name, text),))
        return Filter((*clauses, *map(tuple, alternatives.values())))

    def _condition(self, parameter: str, name: str, text: str) -> Condition:
        if name not in self._known:
            refuse(parameter, "There is no such parameter.")
        column, operator = self._known[name]
        if operator == "isnull":
            if text not in ("true", "false"):
                refuse(parameter, "Give true or false.")
            return Condition(column, operator, text)
        if operator == "in":
            items = _items(parameter, text)
            return Condition(
                column, operator, [self._value(parameter, column, operator, i) for i in items]
            )
        return Condition(column, operator, self._value(parameter, column, operator, text))

    def _value(self, parameter: str, column: Column, operator: str, text: str) -> str:
        if operator == "contains" and base_type(column.data_type).endswith("[]"):
            adapter = adapter_of(item_of(column))
            return as_text(parameter, item_of(column), adapter, text)
        value = as_text(parameter, column, self._adapters[column.name], text)
        if column.enum and operator in _EQUALITY and value not in map(str, column.enum):
            options = ", ".join(map(str, column.enum))
            refuse(parameter, f"{column.title} is one of {options}.")
        return value


def operators_of(column: Column) -> tuple[str, ...]:
    base = base_type(column.data_type)
    if base.endswith("[]"):
        return ("isnull",) if base.startswith("jsonb") else _OPERATORS_OF_LISTS
    return _OPERATORS.get(base, _ORDER)


def item_of(column: Column) -> Column:
    """An item of a column that holds lists."""
    return Column(**{**vars(column), "data_type": base_type(column.data_type).removesuffix("[]")})


def documented_filters(entity: Entity) -> list[dict[str, Any]]:
    """The conditions as parameters in OpenAPI."""
    members = {
        f"{column.name}__{operator}": (column, operator)
        for column in entity.columns
        for operator in operators_of(column)
    }
    plain = {c.name: (c, "eq") for c in entity.columns if "eq" in operators_of(c)}
    single = [
        {
            "name": name,
            "in": "query",
            "schema": _schema(column, operator),
            **({"style": "form", "explode": False} if operator == "in" else {}),
            "description": f"{column.title} {DESCRIPTIONS[operator]}.",
        }
        for name, (column, operator) in {**members, **plain}.items()
    ]
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: _in_group(_schema(column, operator))
            for name, (column, operator) in {**members, **plain}.items()
        },
    }
    clauses = [
        {
            "name": name,
            "in": "query",
            "style": "deepObject",
            "explode": True,
            "schema": schema,
            "description": f"One of these holds: `{name}[column__operator]=value`.",
        }
        for name in GROUPS
    ]
    return single + clauses


def _schema(column: Column, operator: str) -> dict[str, Any]:
    if operator == "isnull":
        return {"type": "boolean"}
    asked = item_of(column) if base_type(column.data_type).endswith("[]") else column
    schema = schema_of(asked)
    plain = {
        name: value
        for name, value in schema.items()
        if name in ("type", "format", "minimum", "maximum", "example")
        or (name == "enum" and operator in _EQUALITY)
    }
    if "enum" in plain:
        plain["enum"] = [value for value in plain["enum"] if value is not None]
    if operator == "in":
        plain.pop("example", None)
        if plain == {"type": "string"}:
            plain["pattern"] = f"^{_ITEM}$"
        return {"type": "array", "items": plain, "minItems": 1, "maxItems": _MAX_VALUES}
    return plain


def _in_group(schema: dict[str, Any]) -> dict[str, Any]:
    """As a member of an object in a query, which cannot have lists."""
    if schema["type"] != "array":
        return schema
    item = schema["items"]
    if "enum" in item or "pattern" in item:
        words = "|".join(re.escape(str(word)) for word in item.get("enum", ()))
        value = f"({words})" if words else _ITEM
        return {"type": "string", "pattern": f"^{value}(,{value})*$"}
    return {"type": "string", "format": f"list of {item.get('format', item['type'])}"}


def _items(parameter: str, text: str) -> list[str]:
    try:
        (items,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError):
        refuse(parameter, "Give values between commas; what holds a comma stands in quotes.")
    if "" in items:
        refuse(parameter, "A value is missing between the commas.")
    if not 1 <= len(items) <= _MAX_VALUES:
        refuse(parameter, f"Give 1 to {_MAX_VALUES} values.")
    return items
