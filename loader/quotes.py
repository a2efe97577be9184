"""Proof that the bytes of a CSV file mean the same to PostgreSQL as to everyone else."""

import csv
import re
from typing import Literal


class NotWellFormed(Exception):  # noqa: N818  # a turn of the road, not an error
    """The file must be read row by row."""


class QuoteCheck:
    """Checks the quoting of a CSV file, chunk after chunk, and counts its rows.

    PostgreSQL takes a quote inside an unquoted field (`5" pipe`) for the start of a quoted
    part and may so swallow rows without a word. Here a field is quoted wholly or not at all:
    a quote opens only behind a delimiter or a line end and closes only before one. In between
    a chunk is cut at its quotes, which C does, so a chunk costs a fraction of its COPY.
    """

    def __init__(self, delimiter: str) -> None:
        self._edges = {b"", delimiter.encode(), b"\r", b"\n"}
        self.is_quoted = False
        """Whether the bytes so far end inside quotes."""
        self.line_ends = 0
        """Line feeds outside quotes so far."""

    def feed(self, chunk: bytes) -> None:
        """Check the next bytes; all chunks but the last end with a line feed.

        Raises:
            NotWellFormed: A quote stands where none may, there is a NUL byte, or a record
                spans the whole chunk, so that a field may be larger than the row by row
                reader accepts.
        """
        if b"\0" in chunk:
            raise NotWellFormed
        parts = chunk.split(b'"')
        was_quoted = self.is_quoted
        outside = parts[was_quoted::2]
        self.is_quoted = was_quoted ^ (len(parts) % 2 == 0)
        # Which outside parts a quote precedes and follows. An empty one between two quotes is
        # an escaped quote.
        behind_quote = outside if was_quoted else outside[1:]
        before_quote = outside[:-1] if not self.is_quoted else outside
        if not {part[:1] for part in behind_quote} <= self._edges:
            raise NotWellFormed
        if not {part[-1:] for part in before_quote} <= self._edges:
            raise NotWellFormed
        line_ends = b"".join(outside).count(b"\n")
        if not line_ends and chunk.endswith(b"\n"):
            raise NotWellFormed
        self.line_ends += line_ends


# What follows in a quoted field up to the quote that closes it.
_INSIDE = re.compile('[^"]*+(?:""[^"]*+)*+')


class Quoting:
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
