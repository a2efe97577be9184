"""Sheets of a workbook, written row by row to a file."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import xlsxwriter

from api.cells import NUMBER, NUMBERS, Cell
from api.errors import Problem
from assay.data_types import base_type

MAX_SHEET_ROWS = 1_048_575
"""Below the header (ECMA-376; the last row of a sheet is 1,048,576)."""
MAX_CELL = 32_767
"""Characters in a cell of a spreadsheet."""
_EXACT_DIGITS = 15
"""As many digits of a number a spreadsheet keeps (IEEE 754 double)."""
_FIRST_YEAR = 1901
"""A spreadsheet takes 1900 for a leap year."""
_PIECE = 1 << 20


class Sheet:
    """Makes blocks of CSV without a header into a workbook; in a thread."""

    def __init__(self, cells: tuple[Cell, ...], path: Path, name: str | None) -> None:
        self._path = path
        options = {"constant_memory": True, "tmpdir": str(path.parent)}
        self._book = xlsxwriter.Workbook(str(path), options)
        self._sheet = self._book.add_worksheet(name)
        self._date = self._book.add_format({"num_format": "yyyy-mm-dd"})
        self._types = [base_type(cell.data_type) for cell in cells]
        self._row = 0
        for place, cell in enumerate(cells):
            self._sheet.write_string(0, place, cell.name)
        self._sheet.freeze_panes(1, 0)

    def take(self, block: bytes) -> bytes:
        """Raises `Problem` 422 for what no sheet can hold."""
        for row in csv.reader(io.StringIO(block.decode(), newline="")):
            self._row += 1
            if self._row > MAX_SHEET_ROWS:
                raise Problem(422, f"A sheet has at most {MAX_SHEET_ROWS:,} rows: ask for CSV.")
            # a row of one empty column is an empty line
            for place, (text, base) in enumerate(zip(row, self._types, strict=bool(row))):
                if text:
                    self._write(place, text, base)
        return b""

    def rest(self) -> Iterator[bytes]:
        self._book.close()
        with self._path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    def close(self) -> None:
        """Whether or not the file was finished."""
        self._sheet.row_data_fh.close()

    def _write(self, place: int, text: str, base: str) -> None:
        if len(text) > MAX_CELL:
            raise Problem(422, f"A cell has at most {MAX_CELL:,} characters: ask for CSV.")
        if base == "boolean":
            self._sheet.write_boolean(self._row, place, text == "true")
        elif base == "date" and _is_date_of_sheets(text):
            self._sheet.write_datetime(self._row, place, date.fromisoformat(text), self._date)
        elif base in NUMBERS and _is_exact(text):
            self._sheet.write_number(self._row, place, float(text))
        else:
            self._sheet.write_string(self._row, place, text)


def _is_exact(text: str) -> bool:
    return (
        re.fullmatch(NUMBER, text) is not None
        and len(re.sub("[eE].*|[^0-9]", "", text).strip("0")) <= _EXACT_DIGITS
    )


def _is_date_of_sheets(text: str) -> bool:
    return re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text) is not None and (
        int(text[:4]) >= _FIRST_YEAR
    )
