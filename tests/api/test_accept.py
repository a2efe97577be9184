"""What the client takes."""

import httpx
import psycopg
import pytest

from api.accept import ranges_of, weight_of
from tests.api.conftest import GEMS

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("accept", "is_admitted"),
    [
        ("application/json", True),
        ("APPLICATION/JSON", True),
        ("application/*", True),
        ("*/*", True),
        ("text/html, application/xhtml+xml, */*;q=0.8", True),
        ("application/json; charset=utf-8", True),
        ("application/json;q=0.001", True),
        ("text/html", False),
        ("application/problem+json", False),
        ("text/*, image/png", False),
        ("application/json;q=0", False),
        ("application/json; q=0.000, */*", False),
        ("application/*;q=0, */*", False),
        ("application/*;q=0, application/json", True),
        (";;,,", False),
    ],
)
def test_b32_the_most_precise_range_decides(accept: str, is_admitted: bool) -> None:
    """RFC 9110, 12.5.1."""
    assert bool(weight_of("application/json", ranges_of(accept))) == is_admitted


async def test_b32_what_could_not_be_answered_is_not_done(
    editor: httpx.AsyncClient, database: psycopg.Connection[dict[str, object]]
) -> None:
    """406 comes before anything is written."""
    headers = {"Accept": "application/xml"}
    answer = await editor.post(GEMS, json={"label": "a"}, headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (406, "This answers application/json.")
    assert database.execute("select count(*) from curated.gems").fetchone() == {"count": 0}
    assert (await editor.get("/live", headers=headers)).status_code == 200
