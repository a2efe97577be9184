"""JSON bodies: bounded, and with one meaning only."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from decimal import Decimal
from itertools import cycle
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.body import MAX_BYTES_OF_LIST, ValueCounter, parse_json
from api.errors import Problem
from tests.api.conftest import GEMS

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda children: st.lists(children) | st.dictionaries(st.text("abc\u00fc"), children),
    max_leaves=20,
)


def count_of(value: object) -> int:
    """Values in a document but the outermost: what a counter of commas and brackets finds."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return 0
    return 1 + max(len(value) - 1, 0) + sum(map(count_of, value))


@given(VALUES, st.booleans(), st.lists(st.integers(1, 9), min_size=1))
def test_values_are_counted_while_they_come(
    value: object, is_ascii: bool, sizes: list[int]
) -> None:
    """In pieces of any size, wherever they are cut: in an escape, in a character."""
    body = json.dumps(value, ensure_ascii=is_ascii).encode()
    counter, start = ValueCounter(), 0
    count = counter.feed(b"")
    for size in cycle(sizes):
        if start >= len(body):
            break
        count = counter.feed(body[start : start + size])
        start += size
    assert count == count_of(value)


@pytest.mark.parametrize(
    "piece", [b'{"":0},', b"[],", b"0,", b'{"label":"a","extra":[{}]},'], ids=range(4)
)
async def test_a_body_of_too_many_values_is_refused_while_it_comes(
    editor: httpx.AsyncClient, piece: bytes
) -> None:
    """No value of it is made: 16 MiB of these would take Python more than a gigabyte."""
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b"["
        while sent < MAX_BYTES_OF_LIST:
            sent += len(piece) * 10_000
            yield piece * 10_000

    answer = await editor.post(GEMS, content=pieces(), headers=JSON)
    assert answer.status_code == 413
    assert answer.json()["detail"] == "The body has more than 400,000 values."
    assert sent < MAX_BYTES_OF_LIST


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"1",
        b'"label"',
        b'{"label": "a", "label": "b"}',
        b'{"label": "a", "extra": {"x": 1, "x": 2}}',
        b'{"label": "a", "carat": NaN}',
        b'{"label": "a", "carat": Infinity}',
        b'{"label": "a", "extra": [-Infinity]}',
        b'{"label": "a\\u0000"}',
        b'{"label": "a", "extra": {"\\u0000": 1}}',
        b'{"label": "\\ud800"}',
        b'{"label": "\\udc00\\ud800"}',
        b'{"\\ud800": 1, "\\ud800": 1}',
        b'{"label": "a", "extra": ["\\udfff"]}',
        b'{"label": "\xff"}',
        b'{"label": "a\tb"}',
        b"{'label': 'a'}",
        b'{"label": "a",}',
        b'\xef\xbb\xbf{"label": "a"}',
        '{"label": "a"}'.encode("utf-16"),
        b'{"label": "a", "extra": ' + b"[" * 65 + b"]" * 65 + b"}",
        b'{"label": "a", "extra": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"extra":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"label": "a", "facets": ' + b"9" * 1_000_000 + b"}",
    ],
    ids=range(27),
)
async def test_b30_a_body_that_has_no_one_meaning_is_422(
    editor: httpx.AsyncClient, body: bytes
) -> None:
    response = await editor.post(GEMS, content=body, headers=JSON)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"].startswith("#")


async def test_a_pair_of_surrogates_is_a_character(editor: httpx.AsyncClient) -> None:
    body = b'{"label": "\\ud83d\\udc8e"}'
    assert (await editor.post(GEMS, content=body, headers=JSON)).json()["label"] == "\U0001f48e"


async def test_a_numeric_of_many_digits_is_held(editor: httpx.AsyncClient) -> None:
    digits = "9" * 5000 + "." + "1" * 5000
    body = f'{{"label": "a", "carat": {digits}}}'
    response = await editor.post(GEMS, content=body, headers=JSON)
    assert f'"carat":{digits},' in response.text


@pytest.mark.parametrize("length", [str(1 << 40), "5", None])
async def test_b31_a_body_is_refused_while_it_streams_in(
    editor: httpx.AsyncClient, length: str | None
) -> None:
    """Whatever its length is said to be, little more than 1 MiB is read of it."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1 << 16
            yield b" " * (1 << 16)

    headers = JSON | ({"Content-Length": length} if length else {})
    response = await editor.post(GEMS, content=endless(), headers=headers)
    assert response.status_code in (413, 422)
    assert sent <= (1 << 20) + (1 << 17)


async def test_a_body_of_exactly_1_mib_is_read(editor: httpx.AsyncClient) -> None:
    body = b'{"label": "a"}'.ljust(1 << 20)
    assert (await editor.post(GEMS, content=body, headers=JSON)).status_code == 201


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json; charset=utf-8", 201),
        ("APPLICATION/JSON", 201),
        ("application/merge-patch+json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonp", 415),
        ("", 415),
    ],
)
async def test_b32_the_content_type_is_json(
    editor: httpx.AsyncClient, media_type: str, status: int
) -> None:
    headers = {"Content-Type": media_type}
    response = await editor.post(GEMS, content=b'{"label": "a"}', headers=headers)
    assert response.status_code == status


@given(VALUES)
def test_what_json_can_say_is_read_as_it_is(value: Any) -> None:
    if "\0" in json.dumps(value, ensure_ascii=False) or "\\u0000" in json.dumps(value):
        with pytest.raises(Problem):
            parse_json(json.dumps(value))
    else:
        assert parse_json(json.dumps(value)) == value


@given(st.text())
def test_any_text_is_json_or_a_problem(text: str) -> None:
    with suppress(Problem):
        parse_json(text)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_digits(number: Decimal) -> None:
    text = f"{number:f}"
    parsed = parse_json(text)
    assert f"{parsed:f}" == text if "." in text else parsed == int(text)
