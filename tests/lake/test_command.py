"""`assay export`, as it is typed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.conftest import PATIENCE, ROOT, copy_files
from tests.lake.conftest import KEY, SECRET_KEY, Bucket

Assay = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def url(built: tuple[Path, str], create_database: Callable[..., str]) -> str:
    return create_database(built[1])


@pytest.fixture
def assay(url: str, tmp_path: Path) -> Assay:
    copy_files(tmp_path)
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "200",
        "DATABASE_URL": url,
    }

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "assay", *arguments],
            cwd=tmp_path,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    return run


def test_the_command(assay: Assay, url: str, tmp_path: Path) -> None:
    """All curated models by default, into the project's own folder; it says what it did."""
    done = assay("export")
    assert done.returncode == 0, done.stdout + done.stderr
    with psycopg.connect(url, autocommit=True) as connection:
        models = connection.execute(
            "select tablename from pg_tables where schemaname = 'curated'"
        ).fetchall()
        for (model,) in models:
            assert f"{tmp_path}/.assay/lake/curated/{model}" in done.stdout
        assert len(models) > 3
        assert (tmp_path / ".assay" / "lake" / "curated").is_dir()

        connection.execute("select pg_advisory_lock(hashtextextended('lake', 0))")
        second = assay("export", "products")
        assert (second.returncode, second.stdout.strip().splitlines()[-1]) == (
            0,
            "Another export is running.",
        )
    moved = assay("export", "products", LAKE_URL="elsewhere")
    assert moved.returncode == 1
    assert "LAKE_URL" in moved.stderr
    wrong = assay("export", "nothing")
    assert wrong.returncode == 1
    assert "There is no model nothing to export" in wrong.stderr
    strange = assay("export", LAKE_URL="gs://bucket")
    assert strange.returncode == 1
    assert "LAKE_URL: " in strange.stderr


def test_a_store(assay: Assay, bucket: Bucket) -> None:
    """Its secret is not repeated; one that does not answer, or has no such bucket, is 5."""
    variables = {
        "LAKE_URL": f"s3://{bucket.name}/lake",
        "LAKE_S3_ENDPOINT": bucket.endpoint,
        "LAKE_S3_ACCESS_KEY_ID": KEY,
        "LAKE_S3_SECRET_ACCESS_KEY": SECRET_KEY,
    }
    for changes in (
        {"LAKE_S3_ENDPOINT": "http://127.0.0.1:9"},
        {"LAKE_URL": "s3://no-such-bucket/lake"},
    ):
        lost = assay("export", "products", **{**variables, **changes})
        assert lost.returncode == 5, lost.stdout + lost.stderr
        assert "s3://" in lost.stderr
        assert "Traceback" not in lost.stderr
        assert SECRET_KEY not in lost.stdout + lost.stderr
    done = assay("export", "products", **variables)
    assert done.returncode == 0, done.stdout + done.stderr
