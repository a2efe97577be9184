"""The generator of invented patients."""

import csv
import itertools
import re
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tools.synthea import rows_of, shares, write

NAMES = ("patients", "encounters", "conditions")


def read(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_sample_is_what_the_generator_writes(tmp_path: Path) -> None:
    """Byte for byte; make it anew by `python -m tools.synthea`."""
    command = [sys.executable, "-m", "tools.synthea", "--folder", str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT)
    for name in NAMES:
        kept = ROOT / "data" / "patients" / f"{name}.csv"
        assert (tmp_path / kept.name).read_bytes() == kept.read_bytes(), name


def test_files_are_as_synthea_writes_them(tmp_path: Path) -> None:
    """Keys are UUIDs and occur once, references lead to rows, and times are in order."""
    write(tmp_path, 300, 2000, seed=7)
    patients, encounters, conditions = (read(tmp_path, name) for name in NAMES)
    assert (len(patients), len(encounters)) == (300, 2000)
    assert conditions
    people = {row["Id"]: row for row in patients}
    visits = {row["Id"]: row for row in encounters}
    assert (len(people), len(visits)) == (300, 2000)
    uuid = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    assert all(map(uuid.fullmatch, [*people, *visits]))
    assert any(row["DEATHDATE"] for row in patients)
    for row in patients:
        assert row["BIRTHDATE"] <= (row["DEATHDATE"] or "9999")
        assert re.fullmatch(r"999-\d\d-\d{4}", row["SSN"])  # no such number is ever given out
        assert re.fullmatch(r"0\d{4}", row["ZIP"])
        assert re.fullmatch(r"0\d{4}", row["FIPS"])
        assert None not in row.values()
    for row in encounters:
        person = people[row["PATIENT"]]
        start, stop = (datetime.fromisoformat(row[name]) for name in ("START", "STOP"))
        assert start < stop
        last = date.fromisoformat(person["DEATHDATE"] or "9999-12-31")
        assert date.fromisoformat(person["BIRTHDATE"]) <= start.date() <= last
    for row in conditions:
        assert row["PATIENT"] == visits[row["ENCOUNTER"]]["PATIENT"]
        assert row["START"] == visits[row["ENCOUNTER"]]["START"][:10]
        assert row["STOP"] == "" or row["STOP"] >= row["START"]
    identity = [(r["PATIENT"], r["ENCOUNTER"], r["CODE"], r["START"]) for r in conditions]
    assert len(set(identity)) == len(identity)


def test_another_seed_makes_other_people(tmp_path: Path) -> None:
    for seed in (1, 2):
        write(tmp_path / str(seed), 20, 60, seed)
    one, two = (read(tmp_path / name, "patients") for name in ("1", "2"))
    assert not {row["Id"] for row in one} & {row["Id"] for row in two}


@pytest.mark.parametrize(("patients", "encounters"), [(0, 0), (1, 0), (1, 7), (7, 3), (101, 1010)])
def test_shares_are_all_of_them(patients: int, encounters: int) -> None:
    given = list(shares(patients, encounters, seed=3))
    assert (len(given), sum(given)) == (patients, encounters)
    assert min(given, default=0) >= 0


def test_rows_are_made_one_after_another() -> None:
    """A million patients are begun without the others being there; so memory is flat."""
    first = list(itertools.islice(shares(10**6, 10**7, seed=1), 3))
    assert len(first) == 3
    assert rows_of(1, 999_999, 2)[0].count(",") == 27
