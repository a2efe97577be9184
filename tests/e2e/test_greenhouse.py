"""A stranger's files become a dataset: drafted, built, mended by SQL and YAML, corrected by a file.

The draft is built first, so that each edit meets a table with rows in it. The expected values are
computed here from the files alone.
"""

import csv
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import SHARED, leave_out_datasets
from tests.e2e.conftest import Project

FILES = SHARED / "cases" / "values"
MAY, JUNE = FILES / "calibrations_2026-05.csv", FILES / "calibrations_2026-06.csv"
MEASURED = ("reference", "reading", "battery")
CURATED = "serial_no, calibrated_on, reference, reading, unit, battery"
UNITS = {"temperature": "°C", "humidity": "%", "co2": "ppm"}
STAGING = """\
{% call reading(
    source('calibrations', 'calibrations'),
    {
        'greenhouse': 'identifier',
        'sensor': 'identifier',
        'calibrated_on': 'date',
        'serial_no': 'identifier',
        'parameter': 'text',
        'status': 'text',
        'next_due': 'date',
        'technician': 'text',
    },
    special={
        'reference': 'numeric',
        'reading': 'numeric',
        'unit': none,
        'battery': 'numeric',
        'interval_days': none,
    },
    computed={
        'calibration_id': default_of('calibrations', 'calibration_id'),
    }
) %}
    {{ to_number("split_part(reference__text, ' ', 1)") }} as reference,
    {{ to_number("split_part(reading__text, ' ', 1)") }} as reading,
    nullif(split_part(reading__text, ' ', 2), '') as unit,
    {{ to_number("substring(battery__text from '^(.*) V$')") }} as battery,
    {{ to_date('next_due__text') }} - {{ to_date('calibrated_on__text') }}
        as interval_days
{% endcall %}
"""
RULES = [
    {
        "name": "due_after_calibration",
        "columns": ["calibrated_on", "next_due"],
        "message": "The next calibration is due after this one.",
    },
    {
        "name": "unit_fits_parameter",
        "columns": ["parameter", "unit"],
        "message": "Temperature is measured in °C, humidity in %, CO2 in ppm.",
    },
    {
        "name": "one_interval_per_device",
        "determinant": ["serial_no"],
        "dependent": ["interval_days"],
        "message": "A device has one interval of calibration.",
    },
]
CHECKS = {
    "due_after_calibration": "next_due > calibrated_on",
    "unit_fits_parameter": (
        "unit = case parameter when 'temperature' then '°C' when 'humidity' then '%'"
        " when 'co2' then 'ppm' end"
    ),
}


@pytest.mark.skipif(not MAY.exists(), reason="the files of the greenhouses are not there")
def test_a_draft_that_was_built_becomes_a_dataset(project: Project) -> None:
    """Types, columns and rules are added to a table with rows, and the next file corrects some."""
    leave_out_datasets(project.folder)
    drafted = project.assay("scaffold", str(MAY), "--name", "calibrations")
    assert drafted.returncode == 0, drafted.stderr
    (key,) = re.findall("computed from (.*), which tell the rows apart", drafted.stdout)
    columns = key.split(", ")
    may, june = rows_of(MAY), rows_of(JUNE)
    assert len({tuple(row[c] for c in columns) for row in may}) == len(may) == 60
    done = project.assay("up", "--no-serve", str(MAY))
    assert done.returncode == 0, done.stdout + done.stderr
    assert curated(project, "reading") == sorted((row["reading"],) for row in may)

    edit(project)
    done = project.assay("build")
    assert done.returncode == 0, done.stdout + done.stderr
    assert curated(project, CURATED) == sorted(
        (row["serial_no"], date.fromisoformat(row["calibrated_on"]), *measured(row)) for row in may
    )
    assert accounts(project)[-1][:2] == (60, 60)

    done = project.assay("load", str(JUNE))
    assert done.returncode == 0, done.stderr
    done = project.assay("build")
    assert done.returncode == 0, done.stdout + done.stderr
    # rows, new, changed, unchanged, superseded, duplicates, rejected
    assert accounts(project)[-1] == (60, 46, 3, 9, 0, 0, 2)
    wrong = {
        number: rules
        for number, row in enumerate(june, 2)
        if (
            rules := [
                *["due_after_calibration"] * (row["next_due"] <= row["calibrated_on"]),
                *["unit_fits_parameter"] * (row["reading"].split()[1] != UNITS[row["parameter"]]),
            ]
        )
    }
    assert len(wrong) == 2
    rejected = project.query("select row_number, rules from rejected.rejected_calibrations")
    assert dict(rejected) == wrong

    latest = {tuple(row[c] for c in columns): row for row in may}
    latest |= {
        tuple(row[c] for c in columns): row for i, row in enumerate(june, 2) if i not in wrong
    }
    assert curated(project, CURATED) == sorted(
        (row["serial_no"], date.fromisoformat(row["calibrated_on"]), *measured(row))
        for row in latest.values()
    )
    done = project.assay("build", "--full-refresh")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "calibrations: recomputed from history, 0 rows changed" in done.stdout + done.stderr


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return [
            {header.lower().replace(" ", "_"): text for header, text in row.items()}
            for row in csv.DictReader(lines)
        ]


def measured(row: dict[str, str]) -> tuple[Decimal, Decimal, str, Decimal]:
    reference, reading, battery = (row[name].split()[0] for name in MEASURED)
    return Decimal(reference), Decimal(reading), row["reading"].split()[1], Decimal(battery)


def curated(project: Project, columns: str) -> list[tuple[Any, ...]]:
    return sorted(project.query(f"select {columns} from curated.calibrations"))


def accounts(project: Project) -> list[tuple[Any, ...]]:
    return project.query(
        "select rows, new, changed, unchanged, superseded, duplicates, rejected"
        " from journal.accounts where entity = 'calibrations' order by load_id"
    )


def edit(project: Project) -> None:
    """What docs/add-a-dataset.md says of values with a unit."""
    models = project.folder / "dbt_project" / "models"
    (models / "staging/calibrations/stg_calibrations__calibrations.sql").write_text(STAGING)

    def change(path: str) -> tuple[Path, dict[str, Any]]:
        return models / path, yaml.safe_load((models / path).read_text())

    def keep(file: Path, content: dict[str, Any]) -> None:
        file.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False))

    file, content = change("marts/calibrations/_calibrations__models.yml")
    model = content["models"][0]
    gone = {f"{name}_length" for name in MEASURED}
    rules = model["config"]["meta"]["rules"]
    rules[:] = [rule for rule in rules if rule["name"] not in gone] + RULES
    checks = [c for c in model["constraints"] if c.get("name") not in gone]
    model["constraints"] = checks + [
        {"type": "check", "name": name, "expression": text} for name, text in CHECKS.items()
    ]
    lines = [test for test in model["data_tests"] if test["rule"]["name"] not in gone]
    model["data_tests"] = lines + [{"rule": {"name": rule["name"]}} for rule in RULES]
    for column in model["columns"]:
        if column["name"] in MEASURED:
            column["data_type"] = "numeric"
            column["config"]["meta"]["examples"] = [1.5]
    at = next(i for i, column in enumerate(model["columns"]) if column["name"] == "battery")
    model["columns"][at:at] = [
        {
            "name": "unit",
            "description": "What the reading and its reference are measured in.",
            "data_type": "text",
            "constraints": [{"type": "not_null"}],
            "config": {"meta": {"title": "Unit", "examples": ["°C"]}},
        },
        {
            "name": "interval_days",
            "description": "Days until the next calibration is due.",
            "data_type": "integer",
            "constraints": [{"type": "not_null"}],
            "config": {"meta": {"title": "Interval", "examples": [90]}},
        },
    ]
    keep(file, content)

    file, content = change("staging/calibrations/_calibrations__unit_tests.yml")
    (row,) = content["unit_tests"][0]["expect"]["rows"]
    row |= {name: Decimal(row[name].split()[0]) for name in MEASURED}
    row |= {name: float(row[name]) for name in MEASURED} | {"unit": "°C"}
    keep(file, content)
