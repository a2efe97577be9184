"""Clean tables, damaged in known ways at known places: each row is curated, repaired or rejected.

`DAMAGES` is the list of what may happen to a row; a line more is a damage more.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loader.copy import load_file
from tests.warehouse import HEADER, NewWarehouse, Warehouse

SOURCE = "laboratory.metabolites"
FEATURE, LEVEL, INCHI, CAS, METHOD, VALUE = range(6)

Row = list[str]


@dataclass(frozen=True)
class Damage:
    """What happens to a row, and what becomes of it then."""

    name: str
    apply: Callable[[Row], list[Row]]
    """The rows that stand in the file instead."""
    rules: tuple[str, ...] = ()
    """That reject all of them; without any the row is curated as if nothing had happened."""
    repairs: tuple[str, ...] = ()
    """Columns whose repair is noted."""
    becomes: tuple[tuple[str, str], ...] = ()
    """What is curated instead, by column."""
    formats: tuple[str, ...] = ("csv", "xlsx")


def put(index: int, text: str | Callable[[str], str]) -> Callable[[Row], list[Row]]:
    """Another text in one field."""

    def apply(row: Row) -> list[Row]:
        new = text if isinstance(text, str) else text(row[index])
        return [[*row[:index], new, *row[index + 1 :]]]

    return apply


def beside(index: int, text: str) -> Callable[[Row], list[Row]]:
    """The row, and below it another that differs in one field."""
    return lambda row: [row, *put(index, text)(row)]


def padded_check_digit(cas_number: str) -> str:
    return f"{cas_number[:-1]}0{cas_number[-1]}"


def wrong_check_digit(cas_number: str) -> str:
    return f"{cas_number[:-1]}{(int(cas_number[-1]) + 1) % 10}"


def spaced(text: str) -> str:
    return f"\u00a0 {text}\t\n"


DAMAGES = (
    Damage("none", lambda row: [row]),
    # ---------- shape
    Damage("too few fields", lambda row: [row[:4]], ("field_count",), formats=("csv",)),
    Damage("too many fields", lambda row: [[*row, "5"]], ("field_count",), formats=("csv",)),
    Damage("a row too long", put(FEATURE, "x" * (1 << 20)), ("field_count",), formats=("csv",)),
    Damage("twice", lambda row: [row, row]),
    # ---------- white space
    Damage("space around the name", put(FEATURE, spaced)),
    Damage("space around the number", put(CAS, spaced)),
    Damage("space around the method", put(METHOD, spaced)),
    # ---------- not null
    Damage("no name", put(FEATURE, ""), ("feature_required",)),
    Damage("no identifier", put(CAS, ""), ("inchi_or_cas",)),
    Damage("no method", put(METHOD, "\u00a0"), ("method_required",)),
    Damage(
        "no level",
        put(LEVEL, ""),
        repairs=("identification_level",),
        becomes=(("identification_level", "3"),),
    ),
    # ---------- types
    Damage("level as a word", put(LEVEL, "high"), ("identification_level_type",)),
    Damage("level as a decimal", put(LEVEL, lambda n: f"{n}.0"), repairs=("identification_level",)),
    Damage("value as a word", put(VALUE, "much"), ("sample_value_type",)),
    Damage("value without end", put(VALUE, "1e400"), ("sample_value_range",)),
    Damage("value that is none", put(VALUE, "NaN"), ("sample_value_type",)),
    # ---------- enumerations, ranges, formats
    Damage("level beyond its range", put(LEVEL, "6"), ("identification_level_range",)),
    Damage("wrong check digit", put(CAS, wrong_check_digit), ("cas_number_valid",)),
    Damage("padded check digit", put(CAS, padded_check_digit), repairs=("cas_number",)),
    Damage("name too long", put(FEATURE, "x" * 2001), ("feature_length",)),
    Damage("no InChI", put(INCHI, "InChI=1S/banana"), ("inchi_valid",)),
    # ---------- contradictions
    Damage("another value", beside(VALUE, "999"), ("one_row_per_feature",)),
    Damage("another method", beside(METHOD, "LC"), ("one_method_per_feature",)),
    Damage(
        "another name",
        lambda row: [row, *put(FEATURE, f"{row[FEATURE]}-other")(row)],
        ("one_feature_per_cas",),
    ),
)


def cas_number(number: int) -> str:
    """With its check digit: the sum of the digits times their places, counted from the right."""
    digits = f"{900000 + number}11"
    check = sum(int(d) * place for place, d in enumerate(reversed(digits), start=1)) % 10
    return f"{digits[:-2]}-{digits[-2:]}-{check}"


@dataclass(frozen=True)
class Dress:
    """How a file is written, which must not matter."""

    format: str
    encoding: str
    declared: str | None
    delimiter: str
    ends: tuple[str, ...]
    """Of lines, in turn."""
    quote_all: bool
    has_separator_line: bool
    titles: int
    blanks: int
    """Blank rows above each row of data."""
    last_end: bool


DRESSES = st.builds(
    lambda encoding, **rest: Dress(encoding=encoding[0], declared=encoding[1], **rest),
    format=st.sampled_from(["csv", "xlsx"]),
    encoding=st.sampled_from(
        [("utf-8", None), ("utf-8-sig", None), ("utf-16", None), ("cp1252", "cp1252")]
    ),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    ends=st.sampled_from([("\n",), ("\r\n",), ("\r",), ("\n", "\r\n", "\r")]),
    quote_all=st.booleans(),
    has_separator_line=st.booleans(),
    titles=st.integers(0, 2),
    blanks=st.integers(0, 1),
    last_end=st.booleans(),
)
NAMES = st.text(st.sampled_from("aé ß\"',;|\t\r\n=-"), max_size=8).map(lambda text: f"{text}x")
DAMAGED_ROWS = st.lists(
    st.tuples(NAMES, st.integers(1, 5), st.integers(0, 10**6), st.sampled_from(DAMAGES)),
    min_size=1,
    max_size=12,
)


def write_csv(path: Path, dress: Dress, rows: list[Row]) -> list[int]:
    """Write the rows, the header first; their row numbers."""
    lines: list[Row] = [[f"Report {number}"] for number in range(dress.titles)]
    numbers = []
    for row in rows:
        lines += [[]] * dress.blanks
        lines.append(row)
        numbers.append(len(lines) + dress.has_separator_line)
    texts = [f"sep={dress.delimiter}"] if dress.has_separator_line else []
    for line in lines:
        # Python 3.11 leaves a lone CR bare
        is_quoted = dress.quote_all or any("\r" in field or "\n" in field for field in line)
        content = io.StringIO(newline="")
        csv.writer(
            content,
            delimiter=dress.delimiter,
            lineterminator="",
            quoting=csv.QUOTE_ALL if is_quoted else csv.QUOTE_MINIMAL,
        ).writerow(line)
        texts.append(content.getvalue())
    ends = [dress.ends[number % len(dress.ends)] for number in range(len(texts))]
    if len(dress.ends) > 1:  # LF alone, behind a CR, would end that line and not a blank one
        ends = [end if text else "\r\n" for text, end in zip(texts, ends, strict=True)]
    # a short row without a line end is a file that was cut
    if not dress.last_end and len(rows[-1]) >= len(HEADER):
        ends[-1] = ""
    text = "".join(text + end for text, end in zip(texts, ends, strict=True))
    path.write_bytes(text.encode(dress.encoding))
    return numbers


def write_xlsx(path: Path, dress: Dress, rows: list[Row]) -> list[int]:
    numbers = []
    with xlsxwriter.Workbook(path, {"strings_to_formulas": False}) as book:
        sheet = book.add_worksheet("Data to upload")
        position = 0
        for number in range(dress.titles):
            sheet.write_string(position, 0, f"Report {number}")
            position += 1
        for row in rows:
            position += dress.blanks
            for column, text in enumerate(row):
                if not dress.quote_all and column in (LEVEL, VALUE) and text in PLAIN_NUMBERS:
                    sheet.write_number(position, column, float(text))
                else:
                    sheet.write_string(position, column, text)
            position += 1
            numbers.append(position)
    return numbers


PLAIN_NUMBERS = {str(number) for number in range(10**4)}


@pytest.fixture(scope="module")
def empty(new_warehouse: NewWarehouse) -> str:
    """The name of a database whose curated tables are empty."""
    with new_warehouse() as warehouse:
        warehouse.build()
        return warehouse.save_as("damages")


def check(warehouse: Warehouse, dress: Dress, damaged: list[tuple[str, int, int, Damage]]) -> None:
    rows, curated, rules = [HEADER], {}, {}
    repairs: dict[str, int] = {}
    duplicates = 0
    for number, (name, level, value, damage) in enumerate(damaged):
        if dress.format not in damage.formats:
            continue
        clean = [f"f{number} {name}", str(level), "", cas_number(number), "GC", str(value)]
        written = damage.apply(clean)
        for row in written if damage.rules else ():
            rules[len(rows) + written.index(row)] = list(damage.rules)
        rows += written
        if not damage.rules:
            expected = dict(zip(("identification_level", "cas_number"), clean[1:4:2], strict=True))
            expected |= {"method": "GC", "sample_value": str(value)} | dict(damage.becomes)
            curated[clean[FEATURE]] = expected
            duplicates += len(written) - 1
            for column in damage.repairs:
                repairs[column] = repairs.get(column, 0) + 1
    path = warehouse.folder / f"damaged.{dress.format}"
    numbers = (write_csv if dress.format == "csv" else write_xlsx)(path, dress, rows)
    source_table = warehouse.catalog.source_tables[SOURCE]
    source_table = replace(source_table, encoding=dress.declared)
    loaded = load_file(warehouse.url, source_table, path, loaded_by="test")
    assert warehouse.operate("take_loads", source_table=SOURCE)
    account = warehouse.account(loaded.load_id)
    assert warehouse.rejected(loaded.load_id) == {numbers[i]: names for i, names in rules.items()}
    found: dict[str, Any] = {
        row["feature"]: row for row in warehouse.query("select * from curated.metabolites")
    }
    assert {
        feature: {column: str(found[feature][column]) for column in expected}
        for feature, expected in curated.items()
    } == curated
    assert len(found) == len(curated)
    assert (account["rows"], account["duplicates"]) == (len(rows) - 1, duplicates)
    assert account["repairs"] == repairs


def judge(
    new_warehouse: NewWarehouse,
    empty: str,
    dress: Dress,
    damaged: list[tuple[str, int, int, Damage]],
) -> None:
    with new_warehouse(empty) as warehouse:
        check(warehouse, dress, damaged)


shared = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_each_damage(new_warehouse: NewWarehouse, empty: str, damage: Damage) -> None:
    """Each alone, between two clean rows."""
    dress = Dress("csv", "utf-8", None, ",", ("\n",), False, False, 0, 0, last_end=True)
    clean = ("a", 1, 2, DAMAGES[0])
    judge(new_warehouse, empty, dress, [clean, ("b", 2, 3, damage), clean])


@given(dress=DRESSES, damaged=DAMAGED_ROWS)
@settings(shared, max_examples=25)
def test_damaged_files(
    new_warehouse: NewWarehouse,
    empty: str,
    dress: Dress,
    damaged: list[tuple[str, int, int, Damage]],
) -> None:
    """Whatever happened to which rows, and however the file is written."""
    judge(new_warehouse, empty, dress, damaged)


@pytest.mark.long
@given(dress=DRESSES, damaged=DAMAGED_ROWS)
@settings(shared, max_examples=500)
def test_damaged_files_long(
    new_warehouse: NewWarehouse,
    empty: str,
    dress: Dress,
    damaged: list[tuple[str, int, int, Damage]],
) -> None:
    """The same, often."""
    judge(new_warehouse, empty, dress, damaged)
