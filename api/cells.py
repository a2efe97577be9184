"""The columns of a file, and the SQL of their texts."""

# ruff: noqa: S608 - identifiers and expressions are the catalog's, values are bound

from collections.abc import Iterable
from dataclasses import dataclass

from api.filters import Values
from api.formats import Format
from api.listing import Listing
from api.versions import quoted
from assay.catalog import Column
from assay.data_types import base_type

NUMBER = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
NUMBERS = ("smallint", "integer", "bigint", "numeric", "double precision")


@dataclass(frozen=True)
class Cell:
    """A column of a file."""

    name: str
    data_type: str


def cells_of(columns: Iterable[Column]) -> tuple[Cell, ...]:
    return tuple(Cell(column.name, column.data_type) for column in columns)


def file_of(sql: str, cells: tuple[Cell, ...], format_: Format) -> str:
    listed = ", ".join(f"{_value(cell, format_)} as {quoted(cell.name)}" for cell in cells)
    if format_ == "ndjson":
        return f"""
            select (
                select row_to_json(item.*) from (select {listed}) as item
            )::text
            from ({sql}) as target
        """
    return f"select {listed} from ({sql}) as target"


def _value(cell: Cell, format_: Format) -> str:
    value, base = f"target.{quoted(cell.name)}", base_type(cell.data_type)
    if format_ == "ndjson":
        return f"{value}::jsonb" if base == "jsonb" else value
    if base.endswith("[]"):
        return f"to_json({value})::text"
    if base == "timestamptz":
        return f"to_json({value}) #>> '{{}}'"
    if base in ("boolean", "jsonb"):
        return f"{value}::text"
    if base == "text" and format_ in ("csv", "xlsx"):
        return guarded(value)
    return value


def guarded(value: str) -> str:
    """SQL of a text with a quote before it where a spreadsheet would run it (ASVS 1.2.10).

    The macro `clean_text` takes one away again, so texts that begin with quotes get one, too.
    """
    return (
        rf"case when {value} ~ '^''*[=+@\t\r-]' and {value} !~ '^''*{NUMBER}$' "
        f"then '''' || {value} else {value} end"
    )


def in_source_form(listing: Listing, ways: dict[str, str]) -> tuple[str, Values]:
    """The rows of a list with other columns: of each header the SQL over a row."""
    listed = ", ".join(f"({way})::text as {quoted(header)}" for header, way in ways.items())
    sql, values = listing.rows(listing.entity.columns)
    return f"select {listed} from ({sql}) as curated", values
