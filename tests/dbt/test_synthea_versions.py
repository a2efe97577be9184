"""Files in the columns of each version of Synthea's CSV exporter, by its headers of that time.

The headers are those that `CSVExporter.java` wrote, in the project's own history and in forks of
each age, and those that its wiki described.
"""

import csv
from collections.abc import Iterator

import pytest

from tests.dbt.test_patients import CONDITION, ENCOUNTER, FIGURES, MODELS, PATIENT, Row, key
from tests.warehouse import NewWarehouse, Warehouse

NAMED = "SSN,DRIVERS,PASSPORT,PREFIX,FIRST,LAST,SUFFIX,MAIDEN,MARITAL,RACE,ETHNICITY,GENDER"
WITH_MIDDLE = NAMED.replace("FIRST,LAST", "FIRST,MIDDLE,LAST")
COSTS = "HEALTHCARE_EXPENSES,HEALTHCARE_COVERAGE"
VERSIONS: dict[str, tuple[str, str, str]] = {
    "2018": (
        f"ID,BIRTHDATE,DEATHDATE,{NAMED},BIRTHPLACE,ADDRESS",
        "ID,START,STOP,PATIENT,ENCOUNTERCLASS,CODE,DESCRIPTION,COST,REASONCODE,REASONDESCRIPTION",
        "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION",
    ),
    "2019": (
        f"Id,BIRTHDATE,DEATHDATE,{NAMED},BIRTHPLACE,ADDRESS,CITY,STATE,ZIP",
        (
            "Id,START,STOP,PATIENT,PROVIDER,ENCOUNTERCLASS,CODE,DESCRIPTION,COST,REASONCODE,"
            "REASONDESCRIPTION"
        ),
        "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION",
    ),
    "2020": (
        f"Id,BIRTHDATE,DEATHDATE,{NAMED},BIRTHPLACE,ADDRESS,CITY,STATE,COUNTY,ZIP,LAT,LON,{COSTS}",
        (
            "Id,START,STOP,PATIENT,ORGANIZATION,PROVIDER,PAYER,ENCOUNTERCLASS,CODE,DESCRIPTION,"
            "BASE_ENCOUNTER_COST,TOTAL_CLAIM_COST,PAYER_COVERAGE,REASONCODE,REASONDESCRIPTION"
        ),
        "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION",
    ),
    "2022": (
        (
            f"Id,BIRTHDATE,DEATHDATE,{NAMED},BIRTHPLACE,ADDRESS,CITY,STATE,COUNTY,FIPS,ZIP,LAT,LON,"
            f"{COSTS},INCOME"
        ),
        ",".join(ENCOUNTER),
        "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION",
    ),
    "2024": (
        (
            f"Id,BIRTHDATE,DEATHDATE,{WITH_MIDDLE},BIRTHPLACE,ADDRESS,CITY,STATE,COUNTY,FIPS,ZIP,LAT,"
            f"LON,{COSTS},INCOME"
        ),
        ",".join(ENCOUNTER),
        "START,STOP,PATIENT,ENCOUNTER,SYSTEM,CODE,DESCRIPTION",
    ),
    "of other countries": (
        (
            f"Id,BIRTHDATE,DEATHDATE,{WITH_MIDDLE},BIRTHPLACE,ADDRESS,CITY,STATE,COUNTY,FIPS,POSTCODE,"
            "LAT,LON,INCOME"
        ),
        ",".join(ENCOUNTER),
        "START,STOP,PATIENT,ENCOUNTER,SYSTEM,CODE,DESCRIPTION",
    ),
}
RENAMED = {"ID": "Id", "COST": "BASE_ENCOUNTER_COST", "POSTCODE": "ZIP"}
BLANK = {
    "patients": ("ETHNICITY", "CITY", "STATE", "COUNTY", "FIPS", "ZIP", "MIDDLE", "INCOME", *(
        COSTS.split(","))),
    "encounters": ("STOP", "ORGANIZATION", "PROVIDER", "PAYER", "BASE_ENCOUNTER_COST",
                   "TOTAL_CLAIM_COST", "PAYER_COVERAGE"),
    "conditions": ("STOP", "SYSTEM"),
}  # fmt: skip
ROWS: dict[str, Row] = {"patients": PATIENT, "encounters": ENCOUNTER, "conditions": CONDITION}


@pytest.fixture(scope="module")
def clinic(new_warehouse: NewWarehouse) -> Iterator[Warehouse]:
    with new_warehouse() as warehouse:
        warehouse.excluded = ()
        yield warehouse


def load(clinic: Warehouse, version: int, table: str, headers: list[str], row: Row) -> int:
    path = clinic.folder / f"{table}_{version}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(headers)
        writer.writerow([row.get(RENAMED.get(header, header), "") for header in headers])
    return clinic.load_file(path, f"synthea.{table}")


def test_each_version_is_taken(clinic: Warehouse) -> None:
    """A row of each, also with what may be blank blank; what the version lacks is null."""
    loads: dict[tuple[str, str, bool], int] = {}
    people = [(v, is_blank) for v in VERSIONS for is_blank in (False, True)]
    for number, (version, is_blank) in enumerate(people, start=1):
        for table, headers in zip(ROWS, VERSIONS[version], strict=True):
            row = ROWS[table] | ({"PATIENT": key(number)} if table != "patients" else {})
            row |= {"ENCOUNTER": key(number)} if table == "conditions" else {"Id": key(number)}
            if is_blank:
                row |= dict.fromkeys(BLANK[table], "")
            names = headers.split(",")
            loads[version, table, is_blank] = load(clinic, number, table, names, row)
    clinic.build(*MODELS)
    for (version, table, is_blank), load_id in loads.items():
        told = clinic.account(load_id)
        counts = {name: told[name] for name in FIGURES if told[name]}
        assert counts == {"new": 1}, (version, table, is_blank, told["rules"])
    first = clinic.query("select * from curated.patients where id = %s", key(1))[0]
    assert (first["zip"], first["income"], first["birthdate"].year) == (None, None, 1972)
    last = clinic.query("select * from curated.patients where id = %s", key(len(people) - 1))[0]
    assert (last["zip"], last["healthcare_expenses"]) == ("06001", None)
    (visit,) = clinic.query("select * from curated.encounters where id = %s", key(1))
    assert (str(visit["base_encounter_cost"]), visit["payer"]) == ("136.80", None)
