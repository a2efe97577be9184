"""Proof that the bytes of a CSV file mean the same to PostgreSQL as to everyone else."""


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
