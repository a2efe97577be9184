"""A network that fails between the loader and PostgreSQL: the file is loaded once or not at all."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from loader.copy import LoadResult, load_file
from tests.loader.conftest import THINGS
from tests.proxy import Proxy, Toxic, proxied

Query = Callable[..., list[dict[str, Any]]]

ROWS = 20_000
LOADED = """
select
    (select count(*) from raw.loads where state = 'loaded') as loads,
    (select count(*) from raw.shop__things) as rows
"""


@pytest.fixture
def network(conninfo: str) -> Iterator[Proxy]:
    with proxied(conninfo) as proxy:
        yield proxy


@pytest.fixture
def load(network: Proxy, write: Callable[..., Path]) -> Callable[[], LoadResult]:
    path = write("Thing Name,Colour,Weight (g)\n" + "cup,red,120\n" * ROWS)
    return lambda: load_file(network.url, THINGS, path, loaded_by="ann")


@pytest.mark.parametrize("name", ["reset_peer", "timeout"])
def test_a03_a_commit_without_an_answer_is_not_done_twice(
    network: Proxy, load: Callable[[], LoadResult], query: Query, name: Any
) -> None:
    """The loader does not know what became of it; the next run does."""
    network.toxic = Toxic(name, after=(b"insert into raw.loads", b"COMMIT"))
    with pytest.raises(psycopg.OperationalError):
        load()
    assert query(LOADED) == [{"loads": 1, "rows": ROWS}]
    network.toxic = None
    assert load().state == "already loaded"
    assert query(LOADED) == [{"loads": 1, "rows": ROWS}]


@pytest.mark.parametrize(
    "toxic",
    [
        Toxic("latency", 0.01),
        Toxic("bandwidth", 1_000_000),
        Toxic("slicer"),
        Toxic("slow_close", 0.1),
    ],
    ids=lambda toxic: toxic.name,
)
def test_a_slow_network_only_takes_time(
    network: Proxy, load: Callable[[], LoadResult], query: Query, toxic: Toxic
) -> None:
    network.toxic = toxic
    assert load().rows == ROWS
    assert query(LOADED) == [{"loads": 1, "rows": ROWS}]


@pytest.mark.parametrize(
    "toxic",
    [
        Toxic("down"),
        Toxic("timeout", 0.1, after=(b"raw.load_id",)),
        Toxic("reset_peer", after=(b"raw.load_id",)),
        *(Toxic("limit_data", sent) for sent in (0, 1000, 100_000, 200_000)),
    ],
    ids=lambda toxic: f"{toxic.name} {toxic.amount:.0f}",
)
def test_a_network_that_is_cut_leaves_nothing(
    network: Proxy, load: Callable[[], LoadResult], query: Query, toxic: Toxic
) -> None:
    """And once it is back the file is loaded as if nothing had been."""
    network.toxic = toxic
    with pytest.raises(psycopg.OperationalError):
        load()
    assert query(LOADED) == [{"loads": 0, "rows": 0}]
    network.toxic = None
    assert load().state == "loaded"
    assert query(LOADED) == [{"loads": 1, "rows": ROWS}]
