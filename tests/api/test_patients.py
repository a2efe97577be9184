"""Patients, encounters and conditions by the API: written, found, paged, and kept to themselves."""

import csv
import io
import json
import logging
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pyarrow import parquet
from pydantic import SecretStr

from api.app import create_app
from api.tokens import Tokens
from api.users import add_user_statement
from assay.settings import Settings
from tests.api.conftest import PASSWORD, SECRET, Datasets, Served
from tests.api.test_personal_data import client
from tests.conftest import ROOT
from tests.warehouse import DATABASE, Warehouse

pytestmark = pytest.mark.anyio

PATIENTS, ENCOUNTERS, CONDITIONS = (
    f"/api/v1/{path}" for path in ("patients", "encounters", "conditions")
)
SAMPLES = ROOT / "data" / "patients"
MODELS = ("--select", "fqn:*.synthea.*", "--select", "fqn:*.patients.*")
OTHER_KEY = "00000000-0000-4000-8000-000000000002"
KEY = "00000000-0000-4000-8000-000000000001"
ABSENT = "00000000-0000-4000-8000-00000000dead"
PERSONAL = {"ssn": "999-88-7777", "drivers": "S99955555", "passport": "X55555555X"}
PUBLIC: dict[str, Any] = {
    "id": KEY,
    "birthdate": "1972-03-09",
    "first": "Alma",
    "middle": "Rose",
    "last": "Quillfeather",
    "race": "white",
    "ethnicity": "nonhispanic",
    "gender": "F",
    "birthplace": "Fernham  Connecticut  US",
    "address": "12 Snowdrop Street",
    "city": "Fernham",
    "state": "Connecticut",
    "zip": "06001",
    "healthcare_expenses": 12345.67,
    "healthcare_coverage": 0,
    "income": 56789,
}
PATIENT = {**PUBLIC, **PERSONAL}
ENCOUNTER: dict[str, Any] = {
    "id": KEY,
    "start": "2019-11-30T09:15:00Z",
    "patient": KEY,
    "organization": ABSENT,
    "provider": ABSENT,
    "payer": ABSENT,
    "encounterclass": "wellness",
    "code": "162673000",
    "description": "General examination of patient (procedure)",
    "base_encounter_cost": 136.8,
    "total_claim_cost": 704.2,
    "payer_coverage": 0,
}
CONDITION: dict[str, Any] = {
    "start": "2019-11-30",
    "patient": KEY,
    "encounter": KEY,
    "code": "59621000",
    "description": "Essential hypertension (disorder)",
}


@dataclass
class Clinic:
    """The sample of 100 patients, built and served, and one patient more with all that goes on."""

    warehouse: Warehouse
    app: FastAPI
    doctor: httpx.AsyncClient
    """Sees and writes all."""
    clerk: httpx.AsyncClient
    """Writes all, but sees no personal columns."""


@pytest.fixture(scope="module")
async def clinic(
    anyio_backend: str,  # noqa: ARG001 - as long as this
    datasets: Datasets,
    create_database: Callable[..., str],
    tokens: Tokens,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Clinic]:
    """The tests leave it as they find it."""
    url, folder = create_database(datasets.template, DATABASE), tmp_path_factory.mktemp("files")
    warehouse = Warehouse(url, datasets.catalog, folder, datasets.dbt, create_database, MODELS)
    for entity in ("patients", "encounters", "conditions"):
        warehouse.load_file(SAMPLES / f"{entity}.csv", f"synthea.{entity}")
    warehouse.build()
    write = ("patients:write", "encounters:write", "conditions:write")
    warehouse.connection.execute("delete from auth.users")
    for name in ("doctor", "clerk"):
        warehouse.connection.execute(*add_user_statement(name, PASSWORD, "editor"))
    settings = Settings(
        project=datasets.folder, database_url=SecretStr(url), assay_secret=SecretStr(SECRET)
    )
    app = create_app(settings, datasets.catalog)
    served = Served(warehouse, app, *(httpx.AsyncClient() for _ in range(2)))
    async with (
        app.router.lifespan_context(app),
        client(served, app, tokens, "doctor", *write, "patients:pii") as doctor,
        client(served, app, tokens, "clerk", *write) as clerk,
    ):
        for path, row in ((PATIENTS, PATIENT), (ENCOUNTERS, ENCOUNTER), (CONDITIONS, CONDITION)):
            made = await doctor.post(path, json=row)
            assert made.status_code == 201, made.text
        with warehouse.connection:
            yield Clinic(warehouse, app, doctor, clerk)


async def test_a_patient_is_made_read_changed_and_deleted(clinic: Clinic) -> None:
    doctor = clinic.doctor
    made = await doctor.post(PATIENTS, json=PATIENT | {"id": OTHER_KEY})
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"{PATIENTS}/{OTHER_KEY}"
    assert (made.json()["zip"], made.json()["suffix"]) == ("06001", None)
    changed = await doctor.patch(f"{PATIENTS}/{OTHER_KEY}", json={"deathdate": "2020-01-01"})
    assert changed.json()["deathdate"] == "2020-01-01"
    replaced = await doctor.put(
        f"{PATIENTS}/{OTHER_KEY}", json=PATIENT | {"id": OTHER_KEY, "city": "Reedbury"}
    )
    assert (replaced.json()["city"], replaced.json()["deathdate"]) == ("Reedbury", None)
    read = (await doctor.get(f"{PATIENTS}/{OTHER_KEY}")).json()
    assert read | {"warnings": []} == replaced.json()
    assert (await doctor.delete(f"{PATIENTS}/{OTHER_KEY}")).status_code == 204
    assert (await doctor.get(f"{PATIENTS}/{OTHER_KEY}")).status_code == 404


@pytest.mark.parametrize(
    ("path", "rule", "status", "change"),
    [
        (PATIENTS, "death_not_before_birth", 422, {"deathdate": "1972-03-08"}),
        (PATIENTS, "no_blank_text", 422, {"middle": ""}),
        (PATIENTS, "ssn_required", 422, {"ssn": None}),
        (PATIENTS, "gender_known", 422, {"gender": "?"}),
        (ENCOUNTERS, "stop_not_before_start", 422, {"stop": "2019-11-30T09:14:00Z"}),
        (ENCOUNTERS, "patient_exists", 409, {"patient": ABSENT}),
        (CONDITIONS, "encounter_exists", 409, {"encounter": ABSENT}),
        (CONDITIONS, "stop_not_before_start", 422, {"stop": "2019-11-29"}),
    ],
)
async def test_what_breaks_a_rule_is_refused(
    clinic: Clinic, path: str, rule: str, status: int, change: dict[str, Any]
) -> None:
    (key,) = [
        row["id"]
        for row in (
            await clinic.doctor.get(path, params={"sort": "-updated_at", "limit": 1})
        ).json()["items"]
    ]
    refused = await clinic.doctor.patch(f"{path}/{key}", json=change)
    assert refused.status_code == status, refused.text
    assert [error["rule"] for error in refused.json()["errors"]] == [rule]
    assert not any(value in refused.text for value in PERSONAL.values())


async def test_nobody_goes_while_others_refer_to_him(clinic: Clinic) -> None:
    for path in (PATIENTS, ENCOUNTERS):
        refused = await clinic.doctor.delete(f"{path}/{KEY}")
        assert refused.status_code == 409, refused.text
        assert "are left of the one" in refused.json()["detail"]


async def test_a_condition_is_diagnosed_once(clinic: Clinic) -> None:
    """Its key is computed, and whatever it is by then, no other row says the same."""
    again = await clinic.doctor.post(CONDITIONS, json=CONDITION)
    assert again.status_code == 409, again.text
    other = await clinic.doctor.post(CONDITIONS, json=CONDITION | {"code": "1"})
    same = await clinic.doctor.patch(other.headers["location"], json={"code": CONDITION["code"]})
    assert [error["rule"] for error in same.json()["errors"]] == ["once_in_an_encounter"]


@pytest.mark.parametrize("path", [PATIENTS, ENCOUNTERS, CONDITIONS])
async def test_pages_lead_through_all_rows_once(clinic: Clinic, path: str) -> None:
    keys: list[str] = []
    asked: dict[str, Any] = {"limit": 90, "sort": "-birthdate" if path == PATIENTS else "start"}
    while asked.get("cursor", "") is not None:
        page = (await clinic.clerk.get(path, params=asked)).json()
        assert len(page["items"]) <= 90
        keys += [item["id"] for item in page["items"]]
        asked["cursor"] = page["next"]
    table = path.rpartition("/")[2]
    rows = clinic.warehouse.query(f"select id::text from curated.{table}")
    assert sorted(keys) == sorted(row["id"] for row in rows)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (PATIENTS, "quillfeather"),
        (PATIENTS, "alma rose"),
        (PATIENTS, "snowdrop fernham 06001"),
        (ENCOUNTERS, "general examination"),
        (CONDITIONS, "hypertension"),
    ],
)
async def test_words_find_rows(clinic: Clinic, path: str, words: str) -> None:
    """Also for those who see no personal columns: no such column is searched."""
    asked: dict[str, Any] = {"q": words, "sort": "-updated_at", "limit": 1}
    found = await clinic.clerk.get(path, params=asked)
    assert found.status_code == 200, found.text
    (row,) = found.json()["items"]
    assert KEY in (row["id"], row.get("patient"))
    assert (await clinic.clerk.get(path, params={"q": "nobodysname"})).json()["items"] == []


async def test_searches_use_their_index(clinic: Clinic) -> None:
    assert (await clinic.clerk.get(PATIENTS, params={"q": "quillfeather"})).status_code == 200
    indexes = clinic.warehouse.query(
        "select tablename from pg_indexes where indexname like '%%\\_\\_search'"
    )
    assert {index["tablename"] for index in indexes} >= {"patients", "encounters", "conditions"}


def text_of(response: httpx.Response) -> str:
    """All that an answer says, of a workbook or a Parquet file too."""
    content = response.content
    if content[:4] == b"PAR1":
        return json.dumps(parquet.read_table(io.BytesIO(content)).to_pylist(), default=str)
    if content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            return "".join(file.read(name).decode() for name in file.namelist())
    return response.text


@pytest.mark.parametrize(
    "url",
    [
        f"{PATIENTS}/{KEY}",
        f"{PATIENTS}/{KEY}?as_of=2999-01-01T00:00:00Z",
        f"{PATIENTS}/{KEY}/history",
        f"{PATIENTS}/changes?limit=200",
        *(f"{PATIENTS}?last=Quillfeather{more}" for more in ("", "&q=alma")),
        *(
            f"{PATIENTS}?last=Quillfeather&format={name}"
            for name in ("csv", "ndjson", "xlsx", "parquet")
        ),
        f"{ENCOUNTERS}?patient={KEY}",
        f"{CONDITIONS}?patient={KEY}",
    ],
)
async def test_b23_numbers_of_people_show_with_their_scope_only(clinic: Clinic, url: str) -> None:
    """In lists, single reads, exports, searches and history."""
    seen, hidden = await clinic.doctor.get(url), await clinic.clerk.get(url)
    assert (seen.status_code, hidden.status_code) == (200, 200), seen.text + hidden.text
    shows = url.startswith(PATIENTS)
    assert all((value in text_of(seen)) == shows for value in PERSONAL.values())
    text = text_of(hidden)
    assert KEY in text
    for name, value in PERSONAL.items():
        assert value not in text
        assert f'"{name}"' not in text


@pytest.mark.parametrize(
    "query", ["ssn=999-88-7777", "drivers__isnull=true", "sort=passport", "fields=id,ssn"]
)
async def test_b23_nothing_is_learned_by_asking(clinic: Clinic, query: str) -> None:
    refused = await clinic.clerk.get(f"{PATIENTS}?{query}")
    assert refused.status_code == 403
    assert "this takes the scope patients:pii" in refused.json()["detail"]
    assert (await clinic.doctor.get(f"{PATIENTS}?{query}")).status_code == 200


async def test_a_file_goes_out_and_comes_in_as_synthea_writes_it(clinic: Clinic) -> None:
    """In the columns of the source, what they hold as it was; it takes the right to see them."""
    for entity in ("patients", "encounters", "conditions"):
        sample = (SAMPLES / f"{entity}.csv").read_text()
        sent = await clinic.doctor.get(f"/api/v1/{entity}?format=csv&form=template")
        assert sent.status_code == 200, sent.text
        rows = csv.DictReader(io.StringIO(sent.text, newline=""))
        kept = {tuple(row.values()) for row in rows}
        assert ",".join(rows.fieldnames or ()) == sample.splitlines()[0]
        came = {tuple(row.values()) for row in csv.DictReader(io.StringIO(sample))}
        assert came <= kept
    refused = await clinic.clerk.get(f"{PATIENTS}?format=csv&form=template")
    assert refused.status_code == 403


async def test_b23_who_does_not_see_them_writes_the_others(clinic: Clinic) -> None:
    changed = await clinic.clerk.patch(f"{PATIENTS}/{KEY}", json={"city": "Reedbury"})
    assert changed.status_code == 200, changed.text
    assert not any(value in changed.text for value in PERSONAL.values())
    refused = await clinic.clerk.patch(f"{PATIENTS}/{KEY}", json={"ssn": "999-11-1111"})
    assert refused.status_code == 403
    kept = (await clinic.doctor.get(f"{PATIENTS}/{KEY}")).json()
    assert (kept["ssn"], kept["city"]) == (PERSONAL["ssn"], "Reedbury")


async def test_b23_rejected_rows_show_with_their_scope_only(
    clinic: Clinic, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does anything that is logged meanwhile say them."""
    caplog.set_level(logging.DEBUG)
    warehouse = clinic.warehouse
    header = (SAMPLES / "patients.csv").read_text().splitlines()[0]
    row = [str(PATIENT.get(name.lower()) or "") for name in header.split(",")]
    row[header.split(",").index("GENDER")] = ""
    path = warehouse.folder / "bad.csv"
    path.write_text(f"{header}\n{','.join(row)}\n")
    load_id = warehouse.load_file(path, "synthea.patients")
    warehouse.excluded = MODELS
    warehouse.build()
    for name in ("rejected", "rejected.xlsx"):
        url = f"/api/v1/loads/{load_id}/{name}"
        seen, refused = await clinic.doctor.get(url), await clinic.clerk.get(url)
        assert (seen.status_code, refused.status_code) == (200, 403)
        assert PERSONAL["ssn"] in text_of(seen)
        assert PERSONAL["ssn"] not in text_of(refused)
    report = (await clinic.clerk.get(f"/api/v1/loads/{load_id}")).json()
    assert [entity["rejected"] for entity in report["entities"]] == [1]
    for document in (PATIENT, PATIENT, PATIENT | {"gender": "?"}):
        await clinic.doctor.post(PATIENTS, json=document)
    await clinic.clerk.put(PATIENTS, files={"file": ("patients.csv", path.read_bytes())})
    said = caplog.text + json.dumps(warehouse.query("select * from auth.audit_events"), default=str)
    assert said
    assert not any(value in said for value in PERSONAL.values())
