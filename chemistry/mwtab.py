"""mwTab, the Metabolomics Workbench's text format: its data and metabolites sections.

A section stands between `..._START` and `..._END`, its fields apart by tabs and never quoted. The
study's own sections are for whoever deposits it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from chemistry.tables import (
    CAS,
    FEATURE,
    HEADERS,
    INCHI,
    LEVEL,
    METHOD,
    VALUE,
    Row,
    Table,
    begins_with,
    only_value,
    other_samples,
    read_text,
)
from loader.errors import LoadError

_FIRST_LINE = "#METABOLOMICS WORKBENCH"
_DATA, _METABOLITES = "MS_METABOLITE_DATA", "METABOLITES"
_NAME = "metabolite_name"
_WRITTEN = {
    _NAME: FEATURE,
    "inchi": INCHI,
    "cas_number": CAS,
    "identification_level": LEVEL,
    "method": METHOD,
}
"""Columns of the metabolites section, by which the template's are also found again."""
_KNOWN = {"inchi": INCHI, "inchistring": INCHI, "cas": CAS, "casnumber": CAS, "casid": CAS}
_KNOWN |= {"identificationlevel": LEVEL, "msilevel": LEVEL, "method": METHOD}
_START = re.compile(r"((?:MS|NMR)_METABOLITE_DATA|METABOLITES)_START\s*")


def recognises(path: Path) -> bool:
    """Whether the first line is that of an mwTab file."""
    return begins_with(path, _FIRST_LINE)


def read(path: Path) -> Table:
    """Rows of the template, one for each metabolite of the data section, and what else is known.

    Raises:
        LoadError: A section is missing, repeated or has no end; a metabolite has no name or is
            described twice, or the sections do not have the same ones.
    """
    sections = _sections(re.split(r"\r?\n", read_text(path)))
    data = sections.get("DATA")
    if not data:
        raise LoadError("there is no section MS_METABOLITE_DATA", remedy="add it")
    (_, (_, *samples)), *measured = data
    if measured and measured[0][1][0] == "Factors":
        del measured[0]
    if unnamed := next((number for number, (name, *_) in measured if not name.strip()), None):
        raise LoadError("a metabolite has no name", remedy="give it one", row=unnamed)
    described, names = _described(sections.get(_METABOLITES, []))
    _compare({fields[0] for _, fields in measured}, set(described))
    others = [name for name in names if _place(name) is None] + other_samples(samples)
    return [*HEADERS, *others], _rows(measured, samples, described)


def _sections(lines: list[str]) -> dict[str, list[tuple[int, list[str]]]]:
    """Line numbers and fields of each section."""
    sections: dict[str, list[tuple[int, list[str]]]] = {}
    name = end = None
    for number, line in enumerate(lines, start=1):
        if end is not None and line.startswith("#"):
            break
        if begun := _START.fullmatch(line):
            name, end = begun[1].rpartition("_")[2], f"{begun[1]}_END"
            if name in sections:
                raise LoadError(f"the section {begun[1]} stands twice", row=number)
            sections[name] = []
        elif end is not None and line.strip() == end:
            name = end = None
        elif name is not None and line.strip():
            sections[name].append((number, line.split("\t")))
    if end is not None:
        raise LoadError(f"the line {end} is missing", remedy="export the file again")
    return sections


def _described(section: list[tuple[int, list[str]]]) -> tuple[dict[str, Row], list[str]]:
    """What the metabolites section says of each name, and its headers."""
    described: dict[str, Row] = {}
    if not section:
        return described, []
    (_, header), *lines = section
    for number, fields in lines:
        name = fields[0]
        if not name.strip():
            raise LoadError("a metabolite has no name", remedy="give it one", row=number)
        if name in described:
            raise LoadError(f"{name!r} is described twice", remedy="keep one", row=number)
        described[name] = dict(zip(header[1:], fields[1:], strict=False))
    return described, header[1:]


def _compare(measured: set[str], described: set[str]) -> None:
    if described and (odd := sorted(measured ^ described)):
        raise LoadError(
            f"{odd[0]!r} is in one of the sections of data and metabolites only",
            remedy="describe every metabolite that was measured, and no other",
        )


def _rows(
    measured: list[tuple[int, list[str]]], samples: list[str], described: dict[str, Row]
) -> Iterator[Row]:
    for number, (name, *values) in measured:
        if len(values) > len(samples):
            raise LoadError("the row has more fields than samples", row=number)
        found = dict.fromkeys(samples, "") | dict(zip(samples, values, strict=False))
        row = {sample: found[sample] for sample in other_samples(samples)}
        for column, text in described.get(name, {}).items():
            row[_place(column) or column] = text
        yield row | {FEATURE: name, VALUE: only_value(found, samples)}


def _place(column: str) -> str | None:
    """The template's header for a column of the metabolites section."""
    return _KNOWN.get(re.sub(r"[\W_]+", "", column).casefold())


def write(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """The two sections, of rows of the template.

    Raises:
        ValueError: A text has a tab or a line break, for which the format has no place.
    """
    kept = list(rows)
    today = datetime.now(UTC).date().isoformat()
    lines = [
        [f"{_FIRST_LINE} STUDY_ID:ST000000 ANALYSIS_ID:AN000000"],
        [f"{'VERSION':<20}", "1"],
        [f"{'CREATED_ON':<20}", today],
        [f"#{_DATA}"],
        [f"{_DATA}:UNITS", "as measured"],
        [f"{_DATA}_START"],
        ["Samples", VALUE],
        ["Factors", "-"],
        *([row[FEATURE], row[VALUE]] for row in kept),
        [f"{_DATA}_END"],
        [f"#{_METABOLITES}"],
        [f"{_METABOLITES}_START"],
        [*_WRITTEN],
        *([row[header] for header in _WRITTEN.values()] for row in kept),
        [f"{_METABOLITES}_END"],
        ["#END"],
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        for fields in lines:
            if odd := next((text for text in fields if re.search(r"[\t\r\n]", text)), None):
                raise ValueError(f"{odd!r} has a tab or a line break: mwTab cannot hold it.")
            file.write("\t".join(fields) + "\n")
