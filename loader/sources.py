"""Which source table a file belongs to, by its headers."""

import difflib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from assay.catalog import Catalog, SourceTable
from loader.errors import LoadError
from loader.headers import Layout
from loader.kinds import ending_of
from loader.readers import Document, open_document


def find_source(
    catalog: Catalog, path: Path, explicit_name: str | None = None, encoding: str | None = None
) -> SourceTable:
    """The source table that a file belongs to, with the encoding in which the file is read.

    It is the named one or the only one whose mandatory headers all occur in the file, and which
    knows most of the others; of several, the one that knows all headers that the others know, and
    more.

    Raises:
        LoadError: There is no such source table, or not exactly one that fits; the message
            lists the candidates and the headers that each lacks.
    """
    if explicit_name is not None:
        return in_encoding(_named(catalog, explicit_name), encoding)
    takes_files = [
        in_encoding(table, encoding) for table in catalog.source_tables.values() if table.formats
    ]
    return fitting_source(takes_files, path, is_doubted=True)


def in_encoding(source_table: SourceTable, encoding: str | None) -> SourceTable:
    """A source table whose files are in this encoding; None is what it declares."""
    return replace(source_table, encoding=encoding) if encoding else source_table


def fitting_source(
    candidates: Iterable[SourceTable],
    path: Path,
    file_name: str | None = None,
    remedy: str = "pass `--source NAME` to choose one",
    *,
    is_doubted: bool = False,
) -> SourceTable:
    """The one of some source tables whose mandatory headers all occur in the file.

    Of several it is the one that knows all headers that the others know, and more.

    Args:
        candidates: The source tables.
        path: The file.
        file_name: The name that its owner knows, when the path has another.
        remedy: What to do where there is not exactly one.
        is_doubted: The file may be of none of them: it has to know most of the other headers, too.

    Raises:
        LoadError: As `find_source`.
    """
    name = file_name or path.name
    try:
        with open_document(path, name) as document:
            found = _Found(document, path, name)
            for source_table in candidates:
                found.add(source_table)
    except LoadError as error:
        error.file = name
        raise
    sure = [layout for layout in found.fitting if not (is_doubted and layout.doubt)]
    for layout in sure:
        if all(layout.known > other.known for other in sure if other is not layout):
            return layout.source_table
    refusals = found.refusals
    if len(refusals) == len(found.reasons) and len({error.message for error in refusals}) == 1:
        raise refusals[0]  # unreadable, whatever it is meant for
    if sure:
        message = f"the headers fit several source tables: {_names(sure)}"
    elif found.fitting:
        doubts = "; ".join(", ".join(layout.doubt or ()) for layout in found.fitting)
        message = (
            f"this may be the file of another table, though all mandatory headers of "
            f"{_names(found.fitting)} occur: {doubts}"
        )
    else:
        reasons = "; ".join(found.reasons) or "there is none"
        message = f"the headers fit no source table: {reasons}"
    raise LoadError(message, remedy=remedy, file=name)


class _Found:
    """Which source tables a file fits, and why the others do not."""

    def __init__(self, document: Document, path: Path, name: str) -> None:
        self._document, self._path, self._name = document, path, name
        self.fitting: list[Layout] = []
        self.reasons: list[str] = []
        self.refusals: list[LoadError] = []

    def add(self, source_table: SourceTable) -> None:
        try:
            check_ending(source_table, self._path, self._name)
            layout = self._document.layout(source_table)
        except EndingError:
            ending = ending_of(self._path, self._name)
            self.reasons.append(f"{source_table.name} takes no .{ending}")
        except LoadError as error:
            error.file = self._name
            self.refusals.append(error)
            self.reasons.append(f"{source_table.name}: {error.message}")
        else:
            if layout.fits:
                self.fitting.append(layout)
            else:
                lacks = ", ".join(repr(column.header) for column in layout.missing)
                self.reasons.append(f"{source_table.name} lacks {lacks}")


class EndingError(LoadError):
    """A source takes no files whose name ends so."""


def check_ending(source_table: SourceTable, path: Path, name: str) -> None:
    """Refuse a file whose name ends in what its source does not take.

    Raises:
        EndingError: It does.
    """
    ending = ending_of(path, name)
    if ending not in source_table.formats:
        raise EndingError(
            f"{source_table.name} takes no .{ending} files",
            remedy=f"save it as {' or '.join(source_table.formats)}",
        )


def _names(layouts: Iterable[Layout]) -> str:
    return ", ".join(layout.source_table.name for layout in layouts)


def _named(catalog: Catalog, name: str) -> SourceTable:
    if name not in catalog.source_tables:
        near = difflib.get_close_matches(name, catalog.source_tables, n=1)
        raise LoadError(
            f"there is no source table {name!r}, there is "
            + (", ".join(catalog.source_tables) or "none"),
            remedy=f"pass `--source {near[0]}` if that is meant" if near else None,
        )
    return catalog.source_tables[name]
