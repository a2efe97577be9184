"""Rows to begin with, of entities that are born in the API: written as it writes them."""

from pathlib import Path

import asyncpg

from api.proposal import warnings_of
from api.query import plan_of
from assay.catalog import Catalog, Entity
from assay.changes import SAMPLE_WRITER
from loader.loads import OWN_SOURCES


async def write_samples(url: str, project: Path, catalog: Catalog) -> None:
    """Write the sample of each entity that has one; for a database that nobody wrote to yet.

    Not where it is connected with an entity whose samples have gone already.
    """
    connection = await asyncpg.connect(url)
    try:
        own = {source for (source,) in await connection.fetch(OWN_SOURCES)}
        for entity in catalog.entities.values():
            if entity.sample and not own & _sources_connected_with(entity, catalog):
                documents = (project / entity.sample).read_text()
                values = (documents, SAMPLE_WRITER, entity.name, warnings_of(entity))
                plan = plan_of(entity, links=entity.links, said=True)
                await connection.fetch(plan.insert, *values)
    finally:
        await connection.close()


def _sources_connected_with(entity: Entity, catalog: Catalog) -> set[str]:
    """Sources of all entities to which references lead from one, in either direction."""
    references = [
        (e.name, column.references)
        for e in catalog.entities.values()
        for column in e.columns
        if column.references
    ]
    found = {entity.name}
    for _ in catalog.entities:
        for pair in references:
            if found.intersection(pair):
                found.update(pair)
    tables = (table for name in found for table in catalog.entities[name].source_tables)
    return {table.partition(".")[0] for table in tables}
