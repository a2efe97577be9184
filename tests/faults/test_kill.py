"""kill -9 of everything, everywhere: the next plain run finishes the work."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from assay.catalog import read_catalog
from tests.e2e.conftest import copy_project
from tests.faults.arena import prepare
from tests.faults.conftest import Report
from tests.faults.dbt import Death, Moment, warm_dbt
from tests.faults.sweep import DATABASE, Sweep

MOMENTS: tuple[Moment, ...] = ("before", "inside", "after")
SCENARIOS = ("first", "next", "history")


@pytest.fixture(scope="session")
def new_sweep(
    tmp_path_factory: pytest.TempPathFactory, create_database: Callable[..., str]
) -> Iterator[Callable[[bool], Sweep]]:
    folder = tmp_path_factory.mktemp("sweep")
    copy_project(folder)
    with warm_dbt(folder, create_database(name=DATABASE)) as dbt:
        catalog = read_catalog(folder / "target" / "manifest.json")
        prepare(create_database(name="prepared"), catalog)
        yield lambda is_whole: Sweep(dbt, catalog, folder, create_database, is_whole)


@pytest.mark.parametrize("name", SCENARIOS)
def test_dbt_dies_at_some_statements(
    new_sweep: Callable[[bool], Sweep], report: Report, name: str
) -> None:
    """Spread over those of a curated model."""
    sweep = new_sweep(False)
    scenario = getattr(sweep, name)()
    deaths = [
        Death(1 + scenario.statements * place // 4, moment)
        for place, moment in enumerate(("before", "inside", "after", "inside"))
    ]
    for death in deaths:
        assert sweep.try_death(scenario, death, refresh=death == deaths[-1]), death
    report(f"died at {len(deaths)} of {scenario.statements} statements")


@pytest.mark.long
@pytest.mark.parametrize("is_whole", [False, True], ids=["curated", "whole"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_dbt_dies_at_each_statement(
    new_sweep: Callable[[bool], Sweep], report: Report, name: str, moment: Moment, is_whole: bool
) -> None:
    """The whole sweep, until a run is untouched."""
    sweep = new_sweep(is_whole)
    scenario = getattr(sweep, name)()
    numbers = itertools.count(1)
    last = next(n for n in numbers if not sweep.try_death(scenario, Death(n, moment)))
    assert last > scenario.statements
    report(f"died at each of {last - 1} statements")
