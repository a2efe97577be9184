"""Files in the form of a source, over the project's own models: out, and in again."""

import csv
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
import python_calamine
import xlsxwriter

from loader.copy import load_file
from loader.headers import ADDED
from loader.report import MAX_SHOWN
from tests.api.conftest import GEMS, Served
from tests.conftest import ROOT
from tests.warehouse import HEADER, Warehouse

pytestmark = pytest.mark.anyio

METABOLITES = "/api/v1/metabolites"
BOOKS = "/api/v1/books"
SAMPLE = ROOT / "data" / "metabolites" / "metabolites.csv"
HEADERS = (
    *("Features", "Identification_level", "ID_InChI", "CAS_number", "Method", "Sample_Data"),
)
BENZOATE = "InChI=1S/C7H6O2/c8-7(9)6-4-2-1-3-5-6/h1-5H,(H,8,9)"


def load(warehouse: Warehouse, source: str, path: Path) -> int:
    load_id = load_file(
        warehouse.url, warehouse.catalog.source_tables[source], path, loaded_by="test"
    ).load_id
    warehouse.build()
    return load_id


def curated(warehouse: Warehouse, table: str) -> list[dict[str, Any]]:
    """All rows without what a load may change that changes nothing."""
    platform = ("repairs", "updated_at", "updated_by", "_transaction_id")
    rows = warehouse.query(f"select * from curated.{table} order by 1")
    return [{k: v for k, v in row.items() if k not in platform} for row in rows]


def sheet_of(content: bytes, name: str) -> list[list[Any]]:
    book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
    return book.get_sheet_by_name(name).to_python()


def write_workbook(path: Path, rows: list[list[Any]]) -> None:
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("Data to upload")
        for number, row in enumerate(rows):
            for place, text in enumerate(row):
                sheet.write_string(number, place, str(text))


@pytest.mark.parametrize("format_", ["csv", "xlsx"])
async def test_a50_what_goes_out_changes_nothing_when_it_comes_in(
    served: Served, tmp_path: Path, format_: str
) -> None:
    """Rows of the sample file, rows that the API made, and what a spreadsheet would run."""
    warehouse = served.warehouse
    load(warehouse, "laboratory.metabolites", SAMPLE)
    odd = ("=1+1", "'=x", "-cmd", "-0.5", "'-0.5", "it's", "@a")
    for number, feature in enumerate(odd):
        value = {"sample_value": 0.5} if number % 2 else {"sample_status": "not_detected"}
        body = {"feature": feature, "method": "+m", "cas_number": cas_number(number), **value}
        made = await served.editor.post(METABOLITES, json=body)
        assert made.status_code == 201, made.text
    before = curated(warehouse, "metabolites")
    response = await served.reader.get(f"{METABOLITES}?form=template&format={format_}")
    assert response.status_code == 200, response.text
    file = tmp_path / f"back.{format_}"
    file.write_bytes(response.content)
    load_id = load(warehouse, "laboratory.metabolites", file)
    account = warehouse.account(load_id)
    assert (account["rows"], account["rejected"]) == (len(before), 0)
    assert curated(warehouse, "metabolites") == before
    if format_ == "csv":
        assert tuple(next(csv.reader(io.StringIO(response.text)))) == HEADERS


def cas_number(number: int) -> str:
    """With its check digit: the sum of the digits times their places, counted from the right."""
    digits = f"{900000 + number}11"
    check = sum(int(d) * place for place, d in enumerate(reversed(digits), start=1)) % 10
    return f"{digits[:-2]}-{digits[-2:]}-{check}"


async def test_a_source_that_takes_csv_only(served: Served, tmp_path: Path) -> None:
    """It has the way back, and no workbook."""
    warehouse = served.warehouse
    file = tmp_path / "books.csv"
    file.write_text('isbn,title,pages\n1,"\'=Emma",474\n2,"Walden, or Life",\n')
    load(warehouse, "library.books", file)
    before = curated(warehouse, "books")
    assert before[0]["title"] == "=Emma"
    response = await served.reader.get(f"{BOOKS}?form=template&format=csv&sort=isbn")
    assert response.text.splitlines()[:2] == ["ISBN,Title,Pages", "1,'=Emma,474"]
    (tmp_path / "back.csv").write_bytes(response.content)
    load(warehouse, "library.books", tmp_path / "back.csv")
    assert curated(warehouse, "books") == before
    refused = await served.reader.get(f"{BOOKS}?form=template&format=xlsx")
    assert refused.status_code == 422
    assert (await served.reader.get(f"{BOOKS}/template.xlsx")).status_code == 422


async def test_a_source_without_a_way_back(reader: httpx.AsyncClient) -> None:
    response = await reader.get(f"{GEMS}?form=template&format=csv")
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "form"
    assert "Gem" in response.json()["detail"]


async def test_template_rejected_mended(served: Served, tmp_path: Path) -> None:
    """The template is filled and uploaded, what is rejected comes back, is mended and loads."""
    response = await served.reader.get(f"{METABOLITES}/template.xlsx")
    assert response.status_code == 200, response.text
    assert response.content[:2] == b"PK"
    (headers,) = sheet_of(response.content, "Data to upload")
    assert tuple(headers) == HEADERS
    guidelines = sheet_of(response.content, "Guidelines")
    by_header = {row[0]: row for row in guidelines}
    assert by_header["Features"][1] == "yes"
    assert by_header["CAS_number"][1] == "no"
    assert "This is not a CAS number" in by_header["CAS_number"][4]
    examples = [by_header[header][3].splitlines()[0] for header in headers]
    assert examples[2] == BENZOATE
    bad = ["Citrate", "9", "", "65850", "m\u0001_x0041_", "0,5"]
    book = tmp_path / "filled.xlsx"
    write_workbook(book, [headers, examples, bad])
    load_id = load(served.warehouse, "laboratory.metabolites", book)
    account = served.warehouse.account(load_id)
    assert (account["new"], account["rejected"]) == (1, 1)

    answer = await served.reader.get(f"/api/v1/loads/{load_id}/rejected.xlsx")
    assert answer.status_code == 200, answer.text
    names, row = sheet_of(answer.content, "Data to upload")
    assert names == [*headers, *ADDED]
    assert row[:6] == bad
    assert row[6] == "3"
    assert "The identification level goes from 1 (best) to 5 (worst)." in row[8]
    proposed = "Perhaps cas_number: 65850 -> 65-85-0. Perhaps sample_value: 0,5 -> 0.5."
    assert row[8].endswith(proposed)

    unmended = tmp_path / "unmended.xlsx"
    unmended.write_bytes(answer.content)
    again = load(served.warehouse, "laboratory.metabolites", unmended)
    assert served.warehouse.account(again)["rejected"] == 1
    mended = tmp_path / "mended.xlsx"
    write_workbook(mended, [names, ["Citrate", "2", "", "77-92-9", "m", "ND", *row[6:]]])
    last = load(served.warehouse, "laboratory.metabolites", mended)
    assert served.warehouse.account(last)["new"] == 1
    notes = (await served.reader.get(f"/api/v1/loads/{last}")).json()["notes"]
    assert set(ADDED) <= set(notes["unknown_columns"])


async def test_malformed_and_long_rows(served: Served) -> None:
    """A row without columns comes as its line; JSON answers have no endless texts."""
    long = "x" * 5000
    load_id = served.warehouse.load(
        ["a", "b"], [long, "1", "", "", "m", "1"], header=[*HEADER[:-1], "Sample_Data"]
    )
    served.warehouse.build()
    answer = await served.reader.get(f"/api/v1/loads/{load_id}/rejected.xlsx")
    names, malformed, other = sheet_of(answer.content, "Data to upload")
    found = dict(zip(names, malformed, strict=True))
    assert (found[ADDED[0]], found[ADDED[1]].strip()) == ("2", "a,b")
    assert other[0] == long
    listed = (await served.reader.get(f"/api/v1/loads/{load_id}/rejected")).json()["items"]
    text = listed[1]["row"]["features"]
    assert text == "x" * MAX_SHOWN + "… (5000 characters)"


async def test_who_gets_workbooks(clients: Any) -> None:
    for path in (f"{GEMS}/template.xlsx", "/api/v1/loads/1/rejected.xlsx"):
        assert (await clients.nobody.get(path)).status_code == 401
    assert (await clients.reader.get("/api/v1/loads/1/rejected.xlsx")).status_code == 404
    assert (await clients.reader.get(f"{GEMS}/template.xlsx?x=1")).status_code == 422


async def test_checks_of_cells_are_the_contract_s(served: Served) -> None:
    """The level from 1 to 5, as the contract's check has it; texts are cells of text."""
    response = await served.reader.get(f"{METABOLITES}/template.xlsx")
    with zipfile.ZipFile(io.BytesIO(response.content)) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
        styles = book.read("xl/styles.xml").decode()
    checks = re.findall("<dataValidation .*?</dataValidation>", sheet)
    (check,) = (check for check in checks if 'type="whole"' in check)
    assert 'sqref="B2:B1048576"' in check
    assert "<formula1>1</formula1><formula2>5</formula2>" in check
    assert "The identification level goes from 1 (best) to 5 (worst)." in check
    lengths = [check for check in checks if 'type="textLength"' in check]
    assert [re.findall('sqref="(.)2:', check) for check in lengths] == [["A"], ["C"]]
    assert all("<formula1>2000</formula1>" in check for check in lengths)
    assert 'numFmtId="49"' in styles  # ECMA-376, 18.8.30: text
