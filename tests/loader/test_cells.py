"""What cells say that Calamine does not: texts in other places, errors, formats of zeros."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loader.copy import load_file
from loader.errors import LoadError
from loader.profile import read_profile
from loader.readers import open_document
from tests.loader.conftest import THINGS
from tests.loader.ooxml import STRICT, TRANSITIONAL, Book, row

HEADER = row(1, "Thing Name", "Colour", "Weight (g)")
Stored = Callable[[Book], tuple[list[tuple[str | None, ...]], dict[str, Any]]]


@pytest.fixture
def stored(conninfo: str, query: Callable[..., list[dict[str, Any]]], tmp_path: Path) -> Stored:
    """The rows of a workbook as raw has them, and the notes."""

    def run(book: Book) -> tuple[list[tuple[str | None, ...]], dict[str, Any]]:
        path = book.write(tmp_path / "things.xlsx")
        result = load_file(conninfo, THINGS, path, loaded_by="ann", force=True)
        rows = query(
            "select thing, colour, weight from raw.shop__things where _load_id = %s "
            "order by _row_number",
            [result.load_id],
        )
        return [tuple(row.values()) for row in rows], result.notes

    return run


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        # ECMA-376, part 1, 18.18.11: the types of cells
        ('<c t="inlineStr"><v>Oil</v></c>', "Oil"),
        ('<c t="inlineStr"><v>a_x000A_b</v></c>', "a\nb"),
        ('<c t="inlineStr"><is/><v>Oil</v></c>', "Oil"),
        ('<c t="inlineStr"><is><t>Oil</t></is></c>', "Oil"),
        ('<c t="inlineStr"><is><r><t>O</t></r><r><t>il</t></r></is></c>', "Oil"),
        ('<c t="str"><v>Oil</v></c>', "Oil"),
        ('<c t="str"><f>A1</f><v>Oil</v></c>', "Oil"),
        ('<c t="str"><f t="shared" si="0"/><v>Oil</v></c>', "Oil"),
        ('<c t="str"><f t="shared" si="0">A1</f><v></v></c>', None),
        ('<c t="s"><v>1</v></c>', "shared"),
        ('<c t="s"><v>0</v></c>', None),
        ('<c t="b"><v>1</v></c>', "TRUE"),
        ('<c t="b"><v>false</v></c>', "FALSE"),
        ('<c t="e"><v>#DIV/0!</v></c>', "#DIV/0!"),
        ('<c t="d"><v>2026-01-31</v></c>', "2026-01-31"),
        ('<c t="d"><v>2026-01-31T12:30:00</v></c>', "2026-01-31T12:30:00"),
        ('<c t="n"><v>2.5</v></c>', "2.5"),
        ("<c><v>2.5</v></c>", "2.5"),
        ("<c/>", None),
        ('<c t="inlineStr"><is><t/></is></c>', None),
    ],
)
@pytest.mark.parametrize("namespaces", [TRANSITIONAL, STRICT])
def test_a_cell_of_each_type(
    stored: Stored, cell: str, text: str | None, namespaces: tuple[str, str]
) -> None:
    """Whatever a program does that Excel reads, the cell has its text; also at the edges."""
    rows = row(1, "Thing Name", "Colour", "Weight (g)") + row(2, "cup", "red", cell)
    book = Book(rows, texts=("", "shared"), namespaces=namespaces)
    assert stored(book)[0] == [("cup", "red", text)]


def test_a_header_of_such_cells(stored: Stored) -> None:
    """A header is read as the rows below it."""
    cells = (f'<c t="inlineStr"><v>{name}</v></c>' for name in ("Colour", "Thing Name"))
    rows = row(2, *cells) + row(4, '<c t="inlineStr"><v>red</v></c>', "cup")
    assert stored(Book(rows))[0] == [("cup", "red", None)]


@pytest.mark.parametrize("prefix", ["", "x"])
def test_a53_numbers_behind_formats_of_zeros(stored: Stored, prefix: str) -> None:
    """They are what people see, counted by header; formats of quantities change nothing."""
    formats = {"1": "00000", "2": "000\\-00\\-0000", "3": "0.00", "4": "#,##0"}
    rows = (
        HEADER
        + row(
            2, '<c s="1"><v>2134</v></c>', '<c s="2"><v>78051120</v></c>', '<c s="3"><v>5</v></c>'
        )
        + row(3, '<c s="1" t="n"><v>12345</v></c>', "red", '<c s="4"><v>5000</v></c>')
        + row(4, '<c s="1"><f>A2</f><v>7</v></c>', '<c s="1" t="str"><v>7</v></c>', '<c s="1"/>')
        + row(5, '<c s="0"><v>2134</v></c>', '<c s="99"><v>7</v></c>', '<c s="1"><v>2.5</v></c>')
    )
    found, notes = stored(Book(rows, formats, prefix=prefix))
    assert found == [
        ("02134", "078-05-1120", "5"),
        ("12345", "red", "5000"),
        ("00007", "7", None),
        ("2134", "7", "2.5"),
    ]
    assert notes["padded_cells"] == {"Thing Name": 2, "Colour": 1}


def test_a_style_without_formats(stored: Stored) -> None:
    """Styles are optional, and so is each part of them."""
    book = Book(
        HEADER + row(2, '<c s="1"><v>7</v></c>', "red"),
        more={"xl/styles.xml": f'<styleSheet xmlns="{TRANSITIONAL[0]}"/>'},
    )
    assert stored(book)[0] == [("7", "red", None)]


@pytest.mark.parametrize(
    ("cell", "place"),
    [
        ("<c><v><![CDATA[5]]></v></c>", "row 3, column C"),
        ('<c t="str"><v><![CDATA[Oil]]></v></c>', "row 3, column C"),
        ("<c><v>5</v><f>1+4</f></c>", "row 3, column C"),
    ],
)
def test_a_value_that_would_be_lost_is_refused(stored: Stored, cell: str, place: str) -> None:
    """What Calamine gives as empty while the XML has a value is never loaded as blank."""
    rows = HEADER + row(2, "cup", "red", "1") + row(3, "pot", "tan", cell)
    with pytest.raises(LoadError, match=f"{place}: the cell has a value that cannot be read"):
        stored(Book(rows))


@pytest.mark.parametrize(
    "book",
    [
        Book(main="xl/workbook2.xml"),
        Book(main="xl/workbook2.xml", root="/xl/workbook2.xml"),
        Book(main="xl/workbook2.xml", root="./xl/../xl/workbook2.xml"),
        Book(
            main="book/main.xml",
            sheet="book/s/one.xml",
            sheet_target="s/one.xml",
            texts_part="book/t.xml",
            texts_target="t.xml",
        ),
        Book(
            main="workbook.xml",
            sheet="sheet.xml",
            sheet_target="sheet.xml",
            texts_part="t.xml",
            texts_target="t.xml",
        ),
        Book(sheet_target="/xl/worksheets/sheet1.xml"),
        Book(sheet_target="./worksheets/sheet1.xml"),
        Book(sheet_target="../xl/worksheets/sheet1.xml"),
        Book(sheet="data/one.xml", sheet_target="/data/one.xml"),
        Book(sheet="xl/worksheets/a b.xml", sheet_target="worksheets/a%20b.xml"),
        Book(texts_part="xl/texts/all.xml", texts_target="texts/all.xml"),
        Book(
            texts_part="xl/other.xml",
            texts_target="/xl/other.xml",
            more={
                "xl/sharedStrings.xml": f'<sst xmlns="{TRANSITIONAL[0]}"><si><t>old</t></si></sst>'
            },
        ),
        Book(prefix="x"),
        Book(namespaces=STRICT),
        Book(namespaces=STRICT, main="xl/workbook2.xml", prefix="x"),
    ],
)
def test_parts_are_found_by_their_relationships(stored: Stored, book: Book) -> None:
    """What a part is called, and how its name is written, is the program's to choose."""
    book.rows = HEADER + row(2, '<c t="s"><v>0</v></c>', "red", '<c s="1"><v>7</v></c>')
    book.formats, book.texts = {"1": "000"}, ("cup",)
    assert stored(book)[0] == [("cup", "red", "007")]


def test_a_missing_main_part_is_damage(stored: Stored) -> None:
    """A name that nothing has is no reason to read another."""
    with pytest.raises(LoadError, match="the workbook cannot be read"):
        stored(Book(HEADER, root="xl/gone.xml"))


def test_a_draft_sees_what_people_see(tmp_path: Path) -> None:
    """A code that a format pads is text, in a workbook whose parts have other names."""
    rows = row(1, "zip", "n") + "".join(
        row(i, f'<c s="1"><v>{i}</v></c>', f"<c><v>{i}</v></c>") for i in (2, 3)
    )
    path = Book(rows, {"1": "00000"}, main="xl/book.xml").write(tmp_path / "a.xlsx")
    with open_document(path) as document:
        columns = read_profile(document).columns
    assert [(column.data_type, column.examples[0]) for column in columns] == [
        ("text", "00002"),
        ("integer", "2"),
    ]
