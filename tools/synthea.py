"""Writes files in the CSV columns of Synthea, of invented patients: the same bytes each time.

Everybody and every place in them is made up; the codes and what they mean are SNOMED CT's. Keys are
hashes of the seed and a number, and each patient has a source of chance of his own: with as many
encounters for each, a patient is the same in files of any size. Rows are written as they are made,
so memory does not grow with them.

The columns are those of https://github.com/synthetichealth/synthea/wiki/CSV-File-Data-Dictionary.
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import date
from functools import cache
from hashlib import md5
from pathlib import Path
from random import Random
from typing import TypeVar

HEADERS = {
    "patients": (
        "Id,BIRTHDATE,DEATHDATE,SSN,DRIVERS,PASSPORT,PREFIX,FIRST,MIDDLE,LAST,SUFFIX,MAIDEN,MARITAL,"
        "RACE,ETHNICITY,GENDER,BIRTHPLACE,ADDRESS,CITY,STATE,COUNTY,FIPS,ZIP,LAT,LON,"
        "HEALTHCARE_EXPENSES,HEALTHCARE_COVERAGE,INCOME\n"
    ),
    "encounters": (
        "Id,START,STOP,PATIENT,ORGANIZATION,PROVIDER,PAYER,ENCOUNTERCLASS,CODE,DESCRIPTION,"
        "BASE_ENCOUNTER_COST,TOTAL_CLAIM_COST,PAYER_COVERAGE,REASONCODE,REASONDESCRIPTION\n"
    ),
    "conditions": "START,STOP,PATIENT,ENCOUNTER,SYSTEM,CODE,DESCRIPTION\n",
}
ENCOUNTERS_OF_A_PATIENT = 10

_Value = TypeVar("_Value")

FIRST_DAY, LAST_DAY = date(1930, 1, 1).toordinal(), date(2024, 12, 31).toordinal()
YEAR = 365
ADULT = 18 * YEAR

SYSTEM = "http://snomed.info/sct"
# Class, code, description, cost in cents.
ENCOUNTERS = (
    ("wellness", "162673000", "General examination of patient (procedure)", 13680),
    ("wellness", "410620009", "Well child visit (procedure)", 13680),
    ("ambulatory", "185345009", "Encounter for symptom", 8555),
    ("ambulatory", "185347001", "Encounter for problem (procedure)", 8555),
    ("outpatient", "185349003", "Encounter for check up (procedure)", 14263),
    ("urgentcare", "702927004", "Urgent care clinic (procedure)", 14263),
    ("emergency", "50849002", "Emergency room admission (procedure)", 14617),
)
# Code, description, days until it is over, 0 for never.
CONDITIONS = (
    ("444814009", "Viral sinusitis (disorder)", 14),
    ("195662009", "Acute viral pharyngitis (disorder)", 10),
    ("10509002", "Acute bronchitis (disorder)", 14),
    ("233604007", "Pneumonia (disorder)", 30),
    ("271737000", "Anemia (disorder)", 0),
    ("15777000", "Prediabetes (finding)", 0),
    ("59621000", "Essential hypertension (disorder)", 0),
    ("55822004", "Hyperlipidemia (disorder)", 0),
    ("195967001", "Asthma (disorder)", 0),
)
DIAGNOSED = 0.35
"""Of an encounter that a condition is diagnosed in it."""

WOMEN = ("Alma", "Beryl", "Cora", "Delia", "Edda", "Flora", "Greta", "Hilda", "Iris", "Juna")
MEN = ("Abel", "Bruno", "Caspar", "Dorian", "Edgar", "Felix", "Gideon", "Hugo", "Ivo", "Jonas")
PLANTS = ("Ash", "Birch", "Clover", "Elder", "Fern", "Hazel", "Linden", "Maple", "Reed", "Thorn")
LANDS = ("brook", "croft", "dale", "field", "gate", "hurst", "mead", "ridge", "well", "wick")
TOWNS = tuple(f"{plant}{end}" for plant in PLANTS for end in ("ham", "ford", "bury"))
STREETS = ("Street", "Lane", "Avenue", "Road", "Way")
STATE = "Connecticut"
RACES = ("white", "black", "asian", "native", "hawaiian", "other")
ETHNICITIES = ("nonhispanic", "hispanic")
MARITAL = ("M", "S", "D", "W")


def key(*parts: object) -> str:
    """A UUID, version 4 by its form."""
    digits = md5("/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


@cache
def known(seed: int, kind: str, number: int) -> str:
    """The key of one of a few."""
    return key(seed, kind, number)


def shares(patients: int, encounters: int, seed: int) -> Iterator[int]:
    """How many encounters each patient has: all of them together, though not each the same."""
    chance = Random(f"{seed}/shares")  # noqa: S311 - nothing is kept secret by it
    kept = 0
    for number in range(patients):
        share = encounters * (number + 1) // patients - encounters * number // patients
        is_first_of_two = number % 2 == 0 and number + 1 < patients
        given = int(chance.random() * (share + 1)) if is_first_of_two else 0
        yield share - given + kept
        kept = given


@cache
def day_of(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat()


def rows_of(seed: int, number: int, share: int) -> tuple[str, list[str], list[str]]:
    """A patient, the encounters and the conditions, as lines."""
    chance = Random(f"{seed}/{number}").random  # noqa: S311 - nothing is kept secret by it

    def one(values: Sequence[_Value]) -> _Value:
        # `random` alone is the same in all versions of Python.
        return values[int(chance() * len(values))]

    patient = key(seed, "patient", number)
    payer = known(seed, "payer", int(chance() * 10))
    born = FIRST_DAY + int(chance() * (LAST_DAY - FIRST_DAY - YEAR))
    is_dead = chance() < 0.12  # noqa: PLR2004
    until = born + int(chance() * (LAST_DAY - born)) if is_dead else LAST_DAY
    covered = chance() * 0.9
    encounters, conditions, costs = [], [], 0
    for place in range(share):
        encounter = key(seed, "encounter", number, place)
        start = born + int((place + chance()) * (until - born) / share)
        day, minute = day_of(start), 480 + int(chance() * 600)
        end = minute + 15 + int(chance() * 4) * 15
        class_, code, description, base = one(ENCOUNTERS)
        reason = ","
        if chance() < DIAGNOSED:
            condition, meaning, days = one(CONDITIONS)
            over = min(start + days, until)
            stop = day_of(over) if days else ""
            conditions.append(
                f"{day},{stop},{patient},{encounter},{SYSTEM},{condition},{meaning}\n"
            )
            reason = f"{condition},{meaning}"
        cost = base + int(chance() * 100000)
        costs += cost
        encounters.append(
            f"{encounter},{day}T{minute // 60:02d}:{minute % 60:02d}:00Z,"
            f"{day}T{end // 60:02d}:{end % 60:02d}:00Z,{patient},"
            f"{known(seed, 'organization', place % 40)},"
            f"{known(seed, 'provider', place % 90)},{payer},"
            f"{class_},{code},{description},{base / 100:.2f},{cost / 100:.2f},"
            f"{cost * covered / 100:.2f},{reason}\n"
        )

    is_woman, is_adult = chance() < 0.5, until - born > ADULT  # noqa: PLR2004
    prefix = ("Ms." if is_woman else "Mr.") if is_adult else ""
    marital = one(MARITAL) if is_adult and chance() < 0.8 else ""  # noqa: PLR2004
    names = WOMEN if is_woman else MEN
    maiden = f"{one(PLANTS)}{one(LANDS)}" if is_woman and marital not in ("", "S") else ""
    county = int(chance() * len(PLANTS))
    line = (
        patient,
        day_of(born),
        day_of(until) if is_dead else "",
        f"999-{10 + int(chance() * 90)}-{1000 + int(chance() * 9000)}",
        f"S999{int(chance() * 100000):05d}" if is_adult else "",
        f"X{int(chance() * 10**8):08d}X" if is_adult and chance() < 0.8 else "",  # noqa: PLR2004
        prefix,
        one(names),
        one(names) if chance() < 0.7 else "",  # noqa: PLR2004
        f"{one(PLANTS)}{one(LANDS)}",
        "PhD" if is_adult and chance() < 0.02 else "",  # noqa: PLR2004
        maiden,
        marital,
        one(RACES),
        one(ETHNICITIES),
        "F" if is_woman else "M",
        f"{one(TOWNS)}  {STATE}  US",
        f"{1 + int(chance() * 999)} {one(PLANTS)} {one(STREETS)}",
        one(TOWNS),
        STATE,
        f"{PLANTS[county]} County",
        f"09{901 + 2 * county}",
        f"06{int(chance() * 1000):03d}",
        f"{41 + chance():.6f}",
        f"{-72 - chance():.6f}",
        f"{costs * (1 - covered) / 100:.2f}",
        f"{costs * covered / 100:.2f}",
        f"{int(chance() * 200000)}",
    )
    return ",".join(line) + "\n", encounters, conditions


def write(folder: Path, patients: int, encounters: int, seed: int = 1) -> None:
    """Write `patients.csv`, `encounters.csv` and `conditions.csv`."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        files = {}
        for name, header in HEADERS.items():
            path = folder / f"{name}.csv"
            files[name] = stack.enter_context(path.open("w", encoding="utf-8", newline=""))
            files[name].write(header)
        for number, share in enumerate(shares(patients, encounters, seed)):
            patient, theirs, diagnosed = rows_of(seed, number, share)
            files["patients"].write(patient)
            files["encounters"].writelines(theirs)
            files["conditions"].writelines(diagnosed)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.synthea", description=__doc__)
    parser.add_argument("--patients", type=int, default=100)
    parser.add_argument(
        "--encounters", type=int, help=f"of all patients; {ENCOUNTERS_OF_A_PATIENT} of each"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("data/patients"))
    asked = parser.parse_args()
    encounters = asked.encounters
    if encounters is None:
        encounters = asked.patients * ENCOUNTERS_OF_A_PATIENT
    write(asked.folder, asked.patients, encounters, asked.seed)


if __name__ == "__main__":
    main()
