"""Metabolite tables as rows of the laboratory's upload template, whatever file they come from."""

from collections.abc import Iterator
from pathlib import Path

from loader.errors import LoadError

FEATURE, LEVEL, INCHI = "Features", "Identification_level", "ID_InChI"
CAS, METHOD, VALUE = "CAS_number", "Method", "Sample_Data"
HEADERS = (FEATURE, LEVEL, INCHI, CAS, METHOD, VALUE)
"""Headers of the template; what else a file has is kept behind them under its own header."""

Row = dict[str, str]
Table = tuple[list[str], Iterator[Row]]
"""All headers, and the rows; what is left out of a row is blank."""


def read_text(path: Path) -> str:
    """The text of a file, its line ends as they are.

    Raises:
        LoadError: It is no UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LoadError(
            f"the byte at offset {error.start} is not valid utf-8", remedy="save it as UTF-8"
        ) from None


def begins_with(path: Path, start: str) -> bool:
    """Whether a file's text begins so."""
    with path.open("rb") as file:
        return file.read(len(start) + 3).removeprefix(b"\xef\xbb\xbf").startswith(start.encode())


def only_value(row: Row, samples: list[str]) -> str:
    """The value of the only sample; of several none: the template has one for each feature."""
    return row[samples[0]] if len(samples) == 1 else ""


def other_samples(samples: list[str]) -> list[str]:
    """Those whose values the template has no place for, kept under their own headers."""
    return samples if len(samples) > 1 else []
