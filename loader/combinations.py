"""Which columns tell the rows of a file apart, where no single one does."""

from collections.abc import Iterable, Sequence
from itertools import combinations, islice
from math import prod

from loader.profile import Profile, clean
from loader.readers import Document
from loader.rows import is_blank, without_surplus

MAX_COLUMNS = 4
MAX_ROWS = 100_000
"""Of a longer file the first so many are looked at."""
_MAX_CANDIDATES = 16


class Rows:
    """The rows of a file that differ, each value as its hash.

    Raises:
        LoadError: The file cannot be read.
    """

    def __init__(self, document: Document, profile: Profile) -> None:
        self._rows = _hashed(document, profile)
        self._places = {column.index: i for i, column in enumerate(profile.columns)}

    def tell_apart(self, indexes: Sequence[int]) -> bool:
        """Whether no two rows have the same values in these columns."""
        places = [self._places[index] for index in indexes]
        seen: set[tuple[int, ...]] = set()
        for row in self._rows:
            values = tuple(row[place] for place in places)
            if values in seen:
                return False
            seen.add(values)
        return True

    def smallest(self, candidates: Iterable[int]) -> tuple[int, ...] | None:
        """The first of the smallest combinations of 2 to 4 columns that tell the rows apart.

        Args:
            candidates: Indexes of columns, the most likely ones first.
        """
        likely = list(islice(candidates, _MAX_CANDIDATES))
        counts = {i: len({row[self._places[i]] for row in self._rows}) for i in likely}
        for size in range(2, MAX_COLUMNS + 1):
            for chosen in combinations([i for i in likely if counts[i] > 1], size):
                enough = prod(counts[index] for index in chosen) >= len(self._rows)
                if enough and self.tell_apart(chosen):
                    return chosen
        return None


def _hashed(document: Document, profile: Profile) -> list[tuple[int, ...]]:
    layout = profile.layout
    found: dict[tuple[int, ...], None] = {}
    for _, given in document.records(layout):
        fields = without_surplus(layout, given)
        if is_blank(layout, given) or not layout.width <= len(fields) <= len(layout.headers):
            continue
        row = tuple(hash(clean(fields[column.index])) for column in profile.columns)
        found[row] = None
        if len(found) >= MAX_ROWS:
            break
    return list(found)
