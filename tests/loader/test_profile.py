"""What is guessed of the columns of a file."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import xlsxwriter

from loader import profile as module
from loader.errors import LoadError
from loader.profile import Profile, clean, instant, read_profile
from loader.readers import open_document
from tests.conftest import ROOT

Write = Callable[..., Path]


def profile_of(path: Path, sheet: str | None = None, encoding: str | None = None) -> Profile:
    with open_document(path) as document:
        return read_profile(document, sheet=sheet, encoding=encoding)


@pytest.mark.parametrize(
    ("values", "data_type"),
    [
        ("0 7 -12", "integer"),
        ("2147483647 -2147483647", "integer"),
        ("1 2147483648", "bigint"),
        ("4006381333931", "bigint"),
        ("9223372036854775807", "bigint"),
        ("9223372036854775808", "text"),
        ("12345678901234567890123", "text"),
        ("1 2.50 -.5 1e-05 2.5E+3", "numeric"),
        ("1 01", "text"),
        ("02134 10001", "text"),
        ("00.5", "text"),
        ("-0", "text"),
        ("+5", "text"),
        ("12E5", "text"),
        ("1,5 2,0", "text"),
        ("1_000", "text"),
        ("\u0661\u0662", "text"),
        ("NaN 1", "text"),
        ("NA 1", "text"),
        ("true FALSE True", "boolean"),
        ("0 1", "integer"),
        ("yes no", "text"),
        ("true maybe", "text"),
        ("2024-02-29 1999-12-31", "date"),
        ("2023-02-29", "text"),
        ("20240229", "integer"),
        ("29/02/2024", "date"),
        ("03/04/2024", "text"),
        ("2024-02-29T10:00:00Z 2024-02-29T10:00", "timestamptz"),
        ("2024-02-29T10:00:00.5+02:00 2024-02-29T10:00:00-0230", "timestamptz"),
        ("2024-02-29T24:00:00Z", "text"),
        ("2024-02-30T10:00:00Z", "text"),
        ("2024-02-29T10:00:00.1234567Z", "timestamptz"),
        ("2024-02-29T10:00:00+16:00", "text"),
        ("0001-01-01T00:00:00+10:00", "timestamptz"),
        ("2024-02-29 2024-02-29T10:00:00Z", "timestamptz"),
        ("6BA7B810-9dad-11d1-80b4-00c04fd430c8", "uuid"),
        ("6ba7b8109dad11d180b400c04fd430c8", "text"),
        ("'=x '-5", "text"),
        ("'", "text"),
        ("", "text"),
    ],
)
def test_type(write: Write, values: str, data_type: str) -> None:
    """A column has a type where all its values certainly have it; a blank says nothing of it."""
    rows = "".join(f"{value},x\n" for value in ["", *values.split()])
    assert profile_of(write(f"a,b\n{rows}")).columns[0].data_type == data_type


def test_a_blank_may_part_day_and_time(write: Write) -> None:
    """As spreadsheets and databases write instants."""
    path = write("a,b\n2024-02-29 10:00:00,1\n2024-02-29 10:00,2\n")
    assert profile_of(path).columns[0].data_type == "timestamptz"


def test_what_is_counted(write: Write) -> None:
    """Blanks, repetitions, lengths, signs and options, of the rows that fit the header."""
    path = write('id,b,c\n1,x,5\n2, \u00a0,-1\n3,x,0\n\n4,x\n5,yy,"7"\n')
    found = profile_of(path)
    key, text, number = found.columns
    assert (found.rows, key.is_unique, text.is_unique) == (4, True, False)
    assert (text.count, text.blanks, text.longest, text.options) == (3, 1, 2, {"x", "yy"})
    assert (key.is_negative, number.is_negative) == (False, True)
    assert found.sample == ("1", "x", "5")


def test_uuids_are_the_same_in_any_case(write: Write) -> None:
    """PostgreSQL takes them for one."""
    one = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    assert not profile_of(write(f"id\n{one}\n{one.upper()}\n")).columns[0].is_unique


def test_memory_is_bounded(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many and long values only some are kept; those that are repeated later are still seen."""
    monkeypatch.setattr(module, "MAX_HASHES", 100)
    rows = "".join(f"{i},{i % 5000},{'x' * 90}{i}\n" for i in range(10_000))
    first, again, long = profile_of(write(f"a,b,c\n{rows}")).columns
    assert (first.is_unique, again.is_unique) == (True, False)
    assert len(first._hashes) <= 100  # noqa: SLF001
    assert len(first.options) == module.MAX_OPTIONS + 1
    assert (long.options, long.examples) == ({""}, [])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("a,b\n", "there is no row of data; types and rules are guessed from rows"),
        ("a,b\n1\n", "no row has as many fields as the header"),
        ("a,b, A\n1,2,3\n", "the header 'a' of column 1 occurs again as ' A' in column 3"),
        ('a,b\n"1,2\n', "a quote opens here and never closes"),
    ],
)
def test_refused(write: Write, content: str, sentence: str) -> None:
    """A file of which nothing can be guessed is refused with the reason."""
    with pytest.raises(LoadError, match=sentence):
        profile_of(write(content))


def test_encoding(tmp_path: Path) -> None:
    """Text that is not UTF-8 is read by its declared encoding."""
    path = tmp_path / "a.csv"
    path.write_bytes("stadt\nZürich\n".encode("latin-1"))
    with pytest.raises(LoadError, match="not valid utf-8"):
        profile_of(path)
    assert profile_of(path, encoding="latin-1").columns[0].examples == ["Zürich"]


def workbook(path: Path, **sheets: list[list[object]]) -> Path:
    with xlsxwriter.Workbook(path) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return path


def test_workbook(tmp_path: Path) -> None:
    """The header is the first of the widest rows, in the only sheet with text."""
    rows: list[list[object]] = [["Stock of May"], [], ["code", "n"], ["007", 5], ["008", 2.5]]
    found = profile_of(workbook(tmp_path / "a.xlsx", Empty=[], Stock=rows))
    assert (found.layout.row, found.layout.sheet, found.rows) == (3, "Stock", 2)
    assert [column.data_type for column in found.columns] == ["text", "numeric"]


def test_one_of_several_sheets(tmp_path: Path) -> None:
    """Where several sheets have text, one has to be named."""
    path = workbook(tmp_path / "a.xlsx", One=[["a"], [1]], Two=[["b"], [2]])
    with pytest.raises(
        LoadError, match=r"several sheets have text \(.* 'One', 'Two'\); pass `--sheet"
    ):
        profile_of(path)
    with pytest.raises(LoadError, match="no such sheet has text"):
        profile_of(path, sheet="Three")
    assert profile_of(path, sheet="two").columns[0].header == "b"


def test_a_hidden_sheet_is_only_read_by_name(tmp_path: Path) -> None:
    """Lists of a form's choices are often kept so."""
    path = tmp_path / "a.xlsx"
    with xlsxwriter.Workbook(path) as book:
        for name, header in (("Lists", "status"), ("Orders", "order_no"), ("Notes", "")):
            sheet = book.add_worksheet(name)
            sheet.write_column(0, 0, [header, "x" * bool(header)])
        book.worksheets()[1].activate()
        book.worksheets()[0].hide()
    assert profile_of(path).columns[0].header == "order_no"
    assert profile_of(path, sheet="lists").columns[0].header == "status"


CLEANED = (
    *(" a ", "\u00a0\u200b\ufeff", "'=1+1", "'-5", "'+49 30", "''=x", "'", "'x", "'\t=", "'-5e3x"),
    *("a'b", "\t'@x\n", "'-", "'+.5", "'+5.", "'+5.x"),
)


def test_texts_are_cleaned_as_staging_does(database: str) -> None:
    """`clean` is the macro `clean_text`, or the unit tests of drafts would fail."""
    macro = (ROOT / "dbt_project/macros/values/clean_text.sql").read_text()
    sql = macro[macro.index("    case") : macro.index("{%- endmacro %}")]
    trimmed = "btrim(text, E' \\t\\r\\n\\u00a0\\u200b\\ufeff')"
    sql = sql.replace("{{ trimmed }}", trimmed)
    with psycopg.connect(database) as connection:
        for text in CLEANED:
            row = connection.execute(f"select {sql} from (select %b::text as text)", [text])
            assert ((row.fetchone() or ("",))[0] or "") == clean(text), repr(text)


def test_instants_are_utc() -> None:
    """Without an offset they are taken as UTC."""
    assert instant("2024-02-29 10:00").isoformat() == "2024-02-29T10:00:00+00:00"
    assert instant("2024-02-29T10:00:00-0230").isoformat() == "2024-02-29T12:30:00+00:00"
