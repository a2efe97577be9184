"""The vocabulary of listings: what it cannot mean is said before anything is asked."""

from typing import Any

import pytest

from assay.listings import listing_of

GOOD: dict[str, Any] = {"path": "/things", "key": ["id"]}


def read(http: dict[str, Any] | None, **api: Any) -> None:
    listing_of({"load": {"http": http}, "http": api}, "provider")


@pytest.mark.parametrize(
    ("http", "said"),
    [
        (None, "`path` begins with /"),
        (GOOD | {"path": "things"}, "`path` begins with /"),
        (GOOD | {"key": []}, "`key` is a list of fields"),
        (GOOD | {"key": "id"}, "`key` is a list of fields"),
        (GOOD | {"key": ["100 %"]}, "cannot be asked for"),
        (GOOD | {"for_each": "parents"}, "`path` names fields of a parent"),
        (GOOD | {"path": "/things/{id}"}, "`path` names fields of a parent"),
        (GOOD | {"modified": {"field": "at"}}, "a `parameter` and a `field`"),
        (GOOD | {"page": {"size": 0}}, "at least 1"),
    ],
)
def test_what_cannot_be_read_is_said(http: dict[str, Any] | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(http)


def test_nothing_at_once_reads_nothing() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        read(GOOD, concurrency=0)


def test_files_have_no_listing() -> None:
    assert listing_of({"load": {"formats": ["csv"]}}, "provider") is None
