"""Builds take turns."""

import subprocess
import sys

import psycopg

from tests.conftest import PATIENCE
from tests.e2e.conftest import Project


def test_a07_second_build_says_for_whom_it_waits(project: Project) -> None:
    """And goes on when the first one is gone, however it ended."""
    url = project.assay("db", "start").stdout.strip()
    with psycopg.connect(url, autocommit=True, application_name="assay build of Ada") as first:
        first.execute("select pg_advisory_lock(hashtextextended('assay build', 0))")
        second = subprocess.Popen(
            [sys.executable, "-m", "assay", "build"],
            cwd=project.folder,
            env=project.environment(COLUMNS="200"),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert second.stdout is not None
        waiting = next(line for line in second.stdout if "Waiting" in line)
        assert "assay build of Ada, since " in waiting
        assert second.poll() is None
    assert second.wait(PATIENCE) == 0
    second.stdout.close()
