"""The loader is killed at its steps: no half load is seen, and the next run finishes the work."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.http.conftest import Records
from tests.http.provider import PASSWORD, USERNAME

TABLES = ("loads", "walks", *(f"multiverse__{t}" for t in ("apprenticeships", "projects")))


def die(records: Records, project: Path, step: int) -> bool:
    """Whether it died of it."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "DATABASE_URL": records.warehouse.url,
        "MULTIVERSE_URL": records.provider.url,
        "MULTIVERSE_USERNAME": USERNAME,
        "MULTIVERSE_PASSWORD": PASSWORD,
    }
    command = [sys.executable, "-m", "tests.http.dying", str(step)]
    code = subprocess.run(command, cwd=project, env=environment, check=False).returncode
    assert code in (0, -signal.SIGKILL)
    return code != 0


@pytest.mark.parametrize(
    "stride", [pytest.param(47, id="some"), pytest.param(1, id="all", marks=pytest.mark.long)]
)
def test_a55_it_dies_at_any_step(records: Records, parsed_project: Path, stride: int) -> None:
    records.provider.fill(9, 3, 20)
    step = 1
    while die(records, parsed_project, step):
        loads = records.warehouse.query("select from raw.loads")
        assert len(loads) in (0, 3), "the tables of an API are seen together"
        records.extract()
        records.check_raw()
        for table in TABLES:
            records.warehouse.connection.execute(f"truncate raw.{table} cascade")
        records.warehouse.connection.execute("truncate raw.multiverse__programmes")
        step += stride
    assert step > 3 * stride
    records.check_raw()
