"""MAF and mwTab: out and in again changes nothing, and what is odd is told with its place."""

import csv
from pathlib import Path
from typing import Any

import pytest

from assay.exchange import converted, form_of, write
from assay.ways_back import ways_back
from chemistry import maf, mwtab
from chemistry.tables import HEADERS
from loader.copy import load_file
from loader.errors import LoadError
from tests.conftest import ROOT
from tests.warehouse import Warehouse

FORMS = ("maf", "mwtab")
SAMPLE = ROOT / "data" / "metabolites" / "metabolites.csv"
BENZOATE = "InChI=1S/C7H6O2/c8-7(9)6-4-2-1-3-5-6/h1-5H,(H,8,9)"
CANONICAL = [
    ["benzoate", "1", BENZOATE, "65-85-0", "GC-MS", "0.016771177"],
    ["\u03b2-alanine [3-aminopropanoic acid]", "3", "", "107-95-9", "LC", "ND"],
    ["-epicatechin", "2", "", "490-46-0", "LC", "NA"],
    ['a "quoted",\u2028 name', "5", "", "64-17-5", "LC", "1.50"],
]

IN_OTHER_WORDS = [
    ["level left out", "", "", "7647-14-5", "RT", "1"],
    ["level of a spreadsheet", "2.0", BENZOATE.replace("/c", "/ c"), "", "RT", "0.50"],
    ["CAS of a spreadsheet", "2", "", "56-86-00", "RT", "2.5e0"],
    ["not found", "2", "", "7440-09-7", "RT", "nd"],
    ["no information", "2", "", "7439-95-4", "\u00a0RT", "n.a."],
    ["\u00e9thanol".replace("\u00e9", "e\u0301"), "3", "", "64-17-5", "RT", "+1"],
]
"""Rows that an export writes otherwise than they came."""


def export(warehouse: Warehouse, name: str, path: Path) -> None:
    entity = warehouse.catalog.entities["metabolites"]
    source_table, form = form_of(warehouse.catalog, entity, name)
    read: list[int] = []
    write(warehouse.url, entity, ways_back(entity, source_table), form, path, read.append)
    assert read[-1:] == [warehouse.query("select count(*) from curated.metabolites")[0]["count"]]


def bring_back(warehouse: Warehouse, path: Path) -> dict[str, Any]:
    """The account of a file in another form."""
    folder = warehouse.folder / "converted"
    folder.mkdir(exist_ok=True)
    found = converted(warehouse.catalog, path, folder)
    assert found
    source_table, file = found
    load_id = load_file(warehouse.url, source_table, file, loaded_by="test").load_id
    warehouse.build()
    return warehouse.account(load_id)


def content(warehouse: Warehouse) -> list[dict[str, Any]]:
    """All rows without what says which load they come from."""
    provenance = ("repairs", "updated_at", "updated_by", "_transaction_id")
    rows = warehouse.query("select * from curated.metabolites order by feature")
    return [{k: v for k, v in row.items() if k not in provenance} for row in rows]


@pytest.mark.parametrize("rows", [CANONICAL, IN_OTHER_WORDS])
@pytest.mark.parametrize("form", FORMS)
def test_out_and_in_again_is_unchanged(
    warehouse: Warehouse, form: str, rows: list[list[str]]
) -> None:
    """Every row is told apart from no row that was loaded before: nothing is written."""
    warehouse.load(*rows)
    warehouse.build()
    before = warehouse.query("select xmin::text, * from curated.metabolites order by feature")
    file = warehouse.folder / f"study.{form}"
    export(warehouse, form, file)
    account = bring_back(warehouse, file)
    assert (account["rows"], account["unchanged"]) == (len(rows), len(rows))
    after = warehouse.query("select xmin::text, * from curated.metabolites order by feature")
    assert after == before
    warehouse.build("--full-refresh")
    assert warehouse.query("select count(*) from curated.metabolites")[0]["count"] == len(before)


@pytest.mark.parametrize("form", FORMS)
def test_repaired_rows_come_back_the_same(warehouse: Warehouse, form: str) -> None:
    """The bundled sample, whose rows are told otherwise than they came, has the same content."""
    warehouse.load_file(SAMPLE)
    warehouse.build()
    before = content(warehouse)
    assert len(before) == 72
    file = warehouse.folder / f"study.{form}"
    export(warehouse, form, file)
    account = bring_back(warehouse, file)
    assert (account["rows"], account["rejected"], account["new"]) == (72, 0, 0)
    assert content(warehouse) == before


def test_columns_of_a_maf(tmp_path: Path) -> None:
    """Those of MetaboLights in their order, and the values where they belong."""
    file = tmp_path / "m_study_maf.tsv"
    maf.write(file, [dict(zip(HEADERS, row, strict=True)) for row in CANONICAL])
    header, first, *_ = csv.reader(file.read_text().splitlines(), delimiter="\t")
    assert header == list(maf.COLUMNS)
    assert header[:5] == [
        "database_identifier",
        "chemical_formula",
        "smiles",
        "inchi",
        "metabolite_identification",
    ]
    assert {name: text for name, text in zip(header, first, strict=True) if text} == {
        "database_identifier": "65-85-0",
        "chemical_formula": "C7H6O2",
        "inchi": BENZOATE,
        "metabolite_identification": "benzoate",
        "database": "CAS",
        "reliability": "MSI:1",
        "search_engine": "GC-MS",
        "smallmolecule_abundance_sub": "0.016771177",
    }


def test_maf_of_others(tmp_path: Path) -> None:
    """Other databases' identifiers and several samples are kept aside; the level has its scale."""
    header = [*maf.COLUMNS, "S1", "S2"]
    values = {
        "database_identifier": "CHEBI:30746",
        "database": "ChEBI",
        "inchi": BENZOATE,
        "metabolite_identification": "benzoic acid",
        "reliability": " MSI:3",
        "search_engine": "in-house",
        "S1": "1.5",
        "S2": "2.5",
    }
    file = tmp_path / "m_study_maf.tsv"
    quoted = "\t".join(f'"{name}"' for name in header)
    found = "\t".join(values.get(name, "") for name in header)
    file.write_text(f"{quoted}\n{found}\n\n")
    assert maf.recognises(file)
    headers, rows = maf.read(file)
    assert headers[:6] == list(HEADERS)
    (row,) = rows
    assert [row[name] for name in HEADERS] == ["benzoic acid", "3", BENZOATE, "", "in-house", ""]
    assert (row["database_identifier"], row["S1"], row["S2"]) == ("CHEBI:30746", "1.5", "2.5")


def test_maf_of_one_sample(tmp_path: Path) -> None:
    """Its value is taken where the abundance over all samples is blank."""
    file = tmp_path / "m_study_maf.tsv"
    header = ["database_identifier", "inchi", "metabolite_identification", "database"]
    lines = [
        [*header, "reliability", "search_engine", "S1"],
        ["7732-18-5", "", "water", "CAS", "MSI:1", "GC", "ND"],
    ]
    file.write_text("".join("\t".join(line) + "\n" for line in lines))
    (row,) = maf.read(file)[1]
    assert [row[name] for name in HEADERS] == ["water", "1", "", "7732-18-5", "GC", "ND"]


MWTAB = """\
#METABOLOMICS WORKBENCH STUDY_ID:ST000001 ANALYSIS_ID:AN000001
VERSION             \t1
#MS_METABOLITE_DATA
MS_METABOLITE_DATA:UNITS\tPeak height
MS_METABOLITE_DATA_START
Samples\tS1\tS2
Factors\tA:1\tA:2
alanine\t1.5\t
citrate\tND\t2
MS_METABOLITE_DATA_END
#METABOLITES
METABOLITES_START
metabolite_name\tInChI\tCAS\tmsi level\tmethod\tkegg_id
alanine\t\t56-41-7\t2\tGC\tC00041
citrate\tInChI=1S/x\t77-92-9\t\t\t
METABOLITES_END
#END
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "study.txt"
    file.write_text(text)
    return file


def test_mwtab_of_others(tmp_path: Path) -> None:
    """Both sections come together by the name; samples and other columns are kept aside."""
    file = written(tmp_path, MWTAB)
    assert mwtab.recognises(file)
    headers, rows = mwtab.read(file)
    assert headers == [*HEADERS, "kegg_id", "S1", "S2"]
    alanine, citrate = rows
    assert alanine == {
        "Features": "alanine",
        "Sample_Data": "",
        "ID_InChI": "",
        "CAS_number": "56-41-7",
        "Identification_level": "2",
        "Method": "GC",
        "kegg_id": "C00041",
        "S1": "1.5",
        "S2": "",
    }
    assert (citrate["S1"], citrate["S2"]) == ("ND", "2")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("citrate\tND", "\tND", "row 9: a metabolite has no name"),
        ("citrate\tInChI", "alanine\tInChI", "row 15: 'alanine' is described twice"),
        ("citrate\tInChI", "citric acid\tInChI", "'citrate' is in one of the sections"),
        ("MS_METABOLITE_DATA_END\n", "", "the line MS_METABOLITE_DATA_END is missing"),
        ("#METABOLITES\nMETABOLITES_START", "MS_METABOLITE_DATA_START", "stands twice"),
        ("citrate\tND\t2", "citrate\tND\t2\t3", "row 9: the row has more fields than samples"),
    ],
)
def test_damaged_mwtab(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in MWTAB
    with pytest.raises(LoadError) as refusal:
        list(mwtab.read(written(tmp_path, MWTAB.replace(old, new)))[1])
    assert message in str(refusal.value)


def test_mwtab_without_data(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="there is no section MS_METABOLITE_DATA"):
        mwtab.read(written(tmp_path, MWTAB.splitlines()[0]))


def test_mwtab_has_no_place_for_a_tab(tmp_path: Path) -> None:
    row = dict.fromkeys(HEADERS, "") | {"Features": "a\tb"}
    with pytest.raises(ValueError, match="has a tab or a line break"):
        mwtab.write(tmp_path / "study.txt", [row])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("database_identifier\tinchi\n", "mandatory header 'metabolite_identification'"),
        ("database_identifier\tinchi\n\xff", "the byte at offset 26 is not valid utf-8"),
        ("database_identifier\t" + "x" * 2_000_000, "the file cannot be read (field larger than"),
    ],
)
def test_damaged_maf(warehouse: Warehouse, tmp_path: Path, text: str, message: str) -> None:
    """The refusal names the file."""
    file = tmp_path / "m_study_maf.tsv"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(LoadError, match=r"^m_study_maf\.tsv") as refusal:
        converted(warehouse.catalog, file, tmp_path)
    assert message in str(refusal.value)


def test_long_row_of_a_maf(tmp_path: Path) -> None:
    file = tmp_path / "m_study_maf.tsv"
    maf.write(file, [])
    file.write_text(file.read_text() + "\t" * 21 + "more\n")
    with pytest.raises(LoadError, match="row 2: the row has more fields than the header"):
        list(maf.read(file)[1])


def test_other_files_are_not_converted(warehouse: Warehouse, tmp_path: Path) -> None:
    assert converted(warehouse.catalog, SAMPLE, tmp_path) is None
    assert converted(warehouse.catalog, tmp_path / "missing.csv", tmp_path) is None


def test_a_form_that_is_not_there(warehouse: Warehouse) -> None:
    entity = warehouse.catalog.entities["metabolites"]
    with pytest.raises(ValueError, match="metabolites is exchanged as maf, mwtab"):
        form_of(warehouse.catalog, entity, "sdf")
