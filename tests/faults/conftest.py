"""The arena that the faults share, and the figures that are printed at the end."""

from collections.abc import Callable, Iterator

import pytest

from tests.faults.arena import Arena, new_arena

FIGURES = pytest.StashKey[list[str]]()

Report = Callable[[str], None]


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """What one test leaves is history for the next one."""
    with new_arena(tmp_path_factory.mktemp("arena")) as made:
        yield made


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Says a figure in the summary of the run: these machines are too busy to judge by it."""
    figures = request.config.stash.setdefault(FIGURES, [])
    return lambda sentence: figures.append(f"{request.node.name}: {sentence}")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    figures = config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("measured")
        for figure in figures:
            terminalreporter.write_line(figure)
