"""A provider, and a database that its records are extracted to."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from assay.catalog import SourceTable
from loader.http.access import Access
from loader.http.extract import extract
from loader.loads import LoadResult
from tests.http import provider as provider_module
from tests.http.provider import PASSWORD, USERNAME, Provider
from tests.warehouse import Warehouse

MODELS = ("--select", "+rejected.apprenticeships", "+programmes", "+apprenticeships", "+projects")
FULL_SIZE = (1000, 200, 5000)
SMALL = (60, 12, 150)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with provider_module.running() as running:
        yield running


@dataclass
class Records:
    """What was extracted."""

    warehouse: Warehouse
    provider: Provider
    access: Access | None = None
    """Another than to the provider."""

    def extract(self, *, full: bool = False, **listing: Any) -> list[LoadResult]:
        """Read the provider's API, with some options of its listings changed."""
        ((api, tables),) = self.warehouse.catalog.listed.items()
        results = asyncio.run(
            extract(
                self.warehouse.url,
                api,
                [_changed(table, listing) for table in tables],
                self.access or Access(api.name, self.provider.url, api.login, USERNAME, PASSWORD),
                loaded_by="test",
                full=full,
            )
        )
        assert results is not None
        return results

    def build(self, *arguments: str) -> None:
        self.warehouse.excluded = ()
        self.warehouse.build(*MODELS, *arguments)

    def raw(self, table: str) -> list[dict[str, Any]]:
        """The records of all loads that are recorded."""
        rows = self.warehouse.query(
            f"""
            select _record, _parent from raw.multiverse__{table}
            where _load_id in (select load_id from raw.loads where state = 'loaded')
            """
        )
        return [row["_record"] | _parent(row["_parent"]) for row in rows]

    def check_raw(self) -> None:
        """Raw has exactly the records of the provider."""
        provider = self.provider
        for table in ("apprenticeships", "programmes"):
            assert _sorted(self.raw(table)) == _sorted(getattr(provider, table).values())
        assert _sorted(self.raw("projects")) == _sorted(self.all_projects())

    def all_projects(self) -> list[dict[str, Any]]:
        return [
            project | {"parent": key}
            for key, projects in self.provider.projects.items()
            for project in projects
        ]

    def curated(self, table: str, columns: str) -> list[tuple[Any, ...]]:
        rows = self.warehouse.query(f"select {columns} from curated.{table} order by id")
        return [tuple(row.values()) for row in rows]

    def check_curated(self) -> None:
        """Curated has them too, cleaned as the contract says."""
        provider = self.provider
        assert self.curated("programmes", "id, name, duration, description") == _sorted(
            (p["id"], p["name"], p["duration"], p["description"].replace("\n", " "))
            for p in provider.programmes.values()
        )
        assert self.curated("apprenticeships", "id, programme_id, email_address") == _sorted(
            (a["id"], a["programme_id"], a["email_address"].lower())
            for a in provider.apprenticeships.values()
        )
        assert self.curated("projects", "id, apprenticeship_id, title, status") == _sorted(
            (p["id"], p["parent"], p["title"], p["status"]) for p in self.all_projects()
        )


def _changed(table: SourceTable, options: dict[str, Any]) -> SourceTable:
    assert table.listing
    return replace(table, listing=replace(table.listing, **options))


def _parent(fields: dict[str, str] | None) -> dict[str, str]:
    return {"parent": fields["id"]} if fields else {}


def _sorted(rows: Any) -> list[Any]:
    return sorted(rows, key=lambda row: row["id"] if isinstance(row, dict) else row[0])


@pytest.fixture
def records(warehouse: Warehouse, provider: Provider) -> Records:
    provider.fill(*SMALL)
    return Records(warehouse, provider)
