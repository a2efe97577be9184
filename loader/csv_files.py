"""Reads CSV files: their rows, or their bytes when they are well formed."""

import codecs
import csv
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Self

from assay.catalog import SourceTable
from loader.encoding import UnreadableError, encoding_of, open_text, unreadable
from loader.errors import LoadError
from loader.headers import MAX_HEADER_ROW, Layout, ReadAgain, best_layout, match_headers
from loader.lines import ESCAPE, LINE_ENDS, MAX_RECORD, Lines, NoText, TooLong
from loader.quotes import NotWellFormed, QuoteCheck
from loader.spacing import Spacing, mixed

DELIMITERS = (",", ";", "\t", "|")
# Chunks are shorter than twice this, so a row of more than MAX_RECORD spans a whole chunk,
# which `QuoteCheck` sends to the row by row reader.
CHUNK = MAX_RECORD // 4

# Spreadsheet programs take this first line for no row.
_SEPARATOR = re.compile('"?sep=([^"\\w\r\n])"?[\r\n]*', re.IGNORECASE)

Record = tuple[int, list[str]]
"""A row's number and its fields."""


class Fragment(list[str]):
    """What is kept of a row that is too long: one text."""


class CsvFile:
    """A file of delimited text."""

    format = "csv"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _HashedFile(path)
        self._line_ends: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def bytes_read(self) -> int:
        return self._file.position

    def digest(self) -> str:
        return self._file.hash.hexdigest()

    def layout(self, source_table: SourceTable) -> Layout:
        encoding = encoding_of(self._path, source_table.encoding)
        named = self._named_delimiter(encoding)
        delimiter = source_table.delimiter or named
        found: list[Layout] = []
        problem = LoadError("the file is empty", remedy="export it again")
        for candidate in (delimiter,) if delimiter else DELIMITERS:
            form = replace(
                match_headers(source_table, (), 0), delimiter=candidate, encoding=encoding
            )
            rows, refusal = self._head(form, skipped=int(named is not None))
            problem = refusal or problem
            if rows:
                layout = best_layout(source_table, rows)
                found.append(replace(layout, delimiter=candidate, encoding=encoding))
        best = max(
            found, key=lambda layout: (layout.fits, layout.matched, layout.width), default=None
        )
        if best is None or (not best.fits and isinstance(problem, UnreadableError)):
            raise problem
        return best

    def records(self, layout: Layout) -> Iterator[Record]:
        self._file.rewind()
        text = io.TextIOWrapper(
            io.BufferedReader(self._file, CHUNK),
            encoding=layout.encoding,
            errors=ESCAPE,
            newline="",
        )
        lines = Lines(text)
        fewest = layout.width
        row, fields = 0, [""]
        try:
            for row, fields in self._rows(lines, layout):
                if row > layout.row:
                    yield row, fields
                    if len(fields) < fewest and lines.ends <= LINE_ENDS and any(fields):
                        fewest = len(fields)
        finally:
            text.detach().detach()  # else the end of the wrapper closes the file
        self._line_ends = lines.ends & LINE_ENDS
        # Where other rows are as short, and nothing mandatory is missing, it does not look cut.
        least = max(fewest, layout.needed)
        if lines.ends - LINE_ENDS and any(map(str.strip, fields)) and len(fields) < least:
            raise LoadError(
                "the file ends in the middle of the row",
                remedy="get the whole file; if this is all of it, end the last row as the others",
                row=row,
            )

    def notes(self) -> dict[str, Any]:
        return {"line_ends": "mixed" if len(self._line_ends) > 1 else None}

    def is_pipeable(self, layout: Layout) -> bool:
        """Whether COPY could read the bytes, provided that they are well formed."""
        return (
            layout.row == 1
            and None not in layout.columns
            and codecs.lookup(layout.encoding or "").name in ("utf-8", "utf-8-sig")
        )

    def chunks(self, check: QuoteCheck) -> Iterator[bytes]:
        """The bytes without a byte order mark, in chunks of whole lines.

        Raises:
            NotWellFormed: The rest must be read by `records`; see `QuoteCheck`.
        """
        self._file.rewind()
        rest = self._file.read(CHUNK).removeprefix(codecs.BOM_UTF8)
        while block := self._file.read(CHUNK):
            rest += block
            end = rest.rfind(b"\n") + 1
            if not end:
                raise NotWellFormed
            chunk, rest = rest[:end], rest[end:]
            check.feed(chunk)
            yield chunk
        check.feed(rest)
        if check.is_quoted:
            raise NotWellFormed
        if rest and not rest.endswith(b"\n"):
            check.line_ends += 1
        yield rest

    def _named_delimiter(self, encoding: str) -> str | None:
        """That of a first line such as `sep=;`."""
        with open_text(self._path, encoding) as text:
            try:
                found = _SEPARATOR.fullmatch(text.readline(len('"sep=;"\r\n')))
            except UnicodeError:
                return None  # who reads the rows says where
        return found[1] if found else None

    def _head(self, form: Layout, skipped: int) -> tuple[list[Record], LoadError | None]:
        """The first rows with text down to one that fits, and why there are not more."""
        rows: list[Record] = []
        try:
            with open_text(self._path, form.encoding or "") as text:
                all_rows = self._rows(Lines(text), form, is_head=True)
                filled = (record for record in all_rows if any(map(str.strip, record[1])))
                for row, cells in islice(filled, skipped, MAX_HEADER_ROW):
                    rows.append((row, cells))
                    if match_headers(form.source_table, cells, row).fits:
                        break
        except ReadAgain as again:
            return self._head(again.layout, skipped)
        except LoadError as error:
            return rows, error
        return rows, None

    def _rows(self, lines: Lines, layout: Layout, *, is_head: bool = False) -> Iterator[Record]:
        """All rows; of the head only those above a row that is too long.

        Raises:
            ReadAgain: Quotes stand behind blanks, which the layout does not know.
        """
        # A setting of the whole process; this is its only user.
        csv.field_size_limit(MAX_RECORD)
        row = 0
        is_read = False
        try:
            while not is_read:
                try:
                    for fields in _parsed(lines, layout, row):
                        row += 1
                        yield row, fields
                    is_read = True
                except TooLong:
                    if is_head:
                        raise LoadError(
                            f"no header stands above this row of {MAX_RECORD} characters or more",
                            remedy="put the header into one of the first rows",
                            row=row + 1,
                        ) from None
                    if layout.is_spaced:
                        raise mixed(row + 1) from None
                    fragment = Fragment([lines.skip_record(layout.delimiter or "")])
                    row += 1
                    yield row, fragment
        except csv.Error as error:
            raise _misquoted(str(error), row + 1) from None
        except (NoText, UnicodeError) as error:
            # Not every encoding can be read on behind an error, and text is decoded ahead.
            place = row + 1 if isinstance(error, NoText) else None
            edges = DELIMITERS if is_head else (layout.delimiter or "",)
            raise unreadable(self._path, layout.encoding or "", edges, place) from None


def _parsed(lines: Lines, layout: Layout, row: int) -> Iterator[list[str]]:
    """The fields of the records behind a row."""
    spacing = Spacing(layout.delimiter or "")
    reader = csv.reader(
        lines,
        delimiter=layout.delimiter or "",
        strict=True,
        skipinitialspace=layout.is_spaced,
    )
    for number, fields in enumerate(reader, start=row + 1):
        record = lines.end_record()
        if layout.is_spaced:
            yield spacing.fields(record, number)
        elif '"' in record and spacing.is_spaced(record):
            raise ReadAgain(replace(layout, is_spaced=True))
        else:
            yield fields


def _misquoted(problem: str, row: int) -> LoadError:
    if "unexpected end" in problem:
        return LoadError(
            "a quote opens here and never closes", remedy="close it or remove it", row=row
        )
    return LoadError(
        "text follows a closing quote",
        remedy='write a quote inside a quoted field twice ("")',
        row=row,
    )


class _HashedFile(io.RawIOBase):
    """A file that hashes what is read of it."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb", buffering=0)
        self.rewind()

    def rewind(self) -> None:
        self._file.seek(0)
        self.hash = hashlib.sha256()
        self.position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        count: int = self._file.readinto(buffer)  # type: ignore[attr-defined]
        self.hash.update(memoryview(buffer)[:count])
        self.position += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
