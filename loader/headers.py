"""How the headers of a file are matched to the columns of a source table."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from assay.catalog import SourceColumn, SourceTable
from loader.errors import LoadError, listed


class ReadAgain(Exception):  # noqa: N818  # a turn of the road, not an error
    """A row shows that those above it were not read as they are meant.

    Attributes:
        layout: As which the file has to be read, from its start.
    """

    def __init__(self, layout: "Layout") -> None:
        super().__init__()
        self.layout = layout


ADDED = ("Row of the rejected file", "Line as it came", "Rejected because")
"""Headers that a workbook of rejected rows has after those of its source; a loader has no use
for them, and keeps them aside as it does all that it does not know."""
MAX_STRANGE = 4
"""Of so many headers one may be unknown, before a file looks like another table's."""
MAX_HEADER_ROW = 50
"""The header stands in one of these first rows."""

# What headers differ in when people mean the same: white space (NBSP is in \s), `_`, the soft
# hyphen, zero-width characters and the byte order mark.
_IGNORED = re.compile("[\\s_\u00ad\u200b-\u200f\u2060\ufeff]+")


def normalise(header: str) -> str:
    """A header or sheet name without what spelling may differ in."""
    return _IGNORED.sub("", header).casefold()


@dataclass(frozen=True)
class Layout:
    """Where a file's header stands and what each field below it is."""

    source_table: SourceTable
    row: int
    """Row number of the header; the first row is 1."""
    headers: tuple[str, ...]
    """As found, without a byte order mark; "" where the cell has no text."""
    columns: tuple[SourceColumn | None, ...]
    """For each header its column; None for a header that the source table does not know."""
    width: int
    """Fields up to the last header that has text; what lies beyond may be left out of a row."""
    missing: tuple[SourceColumn, ...]
    """Mandatory columns that no header names."""
    repeated: tuple[tuple[int, int], ...]
    """Positions, from 1, of headers that mean the same."""
    is_spaced: bool = False
    """Whether quotes stand behind blanks; see `Spacing`."""
    takes_short: bool = True
    """Whether what a row lacks at its end, of columns that are not mandatory, is blank."""
    delimiter: str | None = None
    encoding: str | None = None
    sheet: str | None = None

    @property
    def fits(self) -> bool:
        return not self.missing

    @property
    def absent(self) -> list[SourceColumn]:
        """Columns that no header names: the rows below say nothing of them."""
        return [column for column in self.source_table.columns if column not in self.columns]

    @cached_property
    def needed(self) -> int:
        """Fields up to the last one that is mandatory."""
        mandatory = (
            i for i, column in enumerate(self.columns, 1) if column and column.is_mandatory
        )
        return max(mandatory, default=1)

    @cached_property
    def known(self) -> set[int]:
        """Indexes of the headers that the source table knows."""
        return {index for index, column in enumerate(self.columns) if column is not None}

    @cached_property
    def matched(self) -> int:
        return len(self.known)

    @cached_property
    def doubt(self) -> tuple[str, str] | None:
        """Why the file may be another table's, although it has all mandatory headers.

        Then examples, which are for who sent it.
        """
        ours = {normalise(header) for header in ADDED}
        named = [i for i, header in enumerate(self.headers) if header]
        named = [i for i in named if normalise(self.headers[i]) not in ours]
        # one that is repeated says no more than once
        strange = {
            normalise(self.headers[i]): self.headers[i] for i in named if self.columns[i] is None
        }
        keys = [header for name, header in strange.items() if name.endswith("id")]
        if not keys and len(strange) * MAX_STRANGE <= len(named):
            return None
        shown = listed((keys or [*strange.values()])[:3])
        strangers = f"{len(strange)} of {len(named)} headers"
        return (
            f"{strangers} belong to nothing that {self.source_table.name} knows",
            f"such as {shown}",
        )

    def header(self, index: int) -> str:
        """Name of the field at an index from 0; no other field of an unread column has it."""
        return self._names[index]

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """The headers; of unread columns that have the same one, all but the first have a number.

        Some forms, such as ISA-Tab, repeat a header with a meaning that depends on its place.
        """
        names: list[str] = []
        taken = {header for header in self.headers if header}
        given: set[str] = set()
        for index, header in enumerate(self.headers):
            name = header or f"column {index + 1}"
            number = 1
            while name in given or (number > 1 and name in taken):
                number += 1
                name = f"{header} ({number})"
            given.add(name)
            names.append(name)
        return tuple(names)

    def check(self, *, all_headers: bool = False) -> None:
        """Refuse a header with which nothing can be loaded.

        Args:
            all_headers: Those that the source table does not know must differ, too.

        Raises:
            LoadError: A mandatory column is missing, or two headers mean the same.
        """
        if self.missing:
            raise self._missing()
        repeated = (two for two in self.repeated if all_headers or self.columns[two[0] - 1])
        for first, second in repeated:
            raise LoadError(
                f"the header {self.headers[first - 1]!r} of column {first} occurs again as "
                f"{self.headers[second - 1]!r} in column {second}",
                remedy="rename or remove one of the two columns",
                row=self.row,
            )

    def notes(self) -> dict[str, object]:
        """What a person may want to check about how the file was understood."""
        renamed = {
            header: column.header
            for header, column in zip(self.headers, self.columns, strict=True)
            if column is not None and header != column.header
        }
        notes = {
            "delimiter": self.delimiter,
            "encoding": self.encoding and self.encoding.removesuffix("-sig"),
            "sheet": self.sheet,
            "header_row": self.row if self.row > 1 else None,
            "renamed_headers": renamed,
            "other_table": self.doubt and self.doubt[0],
        }
        return {name: note for name, note in notes.items() if note}

    def _missing(self) -> LoadError:
        wanted = ", ".join(repr(column.header) for column in self.missing)
        # Where a file has no header row, these are the values of its first row.
        value = f"found {listed([header for header in self.headers if header])}"
        unknown = {
            normalise(header): header
            for header, column in zip(self.headers, self.columns, strict=True)
            if column is None and header
        }
        for column in self.missing:
            near = difflib.get_close_matches(normalise(column.header), unknown, n=1, cutoff=0.7)
            if near:
                value += f"; {listed([unknown[near[0]]])} may be meant for {column.header!r}"
        remedy = "add the column or correct its header"
        if len(self.headers) == 1 and self.delimiter is not None:
            remedy += " (only one column was found: declare another `delimiter`)"
        message = f"mandatory header {wanted} is missing"
        return LoadError(message, value=value, remedy=remedy, row=self.row)


def best_layout(source_table: SourceTable, rows: Iterable[tuple[int, Sequence[str]]]) -> Layout:
    """The first row that has all mandatory headers, else the one that has most of them."""
    layouts = [match_headers(source_table, cells, row) for row, cells in rows]
    fitting = (layout for layout in layouts if layout.fits)
    return next(fitting, max(layouts, key=lambda layout: (layout.matched, -layout.row)))


def match_headers(source_table: SourceTable, cells: Sequence[str], row: int) -> Layout:
    """Match the cells of a header row to the columns of a source table; refuses nothing."""
    known = {
        normalise(name): column
        for column in reversed(source_table.columns)
        for name in (*column.aliases, column.name, column.header)
    }
    # A column is also known to be repeated when two of its names occur.
    positions: dict[str, int] = {}
    repeated: list[tuple[int, int]] = []
    headers: list[str] = []
    columns: list[SourceColumn | None] = []
    width = 0
    for position, cell in enumerate(cells, start=1):
        name = normalise(cell)
        column = known.get(name) if name else None
        headers.append(cell.strip("\ufeff") if name else "")
        columns.append(column)
        if name:
            width = position
            first = positions.setdefault(column.name if column else f" {name}", position)
            if first != position:
                repeated.append((first, position))
    present = {column.name for column in columns if column is not None}
    return Layout(
        source_table=source_table,
        row=row,
        headers=tuple(headers),
        columns=tuple(columns),
        width=width,
        missing=tuple(
            column
            for column in source_table.columns
            if column.is_mandatory and column.name not in present
        ),
        repeated=tuple(repeated),
    )
