"""What the columns of an unknown file hold: the type that all values have, blanks, options.

All rows are read, in constant memory: of each column a few values are kept, and of columns
without a repetition so far the hashes of their first values, `MAX_HASHES` of them in all.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Literal

from assay.catalog import SourceTable
from assay.grammar import read
from loader.errors import LoadError, listed
from loader.headers import MAX_HEADER_ROW, Layout, ReadAgain, match_headers, normalise
from loader.notation import Evidence, Notation, notation_of
from loader.readers import Document
from loader.rows import is_blank, without_surplus
from loader.workbooks import Workbook

DataType = Literal["boolean", "integer", "bigint", "numeric", "date", "timestamptz", "uuid", "text"]
# The narrower one first.
_TYPES: tuple[DataType, ...] = (
    *("boolean", "integer", "bigint", "numeric", "date", "timestamptz", "uuid"),
)

# Those of which every text of the grammar is certainly one.
_READ: tuple[DataType, ...] = ("boolean", "date", "timestamptz", "uuid")

MAX_HASHES = 1_000_000
"""Beyond this, a repetition is only seen of the values that have been kept."""
MAX_OPTIONS = 12
MAX_SHOWN = 80
"""Characters of a value that is kept to be shown."""
_SAMPLED = 100
_MAX_SAMPLE = 2000

# As the macro `clean_text` does.
_SPACE = " \t\r\n\u00a0\u200b\ufeff"
_QUOTED = re.compile(r"'(?='*[=+@\t\r-])(?!'*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$)")

# A leading zero or `+` is part of a code, not of a number.
_WHOLE = re.compile("0|-?[1-9][0-9]{0,18}")
_NUMBER = re.compile(
    r"-?(0|[1-9][0-9]{0,39})?\.[0-9]{1,40}([eE][+-]?[0-9]{1,3})?"
    "|-?(0|[1-9][0-9]{0,39})[eE][+-][0-9]{1,3}"
)
# Something that nobody reads as words: one word with a digit in it.
_CODE = re.compile(r"(?=.*[0-9])[A-Za-z0-9][A-Za-z0-9._/-]*")


# A number with a decimal sign, a unit or a currency: `20.3 °C`, `8,95`, `< 5 %`, `$12`.
_AMOUNT = r"[0-9]{1,3}([., '\u00a0][0-9]{3})+([.,][0-9]+)?|[0-9]+([.,][0-9]+)?"
_UNIT = r"[^\W\d_]{1,12}([/·*.^²³-][^\W_]{1,8})*|[%‰°µ$€£¥][^\W\d_]{0,3}"
_MEASURED = re.compile(
    rf"[<>≤≥~±]? ?[+\u2212-]?(({_AMOUNT})\s({_UNIT})|({_AMOUNT}) ?[%‰°µ$€£¥]\w{{0,3}}"
    rf"|[$€£¥] ?({_AMOUNT})|([0-9]{{1,3}}([., '][0-9]{{3}})+|[0-9]+)[.,][0-9]+)"
)


def clean(text: str) -> str:
    """What staging makes of a text; "" where nothing is left."""
    value = text.strip(_SPACE)
    return _QUOTED.sub("", value, count=1) if value.startswith("'") else value


def instant(value: str) -> datetime:
    """An instant in UTC, as which it is taken without an offset. Raises `ValueError`."""
    text = read("timestamptz", value).text.upper().removesuffix(" UTC")
    moment = datetime.fromisoformat(re.sub(" (?=[Z+-])", "", text))
    with suppress(OverflowError):
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    raise ValueError


@lru_cache(maxsize=10_000)
def types_of(value: str) -> frozenset[DataType]:
    """The types but text that a value certainly has."""
    if _WHOLE.fullmatch(value):
        bits = int(value).bit_length()
        whole: tuple[DataType, ...] = ("bigint", "numeric") if bits <= 63 else ()  # noqa: PLR2004
        return frozenset(("integer", *whole) if bits <= 31 else whole)  # noqa: PLR2004
    if _NUMBER.fullmatch(value):
        return frozenset(("numeric",))
    found: set[DataType] = set()
    for data_type in _READ:
        with suppress(ValueError):
            read(data_type, value)
            found.add(data_type)
    return frozenset(found)


@dataclass
class ColumnProfile:
    """What a column holds, as far as it was read."""

    index: int
    """Its place in a row, from 0."""
    header: str
    notation: Notation = field(default_factory=Notation)
    """How the file writes its values."""
    evidence: Evidence = field(default_factory=Evidence)
    """What its values say of that."""
    count: int = 0
    """Of values."""
    blanks: int = 0
    longest: int = 0
    is_negative: bool = False
    is_measured: bool = True
    """All values are numbers with a decimal sign or a unit."""
    is_code: bool = True
    """All values are one word with a digit in it, such as the number of an article."""
    is_unique: bool = True
    """No value was seen twice."""
    options: set[str] = field(default_factory=set)
    """The different values; one more than `MAX_OPTIONS` where there are more."""
    examples: list[str] = field(default_factory=list)
    _types: frozenset[DataType] = frozenset(_TYPES)
    _hashes: set[int] = field(default_factory=set)

    @property
    def data_type(self) -> DataType:
        """The narrowest type that all values have."""
        found = (name for name in _TYPES if self.count and name in self._types)
        return next(found, "text")

    def add(self, text: str, room: int) -> None:
        """Take a value in; `room` is for so many hashes."""
        value = clean(text)
        if not value:
            self.blanks += 1
            return
        self.count += 1
        self.longest = max(self.longest, len(value))
        self.is_measured = self.is_measured and _MEASURED.fullmatch(value) is not None
        self.is_code = self.is_code and _CODE.fullmatch(value) is not None
        self.evidence.add(value)
        if self._types:
            self._types &= types_of(self.notation.plain(value))
            self.is_negative |= value[0] == "-"
        if len(self.options) <= MAX_OPTIONS and value not in self.options:
            shown = value if len(value) <= MAX_SHOWN else ""
            self.options.add(shown)
            if shown and len(self.examples) < 2:  # noqa: PLR2004
                self.examples.append(shown)
        if self.is_unique:
            # UUIDs are the same in letters of any case
            known = hash(value.lower() if "uuid" in self._types else value)
            self.is_unique = known not in self._hashes
            if not self.is_unique:
                self._hashes.clear()
            elif len(self._hashes) < room:
                self._hashes.add(known)


@dataclass(frozen=True)
class Profile:
    """What a file holds."""

    layout: Layout
    columns: tuple[ColumnProfile, ...]
    """Those with a header."""
    rows: int
    """With as many fields as the header; the others are left out."""
    notation: Notation
    """How it writes its values."""
    sample: tuple[str, ...]
    """The fields of one of the first rows, with as few blanks as any."""


def read_profile(
    document: Document, *, sheet: str | None = None, encoding: str | None = None
) -> Profile:
    """Read a whole file.

    Raises:
        LoadError: It has no header, no rows, or cannot be read.
    """
    layout = _layout(document, sheet, encoding)
    layout.check(all_headers=True)
    notation = Notation()
    while True:
        try:
            found = _profile(document, layout, notation)
        except ReadAgain as again:
            layout = again.layout
            continue
        proven = notation_of(column.evidence for column in found.columns)
        if proven == notation:
            return found
        notation = proven  # of which types follow


def _profile(document: Document, layout: Layout, notation: Notation) -> Profile:
    columns = tuple(
        ColumnProfile(i, header, notation) for i, header in enumerate(layout.headers) if header
    )
    rows = others = fullness = 0
    room = MAX_HASHES
    sample: list[str] = []
    for _, given in document.records(layout):
        if is_blank(layout, given):
            continue
        fields = without_surplus(layout, given)
        if not layout.width <= len(fields) <= len(layout.headers):
            others += 1
            continue
        if rows % 1000 == 0:
            room = MAX_HASHES // max(1, sum(column.is_unique for column in columns))
        rows += 1
        for column in columns:
            column.add(fields[column.index], room)
        if rows <= _SAMPLED and sum(map(len, fields)) <= _MAX_SAMPLE:
            filled = sum(bool(clean(text)) for text in fields)
            if filled > fullness:
                sample, fullness = fields, filled
    if not rows:
        raise LoadError(
            "no row has as many fields as the header" if others else "there is no row of data",
            remedy="types and rules are guessed from rows: add some below the header",
        )
    return Profile(layout, columns, rows, notation, tuple(sample))


def _layout(document: Document, sheet: str | None, encoding: str | None) -> Layout:
    """Where the header stands when nothing is known of it."""
    unknown = SourceTable(
        name="",
        schema="",
        table="",
        description="",
        columns=(),
        formats=(document.format,),
        sheet=None,
        delimiter=None,
        encoding=encoding,
        sample=None,
    )
    if not isinstance(document, Workbook):
        return document.layout(unknown)
    found: list[Layout] = []
    for name in document.names if sheet is not None else document.visible:
        if sheet is None or normalise(sheet) == normalise(name):
            above = replace(match_headers(unknown, (), 0), sheet=name)
            rows = list(islice(document.records(above), MAX_HEADER_ROW))
            # a title above the table has fewer cells than the header
            row, cells = max(rows, key=lambda row: sum(map(bool, row[1])), default=(0, []))
            if any(cells):
                found.append(replace(match_headers(unknown, cells, row), sheet=name))
    if len(found) == 1:
        return found[0]
    raise LoadError(
        f"{'several sheets have' if found else 'no such sheet has'} text",
        value=f"the sheets are {listed(document.names)}",
        remedy="pass `--sheet NAME` to choose one with data",
    )
