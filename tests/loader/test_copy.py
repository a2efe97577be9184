"""Loading files: what is stored, what is refused, and that both ways of reading agree."""

import codecs
import csv
import hashlib
import io
import threading
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from assay.catalog import Catalog
from loader import copy, csv_files, lines
from loader.copy import load_file
from loader.csv_files import CsvFile, Fragment
from loader.errors import LoadError
from loader.headers import match_headers
from loader.loads import LoadResult
from loader.quotes import NotWellFormed, QuoteCheck
from loader.rehearsals import forget, forget_left_over, rehearsing
from loader.tables import create_raw_tables
from tests.conftest import PATIENCE
from tests.loader.conftest import THINGS, column, source

Query = Callable[..., list[dict[str, Any]]]
Write = Callable[..., Path]

HEADER = "Thing Name,Colour,Weight (g)\n"
ROWS = (
    "select _row_number, thing, colour, weight, _malformed, _extra "
    "from raw.shop__things where _load_id = %s order by _row_number"
)


@pytest.fixture(params=["piped", "row by row"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of reading; a test that uses it holds for each."""
    if request.param == "row by row":
        monkeypatch.setattr(CsvFile, "is_pipeable", lambda *_: False)
    return str(request.param)


@pytest.fixture
def only_piped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test whose file is not piped as it is."""

    def fail(*_: object) -> None:
        raise AssertionError("the file was read row by row")

    monkeypatch.setattr(copy, "_copy_records", fail)


@pytest.fixture
def load(conninfo: str) -> Callable[..., LoadResult]:
    def run(path: Path, **options: Any) -> LoadResult:
        return load_file(
            conninfo, options.pop("source_table", THINGS), path, loaded_by="ann", **options
        )

    return run


@pytest.fixture
def stored(load: Callable[..., LoadResult], query: Query, write: Write) -> Callable[..., Any]:
    """Loads content and gives its rows as tuples without `_load_id`."""

    def run(content: str | bytes, **options: Any) -> list[tuple[Any, ...]]:
        result = load(write(content), force=True, **options)
        rows = [tuple(row.values()) for row in query(ROWS, [result.load_id])]
        assert len(rows) == result.rows
        return rows

    return run


@pytest.fixture
def refusal_of(load: Callable[..., LoadResult], query: Query, write: Write) -> Callable[..., str]:
    """The sentence with which content is refused, of which there is nothing but a record."""

    def run(content: bytes) -> str:
        with pytest.raises(LoadError) as refusal:
            load(write(content))
        sentence = str(refusal.value)
        assert sentence.startswith("things.csv")
        assert refusal.value.remedy
        assert query("select * from raw.shop__things") == []
        record = query("select state, error, clock from raw.loads order by load_id")[-1]
        kept = refusal.value.without_value()
        assert record == {"state": "failed", "error": kept, "clock": None}
        return sentence

    return run


def plain(*rows: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Rows that are neither malformed nor have unknown columns."""
    return [(*row, None, None) for row in rows]


# ---------- what is stored


@pytest.mark.usefixtures("way")
def test_a_load_is_recorded(load: Callable[..., LoadResult], query: Query, write: Write) -> None:
    """A loaded file has one row in raw.loads that says all about it."""
    content = HEADER + "cup,red,120\npot,blue,\n"
    result = load(write(content))
    assert (result.state, result.rows, result.source_table) == ("loaded", 2, "shop.things")
    assert result.notes == {"delimiter": ",", "encoding": "utf-8"}
    (record,) = query("select * from raw.loads")
    assert record["load_id"] == result.load_id
    assert record["state"] == "loaded"
    assert record["row_count"] == 2
    assert record["size_bytes"] == len(content)
    assert record["sha256"] == hashlib.sha256(content.encode()).hexdigest()
    assert record["file_name"] == "things.csv"
    assert record["loaded_by"] == "ann"
    assert record["clock"] is not None
    assert record["started_at"] <= record["finished_at"]


@pytest.mark.usefixtures("way")
def test_row_numbers_are_those_of_a_spreadsheet(stored: Callable[..., Any]) -> None:
    """The first data row is 2; a record with a line break is one row; each load starts anew."""
    content = HEADER + 'cup,"dark\nred",120\npot,blue,7\n'
    expected = plain((2, "cup", "dark\nred", "120"), (3, "pot", "blue", "7"))
    assert stored(content) == expected
    assert stored(content) == expected


@pytest.mark.usefixtures("way")
def test_a39_blank_lines_are_positions_but_no_rows(
    stored: Callable[..., Any], query: Query
) -> None:
    """Neither an empty line nor one of empty fields is a row; they are counted."""
    content = HEADER + 'cup,red,1\n,,\npot,blue,2\n"","",\n\n   \njug,tan,3\n,,\n'
    assert stored(content) == plain(
        (2, "cup", "red", "1"), (4, "pot", "blue", "2"), (8, "jug", "tan", "3")
    )
    assert query("select notes -> 'blank_rows' as blank from raw.loads") == [{"blank": 5}]


@pytest.mark.usefixtures("only_piped")
def test_rows_of_empty_fields_can_be_piped(stored: Callable[..., Any]) -> None:
    """The trailing `,,` rows of a spreadsheet do not cost the fast way."""
    assert stored(HEADER + "cup,red,1\n,,\n,,\n") == plain((2, "cup", "red", "1"))


@pytest.mark.usefixtures("way")
def test_empty_is_null_and_all_else_verbatim(stored: Callable[..., Any]) -> None:
    """Empty fields are null, quoted or not; nothing is trimmed or taken for a null."""
    content = HEADER + 'cup,,""\n" x ",NULL,\\N\n=1+1,\\.,0012\n\\.,"a""b",\t\n'
    assert stored(content) == plain(
        (2, "cup", None, None),
        (3, " x ", "NULL", "\\N"),
        (4, "=1+1", "\\.", "0012"),
        (5, "\\.", 'a"b', "\t"),
    )


@pytest.mark.usefixtures("only_piped")
def test_a36_a_line_of_backslash_and_dot_is_data(
    load: Callable[..., LoadResult], write: Write, conninfo: str, query: Query
) -> None:
    r"""A line `\.` is a row and does not end the file, piped as it is."""
    single = source("singles", column("thing"))
    with psycopg.connect(conninfo) as connection:
        create_raw_tables(connection, Catalog({}, {single.name: single}))
    result = load(write("thing\na\n\\.\n\nb\n"), source_table=single)
    assert result.rows == 3
    rows = query("select _row_number, thing from raw.shop__singles order by 1")
    assert [tuple(row.values()) for row in rows] == [(2, "a"), (3, "\\."), (5, "b")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", ["", "end"])
@pytest.mark.usefixtures("way")
def test_a33_lines_end_in_any_way(stored: Callable[..., Any], end: str, last: str) -> None:
    """LF, CR LF and CR end lines, the last line may do without."""
    content = end.join(["Thing Name,Colour,Weight (g)", "cup,red,1", 'pot,"b""c",2'])
    content += end if last else ""
    assert stored(content) == plain((2, "cup", "red", "1"), (3, "pot", 'b"c', "2"))


@pytest.mark.usefixtures("way")
def test_a32_mixed_line_ends_are_read_and_noted(stored: Callable[..., Any], query: Query) -> None:
    """They may differ within a file, which is said; those in quotes are text and do not count."""
    content = 'Thing Name,Colour,Weight (g)\r\ncup,red,1\npot,blue,2\rjug,"t\nan",3\r\n'
    assert stored(content) == plain(
        (2, "cup", "red", "1"), (3, "pot", "blue", "2"), (4, "jug", "t\nan", "3")
    )
    stored('Thing Name,Colour\r\ncup,"a\nb"\r\n')
    notes = query("select notes ->> 'line_ends' as ends from raw.loads order by load_id")
    assert notes == [{"ends": "mixed"}, {"ends": None}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.usefixtures("way")
def test_a45_the_delimiter_is_found(stored: Callable[..., Any], delimiter: str) -> None:
    """Comma, semicolon, tab and pipe are told apart by the header."""
    lines = (("Thing Name", "Colour", "Weight (g)"), ("cup", '"a,b;c\td"', "1"))
    content = "".join(delimiter.join(line) + "\n" for line in lines)
    assert stored(content) == plain((2, "cup", "a,b;c\td", "1"))


def test_declared_delimiter_wins(stored: Callable[..., Any]) -> None:
    """A declared delimiter is used and no other."""
    things = source("things", *THINGS.columns, delimiter="|")
    content = "Thing Name|Colour\ncup|a,b\n"
    assert stored(content, source_table=things) == plain((2, "cup", "a,b", None))


@pytest.mark.parametrize(
    ("mark", "encoding", "noted"),
    [
        (b"", "utf-8", "utf-8"),
        (codecs.BOM_UTF8, "utf-8", "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le", "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16-be", "utf-16"),
    ],
)
@pytest.mark.usefixtures("way")
def test_a31_a_byte_order_mark_is_stripped(
    stored: Callable[..., Any], query: Query, mark: bytes, encoding: str, noted: str
) -> None:
    """It proves the encoding, which is noted, and is no part of the first header."""
    content = mark + (HEADER + "tasse,bleu foncé €,1\n").encode(encoding)
    assert stored(content) == plain((2, "tasse", "bleu foncé €", "1"))
    assert query("select notes ->> 'encoding' as noted from raw.loads") == [{"noted": noted}]


@pytest.mark.usefixtures("way")
def test_byte_order_mark_before_a_quoted_header(stored: Callable[..., Any]) -> None:
    """A mark in front of a quote does not become part of the header."""
    content = b'\xef\xbb\xbf"Thing Name","Colour"\ncup,red\n'
    assert stored(content) == plain((2, "cup", "red", None))


def test_a34_a_declared_encoding_is_used(stored: Callable[..., Any]) -> None:
    """A file in a declared encoding is read in it."""
    things = source("things", *THINGS.columns, encoding="cp1252")
    content = (HEADER + "tasse,foncé,1\n").encode("cp1252")
    assert stored(content, source_table=things) == plain((2, "tasse", "foncé", "1"))


@pytest.mark.usefixtures("way")
def test_a37_ragged_rows_are_set_aside(
    load: Callable[..., LoadResult], query: Query, write: Write
) -> None:
    """A row with too few or too many fields is one raw row; the others load."""
    result = load(write(HEADER + 'cup,red,1\npot,"b,c"\njug,tan,3,"4"",",5\nmug,tan,6\n'))
    assert result.rows == 4
    assert result.notes["malformed_rows"] == 2
    assert [tuple(row.values()) for row in query(ROWS, [result.load_id])] == [
        (2, "cup", "red", "1", None, None),
        (3, None, None, None, 'pot,"b,c"', None),
        (4, None, None, None, 'jug,tan,3,"4"",",5', None),
        (5, "mug", "tan", "6", None, None),
    ]


@pytest.mark.parametrize(
    ("rows", "expected", "notes"),
    [
        # surplus fields without text are nothing, whatever their number
        ("cup,red,1,\npot,tan,2,,, \n", [("cup", "red", "1"), ("pot", "tan", "2")], (0, 2, 0)),
        ('cup,red,1,""\n', [("cup", "red", "1")], (0, 1, 0)),
        # what is missing at the end, of an optional column, is blank
        ("cup,red\npot,tan,2\n", [("cup", "red", None), ("pot", "tan", "2")], (1, 0, 0)),
        ("cup,red\npot,tan", [("cup", "red", None), ("pot", "tan", None)], (2, 0, 0)),
        # but not in a file of which other rows do not fit
        ("cup,red\npot\n", [None, None], (0, 0, 2)),
        ("pot\ncup,red\n", [None, None], (0, 0, 2)),
        ("cup,red\npot,tan,2\njug,a,b,c\n", [None, ("pot", "tan", "2"), None], (0, 0, 2)),
        ("cup,red,1,,x\n", [None], (0, 0, 1)),
    ],
)
@pytest.mark.usefixtures("way")
def test_a37_rows_that_end_early_or_late(  # noqa: PLR0913, PLR0917  # fixtures, and a table
    load: Callable[..., LoadResult],
    query: Query,
    write: Write,
    rows: str,
    expected: list[tuple[Any, ...] | None],
    notes: tuple[int, int, int],
) -> None:
    """Empty fields beyond the header are nothing; missing optional ones at the end are blank."""
    result = load(write(HEADER + rows))
    found = [tuple(row.values())[1:5] for row in query(ROWS, [result.load_id])]
    assert [None if malformed else tuple(row) for *row, malformed in found] == expected
    names = ("short_rows", "long_rows", "malformed_rows")
    assert tuple(result.notes.get(name, 0) for name in names) == notes


def test_a37_other_columns_at_the_end(
    load: Callable[..., LoadResult], query: Query, write: Write
) -> None:
    """Whether a column is optional, not where it stands in the source, decides; unread ones are."""
    result = load(write("Weight (g),Colour,Thing Name,Batch\n1,red,cup\n2,tan,pot,B\n"))
    assert [tuple(row.values()) for row in query(ROWS, [result.load_id])] == [
        (2, "cup", "red", "1", None, None),
        (3, "pot", "tan", "2", None, {"Batch": "B"}),
    ]
    short = load(write("Weight (g),Colour,Thing Name\n1,red\n2,tan,pot\n"))
    assert short.notes["malformed_rows"] == 1


def test_unread_columns_of_one_header_are_numbered(
    load: Callable[..., LoadResult], query: Query, write: Write
) -> None:
    """ISA-Tab repeats `Unit` behind each value: all are kept, each under a name of its own."""
    header = "Thing Name,Unit,Colour,Unit,unit,Unit (2),Weight (g),Unit\n"
    result = load(write(header + "cup,g,red,nm,x,y,1,kg\n"))
    extra = {"Unit": "g", "Unit (3)": "nm", "unit": "x", "Unit (2)": "y", "Unit (4)": "kg"}
    assert result.notes["unknown_columns"] == list(extra)
    assert query(ROWS, [result.load_id])[0]["_extra"] == extra


def test_unknown_columns_are_kept(
    load: Callable[..., LoadResult], query: Query, write: Write
) -> None:
    """A column that nobody declared is in `_extra`, also when it has no header."""
    result = load(write('Batch "Ä",Colour,,Thing Name,\nB1,red,,cup,\n,tan,note,pot,\n'))
    assert result.notes["unknown_columns"] == ['Batch "Ä"', "column 3"]
    assert [tuple(row.values()) for row in query(ROWS, [result.load_id])] == [
        (2, "cup", "red", None, None, {'Batch "Ä"': "B1"}),
        (3, "pot", "tan", None, None, {"column 3": "note"}),
    ]
    (record,) = query("select notes from raw.loads")
    assert record["notes"]["unknown_columns"] == ['Batch "Ä"', "column 3"]


def test_empty_trailing_headers_are_ignored(
    load: Callable[..., LoadResult], query: Query, write: Write
) -> None:
    """What Excel leaves right of the data is nothing, whether a row has it or not."""
    result = load(write("Thing Name,Colour,,\ncup,red,,\npot,tan\njug\n"))
    assert "unknown_columns" not in result.notes
    assert [tuple(row.values()) for row in query(ROWS, [result.load_id])] == [
        (2, "cup", "red", None, None, None),
        (3, "pot", "tan", None, None, None),
        (4, None, None, None, "jug", None),
    ]


@pytest.mark.usefixtures("way")
def test_a42_a_header_only_is_a_load_of_no_rows(
    load: Callable[..., LoadResult], write: Write
) -> None:
    """A file without data is a load of 0 rows; one without a header is refused, below."""
    assert load(write(HEADER)).rows == 0
    assert load(write(HEADER.rstrip(), "other.csv")).rows == 0


# ---------- what is refused


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "things.csv: the file is empty; "),
        (b"\n\n", "things.csv: the file is empty; "),
        (b"Thing Name,Shape\na,b\n", "things.csv, row 1: mandatory header 'Colour' is missing"),
        (b"Thing Name,Color\na,b\n", "'Color' may be meant for 'Colour'"),
        (b"Thing Name:Colour\na:b\n", "only one column was found: declare another `delimiter`"),
        (
            b"Thing Name,Colour,thing_name\na,b,c\n",
            "'Thing Name' of column 1 occurs again as 'thing_name' in column 3",
        ),
        (b'Thing Name,Colour\ncup,"re"d\n', "row 2: text follows a closing quote"),
        (b"PK\x03\x04 and so on", "things.csv: this is a workbook or another zip file"),
        (bytes.fromhex("d0cf11e0a1b11ae1"), "an old or a password-protected Excel file"),
    ],
)
@pytest.mark.usefixtures("way")
def test_refused(refusal_of: Callable[..., str], content: bytes, sentence: str) -> None:
    """What is wrong and what to do is one sentence."""
    assert sentence in refusal_of(content)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"Thing Name,Colour\ncup,r\xe9d\n", "row 2: the byte at offset 23 is not valid utf-8"),
        (
            b"\xef\xbb\xbfThing Name,Colour\n" + b"cup,red\n" * 9000 + b'"a\nb",r\xe9d\n',
            "row 9002: the byte at offset 72028 is not valid utf-8",
        ),
        (b"Thing Name,Gr\xf6\xdfe\n", "row 1: the byte at offset 13 is not valid utf-8"),
        (b"Titel\nThing Name,Gr\xf6\xdfe\n", "row 2: the byte at offset 19 is not valid utf-8"),
        (b"\xff\xfeT\0\0\xd8x\0", "the byte at offset 4 is not valid utf-16-le"),
    ],
)
@pytest.mark.usefixtures("way")
def test_a34_another_encoding_is_refused_with_its_place(
    refusal_of: Callable[..., str], content: bytes, sentence: str
) -> None:
    """What is not UTF-8 is neither guessed nor mended."""
    assert sentence in refusal_of(content)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("Thing Name,Colour\ncup,foncé\n", "foncé"),
        ("Thing Name;Colour\nLC-µ;red\n", "LC-µ"),
        ('Thing Name\tColour\n"caf€ine"\tred\n', "caf€ine"),
        ("Thing Name,Colour\ncup,red\npot,Zürich", "Zürich"),
        ("Größe,Thing Name,Colour\n1,cup,red\n", "Größe"),
    ],
)
@pytest.mark.usefixtures("way")
def test_a34_the_remedy_is_an_encoding_and_what_it_would_read(
    load: Callable[..., LoadResult], query: Query, write: Write, content: str, value: str
) -> None:
    """Who sends the file sees the value as Windows-1252 has it; it is kept nowhere."""
    path = write(content.encode("cp1252"))
    with pytest.raises(LoadError) as refusal:
        load(path)
    assert f"as Windows-1252 the value reads {value!r}" in str(refusal.value)
    assert "`--encoding cp1252`" in str(refusal.value)
    assert "`encoding=cp1252`" in str(refusal.value)
    (record,) = query("select error from raw.loads")
    assert "is not valid utf-8; save" in record["error"]
    assert value not in record["error"]


def test_a34_no_value_where_the_encoding_has_no_such_byte(
    refusal_of: Callable[..., str],
) -> None:
    """Windows-1252 has no 0x81: what it would read is not said."""
    assert "reads" not in refusal_of(b"Thing Name,Colour\ncup,r\x81d\n")


@pytest.mark.parametrize(
    "name", ["klingon", "idna", "undefined", "a\0b", "base64", "unicode_escape"]
)
def test_a34_an_encoding_that_no_file_is_in(
    load: Callable[..., LoadResult], write: Write, name: str
) -> None:
    """A name that Python does not know, or knows as something else, is refused."""
    things = source("things", *THINGS.columns, encoding=name)
    with pytest.raises(LoadError, match=r"the encoding .* is unknown; name one such as utf-8"):
        load(write(HEADER), source_table=things)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"Thing Name,Colour\ncup,r\0d\n", "row 2: there is a NUL byte at offset 23"),
        ("Thing Name,Colour\n".encode("utf-16-le"), "there is a NUL byte at offset 1"),
        (
            "Thing Name,Colour\ncup,r\0d\n".encode("utf-16"),
            "row 2: there is a NUL byte at offset 48",
        ),
        (b"Thing Name,Colour\ncup,r\0d\npot,r\xe9d\n", "row 2: there is a NUL byte at offset 23"),
    ],
)
@pytest.mark.usefixtures("way")
def test_a35_a_nul_byte_is_refused_with_its_place(
    refusal_of: Callable[..., str], content: bytes, sentence: str
) -> None:
    """It says that UTF-16 may have been taken for a CSV file."""
    assert sentence in refusal_of(content)
    assert "UTF-16 without a byte order mark" in refusal_of(content)


@pytest.mark.parametrize("length", [10, lines.MAX_RECORD, 3 * lines.MAX_RECORD])
@pytest.mark.usefixtures("way")
def test_a38_a_quote_that_never_closes_is_named_by_its_row(
    refusal_of: Callable[..., str], length: int
) -> None:
    """Whatever follows it, lines among it."""
    content = b'Thing Name,Colour\ncup,red\npot,"' + b"b\n" * (length // 2)
    assert "row 3: a quote opens here and never closes" in refusal_of(content)


@pytest.mark.parametrize("rest", ["pot", "pot,blue", '"pot', '"pot","blue"', "pot,bl\xc3"])
@pytest.mark.usefixtures("way")
def test_a40_a_file_that_was_cut_is_refused(refusal_of: Callable[..., str], rest: str) -> None:
    """A last row with too few fields and no line end is where a transfer broke off."""
    content = (HEADER + "cup,red,1\n" + rest).encode("latin-1")
    assert "row 3" in refusal_of(content)


@pytest.mark.parametrize("is_quoted", [False, True])
@pytest.mark.parametrize("length", [lines.MAX_RECORD, 3 * lines.MAX_RECORD + 7])
@pytest.mark.usefixtures("way")
def test_a46_a_row_that_is_too_long_is_set_aside(
    load: Callable[..., LoadResult], query: Query, write: Write, length: int, is_quoted: bool
) -> None:
    """Its start is kept as that of a malformed row; the rows around it are loaded."""
    field = '"' + 'a,"\n'.replace('"', '""') * (length // 5) + '"' if is_quoted else "x" * length
    result = load(write(f"{HEADER}cup,red,1\npot,{field},2\njug,tan,3\n"))
    assert (result.rows, result.notes["malformed_rows"]) == (3, 1)
    cup, pot, jug = (tuple(row.values()) for row in query(ROWS, [result.load_id]))
    assert (cup, jug) == (
        (2, "cup", "red", "1", None, None),
        (4, "jug", "tan", "3", None, None),
    )
    row = f"pot,{field},2\n"
    kept = row[: lines.KEPT]
    assert pot == (3, None, None, None, f"{kept}… ({len(row)} characters)", None)


def test_a46_a_long_row_is_no_header(refusal_of: Callable[..., str]) -> None:
    """The header is looked for above it."""
    sentence = "row 2: no header stands above this row of 1048576 characters or more"
    assert sentence in refusal_of(b"\n" + b"Thing Name," * 100_000 + b"Colour\n")


@pytest.mark.parametrize("is_quoted", [False, True])
def test_a46_a_long_row_takes_no_memory(write: Write, is_quoted: bool) -> None:
    """A row of 64 MB is read in a few pieces of 1 MB."""
    quote = b'"' if is_quoted else b""
    path = write(HEADER.encode() + b"cup," + quote + b"a" * 64_000_000 + quote + b",1\n")
    with CsvFile(path) as file:
        layout = file.layout(THINGS)
        tracemalloc.start()
        try:
            rows = sum(1 for _ in file.records(layout))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert rows == 1
    assert peak < 16_000_000


@given(
    body=st.text(st.sampled_from('ab",\r\n'), max_size=60),
    limit=st.integers(2, 12),
)
@settings(max_examples=1000, deadline=None)
def test_a46_other_rows_are_read_as_if_it_were_not_there(
    body: str, limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However long a row may be, the rows that are shorter are those of Python's own reader."""
    path = tmp_path_factory.getbasetemp() / "long.csv"
    path.write_text("a\n" + body, newline="")
    alone = source("alone", column("a"))
    with CsvFile(path) as file, pytest.MonkeyPatch.context() as patch:
        layout = replace(match_headers(alone, ["a"], 1), delimiter=",", encoding="utf-8")
        csv.field_size_limit(100)
        text = io.StringIO("a\n" + body, newline="")
        try:
            oracle = list(enumerate(csv.reader(text, strict=True), start=1))
        except csv.Error:
            oracle = []
        patch.setattr(lines, "MAX_RECORD", limit)
        try:
            rows = [(1, ["a"]), *file.records(layout)]
        except LoadError:
            assert not oracle
            return
    assert len(rows) == len(oracle)
    for row, expected in zip(rows, oracle, strict=True):
        assert isinstance(row[1], Fragment) or row == expected


def test_a_refused_file_can_be_loaded_once_it_is_right(
    load: Callable[..., LoadResult], query: Query, write: Write
) -> None:
    """After a failed load the next one numbers its rows as if nothing had been."""
    with pytest.raises(LoadError):
        load(write(HEADER + "cup,red,1\n" * 20000 + 'pot,"a"b,2\n'))
    result = load(write(HEADER + "cup,red,1\n"))
    rows = query("select * from raw.shop__things")
    assert [(row["_row_number"], row["_load_id"]) for row in rows] == [(2, result.load_id)]


def test_missing_file(load: Callable[..., LoadResult], tmp_path: Path) -> None:
    """A path without a file is a sentence, not a traceback."""
    with pytest.raises(LoadError, match=r"^absent.csv: the file cannot be read \(No such file"):
        load(tmp_path / "absent.csv")


def test_undeclared_format(load: Callable[..., LoadResult], write: Write) -> None:
    """A source table says which formats it takes."""
    things = source("things", *THINGS.columns, formats=("xlsx",))
    with pytest.raises(LoadError, match=r"takes no \.csv files; save it as xlsx\.$"):
        load(write(HEADER), source_table=things)


def test_unprepared_database(load: Callable[..., LoadResult], write: Write) -> None:
    """Without its raw table a load says which command makes it."""
    with pytest.raises(LoadError, match="run `assay db upgrade`"):
        load(write("a\n"), source_table=source("unknown", column("a")))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("is_known", [False, True])
def test_changed_while_read(
    load: Callable[..., LoadResult], query: Query, write: Write, is_known: bool
) -> None:
    """A file that changes while it is loaded is refused, whether or not it was hashed before."""
    path = write(HEADER + "cup,red,1\n")
    if is_known:
        load(path)
        path.write_text(HEADER + "cup,red,2\n")

    def change(_bytes: int, _rows: int) -> None:
        path.write_text(HEADER + "cup,red,3\n")

    with pytest.raises(LoadError, match="changed while"):
        load(path, progress=change)
    assert len(query("select * from raw.shop__things")) == is_known


@pytest.mark.usefixtures("way")
def test_lost_connection(
    load: Callable[..., LoadResult], query: Query, write: Write, conninfo: str
) -> None:
    """When the server ends the session inside COPY, nothing is visible and the record says so."""
    path = write(HEADER + "cup,red,1\n" * 400_000)

    def end_session(_bytes: int, _rows: int) -> None:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and query ~* '^\\s*copy'"
            )

    with pytest.raises(psycopg.OperationalError):
        load(path, progress=end_session)
    assert query("select * from raw.shop__things") == []
    assert [row["state"] for row in query("select state from raw.loads")] == ["failed"]
    assert load(path).rows == 400_000


# ---------- the same bytes


def test_a23_same_bytes_are_no_news(
    load: Callable[..., LoadResult], query: Query, write: Write
) -> None:
    """P1: the latest bytes of a file name, or of the table, are not loaded again."""
    one, two = HEADER + "cup,red,1\n", HEADER + "pot,blue,2\n"
    first = load(write(one, "a.csv"))
    second = load(write(two, "b.csv"))
    assert load(write(one, "a.csv")).load_id == first.load_id  # latest of its name
    assert load(write(two, "c.csv")).load_id == second.load_id  # latest of the table
    again = load(write(two, "b.csv"))
    assert (again.state, again.rows, again.notes) == ("already loaded", 1, second.notes)
    assert len(query("select * from raw.loads")) == 2
    # Older bytes under a new name, or of a name that brought others since, are news.
    assert load(write(one, "d.csv")).state == "loaded"
    assert load(write(two, "a.csv")).state == "loaded"
    assert load(write(one, "a.csv")).state == "loaded"


def test_force_loads_again(load: Callable[..., LoadResult], query: Query, write: Write) -> None:
    """An explicit wish loads the same bytes a second time."""
    path = write(HEADER + "cup,red,1\n")
    assert load(path).load_id < load(path, force=True).load_id
    assert len(query("select * from raw.shop__things")) == 2


def test_a_failed_load_does_not_count(
    load: Callable[..., LoadResult], write: Write, query: Query
) -> None:
    """Bytes that were refused are tried again."""
    for _ in range(2):
        with pytest.raises(LoadError):
            load(write("Thing Name\n"))
    assert len(query("select * from raw.loads where state = 'failed'")) == 2


def test_a24_eight_at_once(load: Callable[..., LoadResult], query: Query, write: Write) -> None:
    """Of eight loads of the same file at once one loads, seven say so."""
    path = write(HEADER + "cup,red,1\n" * 1000)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: load(path), range(8)))
    assert sorted(result.state for result in results) == ["already loaded"] * 7 + ["loaded"]
    assert len({result.load_id for result in results}) == 1
    assert len(query("select * from raw.shop__things")) == 1000


def test_clock_order_is_the_order_of_visibility(
    load: Callable[..., LoadResult], query: Query, write: Write, conninfo: str
) -> None:
    """Whoever sees the clock of a load sees all loads with an earlier clock."""
    others = [source(f"t{number}", *THINGS.columns) for number in range(4)]
    with psycopg.connect(conninfo) as connection:
        create_raw_tables(connection, Catalog({}, {table.name: table for table in others}))
    paths = [
        write(HEADER + f"cup{number},red,1\n" * (number + 1), f"{number}.csv")
        for number in range(24)
    ]
    is_over = threading.Event()
    seen: list[list[int]] = []

    def watch() -> None:
        while not is_over.is_set():
            seen.append([row["clock"] for row in query("select clock from raw.loads order by 1")])

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: load(paths[i], source_table=others[i % 4]), range(24)))
    is_over.set()
    watcher.join()
    final = [row["clock"] for row in query("select clock from raw.loads order by 1")]
    assert len(final) == 24
    for clocks in seen:
        assert clocks == final[: len(clocks)]


def test_the_clock_is_drawn_alone(
    load: Callable[..., LoadResult], query: Query, write: Write, conninfo: str
) -> None:
    """A load draws its clock only once the load that drew before it is visible."""
    waiting = "select 1 from pg_locks where locktype = 'advisory' and not granted"
    path = write(HEADER + "cup,red,1\n")
    with ThreadPoolExecutor(1) as pool:
        with psycopg.connect(conninfo) as other:
            other.execute("select pg_advisory_xact_lock(hashtextextended('journal.clock', 0))")
            result = pool.submit(load, path)
            deadline = time.monotonic() + PATIENCE
            while not query(waiting) and time.monotonic() < deadline:
                time.sleep(0.01)
            (clock,) = query("select is_called from journal.clock")
            is_over = result.done()
        assert result.result().state == "loaded"
    assert (clock["is_called"], is_over) == (False, False)


def test_a_miscount_is_not_believed(
    load: Callable[..., LoadResult], query: Query, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the check and PostgreSQL count differently the file is read row by row."""
    monkeypatch.setattr(copy, "QuoteCheck", lambda _: _Miscount(","))
    calls: list[CsvFile] = []
    copy_records = copy._copy_records  # noqa: SLF001

    def spy(*arguments: Any) -> Any:
        calls.append(arguments[1])
        return copy_records(*arguments)

    monkeypatch.setattr(copy, "_copy_records", spy)
    result = load(write(HEADER + "cup,red,1\n"))
    assert (result.rows, len(calls)) == (1, 1)
    assert len(query("select * from raw.shop__things")) == 1


class _Miscount(QuoteCheck):
    def feed(self, chunk: bytes) -> None:
        super().feed(chunk)
        self.line_ends += 1


@pytest.mark.usefixtures("way")
def test_progress_is_told(load: Callable[..., LoadResult], write: Write) -> None:
    """The last call tells all bytes and all rows."""
    path = write(HEADER + "cup,red,1\n" * 200_000)
    calls: list[tuple[int, int]] = []
    load(path, progress=lambda count, rows: calls.append((count, rows)))
    assert calls[-1] == (path.stat().st_size, 200_000)
    assert len(calls) > 1
    assert calls == sorted(calls)


def test_the_name_its_owner_knows(
    load: Callable[..., LoadResult], query: Query, write: Write
) -> None:
    """An upload keeps its name although it lies elsewhere."""
    load(write(HEADER, "upload-1.tmp"), file_name="mine.csv")
    assert query("select file_name from raw.loads") == [{"file_name": "mine.csv"}]


# ---------- properties

# What PostgreSQL can store, with more of what CSV finds hard.
text = st.text(
    st.sampled_from('",;\t\r\n\\. N\ufeff é€')
    | st.characters(codec="utf-8", exclude_characters="\0"),
    max_size=12,
)
tables = st.lists(st.tuples(text, text, text), max_size=12)
thorough = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(rows=tables, end=st.sampled_from(["\n", "\r\n"]), order=st.permutations(range(3)))
@thorough
def test_any_table_loads_alike_both_ways(
    stored: Callable[..., Any], rows: list[tuple[str, ...]], end: str, order: list[int]
) -> None:
    """What a CSV writer wrote is stored exactly, in whatever order its columns are."""
    headers = ("Thing Name", "Colour", "Weight (g)")
    content = io.StringIO(newline="")
    writer = csv.writer(content, lineterminator=end)
    # A field with a lone line end is quoted whatever the terminator: Python 3.11 leaves CR bare.
    quoting = csv.writer(content, lineterminator=end, quoting=csv.QUOTE_ALL)
    for row in (headers, *rows):
        shuffled = [row[index] for index in order]
        (quoting if any("\r" in field or "\n" in field for field in row) else writer).writerow(
            shuffled
        )
    expected = plain(
        *(
            (number, *(field or None for field in row))
            for number, row in enumerate(rows, start=2)
            if any(row)
        )
    )
    data = content.getvalue().encode()
    with pytest.MonkeyPatch.context() as patch:
        assert stored(data) == expected
        patch.setattr(CsvFile, "is_pipeable", lambda *_: False)
        assert stored(data) == expected


@given(body=st.text(st.sampled_from('ab",\r\n'), max_size=40))
@example(body='5" pipe,b,c\nd,e,5" pipe\n')
@example(body='a,"b"c,d\n')
@example(body='a,b,c\n"\n')
@example(body='a"\n,b,c"\n')
@thorough
def test_stray_quotes_never_misparse(stored: Callable[..., Any], body: str) -> None:
    """Whatever its quotes, a file loads as Python's strict reader reads it, or is refused."""
    content = HEADER + body
    try:
        oracle = list(csv.reader(io.StringIO(content, newline=""), strict=True))
        filled = [row for row in oracle if any(row)]
        # text that ends inside a row: a shorter one than any other, or without what is mandatory
        least = max(2, min(map(len, filled[:-1] or filled)))
        is_cut = (
            len(oracle[-1]) < min(3, least)
            and "".join(oracle[-1]).strip()
            and content[-1] not in "\r\n"
        )
    except csv.Error:
        is_cut = True
    if is_cut:
        with pytest.raises(LoadError):
            stored(content)
        return
    expected = []
    rows = {
        number: row if any(row[3:]) else row[:3]
        for number, row in enumerate(oracle[1:], start=2)
        if any(row) and not (len(row) == 1 and not row[0].strip())
    }
    # the last column is not mandatory
    is_short = {2, 3} >= set(map(len, rows.values()))
    for number, row in rows.items():
        if len(row) == 3 or (len(row) == 2 and is_short):
            cells = (field or None for field in (*row, "")[:3])
            expected.append((number, *cells, None, None))
        else:
            line = io.StringIO()
            csv.writer(line, lineterminator="").writerow(oracle[number - 1])
            expected.append((number, None, None, None, line.getvalue(), None))
    assert stored(content) == expected


@given(
    body=st.text(st.sampled_from('ab",\n'), max_size=60),
    size=st.integers(1, 8),
)
@settings(max_examples=1000, deadline=None)
def test_chunks_of_any_size(body: str, size: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bytes that are proven well formed give what Python reads, wherever they are cut."""
    path = tmp_path_factory.getbasetemp() / "chunks.csv"
    path.write_text(body, newline="")
    check = QuoteCheck(",")
    with pytest.MonkeyPatch.context() as patch, CsvFile(path) as file:
        patch.setattr(csv_files, "CHUNK", size)
        try:
            piped = b"".join(file.chunks(check))
        except NotWellFormed:
            return
    assert piped == body.encode()
    rows = list(csv.reader(io.StringIO(body, newline=""), strict=True))
    assert check.line_ends == len(rows)
    # Text beside quotes would have been stored otherwise by PostgreSQL.
    assert all('"' not in field or '""' in body for row in rows for field in row)


# ---------- loads that are not loaded, or no longer


def test_a_load_that_was_taken_back_does_not_count(
    load: Callable[..., LoadResult], query: Query, write: Write
) -> None:
    """Its file is loaded again; so is one that was only rehearsed."""
    path = write(HEADER + "cup,red,120\n")
    for state in ("unloaded", "rehearsal"):
        first = load(path)
        query(
            "update raw.loads set state = %s where load_id = %s returning 1", [state, first.load_id]
        )
        again = load(path)
        assert again.state == "loaded"
        assert again.load_id > first.load_id
        query("update raw.loads set state = 'unloaded' returning 1")


def test_a_rehearsal_is_forgotten_whole(
    conninfo: str, load: Callable[..., LoadResult], query: Query, write: Write
) -> None:
    kept = load(write(HEADER + "cup,red,120\n"))
    rehearsal = load(write(HEADER + "pot,red,1\n", "other.csv"), rehearsal=True)
    assert rehearsal.state == "loaded"
    state = "select state from raw.loads where load_id = %s"
    assert query(state, [rehearsal.load_id]) == [{"state": "rehearsal"}]
    assert len(query(ROWS, [rehearsal.load_id])) == 1
    for load_id in (rehearsal.load_id, kept.load_id):
        forget(conninfo, THINGS, load_id)
    assert query("select load_id from raw.loads") == [{"load_id": kept.load_id}]
    assert query("select _load_id from raw.shop__things") == [{"_load_id": kept.load_id}]


def test_a_rehearsal_that_is_refused_leaves_no_record(
    load: Callable[..., LoadResult], query: Query, write: Write
) -> None:
    with pytest.raises(LoadError):
        load(write("nothing\n"), rehearsal=True)
    assert query("table raw.loads") == []


def test_what_a_rehearsal_left_goes_unless_one_lives(
    conninfo: str, catalog: Catalog, load: Callable[..., LoadResult], query: Query, write: Write
) -> None:
    kept = load(write(HEADER + "cup,red,120\n"))
    with rehearsing(conninfo, THINGS), rehearsing(conninfo, THINGS):
        load(write(HEADER + "pot,red,1\n"), rehearsal=True)
        forget_left_over(conninfo, catalog)
        assert len(query("table raw.loads")) == 2
    forget_left_over(conninfo, catalog)
    assert query("select load_id from raw.loads") == [{"load_id": kept.load_id}]
    assert query("select _load_id from raw.shop__things") == [{"_load_id": kept.load_id}]
