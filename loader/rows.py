"""What becomes of the rows of a file: raw rows, blank ones left out and bad ones set aside."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from json import dumps
from typing import Any

from loader.csv_files import Fragment, Record
from loader.errors import first_of
from loader.headers import Layout, ReadAgain


@dataclass
class Copied:
    """How many rows were sent, and what was peculiar about them."""

    rows: int = 0
    blank_rows: int = 0
    malformed_rows: int = 0
    short_rows: int = 0
    """Rows whose last fields are missing, and taken for blanks."""
    long_rows: int = 0
    """Rows with more fields than the header, which are empty."""
    unknown_columns: list[str] = field(default_factory=list)

    def notes(self) -> dict[str, Any]:
        return {
            "blank_rows": self.blank_rows,
            "malformed_rows": self.malformed_rows,
            "short_rows": self.short_rows,
            "long_rows": self.long_rows,
            "unknown_columns": first_of(self.unknown_columns),
        }


def is_blank(layout: Layout, fields: Sequence[str]) -> bool:
    """Whether a row is a position in the file and no more."""
    return not any(fields) or (len(fields) == 1 < layout.width and not fields[0].strip())


def without_surplus(layout: Layout, fields: list[str]) -> list[str]:
    """The fields without those beyond the header, if they are empty."""
    most = len(layout.columns)
    return fields if any(map(str.strip, fields[most:])) else fields[:most]


def raw_rows(
    layout: Layout, records: Iterator[Record], copied: Copied
) -> Iterator[Sequence[object]]:
    """Row number, fields in the file's order, `_malformed` and `_extra`; no blank rows.

    Raises:
        ReadAgain: A row whose fields do not fit shows that others, which were taken, may not be
            short because what they lack is blank.
    """
    known = [index for index, column in enumerate(layout.columns) if column is not None]
    unknown = [index for index, column in enumerate(layout.columns) if column is None]
    nothing = [None] * len(known)
    # In the order of the file; a column without a header counts once it has text.
    used = {layout.header(index): bool(layout.headers[index]) for index in unknown}
    is_plain = not unknown
    width, widest, needed = layout.width, len(layout.columns), layout.needed
    takes_short = layout.takes_short
    for row, given in records:
        if is_blank(layout, given):
            copied.blank_rows += 1
            continue
        fields = given
        if isinstance(fields, Fragment):
            copied.malformed_rows += 1
            yield row, *nothing, fields[0], None
            continue
        if len(fields) > widest:
            fields = without_surplus(layout, fields)
            copied.long_rows += len(fields) == widest
        elif needed <= len(fields) < width and takes_short:
            copied.short_rows += 1
            fields = fields + [""] * (width - len(fields))
        if not width <= len(fields) <= widest:
            if copied.short_rows:
                raise ReadAgain(replace(layout, takes_short=False))
            takes_short = False
            copied.malformed_rows += 1
            yield row, *nothing, _to_csv(given), None
        elif is_plain:
            yield row, *fields, None, None
        else:
            extra = {
                layout.header(index): fields[index]
                for index in unknown
                if index < len(fields) and fields[index]
            }
            used.update(dict.fromkeys(extra, True))
            yield row, *[fields[i] for i in known], None, dumps(extra) if extra else None
    copied.unknown_columns = [header for header, is_used in used.items() if is_used]


def _to_csv(fields: list[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="").writerow(fields)
    return text.getvalue()
