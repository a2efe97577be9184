"""Catalogue files as shops send them: each row is judged by itself, and no file is a 5xx."""

import io
import json
from datetime import date, datetime
from typing import Any

import httpx
import psycopg
import pytest
import xlsxwriter

from tests.api.conftest import Served, upload

pytestmark = pytest.mark.anyio

PRODUCTS = "/api/v1/products"
HEADER = "name,price,quantity,last_updated,barcode"
GOOD = "Tea,2.50,12,2026-01-31,0001"
BROKEN = [
    ("barcode_digits", "Tea,2.50,12,2026-01-31,12A"),
    ("barcode_digits", "Tea,2.50,12,2026-01-31,123456789012345"),
    ("barcode_required", "Tea,2.50,12,2026-01-31,"),
    ("name_required", " ,2.50,12,2026-01-31,101"),
    ("price_type", 'Tea,"2,50",12,2026-01-31,102'),
    ("price_type", "Tea,NaN,12,2026-01-31,103"),
    ("price_type", "Tea,Infinity,12,2026-01-31,104"),
    ("price_not_negative", "Tea,-0.01,12,2026-01-31,105"),
    ("price_bound", "Tea,1e5000,12,2026-01-31,116"),
    ("price_bound", f"Tea,{'1' * 41},12,2026-01-31,117"),
    ("price_required", "Tea,,12,2026-01-31,106"),
    ("quantity_type", "Tea,2.50,1.5,2026-01-31,107"),
    ("quantity_type", "Tea,2.50,99999999999,2026-01-31,108"),
    ("quantity_not_negative", "Tea,2.50,-1,2026-01-31,109"),
    ("last_updated_type", "Tea,2.50,12,31/01/2026,110"),
    ("last_updated_type", "Tea,2.50,12,2026-02-30,111"),
    ("last_updated_type", "Tea,2.50,12,infinity,112"),
    ("last_updated_required", "Tea,2.50,12,,113"),
    ("field_count", "Tea,2.50,12,2026-01-31,114,more"),
    ("one_row_per_barcode", "Tea,2.50,12,2026-01-31,115"),
    ("one_row_per_barcode", "Coffee,2.50,12,2026-01-31,115"),
]


async def send(served: Served, content: bytes, name: str = "products.csv") -> httpx.Response:
    return await upload(served.editor, PRODUCTS, content, name)


def account_of(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    (account,) = response.json()["entities"]
    told = ("new", "changed", "unchanged", "superseded", "duplicates", "rejected")
    assert account["rows"] == sum(account[name] for name in told)
    found: dict[str, Any] = account
    return found


async def test_a_bad_row_takes_no_good_one_with_it(served: Served) -> None:
    lines = [HEADER, GOOD, *(line for _, line in BROKEN), "Milk,0,0,2026-01-31T08:00:00+01:00,2"]
    response = await send(served, "\n".join(lines).encode())
    account = account_of(response)
    assert (account["rows"], account["new"], account["rejected"]) == (23, 2, 21)
    load_id = response.json()["load_id"]
    rejected = await served.editor.get(f"/api/v1/loads/{load_id}/rejected", params={"limit": 100})
    found = {
        row["row_number"]: [rule["name"] for rule in row["rules"]]
        for row in rejected.json()["items"]
    }
    assert found == {n: [rule] for n, (rule, _) in enumerate(BROKEN, start=3)}
    listed = (await served.reader.get(PRODUCTS, params={"sort": "barcode"})).json()["items"]
    assert [(row["barcode"], row["price"], row["quantity"]) for row in listed] == [
        ("0001", 2.5, 12),
        ("2", 0, 0),
    ]
    assert listed[1]["last_updated"] == "2026-01-31T07:00:00+00:00"

    # the next file changes, adds and repeats; what else it has is kept and told
    again = "\n".join(
        [
            f"{HEADER},supplier",
            "Tea,2.75,12,2026-02-01 10:00:00,0001,Best",
            "Milk,0,0,2026-01-31T08:00:00+01:00,2,Best",
            "Salt,1,5,2026-02-01,01,Best",
        ]
    )
    response = await send(served, again.encode())
    account = account_of(response)
    assert (account["new"], account["changed"], account["rejected"]) == (1, 1, 0)
    assert response.json()["notes"]["unknown_columns"] == ["supplier"]
    extra = served.warehouse.query("select _extra from raw.shop__products where _extra is not null")
    assert {row["_extra"]["supplier"] for row in extra} == {"Best"}

    # workbooks: numbers and dates as themselves, or as text
    output = io.BytesIO()
    with xlsxwriter.Workbook(output, {"default_date_format": "yyyy-mm-dd"}) as book:
        sheet = book.add_worksheet()
        for n, row in enumerate(
            [
                HEADER.split(","),
                ["Rice", 3.25, 7, date(2026, 3, 1), "00000000000017"],
                ["Oats", "1.99", "8", "2026-03-01T12:00:00Z", 4006381333931],
                ["Corn", 0.5, 1, datetime(2026, 3, 1, 6, 30), "18"],  # noqa: DTZ001 - a cell
            ]
        ):
            sheet.write_row(n, 0, row)
    assert account_of(await send(served, output.getvalue(), "products.xlsx"))["new"] == 3
    found_row = (await served.reader.get(f"{PRODUCTS}/4006381333931")).json()
    assert (found_row["price"], found_row["quantity"]) == (1.99, 8)
    corn = (await served.reader.get(f"{PRODUCTS}/18")).json()
    assert corn["last_updated"] == "2026-03-01T06:30:00+00:00"
    assert (await served.reader.get(f"{PRODUCTS}/00000000000017")).json()["name"] == "Rice"

    # what is no catalogue at all
    for name, content in (
        ("products.xls", b"\xd0\xcf\x11\xe0"),
        ("products.xlsx", b"no workbook"),
        ("products.csv", b"\x89PNG\r\n\x1a\n\0\0\0"),
        ("products.csv", b""),
        ("products.csv", b"name,price\nTea,2\n"),
    ):
        refused = await send(served, content, name)
        assert 400 <= refused.status_code < 500, (name, refused.text)
        assert refused.json()["detail"]


async def test_products_are_written_by_their_barcode(served: Served) -> None:
    """The client's own key, whose zeros stay."""
    body = {
        "barcode": "007",
        "name": "Tea",
        "price": 2.5,
        "quantity": 1,
        "last_updated": "2026-01-31T00:00:00Z",
    }
    made = await served.editor.post(PRODUCTS, json=body)
    assert (made.status_code, made.headers["location"]) == (201, f"{PRODUCTS}/007")
    assert (await served.editor.post(PRODUCTS, json={**body, "barcode": "7"})).status_code == 201
    for change, rule in (
        ({"barcode": "7x"}, "barcode_digits"),
        ({"price": -1}, "price_not_negative"),
        ({"quantity": -1}, "quantity_not_negative"),
        ({"last_updated": "soon"}, "last_updated_type"),
        ({"barcode": "7"}, "one_row_per_barcode"),
    ):
        refused = await served.editor.patch(f"{PRODUCTS}/007", json=change)
        assert refused.status_code in (409, 422)
        assert refused.json()["errors"][0]["rule"] == rule
    found = await served.reader.get(PRODUCTS, params={"q": "tea"})
    assert len(found.json()["items"]) == 2


async def test_a_number_without_bound_is_refused_by_every_writer(served: Served) -> None:
    """In the API as in a file, by the rule and the constraint that follow from the type."""
    tea = {"barcode": "118", "name": "Tea", "quantity": 1, "last_updated": "2026-01-31"}
    headers = {"Content-Type": "application/json"}
    for price in ("1e5000", '"1e5000"', "1e-400", "1" * 41, f"0.{'1' * 41}"):
        body = json.dumps(tea)[:-1] + f', "price": {price}}}'
        response = await served.editor.post(PRODUCTS, content=body, headers=headers)
        assert response.status_code == 422, price
        (error,) = response.json()["errors"]
        assert (error["rule"], error["columns"]) == ("price_bound", ["price"])
        assert "40 significant digits" in error["detail"]
    with pytest.raises(psycopg.errors.CheckViolation, match="products__price_bound"):
        served.warehouse.query(
            "insert into curated.products (barcode, name, price, quantity, last_updated,"
            " updated_at, updated_by, repairs)"
            " values ('119', 'Tea', 'NaN', 1, now(), now(), '', '{}')"
        )
    body = json.dumps(tea)[:-1] + f', "price": {"9" * 40}}}'
    made = await served.editor.post(PRODUCTS, content=body, headers=headers)
    assert made.status_code == 201, made.text
    schema = (await served.editor.get("/openapi.json")).json()["components"]["schemas"]
    assert "1.7976931348623157e+308" in json.dumps(schema)
