"""An export is killed at every step: what was committed stays readable, the next one goes on.

A-56: what nobody committed is invisible, and the next run writes it again.
"""

import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import PATIENCE, ROOT
from tests.lake import things
from tests.lake.conftest import Things

MOST_STEPS = 300


def die(of: Things, step: int, *options: str) -> bool:
    """Whether it died of it."""
    (of.exporter.settings.project / "dbt_project.yml").touch()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": of.exporter.url,
        "ASSAY_SECRET": of.exporter.secret,
        "LAKE_URL": of.exporter.settings.lake_location,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.lake.dying", str(step), *options],
        cwd=of.exporter.settings.project,
        env=environment,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


@pytest.mark.parametrize("options", [(), ("--compact",)], ids=["changes", "compact"])
@pytest.mark.parametrize(
    "stride", [pytest.param(19, id="some"), pytest.param(1, id="all", marks=pytest.mark.long)]
)
def test_a56_an_export_dies_at_any_step(
    of_things: Things, stride: int, options: tuple[str, ...]
) -> None:
    things.put(of_things.connection, "changed", whole=0)
    before: list[dict[str, object]] = []
    step = 1
    while die(of_things, step, *options):
        if of_things.is_there():
            assert of_things.state() in (before, of_things.rows())
        of_things.exporter.export()
        before = of_things.rows()
        assert of_things.state() == before

        things.put(of_things.connection, "changed", whole=step)
        things.put(of_things.connection, f"new {step}")
        things.remove(of_things.connection, f"new {step - stride}")
        step += stride
        assert step < MOST_STEPS
    assert step > 20
    assert of_things.state() == of_things.rows()
    of_things.exporter.export(compact=True)
    assert of_things.unneeded() == set()
