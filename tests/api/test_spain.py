"""A country is added with its own field and rules: YAML and SQL only, on a database with sites."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from api.app import create_app
from api.tokens import Tokens
from assay.catalog import read_catalog
from assay.database import upgrade
from assay.settings import Settings
from tests.api.conftest import SECRET, Datasets, client_of
from tests.api.test_sites_and_groups import FRENCH, HEADER, ITALIAN, SITES, made, row_of, rules_of
from tests.warehouse import DATABASE, Warehouse, dbt_of

pytestmark = pytest.mark.anyio

CONTRACT = "models/marts/energy/_energy__models.yml"
STAGING = "models/staging/energy/stg_energy__sites.sql"
SOURCES = "models/staging/energy/_energy__sources.yml"
CHANGES = {
    CONTRACT: [
        ("The country is france or italy.", "The country is france, italy or spain."),
        ("country in ('france', 'italy')", "country in ('france', 'italy', 'spain')"),
        ("enum: [france, italy]", "enum: [france, italy, spain]"),
        (
            "          - name: italian_sites_on_weekends\n",
            """\
          - name: spanish_sites_not_in_august
            columns: [country, installation_date]
            message: No Spanish site is installed in August.
          - name: two_spanish_sites_a_month
            columns: [installation_date]
            broken_by: >-
              select *
              from (
                  select
                      sites.*,
                      count(*) over (partition by date_trunc('month', installation_date)) as n
                  from sites
                  where country = 'spain'
              ) as spanish
              where n > 2
            message: At most two Spanish sites are installed in a month.
          - name: italian_sites_on_weekends
""",
        ),
        (
            "      - type: check\n        name: italian_sites_on_weekends\n",
            """\
      - type: check
        name: spanish_sites_not_in_august
        expression: country <> 'spain' or extract(month from installation_date) <> 8
      - type: check
        name: italian_sites_on_weekends
""",
        ),
        (
            "      - rule: {name: italian_sites_on_weekends}\n",
            """\
      - rule: {name: spanish_sites_not_in_august}
      - rule: {name: two_spanish_sites_a_month}
      - rule: {name: italian_sites_on_weekends}
""",
        ),
        (
            "      - name: efficiency\n",
            """\
      - name: altitude_metre
        description: Height of the site above the sea, in metres.
        data_type: numeric
        config:
          meta: {title: Altitude, only: {country: [spain]}, examples: [650]}
      - name: efficiency
""",
        ),
    ],
    STAGING: [
        (
            "        'efficiency': 'numeric',\n",
            "        'efficiency': 'numeric',\n        'altitude_metre': 'numeric',\n",
        )
    ],
    SOURCES: [
        (
            "          - name: efficiency\n",
            """\
          - name: altitude_metre
            description: Height above the sea, in metres; Spanish sites only.
            config:
              meta: {header: altitude_metre, examples: ["650"]}
          - name: efficiency
""",
        )
    ],
}
LATER = {**FRENCH, "installation_date": "2021-01-21"}
SPANISH = {**FRENCH, "name": "Ebro", "country": "spain", "altitude_metre": 650}


@dataclass
class Extended:
    """The database of before, built and served by the project with another country."""

    warehouse: Warehouse
    editor: httpx.AsyncClient
    before: dict[str, list[dict[str, Any]]]


def contents(warehouse: Warehouse) -> dict[str, list[dict[str, Any]]]:
    queries = {
        "sites": "select * from curated.sites order by id",
        "sites_in_groups": "select * from curated.sites_in_groups order by site_in_group",
        "edits": "select * from journal.edits order by clock",
        "raw": "select * from raw.energy__sites order by _load_id, _row_number",
    }
    return {name: warehouse.query(query) for name, query in queries.items()}


@pytest.fixture
async def extended(
    datasets: Datasets, create_database: Callable[..., str], tokens: Tokens, tmp_path: Path
) -> AsyncIterator[Extended]:
    url = create_database(datasets.template, DATABASE)
    warehouse = Warehouse(url, datasets.catalog, tmp_path, datasets.dbt, create_database, ())
    ids = {u["username"]: u["user_id"] for u in warehouse.query("select * from auth.users")}
    settings = Settings(
        project=datasets.folder, database_url=SecretStr(url), assay_secret=SecretStr(SECRET)
    )
    path = tmp_path / "sites.csv"
    path.write_text("\n".join([",".join(HEADER), ",".join(row_of(1, FRENCH))]) + "\n")
    warehouse.load_file(path, "energy.sites")
    warehouse.build("--select", "+sites")
    app = create_app(settings, datasets.catalog)
    async with app.router.lifespan_context(app), client_of(app, tokens.issue(ids["editor"])) as old:
        group = await made(old, "/api/v1/groups", name="Alps", type="group1", site_ids=[1])
        await made(old, SITES, **ITALIAN, group_ids=[group])
    before = contents(warehouse)
    warehouse.connection.close()

    folder = tmp_path / "project"
    shutil.copytree(datasets.folder, folder, ignore=shutil.ignore_patterns("target"))
    for name, changes in CHANGES.items():
        file = folder / "dbt_project" / name
        text = file.read_text()
        for old_text, new_text in changes:
            assert text.count(old_text) == 1, old_text
            text = text.replace(old_text, new_text)
        file.write_text(text)
    with dbt_of(folder, folder / "target") as dbt:
        assert dbt(url, "parse").success
        catalog = read_catalog(folder / "target" / "manifest.json")
        upgrade(url, catalog)
        warehouse = Warehouse(url, catalog, tmp_path, dbt, create_database, ())
        warehouse.build("--select", "+sites")
        app = create_app(settings.model_copy(update={"project": folder}), catalog)
        async with (
            app.router.lifespan_context(app),
            client_of(app, tokens.issue(ids["editor"])) as editor,
        ):
            with warehouse.connection:
                yield Extended(warehouse, editor, before)


async def test_a_country_is_added(extended: Extended) -> None:
    editor, warehouse = extended.editor, extended.warehouse

    # nothing is lost
    now = contents(warehouse)
    assert [
        {k: v for k, v in row.items() if k not in ("altitude_metre", "_transaction_id")}
        for row in now["sites"]
    ] == [
        {k: v for k, v in row.items() if k != "_transaction_id"} for row in extended.before["sites"]
    ]
    assert now["sites_in_groups"] == extended.before["sites_in_groups"]
    assert now["edits"] == extended.before["edits"]

    # the document shows the field
    document = (await editor.get("/openapi.json")).json()
    schema = document["components"]["schemas"]["Sites"]["properties"]
    assert schema["altitude_metre"]["title"] == "Altitude"
    assert schema["country"]["enum"] == ["france", "italy", "spain"]

    # its rules hold, and those of the others
    for site, status, rule in (
        (
            {**FRENCH, "installation_date": "2021-01-21", "altitude_metre": 1},
            422,
            "altitude_metre_only",
        ),
        ({**SPANISH, "installation_date": "2021-08-01"}, 422, "spanish_sites_not_in_august"),
        ({**SPANISH, "efficiency": 0.9}, 422, "efficiency_only"),
        (FRENCH, 409, "one_french_site_per_date"),
    ):
        response = await editor.post(SITES, json=site)
        assert (response.status_code, rules_of(response)) == (status, [rule])

    # two a month, however many write at once
    together = await asyncio.gather(*(editor.post(SITES, json=SPANISH) for _ in range(10)))
    assert sorted(r.status_code for r in together) == [201] * 2 + [409] * 8
    refused = next(r for r in together if r.status_code == 409)
    assert rules_of(refused) == ["two_spanish_sites_a_month"]
    (first, second) = (r.json()["id"] for r in together if r.status_code == 201)
    moved = await editor.patch(f"{SITES}/{first}", json={"installation_date": "2021-02-01"})
    assert moved.status_code == 200
    bulk = [SPANISH, {**SPANISH, "name": "Duero"}]
    many = await editor.post(SITES, json=bulk)
    assert many.status_code == 409
    assert many.json()["errors"][0]["pointer"] == "#/1/installation_date"
    back = await editor.patch(f"{SITES}/{first}", json={"country": "france"})
    assert rules_of(back) == ["altitude_metre_only"]

    # a file of sites: one with the second is two; three of March are one too many together
    rows = [
        row_of(101, {**SPANISH, "name": "Tajo"}),
        *(row_of(n, {**SPANISH, "installation_date": "2022-03-01"}) for n in (201, 202, 203)),
        row_of(204, {**SPANISH, "installation_date": "2022-04-01"}),
        row_of(205, {**SPANISH, "installation_date": "2022-08-01"}),
    ]
    path = warehouse.folder / "spain.csv"
    header = [*HEADER, "altitude_metre"]
    path.write_text("\n".join([",".join(header), *(",".join([*row, "650"]) for row in rows)]))
    load_id = warehouse.load_file(path, "energy.sites")
    warehouse.build("--select", "+sites")
    verdicts = warehouse.query("select * from journal.verdicts where load_id = %s", load_id)
    assert {row["row_number"]: row["rules"] for row in verdicts} == {
        3: ["two_spanish_sites_a_month"],
        4: ["two_spanish_sites_a_month"],
        5: ["two_spanish_sites_a_month"],
        7: ["spanish_sites_not_in_august"],
    }
    full = await editor.post(SITES, json=SPANISH)
    assert rules_of(full) == ["two_spanish_sites_a_month"]
    assert {101, 204} <= {row["id"] for row in contents(warehouse)["sites"]}
    assert second
