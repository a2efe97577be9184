"""What an answer says, or that it says nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.http.pages import Page, PageError, read_page

NEXT = "pagination.next_token"
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
blanks = st.sampled_from([None, 1, "\t"])


@given(st.lists(values), values, st.none() | st.text(min_size=1), blanks, st.booleans())
def test_a_page_is_read_as_json_says(
    records: list[object], more: object, token: str | None, indent: int | str | None, order: bool
) -> None:
    pagination = {"next_token": token, "page_size": 3}
    body = {"more": more, "data": records, "pagination": pagination}
    body = body if order else dict(reversed(body.items()))
    text = json.dumps(body, indent=indent)
    page = read_page(text, "data", NEXT)
    assert [json.loads(record) for record in page.records] == records
    assert page.next_token == token
    only = read_page(json.dumps(records, indent=indent), None, None)
    assert [json.loads(record) for record in only.records] == records


def test_records_are_not_written_anew() -> None:
    text = '{"data": [{"a": 1.10, "b": 12345678901234567890.5, "c": "\\u00e9"} , 7]}'
    expected = ('{"a": 1.10, "b": 12345678901234567890.5, "c": "\\u00e9"}', "7")
    assert read_page(text, "data", None) == Page(expected, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{",
        '{"data": [1, 2',
        '{"data": [1 2], "pagination": {"next_token": null}}',
        '{"data": [1,], "pagination": {"next_token": null}}',
        '{"data": [NaN], "pagination": {"next_token": null}}',
        '{"data": {}, "pagination": {"next_token": null}}',
        '{"data": [], "pagination": {}}',
        '{"data": [], "pagination": null}',
        '{"data": []}',
        '{"pagination": {"next_token": null}}',
        '{"data": [], "pagination": {"next_token": null}} {}',
        '{"data": [], "pagination": {"next_token": null},}',
        "<html>Bad gateway</html>",
        '{"data": ' + "[" * 100_000,
    ],
)
def test_what_is_no_page_is_refused(text: str) -> None:
    with pytest.raises(PageError):
        read_page(text, "data", NEXT)


@given(st.integers(0, 71))
def test_a_page_that_was_cut_off_is_refused(length: int) -> None:
    whole = json.dumps({"data": [{"id": "a"}, {"id": "b"}], "pagination": {"next_token": None}})
    assert length < len(whole)
    with pytest.raises(PageError):
        read_page(whole[:length], "data", NEXT)
