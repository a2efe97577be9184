"""Samples go when their source brings something of its own."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from api.proposal import warnings_of
from api.query import plan_of
from api.samples import write_samples
from tests.conftest import ROOT
from tests.dbt.test_merge import STATE, counts, delete, edit, rebuild_changes_nothing, row
from tests.warehouse import Warehouse

DATA = ROOT / "data"


def features(warehouse: Warehouse) -> dict[str, str]:
    return {r["feature"]: r["value"] for r in warehouse.query(STATE)}


def state(warehouse: Warehouse, load_id: int) -> str:
    return str(
        warehouse.query("select state from raw.loads where load_id = %s", load_id)[0]["state"]
    )


def keys(warehouse: Warehouse, table: str, key: str) -> set[str]:
    return {str(r[key]) for r in warehouse.query(f"select {key} from curated.{table}")}


def test_samples_go_with_the_first_load_of_their_own(warehouse: Warehouse) -> None:
    """What people changed stays, what they deleted is no word on what the source says now."""
    sample = warehouse.load(*(row(f, n) for n, f in enumerate("abcd")), is_sample=True)
    warehouse.build()
    warehouse.build()
    assert set(features(warehouse)) == {"a", "b", "c", "d"}
    edit(warehouse, "b", sample_value=7)
    delete(warehouse, "c")
    real = warehouse.load(row("a", 0), row("b", 1), row("c", 2), row("e", 4), name="real.csv")
    warehouse.build()
    assert features(warehouse) == {"a": "1", "b": "7", "c": "1", "e": "1"}
    assert counts(warehouse, real) == {"new": 3, "unchanged": 1}
    assert state(warehouse, sample) == "unloaded"
    (account,) = warehouse.query("select deleted, newer from journal.unloads")
    assert account == {"deleted": 2, "newer": 2}
    assert rebuild_changes_nothing(warehouse)
    again = warehouse.load(row("a", 0), row("d", 3, "2"), name="again.csv")
    warehouse.build()
    assert counts(warehouse, again) == {"new": 1, "unchanged": 1}


def test_the_bytes_of_a_sample_are_a_load_when_somebody_gives_them(warehouse: Warehouse) -> None:
    """Before the samples were built, or after it; once only."""
    rows = [row("a", 0), row("b", 1)]
    sample = warehouse.load(*rows, is_sample=True)
    assert warehouse.load(*rows, is_sample=True) == sample
    warehouse.build()
    real = warehouse.load(*rows)
    assert real != sample
    assert warehouse.load(*rows) == real
    warehouse.build()
    assert counts(warehouse, real) == {"new": 2}
    assert {r["updated_by"] for r in warehouse.query("select * from curated.metabolites")} == {
        f"load {real} row 2",
        f"load {real} row 3",
    }
    assert rebuild_changes_nothing(warehouse)


def test_samples_that_were_never_built(warehouse: Warehouse) -> None:
    sample = warehouse.load(row("a", 0), is_sample=True)
    warehouse.build("--select", "+products")
    warehouse.load(row("b", 1), name="real.csv")
    warehouse.build()
    assert set(features(warehouse)) == {"b"}
    assert state(warehouse, sample) == "unloaded"


def test_an_upload_takes_them_back_and_a_dry_run_only_reckons_with_it(
    warehouse: Warehouse, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same row with the same identifier is new in both, not unchanged nor another's."""
    sample = warehouse.load(row("a", 0), row("b", 1), is_sample=True)
    warehouse.build()
    rows = [row("a", 0), row("other", 1)]
    rehearsal = warehouse.load(*rows, name="real.csv", rehearsal=True)
    report = f"select new from journal.accounts where load_id = {rehearsal}"
    before = warehouse.query("select xmin::text, * from curated.metabolites order by feature")
    capfd.readouterr()
    assert warehouse.operate("rehearse", load_id=rehearsal, reports=[report])
    assert state(warehouse, sample) == "loaded"
    after = warehouse.query("select xmin::text, * from curated.metabolites order by feature")
    assert after == before
    real = warehouse.load(*rows, name="real.csv")
    assert warehouse.operate("take_loads", source_table="laboratory.metabolites")
    assert counts(warehouse, real) == {"new": 2}
    assert set(features(warehouse)) == {"a", "other"}
    assert state(warehouse, sample) == "unloaded"


@pytest.fixture
def everything(warehouse: Warehouse) -> Warehouse:
    warehouse.excluded = ()
    return warehouse


def test_tables_of_one_source_go_together(everything: Warehouse, tmp_path: Path) -> None:
    """Also those that refer to others; samples of other sources stay."""
    warehouse = everything
    for table in ("patients", "encounters", "conditions"):
        file = DATA / "patients" / f"{table}.csv"
        warehouse.load_file(file, f"synthea.{table}", is_sample=True)
    warehouse.load_file(DATA / "products" / "products.csv", "shop.products", is_sample=True)
    selection = ("--select", "+patients +encounters +conditions +products")
    warehouse.build(*selection)
    assert len(warehouse.query("select from curated.conditions")) > 0
    lines = (DATA / "patients" / "patients.csv").read_text().splitlines()
    real = tmp_path / "real.csv"
    real.write_text("\n".join([lines[0], lines[1]]) + "\n")
    load_id = warehouse.load_file(real, "synthea.patients")
    warehouse.build(*selection)
    (account,) = warehouse.query("select * from journal.accounts where load_id = %s", load_id)
    assert (account["new"], account["rows"]) == (1, 1)
    assert len(warehouse.query("select from curated.patients")) == 1
    assert warehouse.query("select from curated.encounters") == []
    assert warehouse.query("select from curated.conditions") == []
    assert len(warehouse.query("select from curated.products")) == 5


def test_what_the_api_began_with_goes_too(everything: Warehouse, tmp_path: Path) -> None:
    """Samples of groups link samples of sites; a site to which somebody refers stays with him."""
    warehouse = everything
    warehouse.load_file(DATA / "energy" / "sites.csv", "energy.sites", is_sample=True)
    warehouse.build("--select", "+marts.energy")
    asyncio.run(write_samples(warehouse.url, ROOT, warehouse.catalog))
    groups = keys(warehouse, "groups", "name")
    assert groups
    assert keys(warehouse, "sites_in_groups", "site_id") == {"1", "2", "4", "5"}
    real = tmp_path / "real.csv"
    header = (DATA / "energy" / "sites.csv").read_text().splitlines()[0]
    real.write_text(f"{header}\n900,Alone,france,2022-02-03,3,1,0.5,\n")
    warehouse.load_file(real, "energy.sites")
    warehouse.build("--select", "+marts.energy")
    assert keys(warehouse, "sites", "id") == {"900"}
    assert keys(warehouse, "groups", "name") == set()


def test_a_row_to_which_somebody_refers_stays_and_becomes_ones_own(
    everything: Warehouse, tmp_path: Path
) -> None:
    """As soon as the source says it itself: until then it is a sample, and its link is nobody's."""
    warehouse = everything
    warehouse.load_file(DATA / "energy" / "sites.csv", "energy.sites", is_sample=True)
    warehouse.build("--select", "+marts.energy")
    groups = warehouse.catalog.entities["groups"]
    plan = plan_of(groups, links=groups.links, said=True)
    document = '[{"name": "mine", "type": "group1", "site_ids": [1]}]'

    async def write() -> None:
        connection = await asyncpg.connect(warehouse.url)
        await connection.fetch(plan.insert, document, "ann", "groups", warnings_of(groups))
        await connection.close()

    asyncio.run(write())
    header, first, *_ = (DATA / "energy" / "sites.csv").read_text().splitlines()
    real = tmp_path / "real.csv"
    real.write_text(f"{header}\n900,Alone,france,2022-02-03,3,1,0.5,\n")
    warehouse.load_file(real, "energy.sites")
    warehouse.build("--select", "+marts.energy")
    assert keys(warehouse, "sites", "id") == {"1", "900"}
    (kept,) = warehouse.query("select updated_by from curated.sites where id = 1")
    again = tmp_path / "again.csv"
    again.write_text(f"{header}\n{first}\n")
    load_id = warehouse.load_file(again, "energy.sites")
    warehouse.build("--select", "+marts.energy")
    (own,) = warehouse.query("select updated_by from curated.sites where id = 1")
    assert kept["updated_by"].startswith("load 1 row")
    assert own["updated_by"] == f"load {load_id} row 2"


def test_a_load_that_comes_while_a_build_runs_waits_for_the_next(warehouse: Warehouse) -> None:
    """It is not judged beside samples that go: else its rows would be theirs, and go with them."""
    sample = warehouse.load(row("a", 0), row("b", 1), is_sample=True)
    warehouse.build()
    own = warehouse.load(row("a", 0), name="own.csv")
    # It comes with the first table or view that the build makes, when samples were taken back.
    warehouse.connection.execute(f"""
        update raw.loads set state = 'unloaded' where load_id = {own};
        create function public.come() returns event_trigger language plpgsql as $$ begin
            update raw.loads set state = 'loaded' where load_id = {own};
        end $$;
        create event trigger come on ddl_command_end execute function public.come();
    """)
    warehouse.build()
    warehouse.connection.execute("drop event trigger come")
    assert state(warehouse, own) == "loaded"
    assert warehouse.query("select from journal.accounts where load_id = %s", own) == []
    assert state(warehouse, sample) == "loaded"
    warehouse.build()
    assert counts(warehouse, own) == {"new": 1}
    assert set(features(warehouse)) == {"a"}
    assert rebuild_changes_nothing(warehouse)
