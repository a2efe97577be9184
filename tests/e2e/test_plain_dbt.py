"""dbt on its own, as people who know dbt use it."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import PATIENCE
from tests.e2e.conftest import Project


def dbt(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A dbt command in the project's folder, with no variable set but what finds programs."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("dbt")), *arguments],
        cwd=project.folder,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def test_dbt_needs_no_variable(project: Project) -> None:
    """After `assay db start`, `dbt build` and `dbt docs generate` find the embedded server."""
    assert project.assay("db", "start").returncode == 0
    sample = "data/metabolites/metabolites.csv"
    assert project.assay("load", sample).returncode == 0
    built = dbt(project, "build")
    assert built.returncode == 0, built.stdout
    assert "ERROR=0" in built.stdout
    documented = dbt(project, "docs", "generate")
    assert documented.returncode == 0, documented.stdout


def test_dbt_does_not_build_somewhere_else(project: Project) -> None:
    """With a DATABASE_URL, dbt wants PG* variables too, rather than take the embedded server."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("dbt")), "debug"],
        cwd=project.folder,
        env={"PATH": "/usr/bin:/bin", "DATABASE_URL": "postgresql://elsewhere/db"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode != 0
    assert "PGHOST" in done.stdout
