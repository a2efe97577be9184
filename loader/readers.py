"""Reads files: what a file is."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from assay.catalog import SourceTable
from loader.csv_files import CsvFile, Record
from loader.errors import LoadError
from loader.headers import Layout
from loader.workbooks import Workbook

_ZIP = b"PK\x03\x04"
_OLE2 = bytes.fromhex("d0cf11e0a1b11ae1")
_OTHER_WORKBOOKS = (".xls", ".xlsm", ".xlsb", ".ods")


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

    def notes(self) -> dict[str, Any]:
        """What a person may want to know of the rows, once all were read."""

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
