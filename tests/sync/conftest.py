"""Products that were built, written through the API's statements, and a receiver."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr

from api.proposal import warnings_of
from api.query import plan_of
from assay.catalog import Catalog, Entity
from assay.settings import Settings
from sync.delivery import Account, deliver
from tests.conftest import ROOT
from tests.sync import receiver
from tests.sync.receiver import PASSWORD, USERNAME, System
from tests.warehouse import DATABASE, NewWarehouse


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def system() -> Iterator[System]:
    with receiver.running() as running:
        yield running


@pytest.fixture(scope="session")
def built_products(new_warehouse: NewWarehouse) -> str:
    """Name of a database with the sample of products, to be copied."""
    with new_warehouse() as warehouse:
        warehouse.excluded = ()
        sample = ROOT / "data" / "products" / "products.csv"
        warehouse.load_file(sample, "shop.products")
        warehouse.build("--select", "+products")
        return warehouse.save_as("products")


@dataclass
class Shop:
    """The database, and what its deliveries need."""

    url: str
    catalog: Catalog
    settings: Settings
    api: "asyncpg.Connection[Any]"
    connection: psycopg.Connection[dict[str, Any]]

    @property
    def entity(self) -> Entity:
        return self.catalog.entities["products"]

    async def put(self, barcode: str, **changes: Any) -> None:
        """Make a product, or change it."""
        plan = plan_of(self.entity)
        row = {
            "barcode": barcode,
            "name": "Tea",
            "price": 2.5,
            "quantity": 1,
            "last_updated": "2026-04-01T00:00:00Z",
        } | changes
        values = (json.dumps([row]), "clerk", self.entity.name, warnings_of(self.entity))
        if not await self.api.fetch(plan.replace, *values, barcode, None):
            await self.api.fetch(plan.insert, *values)

    async def delete(self, barcode: str) -> None:
        await self.api.fetch(plan_of(self.entity).delete, barcode, "clerk", self.entity.name, None)

    async def deliver(self, *, revive: bool = False, **settings: Any) -> Account:
        changed = self.settings.model_copy(update=settings)
        accounts = await deliver(changed, self.url, self.catalog, revive=revive)
        assert accounts is not None
        return accounts[0]

    def rows(self) -> dict[str, dict[str, Any]]:
        found = self.connection.execute("""
            select barcode, to_jsonb(products) - '_transaction_id' - 'updated_by' as body
            from curated.products
        """)
        return {row["barcode"]: row["body"] for row in found}

    def outbox(self) -> list[dict[str, Any]]:
        return self.connection.execute("select * from journal.outbox order by number").fetchall()


@pytest.fixture
async def shop(
    built_products: str,
    create_database: Callable[..., str],
    catalog: Catalog,
    system: System,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Shop]:
    monkeypatch.setattr("sync.delivery._FIRST_WAIT", 0.01)
    url = create_database(built_products, DATABASE)
    settings = Settings(
        project=ROOT,
        sync_url=system.url,
        sync_username=USERNAME,
        sync_password=SecretStr(PASSWORD),
        sync_timeout_seconds=20,  # which nothing waits for, on a busy machine either
    )
    api = await asyncpg.connect(url)
    connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)
    try:
        with connection:
            yield Shop(url, catalog, settings, api, connection)
    finally:
        await api.close()
