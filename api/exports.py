"""Rows as files of any size: made while they are sent, in a few MB of memory.

    return Export(database, "name of the file", sql, values, cells_of(columns), format)

answers with the rows of one SELECT (`Listing.rows`), of which `cells` are the columns. PostgreSQL
makes the text (COPY), and waits while the client does. What goes wrong before the first byte is a
problem; after it, the connection breaks: a file that looks whole is whole.
"""

# ruff: noqa: S608 - identifiers are the catalog's and quoted, values are bound

import asyncio
import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import xlsxwriter
from fastapi import Response
from pyarrow import parquet
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from api.database import Database
from api.errors import Problem
from api.formats import MEDIA_TYPES, Format
from api.schemas import base_type
from api.versions import quoted
from assay.catalog import Column

STALL_SECONDS = 30.0
"""A client that takes nothing for so long is given up."""
MAX_SHEET_ROWS = 1_048_575
"""Below the header (ECMA-376; the last row of a sheet is 1,048,576)."""
MAX_CELL = 32_767
"""Characters in a cell of a spreadsheet."""
_BLOCK = 2 << 20
"""Bytes of CSV that become one row group, or rows of a sheet."""
_CSV: dict[str, Any] = {"format": "csv"}
# JSON has none of these characters, so COPY changes nothing in it.
_VERBATIM: dict[str, Any] = {"format": "csv", "delimiter": "\x02", "quote": "\x01"}

NUMBER = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
_ARROW_TYPES = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "numeric": pa.float64(),
    "double precision": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamptz": pa.timestamp("us", "UTC"),
}
NUMBERS = ("smallint", "integer", "bigint", "numeric", "double precision")
_MAX_DIGITS = 76
"""Of Arrow's longest decimal."""
_EXACT_DIGITS = 15
"""As many digits of a number a spreadsheet keeps (IEEE 754 double)."""
_FIRST_YEAR = 1901
"""A spreadsheet takes 1900 for a leap year."""


@dataclass(frozen=True)
class Cell:
    """A column of a file."""

    name: str
    data_type: str


def cells_of(columns: Iterable[Column]) -> tuple[Cell, ...]:
    return tuple(Cell(column.name, column.data_type) for column in columns)


class Export(Response):
    """The rows of a SELECT as a file."""

    def __init__(  # noqa: PLR0913, PLR0917 - what, of what, and how
        self,
        database: Database,
        name: str,
        sql: str,
        values: Iterable[object],
        cells: tuple[Cell, ...],
        format_: Format,
        sheet: str | None = None,
    ) -> None:
        """`sheet` is the name of a workbook's sheet."""
        super().__init__(media_type=media_type_of(format_))
        del self.headers["content-length"]
        self.headers["Content-Disposition"] = f'attachment; filename="{name}.{format_}"'
        self._database = database
        self._sql = _select(sql, cells, format_)
        self._values = tuple(values)
        self._cells = cells
        self._format = format_
        self._sheet = sheet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        work = asyncio.create_task(self._send(send))
        leave = asyncio.create_task(_leave(receive))
        try:
            await asyncio.wait((work, leave), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientDisconnect
            await work
        finally:
            work.cancel()
            leave.cancel()
            await asyncio.gather(work, leave, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        body = _Body(self, send)
        if self._format in ("csv", "ndjson"):
            options = _VERBATIM if self._format == "ndjson" else _CSV | {"header": True}
            await self._database.stream(self._sql, self._values, body.write, **options)
        else:
            with TemporaryDirectory(prefix="assay-export-") as folder:
                cells, path = self._cells, Path(folder) / "file"
                maker = (
                    Sheet(cells, path, self._sheet) if self._format == "xlsx" else Parquet(cells)
                )
                blocks = _Blocks(maker, body)
                try:
                    await self._database.stream(self._sql, self._values, blocks.take, **_CSV)
                    await blocks.end()
                finally:
                    maker.close()
        await body.end()


def media_type_of(format_: Format) -> str:
    parameters = "; charset=utf-8; header=present" if format_ == "csv" else ""
    return MEDIA_TYPES[format_] + parameters


class _Body:
    """What is sent; nothing before there is a first piece of it."""

    def __init__(self, response: Response, send: Send) -> None:
        self._start = {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
        self._send = send
        self._is_started = False

    async def write(self, piece: bytes, *, more: bool = True) -> None:
        if not self._is_started:
            self._is_started = True
            await self._send(self._start)
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await self._send({"type": "http.response.body", "body": piece, "more_body": more})
        except TimeoutError:
            raise ClientDisconnect from None

    async def end(self) -> None:
        await self.write(b"", more=False)


class _Blocks:
    """Collects rows, which never end within a piece, until they are worth a thread."""

    def __init__(self, maker: "Parquet | Sheet", body: _Body) -> None:
        self._maker = maker
        self._body = body
        self._rows = bytearray()

    async def take(self, rows: bytes) -> None:
        self._rows += rows
        if len(self._rows) >= _BLOCK:
            await self._make()

    async def end(self) -> None:
        if self._rows:
            await self._make()
        rest = self._maker.rest()
        while piece := await asyncio.to_thread(next, rest, b""):
            await self._body.write(piece)

    async def _make(self) -> None:
        block, self._rows = bytes(self._rows), bytearray()
        if piece := await asyncio.to_thread(self._maker.take, block):
            await self._body.write(piece)


class Parquet:
    """Makes blocks of CSV without a header into a file; in a thread."""

    def __init__(self, cells: tuple[Cell, ...]) -> None:
        self._schema = pa.schema([(cell.name, arrow_type(cell.data_type)) for cell in cells])
        self._sink = _Sink()
        self._writer = parquet.ParquetWriter(self._sink, self._schema)

    def take(self, block: bytes) -> bytes:
        table = pc.read_csv(
            io.BytesIO(block),
            # several blocks would be read into as many chunks, each a row group of its own
            pc.ReadOptions(
                use_threads=False, block_size=len(block) + 1, column_names=self._schema.names
            ),
            pc.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            pc.ConvertOptions(
                column_types=self._schema,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        self._writer.write_table(table)
        return self._sink.taken()

    def rest(self) -> Iterator[bytes]:
        self.close()
        yield self._sink.taken()

    def close(self) -> None:
        self._writer.close()


class _Sink(io.RawIOBase):
    """A file that is taken away piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces = bytearray()
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:  # noqa: ANN401 - any buffer
        self._pieces += piece
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def taken(self) -> bytes:
        taken, self._pieces = bytes(self._pieces), bytearray()
        return taken


class Sheet:
    """The same, of which nothing is there before its end."""

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
            while piece := file.read(_BLOCK):
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


def arrow_type(data_type: str) -> pa.DataType:
    """A number with a declared precision is a decimal; lists and JSON are text."""
    modifier = re.search(r"\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", data_type)
    base = base_type(data_type)
    if base == "numeric" and modifier and int(modifier[1]) <= _MAX_DIGITS:
        digits, scale = int(modifier[1]), int(modifier[2] or 0)
        return (pa.decimal128 if digits <= 38 else pa.decimal256)(digits, scale)  # noqa: PLR2004
    return _ARROW_TYPES.get(base, pa.string())


def _select(sql: str, cells: tuple[Cell, ...], format_: Format) -> str:
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


async def _leave(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
