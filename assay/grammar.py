"""How a value of each type is written: what is taken in files, bodies, filters and keys alike.

The macros in `dbt_project/macros/values` take the same texts; a test compares the two.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from assay.data_types import base_type

WHOLE = re.compile(r"[+-]?[0-9]+(\.0*)?")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_MIDNIGHT = r"[Tt ]00:00(:00(\.0{1,9})?)?( ?([Zz]|[+-]00(:?00)?))?"
_DATE = re.compile(f"({_DAY})({_MIDNIGHT})?")
# PostgreSQL knows offsets below 16 hours.
_OFFSET = "([Zz]|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?"
_INSTANT = re.compile(f"({_DAY})([Tt ]{_CLOCK}( ?(?P<offset>{_OFFSET}))?)?")
_FINE = re.compile(r"(\.[0-9]{6})(?=[0-9]*[1-9])[0-9]+")
MAX_NUMBER = 1000
"""Characters."""

FORMS = {
    "text": "text",
    "uuid": "a UUID, such as 1d604da9-9a81-4ba9-80c2-de3375d59b40",
    "smallint": "a whole number from -32768 to 32767, such as 12",
    "integer": "a whole number from -2147483648 to 2147483647, such as 12",
    "bigint": "a whole number from -9223372036854775808 to 9223372036854775807, such as 12",
    "numeric": "a number with '.' as its decimal separator, such as 12.5",
    "double precision": (
        "a number with '.' as its decimal separator, within the range of double precision, "
        "such as 12.5"
    ),
    "boolean": "true or false",
    "date": "a day of the calendar, such as 2026-01-31; only midnight may follow it",
    "timestamptz": (
        "an instant, such as 2026-01-31T12:00:00Z or 2026-01-31 13:00:00+01:00 (UTC where it has "
        "no offset), or a day, such as 2026-01-31 (its midnight)"
    ),
    "jsonb": "JSON",
}
"""What is taken, for people."""


@dataclass(frozen=True)
class Value:
    """A text as PostgreSQL is to read it."""

    text: str
    is_changed: bool = False
    """Something that it said is left out of it, which its writer has to be told."""


def form_of(data_type: str) -> str:
    """What is taken for a type of a contract, for people."""
    base = base_type(data_type)
    return f"a list of values, each {FORMS[base[:-2]]}" if base.endswith("[]") else FORMS[base]


def read(data_type: str, text: str) -> Value:
    """A text as a value of one of a contract's types, arrays and JSON excepted.

    Raises:
        ValueError: It is none.
    """
    if "\0" in text.encode().decode():  # which fails for half of a surrogate pair
        raise ValueError
    return _READERS[base_type(data_type)](text)


def composed(text: str) -> str:
    """The text in Unicode's composed form (NFC), in which the same letters are the same bytes."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _date(text: str) -> Value:
    found = _DATE.fullmatch(text)
    if not found:
        raise ValueError
    date.fromisoformat(found[1])
    return Value(found[1], is_changed=found[2] is not None)


def _instant(text: str) -> Value:
    found = _INSTANT.fullmatch(text)
    if not found:
        raise ValueError
    date.fromisoformat(found[1])
    cut = _FINE.sub(r"\1", text)
    return Value(cut if found["offset"] else f"{cut} UTC", is_changed=cut != text)


def _whole(text: str, bits: int) -> str:
    sign = "-" if _matching(WHOLE, text)[0] == "-" else ""
    digits = text.lstrip("+-").partition(".")[0].lstrip("0") or "0"
    # Python refuses to read thousands of digits
    if len(digits) > bits or not -(2 ** (bits - 1)) <= int(sign + digits) < 2 ** (bits - 1):
        raise ValueError
    return f"{sign}{digits}" if digits != "0" else digits


def _number(text: str) -> Value:
    if len(text) >= MAX_NUMBER:
        raise ValueError
    return Value(_matching(NUMBER, text))


def _double(text: str) -> Value:
    number = _number(text)
    nearest = float(number.text)
    if abs(nearest) == float("inf") or (nearest == 0 and re.match("[^eE]*[1-9]", text)):
        raise ValueError
    return number


def _boolean(text: str) -> Value:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return Value(text.lower())


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError
    return text


_READERS: dict[str, Callable[[str], Value]] = {
    "text": lambda text: Value(composed(text)),
    "uuid": lambda text: Value(_matching(UUID, text)),
    "smallint": lambda text: Value(_whole(text, 16)),
    "integer": lambda text: Value(_whole(text, 32)),
    "bigint": lambda text: Value(_whole(text, 64)),
    "numeric": _number,
    "double precision": _double,
    "boolean": _boolean,
    "date": _date,
    "timestamptz": _instant,
}
