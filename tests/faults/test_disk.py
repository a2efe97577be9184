"""The disk below some tables is full: nothing is half there, and it goes on once there is space."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.conftest import PATIENCE
from tests.faults.arena import Arena, metabolite, write_metabolites
from tests.faults.sweep import wait_for_the_end
from tests.faults.test_kill import LOADED_ONLY, start_loader
from tests.faults.test_signals import LAST_ERROR

MEGABYTE = 1 << 20
SIZE = 96
ROWS = 50_000
NUMBERS = range(900_000, 910_000)
TABLES = ("raw.laboratory__metabolites", "curated.metabolites")


@dataclass
class Disk:
    """A file system of its own."""

    folder: Path

    @property
    def ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self, left: int = 0) -> None:
        free = os.statvfs(self.folder)
        with self.ballast.open("wb") as file:
            file.write(bytes(free.f_bavail * free.f_frsize - left))


@pytest.fixture
def disk(arena: Arena, tmp_path: Path) -> Iterator[Disk]:
    """The tables of metabolites stand on it."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("nobody may mount a file system here")
    space = tmp_path / "space"
    space.mkdir(0o700)
    try:
        with psycopg.connect(arena.url, autocommit=True) as connection:
            connection.execute(f"create tablespace small location '{space}'")
            for table in TABLES:
                connection.execute(f"alter table {table} set tablespace small")
            try:
                yield Disk(tmp_path)
            finally:
                for table in TABLES:
                    connection.execute(f"alter table {table} set tablespace pg_default")
                connection.execute("drop tablespace small")
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a16_a_load_into_a_full_disk_is_tried_again(arena: Arena, disk: Disk) -> None:
    """It ends with 5, says why, and shows nothing; others read on."""
    file = write_metabolites(arena.folder / "full.csv", range(ROWS), "full")
    (before,) = arena.query(LOADED_ONLY)
    disk.fill(left=MEGABYTE)
    assert start_loader(arena, file.name).wait(PATIENCE) == 5
    wait_for_the_end(arena.url, application="")
    assert arena.query(LOADED_ONLY) == [before]
    assert arena.query(LAST_ERROR) == [
        {"error": "full.csv: the database did not take it, or went away."}
    ]
    with httpx.Client(base_url=arena.api.url, headers=arena.api.headers()) as client:
        assert client.get("/api/v1/metabolites?limit=1").status_code == 200
    disk.ballast.unlink()
    assert start_loader(arena, file.name).wait(PATIENCE) == 0
    (after,) = arena.query(LOADED_ONLY)
    assert after == {"loads": before["loads"] + 1, "rows": before["rows"] + ROWS}


def test_a16_an_edit_on_a_full_disk_is_503(arena: Arena, disk: Disk) -> None:
    """Reads are answered, and writes once there is space."""
    numbers = iter(NUMBERS)
    with httpx.Client(base_url=arena.api.url, headers=arena.api.headers()) as client:

        def create() -> httpx.Response:
            return client.post("/api/v1/metabolites", json=metabolite(next(numbers)))

        disk.fill()
        made = 0
        while (answer := create()).status_code == 201:
            made += 1
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        rows = "select from curated.metabolites where feature >= %s"
        assert len(arena.query(rows, metabolite(NUMBERS[0])["feature"])) == made
        assert client.get("/api/v1/metabolites?limit=1").status_code == 200
        disk.ballast.unlink()
        assert create().status_code == 201
