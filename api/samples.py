"""Rows to begin with, of entities that are born in the API: written as it writes them."""

from pathlib import Path

import asyncpg

from api.proposal import warnings_of
from api.query import plan_of
from assay.catalog import Catalog
from assay.changes import SAMPLE_WRITER


async def write_samples(url: str, project: Path, catalog: Catalog) -> None:
    """Write the sample of each entity that has one; for a database that nobody wrote to yet."""
    connection = await asyncpg.connect(url)
    try:
        for entity in catalog.entities.values():
            if entity.sample:
                documents = (project / entity.sample).read_text()
                values = (documents, SAMPLE_WRITER, entity.name, warnings_of(entity))
                await connection.fetch(plan_of(entity).insert, *values)
    finally:
        await connection.close()
