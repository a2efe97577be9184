"""How a file writes days and decimals, as far as one of its columns proves it.

`03/04/2026` may be either of two days and `1,234` either of two numbers. A day over 12, or a comma
that no thousands can stand behind, shows which is meant for a whole column, and so for the file.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date

ORDERS = ("dmy", "mdy", "ymd")

_TIME = r"(?P<time>[T ].*)?"
_PARTS = {"d": "(?P<d>[0-9]{1,2})", "m": "(?P<m>[0-9]{1,2})", "y": "(?P<y>[0-9]{4})"}
_DAYS = {
    order: re.compile(r"[./-]".join(_PARTS[part] for part in order) + _TIME) for order in ORDERS
}
_ISO = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_GROUPS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_POINT = re.compile(r"[+-]?[0-9]*\.[0-9]+")


@dataclass(frozen=True)
class Notation:
    """What a source declares of its values."""

    dates: str | None = None
    """The order of day, month and year: `dmy`, `mdy` or `ymd`; else ISO 8601."""
    decimal: str | None = None
    """The decimal sign, if it is no point."""

    def plain(self, value: str) -> str:
        """A value as everybody writes it: ISO 8601, a decimal point."""
        if self.dates and (iso := _iso(value, self.dates)):
            return iso
        if self.decimal and _COMMA.fullmatch(value):
            return value.replace(",", ".")
        return value


@dataclass
class Evidence:
    """What the values of one column say."""

    orders: set[str] = field(default_factory=lambda: set(ORDERS))
    """Those in which all values are days."""
    is_comma: bool = True
    """All values are numbers, if a comma is the decimal sign."""
    has_comma: bool = False
    """A comma stands where no thousands are behind it."""
    is_point: bool = True
    """All values are numbers with a decimal point."""

    def add(self, value: str) -> None:
        """Take a value in."""
        if self.orders:
            is_iso = _ISO.match(value)
            self.orders = set() if is_iso else {o for o in self.orders if _iso(value, o)}
        if self.is_comma:
            comma = _COMMA.fullmatch(value) is not None
            self.is_comma = comma or _WHOLE.fullmatch(value) is not None
            self.has_comma = self.has_comma or (comma and not _GROUPS.fullmatch(value))
        self.is_point = self.is_point and _POINT.fullmatch(value) is not None


def notation_of(columns: Iterable[Evidence]) -> Notation:
    """What the columns of a file prove, where none proves something else."""
    found = list(columns)
    orders = {next(iter(column.orders)) for column in found if len(column.orders) == 1}
    is_comma = any(column.is_comma and column.has_comma for column in found)
    is_point = any(column.is_point for column in found)
    return Notation(
        dates=orders.pop() if len(orders) == 1 else None,
        decimal="," if is_comma and not is_point else None,
    )


def _iso(value: str, order: str) -> str | None:
    """A day in this order, and the time behind it, in ISO 8601."""
    found = _DAYS[order].fullmatch(value)
    if found:
        with suppress(ValueError):
            day = date(int(found["y"]), int(found["m"]), int(found["d"]))
            return f"{day.isoformat()}{found['time'] or ''}"
    return None
