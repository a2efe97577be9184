"""How headers are matched."""

import pytest

from loader.errors import LoadError
from loader.headers import match_headers, normalise
from tests.loader.conftest import THINGS


@pytest.mark.parametrize(
    "spelling",
    [
        "Sample Data",
        "Sample_Data",
        "sampledata",
        " SAMPLE  DATA ",
        "\ufeffSample\u00a0Data",
        "Sam\u200bple_Data\u200d",
        "Sample\nData",
    ],
)
def test_a44_spellings_of_a_header(spelling: str) -> None:
    """Case, white space, `_`, byte order marks and zero-width characters do not matter."""
    assert normalise(spelling) == "sampledata"


@pytest.mark.parametrize("header", ["Thing Name", "thing_name", "THING", "Designation"])
def test_header_name_and_alias(header: str) -> None:
    """A column is known by its header, its name and its aliases; all but the first are noted."""
    layout = match_headers(THINGS, [header, "Colour"], 1)
    assert [column and column.name for column in layout.columns] == ["thing", "colour"]
    layout.check()
    renamed = {} if header == "Thing Name" else {"renamed_headers": {header: "Thing Name"}}
    assert layout.notes() == renamed


def test_any_order_and_unknown_headers() -> None:
    """Columns may stand in any order, with unknown ones between them."""
    layout = match_headers(THINGS, ["Weight (g)", "", "Batch", "Colour", "Thing Name", "", ""], 4)
    names = [column and column.name for column in layout.columns]
    assert names == ["weight", None, None, "colour", "thing", None, None]
    assert layout.width == 5
    assert layout.header(1) == "column 2"
    assert layout.notes() == {"header_row": 4}


@pytest.mark.parametrize(
    ("cells", "positions"),
    [
        (
            ["Thing Name", "Colour", "thing_name"],
            "column 1 occurs again as 'thing_name' in column 3",
        ),
        (["Thing Name", "Colour", "designation"], "again as 'designation' in column 3"),
        (["A", "a", "Colour", "Thing Name", "colour "], "column 3 occurs again as 'colour ' in"),
    ],
)
def test_a43_repeated_headers_are_refused(cells: list[str], positions: str) -> None:
    """Two headers of one column that is read are refused with both positions."""
    with pytest.raises(LoadError, match="occurs again") as refusal:
        match_headers(THINGS, cells, 1).check()
    assert positions in str(refusal.value)


def test_a43_unread_headers_may_be_repeated() -> None:
    """But not where each is to become a column."""
    layout = match_headers(THINGS, ["A", "Thing Name", "Colour", "a "], 1)
    layout.check()
    with pytest.raises(LoadError, match="column 1 occurs again as 'a ' in column 4"):
        layout.check(all_headers=True)


def test_a43_missing_headers_are_named_with_a_hint() -> None:
    """All missing headers are named, with what was found and what may be meant."""
    with pytest.raises(LoadError) as refusal:
        match_headers(THINGS, ["Thing Nmae", "Weight (g)", "Colors"], 1).check()
    assert str(refusal.value) == (
        "row 1: mandatory header 'Thing Name', 'Colour' is missing (found 'Thing Nmae', "
        "'Weight (g)', 'Colors'; 'Thing Nmae' may be meant for 'Thing Name'; "
        "'Colors' may be meant for 'Colour'); add the column or correct its header."
    )
