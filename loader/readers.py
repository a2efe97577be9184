"""Reads files: what a file is, the rows of a CSV file, its bytes when they are well formed."""

import codecs
import csv
import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from assay.catalog import SourceTable
from loader.errors import LoadError
from loader.headers import Layout, match_headers
from loader.quotes import NotWellFormed, QuoteCheck
from loader.workbooks import Workbook

DELIMITERS = (",", ";", "\t")
MAX_FIELD = 1 << 20
"""Characters of a field. What is longer is damage, mostly a quote that never closes."""
MAX_RECORD = 8 << 20
"""Characters of a row."""
# Chunks are shorter than twice this, so a field of more than MAX_FIELD spans a whole chunk,
# which `QuoteCheck` sends to the row by row reader to be refused.
CHUNK = MAX_FIELD // 4

_ZIP = b"PK\x03\x04"
_OLE2 = bytes.fromhex("d0cf11e0a1b11ae1")
_OTHER_WORKBOOKS = (".xls", ".xlsm", ".xlsb", ".ods")

Record = tuple[int, list[str]]
"""A row's number and its fields."""


class Document(AbstractContextManager["Document"], Protocol):
    """An open file."""

    format: str

    def layout(self, source_table: SourceTable) -> Layout:
        """The header row that fits the source table best.

        Raises:
            LoadError: The file has no header row that could be read.
        """

    def records(self, layout: Layout) -> Iterator[Record]:
        """Row numbers and fields of what stands below the header, blank rows as well.

        Raises:
            LoadError: A row cannot be read; the error names it.
        """

    def digest(self) -> str:
        """Hexadecimal sha256 of the bytes that were read, once all were."""

    @property
    def bytes_read(self) -> int: ...


def open_document(path: Path, name: str | None = None) -> Document:
    """Open a file by its content, once its ending agrees.

    Args:
        path: The file.
        name: The name that its owner knows, when the path has another.

    Raises:
        LoadError: There is no such file, or it is neither CSV nor XLSX.
    """
    ending = Path(name or path).suffix.casefold()
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise LoadError(
            f"the file cannot be read ({error.strerror})", remedy="check its path"
        ) from None
    if start.startswith(_OLE2):
        raise LoadError(
            "this is an old or a password-protected Excel file",
            remedy="save it as .xlsx without a password, or as CSV",
        )
    if ending in _OTHER_WORKBOOKS:
        raise LoadError(f"{ending} files are not read", remedy="save it as .xlsx or CSV")
    is_workbook = start.startswith(_ZIP)
    if ending == ".xlsx" and not is_workbook:
        raise LoadError(
            "the file's name ends in .xlsx but it is no workbook",
            remedy="rename it to .csv if it is text, else save it again as .xlsx",
        )
    if ending != ".xlsx" and is_workbook:
        raise LoadError(
            "this is a workbook or another zip file, not text",
            remedy="rename it to .xlsx if it is a workbook",
        )
    return Workbook(path) if is_workbook else CsvFile(path)


def hash_file(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class CsvFile:
    """A file of delimited text."""

    format = "csv"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _HashedFile(path)
        self._pending = 0
        """Characters of the record that is being read."""

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
        found: list[Layout] = []
        problem = LoadError("the file is empty", remedy="export it again")
        for delimiter in (source_table.delimiter,) if source_table.delimiter else DELIMITERS:
            with self._text(encoding) as text:
                rows = self._rows(text, encoding, delimiter)
                try:
                    row, cells = next((r for r in rows if any(map(str.strip, r[1]))), (0, []))
                except LoadError as error:
                    problem = error
                    continue
            if row:
                layout = match_headers(source_table, cells, row)
                found.append(replace(layout, delimiter=delimiter, encoding=encoding))
        if not found:
            raise problem
        return max(found, key=lambda layout: (layout.fits, layout.matched, layout.width))

    def records(self, layout: Layout) -> Iterator[Record]:
        assert layout.encoding is not None  # noqa: S101  # `layout` has set both
        assert layout.delimiter is not None  # noqa: S101
        self._file.rewind()
        text = io.TextIOWrapper(
            io.BufferedReader(self._file, CHUNK), encoding=layout.encoding, newline=""
        )
        try:
            for row, fields in self._rows(text, layout.encoding, layout.delimiter):
                if row > layout.row:
                    yield row, fields
        finally:
            text.detach().detach()  # else the end of the wrapper closes the file

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
        self._file.rewind()
        start = self._file.read(2)
        if declared is not None:
            try:
                is_utf8 = codecs.lookup(declared).name == "utf-8"
            except LookupError:
                raise LoadError(
                    f"the encoding {declared!r} of the source table is unknown",
                    remedy="correct `encoding` in its config.meta.load",
                ) from None
            return "utf-8-sig" if is_utf8 else declared
        if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16"
        return "utf-8-sig"

    def _text(self, encoding: str, errors: str = "strict") -> io.TextIOWrapper:
        return self._path.open(encoding=encoding, errors=errors, newline="")

    def _rows(self, text: io.TextIOWrapper, encoding: str, delimiter: str) -> Iterator[Record]:
        # A setting of the whole process; this is its only user.
        csv.field_size_limit(MAX_FIELD)
        rows = csv.reader(self._lines(text), delimiter=delimiter, strict=True)
        row = 0
        self._pending = 0
        try:
            for row, fields in enumerate(rows, start=1):
                self._pending = 0
                yield row, fields
        except csv.Error as error:
            raise _misquoted(str(error), row + 1) from None
        except _TooLong:
            raise LoadError(
                f"the row is longer than {MAX_RECORD} characters",
                remedy="look for a quote that opens here and never closes",
                row=row + 1,
            ) from None
        except (UnicodeError, _NulByte) as error:
            raise self._unreadable(error, encoding, delimiter) from None

    def _lines(self, text: io.TextIOWrapper) -> Iterator[str]:
        while line := text.readline(MAX_RECORD):
            self._pending += len(line)
            if self._pending >= MAX_RECORD:
                raise _TooLong
            if "\0" in line:
                raise _NulByte
            yield line

    def _unreadable(self, error: Exception, encoding: str, delimiter: str) -> LoadError:
        """Read again up to what cannot be read, to say where it is."""
        # Encodings whose marks are counted apart.
        plain = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}.get(encoding, encoding)
        self._file.rewind()
        start = self._file.read(3)
        offset = 2 if encoding == "utf-16" else 3 * start.startswith(codecs.BOM_UTF8)
        is_reached = False

        def lines(text: io.TextIOWrapper) -> Iterator[str]:
            nonlocal offset, is_reached
            while line := text.readline(MAX_RECORD):
                bad = _BAD.search(line)
                offset += len(line[: bad.start() if bad else None].encode(plain, _ESCAPE))
                if bad:
                    is_reached = True
                    return
                yield line

        row = 0
        try:
            with self._text(encoding, _ESCAPE) as text:
                for row, _ in enumerate(  # noqa: B007
                    csv.reader(lines(text), delimiter=delimiter, strict=True), start=1
                ):
                    pass
        except csv.Error as misquoted:
            if not is_reached:
                return _misquoted(str(misquoted), row + 1)
        except UnicodeError:
            # Not every encoding can be read on behind an error.
            return LoadError(f"the text is not valid {encoding}", remedy="save it as UTF-8 CSV")
        return _explain(error, plain, offset, row + 1)


# Makes a byte that cannot be decoded a character of its own, so that reading goes on.
_ESCAPE = "surrogateescape"
_BAD = re.compile("[\0\udc80-\udcff]")


class _NulByte(Exception):  # noqa: N818
    """No text has one."""


class _TooLong(Exception):  # noqa: N818
    """A record goes on and on."""


def _explain(error: Exception, encoding: str, offset: int, row: int) -> LoadError:
    if isinstance(error, UnicodeError):
        return LoadError(
            f"the byte at offset {offset} is not valid {encoding}",
            remedy="save the file as UTF-8, or declare its `encoding` in the source's "
            "config.meta.load",
            row=row,
        )
    return LoadError(
        f"there is a NUL byte at offset {offset}: the file is damaged or no CSV (UTF-16 "
        "without a byte order mark has NUL bytes, too)",
        remedy="save it as UTF-8 CSV",
        row=row,
    )


def _misquoted(problem: str, row: int) -> LoadError:
    if "field limit" in problem:
        return LoadError(
            f"a field is longer than {MAX_FIELD} characters",
            remedy="look for a quote that opens here and never closes, or shorten the field",
            row=row,
        )
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
