"""Conditions in a query: `column__operator=value`, and clauses of which one part has to hold.

A condition is a parameter of its own, or the value of one of three: all that `filter` has hold, and
of those of `any_of`, and of `any_of2`, one. These are what viewers and generated clients can fill
in; a parameter called `or` is a reserved word to many.

The operators that a column has follow from its type. Values are judged here and bound as text,
which PostgreSQL reads by the contract's type.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from api.cursor import as_text, refuse
from api.versions import quoted, relation_of
from assay.catalog import Column, Entity, Link
from assay.data_types import base_type

_EQUALITY = ("eq", "ne", "in", "isnull")
_ORDER = (*_EQUALITY, "lt", "lte", "gt", "gte")
_OPERATORS = {
    "text": (*_ORDER, "contains", "icontains", "startswith"),
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
    "icontains": (
        "strpos(casefold({column} collate pg_catalog.pg_unicode_fast), "
        "casefold({value} collate pg_catalog.pg_unicode_fast)) > 0"
    ),
    "startswith": "starts_with({column}, {value})",
    "isnull": "({column} is null) = {value}::boolean",
}
_IN_LIST = "{value}::{type} = any({column})"

GROUPS = ("any_of", "any_of2")
CONDITIONS = ("filter", *GROUPS)
"""Parameters whose values are conditions; each may be there any number of times."""
_MEMBER = re.compile(r"(or2?)\[([^\[\]]*)\]")
_MAX_VALUES = 1000


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

    @property
    def name(self) -> str:
        return self.column.name

    def sql(self, values: Values, table: str = "target") -> str:
        is_list = base_type(self.column.data_type).endswith("[]")
        template = _IN_LIST if is_list and self.operator == "contains" else _SQL[self.operator]
        return template.format(
            column=f"{table}.{quoted(self.column.name)}",
            type=self.column.data_type.removesuffix("[]") if is_list else self.column.data_type,
            value=values.bind(self.value),
        )


@dataclass(frozen=True)
class Linked:
    """Whether a row is linked with another, of this key, already judged."""

    link: Link
    key: str
    """The column of the row that the link refers to."""
    value: str

    @property
    def name(self) -> str:
        return self.link.name

    def sql(self, values: Values, table: str = "target") -> str:
        return f"""
            exists (
                select from {relation_of(self.link.through)} as link
                where
                    link.{quoted(self.link.near.name)} = {table}.{quoted(self.key)}
                    and link.{quoted(self.link.far.name)}
                    = {values.bind(self.value)}::{self.link.far.data_type}
            )
        """


@dataclass(frozen=True)
class Filter:
    """All of these hold; of a clause at least one part."""

    clauses: tuple[tuple[Condition | Linked, ...], ...] = ()

    def sql(self, values: Values, table: str = "target") -> str:
        held = [
            " or ".join(f"({condition.sql(values, table)})" for condition in clause)
            for clause in self.clauses
        ]
        return " and ".join(f"({clause})" for clause in held) or "true"

    @property
    def names(self) -> Iterator[str]:
        """Columns and links of which the answer tells something."""
        return (condition.name for clause in self.clauses for condition in clause)


class Filters:
    """Reads the conditions that can be asked of one entity."""

    def __init__(self, entity: Entity) -> None:
        self._key = entity.key[0]
        self._known: dict[str, tuple[Column | Link, str]] = {}
        for link in entity.links:
            self._known[f"{link.name}__contains"] = (link, "contains")
        for column in entity.columns:
            for operator in operators_of(column):
                self._known[f"{column.name}__{operator}"] = (column, operator)
        # a column wins over an operator of another
        self._known |= {c.name: (c, "eq") for c in entity.columns if "eq" in operators_of(c)}

    def read(self, asked: Iterable[tuple[str, str]], known: tuple[str, ...] = ()) -> Filter:
        """The conditions among the parameters of a query; the names in `known` are none.

        Raises:
            Problem: 422.
        """
        clauses: list[tuple[Condition | Linked, ...]] = []
        alternatives: dict[str, list[Condition | Linked]] = {}
        for parameter, text in asked:
            member = _MEMBER.fullmatch(parameter)
            group, name, value = parameter, parameter, text
            if member:
                group, name = member[1], member[2]
            elif parameter in CONDITIONS:
                name, sign, value = text.partition("=")
                if not sign:
                    refuse(parameter, "Give a condition, such as column__operator=value.")
            elif parameter in known:
                continue
            condition = self._condition(parameter, name, value)
            if group in GROUPS or member:
                alternatives.setdefault(group, []).append(condition)
            else:
                clauses.append((condition,))
        return Filter((*clauses, *map(tuple, alternatives.values())))

    def _condition(self, parameter: str, name: str, text: str) -> Condition | Linked:
        if name not in self._known:
            what = f"condition on {name}" if parameter in CONDITIONS else "parameter"
            refuse(parameter, f"There is no such {what}.")
        column, operator = self._known[name]
        if isinstance(column, Link):
            value = as_text(parameter, column.far, text)
            return Linked(column, self._key, value)
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
            return as_text(parameter, item_of(column), text)
        value = as_text(parameter, column, text)
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


def _items(parameter: str, text: str) -> list[str]:
    try:
        # A blank before an item, as people write lists, would make its quotes part of it.
        (items,) = csv.reader([text], strict=True, skipinitialspace=True)
    except (csv.Error, ValueError):
        refuse(parameter, "Give values between commas; what holds a comma stands in quotes.")
    # One that has blanks around it stands in quotes.
    if "" in items:
        refuse(parameter, "A value is missing between the commas.")
    if not 1 <= len(items) <= _MAX_VALUES:
        refuse(parameter, f"Give 1 to {_MAX_VALUES} values.")
    return items
