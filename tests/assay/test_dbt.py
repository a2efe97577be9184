"""The manifest is replaced as a whole, and what a bare dbt left half is made again."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from assay import dbt
from assay.catalog import HalfWrittenError, read_catalog
from assay.database import libpq_environment
from assay.settings import Settings
from tests.conftest import long


@pytest.fixture
def settings(
    built: tuple[Path, str], create_database: Callable[..., str], tmp_path: Path
) -> Settings:
    """Of a built project that nobody else has."""
    folder, database = built
    project = tmp_path / "project"
    shutil.copytree(folder, project)
    return Settings(project=project, database_url=SecretStr(create_database(database)))


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    assert settings.database_url
    return libpq_environment(settings.database_url.get_secret_value())


@contextmanager
def watching(manifest: Path) -> Iterator[list[int]]:
    """Reads the manifest again and again; the size of each file that stood there, or -1."""
    sizes: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        seen = None
        while not ended.wait(0.001):
            content = manifest.read_bytes()
            if content == seen:  # dbt runs in this process, and would wait for the parser
                continue
            seen = content
            try:
                json.loads(content)
            except ValueError:
                sizes.append(-1)
            else:
                sizes.append(len(content))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        ended.set()
        thread.join()


def test_readers_find_a_whole_manifest(settings: Settings, environment: dict[str, str]) -> None:
    """While it is parsed anew, beside a build, and while the docs site is made."""
    models = settings.project / "dbt_project" / "models"
    known = dbt.parse(settings, environment)
    with watching(settings.manifest) as sizes:
        (models / "one_more.sql").write_text("select 1 as one\n")
        before = settings.manifest.stat().st_ino
        assert dbt.parse(settings, environment) == known
        written = settings.manifest.stat()
        assert written.st_ino != before
        dbt.run(settings, environment, "build", "--select", "one_more")
        assert not dbt.is_documented(settings)
        dbt.document(settings, environment)
        assert dbt.is_documented(settings)
    assert -1 not in sizes
    assert len(set(sizes)) == 2  # that of before, and the one with the other model
    assert settings.manifest.stat().st_ino == written.st_ino
    target = settings.manifest.parent
    results = json.loads((target / "run_results.json").read_bytes())["results"]
    assert "model.assay.one_more" in [result["unique_id"] for result in results]
    assert b"one_more" in (target / "static_index.html").read_bytes()
    (models / "one_more.sql").touch()
    assert not dbt.is_documented(settings)


@pytest.mark.parametrize("kept", [0.5, *long(0, 1)])
def test_a_manifest_that_a_killed_dbt_left(
    settings: Settings, environment: dict[str, str], kept: float
) -> None:
    """It is newer than the project, and of no use."""
    known = dbt.parse(settings, environment)
    whole = settings.manifest.read_bytes()
    settings.manifest.write_bytes(whole[: int(kept * (len(whole) - 1))])
    with pytest.raises(HalfWrittenError, match="run `dbt parse`"):
        read_catalog(settings.manifest, patience=0)
    assert dbt.parse(settings, environment) == known
    assert read_catalog(settings.manifest) == known


def test_who_reads_while_a_bare_dbt_writes_looks_again(
    settings: Settings, environment: dict[str, str]
) -> None:
    known = dbt.parse(settings, environment)
    whole = settings.manifest.read_bytes()
    settings.manifest.write_bytes(whole[:1000])
    writer = threading.Timer(0.5, settings.manifest.write_bytes, [whole])
    writer.start()
    assert read_catalog(settings.manifest, patience=60) == known
    writer.join()
