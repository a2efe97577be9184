"""The sentence of a refusal."""

import pytest

from loader.errors import LoadError


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (LoadError("it is empty"), "it is empty."),
        (LoadError("it is empty", remedy="fill it"), "it is empty; fill it."),
        (
            LoadError("it is odd", file="a.csv", row=3, column="Colour", remedy="look"),
            "a.csv, row 3, column Colour: it is odd; look.",
        ),
        (LoadError("it is odd", row=3), "row 3: it is odd."),
    ],
)
def test_one_sentence(error: LoadError, sentence: str) -> None:
    """File, row, column, message and remedy make one sentence; what is unknown is left out."""
    assert str(error) == sentence
