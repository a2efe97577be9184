"""Quotes behind blanks: taken as they are meant, or refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loader.copy import load_file
from loader.csv_files import CsvFile
from loader.errors import LoadError
from loader.headers import ReadAgain
from loader.profile import read_profile
from loader.readers import open_document
from tests.loader.conftest import THINGS, column, source

PARTS = source("parts", column("code"), column("name"), column("price", mandatory=False))


@pytest.fixture
def read(write: Callable[..., Path]) -> Callable[[str], list[tuple[int, list[str]]]]:
    """The records of a text, read again where it shows that it has to be."""
    return lambda content: records_of(write(content))


def records_of(path: Path) -> list[tuple[int, list[str]]]:
    with CsvFile(path) as file:
        layout = file.layout(PARTS)
        try:
            return list(file.records(layout))
        except ReadAgain as again:
            return list(file.records(again.layout))


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('code,name,price\n1, "Oil", 2.5\n', [["1", "Oil", " 2.5"]]),
        (
            'code,name,price\n1, "Salt, fine", 2\n2, "", 3\n',
            [["1", "Salt, fine", " 2"], ["2", "", " 3"]],
        ),
        ('code;name;price\n1;   "5"" pipe";2\n', [["1", '5" pipe', "2"]]),
        ('"code", "name", "price"\n"1", "Oil\nof olives", "2"\n', [["1", "Oil\nof olives", "2"]]),
        (' "code", "name"\r\n "1", "Oil"\r\n', [["1", "Oil"]]),
        ('code\tname\n1\t "Oil"\n', [["1", "Oil"]]),
        # the row above was read without a doubt
        ('code,name\n0, plain\n1, "Oil"', [["0", " plain"], ["1", "Oil"]]),
        # no quote stands behind a blank, or it is inside another value
        ('code,name\n1,5" pipe\n', [["1", '5" pipe']]),
        ('code,name\n1," ""Oil"""\n', [["1", ' "Oil"']]),
        ('code,name\n"{""a"": 1, ""b"": 2}",x\n', [['{"a": 1, "b": 2}', "x"]]),
    ],
)
def test_taken(
    read: Callable[[str], list[tuple[int, list[str]]]], content: str, rows: list[list[str]]
) -> None:
    """A quote behind blanks opens a field; blanks before other values stay as they came."""
    assert [fields for _, fields in read(content)] == rows


@pytest.mark.parametrize(
    ("content", "row"),
    [
        ('code,name,price\n1,"Oil",2\n2, "Salt",3\n', 2),
        ('code,name,price\n1, "Oil",2\n2,"Salt",3\n', 3),
        ('code,name,price\n1, "Oil",2\n2,5" pipe,3\n', 3),
        ('code,name,price\n1, "Oil",2\n2, 5 "big" ones,3\n', 3),
        ('code,name,price\n1,\t"Oil",2\n', 2),
    ],
)
def test_refused(
    read: Callable[[str], list[tuple[int, list[str]]]], content: str, row: int
) -> None:
    """Where quotes stand in both ways the first row that is not like the others is named."""
    with pytest.raises(LoadError, match="some quotes of the file stand behind blanks") as refusal:
        read(content)
    assert refusal.value.row == row


def test_text_behind_the_closing_quote_is_refused(
    read: Callable[[str], list[tuple[int, list[str]]]],
) -> None:
    """As in every CSV file."""
    with pytest.raises(LoadError, match="row 2: text follows a closing quote"):
        read('code,name\n1, "Oil" of olives\n')


texts = st.text(st.sampled_from('ab ,"\n'), max_size=6)


@given(rows=st.lists(st.tuples(texts, texts, texts), max_size=5), blanks=st.integers(1, 3))
@settings(max_examples=300, deadline=None)
def test_any_table(
    rows: list[tuple[str, ...]], blanks: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What a CSV writer quoted and somebody spaced reads as before."""
    path = tmp_path_factory.getbasetemp() / "spaced.csv"
    lines = [
        ("," + " " * blanks).join('"' + field.replace('"', '""') + '"' for field in row)
        for row in (("code", "name", "price"), *rows)
    ]
    path.write_text("".join(line + "\n" for line in lines), newline="")
    assert [tuple(fields) for _, fields in records_of(path)] == rows


def test_a_draft_reads_them_too(write: Callable[..., Path]) -> None:
    """What is guessed of columns is guessed of the values, not of their quotes."""
    path = write('code, name\n1, "Oil"\n2, "Salt, fine"\n')
    with open_document(path) as document:
        profile = read_profile(document)
    assert profile.columns[1].examples == ["Oil", "Salt, fine"]


def test_as_a_load(
    conninfo: str, query: Callable[..., list[dict[str, Any]]], write: Callable[..., Path]
) -> None:
    """Both rows arrive, whichever showed that the file is spaced."""
    content = 'Thing Name, Colour\ncup, red\npot, "tan, dark"\n'
    load_file(conninfo, THINGS, write(content), loaded_by="ann")
    rows = query("select thing, colour from raw.shop__things order by _row_number")
    assert [(row["thing"], row["colour"]) for row in rows] == [
        ("cup", " red"),
        ("pot", "tan, dark"),
    ]
