"""Copies of the project, and the `assay` command run on them as people run it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from assay import postgres
from tests.conftest import PATIENCE, ROOT, copy_files

PASSWORD = "correct horse battery staple"  # noqa: S105


@dataclass
class Project:
    """A copy of the dbt project, of which a test may change anything."""

    folder: Path

    def environment(self, **variables: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        python = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
        return kept | python | {"ADMIN_PASSWORD": PASSWORD} | variables

    def assay(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "assay", *arguments],
            cwd=self.folder,
            env=self.environment(COLUMNS="200", **variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of its embedded database, which runs."""
        address = postgres.Address(str(postgres.socket_directory(self.folder)))
        with psycopg.connect(address.url) as connection:
            return connection.execute(statement.encode()).fetchall()

    @contextmanager
    def serve(self) -> Iterator[httpx.Client]:
        """The API on a free port of loopback, with the admin logged in."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        server = subprocess.Popen(
            [sys.executable, "-m", "assay", "serve"],
            cwd=self.folder,
            env=self.environment(PORT=port),
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
                wait_until_ready(client, server)
                login = client.post(
                    "/api/v1/auth/login", data={"username": "admin", "password": PASSWORD}
                )
                client.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
                client.headers["If-Match"] = "*"
                yield client
        finally:
            server.terminate()
            server.wait(PATIENCE)


def wait_until_ready(client: httpx.Client, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert server.poll() is None, "the API ended"
        try:
            if client.get("/ready").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail("the API is not ready")


def copy_project(folder: Path) -> Project:
    copy_files(folder)
    return Project(folder)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    folder = tmp_path / "a project"
    folder.mkdir()
    made = copy_project(folder)
    yield made
    made.assay("db", "stop")
