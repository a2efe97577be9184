"""Apprenticeships by the API: what should be unique warns, and personal columns stay hidden."""

from typing import Any

import pytest

from api.tokens import Tokens
from tests.api.conftest import Served
from tests.api.test_personal_data import client

pytestmark = pytest.mark.anyio

PATH = "/api/v1/apprenticeships"
PROGRAMME = {"id": "p-1", "name": "Data engineering", "duration": 18}
SHARED = "email_address_shared"


def apprenticeship(key: str, address: str | None) -> dict[str, Any]:
    return {
        "id": key,
        "name": "Data engineering, autumn",
        "programme_id": "p-1",
        "last_name": "Fernfield",
        "email_address": address,
    }


def warned(item: dict[str, Any]) -> list[str]:
    return [warning["name"] for warning in item["warnings"]]


async def test_a_shared_address_warns_and_is_written(served: Served, tokens: Tokens) -> None:
    scopes = ("programmes:write", "apprenticeships:write", "apprenticeships:pii")
    async with client(served, served.app, tokens, "editor", *scopes) as editor:
        made = await editor.post("/api/v1/programmes", json=PROGRAMME)
        assert made.status_code == 201, made.text
        first = await editor.post(PATH, json=apprenticeship("a-1", "alma@example.org"))
        assert (first.status_code, warned(first.json())) == (201, [])
        second = await editor.post(PATH, json=apprenticeship("a-2", "alma@example.org"))
        assert (second.status_code, warned(second.json())) == (201, [SHARED])
        # with itself it shares nothing, nor where there is none
        other = await editor.patch(f"{PATH}/a-2", json={"email_address": "bruno@example.org"})
        assert warned(other.json()) == []
        rows = [apprenticeship(key, None) for key in ("a-3", "a-4")]
        none = await editor.post(PATH, json=rows)
        assert [warned(item) for item in none.json()["items"]] == [[], []]
        both = await editor.post(
            PATH, json=[apprenticeship(key, "cara@example.org") for key in ("a-5", "a-6")]
        )
        assert [warned(item) for item in both.json()["items"]] == [[SHARED], [SHARED]]


async def test_b23_a_warning_tells_nothing_of_hidden_columns(
    served: Served, tokens: Tokens
) -> None:
    write = ("programmes:write", "apprenticeships:write")
    async with client(
        served, served.app, tokens, "editor", *write, "apprenticeships:pii"
    ) as editor:
        await editor.post("/api/v1/programmes", json=PROGRAMME)
        rows = [apprenticeship(key, "cara@example.org") for key in ("a-5", "a-6")]
        assert (await editor.post(PATH, json=rows)).status_code == 201
    async with client(served, served.app, tokens, "editor", *write) as clerk:
        changed = await clerk.patch(f"{PATH}/a-5", json={"name": "Energy data"})
        assert (changed.status_code, changed.json()["warnings"]) == (200, [])
        assert not {"email_address", "last_name", "repairs"} & set(changed.json())


async def test_an_address_is_written_in_lower_case(served: Served) -> None:
    refused = await served.editor.post(PATH, json=apprenticeship("a-1", "Alma@example.org"))
    assert refused.status_code == 403, "personal columns need their scope"
