"""The errors of the loader: what cannot be loaded, and what its owner can do."""

from collections.abc import Sequence

MAX_NAMES = 20
"""That a sentence or a note lists of what a file has; a file may have 40,000 headers."""
MAX_NAME = 80
"""Characters of each."""


def first_of(names: Sequence[str]) -> list[str]:
    """The first names of a file, cut, and how many more there are."""
    cut = [name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}..." for name in names]
    more = len(names) - MAX_NAMES
    return [*cut[:MAX_NAMES], *([f"and {more:,} more"] if more > 0 else [])]


def listed(names: Sequence[str]) -> str:
    """The same as part of a sentence."""
    shown = first_of(names)
    quoted = [repr(name) for name in shown[:MAX_NAMES]]
    return ", ".join([*quoted, *shown[MAX_NAMES:]]) or "nothing"


class LoadError(Exception):
    """A file or an API was refused; nothing of it is visible in the database.

    Attributes:
        message: What is wrong, without a full stop.
        value: What the file says there, in words for who sent it: never kept, never logged.
        remedy: What to do about it, in the imperative, without a full stop.
        file: Name of the file, or path below the API's URL.
        row: Number of the row as a spreadsheet shows it: the first row is 1.
        column: Header of the column, or its letters in a workbook.
    """

    def __init__(  # noqa: PLR0913  # a sentence has these parts
        self,
        message: str,
        *,
        value: str | None = None,
        remedy: str | None = None,
        file: str | None = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.value = value
        self.remedy = remedy
        self.file = file
        self.row = row
        self.column = column

    def __str__(self) -> str:
        """One sentence for who sent the file: place, message, value, remedy."""
        return self._sentence(self.value)

    def without_value(self) -> str:
        """The sentence that others may read, too."""
        return self._sentence(None)

    def _sentence(self, value: str | None) -> str:
        places = (
            self.file,
            None if self.row is None else f"row {self.row}",
            None if self.column is None else f"column {self.column}",
        )
        place = ", ".join(part for part in places if part is not None)
        sentence = f"{place}: {self.message}" if place else self.message
        sentence = f"{sentence} ({value})" if value else sentence
        return f"{sentence}; {self.remedy}." if self.remedy else f"{sentence}."


class UnavailableError(LoadError):
    """What was to be loaded cannot be reached; another time it may be."""


class ListingError(LoadError):
    """What a listing of an API says cannot be all that there is: it has to be read anew."""
