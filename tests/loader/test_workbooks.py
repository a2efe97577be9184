"""Reading XLSX: sheets, headers, cells, and what is refused."""

import datetime as dt
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter  # type: ignore[import-untyped]

from loader import archives, workbooks
from loader.copy import load_file
from loader.errors import LoadError
from loader.loads import LoadResult
from loader.readers import open_document
from loader.workbooks import Workbook, to_text
from tests.loader.conftest import THINGS, source

Rows = list[list[Any]]
HEADER = ["Thing Name", "Colour", "Weight (g)"]
DATA = source("things", *THINGS.columns, sheet="Data to upload")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Writes a workbook: sheets by name, each with rows, from a given cell on."""

    def run(name: str = "things.xlsx", left: int = 0, top: int = 0, **sheets: Rows) -> Path:
        book = xlsxwriter.Workbook(tmp_path / name, {"default_date_format": "yyyy-mm-dd"})
        for sheet, rows in sheets.items():
            page = book.add_worksheet(sheet.replace("_", " "))
            for number, row in enumerate(rows):
                for position, cell in enumerate(row):
                    if cell == "#N/A":
                        page.write_formula(top + number, left + position, "=NA()", None, cell)
                    else:
                        page.write(top + number, left + position, cell)
        book.close()
        return tmp_path / name

    return run


@pytest.fixture
def stored(conninfo: str, query: Callable[..., list[dict[str, Any]]]) -> Callable[..., Any]:
    def run(path: Path, **options: Any) -> tuple[LoadResult, list[tuple[Any, ...]]]:
        table = options.pop("source_table", THINGS)
        result = load_file(conninfo, table, path, loaded_by="ann", force=True)
        rows = query(
            "select _row_number, thing, colour, weight, _extra from raw.shop__things "
            "where _load_id = %s order by 1",
            [result.load_id],
        )
        return result, [tuple(row.values()) for row in rows]

    return run


def rezip(path: Path, part: str, change: Callable[[bytes], bytes]) -> Path:
    """Write a workbook anew with one part changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts[part] = change(parts[part])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("0012", "0012"),
        ("", ""),
        (2.0, "2"),
        (-0.0, "0"),
        (3, "3"),
        (0.016771177, "0.016771177"),
        (0.1, "0.1"),
        (1e22, "10000000000000000000000"),
        (123456789012345.0, "123456789012345"),
        (True, "TRUE"),
        (False, "FALSE"),
        (dt.date(2020, 1, 2), "2020-01-02"),
        (dt.datetime(2020, 1, 2, 3, 4, 5), "2020-01-02T03:04:05"),  # noqa: DTZ001
        (dt.time(3, 4), "03:04:00"),
        (dt.timedelta(hours=36, minutes=5, seconds=6), "PT36H5M6S"),
    ],
)
def test_a53_text_of_a_cell(cell: workbooks.Cell, text: str) -> None:
    """Each type of cell has one text."""
    assert to_text(cell) == text


def test_cells_and_row_numbers(make: Callable[..., Path], stored: Callable[..., Any]) -> None:
    """Rows have the numbers of the spreadsheet, wherever the header is; blank ones are left out."""
    rows = [
        ["A title"],
        [],
        [*HEADER, "Batch", None],
        ["cup", "0012", 0.016771177, dt.date(2020, 1, 2)],
        [],
        ["pot", True, 2.0],
        ["jug", "#N/A", "#N/A"],
    ]
    result, found = stored(make(left=2, top=3, Page=rows))
    assert found == [
        (7, "cup", "0012", "0.016771177", {"Batch": "2020-01-02"}),
        (9, "pot", "TRUE", "2", None),
        (10, "jug", "#N/A", "#N/A", None),
    ]
    assert result.rows == 3
    assert result.notes == {
        "sheet": "Page",
        "header_row": 6,
        "unknown_columns": ["Batch"],
        "blank_rows": 1,
        "date_cells": {"Batch": 1},
        "formula_cells": 2,
    }


def test_errors_at_the_edge(make: Callable[..., Path], stored: Callable[..., Any]) -> None:
    """An error value is kept where nothing else stands in its row or column."""
    rows = [["Thing Name", "Colour"], ["cup", "red", "#N/A"], [], [None, "#N/A"]]
    assert stored(make(A=rows))[1] == [
        (2, "cup", "red", None, {"column 3": "#N/A"}),
        (4, None, "#N/A", None, None),
    ]


def test_a54_the_declared_sheet(make: Callable[..., Path], stored: Callable[..., Any]) -> None:
    """The declared sheet is read, however its name is spelt, although another fits as well."""
    path = make(Other=[HEADER, ["cup", "red", 1]], data_TO_upload=[HEADER, ["pot", "tan", 2]])
    result, found = stored(path, source_table=DATA)
    assert found == [(2, "pot", "tan", "2", None)]
    assert result.notes["sheet"] == "data TO upload"


def test_a54_the_only_sheet_that_fits(
    make: Callable[..., Path], stored: Callable[..., Any]
) -> None:
    """Without the declared sheet it is the one with the header."""
    path = make(Help=[["Read me"]], Empty=[], Values=[["thing", "colour"], ["cup", "red"]])
    assert stored(path, source_table=DATA)[1] == [(2, "cup", "red", None, None)]


@pytest.mark.parametrize(
    ("sheets", "sentence"),
    [
        ({"A": [["x"]], "B": [["y"]]}, "no sheet has a header row with all mandatory headers of"),
        ({"A": [HEADER], "B": [HEADER]}, "several sheets have a header row .* are 'A', 'B'"),
        ({"A": [["Thing Name"]]}, "row 1: mandatory header 'Colour' is missing"),
        ({"A": []}, "mandatory header 'Thing Name', 'Colour' is missing \\(found nothing\\)"),
        ({"A": [["x"]] * 50 + [HEADER]}, "is missing"),
        ({"A": [[*HEADER, "colour"]]}, "of column 2 occurs again as 'colour' in column 4"),
    ],
)
def test_headers_refused(
    make: Callable[..., Path], stored: Callable[..., Any], sheets: dict[str, Rows], sentence: str
) -> None:
    """Without exactly one header row that fits the file is refused."""
    with pytest.raises(LoadError, match=sentence):
        stored(make(**sheets))


def test_a52_a_formula_without_result_is_refused(
    make: Callable[..., Path], stored: Callable[..., Any]
) -> None:
    """A formula whose result was never stored is refused and not loaded as empty."""
    path = make(A=[HEADER, ["cup", "red", "=1+1"]])
    sheet = "xl/worksheets/sheet1.xml"
    assert stored(path)[1] == [(2, "cup", "red", "0", None)]
    rezip(path, sheet, lambda xml: xml.replace(b"</f><v>0</v>", b"</f><v></v>"))
    with pytest.raises(LoadError, match="row 2, column C: the cell holds a formula without its"):
        stored(path)


def test_a52_formulas_are_their_results_and_counted(
    make: Callable[..., Path], stored: Callable[..., Any]
) -> None:
    """An empty text is a result, too."""
    path = make(A=[HEADER, ["cup", '=""', "=1+1"], ["pot", "red", "#N/A"]])
    rezip(
        path,
        "xl/worksheets/sheet1.xml",
        lambda xml: xml.replace(
            b'<c r="B2"><f>""</f><v>0</v></c>', b'<c r="B2" t="str"><f>""</f><v></v></c>'
        ).replace(b"</f><v>0</v>", b"</f><v>2</v>"),
    )
    result, found = stored(path)
    assert found == [(2, "cup", None, "2", None), (3, "pot", "red", "#N/A", None)]
    assert result.notes["formula_cells"] == 3


def test_a53_dates_are_noted(make: Callable[..., Path], stored: Callable[..., Any]) -> None:
    """A cell that a spreadsheet made a date of may have been something else."""
    path = make(A=[HEADER, ["cup", dt.date(2005, 3, 9), 1], [dt.date(2026, 3, 1), "red", 2.5]])
    result, found = stored(path)
    assert found == [(2, "cup", "2005-03-09", "1", None), (3, "2026-03-01", "red", "2.5", None)]
    assert result.notes["date_cells"] == {"Thing Name": 1, "Colour": 1}


@pytest.mark.parametrize(
    ("merged", "header_row", "row"), [("A1:C1", 2, None), ("A2:C3", 2, None), ("B3:B4", 2, 3)]
)
def test_a54_merged_cells(
    tmp_path: Path, stored: Callable[..., Any], merged: str, header_row: int, row: int | None
) -> None:
    """Above and in the header they are a title; below it what they mean is not guessed."""
    path = tmp_path / "merged.xlsx"
    book = xlsxwriter.Workbook(path)
    page = book.add_worksheet()
    page.write_row(header_row - 1, 0, HEADER)
    page.write_row(header_row + 1, 0, ["cup", "red", 1])
    book.close()
    rezip(
        path,
        "xl/worksheets/sheet1.xml",
        lambda xml: xml.replace(
            b"</sheetData>",
            f'</sheetData><mergeCells count="1"><mergeCell ref="{merged}"/></mergeCells>'.encode(),
        ),
    )
    if row is None:
        assert stored(path)[1] == [(4, "cup", "red", "1", None)]
        return
    with pytest.raises(LoadError, match=f"row {row}: the cells {merged} are merged"):
        stored(path)


def test_a54_hidden_sheets(tmp_path: Path, stored: Callable[..., Any]) -> None:
    """One is read only where the source table names it."""
    path = tmp_path / "hidden.xlsx"
    book = xlsxwriter.Workbook(path)
    for name, thing in (("Mine", "cup"), ("Data to upload", "old")):
        page = book.add_worksheet(name)
        page.write_row(0, 0, HEADER)
        page.write_row(1, 0, [thing, "red", 1])
    page.hide()
    book.close()
    assert stored(path)[1] == [(2, "cup", "red", "1", None)]
    assert stored(path, source_table=DATA)[1] == [(2, "old", "red", "1", None)]


def test_damaged(make: Callable[..., Path], stored: Callable[..., Any]) -> None:
    """A workbook that is cut or lacks parts is refused in a sentence."""
    path = make(A=[HEADER])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(LoadError, match="the workbook cannot be read"):
        stored(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "no workbook")
    with pytest.raises(LoadError, match="the workbook cannot be read"):
        stored(path)
    path.write_bytes(content)
    rezip(path, "xl/worksheets/sheet1.xml", lambda xml: xml[: len(xml) // 2])
    with pytest.raises(LoadError, match="the workbook cannot be read"):
        stored(path)


def test_a51_names_and_content_agree(make: Callable[..., Path], write: Callable[..., Path]) -> None:
    """Each kind of file that cannot be read has a message of its own."""
    workbook = make(A=[HEADER]).read_bytes()
    for content, name, sentence in (
        (b"a,b\n", "a.xlsx", "ends in .xlsx but it is no workbook; rename it to .csv"),
        (workbook, "a.csv", "a workbook or another zip file, not text; rename it to .xlsx"),
        (workbook, "a.xlsm", ".xlsm files are not read; save it as .xlsx or CSV"),
        (bytes.fromhex("d0cf11e0a1b11ae1"), "a.xlsx", "old or a password-protected Excel file"),
        (bytes.fromhex("d0cf11e0a1b11ae1"), "a.xls", "old or a password-protected Excel file"),
    ):
        with pytest.raises(LoadError, match=re.escape(sentence)):
            open_document(write(content, name))


def test_a51_a_zip_bomb(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What unpacks to more than 200 MB is refused, also when the zip lies about its sizes."""
    monkeypatch.setattr(archives, "MAX_RATIO", 10_000)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", bytes(archives.MAX_UNPACKED + 1))
    honest = bomb.getvalue()
    size = (archives.MAX_UNPACKED + 1).to_bytes(4, "little")
    lying = honest.replace(size, (1000).to_bytes(4, "little"))
    assert lying != honest
    for content in (honest, lying):
        with pytest.raises(LoadError, match="more than 200 MB; save the sheet as CSV"):
            Workbook(write(content, "bomb.xlsx"))


def test_a51_too_many_parts(write: Callable[..., Path]) -> None:
    """A zip of more than 1,000 parts is refused."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w") as archive:
        for number in range(archives.MAX_ENTRIES + 1):
            archive.writestr(str(number), b"")
    with pytest.raises(LoadError, match="more than 1000 parts; save the sheet as CSV"):
        Workbook(write(bomb.getvalue(), "bomb.xlsx"))


def test_a51_a_part_that_is_packed_too_tightly(write: Callable[..., Path]) -> None:
    """Zeros are packed a thousand to one; the sheets that people make, fifteen to one."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", bytes(archives.SMALL_PART + 1))
    with pytest.raises(LoadError, match="unpacks to more than 100 times its size"):
        Workbook(write(bomb.getvalue(), "bomb.xlsx"))


@pytest.mark.parametrize(
    "part", ["xl/workbook.xml", "xl/sharedStrings.xml", "xl/styles.xml", "xl/worksheets/sheet1.xml"]
)
@pytest.mark.parametrize(
    ("xml", "problem"),
    [
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>', "it has a document type"),
        ("<x>" * 200 + "</x>" * 200, "its elements are nested too deeply"),
        (f'<x y="{"a" * (2 << 20)}"/>', "a tag does not end"),
        ("<c " * (1 << 20), "not well-formed"),
        ("<x>&a;</x>", "undefined entity"),
    ],
)
def test_a51_xml_that_explodes(
    make: Callable[..., Path], part: str, xml: str, problem: str
) -> None:
    """Neither entities nor depth nor a tag without end takes memory or time."""
    path = rezip(make(A=[HEADER, ["cup", "red", 1]]), part, lambda _: xml.encode())
    with pytest.raises(LoadError, match=f"the workbook cannot be read \\({problem}"):
        Workbook(path).layout(THINGS)


def test_a51_texts_that_many_cells_share(make: Callable[..., Path]) -> None:
    """Each cell gets a copy, so copies count; a long text in one cell does not matter."""
    path = make(A=[HEADER, *[["x" * 30_000, "red", 1]] * 10])
    with Workbook(path) as book, pytest.MonkeyPatch.context() as patch:
        patch.setattr(workbooks, "MAX_UNPACKED", 300_100)
        book.layout(THINGS)
    with Workbook(path) as book, pytest.MonkeyPatch.context() as patch:
        patch.setattr(workbooks, "MAX_UNPACKED", 300_000)
        with pytest.raises(LoadError, match="unpacks to more than"):
            book.layout(THINGS)


@pytest.mark.parametrize("name", ["xl/SharedStrings.XML", "xl\\sharedStrings.xml"])
def test_a51_parts_in_other_spellings(make: Callable[..., Path], name: str) -> None:
    """They are found, and so are checked; of two spellings none is chosen."""
    path = make(A=[HEADER, ["cup", "red", 1]])
    with zipfile.ZipFile(path) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    for texts in ((name,), (name, "xl/sharedStrings.xml")):
        with zipfile.ZipFile(path, "w") as archive:
            for part, content in parts.items():
                if part != "xl/sharedStrings.xml":
                    archive.writestr(part, content)
            for part in texts:
                archive.writestr(part, b"<!DOCTYPE x><x/>")
        problem = "has a document type" if len(texts) == 1 else "two of its parts have one name"
        with pytest.raises(LoadError, match=problem):
            Workbook(path)


def test_cells_far_apart(make: Callable[..., Path]) -> None:
    """Two cells in opposite corners would need memory for all between them."""
    path = make(A=[HEADER])
    rezip(
        path,
        "xl/worksheets/sheet1.xml",
        lambda xml: xml.replace(
            b"</sheetData>", b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
        ),
    )
    with Workbook(path) as book, pytest.raises(LoadError, match="far below or far right"):
        book.layout(THINGS)


@pytest.mark.parametrize(
    "cell",
    [
        b'<row r="9"><c r = "ZZZ1048576"><v>1</v></c></row>',
        b'<row r="9"><c\tr="zzz9"><v>1</v></c></row>',
        b"<row r='9'><c t='>' r='AAAA9'><v>1</v></c></row>",
        b'<row r="9"><c r="A999999999"><v>1</v></c></row>',
        b'<row r="999999999"><c><v>1</v></c></row>',
        b'<row r="1048577"><c><v>1</v></c></row>',
        b'<x:row r="9"><x:c r="&#90;ZZ9"><x:v>1</x:v></x:c></x:row>',
    ],
)
@pytest.mark.parametrize("padding", [0, 1 << 20])
def test_places_beyond_a_sheet(make: Callable[..., Path], cell: bytes, padding: int) -> None:
    """However they are written: memory for all up to there would end the process."""
    comment = b"<!--" + b"x" * padding + b"-->"
    path = rezip(
        make(A=[HEADER]),
        "xl/worksheets/sheet1.xml",
        lambda xml: xml.replace(b"</sheetData>", comment + cell + b"</sheetData>"),
    )
    with Workbook(path) as book, pytest.raises(LoadError, match="at no place of a sheet"):
        book.layout(THINGS)


def test_missing_part(make: Callable[..., Path], stored: Callable[..., Any]) -> None:
    path = rezip(
        make(A=[HEADER]),
        "xl/_rels/workbook.xml.rels",
        lambda xml: xml.replace(b"sheet1.xml", b"sheet9.xml"),
    )
    with pytest.raises(LoadError, match="cannot be read"):
        stored(path)


def test_date_beyond_all_dates(make: Callable[..., Path], stored: Callable[..., Any]) -> None:
    """What makes the library panic is a refusal like any other."""
    path = make(A=[HEADER, [dt.date(2026, 1, 2)] * len(HEADER)])
    rezip(
        path, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"<v>46024</v>", b"<v>-1e15</v>")
    )
    with pytest.raises(LoadError, match="cannot be read"):
        stored(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_damaged_in_other_compressions(write: Callable[..., Path], method: int) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        archive.writestr("xl/workbook.xml", b"<workbook/>" * 1000)
    damaged = bytearray(content.getvalue())
    damaged[60:80] = b"\xff" * 20
    with pytest.raises(LoadError, match="cannot be read"):
        Workbook(write(bytes(damaged), "damaged.xlsx"))
