"""The lines of a text, record by record, however long a record is."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Literal

MAX_RECORD = 1 << 20
"""Characters of a row: one that has as many is malformed, and only its start is kept."""
KEPT = 1 << 10
"""Characters that are kept of such a row."""
LINE_ENDS = {"\n", "\r", "\r\n"}
ESCAPE = "surrogateescape"
"""How texts are opened: a byte that cannot be decoded is a character of its own, whose row can be
told."""
_BAD = re.compile("[\udc80-\udcff]")
# What follows in a quoted field up to the quote that closes it.
_INSIDE = re.compile('[^"]*+(?:""[^"]*+)*+')


class NoText(Exception):  # noqa: N818
    """A NUL, which no text has, or bytes that cannot be decoded."""


class TooLong(Exception):  # noqa: N818
    """A record goes on and on."""


class Lines:
    """The lines of a text, and of the record that is being read all that there is."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._pieces = _pieces(text)
        self._record: list[str] = []
        self._length = 0
        self.ends: set[str] = set()
        """Line ends of the records so far; another character is the last of a file without."""

    def __iter__(self) -> Iterator[str]:
        for piece in self._pieces:
            self._record.append(piece)
            self._length += len(piece)
            if self._length >= MAX_RECORD:
                raise TooLong
            yield piece

    def end_record(self) -> str:
        """The record that was read, with its line end."""
        self._end(self._record[-1])
        record = self._record[0] if len(self._record) == 1 else "".join(self._record)
        self._record.clear()
        self._length = 0
        return record

    def skip_record(self, delimiter: str) -> str:
        """Read on to the end of a record without keeping it; its start and its length.

        Raises:
            csv.Error: It is misquoted.
        """
        start, length = "".join(self._record)[:KEPT], self._length
        quoting = _Quoting(delimiter)
        for piece in self._record:
            quoting.feed(piece)
        self._record.clear()
        self._length = 0
        while quoting.is_quoted or piece[-1] not in "\r\n":
            following = next(self._pieces, "")
            if not following:
                quoting.end()
                break
            piece = following
            quoting.feed(piece)
            length += len(piece)
        self._end(piece)
        return f"{start}… ({length} characters)"

    def _end(self, piece: str) -> None:
        self.ends.add("\r\n" if piece.endswith("\r\n") else piece[-1])


def _pieces(text: io.TextIOWrapper) -> Iterator[str]:
    """Lines; longer ones in pieces."""
    following = ""
    while piece := following or text.readline(MAX_RECORD):
        following = ""
        if piece[-1] == "\r" and len(piece) >= MAX_RECORD:
            following = text.readline(MAX_RECORD)
            if following == "\n":  # a piece ended between the two
                piece, following = piece + following, ""
        if "\0" in piece or (not piece.isascii() and _BAD.search(piece)):
            raise NoText
        yield piece


class _Quoting:
    """Follows the quotes of one record, piece after piece, as a strict `csv.reader` takes them."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._state: Literal["start", "plain", "quoted", "closing"] = "start"
        """`start`: a field begins; `closing`: behind a quote that ends the field or is escaped."""

    @property
    def is_quoted(self) -> bool:
        return self._state == "quoted"

    def feed(self, text: str) -> None:
        """Go on with the next piece, which is not empty.

        Raises:
            csv.Error: Text follows a closing quote.
        """
        position = 0
        if self._state in {"start", "closing"} and text[0] == '"':
            self._state, position = "quoted", 1
        elif self._state == "closing":
            self._close(text[0])
        else:
            self._state = "quoted" if self._state == "quoted" else "plain"
        while position < len(text):
            if self._state == "plain":
                opening = text.find(f'{self._delimiter}"', position)
                if opening < 0:
                    self._state = "start" if text[-1] == self._delimiter else "plain"
                    return
                self._state, position = "quoted", opening + 2
            else:
                inside = _INSIDE.match(text, position)
                position = inside.end() + 1 if inside else position
                if position == len(text):
                    self._state = "closing"
                elif position < len(text):
                    self._close(text[position])

    def end(self) -> None:
        """The text ends here. Raises `csv.Error` inside quotes."""
        if self._state == "quoted":
            raise csv.Error("unexpected end of data")

    def _close(self, following: str) -> None:
        if following not in {self._delimiter, "\r", "\n"}:
            raise csv.Error("text follows a closing quote")
        self._state = "plain"
