"""Reads the XML of a workbook: what must be known before Calamine, and what it does not tell.

The parser is strict, takes time in proportion to the text and bounded memory, whatever the text is.
"""

import re
from array import array
from collections.abc import Callable, Collection, Iterator, MutableSequence
from dataclasses import dataclass, field
from typing import IO
from xml.parsers import expat

MAX_ROW, MAX_COLUMN = 1_048_576, 16_384
"""The last place of a sheet, XFD1048576."""
_MAX_TAG = 1 << 20
"""Bytes of a tag; texts are read in pieces."""
_MAX_DEPTH = 100
_BLOCK = 1 << 16
_PLACE = re.compile("([A-Z]{1,3})([0-9]{1,7})")

_NUMBERS = {None, "n"}
_DEFAULT_STYLE = "0"

Attributes = dict[str, str]


class XmlError(Exception):
    """The text is no XML that a spreadsheet program writes."""


class Handler:
    """What is told of a part; element names come without their prefix."""

    def start(self, name: str, attributes: Attributes) -> None: ...
    def end(self, name: str) -> None: ...

    text: Callable[[str], None] | None = None


def parse(part: IO[bytes], handler: Handler) -> Iterator[None]:
    """Parse a part block by block; between two blocks its reader may look at the handler.

    Raises:
        XmlError: It is not well formed, has a document type, or is nested without end.
    """
    depth = position = 0

    def start(name: str, attributes: Attributes) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise XmlError("its elements are nested too deeply")
        handler.start(name.rpartition(":")[2], attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        handler.end(name.rpartition(":")[2])

    def refuse(*_: object) -> None:
        raise XmlError("it has a document type")

    parser = expat.ParserCreate("UTF-8")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = handler.text
    try:
        while block := part.read(_BLOCK):
            parser.Parse(block)
            position += len(block)
            if position - parser.CurrentByteIndex > _MAX_TAG:
                raise XmlError("a tag does not end")
            yield
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise XmlError(str(error)) from None
    yield


@dataclass
class Tags(Handler):
    """The attributes of all elements of one name."""

    name: str
    found: list[Attributes] = field(default_factory=list)

    def start(self, name: str, attributes: Attributes) -> None:
        if name == self.name:
            self.found.append(attributes)


class Texts(Handler):
    """The lengths of the texts that cells share."""

    def __init__(self) -> None:
        self.lengths: MutableSequence[int] = array("L")

    def start(self, name: str, _: Attributes) -> None:
        if name == "si":
            self.lengths.append(0)

    def text(self, text: str) -> None:
        if self.lengths:
            self.lengths[-1] += len(text)


@dataclass
class Survey(Handler):
    """How large a sheet is and what is peculiar in it."""

    padded: Collection[str] = ()
    """Styles that show a number with zeros before it."""
    row: int = 0
    column: int = 0
    height: int = 0
    width: int = 0
    values: int = 0
    """Cells that may have a value, and most of them do."""
    shared: int = 0
    """Cells whose text is a shared one."""
    formulas: int = 0
    peculiar: int = 0
    """Cells with formulas, and others that Calamine does not read as people do."""
    peculiar_width: int = 0
    """The last column with one of them."""
    merged: str | None = None
    """The merged cells that begin lowest."""
    merged_row: int = 0
    """The row in which they begin."""
    _kind: str | None = None
    _is_counted: bool = True

    def start(self, name: str, attributes: Attributes) -> None:
        if name == "c":
            self._start_cell(attributes)
        elif name in {"v", "t"}:
            if not self._is_counted:
                self.values += 1
                self._is_counted = True
            if name == "v" and self._kind == "inlineStr":
                self._count_peculiar()
        elif name == "row":
            self._start_row(attributes)
        elif name == "f":
            self.formulas += 1
            self._count_peculiar()
        elif name == "mergeCell":
            cells = attributes.get("ref", "")
            row, _ = place_of(cells.partition(":")[0])
            if row >= self.merged_row:
                self.merged, self.merged_row = cells, row
        if self.height > MAX_ROW or self.width > MAX_COLUMN:
            raise XmlError("a cell is at no place of a sheet")

    def _start_row(self, attributes: Attributes) -> None:
        number = attributes.get("r")
        row = place_of(f"A{number}")[0] if number else self.row + 1
        if row <= self.row:
            raise XmlError("its rows are not in order")
        self.row, self.column = row, 0
        self.height = max(self.height, self.row)

    def _start_cell(self, attributes: Attributes) -> None:
        place = attributes.get("r")
        row, column = place_of(place) if place else (self.row, self.column + 1)
        if (row, column) <= (self.row, self.column):
            raise XmlError("its cells are not in order")
        self.row, self.column = row, column
        self.height = max(self.height, self.row)
        self.width = max(self.width, self.column)
        self._kind, self._is_counted = attributes.get("t"), False
        self.shared += self._kind == "s"
        if self._kind == "e" or (
            self.padded
            and self._kind in _NUMBERS
            and attributes.get("s", _DEFAULT_STYLE) in self.padded
        ):
            self._count_peculiar()

    def _count_peculiar(self) -> None:
        self.peculiar += 1
        self.peculiar_width = max(self.peculiar_width, self.column)


def place_of(reference: str) -> tuple[int, int]:
    """Row and column, both from 1.

    Raises:
        XmlError: It is no reference such as `B7`.
    """
    found = _PLACE.fullmatch(reference)
    if found is None:
        raise XmlError("a cell is at no place of a sheet")
    return int(found[2]), _COLUMNS[found[1]]


def letters_of(column: int) -> str:
    """The letters of a column; 1 is A."""
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


class _Columns(dict[str, int]):
    """Numbers of columns by their letters, worked out once."""

    def __missing__(self, letters: str) -> int:
        number = 0
        for letter in letters:
            number = number * 26 + ord(letter) - ord("A") + 1
        self[letters] = number
        return number


_COLUMNS = _Columns()
