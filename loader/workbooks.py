"""Reads XLSX workbooks: the sheet that fits, its cells as text by fixed rules."""

import datetime as dt
import hashlib
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Self

import python_calamine

from assay.catalog import SourceTable
from loader.archives import MAX_UNPACKED, check_zip, damage_told, damaged, part_name, too_large
from loader.errors import LoadError
from loader.headers import MAX_HEADER_ROW, Layout, best_layout, normalise
from loader.sheets import (
    Handler,
    Peculiar,
    Survey,
    Tags,
    Texts,
    letters_of,
    parse,
)

MAX_CELLS = 20 * 1000 * 1000
"""Cells between the first and the last of a sheet: Calamine has memory for the empty ones, too."""

Cell = str | int | float | bool | dt.date | dt.time | dt.timedelta

_BOOK, _LINKS = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"
_OPTIONAL = _TEXTS, _STYLES = "xl/sharedStrings.xml", "xl/styles.xml"
_PLAIN = {str, int, float, bool}


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
        self._heads: dict[str, list[list[str]]] = {}
        self._latest: _Sheet | None = None
        self._date_cells: Counter[str] = Counter()
        self._names = check_zip(path)
        self._parts = self._find_parts()
        # All that Calamine reads is well formed.
        self._texts = Texts()
        self._parse(_TEXTS, self._texts)
        self._parse(_STYLES, Handler())
        with damage_told():
            self._workbook = python_calamine.CalamineWorkbook.from_path(path)
        self.names = [
            sheet.name
            for sheet in self._workbook.sheets_metadata
            if sheet.typ == python_calamine.SheetTypeEnum.WorkSheet and sheet.name in self._parts
        ]
        self._hidden = {
            sheet.name
            for sheet in self._workbook.sheets_metadata
            if sheet.visible != python_calamine.SheetVisibleEnum.Visible
        }

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
        visible = [name for name in self.names if name not in self._hidden]
        layouts = [self._layout(name, source_table) for name in declared or visible]
        if len(layouts) > 1:
            layouts = [layout for layout in layouts if layout.fits]
        if len(layouts) == 1:
            return layouts[0]
        sheets = ", ".join(repr(name) + " (hidden)" * (name in self._hidden) for name in self.names)
        raise LoadError(
            f"{'several sheets have' if layouts else 'no sheet has'} a header row with all "
            f"mandatory headers of {source_table.name}, the sheets are {sheets or 'none'}",
            remedy="name the sheet with the data "
            + (repr(source_table.sheet) if source_table.sheet else "in the source table's YAML"),
        )

    def records(self, layout: Layout) -> Iterator[tuple[int, list[str]]]:
        name = layout.sheet or ""
        sheet, left = self._sheet(name)
        self._check_merged(layout)
        self._date_cells.clear()
        peculiar = self._peculiar(name, layout.row)
        error = next(peculiar, None)
        # Rows above the first one with text are yielded, columns left of it are not.
        for row, cells in enumerate(_rows(sheet), start=1):
            if row <= layout.row:
                continue
            fields = left + [to_text(cell) for cell in cells]
            if not _PLAIN.issuperset(map(type, cells)):
                self._count_dates(layout, [None] * len(left) + cells)
            while error is not None and error[0] == row:
                fields[error[1] - 1] = error[2]
                error = next(peculiar, None)
            yield row, fields
        if error is not None:
            raise damaged("an error value is in no row")
        self.bytes_read = self._path.stat().st_size

    def notes(self) -> dict[str, Any]:
        formulas = self._latest.survey.formulas if self._latest else 0
        return {"formula_cells": formulas, "date_cells": dict(self._date_cells)}

    def _layout(self, name: str, source_table: SourceTable) -> Layout:
        if name not in self._heads:
            sheet, left = self._sheet(name)
            head = islice(_rows(sheet), MAX_HEADER_ROW)
            self._heads[name] = [left + [to_text(cell) for cell in row] for row in head]
        rows = enumerate(self._heads[name] or [[]], start=1)
        return replace(best_layout(source_table, rows), sheet=name)

    def _sheet(self, name: str) -> tuple[python_calamine.CalamineSheet, list[str]]:
        """A sheet, and the empty fields left of what Calamine gives of its rows."""
        if self._latest is None or self._latest.name != name:
            self._latest = None  # makes room
            survey = self._survey(name)
            with damage_told():
                sheet = self._workbook.get_sheet_by_name(name)
            self._latest = _Sheet(name, sheet, survey)
        sheet = self._latest.sheet
        return sheet, [""] * (sheet.start or (0, 0))[1]

    def _survey(self, name: str) -> Survey:
        """Refuse a sheet for which memory may not suffice: Calamine would end the process."""
        survey = Survey()
        self._parse(self._parts[name], survey)
        if survey.height * survey.width > MAX_CELLS:
            raise LoadError(
                f"the sheet {name!r} has cells far below or far right of its data",
                remedy="remove the rows and columns outside the data, or save the sheet as CSV",
            )
        # Each cell gets a copy of its text.
        if survey.shared * max(self._texts.lengths, default=0) > MAX_UNPACKED:
            exact = Peculiar(self._texts.lengths)
            for _ in self._blocks(self._parts[name], exact):
                exact.found.clear()
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

    def _count_dates(self, layout: Layout, cells: list[Any]) -> None:
        for index, cell in enumerate(cells[: len(layout.headers)]):
            if isinstance(cell, dt.date | dt.time | dt.timedelta):
                self._date_cells[layout.header(index)] += 1

    def _peculiar(self, name: str, header_row: int) -> Iterator[tuple[int, int, str]]:
        """Row, column (both from 1) and text of error values such as `#N/A`.

        Calamine gives them as empty cells, and also formulas whose result was never stored.

        Raises:
            LoadError: There is such a formula.
        """
        survey = self._latest.survey if self._latest else Survey()
        if not survey.formulas and not survey.errors:
            return
        peculiar = Peculiar(self._texts.lengths)
        for _ in self._blocks(self._parts[name], peculiar):
            for row, column, text in peculiar.found:
                if row <= header_row:
                    continue
                if text is None:
                    raise LoadError(
                        "the cell holds a formula without its result",
                        remedy="open the workbook in a spreadsheet program and save it",
                        row=row,
                        column=letters_of(column),
                    )
                yield row, column, text
            peculiar.found.clear()

    def _find_parts(self) -> dict[str, str]:
        """The part of the zip that holds each sheet, by the sheet's name."""
        book, links = Tags("sheet"), Tags("Relationship")
        self._parse(_BOOK, book)
        self._parse(_LINKS, links)
        targets = {
            link["Id"]: link["Target"].removeprefix("/xl/")
            for link in links.found
            if "Id" in link and "Target" in link
        }
        return {
            sheet["name"]: f"xl/{targets[link]}"
            for sheet in book.found
            for name, link in sheet.items()
            if name.endswith(":id") and link in targets and "name" in sheet
        }

    def _parse(self, part: str, handler: Handler) -> None:
        for _ in self._blocks(part, handler):
            pass

    def _blocks(self, name: str, handler: Handler) -> Iterator[None]:
        if name in _OPTIONAL and part_name(name) not in self._names:
            return
        with (
            damage_told(),
            zipfile.ZipFile(self._path) as archive,
            archive.open(self._names[part_name(name)]) as part,
        ):
            yield from parse(part, handler)


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
