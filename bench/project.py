"""A temporary copy of the project, with an embedded PostgreSQL of its own."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from assay import postgres
from bench.measure import Measurement, run

_ROOT = Path(__file__).resolve().parents[1]
_PARTS = ("dbt_project.yml", "profiles.yml", "dbt_project")
_FOREIGN = ("DATABASE_URL", "PG", "DBT_", "ASSAY_", "DESTINATION__")
"""Begin the names of variables that would lead to another database."""

_FILL = """
    insert into curated.metabolites (
        metabolite_id, feature, identification_level, cas_number, id_inchi, method, sample_value,
        sample_status, repairs, updated_at, updated_by
    )
    select
        md5('feature ' || n)::uuid, 'feature ' || n, 1 + n %% 5, null,
        'InChI=1S/C' || n || 'H6O2/c8-7(9)6-4-2-1-3-5-6/h1-5H,(H,8,9)', 'HS-SPME-TOF', n / 1000.0,
        'measured', '{}', now(), 'bench'
    from generate_series(1, %s) as n
"""


@dataclass(frozen=True)
class Project:
    """A folder that `assay` takes for its project."""

    folder: Path

    @property
    def address(self) -> postgres.Address:
        return postgres.Address(str(postgres.socket_directory(self.folder)))

    @property
    def url(self) -> str:
        return self.address.url

    def assay(self, *arguments: str | Path) -> Measurement:
        """The command as people type it, after a checkpoint."""
        return self._run(self.folder, Path(sys.executable).with_name("assay"), *arguments)

    def python(self, module: str, *arguments: str | Path) -> Measurement:
        """A module in a process of its own, after a checkpoint."""
        return self._run(_ROOT, sys.executable, "-m", module, *arguments)

    def new_database(self, name: str) -> str:
        self._administer(f"create database {name}")
        return replace(self.address, database=name).url

    def fill(self, rows: int) -> None:
        """Put rows into the curated table, without load, build and constraints."""
        with psycopg.connect(self.url) as connection:
            connection.execute("set session_replication_role = replica")
            connection.execute(_FILL, [rows])

    def keep_as_template(self) -> None:
        """What the database holds now is what `reset` gives from then on."""
        self._administer("create database prepared template assay")

    def reset(self) -> None:
        # The same name, since dbt parses everything anew when a variable of its profile changes.
        self._administer("drop database assay with (force)")
        self._administer("create database assay template prepared")

    def dbt_seconds(self, node: str) -> tuple[float, float]:
        """What dbt says that its last run took, in all and for one node."""
        text = (self.folder / "target" / "run_results.json").read_text(encoding="utf-8")
        results = json.loads(text)
        times = {result["unique_id"]: result["execution_time"] for result in results["results"]}
        return float(results["elapsed_time"]), float(times[node])

    def _run(self, folder: Path, *command: str | Path) -> Measurement:
        if postgres.is_running(self.folder):
            self._administer("checkpoint")  # so that no step pays for what another one left
        kept = {name: v for name, v in os.environ.items() if not name.startswith(_FOREIGN)}
        # dlt keeps its files in the temporary folder, and tells nobody
        kept |= {"DLT_DATA_DIR": str(self.folder), "RUNTIME__DLTHUB_TELEMETRY": "false"}
        return run(command, folder, kept)

    def _administer(self, statement: str) -> None:
        where = replace(self.address, database="postgres").url
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def temporary_project() -> Iterator[Project]:
    """A copy of the project's files; its server, if one was started, ends with it."""
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as name:
        project = Project(Path(name).resolve())
        for part in _PARTS:
            source = _ROOT / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, project.folder / part)
        try:
            yield project
        finally:
            postgres.stop(project.folder)
