"""A project with two datasets, its PostgreSQL and its API: where faults are made to happen.

The second dataset is there to see that it does not notice what happens to the first.
"""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
import psycopg
from psycopg.rows import dict_row

from api.users import add_user_statement
from assay import postgres
from assay.catalog import Catalog, read_catalog
from assay.database import upgrade
from bench.generate import cas_number
from loader.copy import load_file
from tests.conftest import PATIENCE, ROOT, leave_out_datasets
from tests.e2e.conftest import PASSWORD, copy_project, wait_until_ready
from tests.faults.dbt import Dbt, warm_dbt

METABOLITES = "laboratory.metabolites"
BOOKS = "library.books"


def metabolite(number: int) -> dict[str, str]:
    """What identifies a metabolite: the same in our files, in those of `bench` and in edits."""
    return {
        "feature": f"feature-{number:07d}",
        "cas_number": cas_number(100_000 + number),
        "method": f"METHOD_{number % 20:02d}",
    }


def key_of(number: int) -> str:
    """As the contract says: the md5 of the feature."""
    name = metabolite(number)["feature"].encode()
    return str(UUID(hashlib.md5(name, usedforsecurity=False).hexdigest()))


def write_metabolites(path: Path, numbers: Iterable[int], value: object) -> Path:
    """A file of metabolites, each with the value."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("Features,CAS_number,Method,Sample Data,Identification_level,ID_InChI\n")
        for number in numbers:
            file.write(",".join((*metabolite(number).values(), f"{value},1,\n")))
    return path


def prepare(url: str, catalog: Catalog) -> None:
    """What `assay up` does before it loads."""
    upgrade(url, catalog)
    with psycopg.connect(url) as connection:
        connection.execute(*add_user_statement("admin", PASSWORD, "admin"))


def environment(**variables: str) -> dict[str, str]:
    """Of a process of the project: nothing leads it to another database."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"} | variables


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Api:
    """`assay serve` in a process of its own."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "assay", "serve"],
            cwd=self.folder,
            env=environment(PORT=str(self.port)),
        )
        with httpx.Client(base_url=self.url) as client:
            wait_until_ready(client, self.process)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)

    def headers(self) -> dict[str, str]:
        """Of somebody who may write; good for 15 minutes."""
        form = {"username": "admin", "password": PASSWORD}
        token = httpx.post(f"{self.url}/api/v1/auth/login", data=form, timeout=PATIENCE).json()[
            "access_token"
        ]
        return {"Authorization": f"Bearer {token}", "If-Match": "*"}


@dataclass
class Arena:
    """The project, and what a test does to it."""

    folder: Path
    url: str
    dbt: Dbt
    catalog: Catalog
    api: Api = field(init=False)

    def query(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        # a connection of its own: the server is restarted under these tests
        with psycopg.connect(self.url, autocommit=True, row_factory=dict_row) as connection:
            return connection.execute(statement, parameters).fetchall()

    def load(self, path: Path, source_table: str = METABOLITES, *, force: bool = False) -> int:
        table = self.catalog.source_tables[source_table]
        return load_file(self.url, table, path, loaded_by="test", force=force).load_id

    def load_metabolites(self, numbers: range, value: object) -> int:
        path = self.folder / f"{value}.csv"
        return self.load(write_metabolites(path, numbers, value))

    @property
    def _postmaster(self) -> psutil.Process:
        file = postgres.data_directory(self.folder) / "postmaster.pid"
        return psutil.Process(int(file.read_text().split()[0]))

    @contextmanager
    def paused_database(self) -> Iterator[None]:
        """All its processes stand still."""
        postmaster = self._postmaster
        postmaster.suspend()
        paused = [postmaster, *postmaster.children()]
        for process in paused:
            process.suspend()
        try:
            yield
        finally:
            for process in paused:
                process.resume()

    def restart_database(self) -> None:
        """As when it crashes: no checkpoint, no goodbye."""
        self._postmaster.send_signal(signal.SIGQUIT)
        while postgres.is_running(self.folder):
            time.sleep(0.02)
        postgres.start(self.folder)

    def assert_history_agrees(self) -> None:
        """A plain build finishes what there is to do; then a full refresh changes 0 rows."""
        self.dbt.build(self.url)
        assert self.query(PENDING) == []
        assert self.query(LEFTOVERS) == []
        before = self.query(VERSIONS)
        self.dbt.build(self.url, "--full-refresh")
        assert self.query(VERSIONS) == before


PENDING = """
select loads.load_id, entity
from raw.loads
inner join (values ('metabolites', 'laboratory.metabolites'), ('books', 'library.books'))
    as fed (entity, source_table) using (source_table)
where state = 'loaded'
    and not exists (select from journal.accounts where accounts.load_id = loads.load_id)
"""
# tables that a build makes for itself; dbt's schema of staging holds views only
LEFTOVERS = """
select relname from pg_class where relkind = 'r' and relnamespace = 'staging'::regnamespace
"""
# a row that is written anew has another xmin, even with the same content
VERSIONS = """
select xmin::text, metabolite_id::text as key, metabolites::text as row from curated.metabolites
union all
select xmin::text, isbn, books::text from curated.books
order by key
"""


@contextmanager
def new_arena(folder: Path, metabolites: int = 1000) -> Iterator[Arena]:
    """So many metabolites and three books, built and served."""
    copy_project(folder)
    leave_out_datasets(folder)
    dataset = ROOT / "tests" / "e2e" / "dataset"
    shutil.copytree(dataset, folder / "dbt_project", dirs_exist_ok=True)
    url = postgres.start(folder).url
    try:
        with warm_dbt(folder, url) as dbt:
            catalog = read_catalog(folder / "target" / "manifest.json")
            prepare(url, catalog)
            arena = Arena(folder, url, dbt, catalog)
            if metabolites:
                arena.load_metabolites(range(metabolites), 0)
            books = folder / "books.csv"
            books.write_text("isbn,title,pages\n1,Emma,474\n2,Persuasion,249\n3,Dune,412\n")
            arena.load(books, BOOKS)
            dbt.build(url)
            arena.api = Api(folder)
            try:
                yield arena
            finally:
                arena.api.stop()
    finally:
        postgres.stop(folder)
