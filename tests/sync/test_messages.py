"""A receiver is told in its own words, as the contract and the settings declare them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from assay.deliveries import Sync
from sync.messages import messages_of
from sync.outbox import Change
from tests.sync.conftest import Shop
from tests.sync.receiver import PASSWORD, USERNAME, served

pytestmark = pytest.mark.anyio

ROWS = Sync("/products", items="rows", list_name="products", delete="/products/{key}")


@dataclass
class Market:
    """Takes `{"products": [...]}` from whoever has logged in, in one of many ways."""

    login: str
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    bodies: list[str] = field(default_factory=list)
    url: str = ""

    async def log_in(self, request: Request) -> Response:
        given = await (request.json() if self.login == "json" else request.form())
        if (given["username"], given["password"]) != (USERNAME, PASSWORD):
            return Response(status_code=403)
        if self.login == "cookie":
            answer: Response = RedirectResponse("/welcome", 303)
            answer.set_cookie("session", "ours")
            return answer
        return JSONResponse({"data": "x", "jwt": "ours"})

    def knows(self, request: Request) -> bool:
        said = request.headers.get("authorization", "")
        if self.login == "cookie":
            return request.cookies.get("session") == "ours"
        if self.login == "basic":
            return said == "Basic YXNzYXk6YSBwYXNzd29yZCBvZiB0aGUgcmVjZWl2ZXI="
        return self.login == "none" or said == "Bearer ours"

    async def take(self, request: Request) -> Response:
        if not self.knows(request):
            return Response(status_code=401)
        self.bodies.append((await request.body()).decode())
        body = await request.json()
        if set(body) != {"products"} or not all("code" in row for row in body["products"]):
            return Response("no products", 422)
        self.rows |= {row["code"]: row for row in body["products"]}
        return JSONResponse({"success": True})

    async def remove(self, request: Request) -> Response:
        if not self.knows(request):
            return Response(status_code=401)
        found = self.rows.pop(request.path_params["code"], None)
        return Response(status_code=204 if found else 404)


@contextmanager
def market(login: str) -> Iterator[Market]:
    made = Market(login)
    routes = [
        Route("/login", made.log_in, methods=["POST"]),
        Route("/products", made.take, methods=["POST"]),
        Route("/products/{code:path}", made.remove, methods=["DELETE"]),
    ]
    with served(Starlette(routes=routes)) as made.url:
        yield made


def declare(shop: Shop, **changes: Any) -> None:
    entity = replace(shop.entity, sync=replace(ROWS, **changes))
    shop.catalog = replace(shop.catalog, entities={entity.name: entity})


@pytest.mark.parametrize("login", ["form", "json", "cookie", "basic", "none"])
async def test_a_receiver_of_rows_is_fed_without_an_adapter(shop: Shop, login: str) -> None:
    """Rows in a field of the body, under its names; what is gone is deleted, also twice."""
    declare(shop, columns=(("barcode", "code"), ("price", "amount")))
    with market(login) as receiver:
        settings: dict[str, Any] = {
            "sync_url": receiver.url,
            "sync_login": "form" if login == "cookie" else login,
            "sync_token_path": "/login",
            "sync_token_field": "jwt",
        }
        account = await shop.deliver(**settings)
        assert (account.delivered, account.error) == (5, None)
        expected = {
            barcode: {"code": barcode, "amount": row["price"]}
            for barcode, row in shop.rows().items()
        }
        assert receiver.rows == expected
        await shop.put("40", price=1)
        await shop.deliver(**settings)
        assert set(receiver.rows) == {*expected, "40"}
        for barcode in ("40", "7"):
            await shop.delete(barcode)
        receiver.rows.pop("7")  # it was there before us
        account = await shop.deliver(**settings)
        assert (account.delivered, account.error) == (2, None)
        assert set(receiver.rows) == set(expected) - {"7"}


async def test_deletions_that_a_receiver_does_not_know(shop: Shop) -> None:
    """Where the contract says so they are not told."""
    declare(shop, columns=(("barcode", "code"),), delete=None)
    with market("none") as receiver:
        settings: dict[str, Any] = {"sync_url": receiver.url, "sync_login": "none"}
        await shop.deliver(**settings)
        await shop.delete("7")
        account = await shop.deliver(**settings)
        assert (account.delivered, account.error) == (1, None)
        assert "7" in receiver.rows


async def test_who_wrote_a_row_is_not_told(shop: Shop) -> None:
    """Whatever else is: our accounts are nobody's business elsewhere."""
    for columns in ((), (("barcode", "code"), ("updated_by", "by"))):
        entity = replace(shop.entity, sync=Sync("/products", columns=columns))
        shop.catalog = replace(shop.catalog, entities={entity.name: entity})
        await shop.put("7", quantity=len(columns) + 30)
        await shop.deliver(sync_url="http://127.0.0.1:9")
        rows = [row["body"] for row in shop.outbox()]
        assert rows
        assert not any("clerk" in str(row.values()) for row in rows)


def test_numbers_are_written_as_postgresql_wrote_them() -> None:
    """Neither as a double nor without their zeros."""
    row = '{"price": 8.950, "mass": 12345678901234567890.123456789, "far": 1e400}'
    change = Change(3, "key", "7", "upsert", row, 0)
    gone = Change(4, "other", 'a"/b?', "delete", None, 0)
    (message,) = messages_of(Sync("/p"), [change, gone])
    assert message.body is not None
    assert f'"row": {row}' in message.body
    assert message.body.endswith('"key": "a\\"/b?", "row": null}]')
    (told, deleted) = messages_of(ROWS, [change, gone])
    assert told.body == f'{{"products": [{row}]}}'
    assert (deleted.method, deleted.path) == ("DELETE", "/products/a%22%2Fb%3F")
