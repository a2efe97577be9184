"""What spreadsheets and transport do to a metabolites file, item by item (D-01 to D-17).

Everything goes through a load and a build. A value is repaired where something proves it, and
noted; else its row is rejected, and says what the value may have been.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from assay.catalog import read_catalog
from bench.generate import cas_number
from tests.conftest import SHARED, copy_files
from tests.warehouse import DATABASE, HEADER, NewWarehouse, Warehouse, dbt_of

REAL = SHARED / "inputs" / "metabolites" / "MetabolitesData_inputDataForTEst.csv"
ACETONE = "InChI=1S/C3H6O/c1-3(2)4/h1-2H3"
BENZOATE = "InChI=1S/C7H6O2/c8-7(9)6-4-2-1-3-5-6/h1-5H,(H,8,9)"


@dataclass
class Damaged:
    """Rows that are loaded together, each under a name of its own, and what became of them."""

    rows: dict[str, list[str]] = field(default_factory=dict)
    curated: dict[str, dict[str, Any]] = field(default_factory=dict)
    rejected: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(1_000_000))

    def add(self, name: str, **given: str) -> None:
        """A row of which only what is given is unusual."""
        plain = {
            "feature": name,
            "level": "3",
            "inchi": "",
            "cas": "" if "inchi" in given else cas_number(next(self.numbers)),
            "method": "GC",
            "value": "1",
        }
        self.rows[name] = list((plain | given).values())

    def look_up(self, warehouse: Warehouse, load_id: int) -> None:
        by_row = dict(enumerate(self.rows, start=2))
        for row in warehouse.query("select * from curated.metabolites"):
            number = int(row["updated_by"].rpartition(" ")[2])
            self.curated[by_row[number]] = row
        rejected = warehouse.query(
            "select * from rejected.rejected_metabolites where load_id = %s", load_id
        )
        self.rejected = {by_row[row["row_number"]]: row for row in rejected}
        self.warnings = warehouse.account(load_id)["warnings"]

    def repaired(self, name: str) -> list[str]:
        repairs: list[str] = self.curated[name]["repairs"]
        return repairs

    def refused(self, name: str) -> tuple[list[str], list[str]]:
        """The rules that the row breaks, and what is proposed instead."""
        return self.rejected[name]["rules"], self.rejected[name]["proposals"]


def damaged_rows() -> Damaged:
    rows = Damaged()
    rows.add("zero-padded", cas="14798-03-09")
    rows.add("zero-padded, other digit", cas="14798-03-08")
    rows.add("cas as short date", cas="10/02/2006")
    rows.add("cas as ISO date", cas="1952-02-09 00:00:00")
    rows.add("cas as serial number", cas="19033")
    rows.add("cas as date of nothing", cas="2005-03-09")
    rows.add("cas without hyphens", cas="56860")
    rows.add("cas without hyphens, other digit", cas="1234567")
    rows.add("cas with dashes", cas="7732\u201318\u20115")
    rows.add("cas with prefix", cas="CAS RN: 65-85-0")
    rows.add("cas in brackets", cas="[107-07-3]")
    rows.add("cas with dashes, other digit", cas="7732\u201318\u20116")
    rows.add("spaced inchi", inchi="InChI=1S/C3H6O\n/c1-\u00a03(2)\u00ad4/h1-2H3 ")
    rows.add("inchi cut at 255", inchi=long_inchi()[:255])
    rows.add("inchi cut at 32767", inchi=("InChI=1S/C9/c" + "1-" * 20_000)[:32_767])
    rows.add("decimal comma", value="0,0167")
    rows.add("decimal comma below one", value="0,016")
    rows.add("comma of either kind", value="1,234")
    rows.add("both separators", value="1.234,56")
    rows.add("blank thousands", value="1\u202f234.5")
    rows.add("apostrophe thousands", value="12'345")
    rows.add("scientific", value="1.2E-3")
    rows.add("many digits", value="0.12345678901234567890")
    rows.add("cas in scientific notation", cas="1.07E+05")
    rows.add("formula around cas", cas='="64-17-5"')
    rows.add("formula around name", feature='="MAR1"')
    rows.add("apostrophe", cas="'67-56-1", level="'2", value="'0.5")
    rows.add("reference error", value="#REF!")
    rows.add("name error", feature="#NAME?")
    rows.add("method error", method="#VALUE!")
    rows.add("not available", value="#N/A")
    rows.add("nothing found", value="ND")
    rows.add("characters", cas="\ufeff75\u201209\u200b\u20132 ", value="\u22120.5")
    rows.add("greek", feature="\u03b2-carotene \u201cpure\u201d")
    rows.add("decomposed", feature="Me\u0301thanol")
    rows.add("name as date", feature="2-Oct")
    rows.add("name as ISO date", feature="2001-03-01 00:00:00")
    rows.add("name with sign", feature="-epicatechin")
    rows.add("name as formula", feature="=-catechin")
    rows.add("level with decimals", level="1.0")
    rows.add("level with a blank", level="1 ")
    rows.add("level in words", level="level 1")
    rows.add("level in Roman numerals", level="II")
    rows.add("level of another scale", level="2a")
    return rows


def long_inchi() -> str:
    """Of a chain of 90 carbons: 292 characters, so long that programs cut it off."""
    return "InChI=1S/C90H182/c" + "-".join(map(str, range(1, 91))) + "/h3-90H2,1-2H3"


@pytest.fixture(scope="module")
def damaged(new_warehouse: NewWarehouse) -> Iterator[Damaged]:
    rows = damaged_rows()
    with new_warehouse() as warehouse:
        load_id = warehouse.load(*rows.rows.values())
        warehouse.build()
        rows.look_up(warehouse, load_id)
        warehouse.build("--full-refresh")
        again = warehouse.query("select count(*) as rows from curated.metabolites")
        assert again == [{"rows": len(rows.curated)}]
        yield rows


def test_D01_zero_before_the_check_digit(damaged: Damaged) -> None:
    """Taken out where the check digit then fits; what may be a date is for D-02."""
    assert damaged.curated["zero-padded"]["cas_number"] == "14798-03-9"
    assert damaged.repaired("zero-padded") == ["cas_number: 14798-03-09 -> 14798-03-9"]
    assert damaged.refused("zero-padded, other digit") == (["cas_number_valid"], [])


def test_D02_cas_number_as_a_date(damaged: Damaged, warehouse: Warehouse) -> None:
    """Rejected, with the numbers that give this date and whose check digit fits.

    By hand: 1952-02-9 has 2x1 + 0x2 + 2x3 + 5x4 + 9x5 + 1x6 = 79; 52-02-9 would end with 8. Both
    2006-10-2 (0 + 1x2 + 6x3 + 0 + 0 + 2x6 = 32) and 10-02-6 (2x1 + 0 + 0 + 1x4) fit 10/02/2006.
    """
    rule = ["cas_number_valid"]
    iso = "cas_number: 1952-02-09 00:00:00 -> 1952-02-9"
    assert damaged.refused("cas as ISO date") == (rule, [iso])
    assert damaged.refused("cas as serial number") == (rule, ["cas_number: 19033 -> 1952-02-9"])
    short = "cas_number: 10/02/2006 -> 10-02-6 or 2006-10-2"
    assert damaged.refused("cas as short date") == (rule, [short])
    assert damaged.refused("cas as date of nothing") == (rule, [])

    file = warehouse.folder / "date.xlsx"
    with xlsxwriter.Workbook(file) as workbook:
        sheet = workbook.add_worksheet("Data to upload")
        sheet.write_row(0, 0, HEADER)
        sheet.write_row(1, 0, ["date cell", 1, "", "", "GC", 1])
        date = workbook.add_format({"num_format": "dd/mm/yyyy"})
        sheet.write_datetime(1, 3, dt.datetime(1952, 2, 9), date)  # noqa: DTZ001 - has no zone
    load_id = warehouse.load_file(file)
    warehouse.build()
    (row,) = warehouse.query(
        "select rules, proposals from journal.verdicts where load_id = %s", load_id
    )
    assert row["rules"] == rule
    assert [proposal.rpartition(" -> ")[2] for proposal in row["proposals"]] == ["1952-02-9"]


def test_D03_cas_number_without_hyphens(damaged: Damaged) -> None:
    """Proposed with them where the check digit fits."""
    assert damaged.refused("cas without hyphens") == (
        ["cas_number_valid"],
        ["cas_number: 56860 -> 56-86-0"],
    )
    assert damaged.refused("cas without hyphens, other digit") == (["cas_number_valid"], [])


def test_D04_dashes_prefix_and_brackets_of_a_cas_number(damaged: Damaged) -> None:
    """Repaired where the check digit fits."""
    for name, number in (
        ("cas with dashes", "7732-18-5"),
        ("cas with prefix", "65-85-0"),
        ("cas in brackets", "107-07-3"),
    ):
        assert damaged.curated[name]["cas_number"] == number
        given = damaged.rows[name][3]
        assert damaged.repaired(name) == [f"cas_number: {given} -> {number}"]
    assert damaged.refused("cas with dashes, other digit") == (["cas_number_valid"], [])


def test_D05_blanks_in_an_inchi(damaged: Damaged) -> None:
    """Line breaks, no-break spaces and soft hyphens are taken out and noted."""
    assert damaged.curated["spaced inchi"]["id_inchi"] == ACETONE
    assert len(damaged.repaired("spaced inchi")) == 1


def test_D06_inchi_that_was_cut_off(damaged: Damaged) -> None:
    """At 255 characters it is warned of, twice; at 32,767 it is too long."""
    assert len(long_inchi()) == 292
    assert damaged.curated["inchi cut at 255"]["id_inchi"] == long_inchi()[:255]
    assert (damaged.warnings["inchi_whole"], damaged.warnings["inchi_hydrogens"]) == (1, 1)
    assert damaged.refused("inchi cut at 32767") == (["inchi_valid"], [])


def test_D07_inchi_without_quotes(warehouse: Warehouse) -> None:
    """Its commas give the row more fields; the row is kept as it came, and says why."""
    file = warehouse.folder / "unquoted.csv"
    file.write_text(",".join(HEADER) + f"\nbenzoate,1,{BENZOATE},,GC,1\n")
    load_id = warehouse.load_file(file)
    warehouse.build()
    (row,) = warehouse.query("select * from rejected.rejected_metabolites")
    assert (row["load_id"], row["row_number"], row["rules"]) == (load_id, 2, ["field_count"])
    assert row["malformed"] == f"benzoate,1,{BENZOATE},,GC,1"
    assert row["proposals"] == ["id_inchi: put an InChI with commas in quotes"]


def test_D08_decimal_comma(damaged: Damaged) -> None:
    """Rejected, with the number that it may be; what may be two numbers is not guessed."""
    rule = ["sample_value_type"]
    assert damaged.refused("decimal comma") == (rule, ["sample_value: 0,0167 -> 0.0167"])
    assert damaged.refused("decimal comma below one") == (rule, ["sample_value: 0,016 -> 0.016"])
    assert damaged.refused("comma of either kind") == (rule, [])


def test_D08_decimal_comma_that_the_source_declares(
    create_database: Callable[..., str], prepared: str, tmp_path: Path
) -> None:
    """With `decimal: ','` it is read and noted; a point, which is now the odd one, is not."""
    copy_files(tmp_path)
    sources = tmp_path / "dbt_project/models/staging/laboratory/_laboratory__sources.yml"
    declared = sources.read_text().replace("formats: [csv, tsv, txt, xlsx]", 'decimal: ","')
    sources.write_text(declared)
    url = create_database(prepared, DATABASE)
    with dbt_of(tmp_path, tmp_path / "target") as invoke:
        assert invoke(url, "parse").success
        catalog = read_catalog(tmp_path / "target" / "manifest.json")
        warehouse = Warehouse(url, catalog, tmp_path, invoke, create_database)
        with warehouse.connection:
            load_id = warehouse.load(
                ["comma", "3", "", "64-17-5", "GC", "0,0167"],
                ["thousand", "3", "", "67-56-1", "GC", "1,234"],
                ["point", "3", "", "71-23-8", "GC", "0.5"],
                ["both", "3", "", "71-36-3", "GC", "1.234,56"],
            )
            warehouse.build()
            rows = warehouse.query("select feature, sample_value, repairs from curated.metabolites")
            assert {row["feature"]: str(row["sample_value"]) for row in rows} == {
                "comma": "0.0167",
                "thousand": "1.234",
            }
            assert all(len(row["repairs"]) == 1 for row in rows)
            rule = ["sample_value_type"]
            assert warehouse.rejected(load_id) == {4: rule, 5: rule}


def test_D09_thousands_separators(damaged: Damaged) -> None:
    """Rejected; proposed without blanks and apostrophes, and not where a comma may be either."""
    rule = ["sample_value_type"]
    blank = ["sample_value: 1\u202f234.5 -> 1234.5"]
    assert damaged.refused("blank thousands") == (rule, blank)
    assert damaged.refused("apostrophe thousands") == (rule, ["sample_value: 12'345 -> 12345"])
    assert damaged.refused("both separators") == (rule, [])


def test_D10_scientific_notation_and_many_digits(damaged: Damaged) -> None:
    """Values keep exactly what they say; an identifier that became a number is rejected."""
    assert str(damaged.curated["scientific"]["sample_value"]) == "0.0012"
    assert str(damaged.curated["many digits"]["sample_value"]) == "0.12345678901234567890"
    assert damaged.refused("cas in scientific notation") == (["cas_number_valid"], [])


def test_D11_guards_around_text(damaged: Damaged) -> None:
    """`="..."` is taken off, and an apostrophe before what is no name; both are noted."""
    assert damaged.curated["formula around cas"]["cas_number"] == "64-17-5"
    assert damaged.repaired("formula around cas") == ['cas_number: ="64-17-5" -> 64-17-5']
    assert damaged.curated["formula around name"]["feature"] == "MAR1"
    assert damaged.repaired("formula around name") == ['feature: ="MAR1" -> MAR1']
    row = damaged.curated["apostrophe"]
    assert (row["cas_number"], row["identification_level"]) == ("67-56-1", 2)
    assert str(row["sample_value"]) == "0.5"
    assert len(row["repairs"]) == 3


def test_D12_errors_of_spreadsheets(damaged: Damaged) -> None:
    """Rejected as what they are, in names too; `#N/A` in a value is NA, which is not ND."""
    assert damaged.refused("reference error") == (["sample_value_type"], [])
    assert damaged.refused("name error") == (["feature_type"], [])
    assert damaged.refused("method error") == (["method_type"], [])
    assert damaged.curated["not available"]["sample_status"] == "not_available"
    assert damaged.curated["nothing found"]["sample_status"] == "not_detected"


def test_D13_characters_of_typesetters(damaged: Damaged) -> None:
    """Plain in identifiers and numbers; kept in names, in Unicode's composed form."""
    row = damaged.curated["characters"]
    assert (row["cas_number"], str(row["sample_value"])) == ("75-09-2", "-0.5")
    assert len(row["repairs"]) == 2
    assert damaged.curated["greek"]["feature"] == "\u03b2-carotene \u201cpure\u201d"
    assert damaged.repaired("greek") == []
    assert damaged.curated["decomposed"]["feature"] == "M\u00e9thanol"
    assert damaged.repaired("decomposed") == ["feature: Me\u0301thanol -> M\u00e9thanol"]


def test_D14_names_that_became_dates(damaged: Damaged) -> None:
    """Rejected, with the name where the date shows it."""
    assert damaged.refused("name as date") == (["feature_type"], ["feature: 2-Oct -> OCT2"])
    assert damaged.refused("name as ISO date") == (["feature_type"], [])


def test_D15_names_that_became_formulas(damaged: Damaged) -> None:
    """A sign before a name is part of it; a formula is none."""
    assert damaged.curated["name with sign"]["feature"] == "-epicatechin"
    assert damaged.refused("name as formula") == (
        ["feature_type"],
        ["feature: =-catechin -> -catechin"],
    )


def test_D16_levels(damaged: Damaged) -> None:
    """`1.0` and `1 ` are 1; words and Roman numerals are proposed; `2a` is of another scale."""
    assert damaged.curated["level with decimals"]["identification_level"] == 1
    assert damaged.repaired("level with decimals") == ["identification_level: 1.0 -> 1"]
    assert damaged.curated["level with a blank"]["identification_level"] == 1
    rule = ["identification_level_type"]
    words = ["identification_level: level 1 -> 1"]
    assert damaged.refused("level in words") == (rule, words)
    assert damaged.refused("level in Roman numerals") == (rule, ["identification_level: II -> 2"])
    assert damaged.refused("level of another scale") == (rule, [])


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_D17_blank_rows_and_columns_at_the_end(warehouse: Warehouse, ending: str) -> None:
    """They are no rows and no columns: a sheet that is formatted down to row 408 has its rows."""
    rows = [HEADER, ["one", "3", "", "64-17-5", "GC", "1"], ["two", "3", "", "67-56-1", "GC", "2"]]
    wide = [[*row, "", "", ""] for row in rows] + [[""] * 9 for _ in range(405)]
    file = warehouse.folder / f"blank.{ending}"
    if ending == "csv":
        file.write_text("\n".join(",".join(row) for row in wide) + "\n")
    else:
        with xlsxwriter.Workbook(file) as workbook:
            sheet = workbook.add_worksheet("Data to upload")
            format_ = workbook.add_format({"bg_color": "#ffffcc"})
            for number, row in enumerate(wide):
                sheet.write_row(number, 0, row, format_)
    load_id = warehouse.load_file(file)
    warehouse.build()
    account = warehouse.account(load_id)
    assert (account["rows"], account["new"], account["rejected"]) == (2, 2, 0)


@pytest.mark.skipif(not REAL.exists(), reason="the real input files are not on this machine")
def test_real_file_has_no_hydrogens_amiss(warehouse: Warehouse) -> None:
    """Its 13 InChIs add up, and all its rows are curated."""
    load_id = warehouse.load_file(REAL)
    warehouse.build()
    account = warehouse.account(load_id)
    assert (account["rows"], account["new"]) == (16, 16)
    assert not {"inchi_hydrogens", "inchi_whole"} & set(account["warnings"])
