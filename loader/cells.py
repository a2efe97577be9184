"""The cells of a sheet as its XML has them, for what Calamine gives as empty or without zeros."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from loader.sheets import Attributes, Survey

_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
_DEFAULT_STYLE = "0"


class ZeroFormat(Protocol):
    """A number format; `loader.number_formats` has them."""

    def text(self, value: str, /) -> str | None:
        """What people see of a number, if that is not the number itself."""


class Cells(Survey):
    """Reads a sheet again, cell by cell: what stands in each is there when it ends."""

    def __init__(
        self, lengths: Sequence[int] = (), padded: Mapping[str, ZeroFormat] | None = None
    ) -> None:
        super().__init__(padded=padded or {})
        self._formats = padded or {}
        self._lengths = lengths
        self._style = _DEFAULT_STYLE
        self._value = self._inline = ""
        self._has_value = self._is_formula = False
        self._element = ""

    def start(self, name: str, attributes: Attributes) -> None:
        super().start(name, attributes)
        self._element = name
        if name == "c":
            self._style = attributes.get("s", _DEFAULT_STYLE)
            self._value = self._inline = ""
            self._has_value = self._is_formula = False
        elif name == "f":
            self._is_formula = True

    def text(self, text: str) -> None:
        if self._element == "v":
            self._value += text
            self._has_value = True
        elif self._element == "t":
            self._inline += text

    def end(self, name: str) -> None:
        self._element = ""
        if name == "c":
            self.end_cell()

    def end_cell(self) -> None:
        """All of the cell was read."""

    def _length(self) -> int:
        """Characters of a shared text."""
        index = self._value.strip()
        is_known = index.isdecimal() and int(index) < len(self._lengths)
        return self._lengths[int(index)] if is_known else 0


class Shared(Cells):
    """Counts the characters of shared texts, each as often as it is used."""

    characters = 0

    def end_cell(self) -> None:
        if self._kind == "s":
            self.characters += self._length()


class Filled(Cells):
    """The places of cells with a text that is not blank."""

    def __init__(self, lengths: Sequence[int]) -> None:
        super().__init__(lengths)
        self.found: list[tuple[int, int]] = []

    def end_cell(self) -> None:
        text = self._value + self._inline
        if self._length() if self._kind == "s" else text.strip():
            self.found.append((self.row, self.column))


@dataclass(frozen=True)
class Correction:
    """What a cell says where Calamine says less."""

    row: int
    column: int
    """From 1."""
    text: str | None
    """None where there is a formula whose result was never stored."""
    is_padded: bool = False
    """Whether a format of zeros is what people see of a number."""


class Corrections(Cells):
    """Error values, texts that stand where values do, numbers behind formats of zeros."""

    def __init__(self, padded: Mapping[str, ZeroFormat]) -> None:
        super().__init__(padded=padded)
        self.found: list[Correction] = []

    def end_cell(self) -> None:
        value = self._value
        if self._kind == "e":
            self._add(value)
        elif self._is_formula and not self._has_value and self._kind != "str":
            self._add(None)
        elif self._kind == "inlineStr":
            if value and not self._inline:
                self._add(_ESCAPED.sub(lambda found: chr(int(found[1], 16)), value))
        elif self._kind in {None, "n"} and self._style in self._formats and value:
            shown = self._formats[self._style].text(value)
            if shown is not None and shown != value:
                self._add(shown, is_padded=True)

    def _add(self, text: str | None, *, is_padded: bool = False) -> None:
        self.found.append(Correction(self.row, self.column, text, is_padded))
