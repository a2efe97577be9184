"""Number formats of a workbook that pad with zeros: what people see is a code, not a quantity.

A barcode `00012345678905`, a ZIP code `02134` or a number `078-05-1120` is stored as a number, and
only its format has the zeros and hyphens (ECMA-376, part 1, 18.8.31). Formats of dates, fractions,
percentages, decimals and thousands show quantities, which are taken as they are stored.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from loader.sheets import Attributes, Handler

_MIN_ZEROS = 2
"""One zero shows any whole number as it is."""
_MAX_FORMAT = 255
"""Characters, as spreadsheet programs take them."""
_SECTIONS = 4

# What a format is made of; a section ends at a `;` that is in no literal.
_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"'
    r"|\\(?P<escaped>.)"
    r"|_.|\*."  # blanks as wide as a character, or up to the edge of the cell
    r"|\[\$(?P<currency>[^\]-]*)(-[0-9A-Fa-f]*)?\]"
    r"|\[(?P<compared><=|>=|<>|<|>|=)(?P<limit>-?[0-9]+(\.[0-9]+)?)\]"
    r"|\[(?:Black|Blue|Cyan|Green|Magenta|Red|White|Yellow|Color ?[0-9]{1,2})\]"
    r"|(?P<digit>[0#])"
    r"|(?P<plain>[-+$():!^&'~{}<>= ])"
    r"|(?P<end>;)",
    re.IGNORECASE | re.DOTALL,
)
_COMPARE: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "<": lambda value, limit: value < limit,
    ">": lambda value, limit: value > limit,
    "<=": lambda value, limit: value <= limit,
    ">=": lambda value, limit: value >= limit,
    "=": lambda value, limit: value == limit,
    "<>": lambda value, limit: value != limit,
}


@dataclass(frozen=True)
class _Section:
    parts: tuple[str, ...] | None
    """Literals, and `\\0` or `\\0#` where a digit goes; None if it pads with no zeros."""
    condition: tuple[str, Decimal] | None

    def shown(self, digits: str) -> str:
        places = sum(part[:1] == "\0" for part in self.parts or ())
        left, last = digits[: max(0, len(digits) - places)], digits[-places:]
        filled = iter(last.rjust(places, "\0"))
        text = ""
        for part in self.parts or ():
            if part[:1] != "\0":
                text += part
                continue
            digit = next(filled)
            padding = "" if part == "\0#" else "0"
            text += left + (padding if digit == "\0" else digit)
            left = ""
        return text.strip()


class ZeroFormat:
    """A format of which at least one section pads with zeros."""

    def __init__(self, sections: tuple[_Section, ...]) -> None:
        self._sections = sections

    def text(self, value: str) -> str | None:
        """What people see of a number as it is stored; None where it is no padded code."""
        try:
            number = Decimal(value.strip())
        except InvalidOperation:
            return None
        if not number.is_finite() or number != number.to_integral_value():
            return None
        section, sign = self._section_of(number)
        if section is None or section.parts is None:
            return None
        return sign + section.shown(str(abs(int(number))))

    def _section_of(self, number: Decimal) -> tuple[_Section | None, str]:
        """The section for a number, and the sign that it does not show itself."""
        sections = self._sections
        minus = "-" if number < 0 else ""
        if any(section.condition for section in sections):
            for section in sections[:3]:
                if section.condition is None:
                    return section, minus
                compare, limit = section.condition
                if _COMPARE[compare](number, limit):
                    return section, minus
            return None, ""
        if number < 0:
            return (sections[1], "") if len(sections) > 1 else (sections[0], minus)
        if number == 0 and len(sections) > 2:  # noqa: PLR2004  # positive; negative; zero
            return sections[2], ""
        return sections[0], ""


def zero_format(code: str) -> ZeroFormat | None:
    """The format of a code such as `000-00-0000`, if it pads with zeros."""
    if code.count("0") < _MIN_ZEROS or len(code) > _MAX_FORMAT:
        return None
    sections: list[_Section] = []
    parts: list[str] = []
    condition: tuple[str, Decimal] | None = None
    is_known = True
    position = 0
    while position <= len(code):
        token = _TOKEN.match(code, position)
        if token is None and position < len(code):
            # a part of another sort of format: the section is none of ours
            is_known = False
            position += 1
            continue
        if token is None or token["end"]:
            zeros = parts.count("\0")
            is_padded = is_known and zeros >= _MIN_ZEROS
            sections.append(_Section(tuple(parts) if is_padded else None, condition))
            parts, condition, is_known = [], None, True
            position = token.end() if token else len(code) + 1
            continue
        position = token.end()
        if token["compared"]:
            condition = token["compared"], Decimal(token["limit"])
        elif token["digit"]:
            parts.append("\0" if token["digit"] == "0" else "\0#")
        else:
            literals = ("quoted", "escaped", "currency", "plain")
            parts.append(next((token[name] for name in literals if token[name]), ""))
    if len(sections) > _SECTIONS or not any(section.parts for section in sections):
        return None
    return ZeroFormat(tuple(sections))


class Styles(Handler):
    """The formats of a workbook's cells, by the number of their style."""

    def __init__(self) -> None:
        self._codes: dict[str, str] = {}
        self._formats: list[str] = []
        self._parent = ""

    def start(self, name: str, attributes: Attributes) -> None:
        if name in {"numFmts", "cellXfs", "cellStyleXfs", "dxfs"}:
            self._parent = name
        elif name == "numFmt" and self._parent == "numFmts":
            self._codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
        elif name == "xf" and self._parent == "cellXfs":
            self._formats.append(attributes.get("numFmtId", "0"))

    def zero_formats(self) -> dict[str, ZeroFormat]:
        """The padded ones by the number that cells name."""
        found = {number: zero_format(code) for number, code in self._codes.items()}
        return {
            str(style): padded
            for style, number in enumerate(self._formats)
            if (padded := found.get(number)) is not None
        }
