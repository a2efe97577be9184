"""Reads XLSX workbooks: the sheet that fits, its cells as text by fixed rules."""

import datetime as dt
import hashlib
import html
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Self

import python_calamine

from assay.catalog import SourceTable
from loader.errors import LoadError
from loader.headers import Layout, match_headers, normalise

MAX_UNPACKED = 200 * 1000 * 1000
"""Bytes of a workbook once unpacked."""
MAX_ENTRIES = 1000
MAX_CELLS = 20 * 1000 * 1000
"""Cells between the first and the last of a sheet: Calamine has memory for the empty ones, too."""
MAX_ROW, MAX_COLUMN = 1_048_576, 16_384
"""The last place of a sheet, XFD1048576."""
MAX_HEADER_ROW = 50
"""The header stands in one of these first rows."""

Cell = str | int | float | bool | dt.date | dt.time | dt.timedelta

_BLOCK = 1 << 20
_CELL = re.compile(rb"<(?:\w+:)?c\b([^>]*[^>/])>(.*?)</(?:\w+:)?c>", re.DOTALL)
_VALUE = re.compile(rb"<(?:\w+:)?v\b[^>]*>([^<]+)<")
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
_PLACE = re.compile(rb"""\br\s*=\s*["']([A-Z]{1,3})(\d{1,7})["']""")
# Calamine takes memory for all rows and columns that the references of cells and rows span, and
# ends the process where there is none: so each is read, however it is written.
_REFERENCE = re.compile(
    rb"""<(?:\w+:)?(?:c|row)\b(?:[^>"']|"[^"]*"|'[^']*')*?\sr\s*=\s*(?:"([^"]*)"|'([^']*)')"""
)
_REFERENCE_FORM = re.compile(rb"([A-Z]{0,3})([0-9]{1,7})")
_TYPE = re.compile(rb"""\bt=["'](\w+)["']""")
_ATTRIBUTE = re.compile(r"""([\w:]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


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
        self._latest: tuple[str, python_calamine.CalamineSheet] | None = None
        _check_zip(path)
        with _damage_told():
            self._workbook = python_calamine.CalamineWorkbook.from_path(path)
        self._parts = _find_parts(path)
        self.names = [
            sheet.name
            for sheet in self._workbook.sheets_metadata
            if sheet.typ == python_calamine.SheetTypeEnum.WorkSheet and sheet.name in self._parts
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._workbook.close()

    def digest(self) -> str:
        with self._path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def layout(self, source_table: SourceTable) -> Layout:
        """The header row of the declared sheet, else of the only sheet that has one."""
        wanted = normalise(source_table.sheet or "")
        declared = [name for name in self.names if normalise(name) == wanted]
        layouts = [self._layout(name, source_table) for name in declared or self.names]
        if len(layouts) > 1:
            layouts = [layout for layout in layouts if layout.fits]
        if len(layouts) == 1:
            return layouts[0]
        sheets = ", ".join(repr(name) for name in self.names) or "none"
        raise LoadError(
            f"{'several sheets have' if layouts else 'no sheet has'} a header row with all "
            f"mandatory headers of {source_table.name}, the sheets are {sheets}",
            remedy="name the sheet with the data "
            + (repr(source_table.sheet) if source_table.sheet else "in the source table's YAML"),
        )

    def records(self, layout: Layout) -> Iterator[tuple[int, list[str]]]:
        sheet, left = self._sheet(layout.sheet or "")
        errors = self._errors(layout)
        error = next(errors, None)
        # Rows above the first one with text are yielded, columns left of it are not.
        for row, cells in enumerate(_rows(sheet), start=1):
            if row <= layout.row:
                continue
            fields = left + [to_text(cell) for cell in cells]
            while error is not None and error[0] == row:
                fields[error[1] - 1] = error[2]
                error = next(errors, None)
            yield row, fields
        if error is not None:
            raise _damaged("its rows are not in order")
        self.bytes_read = self._path.stat().st_size

    def _layout(self, name: str, source_table: SourceTable) -> Layout:
        if name not in self._heads:
            sheet, left = self._sheet(name)
            rows = islice(_rows(sheet), MAX_HEADER_ROW)
            self._heads[name] = [left + [to_text(cell) for cell in row] for row in rows]
        layouts = [
            match_headers(source_table, cells, row)
            for row, cells in enumerate(self._heads[name] or [[]], start=1)
        ]
        best = max(layouts, key=lambda layout: (layout.fits, layout.matched, -layout.row))
        if layouts and any(layout.fits for layout in layouts):
            best = next(layout for layout in layouts if layout.fits)
        return replace(best, sheet=name)

    def _sheet(self, name: str) -> tuple[python_calamine.CalamineSheet, list[str]]:
        """A sheet, and the empty fields left of what Calamine gives of its rows."""
        if self._latest is None or self._latest[0] != name:
            self._latest = None  # makes room
            self._measure(name)
            with _damage_told():
                self._latest = (name, self._workbook.get_sheet_by_name(name))
        sheet = self._latest[1]
        return sheet, [""] * (sheet.start or (0, 0))[1]

    def _measure(self, name: str) -> None:
        """Refuse a sheet with few cells far apart, for which memory may not suffice."""
        height, columns = 0, {b"A"}
        for block in self._blocks(name):
            for quoted in _REFERENCE.findall(block):
                place = _REFERENCE_FORM.fullmatch(quoted[0] or quoted[1])
                if place is None:
                    raise _damaged("a cell is at no place of a sheet")
                columns.add(place[1] or b"A")
                height = max(height, int(place[2]))
        width = max(map(_column_number, columns))
        if height > MAX_ROW or width > MAX_COLUMN:
            raise _damaged("a cell is at no place of a sheet")
        if height * width > MAX_CELLS:
            raise LoadError(
                f"the sheet {name!r} has cells far below or far right of its data",
                remedy="remove the rows and columns outside the data, or save the sheet as CSV",
            )

    def _errors(self, layout: Layout) -> Iterator[tuple[int, int, str]]:
        """Row, column (both from 1) and text of error values such as `#N/A`.

        Calamine gives them as empty cells, and also formulas whose result was never stored.

        Raises:
            LoadError: There is such a formula.
        """
        for block in self._blocks(layout.sheet or ""):
            # Most workbooks have neither.
            if not any(mark in block for mark in (b't="e"', b"t='e'", b"<f", b":f")):
                continue
            for attributes, content in _CELL.findall(block):
                kind = _TYPE.search(attributes)
                value = _VALUE.search(content)
                is_error = kind is not None and kind[1] == b"e"
                if not is_error and (
                    value or (kind and kind[1] == b"str") or not _FORMULA.search(content)
                ):
                    continue
                place = _PLACE.search(attributes)
                if place is None:
                    raise _damaged("a cell does not say its place")
                row = int(place[2])
                if row <= layout.row:
                    continue
                if not is_error or value is None:
                    raise LoadError(
                        "the cell holds a formula without its result",
                        remedy="open the workbook in a spreadsheet program and save it",
                        row=row,
                        column=place[1].decode(),
                    )
                yield row, _column_number(place[1]), html.unescape(value[1].decode())

    def _blocks(self, name: str) -> Iterator[bytes]:
        """The XML of a sheet in blocks of whole rows."""
        with (
            _damage_told(),
            zipfile.ZipFile(self._path) as archive,
            archive.open(self._parts[name]) as part,
        ):
            rest = b""
            while block := part.read(_BLOCK):
                rest += block
                end = rest.rfind(b"row>") + 1
                yield rest[:end]
                rest = rest[end:]
            yield rest


def _rows(sheet: python_calamine.CalamineSheet) -> Iterator[list[Cell]]:
    with _damage_told():
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


def _check_zip(path: Path) -> None:
    """Unpack every entry once, counting: what the zip says of its sizes may be a lie."""
    remedy = "save the sheet as CSV"
    too_large = LoadError(
        f"the workbook unpacks to more than {MAX_UNPACKED // 10**6} MB", remedy=remedy
    )
    with _damage_told(), zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise LoadError(f"the workbook has more than {MAX_ENTRIES} parts", remedy=remedy)
        if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
            raise too_large
        left = MAX_UNPACKED
        for entry in entries:
            entry.file_size = left + 1  # else reading stops at the size it claims
            with archive.open(entry) as part:
                while block := part.read(_BLOCK):
                    left -= len(block)
                    if left < 0:
                        raise too_large


def _find_parts(path: Path) -> dict[str, str]:
    """The part of the zip that holds each sheet, by the sheet's name."""
    with _damage_told(), zipfile.ZipFile(path) as archive:
        book = archive.read("xl/workbook.xml").decode()
        links = archive.read("xl/_rels/workbook.xml.rels").decode()
    targets = {
        link["Id"]: link["Target"].removeprefix("/xl/")
        for link in _tags("Relationship", links)
        if "Id" in link and "Target" in link
    }
    return {
        sheet["name"]: f"xl/{targets[link]}"
        for sheet in _tags("sheet", book)
        for name, link in sheet.items()
        if name.endswith(":id") and link in targets
    }


def _tags(name: str, xml: str) -> Iterator[dict[str, str]]:
    for tag in re.findall(rf"<(?:\w+:)?{name}\s[^>]*>", xml):
        yield {key: html.unescape(a or b) for key, a, b in _ATTRIBUTE.findall(tag)}


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number


_DAMAGE = (
    python_calamine.CalamineError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,  # bzip2's
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    UnicodeDecodeError,
)


@contextmanager
def _damage_told() -> Iterator[None]:
    """Turns what the libraries raise for a damaged file into its refusal."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except _DAMAGE as error:
        raise _damaged(error) from None
    except BaseException as error:
        # Calamine's panic, for a date beyond all dates for example, is no `Exception`.
        if type(error).__name__ != "PanicException":
            raise
        raise _damaged(error) from None


def _damaged(error: object) -> LoadError:
    return LoadError(
        f"the workbook cannot be read ({error})",
        remedy="open it in a spreadsheet program and save it again, or save the sheet as CSV",
    )
