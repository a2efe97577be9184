"""`make bench` runs, so that nobody finds on the day of measuring that it does not."""

import subprocess
import sys

from tests.conftest import ROOT

PEERS = ("pydantic + SQLAlchemy ORM", "dlt", "asyncpg", "fastcrud")
"""Beside whom Assay is measured; `make .venv/.bench` installs them."""


def test_all_steps_and_peers_run_on_few_rows() -> None:
    """Each step once, and no bound is judged: a figure of few rows says nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--rows", "1000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for peer in PEERS:
        assert peer in done.stdout
    assert "MISSED" not in done.stdout


def test_make_passes_the_number_of_rows() -> None:
    shown = subprocess.run(
        ["make", "--dry-run", "bench", "ROWS=1000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "-m bench --rows 1000" in shown.stdout
