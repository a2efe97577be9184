"""Files that are too large to be kept, or that no program writes: made for each run of the tests.

Each recipe writes a file; an example names it, and its arguments, under `made_by`.
"""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import xlsxwriter  # type: ignore[import-untyped]

HEADER = ["Features", "Identification_level", "ID_InChI", "CAS_number", "Method", "Sample_Data"]
GOOD = ("Benzoate,1,,65-85-0,GC,0.5\n", "Glutamate,2,,56-86-0,GC,ND\n")
SHEET = "xl/worksheets/sheet1.xml"
NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def long_row(path: Path, *, length: int, quoted: bool = False, closed: bool = True) -> None:
    """Row 3 of a CSV file has a field of so many characters."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(HEADER) + "\n" + GOOD[0])
        file.write('"' if quoted else "")
        text = 'abc, ""d""\n' if quoted else "abcdefghij"
        for _ in range(length // len(text)):
            file.write(text)
        file.write('"' if quoted and closed else "")
        file.write(",1,,58-08-2,GC,1\n" + GOOD[1])


def zip_bomb(path: Path, *, megabytes: int, claimed: int | None = None) -> None:
    """A sheet of zeros; `claimed` is the size in bytes that the zip says it has."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(SHEET, bytes(megabytes * 10**6))
    if claimed is not None:
        size, lie = ((megabytes * 10**6).to_bytes(4, "little"), claimed.to_bytes(4, "little"))
        path.write_bytes(path.read_bytes().replace(size, lie))


def many_parts(path: Path, *, parts: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(parts):
            archive.writestr(str(number), b"")


def changed_sheet(path: Path, *, xml: str, times: int = 1) -> None:
    """A workbook whose sheet is this text, so many times."""
    _rewrite(path, {SHEET: xml * times})


def shared_texts(path: Path, *, length: int, cells: int) -> None:
    """One text, shared by so many cells: each would get a copy."""
    rows = (f'<row r="{i}"><c r="A{i}" t="s"><v>0</v></c></row>' for i in range(1, cells + 1))
    sheet = f'<worksheet xmlns="{NAMESPACE}"><sheetData>{"".join(rows)}</sheetData></worksheet>'
    texts = f'<sst xmlns="{NAMESPACE}"><si><t>{"x" * length}</t></si></sst>'
    _rewrite(path, {SHEET: sheet, "xl/sharedStrings.xml": texts})


def formula_without_result(path: Path) -> None:
    """A formula as programs write it that cannot calculate."""
    with zipfile.ZipFile(_workbook()) as archive:
        xml = archive.read(SHEET).decode()
    _rewrite(path, {SHEET: xml.replace("<v>0</v></c></row>", "</c></row>")})


def _workbook() -> io.BytesIO:
    content = io.BytesIO()
    with xlsxwriter.Workbook(content) as book:
        sheet = book.add_worksheet("Data to upload")
        sheet.write_row(0, 0, HEADER)
        sheet.write_row(1, 0, ["Benzoate", 1, "", "65-85-0", "GC", "=1/4"])
    content.seek(0)
    return content


def _rewrite(path: Path, changed: dict[str, str]) -> None:
    with (
        zipfile.ZipFile(_workbook()) as workbook,
        zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive,
    ):
        for name in workbook.namelist():
            archive.writestr(name, changed.get(name, workbook.read(name).decode()))


RECIPES: dict[str, Callable[..., None]] = {
    recipe.__name__: recipe
    for recipe in (
        long_row,
        zip_bomb,
        many_parts,
        changed_sheet,
        shared_texts,
        formula_without_result,
    )
}
