"""Files of all rows: each format, what a spreadsheet would run, and what ends one early."""

import asyncio
import csv
import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import httpx
import psycopg
import pyarrow as pa
import pytest
import python_calamine
from fastapi import FastAPI
from pyarrow import parquet
from starlette.types import Message

from api import exports, sheets
from api.errors import Problem
from api.exports import MAX_EXPORTS
from api.formats import MEDIA_TYPES
from assay.columnar import arrow_type
from tests.api.conftest import GEM, GEMS, Clients
from tests.conftest import PATIENCE, ROOT

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]
NAMES = [column.name for column in GEM.columns]

ROWS = """
insert into curated.gems (
    gem_id, label, grade, facets, atoms, carat, hardness, is_cut, found_date, sold_at, colours,
    extra, state, notes, updated_at, updated_by
) values
(
    md5('1')::uuid, E'a "b",\\n=c', 2, -7, 9007199254740993, 0.10, 1e300, true, '1999-02-28',
    '2020-01-02T03:04:05.123456+02', '{red,"a,b"}', '{"a": [1, "\\n"]}', 'weighed', '{}',
    '2021-01-01Z', '=cmd'
),
(
    md5('2')::uuid, '', 3, null, null, null, null, null, null, null, null, null, 'unweighed',
    '{}', '2021-01-01Z', '-0.5'
)
"""


@pytest.fixture
def rows(database: Database) -> None:
    database.execute(ROWS)


def records(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.usefixtures("rows")
async def test_csv(reader: httpx.AsyncClient) -> None:
    """The contract's names, lists and JSON as JSON, times as in JSON; a file to be saved."""
    response = await reader.get(f"{GEMS}?format=csv&sort=grade")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert response.headers["content-disposition"] == 'attachment; filename="gems.csv"'
    assert response.text.splitlines()[0] == ",".join(NAMES)
    first, second = records(response.text)
    assert first["label"] == 'a "b",\n=c'
    assert first["atoms"] == "9007199254740993"
    assert first["carat"] == "0.10"
    assert first["sold_at"] == "2020-01-02T01:04:05.123456+00:00"
    assert first["is_cut"] == "true"
    assert json.loads(first["colours"]) == ["red", "a,b"]
    assert json.loads(first["extra"]) == {"a": [1, "\n"]}
    assert ',"",3,,,,' in response.text  # an empty text is none of the nulls
    assert second["colours"] == ""


@pytest.mark.usefixtures("rows")
async def test_ndjson_is_the_items_of_the_list(reader: httpx.AsyncClient) -> None:
    response = await reader.get(f"{GEMS}?sort=-grade", headers={"Accept": "application/x-ndjson"})
    assert response.headers["content-type"] == "application/x-ndjson"
    items = (await reader.get(f"{GEMS}?sort=-grade")).json()["items"]
    assert [json.loads(line) for line in response.text.splitlines()] == items
    assert response.text.endswith("\n")


@pytest.mark.usefixtures("rows")
async def test_parquet(reader: httpx.AsyncClient) -> None:
    """Types of the contract; empty texts and nulls stay apart."""
    response = await reader.get(f"{GEMS}?format=parquet&sort=grade")
    table = parquet.read_table(io.BytesIO(response.content))
    assert table.schema.names == NAMES
    first, second = table.to_pylist()
    assert first["label"] == 'a "b",\n=c'
    assert first["updated_by"] == "=cmd"
    assert first["atoms"] == 9007199254740993
    assert (first["carat"], first["hardness"], first["is_cut"]) == (0.1, 1e300, True)
    assert first["found_date"] == date(1999, 2, 28)
    assert first["sold_at"] == datetime(2020, 1, 2, 1, 4, 5, 123456, UTC)
    assert json.loads(first["colours"]) == ["red", "a,b"]
    assert (second["label"], second["facets"], second["extra"]) == ("", None, None)


def test_only_who_exports_parquet_pays_for_it() -> None:
    """Each library takes 10 to 30 MB of a server's memory; an export imports pyarrow itself."""
    program = "import api.app, sys; print(*({'alembic', 'pyarrow'} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert run.stdout.split() == []


@pytest.mark.parametrize(
    ("data_type", "expected"),
    [
        ("numeric(10, 2)", pa.decimal128(10, 2)),
        ("numeric(60)", pa.decimal256(60, 0)),
        ("numeric", pa.float64()),
        ("varchar(20)", pa.string()),
        ("date[]", pa.string()),
        ("int8", pa.int64()),
    ],
)
def test_types_in_parquet(data_type: str, expected: pa.DataType) -> None:
    assert arrow_type(data_type) == expected


@pytest.mark.usefixtures("rows")
async def test_xlsx(reader: httpx.AsyncClient) -> None:
    """Numbers are numbers as long as a spreadsheet keeps their digits; all else is text."""
    response = await reader.get(f"{GEMS}?format=xlsx&sort=grade")
    assert response.content[:2] == b"PK"
    book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(response.content))
    names, first, second = book.get_sheet_by_index(0).to_python()
    assert names == NAMES
    found = dict(zip(NAMES, first, strict=True))
    assert found["label"] == 'a "b",\n=c'
    assert found["updated_by"] == "'=cmd"
    assert (found["grade"], found["carat"], found["is_cut"]) == (2, 0.1, True)
    assert found["atoms"] == "9007199254740993"
    assert found["found_date"] == date(1999, 2, 28)
    assert second[NAMES.index("updated_by")] == "-0.5"


@pytest.mark.parametrize("format_", ["csv", "ndjson", "parquet", "xlsx"])
async def test_no_rows_are_a_file_too(reader: httpx.AsyncClient, format_: str) -> None:
    response = await reader.get(f"{GEMS}?format={format_}")
    assert response.status_code == 200
    match format_:
        case "csv":
            assert response.text == ",".join(NAMES) + "\n"
        case "ndjson":
            assert response.content == b""
        case "parquet":
            assert parquet.read_table(io.BytesIO(response.content)).num_rows == 0
        case _:
            book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(response.content))
            assert book.get_sheet_by_index(0).to_python() == [NAMES]


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("format_", ["csv", "parquet"])
async def test_one_column_and_a_filter(reader: httpx.AsyncClient, format_: str) -> None:
    """A null in the only column is a row, though an empty line."""
    query = f"fields=facets&format={format_}&updated_by__in=%3Dcmd,-0.5&sort=-facets"
    response = await reader.get(f"{GEMS}?{query}")
    if format_ == "csv":
        assert response.text == "facets\n-7\n\n"
    else:
        table = parquet.read_table(io.BytesIO(response.content))
        assert table.to_pydict() == {"facets": [-7, None]}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd", "'+cmd"),
        ("-cmd", "'-cmd"),
        ("@sum", "'@sum"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("'=1+1", "''=1+1"),
        ("-0.5", "-0.5"),
        ("+1e5", "+1e5"),
        ("'-0.5", "'-0.5"),
        ("it's", "it's"),
        ("'quoted'", "'quoted'"),
    ],
)
async def test_b30_cells_that_a_spreadsheet_would_run(
    reader: httpx.AsyncClient, database: Database, text: str, written: str
) -> None:
    """ASVS 1.2.10: they get a quote in CSV and XLSX, and only there; numbers are left."""
    database.execute("insert into curated.stones values (1, %s, null, null, now(), 'x')", (text,))
    stones = "/api/v1/stones?fields=json&format="
    (row,) = records((await reader.get(stones + "csv")).text)
    assert row["json"] == written
    ndjson = await reader.get(stones + "ndjson")
    assert json.loads(ndjson.text) == {"json": text}
    book = await reader.get(stones + "xlsx")
    sheet = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(book.content))
    assert sheet.get_sheet_by_index(0).to_python()[1] == [written]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "json"),
        ("text/html, */*;q=0.1", "json"),
        ("text/csv", "csv"),
        ("text/*", "csv"),
        ("application/json;q=0.5, text/csv;q=0.6", "csv"),
        ("application/json;q=0, */*", "ndjson"),
        ("application/vnd.apache.parquet, */*;q=0.1", "parquet"),
    ],
)
async def test_b32_accept_decides(reader: httpx.AsyncClient, accept: str, expected: str) -> None:
    response = await reader.get(GEMS, headers={"Accept": accept})
    assert response.headers["content-type"].partition(";")[0] == MEDIA_TYPES[expected]  # type: ignore[index]


async def test_b32_nothing_of_what_is_accepted(reader: httpx.AsyncClient) -> None:
    """406; and `format` is stronger than `Accept`."""
    response = await reader.get(GEMS, headers={"Accept": "image/png, text/csv;q=0"})
    assert (response.status_code, response.json()["title"]) == (406, "Not Acceptable")
    chosen = await reader.get(f"{GEMS}?format=json", headers={"Accept": "image/png"})
    assert chosen.status_code == 200


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("format=xml", "format"),
        ("format=csv&limit=5", "limit"),
        ("format=csv&cursor=", "cursor"),
        ("format=parquet&count=exact", "count"),
        ("format=ndjson&expand=mine", "expand"),
        ("form=template", "form"),
        ("form=raw&format=csv", "form"),
        ("format=csv&source=shop.gems", "source"),
        ("form=template&format=csv&fields=label", "fields"),
        ("form=template&format=csv&source=shop.rings", "source"),
    ],
)
async def test_what_a_file_cannot_have(
    reader: httpx.AsyncClient, query: str, parameter: str
) -> None:
    response = await reader.get(f"{GEMS}?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == parameter


async def test_nobody_gets_a_file(nobody: httpx.AsyncClient) -> None:
    assert (await nobody.get(f"{GEMS}?format=csv")).status_code == 401


MANY = """
insert into curated.stones (code, json, updated_at, updated_by)
select n, repeat(md5(n::text), 30), now(), 'x' from generate_series(1, 20000) as n
"""


async def test_many_blocks_are_one_file(reader: httpx.AsyncClient, database: Database) -> None:
    database.execute(MANY)
    response = await reader.get("/api/v1/stones?format=parquet&fields=code")
    assert sorted(parquet.read_table(io.BytesIO(response.content))["code"].to_pylist()) == list(
        range(1, 20001)
    )
    response = await reader.get("/api/v1/stones?format=parquet")
    assert parquet.ParquetFile(io.BytesIO(response.content)).num_row_groups > 10
    response = await reader.get("/api/v1/stones?format=csv")
    assert len(records(response.text)) == 20000


@pytest.mark.parametrize(
    ("name", "limit", "sentence"),
    [("MAX_SHEET_ROWS", 1, "at most 1 rows"), ("MAX_CELL", 10, "at most 10 characters")],
)
@pytest.mark.usefixtures("rows")
async def test_what_no_sheet_holds(
    reader: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    limit: int,
    sentence: str,
) -> None:
    """A problem that says what to do; nothing is cut."""
    monkeypatch.setattr(sheets, name, limit)
    response = await reader.get(f"{GEMS}?format=xlsx")
    assert response.status_code == 422
    assert sentence in response.json()["detail"]
    assert response.json()["detail"].endswith("ask for CSV.")


class Client:
    """An ASGI client that takes as much of a file as it likes."""

    def __init__(self, app: FastAPI, token: str, query: str) -> None:
        self.messages: list[Message] = []
        self.has_gone = asyncio.Event()
        self.takes_more = asyncio.Event()
        self.has_begun = asyncio.Event()
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/v1/stones",
            "raw_path": b"/api/v1/stones",
            "query_string": query.encode(),
            "headers": [(b"authorization", token.encode())],
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        await self.has_gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.messages.append(message)
        if message.get("body"):
            self.has_begun.set()
            await self.takes_more.wait()


def busy(database: Database) -> int:
    return database.execute(
        "select 1 from pg_stat_activity where state <> 'idle' and query like 'COPY%'"
    ).rowcount


async def until_idle(database: Database) -> None:
    async with asyncio.timeout(PATIENCE):
        while busy(database):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)


@pytest.fixture
def token(reader: httpx.AsyncClient) -> str:
    return reader.headers["authorization"]


@pytest.fixture
def many(database: Database) -> Iterator[None]:
    database.execute(MANY)
    yield
    database.execute("drop function if exists curated.fail(text)")


@pytest.mark.usefixtures("many")
async def test_who_goes_away_frees_the_connection(
    app: FastAPI, reader: httpx.AsyncClient, database: Database, token: str
) -> None:
    """And the place."""
    client = Client(app, token, "format=csv")
    await client.has_begun.wait()
    assert busy(database) == 1
    client.has_gone.set()
    await client.task
    await until_idle(database)
    assert client.messages[-1]["more_body"] is True
    assert (await reader.get("/api/v1/stones?format=csv")).status_code == 200


@pytest.mark.usefixtures("many")
async def test_who_stops_reading_is_given_up(
    app: FastAPI, database: Database, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "STALL_SECONDS", 0.1)
    client = Client(app, token, "format=csv")
    await client.task
    await until_idle(database)
    assert client.messages[-1]["more_body"] is True


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("format_", ["csv", "ndjson", "parquet", "xlsx"])
async def test_a_place_is_held_to_the_last_byte(
    app: FastAPI, clients: Clients, database: Database, format_: str
) -> None:
    """Also of a workbook, all rows of which are read before its first byte is sent."""
    tokens = [c.headers["authorization"] for c in (clients.reader, clients.editor)]
    assert len(tokens) == MAX_EXPORTS
    running = [Client(app, token, f"format={format_}") for token in tokens]
    for client in running:
        await client.has_begun.wait()
    refused = await clients.admin.get("/api/v1/stones?format=csv")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
    assert (await clients.admin.get("/api/v1/stones")).status_code == 200
    for client in running:
        client.takes_more.set()
    for client in running:
        await client.task
        assert client.messages[-1]["more_body"] is False
    assert (await clients.admin.get("/api/v1/stones?format=csv")).status_code == 200
    await until_idle(database)


@pytest.mark.usefixtures("many")
async def test_each_user_exports_one_file_at_once(
    app: FastAPI, clients: Clients, token: str
) -> None:
    client = Client(app, token, "format=csv")
    await client.has_begun.wait()
    refused = await clients.reader.get(f"{GEMS}?format=parquet")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
    assert refused.headers["content-type"] == "application/problem+json"
    assert "for you" in refused.json()["detail"]
    assert (await clients.editor.get(f"{GEMS}?format=parquet")).status_code == 200
    client.takes_more.set()
    await client.task
    assert (await clients.reader.get(f"{GEMS}?format=parquet")).status_code == 200


@pytest.mark.usefixtures("many")
async def test_a_place_is_held_while_a_thread_works_for_who_has_gone(
    app: FastAPI, reader: httpx.AsyncClient, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    works, may_end = threading.Event(), threading.Event()

    def take(_sheet: sheets.Sheet, _block: bytes) -> bytes:
        works.set()
        may_end.wait()
        return b""

    monkeypatch.setattr(sheets.Sheet, "take", take)
    client = Client(app, token, "format=xlsx")
    try:
        await asyncio.to_thread(works.wait)
        client.has_gone.set()
        assert (await reader.get(f"{GEMS}?format=csv")).status_code == 429
    finally:
        may_end.set()
    await client.task
    assert (await reader.get(f"{GEMS}?format=csv")).status_code == 200


async def test_a_file_that_takes_too_long_is_given_up(
    app: FastAPI, reader: httpx.AsyncClient, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when PostgreSQL has long given its rows; the place is free again."""
    monkeypatch.setattr(exports, "EXPORT_SECONDS", 0.5)
    client = Client(app, token, "format=xlsx")
    with suppress(Problem):  # after the first byte
        async with asyncio.timeout(PATIENCE):
            await client.task
    end = {"type": "http.response.body", "body": b"", "more_body": False}
    assert end not in client.messages
    monkeypatch.undo()
    assert (await reader.get("/api/v1/stones?format=csv")).status_code == 200


async def test_a_file_that_takes_too_long_to_begin(
    reader: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "EXPORT_SECONDS", 0)
    refused = await reader.get(f"{GEMS}?format=xlsx")
    assert (refused.status_code, refused.json()["title"]) == (504, "Gateway Timeout")
    assert "ask for fewer rows" in refused.json()["detail"]


@pytest.mark.usefixtures("many")
async def test_an_error_in_the_middle_breaks_the_file(
    app: FastAPI, reader: httpx.AsyncClient, database: Database, token: str
) -> None:
    """Whoever ends the statement: the last message never comes; the next export works."""
    client = Client(app, token, "format=csv")
    await client.has_begun.wait()
    database.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where query like 'COPY%'"
    )
    client.takes_more.set()
    with pytest.raises(Problem):
        await client.task
    assert client.messages[-1]["more_body"] is True
    assert (await reader.get("/api/v1/stones?format=csv")).status_code == 200


async def test_an_error_before_the_first_byte_is_a_problem(
    reader: httpx.AsyncClient, database: Database
) -> None:
    database.execute("alter table curated.stones rename to hidden")
    try:
        response = await reader.get("/api/v1/stones?format=csv")
    finally:
        database.execute("alter table curated.hidden rename to stones")
    assert (response.status_code, response.headers["content-type"]) == (
        503,
        "application/problem+json",
    )


async def test_excel_knows_a_csv_file_by_its_byte_order_mark(editor: httpx.AsyncClient) -> None:
    """Once, before the header, also of a list without a row; other files have none."""
    for label in ("", "Zürich"):
        if label:
            assert (await editor.post(GEMS, json={"label": label})).status_code == 201
        plain, marked, unmarked = [
            await editor.get(f"{GEMS}?format=csv{bom}") for bom in ("", "&bom=true", "&bom=false")
        ]
        assert marked.content == b"\xef\xbb\xbf" + plain.content
        assert unmarked.content == plain.content
    for name in ("json", "ndjson", "xlsx", "parquet"):
        refused = await editor.get(f"{GEMS}?format={name}&bom=true")
        assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (422, "bom")
    assert (await editor.get(f"{GEMS}?format=csv&bom=1")).status_code == 422
