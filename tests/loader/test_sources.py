"""Which source table a file belongs to."""

from collections.abc import Callable
from pathlib import Path

import pytest

from assay.catalog import Catalog
from loader.errors import LoadError
from loader.readers import open_document
from loader.sources import check_ending, find_source, fitting_source
from tests.loader.conftest import THINGS, column, source

ORDERS = source("orders", column("customer"), column("total"))
SALES = source("sales", column("customer"), formats=("xlsx",))
CATALOG = Catalog({}, {table.name: table for table in (THINGS, ORDERS, SALES)})

Write = Callable[..., Path]


def test_the_only_one_that_fits(write: Write) -> None:
    """A file goes where all mandatory headers occur, whatever its delimiter."""
    assert find_source(CATALOG, write("Colour;Extra;thing;weight\n")) is THINGS
    assert find_source(CATALOG, write("customer,total\n")) is ORDERS


def test_none_fits(write: Write) -> None:
    """When none fits, each candidate is told with what it lacks."""
    with pytest.raises(LoadError) as refusal:
        find_source(CATALOG, write("Colour,total\n"))
    assert str(refusal.value) == (
        "things.csv: the headers fit no source table: shop.things lacks 'Thing Name'; "
        "shop.orders lacks 'customer'; shop.sales takes no .csv; "
        "pass `--source NAME` to choose one."
    )


def test_several_fit(write: Write) -> None:
    """When several fit, they are listed."""
    more = source("more", column("customer"), column("total"))
    catalog = Catalog({}, CATALOG.source_tables | {more.name: more})
    with pytest.raises(LoadError, match=r"several source tables: shop.orders, shop.more; pass"):
        find_source(catalog, write("customer,total\n"))


@pytest.mark.parametrize(
    ("headers", "doubt"),
    [
        ("thing,colour,weight,a", None),
        ("thing,colour,a", "1 of 3 headers belong to nothing that shop.things knows, such as 'a'"),
        ("thing,colour,weight,a,b", "2 of 5 .* such as 'a', 'b'"),
        ("thing,colour,weight,Batch ID", "1 of 4 .* such as 'Batch ID'"),
        ("Id,thing,colour,weight", "1 of 4 .* such as 'Id'"),
        ("CAREPLANID,thing,colour,weight", "such as 'CAREPLANID'"),
        ("thing,colour,weight,,", None),
        # one that is repeated counts once
        ("thing,Unit,colour,Unit,weight,unit", None),
        ("thing,colour,idea,weight", None),
        # what a workbook of rejected rows has beside its source's headers
        ("thing,colour,weight,Row of the rejected file,Line as it came,Rejected because", None),
    ],
)
def test_the_wrong_table(write: Write, headers: str, doubt: str | None) -> None:
    """A file with much that the table does not know is only taken where the table is named."""
    path = write(f"{headers}\n")
    if doubt is None:
        assert find_source(CATALOG, path) is THINGS
    else:
        with pytest.raises(LoadError, match=f"another table, .*{doubt}.*; pass `--source NAME`"):
            find_source(CATALOG, path)
    assert find_source(CATALOG, path, THINGS.name) is THINGS
    assert fitting_source([THINGS, ORDERS], path) is THINGS
    with open_document(path) as document:
        noted = document.layout(THINGS).notes().get("other_table")
    assert (noted is None) == (doubt is None)


def test_a_table_that_knows_the_headers_goes_before_one_that_does_not(write: Write) -> None:
    """Also where it knows no header that the other does not."""
    wide = source("wide", *(column(name) for name in "cdefg"))
    narrow = source("narrow", column("a"), column("c"))
    catalog = Catalog({}, {table.name: table for table in (narrow, wide)})
    assert find_source(catalog, write("a,c,d,e,f,g\n")) is wide


def test_an_encoding_goes_along(write: Write) -> None:
    """The headers are read in it, and so is the file later."""
    towns = source("towns", column("Größe"))
    catalog = Catalog({}, {towns.name: towns})
    path = write("Größe\n".encode("cp1252"))
    with pytest.raises(LoadError, match="not valid utf-8"):
        find_source(catalog, path)
    assert find_source(catalog, path, encoding="cp1252").encoding == "cp1252"
    assert find_source(catalog, path, towns.name, "latin-1").encoding == "latin-1"


@pytest.mark.parametrize(("name", "is_taken"), [("a.csv", True), ("A.CSV", True), ("a.tsv", False)])
def test_endings_that_a_source_takes(write: Write, name: str, is_taken: bool) -> None:
    """A source may take fewer kinds of files than are read."""
    table = source("few", column("a"), formats=("csv", "xlsx"))
    path = write("a\n", name)
    if is_taken:
        assert fitting_source([table], path) is table
    else:
        with pytest.raises(LoadError, match=r"shop.few takes no .tsv"):
            fitting_source([table], path)
        with pytest.raises(LoadError, match=r"takes no \.tsv files; save it as csv or xlsx"):
            check_ending(table, path, name)


def test_the_one_that_knows_more(write: Write) -> None:
    """Of several that fit, the one that knows all headers of the others and more is meant."""
    less, more = source("less", column("a"), column("b")), source("more", *map(column, "abc"))
    path = write("c,d,b,a\n")
    assert fitting_source([less, more], path) is more
    assert fitting_source([more, less], path) is more
    same = source("same", *map(column, "abc"))
    with pytest.raises(LoadError, match=r"several source tables: shop.more, shop.same, shop.less"):
        fitting_source([more, same, less], path)
    assert fitting_source([more, less], write("a,b,d\n")) is less


def test_only_candidates_are_looked_at(write: Write) -> None:
    """The owner's name of the file counts, and the remedy is the caller's."""
    path = write("customer,total,Colour,Thing Name\n")
    assert fitting_source([ORDERS], path) is ORDERS
    with pytest.raises(LoadError, match=r"^mine.csv: the headers fit several.*; ask us.$"):
        fitting_source([THINGS, ORDERS], path, "mine.csv", "ask us")
    with pytest.raises(LoadError, match=r"^mine.ods: .ods files are not read"):
        fitting_source([THINGS, ORDERS], path, "mine.ods")


def test_a_name_is_taken_at_its_word(write: Write) -> None:
    """A named source table is used; an unknown name is answered with those that exist."""
    assert find_source(CATALOG, write("a\n"), "shop.orders") is ORDERS
    with pytest.raises(LoadError, match=r"there is shop.things, shop.orders, shop.sales; pass"):
        find_source(CATALOG, write("a\n"), "shop.order")


def test_unreadable(write: Write) -> None:
    """What is no file of a known format is refused as such."""
    with pytest.raises(LoadError, match=r"^things.ods: .ods files are not read; save it as"):
        find_source(CATALOG, write("a\n", "things.ods"))
