"""Rows that refer to others, from files: judged, kept while they are referred to, built anew."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assay.catalog import read_catalog
from assay.database import upgrade
from tests.conftest import copy_files
from tests.warehouse import DATABASE, Warehouse, dbt_of

SITES = "id,name,country,installation_date,max_power_megawatt,min_power_megawatt"
FILES = {
    "marts/visits/_visits__models.yml": """
version: 2
models:
  - name: visits
    description: One row per visit of an inspector.
    config:
      meta:
        rules:
          - {name: site_exists, reference: site_id, message: There is no such site.}
    constraints:
      - {type: primary_key, columns: [visit]}
      - {type: foreign_key, columns: [site_id], to: ref('sites'), to_columns: [id]}
    columns:
      - {name: visit, data_type: text}
      - {name: site_id, data_type: integer}
      - {name: updated_at, data_type: timestamptz}
      - {name: updated_by, data_type: text}
""",
    "marts/visits/visits.sql": "select * from {{ ref('stg_inspectors__visits') }}\n",
    "staging/inspectors/_inspectors__sources.yml": """
version: 2
sources:
  - name: inspectors
    schema: raw
    tables:
      - name: visits
        identifier: inspectors__visits
        config: {meta: {load: {formats: [csv]}}}
        columns:
          - {name: visit, config: {meta: {mandatory: true}}}
          - {name: site}
""",
    "staging/inspectors/stg_inspectors__visits.sql": """
select
    {{ provenance() }},
    {{ clean_text('visit') }} as visit,
    {{ to_integer('site') }} as site_id,
    '{}'::text[] as _problems
from {{ source('inspectors', 'visits') }}
""",
}
CONTRACT = "dbt_project/models/marts/visits/_visits__models.yml"
STRICTER = """
          - name: one_visit_of_a_site
            columns: [site_id]
            broken_by: >-
              select visits.*
              from visits
              inner join visits as others using (site_id)
              where others.visit <> visits.visit
            message: A site is visited once.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy_files(tmp_path)
    for name, text in FILES.items():
        path = tmp_path / "dbt_project" / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def visited(folder: Path, create_database: Callable[..., str]) -> Iterator[Warehouse]:
    """Two sites and two visits of the first one."""
    with dbt_of(folder, folder / "target") as dbt:
        url = create_database(name=DATABASE)
        assert dbt(url, "parse").success
        catalog = read_catalog(folder / "target" / "manifest.json")
        upgrade(url, catalog)
        warehouse = Warehouse(url, catalog, folder, dbt, create_database, ())
        with warehouse.connection:
            load(
                warehouse,
                "energy.sites",
                SITES,
                "1,A,france,2021-01-01,2,1",
                "2,B,italy,2021-01-02,2,1",
            )
            load(warehouse, "inspectors.visits", "visit,site", "a,1", "b,1")
            warehouse.build("--select", "+sites +visits")
            yield warehouse


def load(warehouse: Warehouse, source: str, *lines: str) -> int:
    path = warehouse.folder / f"{source}-{len(lines)}.csv"
    path.write_text("\n".join(lines) + "\n")
    return warehouse.load_file(path, source)


def values(warehouse: Warehouse, query: str) -> list[object]:
    return [next(iter(row.values())) for row in warehouse.query(query)]


def test_a_row_that_refers_to_nothing_is_rejected(visited: Warehouse) -> None:
    """One that refers to no row at all is not."""
    load_id = load(
        visited,
        *("inspectors.visits", "visit,site", "c,99", "d,2", "e,", "f,3"),
    )
    visited.build("--select", "+visits")
    verdicts = visited.query("select * from journal.verdicts where load_id = %s", load_id)
    assert {row["row_number"]: row["rules"] for row in verdicts} == {
        2: ["site_exists"],
        5: ["site_exists"],
    }
    kept = values(visited, "select visit from curated.visits order by visit")
    assert kept == ["a", "b", "d", "e"]
    before = visited.query("select * from curated.visits order by visit")
    visited.build("--select", "visits", "--full-refresh")
    assert visited.query("select * from curated.visits order by visit") == before


def test_what_others_refer_to_outlives_its_load(visited: Warehouse) -> None:
    assert visited.operate("unload", load_id=1, user="clerk")
    assert values(visited, "select id from curated.sites") == [1]
    (report,) = visited.query("select * from journal.unloads")
    assert (report["deleted"], report["restored"]) == (1, 0)
    visited.build("--select", "sites", "--full-refresh")
    assert values(visited, "select id from curated.sites") == [1]


def test_a_new_rule_over_several_rows_names_what_breaks_it(
    visited: Warehouse, folder: Path
) -> None:
    """The table stays as it was; when the rows are mended the rule holds."""
    path = folder / CONTRACT
    path.write_text(path.read_text().replace("    constraints:\n", f"{STRICTER}    constraints:\n"))
    with dbt_of(folder, folder / "target") as dbt:
        assert dbt(visited.url, "parse").success
        visited.invoke = dbt
        said = visited.failure_of_build("--select", "visits")
        assert "one_visit_of_a_site" in said
        assert '"visit": "a"' in said
        assert '"visit": "b"' in said
        insert = "insert into curated.visits values ('c', 1, now(), 'test')"
        visited.connection.execute(insert.encode())
        visited.connection.execute("delete from curated.visits where visit <> 'a'")
        visited.build("--select", "visits")
        with pytest.raises(Exception, match="one_visit_of_a_site"):
            visited.connection.execute(insert.encode())
        # and no longer when it is gone from the contract
        path.write_text(path.read_text().replace(STRICTER, ""))
    with dbt_of(folder, folder / "target") as dbt:
        assert dbt(visited.url, "parse").success
        visited.invoke = dbt
        visited.build("--select", "visits")
        visited.connection.execute(insert.encode())


def test_a_new_column_of_a_table_that_others_refer_to(visited: Warehouse, folder: Path) -> None:
    """It is filled from history, though rows go and come again meanwhile."""
    models = folder / "dbt_project" / "models"
    for name, old, new in (
        (
            "staging/energy/stg_energy__sites.sql",
            "    special={'country': 'text'}\n) %}\n",
            (
                "    special={'country': 'text', 'label': none}\n) %}\n"
                "    upper(name__text) as label,\n"
            ),
        ),
        (
            "marts/energy/_energy__models.yml",
            "      - name: country\n",
            """\
      - {name: label, data_type: text, constraints: [{type: not_null}]}
      - name: country
""",
        ),
    ):
        path = models / name
        assert path.read_text().count(old) == 1
        path.write_text(path.read_text().replace(old, new))
    with dbt_of(folder, folder / "target") as dbt:
        assert dbt(visited.url, "parse").success
        visited.invoke = dbt
        visited.build("--select", "+sites")
    assert values(visited, "select label from curated.sites order by id") == ["A", "B"]
    assert values(visited, "select count(*) from curated.visits") == [2]


def test_a_rule_whose_query_names_another_row(visited: Warehouse, folder: Path) -> None:
    """It stops no load for ever: what is left of the load is rejected under its name."""
    path = folder / CONTRACT
    other = STRICTER.replace("others.visit <> visits.visit", "others.visit < visits.visit")
    path.write_text(path.read_text().replace("    constraints:\n", f"{other}    constraints:\n"))
    visited.connection.execute("delete from curated.visits where visit = 'a'")
    with dbt_of(folder, folder / "target") as dbt:
        assert dbt(visited.url, "parse").success
        visited.invoke = dbt
        visited.build("--select", "visits")
        load_id = load(visited, "inspectors.visits", "visit,site", "aa,1", "zz,2")
        visited.build("--select", "visits")
    verdicts = visited.query("select * from journal.verdicts where load_id = %s", load_id)
    assert {tuple(row["rules"]) for row in verdicts} == {("one_visit_of_a_site",)}
    assert values(visited, "select visit from curated.visits") == ["b"]
