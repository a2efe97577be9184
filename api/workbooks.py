"""XLSX workbooks in template form: the headers of a source table, and checks from the contract.

All cells are texts, as in `raw`, so what is read from them is what was written into them.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import SEEK_END
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any

import xlsxwriter
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from assay.catalog import Catalog, Column, Rule, SourceColumn, SourceTable
from loader.headers import normalise

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MAX_ROWS = 1_048_575
"""Rows of a sheet below its header."""
MAX_CHARACTERS = 32_767
"""Characters of a cell."""
DOCUMENTED: dict[str, Any] = {
    "description": "A workbook.",
    "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
}

_CHUNK = 1 << 16
# What a spreadsheet would run (ASVS 1.2.10); `clean_text` takes the quote away.
_FORMULA = re.compile(r"[-=+@\t\r]")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_OPTIONS = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}
# Of Excel: the longest list of a drop-down, message and title of a check.
_MOST_OF_LIST, _MOST_OF_MESSAGE, _MOST_OF_TITLE = 255, 255, 32


class Meaning:
    """What the contract says of the columns of a source table."""

    def __init__(self, catalog: Catalog, source: SourceTable) -> None:
        self._entities = catalog.fed_by(source.name)

    def columns_of(self, source_column: SourceColumn) -> list[Column]:
        """The curated columns that are made of it."""
        names = source_column.becomes or (source_column.name,)
        return [
            entity.columns_by_name[name]
            for entity in self._entities
            for name in names
            if name in entity.columns_by_name
        ]

    def rules_of(self, source_column: SourceColumn) -> list[Rule]:
        """The rules that concern it, in the contract's order."""
        names = source_column.becomes or (source_column.name,)
        return [
            rule for entity in self._entities for rule in entity.rules if {*rule.columns} & {*names}
        ]

    def is_required(self, source_column: SourceColumn) -> bool:
        """Whether each row needs it: what has a default, or becomes several columns, is not."""
        columns = self.columns_of(source_column)
        return len(columns) == 1 and not columns[0].is_nullable and columns[0].default is None

    def check_of(self, source_column: SourceColumn) -> dict[str, Any] | None:
        """What the cells of it should be, for a spreadsheet to say; it lets all pass."""
        columns = self.columns_of(source_column)
        if len(columns) != 1:
            return None
        (column,) = columns
        allowed = [str(value) for value in column.enum]
        check: dict[str, Any]
        if allowed:
            if len(",".join(allowed)) > _MOST_OF_LIST or any("," in value for value in allowed):
                return None
            check = {"validate": "list", "source": allowed}
        elif column.limits:
            least, most = column.limits
            check = {
                "validate": "integer",
                "criteria": "between",
                "minimum": least,
                "maximum": most,
            }
        elif column.most_bytes:
            check = {"validate": "length", "criteria": "<=", "value": column.most_bytes}
        else:
            return None
        messages = [
            rule.message
            for rule in self.rules_of(source_column)
            if rule.kind in ("check", "cast") and rule.columns == (column.name,)
        ]
        return check | {
            "error_type": "warning",
            "error_title": column.title[:_MOST_OF_TITLE],
            "error_message": " ".join(messages)[:_MOST_OF_MESSAGE] or "This is not expected here.",
        }


class Sheet:
    """The sheet of a workbook that a source table's files have; rows are written in their order.

    The headers in `more` follow those of the source; the loader takes what is below them for no
    data.
    """

    def __init__(
        self, workbook: xlsxwriter.Workbook, source: SourceTable, meaning: Meaning, more: list[str]
    ) -> None:
        self.rows = 0
        self._sheet = workbook.add_worksheet(source.sheet or "Data")
        heading = workbook.add_format({"bold": True, "bottom": 1, "text_wrap": True})
        required = workbook.add_format(
            {"bold": True, "bottom": 1, "text_wrap": True, "bg_color": "#FFE699"}
        )
        text = workbook.add_format({"num_format": "@"})
        known = {normalise(name) for c in source.columns for name in (c.name, c.header, *c.aliases)}
        for index, column in enumerate(source.columns):
            is_number = (check := meaning.check_of(column)) and check["validate"] == "integer"
            # A cell formatted as text keeps what is typed: no dates out of identifiers.
            self._sheet.set_column(index, index, _width(column), None if is_number else text)
            if check:
                self._sheet.data_validation(1, index, MAX_ROWS, index, check)
        self._sheet.freeze_panes(1, 0)
        for index, column in enumerate(source.columns):
            style = required if meaning.is_required(column) else heading
            self._sheet.write_string(0, index, column.header, style)
            self._sheet.write_comment(0, index, _comment(column, meaning))
        for index, header in enumerate(more, start=len(source.columns)):
            while normalise(header) in known:
                header += " *"  # noqa: PLW2901
            self._sheet.set_column(index, index, 40)
            self._sheet.write_string(0, index, header, heading)

    def write(self, cells: Iterable[str | None]) -> None:
        """One row of texts, each of at most `MAX_CHARACTERS`; those that are null stay empty."""
        self.rows += 1
        for index, cell in enumerate(cells):
            if cell:
                self._sheet.write_string(self.rows, index, cell)


def write_guidelines(workbook: xlsxwriter.Workbook, source: SourceTable, meaning: Meaning) -> None:
    """The sheet that says what the columns are, which of them are mandatory, and all rules."""
    sheet = workbook.add_worksheet("Guidelines")
    bold = workbook.add_format({"bold": True, "bottom": 1})
    wrapped = workbook.add_format({"text_wrap": True, "valign": "top"})
    headings = ("Column", "Mandatory", "What it is", "Rules", "Examples")
    for index, (heading, width) in enumerate(zip(headings, (24, 22, 50, 70, 40), strict=True)):
        sheet.set_column(index, index, width)
        sheet.write_string(0, index, heading, bold)
    for row, column in enumerate(source.columns, start=1):
        messages = dict.fromkeys(rule.message for rule in meaning.rules_of(column))
        cells = (
            column.header,
            _mandatory(column, meaning),
            column.description,
            "\n".join(messages),
            "\n".join(map(str, column.examples)),
        )
        for index, cell in enumerate(cells):
            sheet.write_string(row, index, cell[:MAX_CHARACTERS], wrapped)
    sheet.freeze_panes(1, 0)


def neutral(text: str) -> str:
    """A raw text that no spreadsheet runs, and that staging reads as before."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


@contextmanager
def writing() -> Iterator[tuple[xlsxwriter.Workbook, IO[bytes]]]:
    """A workbook, and the temporary file that has it afterwards; closed if anything fails."""
    file = TemporaryFile()  # noqa: SIM115 - `Download` closes it
    # The rows of each sheet are in a file of their own until the workbook is closed.
    with TemporaryDirectory() as folder:
        workbook = xlsxwriter.Workbook(file, {**_OPTIONS, "tmpdir": folder})
        try:
            yield workbook, file
        except BaseException:
            workbook.fileclosed = True  # else it would write itself when it is collected
            for sheet in workbook.worksheets():
                sheet.row_data_fh.close()
            file.close()
            raise


class Download(StreamingResponse):
    """Sends a temporary file, which is gone afterwards."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        size = file.seek(0, SEEK_END)
        file.seek(0)
        self._file = file
        headers = {
            "Content-Length": str(size),
            "Content-Disposition": f'attachment; filename="{name}"',
        }
        super().__init__(iter(lambda: file.read(_CHUNK), b""), 200, headers, MEDIA_TYPE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await run_in_threadpool(self._file.close)


def _width(column: SourceColumn) -> int:
    longest = max(len(text) for text in (column.header, *map(str, column.examples)))
    return min(max(longest + 4, 12), 60)


def _mandatory(column: SourceColumn, meaning: Meaning) -> str:
    if meaning.is_required(column):
        return "yes, in each row"
    return "the column; cells may be empty" if column.is_mandatory else "no"


def _comment(column: SourceColumn, meaning: Meaning) -> str:
    examples = "; ".join(map(str, column.examples))
    lines = [
        column.description,
        f"Mandatory: {_mandatory(column, meaning)}.",
        f"Examples: {examples}" if examples else "",
    ]
    return "\n".join(line for line in lines if line)[:MAX_CHARACTERS]
