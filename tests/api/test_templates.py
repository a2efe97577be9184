"""Workbooks to fill in, of invented source tables and of the project's own."""

import io
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest
import python_calamine

from api import templates
from api.workbooks import MEDIA_TYPE, Meaning, neutral
from assay.catalog import Catalog, SourceColumn
from tests.api.conftest import GEM, GEMS, SOURCE, Clients
from tests.api.test_loads import LOADS, Database, add_load, add_rejected

pytestmark = pytest.mark.anyio

Sheets = dict[str, list[list[Any]]]


def sheets_of(response: httpx.Response) -> Sheets:
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == MEDIA_TYPE
    assert int(response.headers["Content-Length"]) == len(response.content)
    workbook = python_calamine.load_workbook(io.BytesIO(response.content))
    return {name: workbook.get_sheet_by_name(name).to_python() for name in workbook.sheet_names}


@pytest.mark.parametrize("path", [f"{GEMS}/template.xlsx", f"{LOADS}/1/rejected.xlsx"])
async def test_a_workbook_takes_a_reader(path: str, clients: Clients) -> None:
    assert (await clients.nobody.get(path)).status_code == 401
    assert (await clients.reader.get(path)).status_code in (200, 404)


async def test_a_template_has_the_headers_of_the_source_and_guidelines(
    reader: httpx.AsyncClient,
) -> None:
    response = await reader.get(f"{GEMS}/template.xlsx")
    assert 'filename="shop.gems.template.xlsx"' in response.headers["Content-Disposition"]
    sheets = sheets_of(response)
    assert sheets["Data"] == [["Gem", "Weight (ct)"]]
    assert [row[0] for row in sheets["Guidelines"]] == ["Column", "Gem", "Weight (ct)"]


@pytest.mark.parametrize("query", ["source=shop.rings", "source=", "sources=shop.gems"])
async def test_a_source_that_does_not_feed_the_entity_is_422(
    reader: httpx.AsyncClient, query: str
) -> None:
    assert (await reader.get(f"{GEMS}/template.xlsx?{query}")).status_code == 422
    assert (await reader.get(f"{GEMS}/template.xlsx?source=shop.gems")).status_code == 200


def meaning_of(column: SourceColumn) -> Meaning:
    table = replace(SOURCE, columns=(column,))
    return Meaning(Catalog({"gems": GEM}, {"shop.gems": table}), table)


def source_column(name: str, *becomes: str) -> SourceColumn:
    return SourceColumn(name, name, (), False, "", (), becomes)


def test_a_column_becomes_the_one_of_its_name_or_those_that_it_says() -> None:
    for column, expected in (
        (source_column("grade"), ["grade"]),
        (source_column("weight"), []),
        (source_column("weight", "carat", "state"), ["carat", "state"]),
    ):
        assert [c.name for c in meaning_of(column).columns_of(column)] == expected


def test_an_enum_is_a_drop_down() -> None:
    column = source_column("how", "state")
    check = meaning_of(column).check_of(column)
    assert check
    assert (check["validate"], check["source"]) == ("list", ["weighed", "unweighed"])


def test_what_becomes_several_columns_has_no_check() -> None:
    column = source_column("how", "state", "carat")
    assert meaning_of(column).check_of(column) is None


def test_what_has_no_default_and_no_null_is_required() -> None:
    for name, expected in (("label", True), ("grade", False), ("mine", False)):
        column = source_column(name)
        assert meaning_of(column).is_required(column) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("@a", "'@a"),
        ("+a", "'+a"),
        ("-a", "'-a"),
        ("\ta", "'\ta"),
        ("\ra", "'\ra"),
        ("-0.5", "-0.5"),
        ("+1e-3", "+1e-3"),
        ("-.5", "-.5"),
        ("-0.5\n", "'-0.5\n"),
        ("'=1", "'=1"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_a_text_that_a_spreadsheet_would_run_gets_a_quote(text: str, expected: str) -> None:
    """ASVS 1.2.10; a plain number is left, and so is a text that has its quote."""
    assert neutral(text) == expected


async def test_rejected_rows_come_as_a_workbook_to_mend(
    reader: httpx.AsyncClient, database: Database
) -> None:
    load_id, other = add_load(database), add_load(database)
    add_rejected(database, load_id, 12, "label_required", "grade_range", gem=" x ", weight="1,5")
    add_rejected(database, load_id, 9, "retired_rule", malformed="=a;b;c")
    add_rejected(database, load_id, 10, "grade_range", gem="=1+1", weight="-0.5")
    add_rejected(database, other, 2, "grade_range", gem="y")
    response = await reader.get(f"{LOADS}/{load_id}/rejected.xlsx")
    assert f'filename="load-{load_id}-rejected.xlsx"' in response.headers["Content-Disposition"]
    sheets = sheets_of(response)
    assert sheets["Data"] == [
        ["Gem", "Weight (ct)", *templates.MORE],
        ["", "", "9", "'=a;b;c", "retired_rule"],
        ["'=1+1", "-0.5", "10", "", "Broken: grade_range."],
        [" x ", "1,5", "12", "", "A gem has a label.\nBroken: grade_range."],
    ]
    assert "Guidelines" in sheets


async def test_more_rejected_rows_than_a_page_come_once_each(
    reader: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "_PAGE", 2)
    load_id = add_load(database)
    for number in (9, 10, 11, 100, 2):
        add_rejected(database, load_id, number, "grade_range", gem=f"x{number}")
    sheets = sheets_of(await reader.get(f"{LOADS}/{load_id}/rejected.xlsx"))
    assert [row[2] for row in sheets["Data"][1:]] == ["2", "9", "10", "11", "100"]


async def test_more_rejected_rows_than_a_sheet_takes_are_422(
    reader: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "MAX_ROWS", 1)
    load_id = add_load(database)
    add_rejected(database, load_id, 2, "grade_range", gem="x")
    assert (await reader.get(f"{LOADS}/{load_id}/rejected.xlsx")).status_code == 200
    add_rejected(database, load_id, 3, "grade_range", gem="y")
    response = await reader.get(f"{LOADS}/{load_id}/rejected.xlsx")
    assert response.status_code == 422
    assert "mend the file" in response.json()["detail"]


async def test_a_text_that_no_cell_holds_is_left_out_and_said(
    reader: httpx.AsyncClient, database: Database
) -> None:
    """Half of it would come back as if it were the whole."""
    load_id = add_load(database)
    add_rejected(database, load_id, 2, "grade_range", gem="x" * 32_768, weight="1")
    add_rejected(database, load_id, 3, "grade_range", gem="x" * 32_767, weight="1")
    rows = sheets_of(await reader.get(f"{LOADS}/{load_id}/rejected.xlsx"))["Data"]
    assert (rows[1][0], rows[1][1]) == ("", "1")
    assert "Gem: left out here" in rows[1][4]
    assert rows[2][0] == "x" * 32_767


async def test_long_texts_of_rejected_rows_are_cut_in_json(
    reader: httpx.AsyncClient, database: psycopg.Connection[dict[str, Any]]
) -> None:
    load_id = add_load(database)
    add_rejected(database, load_id, 2, "grade_range", gem="x" * 1001, weight="y" * 1000)
    add_rejected(database, load_id, 3, "grade_range", malformed="z" * 36_000)
    cut, malformed = (await reader.get(f"{LOADS}/{load_id}/rejected")).json()["items"]
    assert cut["row"] == {"gem": "x" * 1000 + " [cut: 1001 characters]", "weight": "y" * 1000}
    assert malformed["malformed"] == "z" * 1000 + " [cut: 36000 characters]"


@pytest.mark.parametrize("path", [f"{GEMS}/template.xlsx", f"{LOADS}/{{load_id}}/rejected.xlsx"])
async def test_a_workbook_is_documented_as_binary(app: Any, path: str) -> None:
    answer = app.openapi()["paths"][path]["get"]["responses"]["200"]
    assert answer["content"] == {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}
