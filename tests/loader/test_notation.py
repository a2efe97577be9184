"""What a file proves of how it writes days and decimals."""

from collections.abc import Callable
from pathlib import Path

import pytest

from loader.notation import Evidence, Notation, notation_of
from loader.profile import read_profile
from loader.readers import open_document


def evidence(*values: str) -> Evidence:
    found = Evidence()
    for value in values:
        found.add(value)
    return found


@pytest.mark.parametrize(
    ("columns", "dates", "decimal"),
    [
        # a day over 12 proves the order
        ([["03/04/2026", "31/01/2026"]], "dmy", None),
        ([["3.4.2026", "31.1.2026"]], "dmy", None),
        ([["03/04/2026", "01/31/2026"]], "mdy", None),
        ([["2026/01/31", "2026/04/03"]], "ymd", None),
        ([["31-01-2026 12:00", "01-02-2026T00:00:00Z"]], "dmy", None),
        # one column proves it for the others
        ([["03/04/2026"], ["31/01/2026"]], "dmy", None),
        # nothing is proven, or two columns prove different orders
        ([["03/04/2026", "05/06/2026"]], None, None),
        ([["31/01/2026"], ["01/31/2026"]], None, None),
        ([["31/01/2026", "01/31/2026"]], None, None),
        ([["31/02/2026"]], None, None),
        ([["2026-01-31"]], None, None),
        ([["31/01/2026", "unknown"]], None, None),
        ([["31/01/26"]], None, None),
        # a comma with one or two digits, or four, behind it
        ([["8,95", "12", "1,234"]], None, ","),
        ([["-0,5"]], None, ","),
        ([["0,125"]], None, ","),
        ([["1,2345"]], None, ","),
        # thousands, words, or a point beside
        ([["1,234", "12,345"]], None, None),
        ([["8,95", "1.50"]], None, None),
        ([["8,95"], ["1.50", "2.25"]], None, None),
        ([["8,95", "n/a"]], None, None),
        ([["1.234,50"]], None, None),
        ([["12"]], None, None),
        ([["8,95"], ["31.12.2026"]], "dmy", ","),
    ],
)
def test_proof(columns: list[list[str]], dates: str | None, decimal: str | None) -> None:
    """It is only what the columns cannot mean otherwise."""
    found = notation_of(evidence(*values) for values in columns)
    assert found == Notation(dates, decimal)


@pytest.mark.parametrize(
    ("notation", "value", "plain"),
    [
        (Notation("dmy"), "3.4.2026", "2026-04-03"),
        (Notation("mdy"), "3/4/2026 10:00", "2026-03-04 10:00"),
        (Notation("dmy"), "2026-04-03", "2026-04-03"),
        (Notation("dmy"), "99/99/2026", "99/99/2026"),
        (Notation(None, ","), "8,95", "8.95"),
        (Notation(None, ","), "a,b", "a,b"),
        (Notation(), "8,95", "8,95"),
    ],
)
def test_plain(notation: Notation, value: str, plain: str) -> None:
    """Values are taken as the source writes them."""
    assert notation.plain(value) == plain


def test_columns_get_their_types(write: Callable[..., Path]) -> None:
    """Also those that prove nothing themselves."""
    path = write(
        "day;other;at;price;pieces\n31.01.2026;01.02.2026;31.01.2026 10:00;8,95;3\n"
        "02.03.2026;04.05.2026;01.02.2026 11:30;1,234;12\n"
    )
    with open_document(path) as document:
        profile = read_profile(document)
    assert profile.notation == Notation("dmy", ",")
    types = [column.data_type for column in profile.columns]
    assert types == ["date", "date", "timestamptz", "numeric", "integer"]
