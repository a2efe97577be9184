"""MetaboLights' metabolite assignment files (MAF): tables in TSV, named `m_..._maf.tsv`.

`reliability` says the level as `MSI:3`; a CAS number is a `database_identifier` whose `database` is
CAS; `search_engine` is the method. The value is `smallmolecule_abundance_sub`, or that of the
only sample.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
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

COLUMNS = (
    "database_identifier",
    "chemical_formula",
    "smiles",
    "inchi",
    "metabolite_identification",
    "mass_to_charge",
    "fragmentation",
    "modifications",
    "charge",
    "retention_time",
    "taxid",
    "species",
    "database",
    "database_version",
    "reliability",
    "uri",
    "search_engine",
    "search_engine_score",
    "smallmolecule_abundance_sub",
    "smallmolecule_abundance_stdev_sub",
    "smallmolecule_abundance_std_error_sub",
)
"""In the order of the files for mass spectrometry; one column for each sample follows."""
_NMR = ("chemical_shift", "multiplicity")
_SCALE = "MSI:"
_TAKEN = {
    "metabolite_identification": FEATURE,
    "inchi": INCHI,
    "search_engine": METHOD,
}


def recognises(path: Path) -> bool:
    """Whether the first header is that of a MAF, bare or quoted."""
    return any(begins_with(path, f"{quote}{COLUMNS[0]}{quote}\t") for quote in ("", '"'))


def read(path: Path) -> Table:
    """Rows of the template, and all columns of the file that it has no place for.

    Raises:
        LoadError: A mandatory column is missing, or a row has more fields than the header.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter="\t")
    header = [name.strip() for name in next(reader)]
    needed = (*_TAKEN, "database", "reliability")
    if missing := [name for name in needed if name not in header]:
        raise LoadError(
            f"mandatory header {', '.join(map(repr, missing))} is missing of a MAF",
            remedy="add the column",
            row=1,
        )
    samples = [name for name in header if name and name not in (*COLUMNS, *_NMR)]
    others = [name for name in (*COLUMNS, *_NMR) if name in header and name not in _TAKEN]
    headers = [*HEADERS, *others, *other_samples(samples)]
    return headers, _rows(reader, header, samples, headers)


def _rows(
    reader: Iterable[list[str]], header: list[str], samples: list[str], headers: list[str]
) -> Iterator[Row]:
    for number, fields in enumerate(reader, start=2):
        if not any(map(str.strip, fields)):
            continue
        if any(fields[len(header) :]):
            raise LoadError(
                "the row has more fields than the header", remedy="correct it", row=number
            )
        found = dict.fromkeys(header, "") | dict(zip(header, fields, strict=False))
        row = {place: found.pop(name) for name, place in _TAKEN.items()}
        row[LEVEL] = found["reliability"].strip().removeprefix(_SCALE)
        row[CAS] = found["database_identifier"] if found["database"].strip() == "CAS" else ""
        row[VALUE] = found.get("smallmolecule_abundance_sub", "") or only_value(found, samples)
        yield {name: text for name, text in (found | row).items() if name in headers}


def write(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """A MAF of rows of the template: what Assay does not know is blank."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", delimiter="\t", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {
                    "database_identifier": row[CAS],
                    "database": "CAS" if row[CAS] else "",
                    "chemical_formula": _formula(row[INCHI]),
                    "inchi": row[INCHI],
                    "metabolite_identification": row[FEATURE],
                    "reliability": _SCALE + row[LEVEL],
                    "search_engine": row[METHOD],
                    "smallmolecule_abundance_sub": row[VALUE],
                }
            )


def _formula(inchi: str) -> str:
    """The formula layer, where no other layer changes the composition."""
    _, formula, *layers = [*inchi.split("/"), "", ""]
    return "" if any(layer[:1] in ("p", "q", "i") for layer in layers) else formula
