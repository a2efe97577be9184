"""Patients, encounters and conditions from files: each row is taken, or rejected with a reason."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from rich.console import Console

from assay.report import print_loads
from tests.conftest import ROOT
from tests.warehouse import NewWarehouse, Warehouse

Row = dict[str, str]

MODELS = ("--select", "fqn:*.synthea.*", "--select", "fqn:*.patients.*")
FIGURES = ("new", "changed", "unchanged", "superseded", "duplicates", "rejected")
SAMPLES = ROOT / "data" / "patients"


def key(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


PATIENT: Row = {
    "Id": key(1),
    "BIRTHDATE": "1972-03-09",
    "DEATHDATE": "",
    "SSN": "999-12-3456",
    "DRIVERS": "S99912345",
    "PASSPORT": "X12345678X",
    "PREFIX": "Mrs.",
    "FIRST": "Alma",
    "MIDDLE": "",
    "LAST": "Fernfield",
    "SUFFIX": "",
    "MAIDEN": "",
    "MARITAL": "M",
    "RACE": "white",
    "ETHNICITY": "nonhispanic",
    "GENDER": "F",
    "BIRTHPLACE": "Fernham  Connecticut  US",
    "ADDRESS": "12 Oak Street",
    "CITY": "Fernham",
    "STATE": "Connecticut",
    "COUNTY": "Fern County",
    "FIPS": "09901",
    "ZIP": "06001",
    "LAT": "41.375",
    "LON": "-72.5",
    "HEALTHCARE_EXPENSES": "12345.67",
    "HEALTHCARE_COVERAGE": "0.00",
    "INCOME": "56789",
}
ENCOUNTER: Row = {
    "Id": key(1),
    "START": "2019-11-30T09:15:00Z",
    "STOP": "2019-11-30T09:30:00Z",
    "PATIENT": key(1),
    "ORGANIZATION": key(71),
    "PROVIDER": key(72),
    "PAYER": key(73),
    "ENCOUNTERCLASS": "wellness",
    "CODE": "162673000",
    "DESCRIPTION": "General examination of patient (procedure)",
    "BASE_ENCOUNTER_COST": "136.80",
    "TOTAL_CLAIM_COST": "704.20",
    "PAYER_COVERAGE": "0.00",
    "REASONCODE": "",
    "REASONDESCRIPTION": "",
}
CONDITION: Row = {
    "START": "2019-11-30",
    "STOP": "",
    "PATIENT": key(1),
    "ENCOUNTER": key(1),
    "SYSTEM": "http://snomed.info/sct",
    "CODE": "59621000",
    "DESCRIPTION": "Essential hypertension (disorder)",
}
GOOD = {"patients": PATIENT, "encounters": ENCOUNTER, "conditions": CONDITION}

# What the data dictionary of Synthea says is required and all of its versions have, and what it
# says is no text.
REQUIRED = {
    "patients": (
        *("Id", "BIRTHDATE", "SSN", "FIRST", "LAST", "RACE", "GENDER", "BIRTHPLACE", "ADDRESS"),
    ),
    "encounters": ("Id", "START", "PATIENT", "ENCOUNTERCLASS", "CODE", "DESCRIPTION"),
    "conditions": ("START", "PATIENT", "ENCOUNTER", "CODE", "DESCRIPTION"),
}
UNREADABLE = {
    "patients": {
        "Id": "1",
        "BIRTHDATE": "9.3.1972",
        "DEATHDATE": "2019-02-29",
        "LAT": "north",
        "LON": "1,5",
        "HEALTHCARE_EXPENSES": "$1",
        "HEALTHCARE_COVERAGE": "NaN",
        "INCOME": "1_000",
    },
    "encounters": {
        "Id": f"{{{key(1)}}}",
        "START": "30/11/2019",
        "STOP": "2019-11-30T24:30:00Z",
        "PATIENT": "1",
        "ORGANIZATION": "x",
        "PROVIDER": key(1)[1:],
        "PAYER": "none",
        "BASE_ENCOUNTER_COST": "-",
        "TOTAL_CLAIM_COST": "1,2",
        "PAYER_COVERAGE": "0x1",
    },
    "conditions": {
        "START": "today",
        "STOP": "2020",
        "PATIENT": "?",
        "ENCOUNTER": key(1) + "0",
    },
}
BROKEN: dict[str, list[tuple[str, Row]]] = {
    "patients": [
        ("death_not_before_birth", {"DEATHDATE": "1972-03-08"}),
        ("gender_known", {"GENDER": "x"}),
        ("marital_known", {"MARITAL": "m"}),
        ("lat_range", {"LAT": "90.1"}),
        ("lon_range", {"LON": "-180.5"}),
        ("no_negative_amounts", {"INCOME": "-1"}),
    ],
    "encounters": [
        ("stop_not_before_start", {"STOP": "2019-11-30T09:14:59Z"}),
        ("no_negative_amounts", {"PAYER_COVERAGE": "-0.01"}),
        ("patient_exists", {"PATIENT": key(999)}),
    ],
    "conditions": [
        ("stop_not_before_start", {"STOP": "2019-11-29"}),
        ("patient_exists", {"PATIENT": key(999)}),
        ("encounter_exists", {"ENCOUNTER": key(999)}),
    ],
}


@pytest.fixture
def clinic(new_warehouse: NewWarehouse) -> Iterator[Warehouse]:
    """One patient with an encounter and a condition."""
    with new_warehouse() as warehouse:
        warehouse.excluded = MODELS
        for entity, row in GOOD.items():
            load(warehouse, entity, [row], "good")
        warehouse.build()
        yield warehouse


def load(warehouse: Warehouse, entity: str, rows: list[Row], name: str, *more: str) -> int:
    path = warehouse.folder / f"{entity}-{name}.csv"
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(GOOD[entity]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue() + "".join(f"{line}\n" for line in more))
    return warehouse.load_file(path, f"synthea.{entity}")


def verdicts(warehouse: Warehouse, load_id: int) -> dict[int, list[str]]:
    rows = warehouse.query("select * from journal.verdicts where load_id = %s", load_id)
    return {row["row_number"]: row["rules"] for row in rows}


def own(entity: str, number: int, **change: str) -> Row:
    """A good row under a key of its own."""
    if entity == "conditions":
        return {**CONDITION, "CODE": str(number), **change}
    return {**GOOD[entity], "Id": key(number), **change}


@pytest.mark.parametrize("entity", GOOD)
def test_bad_rows_of_every_kind(clinic: Warehouse, entity: str) -> None:
    """Each is rejected for what is wrong with it, the others are taken, and the account adds up."""
    cases = [
        *((f"{name.lower()}_required", {name: " "}) for name in REQUIRED[entity]),
        *((f"{name.lower()}_type", {name: value}) for name, value in UNREADABLE[entity].items()),
        *BROKEN[entity],
    ]
    rows = [own(entity, n, **change) for n, (_, change) in enumerate(cases, start=100)]
    taken = [own(entity, n) for n in (501, 502)]
    other = {"patients": {"MIDDLE": "Rose"}, "encounters": {"STOP": ""}}
    other["conditions"] = {"STOP": "2020-01-01"}
    contradicting = [own(entity, 503), own(entity, 503, **other[entity])]
    # a row as it was, one twice, two of which each says another thing
    rows += [*taken, GOOD[entity], taken[0], *contradicting]
    short = ",".join(list(rows[0].values())[:3])
    load_id = load(clinic, entity, rows, "mixed", short, "")
    clinic.build()

    expected = {number: [rule] for number, (rule, _) in enumerate(cases, start=2)}
    last = len(rows) + 1
    unique = ["one_row_per_condition" if entity == "conditions" else "id_unique"]
    expected |= {last: unique, last - 1: unique, last + 1: ["field_count"]}
    assert verdicts(clinic, load_id) == expected
    account = clinic.account(load_id)
    assert {name: account[name] for name in FIGURES} == {
        "new": 2,
        "changed": 0,
        "unchanged": 1,
        "superseded": 0,
        "duplicates": 1,
        "rejected": len(expected),
    }
    assert account["rows"] == len(rows) + 1 == sum(account[name] for name in FIGURES)
    rejected = f"select row_number, malformed from rejected.rejected_{entity} where load_id = %s"
    assert {r["row_number"] for r in clinic.query(rejected, load_id)} == set(expected)


def test_who_depends_on_a_rejected_row_is_rejected(clinic: Warehouse) -> None:
    """Entities take their loads in the order of their references, whatever came first."""
    loads = [
        load(clinic, "conditions", [{**CONDITION, "PATIENT": key(7), "ENCOUNTER": key(8)}], "a"),
        load(clinic, "encounters", [{**ENCOUNTER, "Id": key(8), "PATIENT": key(7)}], "a"),
        load(clinic, "patients", [{**PATIENT, "Id": key(7), "GENDER": ""}], "a"),
    ]
    clinic.build()
    assert [verdicts(clinic, load_id)[2] for load_id in loads] == [
        ["encounter_exists", "patient_exists"],
        ["patient_exists"],
        ["gender_required"],
    ]
    twice = [
        load(clinic, "conditions", [{**CONDITION, "PATIENT": key(9), "ENCOUNTER": key(9)}], "b"),
        load(clinic, "encounters", [{**ENCOUNTER, "Id": key(9), "PATIENT": key(9)}], "b"),
        load(clinic, "patients", [{**PATIENT, "Id": key(9)}], "b"),
    ]
    clinic.build()
    assert [clinic.account(load_id)["new"] for load_id in twice] == [1, 1, 1]


def test_text_stays_text(clinic: Warehouse) -> None:
    """Leading zeros are kept, blank is null, and so are no two patients one."""
    (patient,) = clinic.query("select * from curated.patients")
    assert (patient["zip"], patient["fips"]) == ("06001", "09901")
    assert [patient[name] for name in ("middle", "suffix", "maiden", "deathdate")] == [None] * 4
    load_id = load(clinic, "patients", [{**PATIENT, "Id": key(2)}], "same person")
    clinic.build()
    assert clinic.account(load_id)["new"] == 1
    with pytest.raises(psycopg.errors.CheckViolation, match="no_blank_text"):
        clinic.connection.execute("update curated.patients set middle = ' '")


def test_a_class_that_synthea_does_not_know_is_a_warning(clinic: Warehouse) -> None:
    load_id = load(clinic, "encounters", [own("encounters", 5, ENCOUNTERCLASS="spa")], "spa")
    clinic.build()
    assert clinic.account(load_id)["warnings"] == {"encounterclass_usual": 1}


def test_postgresql_keeps_the_references(clinic: Warehouse) -> None:
    for table in ("patients", "encounters"):
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            clinic.connection.execute(f"delete from curated.{table}")
    indexes = clinic.query(
        "select tablename, indexdef from pg_indexes where schemaname = 'curated'"
    )
    for table, column in (("encounters", "patient"), ("conditions", "encounter")):
        assert any(
            index["tablename"] == table and f"({column}" in index["indexdef"] for index in indexes
        ), f"{table}.{column} has no index"


def test_the_sample_is_taken_whole_and_builds_anew(clinic: Warehouse) -> None:
    """100 patients with all that belongs to them; a rebuild gives the same rows."""
    counts = {}
    for entity in GOOD:
        path = SAMPLES / f"{entity}.csv"
        counts[entity] = len(path.read_text().splitlines()) - 1
        load_id = clinic.load_file(path, f"synthea.{entity}")
        clinic.build()
        assert clinic.account(load_id)["new"] == counts[entity]
    assert counts["patients"] == 100
    before = [clinic.query(f"select * from curated.{entity} order by id") for entity in GOOD]
    clinic.build("--full-refresh")
    after = [clinic.query(f"select * from curated.{entity} order by id") for entity in GOOD]
    assert after == before


def said(warehouse: Warehouse, load_id: int) -> str:
    text = io.StringIO()
    print_loads(Console(file=text, width=300), warehouse.url, warehouse.catalog, {load_id})
    return text.getvalue()


def test_b23_personal_columns_stand_in_no_log(clinic: Warehouse) -> None:
    """Neither the terminal nor a build that a new rule stops shows them; the others it shows."""
    bad = load(clinic, "patients", [own("patients", 3, GENDER="", SSN="999-77-7777")], "bad", "a,b")
    clinic.build()
    shown = said(clinic, bad)
    assert "gender_required: 1 rows. Gender is mandatory." in shown
    assert "field_count" in shown
    assert "999-77-7777" not in shown
    assert "Fernfield" not in shown
    bad = load(clinic, "encounters", [own("encounters", 3, CODE="", DESCRIPTION="Spa")], "bad")
    clinic.build()
    assert "Spa" in said(clinic, bad)

    clinic.connection.execute(
        "alter table curated.patients drop constraint patients__death_not_before_birth;"
        "update curated.patients set deathdate = '1900-01-01'"
    )
    stopped = clinic.failure_of_build()
    assert '"last": "Fernfield"' in stopped
    for name in ("SSN", "DRIVERS", "PASSPORT"):
        assert PATIENT[name] not in stopped


def test_personal_columns_are_those_that_identify(clinic: Warehouse) -> None:
    personal: dict[str, Any] = {
        entity.name: [column.name for column in entity.columns if column.is_personal]
        for entity in clinic.catalog.entities.values()
        if entity.has_personal_data
    }
    assert personal["patients"] == ["ssn", "drivers", "passport", "repairs"]
