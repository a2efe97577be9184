"""Uploads and their taking back, with a real build worker on the project's own models."""

import asyncio
import csv
import io
import json
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import psycopg
import pytest
import xlsxwriter
from fastapi import FastAPI
from psycopg.rows import dict_row
from pydantic import SecretStr

from api import builds, forms, loads, uploads
from api.app import create_app
from api.builds import Builder
from api.tokens import Tokens
from tests.api.conftest import SECRET, client_of
from tests.conftest import PATIENCE

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patience")]

PATH = "/api/v1/metabolites"
LOADS = "/api/v1/loads"
HEADER = ["Features", "Identification_level", "ID_InChI", "CAS_number", "Method", "Sample Data"]
CAS = ("56-86-0", "7732-18-5", "64-17-5", "67-56-1", "67-64-1", "71-43-2", "108-88-3", "110-54-3")
BUILD = "build metabolites"
LOAD = "laboratory.metabolites"

Query = Callable[..., list[dict[str, Any]]]


def csv_of(*features: str, cas: tuple[str, ...] = CAS, value: str = "1") -> bytes:
    text = io.StringIO(newline="")
    rows = [[f, "2", "", c, "GC", value] for f, c in zip(features, cas, strict=False)]
    csv.writer(text).writerows([HEADER, *rows])
    return text.getvalue().encode()


def form(content: bytes, name: str = "file.csv") -> dict[str, Any]:
    return {"files": {"file": (name, content)}}


@pytest.fixture
def query(project_url: str) -> Iterator[Query]:
    """Runs a statement beside the API; every test begins and ends with nothing loaded."""
    with psycopg.connect(project_url, autocommit=True, row_factory=dict_row) as connection:

        def run(statement: str, *values: Any) -> list[dict[str, Any]]:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

        yield run
        run(
            "set session_replication_role = replica; delete from raw.laboratory__metabolites;"
            "delete from journal.edits; delete from journal.verdicts; delete from journal.accounts;"
            "delete from journal.unloads; delete from journal.ledger_metabolites;"
            "delete from raw.loads; delete from curated.metabolites"
        )


@pytest.fixture
def token(query: Query, tokens: Tokens) -> Callable[[str], str]:
    def of(role: str) -> str:
        (row,) = query("select user_id from auth.users where username = %s", role)
        return tokens.issue(row["user_id"])

    return of


@pytest.fixture
def client(project_app: FastAPI, token: Callable[[str], str]) -> httpx.AsyncClient:
    client = client_of(project_app, token("editor"))
    client.timeout = httpx.Timeout(60)
    return client


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def hold(project_url: str) -> Iterator[Callable[[str], psycopg.Connection[Any]]]:
    """Takes the turn of a build or a load, until the connection is closed."""
    held: list[psycopg.Connection[Any]] = []

    def take(work: str) -> psycopg.Connection[Any]:
        connection = psycopg.connect(project_url, autocommit=True)
        connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [work])
        held.append(connection)
        return connection

    yield take
    for connection in held:
        connection.close()


async def until(is_true: Callable[[], Any], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not come"
        await asyncio.sleep(0.02)


async def until_built(client: httpx.AsyncClient, location: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        while True:
            report: dict[str, Any] = (await client.get(location)).json()
            if not report["pending"]:
                return report
            await asyncio.sleep(0.02)


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def kill_worker(app: FastAPI) -> None:
    app.state.builder._process.send_signal(signal.SIGKILL)  # noqa: SLF001


def everything(query: Query) -> list[Any]:
    """All that an upload could leave behind."""
    tables = ("raw.loads", "raw.laboratory__metabolites", "curated.metabolites", "journal.edits")
    tables += ("journal.verdicts", "journal.accounts", "journal.ledger_metabolites")
    return [query(f"select * from {table} as t order by t::text") for table in tables]


# ---------- what an upload answers


async def test_the_answer_is_the_report_and_the_rows_are_there(
    client: httpx.AsyncClient, query: Query
) -> None:
    """The load belongs to who sent it, under the name that it has there."""
    answer = await client.put(PATH, **form(csv_of("a", "b"), r"C:\data\mine.csv"))
    assert answer.status_code == 200, answer.text
    report = answer.json()
    (account,) = report["entities"]
    assert (account["rows"], account["new"], report["pending"]) == (2, 2, [])
    assert (report["file_name"], report["loaded_by"]) == ("mine.csv", "editor")
    assert report["already_loaded"] is False
    assert [r["feature"] for r in query("table curated.metabolites")] == ["a", "b"]
    report.pop("already_loaded")
    assert (await client.get(f"{LOADS}/{report['load_id']}")).json() == report


async def test_a_workbook(client: httpx.AsyncClient) -> None:
    content = io.BytesIO()
    with xlsxwriter.Workbook(content) as workbook:
        sheet = workbook.add_worksheet("Data to upload")
        sheet.write_row(0, 0, HEADER)
        sheet.write_row(1, 0, ["a", 2, "", CAS[0], "GC", 0.5])
    answer = await client.put(PATH, **form(content.getvalue(), "file.xlsx"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["entities"][0]["new"] == 1


async def test_the_same_bytes_are_the_same_load(client: httpx.AsyncClient) -> None:
    """Unless by force."""
    first = (await client.put(PATH, **form(csv_of("a")))).json()
    for query in ({}, {"dry_run": "true"}, {"dry_run": "false", "force": "false"}):
        again = (await client.put(PATH, params=query, **form(csv_of("a")))).json()
        assert again["already_loaded"] is True
        assert {**first, **again} == {**again, "already_loaded": True}
        assert again["load_id"] == first["load_id"]
    forced = (await client.put(PATH, params={"force": "true"}, **form(csv_of("a")))).json()
    assert forced["already_loaded"] is False
    assert forced["entities"][0]["unchanged"] == 1


async def test_bad_rows_take_no_good_ones_with_them(client: httpx.AsyncClient) -> None:
    content = csv_of("a", "b", "c", cas=("56-86-0", "56-86-1", "64-17-5")) + b"x,y\r\n"
    report = (await client.put(PATH, **form(content))).json()
    (account,) = report["entities"]
    assert (account["new"], account["rejected"]) == (2, 2)
    rejected = (await client.get(f"{LOADS}/{report['load_id']}/rejected")).json()["items"]
    assert [r["rules"][0]["name"] for r in rejected] == ["cas_number_valid", "field_count"]


@pytest.mark.parametrize("force", ["false", "true"])
async def test_a_dry_run_reports_and_keeps_nothing(
    client: httpx.AsyncClient, query: Query, folder: Path, force: str
) -> None:
    """Also where it is refused, and over rows that are there."""
    await client.put(PATH, **form(csv_of("a", "b")))
    before = everything(query)
    content = csv_of("a", "b", "c", cas=("56-86-0", "7732-18-5", "64-17-6"), value="2") + b"x,y\r\n"
    answer = await client.put(PATH, params={"dry_run": "true", "force": force}, **form(content))
    assert answer.status_code == 200, answer.text
    report = answer.json()
    (account,) = report["entities"]
    assert (account["changed"], account["rejected"], account["rows"]) == (2, 2, 4)
    assert (report["state"], report["already_loaded"], report["pending"]) == (
        "rehearsal",
        False,
        [],
    )
    row, malformed = report["rejected_rows"]
    assert row["row"]["features"] == "c"
    assert row["rules"][0]["message"].startswith("This is not a CAS number")
    assert malformed["malformed"] == "x,y"
    refused = await client.put(PATH, params={"dry_run": "true"}, **form(b"a,b\n1,2\n"))
    assert refused.status_code == 422
    assert everything(query) == before
    assert (await client.get(f"{LOADS}/{report['load_id']}")).status_code == 404
    assert left_in(folder) == []


async def test_a_rehearsal_is_nobodys_to_see_while_it_runs(
    client: httpx.AsyncClient, query: Query, hold: Callable[..., Any]
) -> None:
    held = hold(BUILD)
    rehearsal = asyncio.create_task(
        client.put(PATH, params={"dry_run": "true"}, **form(csv_of("a")))
    )
    rehearsals = "select load_id from raw.loads where state = 'rehearsal'"
    await until(lambda: query(rehearsals))
    load_id = query(rehearsals)[0]["load_id"]
    assert (await client.get(LOADS)).json()["items"] == []
    for path in (f"{LOADS}/{load_id}", f"{LOADS}/{load_id}/rejected"):
        assert (await client.get(path)).status_code == 404
    assert (await client.delete(f"{LOADS}/{load_id}")).status_code == 404
    held.close()
    assert (await rehearsal).status_code == 200


async def test_who_does_not_wait_gets_202_and_finds_the_report(client: httpx.AsyncClient) -> None:
    answer = await client.put(PATH, headers={"Prefer": "respond-async"}, **form(csv_of("a")))
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    report = await until_built(client, answer.headers["location"])
    assert report["entities"][0]["new"] == 1
    known = await client.put(PATH, headers={"Prefer": "respond-async"}, **form(csv_of("a")))
    assert (known.status_code, known.json()["already_loaded"]) == (200, True)


async def test_a_slow_build_is_202(
    client: httpx.AsyncClient, hold: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "PATIENCE_SECONDS", 0.5)
    held = hold(BUILD)
    answer = await client.put(PATH, **form(csv_of("a")))
    assert (answer.status_code, answer.json()["pending"]) == (202, ["metabolites"])
    assert "preference-applied" not in answer.headers
    held.close()
    assert (await until_built(client, answer.headers["location"]))["entities"][0]["new"] == 1


async def test_uploads_at_once_come_one_after_another(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(client.put(PATH, **form(csv_of(f"x{n}", cas=(CAS[n],)), f"{n}.csv")) for n in range(6))
    )
    assert [a.status_code for a in answers] == [200] * 6
    assert sum(a.json()["entities"][0]["new"] for a in answers) == 6


async def test_a_request_that_is_cancelled_leaves_the_job_and_those_after_it(
    client: httpx.AsyncClient, query: Query, project_app: FastAPI, hold: Callable[..., Any]
) -> None:
    held = hold(LOAD)
    await client.put(PATH, **form(b"a,b\n"))  # the worker is warm
    upload = asyncio.create_task(client.put(PATH, **form(csv_of("a"))))
    await until(lambda: query("select 1 from pg_stat_activity where wait_event = 'advisory'"))
    upload.cancel()
    answer = await upload  # as when the server ends
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    held.close()
    other = await client.put(PATH, **form(csv_of("b", cas=CAS[1:]), "other.csv"))
    assert (other.status_code, other.json()["file_name"]) == (200, "other.csv")
    assert not project_app.state.builder._turn.locked()  # noqa: SLF001


async def test_who_does_not_get_a_turn_is_told_and_not_begun(
    client: httpx.AsyncClient,
    query: Query,
    hold: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One that has begun is waited for."""
    await client.put(PATH, **form(b"a,b\n"))  # the worker is warm
    query("delete from raw.loads")
    monkeypatch.setattr(uploads, "TURN_SECONDS", 0.5)
    held = hold(LOAD)
    begun = asyncio.create_task(client.put(PATH, **form(csv_of("a"))))
    await until(lambda: query("select 1 from pg_stat_activity where wait_event = 'advisory'"))
    for params in ({}, {"dry_run": "true"}):
        late = await client.put(PATH, params=params, **form(csv_of("b")))
        assert (late.status_code, late.headers["retry-after"]) == (503, "30")
        assert "not begun" in late.json()["detail"]
        assert f"request {late.json()['request_id']}: withdrawn" in caplog.text
    assert not begun.done()
    held.close()
    assert (await begun).status_code == 200
    assert (await client.get(LOADS)).json()["items"][0]["load_id"] == (await begun).json()[
        "load_id"
    ]
    assert len(query("table raw.loads")) == 1


async def test_a_build_that_fails_after_the_answer_is_in_the_log(
    client: httpx.AsyncClient,
    query: Query,
    hold: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once, under the request id that the answer has."""
    held = hold(BUILD)
    answer = await client.put(PATH, headers={"Prefer": "respond-async"}, **form(csv_of("a")))
    assert answer.status_code == 202
    rename = "alter table curated.metabolites rename column {} to {}"
    query(rename.format("method", "way"))
    held.close()
    said = f"request {answer.headers['x-request-id']}: failed"
    try:
        await until(lambda: said in caplog.text)
    finally:
        query(rename.format("way", "method"))
    assert caplog.text.count(answer.headers["x-request-id"]) == 1


# ---------- faults


async def test_a_worker_that_dies_after_the_load_loses_nothing(
    client: httpx.AsyncClient, query: Query, project_app: FastAPI, hold: Callable[..., Any]
) -> None:
    """The answer is 202, and the next upload brings the rows of both."""
    held = hold(BUILD)
    first = asyncio.create_task(client.put(PATH, **form(csv_of("a"))))
    await until(lambda: query("select 1 from raw.loads where state = 'loaded'"))
    kill_worker(project_app)
    answer = await first
    assert (answer.status_code, answer.json()["pending"]) == (202, ["metabolites"])
    held.close()
    second = await client.put(PATH, **form(csv_of("b", cas=CAS[1:]), "other.csv"))
    assert second.status_code == 200
    assert (await client.get(answer.headers["location"])).json()["entities"][0]["new"] == 1
    assert len(query("table curated.metabolites")) == 2


async def test_the_same_file_finishes_what_a_dead_worker_left(
    client: httpx.AsyncClient, query: Query, project_app: FastAPI, hold: Callable[..., Any]
) -> None:
    held = hold(BUILD)
    first = asyncio.create_task(client.put(PATH, **form(csv_of("a"))))
    await until(lambda: query("select 1 from raw.loads where state = 'loaded'"))
    kill_worker(project_app)
    await first
    held.close()
    again = (await client.put(PATH, **form(csv_of("a")))).json()
    assert (again["already_loaded"], again["pending"]) == (True, [])


async def test_a_worker_that_dies_before_the_load_is_503(
    client: httpx.AsyncClient,
    query: Query,
    project_app: FastAPI,
    hold: Callable[..., Any],
    folder: Path,
) -> None:
    await client.put(PATH, **form(csv_of("a")))
    held = hold(LOAD)
    waiting = "select 1 from pg_stat_activity where wait_event = 'advisory'"
    upload = asyncio.create_task(client.put(PATH, **form(csv_of("b"))))
    await until(lambda: query(waiting))
    kill_worker(project_app)
    answer = await upload
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    held.close()
    assert left_in(folder) == []
    assert (await client.put(PATH, **form(csv_of("b", cas=CAS[1:])))).status_code == 200


async def test_an_idle_worker_that_died_is_replaced(
    client: httpx.AsyncClient, project_app: FastAPI
) -> None:
    await client.put(PATH, **form(csv_of("a")))
    kill_worker(project_app)
    await project_app.state.builder._process.wait()  # noqa: SLF001
    assert (await client.put(PATH, **form(csv_of("b", cas=CAS[1:])))).status_code == 200


async def test_a_build_that_fails_keeps_the_load(client: httpx.AsyncClient, query: Query) -> None:
    """503 without a word of SQL, and the same file finishes it once the table is mended."""
    rename = "alter table curated.metabolites rename column {} to {}"
    query(rename.format("method", "way"))
    answer = await client.put(PATH, **form(csv_of("a")))
    rehearsal = await client.put(PATH, params={"dry_run": "true"}, **form(csv_of("b")))
    query(rename.format("way", "method"))
    for problem in (answer, rehearsal):
        assert problem.status_code == 503
        assert "retry-after" in problem.headers
        assert not {"column", "select", "SQL", "method"} & set(problem.json()["detail"].split())
    report = (await client.get(answer.headers["location"])).json()
    assert (report["state"], report["pending"]) == ("loaded", ["metabolites"])
    assert len(query("table raw.loads")) == 1
    again = (await client.put(PATH, **form(csv_of("a")))).json()
    assert (again["already_loaded"], again["entities"][0]["new"]) == (True, 1)


REFUSED = [
    ("file.csv", b"", "the file is empty"),
    ("file.csv", b"a,b\n1,2\n", "mandatory header 'Features'"),
    ("file.xlsx", b"a,b\n1,2\n", "no workbook"),
    ("file.xlsx", b"PK\x03\x04 and no more", "workbook"),
    ("file.csv", b"PK\x03\x04", "zip file"),
    ("file.pdf", b"%PDF-1.7\n", "this is PDF"),
    ("file.ods", b"PK\x03\x04", ".ods files are not read"),
    ("file.csv", ",".join(HEADER).encode() + b"\n\xff\xfe\x00bad", ""),
    ("file.csv", ",".join(HEADER).encode() + b'\na,"b', "quote"),
]


@pytest.mark.parametrize(("name", "content", "said"), REFUSED)
async def test_b33_a_file_that_cannot_be_loaded_is_422_with_the_reason(
    client: httpx.AsyncClient, name: str, content: bytes, said: str
) -> None:
    for params in ({}, {"dry_run": "true"}):
        answer = await client.put(PATH, params=params, **form(content, name))
        if answer.status_code == 200:  # it was understood
            assert said == ""
            continue
        assert answer.status_code == 422, answer.text
        (fault,) = answer.json()["errors"]
        assert said in fault["detail"]
        assert fault["file"] == name


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("../../evil.csv", "evil.csv"),
        ("/evil.csv", "evil.csv"),
        ("..\\evil.csv", "evil.csv"),
        ("%2e%2e%2fevil.csv", "%2e%2e%2fevil.csv"),
    ],
)
async def test_b33_the_name_of_a_file_is_never_a_path(
    client: httpx.AsyncClient, query: Query, folder: Path, name: str, seen: str
) -> None:
    """The server names the file that it keeps meanwhile; of the client's, people see the end."""
    assert (await client.put(PATH, **form(csv_of("a"), name))).status_code == 200
    assert query("select file_name from raw.loads") == [{"file_name": seen}]
    assert left_in(folder) == []
    places = (folder.parent, folder.parent.parent, Path("/"))
    assert not [place / "evil.csv" for place in places if (place / "evil.csv").exists()]


async def test_a_refused_file_has_row_column_and_remedy(client: httpx.AsyncClient) -> None:
    answer = await client.put(PATH, **form(b"Features,CAS_numbr\na,b\n"))
    (fault,) = answer.json()["errors"]
    assert fault["row"] == 1
    assert fault["remedy"] == "add the column or correct its header"
    assert answer.json()["detail"] == fault["detail"]


async def test_an_encoding_is_passed(client: httpx.AsyncClient, query: Query) -> None:
    """The refusal names it, and what it would read: to who sent the file, and to nobody else."""
    content = csv_of("acétique", "Benzoesäure").decode().encode("cp1252")
    for params in ({}, {"dry_run": "true"}):
        answer = await client.put(PATH, params=params, **form(content))
        assert answer.status_code == 422
        (fault,) = answer.json()["errors"]
        assert "as Windows-1252 the value reads 'acétique'" in fault["detail"]
        assert "`encoding=cp1252`" in fault["remedy"]
    (record,) = query("select error from raw.loads")
    assert "not valid utf-8" in record["error"]
    assert "tique" not in record["error"]
    for params in ({"dry_run": "true"}, {}):
        answer = await client.put(PATH, params={"encoding": "cp1252"} | params, **form(content))
        assert answer.status_code == 200, answer.text
        assert answer.json()["notes"]["encoding"] == "cp1252"
    rows = query("select feature from curated.metabolites")
    assert {row["feature"] for row in rows} == {"acétique", "Benzoesäure"}


async def test_an_encoding_that_is_none_is_422(client: httpx.AsyncClient) -> None:
    answer = await client.put(PATH, params={"encoding": "klingon"}, **form(csv_of("a")))
    assert "the encoding 'klingon' is unknown" in answer.json()["detail"]
    assert answer.status_code == 422


async def test_a_file_of_another_table_is_taken_with_a_note(client: httpx.AsyncClient) -> None:
    """Who uploads has named the dataset."""
    content = csv_of("a").replace(b"Method", b"Method,Run ID").replace(b"GC", b"GC,7")
    answer = await client.put(PATH, params={"dry_run": "true"}, **form(content))
    assert answer.status_code == 200, answer.text
    assert "1 of 7 headers" in answer.json()["notes"]["other_table"]


async def test_a_name_of_any_language(client: httpx.AsyncClient, query: Query) -> None:
    """As .NET sends it."""
    disposition = (
        'form-data; name=file; filename="=?utf-8?B?xYHDs2TFui5jc3Y=?="; '
        "filename*=utf-8''%C5%81%C3%B3d%C5%BA.csv"
    )
    body = part(disposition, csv_of("a").decode()) + "--b--"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await client.put(PATH, content=body.encode(), headers=headers)
    assert answer.status_code == 200, answer.text
    assert query("select file_name from raw.loads") == [{"file_name": "Łódź.csv"}]


def part(disposition: str, content: str = "x") -> str:
    return f"--b\r\nContent-Disposition: {disposition}\r\n\r\n{content}\r\n"


FILE = 'form-data; name="file"; filename="a.csv"'
MALFORMED = [
    ("multipart/form-data; boundary=b", "", 422, "or not all of it"),
    ("multipart/form-data; boundary=b", "no form", 422, "or not all of it"),
    ("multipart/form-data; boundary=b", part(FILE), 422, "or not all of it"),
    ("multipart/form-data; boundary=b", "--b--\r\n", 422, "or not all of it|no file"),
    ("multipart/form-data; boundary=b", part('form-data; name="a"') + "--b--", 422, "not a file"),
    ("multipart/form-data; boundary=b", part(FILE[:-5] + '"') + "--b--", 422, "."),
    ("multipart/form-data; boundary=b", part(FILE) + part(FILE) + "--b--", 422, "more than one"),
    ("multipart/form-data; boundary=b", part(f'{FILE[:-1]}{"x" * 9999}"'), 422, "shorten the name"),
    ("multipart/form-data", part(FILE) + "--b--", 422, "or not all of it"),
    (f"multipart/form-data; boundary={'b' * 999}", "", 422, "or not all of it"),
    ("text/csv", "a,b", 415, "multipart/form-data"),
    ("application/x-www-form-urlencoded", "a=b", 415, "multipart/form-data"),
    ("", "a,b", 415, "multipart/form-data"),
]


@pytest.mark.parametrize(("media_type", "body", "status", "said"), MALFORMED)
async def test_a_body_that_is_no_form_with_one_file(  # noqa: PLR0913, PLR0917
    client: httpx.AsyncClient, folder: Path, media_type: str, body: str, status: int, said: str
) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    answer = await client.put(PATH, content=body.encode(), headers=headers)
    assert answer.status_code == status, answer.text
    assert any(words in answer.json()["detail"] for words in said.split("|"))
    assert left_in(folder) == []


@pytest.mark.parametrize(
    "asked", ["dry_run=yes", "force=1", "force=", "dryrun=true", "force=true&force=true"]
)
async def test_a_wrong_parameter_is_422(client: httpx.AsyncClient, asked: str) -> None:
    answer = await client.put(f"{PATH}?{asked}", **form(csv_of("a")))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"]


@pytest.mark.parametrize("is_announced", [True, False])
async def test_b31_what_is_too_large_is_413(
    client: httpx.AsyncClient, folder: Path, *, is_announced: bool
) -> None:
    """Said beforehand or found out while it comes in; the limit here is 1 MB."""
    request = client.build_request("PUT", PATH, **form(b"x" * (1 << 20)))
    body = await request.aread()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1 << 16):
            yield body[start : start + (1 << 16)]

    headers = {"Content-Type": request.headers["content-type"]}
    content: Any = body if is_announced else chunks()
    answer = await client.put(PATH, content=content, headers=headers)
    assert answer.status_code == 413
    assert "1 MB" in answer.json()["detail"]
    assert left_in(folder) == []


async def ask(app: FastAPI, token: str | None, messages: list[dict[str, Any]]) -> int | None:
    """Status of an upload whose body comes in these messages; None if there was no answer."""
    headers = [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=b")]
    headers += [(b"authorization", f"Bearer {token}".encode())] if token else []
    scope = {
        "type": "http",
        "method": "PUT",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
    }
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        assert messages, "the body was read"
        return messages.pop(0)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    return statuses[0] if statuses else None


async def test_a_client_that_goes_away_leaves_nothing(
    project_app: FastAPI, token: Callable[[str], str], query: Query, folder: Path
) -> None:
    half = (part(FILE) + "y" * 9999).encode()
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": half, "more_body": True},
        {"type": "http.disconnect"},
    ]
    assert await ask(project_app, token("editor"), messages) is None
    assert left_in(folder) == []
    assert query("table raw.loads") == []


async def test_rights_are_asked_again_when_the_file_is_there(
    client: httpx.AsyncClient, query: Query
) -> None:
    """A user who is disabled while he sends it has sent it for nothing."""
    request = client.build_request("PUT", PATH, **form(csv_of("late")))
    whole = request.read()

    async def body() -> AsyncIterator[bytes]:
        yield whole[:100]
        query("update auth.users set is_active = false where username = 'editor'")
        yield whole[100:]

    headers = {"Content-Type": request.headers["content-type"]}
    try:
        answer = await client.put(PATH, content=body(), headers=headers)
    finally:
        query("update auth.users set is_active = true where username = 'editor'")
        query("update auth.users set token_version = 0 where username = 'editor'")
    assert answer.status_code == 401
    assert query("select from raw.loads") == []


async def test_what_a_killed_server_left_goes_after_a_day(
    project_app: FastAPI, folder: Path
) -> None:
    new, old, other = (folder / name for name in ("assay-upload-a", "assay-upload-b", "other"))
    for path, hours in ((new, 23), (old, 25), (other, 25)):
        path.touch()
        os.utime(path, (time.time() - hours * 3600,) * 2)
    app = create_app(project_app.state.builder._settings)  # noqa: SLF001
    async with app.router.lifespan_context(app):
        assert sorted(left_in(folder)) == [new, other]


async def test_who_may_not_is_told_before_the_body_is_read(
    project_app: FastAPI, token: Callable[[str], str], query: Query
) -> None:
    claims = jwt.decode(token("editor"), options={"verify_signature": False})
    expired = jwt.encode(claims | {"exp": claims["iat"] - 3600}, SECRET, headers={"typ": "at+jwt"})
    for given, status in ((None, 401), (expired, 401), ("x", 401), (token("reader"), 403)):
        assert await ask(project_app, given, []) == status
    for role in ("editor", "admin"):
        body = (part(FILE, csv_of("a").decode()) + "--b--\r\n").encode()
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        assert await ask(project_app, token(role), messages) == 200
    load_id = query("select load_id from raw.loads")[0]["load_id"]
    for given, status in ((None, 401), (expired, 401), (token("reader"), 403)):
        answer = await client_of(project_app, given).delete(f"{LOADS}/{load_id}")
        assert answer.status_code == status


async def test_postgresql_away_is_503(client: httpx.AsyncClient, project_app: FastAPI) -> None:
    """Already for who cannot be asked about the caller, and for the worker alone."""
    builder = project_app.state.builder
    url = builder._settings.database_url.get_secret_value()  # noqa: SLF001
    await builder.close()
    builder._ends_at = None  # noqa: SLF001
    nowhere = url.replace("host=", "host=%2Fnowhere")
    own, builder._settings = (  # noqa: SLF001
        builder._settings,  # noqa: SLF001
        builder._settings.model_copy(update={"database_url": SecretStr(nowhere)}),  # noqa: SLF001
    )
    try:
        answer = await client.put(PATH, **form(csv_of("a")))
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
    finally:
        await builder.close()
        builder._ends_at, builder._settings = None, own  # noqa: SLF001
    assert (await client.put(PATH, **form(csv_of("a")))).status_code == 200


# ---------- the end of the server


@pytest.mark.parametrize("fails", ["open", "write", "close"])
async def test_a16_a_full_disk_is_503(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def full(*_: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    make = tempfile.NamedTemporaryFile

    def broken(**options: Any) -> Any:
        file = make(**options)
        close = file.close
        monkeypatch.setattr(file, "write", full)
        if fails == "close":
            monkeypatch.setattr(file, "close", lambda: (close(), full()))
        return file

    monkeypatch.setattr(forms, "NamedTemporaryFile", full if fails == "open" else broken)
    answer = await client.put(PATH, **form(csv_of("a")))
    assert (answer.status_code, "disk" in answer.json()["detail"]) == (503, True)


async def test_the_end_of_the_server_waits_for_the_running_job_only(
    project_app: FastAPI, query: Query, hold: Callable[..., Any], tmp_path: Path
) -> None:
    """One that waits its turn is not begun, and both have an answer."""
    builder = Builder(project_app.state.builder._settings)  # noqa: SLF001
    held = hold(BUILD)
    running, waiting = (
        builder.submit("upload", "an id", **file(tmp_path / name, csv_of(name)))
        for name in ("a", "b")
    )
    assert await running.loaded()
    builder.begin_to_close()
    late = builder.submit("upload", "an id", **file(tmp_path / "c", csv_of("c")))
    for job in (waiting, late):
        assert (await job.ended(PATIENCE)).status == "withdrawn"
        assert await job.loaded() is None
    closing = asyncio.create_task(builder.close())
    await asyncio.sleep(0.2)
    assert not closing.done()
    held.close()
    await closing
    assert (await running.ended()).status == "done"
    assert len(query("table raw.loads")) == 1


@pytest.mark.usefixtures("query")
async def test_the_end_of_the_server_does_not_wait_for_ever(
    project_app: FastAPI, hold: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builds, "SHUTDOWN_SECONDS", 0.5)
    builder = Builder(project_app.state.builder._settings)  # noqa: SLF001
    hold(BUILD)
    job = builder.submit("upload", "an id", **file(tmp_path / "a", csv_of("a")))
    assert await job.loaded()
    builder.begin_to_close()
    async with asyncio.timeout(PATIENCE):
        await builder.close()
    assert (await job.ended()).status == "died"
    assert builder._process  # noqa: SLF001
    assert builder._process.returncode is not None  # noqa: SLF001


def file(path: Path, content: bytes) -> dict[str, Any]:
    """What the worker is told of a file."""
    path.write_bytes(content)
    names = {"entity": "metabolites", "file_name": f"{path.name}.csv", "user": "editor"}
    return {"path": str(path), "force": False, "encoding": "", **names}


# ---------- taking a load back


async def test_a_load_is_taken_back(client: httpx.AsyncClient, query: Query) -> None:
    """Its rows go, the list has it as unloaded, and its file can be loaded again."""
    load_id = (await client.put(PATH, **form(csv_of("a", "b")))).json()["load_id"]
    answer = await client.delete(f"{LOADS}/{load_id}")
    assert answer.status_code == 200, answer.text
    (unload,) = answer.json()["unloads"]
    assert unload.pop("unloaded_at")
    assert unload == {
        "entity": "metabolites",
        "unloaded_by": "editor",
        "deleted": 2,
        "restored": 0,
        "newer": 0,
        "refused": {},
    }
    assert query("table curated.metabolites") == []
    assert (await client.get(LOADS)).json()["items"][0]["state"] == "unloaded"
    assert (await client.delete(f"{LOADS}/{load_id}")).status_code == 409
    again = (await client.put(PATH, **form(csv_of("a", "b")))).json()
    assert (again["already_loaded"], again["entities"][0]["new"]) == (False, 2)


async def test_only_what_is_loaded_is_taken_back(client: httpx.AsyncClient, query: Query) -> None:
    assert (await client.delete(f"{LOADS}/999999")).status_code == 404
    assert (await client.delete(f"{LOADS}/x")).status_code == 422
    await client.put(PATH, **form(b"a,b\n1,2\n"))
    (failed,) = query("select load_id from raw.loads where state = 'failed'")
    answer = await client.delete(f"{LOADS}/{failed['load_id']}")
    assert (answer.status_code, answer.json()["title"]) == (409, "Conflict")


async def test_two_who_take_back_the_same_load(client: httpx.AsyncClient) -> None:
    load_id = (await client.put(PATH, **form(csv_of("a")))).json()["load_id"]
    answers = await asyncio.gather(*(client.delete(f"{LOADS}/{load_id}") for _ in "12"))
    assert sorted(a.status_code for a in answers) == [200, 409]


async def test_a_slow_taking_back_is_202(
    client: httpx.AsyncClient, hold: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    load_id = (await client.put(PATH, **form(csv_of("a")))).json()["load_id"]
    monkeypatch.setattr(loads, "PATIENCE_SECONDS", 0.5)
    held = hold(BUILD)
    answer = await client.delete(f"{LOADS}/{load_id}")
    assert (answer.status_code, answer.json()["state"]) == (202, "loaded")
    held.close()
    async with asyncio.timeout(PATIENCE):
        report = answer.json()
        while report["state"] != "unloaded":
            await asyncio.sleep(0.02)
            report = (await client.get(answer.headers["location"])).json()
    assert report["unloads"][0]["deleted"] == 1


# ---------- its description


def test_the_document_describes_uploads(project_app: FastAPI) -> None:
    document = json.loads(json.dumps(project_app.openapi()))
    upload = document["paths"][PATH]["put"]
    (media_type,) = upload["requestBody"]["content"]
    assert media_type == "multipart/form-data"
    schema = upload["requestBody"]["content"][media_type]["schema"]
    assert schema == {"$ref": "#/components/schemas/FileUpload"}
    schema = document["components"]["schemas"]["FileUpload"]
    assert schema["properties"]["file"]["format"] == "binary"
    assert "503" in upload["description"]
    shared = document["components"]["parameters"]
    named = (shared.get(p.get("$ref", "").rpartition("/")[2], p) for p in upload["parameters"])
    parameters = {p["name"]: p["schema"]["type"] for p in named}
    flags = {"dry_run": "boolean", "force": "boolean"}
    assert parameters == flags | {"encoding": "string", "Prefer": "string"}
    assert set(upload["responses"]) == {
        *("200", "202", "401", "403", "404", "406", "408", "413", "415", "422", "429"),
        *("500", "503", "504"),
    }
    unload = document["paths"][f"{LOADS}/{{load_id}}"]["delete"]
    assert {"200", "202", "404", "409"} <= set(unload["responses"])
