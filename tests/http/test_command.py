"""`assay extract` as people type it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.conftest import ROOT
from tests.http.provider import PASSWORD, USERNAME, Provider

Extract = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def assay(
    built: tuple[Path, str], create_database: Callable[..., str], provider: Provider
) -> Extract:
    """Runs the command on a project whose tables are empty."""
    folder, template = built
    url = create_database(template)
    provider.fill(5, 2, 9)

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "DATABASE_URL": url,
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
            "MULTIVERSE_URL": provider.url,
            "MULTIVERSE_USERNAME": USERNAME,
            "MULTIVERSE_PASSWORD": PASSWORD,
        }
        return subprocess.run(
            [sys.executable, "-m", "assay", *arguments],
            cwd=folder,
            env=os.environ | environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    run.url = url  # type: ignore[attr-defined]
    return run


def test_records_are_extracted_and_built(assay: Extract) -> None:
    first = assay("extract")
    assert first.returncode == 0, first.stderr
    assert "9 rows into" in first.stdout
    built = assay("build", "--select", "+programmes +apprenticeships +projects")
    assert built.returncode == 0, built.stdout
    with psycopg.connect(assay.url) as connection:  # type: ignore[attr-defined]
        found = connection.execute("select count(*) from curated.projects").fetchone()
    assert found == (9,)
    again = assay("extract", "multiverse", "--full")
    assert again.stdout.count("already loaded") == 3, again.stdout


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "said"),
    [
        (["nobody"], {}, 1, "nobody is no source with an API: multiverse."),
        (["multiverse"], {"MULTIVERSE_URL": ""}, 1, "MULTIVERSE_URL is not set"),
        ([], {"MULTIVERSE_PASSWORD": "wrong"}, 3, "check MULTIVERSE_USERNAME"),
        ([], {"MULTIVERSE_URL": ""}, 0, ""),
    ],
)
def test_what_cannot_be_read_is_said(
    assay: Extract, arguments: list[str], variables: dict[str, str], code: int, said: str
) -> None:
    result = assay("extract", *arguments, **variables)
    assert result.returncode == code, result.stderr
    assert said in " ".join(result.stderr.split())
    if not code:
        assert "MULTIVERSE_URL would" in result.stdout
