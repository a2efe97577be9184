"""Which source table a file belongs to."""

from collections.abc import Callable
from pathlib import Path

import pytest

from assay.catalog import Catalog
from loader.errors import LoadError
from loader.sources import find_source, fitting_source
from tests.loader.conftest import THINGS, column, source

ORDERS = source("orders", column("customer"), column("total"))
SALES = source("sales", column("customer"), formats=("xlsx",))
CATALOG = Catalog({}, {table.name: table for table in (THINGS, ORDERS, SALES)})

Write = Callable[..., Path]


def test_the_only_one_that_fits(write: Write) -> None:
    """A file goes where all mandatory headers occur, whatever its delimiter."""
    assert find_source(CATALOG, write("Colour;Extra;thing\n")) is THINGS
    assert find_source(CATALOG, write("customer,total,Colour\n")) is ORDERS


def test_none_fits(write: Write) -> None:
    """When none fits, each candidate is told with what it lacks."""
    with pytest.raises(LoadError) as refusal:
        find_source(CATALOG, write("Colour,total\n"))
    assert str(refusal.value) == (
        "things.csv: the headers fit no source table: shop.things lacks 'Thing Name'; "
        "shop.orders lacks 'customer'; shop.sales takes no csv; "
        "pass `--source NAME` to choose one."
    )


def test_several_fit(write: Write) -> None:
    """When several fit, they are listed."""
    with pytest.raises(LoadError, match=r"several source tables: shop.things, shop.orders; pass"):
        find_source(CATALOG, write("customer,total,Colour,Thing Name\n"))


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
