"""Values as spreadsheets, databases and languages write them, in columns of every type and dataset.

What is told is what docs/robustness.md says of D-08 to D-13, whatever the dataset.
"""

import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest

from tests.dbt.test_patients import PATIENT, key
from tests.warehouse import NewWarehouse, Warehouse

PRODUCT = {
    "name": "Tea",
    "price": "2.50",
    "quantity": "12",
    "last_updated": "2026-01-31T12:00:00Z",
}
SITE = {
    "name": "Bugey",
    "country": "france",
    "max_power_megawatt": "12.5",
    "min_power_megawatt": "0.5",
}
DECOMPOSED = unicodedata.normalize("NFD", "Crème brûlée Ångström")
SOURCES = {"products": "shop.products", "sites": "energy.sites", "patients": "synthea.patients"}
KEYS = {"products": "barcode", "sites": "id", "patients": "id"}

# what is in the cell, what is kept (as text), and whether it is noted
READ: dict[tuple[str, str], list[tuple[str, str, bool]]] = {
    ("products", "barcode"): [
        ("'0001", "0001", True),
        ('="0002"', "0002", True),
        ('\'="0003"', "0003", True),
        ("\u200b0004\ufeff", "0004", False),
        ("00\u200b05", "0005", True),
        ("\u00a00006 ", "0006", False),
    ],
    ("products", "name"): [
        ('="Oil 1 l"', "Oil 1 l", True),
        ("'s-Hertogenbosch", "'s-Hertogenbosch", False),
        (DECOMPOSED, unicodedata.normalize("NFC", DECOMPOSED), True),
        ("“Smart” \u2013 name", "“Smart” \u2013 name", False),
    ],
    ("products", "price"): [
        ("'8.95", "8.95", True),
        ('="8.95"', "8.95", True),
        ("1.2E1", "12", False),
        ("+3", "3", False),
        ("3\u200b.5", "3.5", True),
    ],
    ("products", "quantity"): [
        ("3.0", "3", True),
        ("'4", "4", True),
        ('="5"', "5", True),
        ("6", "6", False),
    ],
    ("products", "last_updated"): [
        ("2026-01-31 12:00:00.0000000", "2026-01-31T12:00:00+00:00", False),
        ("2026-01-31 12:00:00.1234567", "2026-01-31T12:00:00.123456+00:00", True),
        ("2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00.123456+00:00", True),
        ("2026-01-31T12:00:00.9999999Z", "2026-01-31T12:00:00.999999+00:00", True),
        ("2026-01-31 12:00:00 +01:00", "2026-01-31T11:00:00+00:00", False),
        ("2026-01-31T12:00:00+0100", "2026-01-31T11:00:00+00:00", False),
        ("2026-01-31T12:00:00-05", "2026-01-31T17:00:00+00:00", False),
        ("2026-01-31t12:00:00z", "2026-01-31T12:00:00+00:00", False),
        ("2026-01-31", "2026-01-31T00:00:00+00:00", False),
        ("'2026-01-31", "2026-01-31T00:00:00+00:00", True),
    ],
    ("sites", "installation_date"): [
        ("2019-04-02 00:00:00", "2019-04-02", True),
        ("2019-04-03T00:00:00.000", "2019-04-03", True),
        ("2019-04-04T00:00:00Z", "2019-04-04", True),
        ('="2019-04-05"', "2019-04-05", True),
        ("2019-04-06", "2019-04-06", False),
    ],
    ("sites", "max_power_megawatt"): [("'12.5", "12.5", True), ("12.50", "12.5", False)],
    ("sites", "country"): [('="France"', "france", True), (" ITALY ", "italy", True)],
    ("patients", "ZIP"): [("'02138", "02138", True), ('="02138"', "02138", True)],
    ("patients", "LON"): [("\u221272.5", "-72.5", True)],
    ("patients", "BIRTHDATE"): [("1972-03-09T00:00:00", "1972-03-09", True)],
    ("patients", "LAST"): [(DECOMPOSED, unicodedata.normalize("NFC", DECOMPOSED), True)],
}
# what is in the cell, and what it may have been
UNREAD: dict[tuple[str, str], list[tuple[str, str | None]]] = {
    ("products", "price"): [
        ("8,95", "8.95"),
        ("1 234.50", "1234.50"),
        ("1'234.50", "1234.50"),
        ("1,234", None),
        ("1.234,56", None),
        ("free", None),
    ],
    ("products", "quantity"): [("1 234", "1234"), ("2.5", None), ("8,95", None)],
    ("products", "last_updated"): [
        ("31/01/2026", "2026-01-31"),
        ("31.1.2026 12:00", "2026-01-31 12:00"),
        ("03/04/2026", None),
        ("20260131", "2026-01-31"),
    ],
    ("sites", "installation_date"): [
        ("13/04/2019", "2019-04-13"),
        ("4/13/2019", "2019-04-13"),
        ("05/05/2019", "2019-05-05"),
        ("02/04/2019", None),
        ("2019-04-02 10:00:00", None),
    ],
    ("sites", "efficiency"): [("0,88", "0.88")],
    ("patients", "LAT"): [("41,375", None), ("41,3755", "41.3755")],
    ("patients", "Id"): [
        ("{00000000-0000-4000-8000-000000000099}", "00000000-0000-4000-8000-000000000099"),
        ("nobody", None),
    ],
}

# numbers that no program reads, and the largest and longest that all do
UNBOUND = ("1e9999", "-1E309", "1e-9999", "0e-9999", "1" * 41, f"0.{'3' * 41}", f"0.{'0' * 400}1")
BOUND = ("1e308", "9" * 40, f"0.{'3' * 40}", "4.9406564584124654e-324", "-0", "1e39")
OF_ANY_SIZE = {("patients", "INCOME"): "income", ("sites", "efficiency"): "efficiency"}
for _where in OF_ANY_SIZE:
    UNREAD.setdefault(_where, [])


def row_of(dataset: str, number: int, column: str, text: str) -> dict[str, str]:
    """A good row but for one cell."""
    if dataset == "products":
        row = PRODUCT | {"barcode": f"9{number:03d}"}
    elif dataset == "sites":
        row = SITE | {"id": str(number), "installation_date": f"2001-01-{number:02d}"}
        if column in ("efficiency", "country") and "FRANCE" not in text.upper():
            # an Italian site stands since a weekend
            row |= {"country": "italy", "installation_date": "2001-01-06"}
    else:
        row = PATIENT | {"Id": key(number)}
    return row | {column: text}


@pytest.fixture(scope="module")
def read(new_warehouse: NewWarehouse) -> Iterator[Warehouse]:
    with new_warehouse() as warehouse:
        warehouse.excluded = ()
        for dataset, source in SOURCES.items():
            cells = cells_of(dataset)
            rows = [row_of(dataset, n, *cell) for n, cell in enumerate(cells, start=1)]
            header = list(dict.fromkeys(name for row in rows for name in row))
            _load(warehouse, source, dataset, header, rows)
        warehouse.build("--select", *(f"+{name} rejected_{name}" for name in SOURCES))
        yield warehouse


def _load(
    warehouse: Warehouse, source: str, dataset: str, header: list[str], rows: list[dict[str, str]]
) -> None:
    path = warehouse.folder / f"{dataset}.csv"
    quoted = (
        ",".join('"' + row.get(name, "").replace('"', '""') + '"' for name in header)
        for row in rows
    )
    path.write_text("\n".join([",".join(header), *quoted]) + "\n", encoding="utf-8")
    warehouse.load_file(path, source)


def cells_of(dataset: str) -> list[tuple[str, str]]:
    """Column and text, in the order of the rows of its file."""
    read = [(c, t) for (of, c), told in READ.items() if of == dataset for t, _, _ in told]
    unread = [(c, t) for (of, c), told in UNREAD.items() if of == dataset for t, _ in told]
    unread += [(c, t) for of, c in OF_ANY_SIZE if of == dataset for t in (*UNBOUND, *BOUND)]
    return read + unread


def number_of(dataset: str, column: str, text: str) -> int:
    """The place of a cell in its file, from 1."""
    return cells_of(dataset).index((column, text)) + 1


@pytest.mark.parametrize("where", READ, ids=".".join)
def test_what_is_read(read: Warehouse, where: tuple[str, str]) -> None:
    """It is kept as it is meant; what was changed for that is noted."""
    dataset, column = where
    name = column.lower()
    for text, kept, is_noted in READ[where]:
        (row,) = read.query(
            f"select to_jsonb({name}) #>> '{{}}' as value, repairs from curated.{dataset}"
            " where updated_by like %s",
            f"% row {number_of(dataset, column, text) + 1}",
        )
        value = row["value"]
        if column in ("price", "max_power_megawatt", "LON"):
            assert float(value) == float(kept), text
        else:
            assert value == kept, text
        notes = [note for note in row["repairs"] if note.startswith(f"{name}: ")]
        assert bool(notes) is is_noted, (text, notes)


@pytest.mark.parametrize("where", UNREAD, ids=".".join)
def test_what_is_not_read(read: Warehouse, where: tuple[str, str]) -> None:
    """Its row is set aside, with what the value may have been where that is one thing only."""
    dataset, column = where
    name = column.lower()
    for text, proposed in UNREAD[where]:
        (row,) = rejected(read, dataset, number_of(dataset, column, text))
        assert row["rules"] == [f"{name}_type"], text
        expected = [] if proposed is None else [f"{name}: {text} -> {proposed}"]
        assert row["proposals"] == expected


@pytest.mark.parametrize("where", OF_ANY_SIZE, ids=".".join)
def test_numbers_have_a_bound(read: Warehouse, where: tuple[str, str]) -> None:
    """The range of double precision (IEEE 754) and 40 significant digits, whatever the column."""
    dataset, column = where
    for text in UNBOUND:
        (row,) = rejected(read, dataset, number_of(dataset, column, text))
        rules = [rule for rule in row["rules"] if rule != "no_negative_amounts"]
        assert rules == [f"{OF_ANY_SIZE[where]}_bound"], text
    for text in BOUND:
        assert not rejected(read, dataset, number_of(dataset, column, text)), text


def rejected(read: Warehouse, dataset: str, number: int) -> list[dict[str, Any]]:
    return read.query(
        f"select rules, proposals from rejected.rejected_{dataset} where row_number = %s",
        number + 1,
    )


def test_every_rejected_view_says_what_values_may_have_been(read: Warehouse) -> None:
    """And has the columns of its source, as they came."""
    views = read.query(
        "select table_name as name, array_agg(column_name::text order by ordinal_position) as found"
        " from information_schema.columns where table_schema = 'rejected' group by 1"
    )
    assert {view["name"] for view in views} >= {f"rejected_{name}" for name in SOURCES}
    for view in views:
        assert view["found"][:4] == ["load_id", "row_number", "rules", "proposals"]
        assert view["found"][-1] == "malformed"


@pytest.mark.parametrize("dataset", SOURCES)
def test_staging_computes_each_text_once_and_by_several_processes(
    read: Warehouse, dataset: str
) -> None:
    """The plan keeps the steps apart, reads only the load, and can be run in parallel."""
    read.query("select set_config('min_parallel_table_scan_size', '0', false)")
    for setting in ("parallel_setup_cost", "parallel_tuple_cost"):
        read.query(f"select set_config('{setting}', '0', false)")
    rows = read.query(f"explain select * from staging.{dataset}__rows where _load_id = 1")
    plan = "\n".join(str(row["QUERY PLAN"]) for row in rows)
    assert plan.count("Subquery Scan") == 4
    assert "Gather" in plan
    assert "(_load_id = 1)" in plan
    assert "CTE Scan" not in plan
