"""Records of an API, from the API to the lake."""

from pathlib import Path
from typing import Any

import pytest

from assay.settings import Settings
from tests.http.conftest import FULL_SIZE, Records
from tests.lake.conftest import Exporter

TABLES = ("programmes", "apprenticeships", "projects")
PERSONAL = {"first_name", "last_name", "email_address", "repairs"}


@pytest.fixture
def exporter(records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Exporter:
    # else Polars warns that its planner is not installed
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    settings = Settings(project=tmp_path, lake_url=str(tmp_path / "lake"))
    return Exporter(records.warehouse.url, records.warehouse.catalog, settings)


def bring(records: Records, exporter: Exporter) -> None:
    records.extract()
    records.build()
    exporter.export(*TABLES)


def by_id(rows: Any) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in rows}


def check(records: Records, exporter: Exporter) -> None:
    """The lake has exactly the records of the provider, without what says something of people."""
    provider = records.provider
    programmes = by_id(exporter.state("programmes"))
    assert programmes.keys() == provider.programmes.keys()
    apprenticeships = by_id(exporter.state("apprenticeships"))
    assert {key: row["programme_id"] for key, row in apprenticeships.items()} == {
        key: record["programme_id"] for key, record in provider.apprenticeships.items()
    }
    assert not PERSONAL & set(next(iter(apprenticeships.values())))
    projects = by_id(exporter.state("projects"))
    assert {(row["id"], row["apprenticeship_id"], row["title"]) for row in projects.values()} == {
        (project["id"], project["parent"], project["title"]) for project in records.all_projects()
    }


def test_a55_the_lake_has_the_records_of_the_api(records: Records, exporter: Exporter) -> None:
    records.provider.fill(*FULL_SIZE)
    bring(records, exporter)
    check(records, exporter)
    assert len(exporter.state("projects")) == 5000

    records.provider.put("a-7", "2026-03-01T12:00:00", "p-1", name="Another")
    records.provider.projects["a-7"][0]["title"] = "Another"
    bring(records, exporter)
    check(records, exporter)
    names = by_id(exporter.state("apprenticeships"))
    assert names["a-7"]["name"] == "Another"
    # what the overlap brought again is no change
    assert len(exporter.written("apprenticeships")) == 1000 + 1
