"""Reads XLSX workbooks: the sheet that fits, its cells as text by fixed rules."""

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import python_calamine

from assay.catalog import SourceTable
from loader.archives import MAX_UNPACKED, check_zip, damage_told, too_large
from loader.cells import Correction, Corrections, Filled, Shared
from loader.errors import LoadError, listed
from loader.headers import MAX_HEADER_ROW, Layout, best_layout, normalise
from loader.number_formats import Styles
from loader.packages import Package
from loader.sheets import Survey, Texts, letters_of

MAX_CELLS = 20 * 1000 * 1000
"""Cells between the first and the last of a sheet: Calamine has memory for the empty ones, too."""

Cell = str | int | float | bool | dt.date | dt.time | dt.timedelta

_PLAIN = {str, int, float, bool}


_Row = tuple[int, list[str], list[Cell], list[Correction]]
"""Number, fields, what Calamine says, and what it does not."""


@dataclass(frozen=True)
class _Sheet:
    name: str
    sheet: python_calamine.CalamineSheet
    survey: Survey


class Workbook:
    """An XLSX file.

    Raises:
        LoadError: It is damaged, protected by a password or too large.
    """

    format = "xlsx"

    def __init__(self, path: Path) -> None:
        self.bytes_read = 0
        self._path = path
        self._heads: dict[str, list[tuple[int, list[str]]]] = {}
        self._latest: _Sheet | None = None
        self._date_cells: Counter[str] = Counter()
        self._padded_cells: Counter[str] = Counter()
        self._package = Package(path, check_zip(path))
        # All that Calamine reads is well formed.
        self._texts, styles = Texts(), Styles()
        self._package.parse(self._package.texts, self._texts)
        self._package.parse(self._package.styles, styles)
        self._formats = styles.zero_formats()
        with damage_told():
            self._workbook = self._open()
        self.names = [
            sheet.name
            for sheet in self._workbook.sheets_metadata
            if sheet.typ == python_calamine.SheetTypeEnum.WorkSheet
            and sheet.name in self._package.sheets
        ]
        self._hidden = {
            sheet.name
            for sheet in self._workbook.sheets_metadata
            if sheet.visible != python_calamine.SheetVisibleEnum.Visible
        }

        self.visible = [name for name in self.names if name not in self._hidden]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._workbook.close()

    def digest(self) -> str:
        with self._path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def layout(self, source_table: SourceTable) -> Layout:
        """The header row of the declared sheet, else of the only visible sheet that has one."""
        wanted = normalise(source_table.sheet or "")
        declared = [name for name in self.names if normalise(name) == wanted]
        layouts = [self._layout(name, source_table) for name in declared or self.visible]
        if len(layouts) > 1:
            layouts = [layout for layout in layouts if layout.fits]
        if len(layouts) == 1:
            return layouts[0]
        shown = [name for name in self.names if name not in self._hidden]
        hidden = [name for name in self.names if name in self._hidden]
        sheets = f"the sheets are {listed(shown)}"
        if hidden:
            sheets += f", hidden {listed(hidden)}"
        raise LoadError(
            f"{'several sheets have' if layouts else 'no sheet has'} a header row with all "
            f"mandatory headers of {source_table.name}",
            value=sheets,
            remedy="name the sheet with the data "
            + (repr(source_table.sheet) if source_table.sheet else "in the source table's YAML"),
        )

    def records(self, layout: Layout) -> Iterator[tuple[int, list[str]]]:
        name = layout.sheet or ""
        survey = self._sheet(name).survey
        self._check_merged(layout)
        self._date_cells.clear()
        self._padded_cells.clear()
        filled = 0
        for row, fields, cells, corrections in self._rows(name):
            filled += len(fields) - fields.count("")
            if row <= layout.row:
                continue
            for correction in corrections:
                if correction.text is None:
                    raise LoadError(
                        "the cell holds a formula without its result",
                        remedy="open the workbook in a spreadsheet program and save it",
                        row=row,
                        column=letters_of(correction.column),
                    )
                if correction.is_padded and correction.column <= len(layout.headers):
                    self._padded_cells[layout.header(correction.column - 1)] += 1
            if not _PLAIN.issuperset(map(type, cells)):
                self._count_dates(layout, cells)
            yield row, fields
        if filled < survey.values:
            self._check_values(name)
        self.bytes_read = self._path.stat().st_size

    def notes(self) -> dict[str, Any]:
        formulas = self._latest.survey.formulas if self._latest else 0
        return {
            "formula_cells": formulas,
            "date_cells": dict(self._date_cells),
            "padded_cells": dict(self._padded_cells),
        }

    def _open(self) -> python_calamine.CalamineWorkbook:
        if self._package.is_usual:
            return python_calamine.CalamineWorkbook.from_path(self._path)
        # Calamine holds the file open, and needs no name of it from then on.
        with TemporaryDirectory(prefix="assay-workbook-") as folder:
            path = Path(folder) / "usual.xlsx"
            self._package.write_usual(path)
            return python_calamine.CalamineWorkbook.from_path(path)

    def _layout(self, name: str, source_table: SourceTable) -> Layout:
        if name not in self._heads:
            head = islice(self._rows(name), MAX_HEADER_ROW)
            self._heads[name] = [(row, fields) for row, fields, _, _ in head]
        rows = self._heads[name] or [(1, [""])]
        return replace(best_layout(source_table, rows), sheet=name)

    def _rows(self, name: str) -> Iterator[_Row]:
        """All rows from the first on, equally wide, with what Calamine does not say of them."""
        latest = self._sheet(name)
        # Rows above the first one with text are given, columns left of it are not.
        left = [""] * (latest.sheet.start or (0, 0))[1]
        width = latest.survey.peculiar_width
        corrections = self._corrections(name)
        correction = next(corrections, None)

        def correct(row: int, fields: list[str]) -> list[Correction]:
            nonlocal correction
            found = []
            while correction is not None and correction.row == row:
                found.append(correction)
                fields[correction.column - 1] = correction.text or ""
                correction = next(corrections, None)
            return found

        for row, cells in enumerate(_rows(latest.sheet), start=1):
            fields = left + [to_text(cell) for cell in cells]
            fields += [""] * (width - len(fields))
            width = len(fields)
            yield row, fields, left + cells, correct(row, fields)
        while correction is not None:
            row, fields = correction.row, [""] * width
            yield row, fields, [], correct(row, fields)

    def _sheet(self, name: str) -> _Sheet:
        if self._latest is None or self._latest.name != name:
            self._latest = None  # makes room
            survey = self._survey(name)
            with damage_told():
                sheet = self._workbook.get_sheet_by_name(name)
            self._latest = _Sheet(name, sheet, survey)
        return self._latest

    def _survey(self, name: str) -> Survey:
        """Refuse a sheet for which memory may not suffice: Calamine would end the process."""
        survey = Survey(self._formats)
        part = self._package.sheets[name]
        self._package.parse(part, survey)
        if survey.height * survey.width > MAX_CELLS:
            raise LoadError(
                "a sheet has cells far below or far right of its data",
                value=f"the sheet {listed([name])}",
                remedy="remove the rows and columns outside the data, or save the sheet as CSV",
            )
        # Each cell gets a copy of its text.
        if survey.shared * max(self._texts.lengths, default=0) > MAX_UNPACKED:
            exact = Shared(self._texts.lengths)
            for _ in self._package.blocks(part, exact):
                if exact.characters > MAX_UNPACKED:
                    raise too_large()
        return survey

    def _check_merged(self, layout: Layout) -> None:
        """Of merged cells only the first has the value: what the others mean is not guessed."""
        survey = self._latest.survey if self._latest else Survey()
        # row 0: somebody looks for the header
        if survey.merged is not None and 0 < layout.row < survey.merged_row:
            raise LoadError(
                f"the cells {survey.merged} are merged, and only the first of them has a value",
                remedy="unmerge the cells below the header and fill each of them",
                row=survey.merged_row,
            )

    def _count_dates(self, layout: Layout, cells: list[Cell]) -> None:
        for index, cell in enumerate(cells[: len(layout.headers)]):
            if isinstance(cell, dt.date | dt.time | dt.timedelta):
                self._date_cells[layout.header(index)] += 1

    def _corrections(self, name: str) -> Iterator[Correction]:
        """What the sheet's XML says that Calamine does not, in the order of the cells."""
        latest = self._sheet(name)
        if not latest.survey.peculiar:
            return
        corrections = Corrections(self._formats)
        for _ in self._package.blocks(self._package.sheets[name], corrections):
            yield from corrections.found
            corrections.found.clear()

    def _check_values(self, name: str) -> None:
        """Refuse a sheet of which a cell with a value was given as empty.

        Raises:
            LoadError: There is one; the error names it.
        """
        rows = self._rows(name)
        row, fields = 0, [""]
        filled = Filled(self._texts.lengths)
        for _ in self._package.blocks(self._package.sheets[name], filled):
            for place_row, column in filled.found:
                while row < place_row:
                    row, fields, _, _ = next(rows, (place_row, [], [], []))
                if row > place_row or not "".join(fields[column - 1 : column]):
                    raise LoadError(
                        "the cell has a value that cannot be read",
                        remedy="open the workbook in a spreadsheet program and save it again, or "
                        "save the sheet as CSV",
                        row=place_row,
                        column=letters_of(column),
                    )
            filled.found.clear()


def _rows(sheet: python_calamine.CalamineSheet) -> Iterator[list[Cell]]:
    with damage_told():
        yield from sheet.iter_rows()


def to_text(cell: Cell) -> str:
    """Text of a cell.

    A number has as few digits as tell it from all others and no `.0`; dates, times and
    durations are ISO 8601.
    """
    match cell:
        case str():
            return cell
        case bool():
            return "TRUE" if cell else "FALSE"
        case float():
            return str(int(cell)) if cell.is_integer() else repr(cell)
        case dt.timedelta():
            minutes, seconds = divmod(cell // dt.timedelta(seconds=1), 60)
            return f"PT{minutes // 60}H{minutes % 60}M{seconds}S"
        case dt.date() | dt.time():
            return cell.isoformat()
        case _:
            return str(cell)
