"""Quotes behind blanks: `4006381333931, "Oil, refined", 2.5`.

To a CSV reader such a quote is text, and the delimiter behind it ends the field. Who wrote it meant
a quoted field. It is taken so where every quote of the file stands so; what stands otherwise is
refused, since then nobody knows which of its quotes are text.
"""

import re

from loader.errors import LoadError


class Spacing:
    """How the quotes of a file stand, record by record."""

    def __init__(self, delimiter: str) -> None:
        edge = re.escape(delimiter)
        self._hint = re.compile(f'(?:^|{edge})[ \t]+"', re.MULTILINE)
        # as a strict reader takes them: quoted wholly, or plain whatever quotes are in it
        self._field = re.compile(rf'"[^"]*+(?:""[^"]*+)*+"|([^{edge}\r\n]*+)')
        self._spaced = re.compile(rf' *+"([^"]*+(?:""[^"]*+)*+)"|([^{edge}"\r\n]*+)')
        self._delimiter = delimiter

    def is_spaced(self, record: str) -> bool:
        """Whether a field of the record, read as usual, begins with blanks and a quote."""
        if not self._hint.search(record):
            return False
        position = 0
        while field := self._field.match(record, position):
            if (field[1] or "").lstrip(" \t").startswith('"') and field[1][0] != '"':
                return True
            position = field.end() + 1
            if record[field.end() : position] != self._delimiter:
                break
        return False

    def fields(self, record: str, row: int) -> list[str]:
        """The fields of a record whose quotes stand behind blanks, or at its start.

        Raises:
            LoadError: One stands elsewhere.
        """
        found: list[str] = []
        position = 0
        while field := self._spaced.match(record, position):
            if field[1] is None:
                found.append(field[2])
            elif found and record[position] == '"':
                break
            else:
                found.append(field[1].replace('""', '"'))
            position = field.end() + 1
            if record[field.end() : position] != self._delimiter:
                if record[field.end() :] in {"", "\n", "\r", "\r\n"}:
                    return found
                break
        raise mixed(row)


def mixed(row: int) -> LoadError:
    return LoadError(
        "some quotes of the file stand behind blanks, and others do not: which of them are text "
        "nobody knows",
        remedy="take the blanks before the quotes away, and write a quote that is text twice, "
        "inside a quoted field",
        row=row,
    )
