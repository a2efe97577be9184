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
from loader.errors import LoadError
from loader.headers import MAX_HEADER_ROW, Layout, best_layout, match_headers
from loader.lines import ESCAPE, LINE_ENDS, MAX_RECORD, Lines, NoText, TooLong
from loader.quotes import NotWellFormed, QuoteCheck

DELIMITERS = (",", ";", "\t", "|")
# Chunks are shorter than twice this, so a row of more than MAX_RECORD spans a whole chunk,
# which `QuoteCheck` sends to the row by row reader.
CHUNK = MAX_RECORD // 4

# Spreadsheet programs take this first line for no row.
_SEPARATOR = re.compile('"?sep=([^"\\w\r\n])"?[\r\n]*', re.IGNORECASE)
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Without their marks.
_PLAIN = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}

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
        encoding = self._encoding(source_table.encoding)
        named = self._named_delimiter(encoding)
        delimiter = source_table.delimiter or named
        found: list[Layout] = []
        problem = LoadError("the file is empty", remedy="export it again")
        for candidate in (delimiter,) if delimiter else DELIMITERS:
            rows: list[Record] = []
            try:
                with self._text(encoding) as text:
                    all_rows = self._rows(Lines(text), encoding, candidate, is_head=True)
                    filled = (r for r in all_rows if any(map(str.strip, r[1])))
                    for row, cells in islice(filled, int(named is not None), MAX_HEADER_ROW):
                        rows.append((row, cells))
                        if match_headers(source_table, cells, row).fits:
                            break
            except LoadError as error:
                problem = error
            if rows:
                layout = best_layout(source_table, rows)
                found.append(replace(layout, delimiter=candidate, encoding=encoding))
        best = max(
            found, key=lambda layout: (layout.fits, layout.matched, layout.width), default=None
        )
        if best is None or (not best.fits and isinstance(problem, _UnreadableError)):
            raise problem
        return best

    def records(self, layout: Layout) -> Iterator[Record]:
        assert layout.encoding is not None  # noqa: S101  # `layout` has set both
        assert layout.delimiter is not None  # noqa: S101
        self._file.rewind()
        text = io.TextIOWrapper(
            io.BufferedReader(self._file, CHUNK),
            encoding=layout.encoding,
            errors=ESCAPE,
            newline="",
        )
        lines = Lines(text)
        row, fields = 0, [""]
        try:
            for row, fields in self._rows(lines, layout.encoding, layout.delimiter):
                if row > layout.row:
                    yield row, fields
        finally:
            text.detach().detach()  # else the end of the wrapper closes the file
        self._line_ends = lines.ends & LINE_ENDS
        if lines.ends - LINE_ENDS and any(map(str.strip, fields)) and len(fields) < layout.width:
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

    def _encoding(self, declared: str | None) -> str:
        """What the file's mark proves, else what is declared, else UTF-8."""
        if declared is not None:
            try:
                "".encode(declared)
            except LookupError:
                raise LoadError(
                    f"the encoding {declared!r} of the source table is unknown",
                    remedy="correct `encoding` in its config.meta.load",
                ) from None
        return _MARKS.get(self._mark()) or declared or "utf-8"

    def _mark(self) -> bytes:
        """The byte order mark; none is empty."""
        self._file.rewind()
        start = self._file.read(3)
        return next((mark for mark in _MARKS if start.startswith(mark)), b"")

    def _named_delimiter(self, encoding: str) -> str | None:
        """That of a first line such as `sep=;`."""
        with self._text(encoding) as text:
            try:
                found = _SEPARATOR.fullmatch(text.readline(len('"sep=;"\r\n')))
            except UnicodeError:
                return None  # who reads the rows says where
        return found[1] if found else None

    def _text(self, encoding: str) -> io.TextIOWrapper:
        return self._path.open(encoding=encoding, errors=ESCAPE, newline="")

    def _rows(
        self, lines: Lines, encoding: str, delimiter: str, *, is_head: bool = False
    ) -> Iterator[Record]:
        """All rows; of the head only those above a row that is too long."""
        # A setting of the whole process; this is its only user.
        csv.field_size_limit(MAX_RECORD)
        row = 0
        is_read = False
        try:
            while not is_read:
                try:
                    for fields in csv.reader(lines, delimiter=delimiter, strict=True):
                        row += 1
                        lines.end_record()
                        yield row, fields
                    is_read = True
                except TooLong:
                    if is_head:
                        raise LoadError(
                            f"no header stands above this row of {MAX_RECORD} characters or more",
                            remedy="put the header into one of the first rows",
                            row=row + 1,
                        ) from None
                    fragment = Fragment([lines.skip_record(delimiter)])
                    row += 1
                    yield row, fragment
        except csv.Error as error:
            raise _misquoted(str(error), row + 1) from None
        except NoText:
            raise self._unreadable(encoding, row + 1) from None
        except UnicodeError:
            # Not every encoding can be read on behind an error, and text is decoded ahead.
            raise self._unreadable(encoding, None) from None

    def _unreadable(self, encoding: str, row: int | None) -> LoadError:
        mark = self._mark()
        plain = _PLAIN.get(mark) or encoding
        offset, is_nul = self._first_damage(plain, len(mark))
        if is_nul:
            return _UnreadableError(
                f"there is a NUL byte at offset {offset}: the file is damaged or no CSV (UTF-16 "
                "without a byte order mark has NUL bytes, too)",
                remedy="save it as UTF-8 CSV",
                row=row,
            )
        return _UnreadableError(
            f"the byte at offset {offset} is not valid {plain}",
            remedy="save the file as UTF-8, or declare its `encoding` in the source's "
            "config.meta.load",
            row=row,
        )

    def _first_damage(self, encoding: str, position: int) -> tuple[int, bool]:
        """Offset of the first byte that is no text, and whether it is a NUL."""
        decoder = codecs.getincrementaldecoder(encoding)()
        with self._path.open("rb") as file:
            file.seek(position)
            while block := file.read(CHUNK):
                start, damage = position - len(decoder.getstate()[0]), None
                try:
                    text = decoder.decode(block)
                except UnicodeDecodeError as error:
                    damage = start + error.start
                    text = error.object[: error.start].decode(encoding)
                except UnicodeError:
                    return position, False  # UTF-16 without its mark
                if "\0" in text:
                    return start + len(text.partition("\0")[0].encode(encoding)), True
                if damage is not None:
                    return damage, False
                position += len(block)
        return position - len(decoder.getstate()[0]), False


class _UnreadableError(LoadError):
    """The bytes are no text."""


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
