"""Staging models are exported as a whole: they have no feed of changes."""

from dataclasses import replace

import pytest

from assay.catalog import Catalog, StagingModel
from lake.catalog import LakeError
from lake.query import NotBuiltError
from tests.dbt.test_merge import row
from tests.lake import things
from tests.lake.conftest import PLATFORM, Exporter, Things
from tests.warehouse import Warehouse

NAME = "stg_laboratory__metabolites"


def test_a_staging_model(exporter: Exporter, warehouse: Warehouse) -> None:
    """Each export has all rows of that moment, in one commit, in the place of the last ones."""
    for number in range(3):
        warehouse.load(row("a", 0), row("b", number), name=f"{number}.csv")
        warehouse.build()
        (account,) = exporter.export(NAME)
        assert (account.is_whole, account.rows) == (True, 2 * (number + 1))
        found = exporter.written(NAME, "staging").drop(PLATFORM)
        expected = warehouse.query(f"""
            select _load_id, _row_number, feature, id_inchi, sample_value::text, repairs
            from staging.{NAME}
        """)
        key = "_load_id", "_row_number"
        assert found.select(*expected[0]).sort(key).to_dicts() == sorted(
            expected, key=lambda r: (r["_load_id"], r["_row_number"])
        )
    described = exporter.table(NAME, "staging").schema().find_field("feature").doc
    assert described == "Compound name without white space around it."


@pytest.fixture
def staged(of_things: Things) -> Things:
    of_things.connection.execute("""
        create view staging.stg as
        select thing, whole, thing as _malformed, md5(thing)::uuid as _hash, 1 as _load_id
        from curated.things
    """)
    model = StagingModel("stg", "staging", "stg", "One row per row.", {}, (things.ENTITY,))
    of_things.exporter.catalog = Catalog({"things": things.ENTITY}, {}, {"stg": model})
    return of_things


def test_personal_columns_of_a_staging_model(staged: Things) -> None:
    """Are those of what it feeds, and what is of the whole row."""
    things.put(staged.connection, "Zaphod", whole=1)
    staged.exporter.export("stg")
    everything = {"thing", "whole", "_malformed", "_hash", "_load_id"}
    assert set(staged.exporter.written("stg", "staging").columns) == {*PLATFORM, *everything}

    columns = tuple(replace(c, is_personal=c.name == "thing") for c in things.ENTITY.columns)
    fed = replace(things.ENTITY, columns=columns)
    model = replace(staged.exporter.catalog.staging["stg"], feeds=(things.ENTITY, fed))
    staged.exporter.catalog = Catalog({"things": fed}, {}, {"stg": model})
    staged.exporter.export("stg")
    written = staged.exporter.written("stg", "staging")
    assert set(written.columns) == {*PLATFORM, "thing", "whole", "_load_id"}
    assert len(written["thing"].item()) == 64, "a key that is personal is hashed"


def test_only_what_is_asked_for(staged: Things) -> None:
    assert [account.model for account in staged.exporter.export()] == ["things"]
    assert [account.model for account in staged.exporter.export("stg")] == ["stg"]
    entity = replace(things.ENTITY, is_in_lake=False)
    staged.exporter.catalog = replace(staged.exporter.catalog, entities={"things": entity})
    assert staged.exporter.export() == []
    assert [account.model for account in staged.exporter.export("things")] == ["things"]


def test_a_model_that_is_not_there(staged: Things) -> None:
    with pytest.raises(LakeError, match=r"no model unknown to export; there are things, stg\."):
        staged.exporter.export("things", "unknown")
    staged.connection.execute("drop view staging.stg")
    with pytest.raises(NotBuiltError, match="stg is not built"):
        staged.exporter.export("stg")
