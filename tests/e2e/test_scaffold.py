"""Datasets that are drafted from files build and serve without a change."""

import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import xlsxwriter

from assay.catalog import Catalog
from assay.database import database_url
from assay.scaffold import scaffold
from assay.settings import read_settings
from tests.conftest import ROOT
from tests.dbt import test_contract as conventions
from tests.e2e.conftest import Project, copy_project

# The headers are those of Synthea (its wiki, "CSV File Data Dictionary"); the rows are invented.
PATIENTS = (
    "Id,BIRTHDATE,DEATHDATE,SSN,DRIVERS,PASSPORT,PREFIX,FIRST,MIDDLE,LAST,SUFFIX,MAIDEN,MARITAL,"
    "RACE,ETHNICITY,GENDER,BIRTHPLACE,ADDRESS,CITY,STATE,COUNTY,FIPS,ZIP,LAT,LON,"
    "HEALTHCARE_EXPENSES,HEALTHCARE_COVERAGE,INCOME\n"
)
ENCOUNTERS = (
    "Id,START,STOP,PATIENT,ORGANIZATION,PROVIDER,PAYER,ENCOUNTERCLASS,CODE,DESCRIPTION,"
    "BASE_ENCOUNTER_COST,TOTAL_CLAIM_COST,PAYER_COVERAGE,REASONCODE,REASONDESCRIPTION\n"
)
CONDITIONS = "START,STOP,PATIENT,ENCOUNTER,SYSTEM,CODE,DESCRIPTION\n"
PRODUCTS = """\
name,price,quantity,last_updated,barcode
Lamp,12.50,3,2024-05-01T10:00:00Z,0012345678905
"Chair, oak",89.00,0,2024-05-02T11:30:00+02:00,4006381333931
Desk,230,12,2024-05-03 08:15:00,0036000291452
"""
# Semicolons, decimal commas, words of SQL and of the platform, headers that begin with a digit or
# differ in signs alone, an empty column, a quote, a row of which there are two, a malformed row.
SALES = """\
Order;Betrag (EUR);2020;A-B;A B;Größe;load_id;source;Datum;leer;updated_at;Kunde's "Name";{key};user
1;1.234,50;x;1;2;L;7;web;2024-01-01 10:00;;now;O'Hara;k;u
1;2,00;;-1;2;M;7;web;2024-01-02 10:00;;;"a;b";k;u
1;2,00;;-1;2;M;7;web;2024-01-02 10:00;;;"a;b";k;u
1;2,00
"""
WORDS = ("", "Wort", "ja", "nein", "ja")
"""The rows of a workbook with one column."""
# More columns than a function of PostgreSQL takes arguments, among them the names that the engine
# has for tables and columns of its own.
WIDE = [
    *(
        "staged",
        "curated",
        "model",
        "ledger",
        "kept",
        "holder",
        "hash",
        "document",
        "judged",
        "load",
    ),
    *("journal", "entity", "clock", "operation", "t", "target", "item", "given", "verdicts", "key"),
    *("version", "value", "name", "type", "text", "date", "state", "role", "repair", "is_new"),
    *(f"c{i}" for i in range(80)),
]


def synthea() -> dict[str, str]:
    """Files of 60 patients."""
    draw = random.Random(1)

    def new() -> str:
        return str(UUID(int=draw.getrandbits(128), version=4))

    people = [new() for _ in range(60)]
    visits = [(new(), draw.choice(people)) for _ in range(120)]
    races = ("white", "it's 5%")
    clinics = [new() for _ in range(3)]
    patients = "".join(
        f"{key},19{i % 90 + 10}-03-0{i % 9 + 1},{'2020-01-01' if i % 9 == 0 else ''},"
        f"999-{i:02}-{1000 + i},S9{i:07},X{i:08}X,Mr.,Ann{i},,O'Neil{i % 7},,,{'MS'[i % 2]},"
        f"{races[i % 2]},nonhispanic,{'MF'[i % 2]},Boston  Massachusetts  US,{i} Main St,Boston,"
        f"Massachusetts,Suffolk County,25025,0{2100 + i},{42 + i / 1000},{-71 - i / 1000},"
        f"{i * 10.5:.2f},0.00,{i * 1000}\n"
        for i, key in enumerate(people)
    )
    encounters = "".join(
        f"{key},20{i % 20:02}-05-06T07:{i % 60:02}:09Z,20{i % 20:02}-05-06T08:{i % 60:02}:09Z,"
        f"{person},{clinics[i % 3]},{clinics[i % 2]},{clinics[0]},"
        f"{('ambulatory', 'wellness')[i % 2]},{(162673000, 185347001)[i % 2]},"
        f"General examination (procedure),136.80,{i * 1.25:.2f},{0:.2f},"
        f"{'' if i % 3 else '233604007'},{'' if i % 3 else 'Pneumonia'}\n"
        for i, (key, person) in enumerate(visits)
    )
    conditions = "".join(
        f"2010-05-0{i % 9 + 1},{'2011-01-01' if i % 2 else ''},{visit[1]},{visit[0]},"
        f"http://snomed.info/sct,{code},{text}\n"
        for i, visit in enumerate(visits[:50])
        for code, text in ((10509002, "Acute bronchitis (disorder)"), (444814009, "Sinusitis"))
    )
    return {
        "patients": PATIENTS + patients,
        "encounters": ENCOUNTERS + encounters,
        "conditions": CONDITIONS + conditions,
    }


FILES = {**synthea(), "products": PRODUCTS, "sales": SALES}
BLANKS = "," * (len(WIDE) - 1)
FILES["wide"] = f"{','.join(WIDE)}\na{BLANKS}\nb{BLANKS}\n"
OURS = {
    "staging": ("shop", "synthea"),
    "marts": ("products", "patients"),
    "rejected": ("products", "patients"),
}
"""Datasets of the project that know such files already."""
SYNTHEA = ("patients", "encounters", "conditions")
SERVED = {
    "patients": 60,
    "encounters": 120,
    "conditions": 100,
    "products": 3,
    "sales": 2,
    "words": 2,
    "wide": 2,
}
"""Rows of each; those that are equal are one."""


@pytest.fixture(scope="module")
def drafted(tmp_path_factory: pytest.TempPathFactory, catalog: Catalog) -> Iterator[Project]:
    """A project with a dataset for each file, built by one command."""
    project = copy_project(tmp_path_factory.mktemp("drafted"))
    ours = tuple(f"{source}." for source in OURS["staging"])
    known = {n: table for n, table in catalog.source_tables.items() if not n.startswith(ours)}
    catalog = Catalog({n: e for n, e in catalog.entities.items() if n not in FILES}, known)
    for kind, datasets in OURS.items():
        for dataset in datasets:
            shutil.rmtree(project.folder / "dbt_project" / "models" / kind / dataset)
    for name, text in FILES.items():
        (project.folder / f"{name}.csv").write_text(text)
    with xlsxwriter.Workbook(project.folder / "words.xlsx") as workbook:
        workbook.add_worksheet().write_column(0, 0, WORDS)
    files = [*(f"{name}.csv" for name in FILES), "words.xlsx"]
    for file in files:
        source = "synthea" if file.split(".")[0] in SYNTHEA else None
        scaffold(project.folder, catalog, project.folder / file, source=source)
    done = project.assay("up", "--no-serve", *files)
    assert done.returncode == 0, done.stdout + done.stderr
    yield project
    project.assay("db", "stop")


def test_drafts_are_served(drafted: Project) -> None:
    """The list of each has the rows of its file, as they are meant."""
    with drafted.serve() as client:
        for name, rows in SERVED.items():
            page = client.get(f"/api/v1/{name}?count=exact").json()
            assert (name, page["count"]) == (name, rows)
        accounts = [
            account
            for load in client.get("/api/v1/loads").json()["items"]
            for account in client.get(f"/api/v1/loads/{load['load_id']}").json()["entities"]
        ]
        rejected = {account["entity"]: account["rejected"] for account in accounts}
        assert rejected == dict.fromkeys(SERVED, 0) | {"sales": 1}
        assert client.get("/openapi.json").status_code == 200

        patient = client.get("/api/v1/patients?limit=1").json()["items"][0]
        assert re.fullmatch("0[0-9]{4}", patient["zip"])
        lamp = client.get("/api/v1/products/0012345678905").json()
        assert (lamp["name"], lamp["price"]) == ("Lamp", 12.5)
        desk = client.get("/api/v1/products/0036000291452").json()
        assert desk["last_updated"].startswith("2024-05-03T08:15:00")
        sale = client.get("/api/v1/sales?betrag_eur=1.234,50").json()["items"][0]
        assert (sale["order_value"], sale["kunde_s_name"]) == (1, "O'Hara")


def test_contracts_are_in_force(drafted: Project) -> None:
    """The API refuses what breaks a drafted rule, and computes a drafted key."""
    with drafted.serve() as client:
        refused = client.patch("/api/v1/products/0036000291452", json={"price": -1})
        assert refused.json()["errors"][0]["rule"] == "price_range"
        refused = client.patch("/api/v1/products/0036000291452", json={"name": "x" * 51})
        assert refused.json()["errors"][0]["rule"] == "name_length"
        patient = client.get("/api/v1/patients?limit=1").json()["items"][0]
        kept = client.patch(f"/api/v1/patients/{patient['id']}", json={"race": "it's 5%"})
        assert kept.status_code == 200
        refused = client.patch(f"/api/v1/patients/{patient['id']}", json={"gender": "Q"})
        assert refused.json()["errors"][0]["rule"] == "gender_known"

        condition = client.get("/api/v1/conditions?limit=1").json()["items"][0]
        own = ("condition_id", "repairs", "updated_at", "updated_by")
        body = {name: value for name, value in condition.items() if name not in own}
        same = client.post("/api/v1/conditions", json=body)
        assert (same.status_code, same.json()["errors"][0]["rule"]) == (409, "condition_id_unique")
        made = client.post("/api/v1/conditions", json=body | {"code": 1})
        assert made.status_code == 201


def test_types(drafted: Project) -> None:
    """What is guessed of the files of Synthea."""
    types = {name: types_of(drafted, name) for name in SYNTHEA}
    patients = types["patients"]
    assert patients["id"] == "uuid"
    assert (patients["birthdate"], patients["zip"], patients["ssn"]) == ("date", "text", "text")
    assert (patients["lat"], patients["income"], patients["suffix"]) == (
        *("numeric", "integer", "text"),
    )
    assert (types["encounters"]["start"], types["encounters"]["stop"]) == ("timestamptz",) * 2
    assert types["encounters"]["reasoncode"] == "integer"
    assert next(iter(types["conditions"])) == "condition_id"


def types_of(project: Project, name: str) -> dict[str, str]:
    manifest = manifest_of(project)
    return {
        column["name"]: column["data_type"]
        for column in manifest["nodes"][f"model.assay.{name}"]["columns"].values()
    }


def manifest_of(project: Project) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((project.folder / "target/manifest.json").read_text())
    return content


def test_drafts_keep_the_conventions(drafted: Project) -> None:
    """Those of the project's own models, and the style of its SQL."""
    manifest = manifest_of(drafted)
    assert set(SERVED) <= {node["name"] for node in manifest["nodes"].values()}
    conventions.test_public_models_keep_the_conventions(manifest)
    conventions.test_each_rule_has_its_line(manifest)
    conventions.test_each_constraint_has_a_message(manifest)
    for name in (".sqlfluff", ".sqlfluffignore"):
        (drafted.folder / name).write_text((ROOT / name).read_text())
    linted = run(drafted.folder, "sqlfluff", "lint", "--disable-progress-bar", "dbt_project")
    assert linted.returncode == 0, linted.stdout


def test_unit_tests_and_rebuilds(drafted: Project) -> None:
    """`dbt build` passes with the unit tests, and a full refresh writes no row anew."""
    before = {name: writers(drafted, name) for name in SERVED}
    built = run(drafted.folder, "dbt", "build", "--full-refresh")
    assert built.returncode == 0, built.stdout
    for name in SERVED:
        assert re.search(rf"PASS stg_\w+__{name}::stg_\w+__{name}__row_of_the_file", built.stdout)
        assert writers(drafted, name) == before[name]


def writers(project: Project, name: str) -> list[tuple[str, ...]]:
    """The rows of a table, with the transactions that wrote them."""
    url = database_url(read_settings(project.folder))
    with psycopg.connect(url) as connection:
        return connection.execute(f"select t::text from curated.{name} as t order by 1").fetchall()


def test_refused_with_a_sentence(drafted: Project) -> None:
    """What cannot be drafted ends with the file, the reason, and a code of its own."""
    (drafted.folder / "nothing.csv").write_text("a,b\n")
    done = drafted.assay("scaffold", "nothing.csv")
    assert (done.returncode, done.stdout) == (3, "")
    assert "nothing.csv: there is no row of data; types and rules are guessed from" in done.stderr
    done = drafted.assay("scaffold", "products.csv")
    assert (done.returncode, done.stdout) == (3, "")
    assert "exists already; pass `--name NAME` with another, or `--force`" in done.stderr
    done = drafted.assay("scaffold", "products.csv", "--name", "goods")
    assert "it has the headers of products.products; load it: `assay load" in done.stderr


def run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name(program)), *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
