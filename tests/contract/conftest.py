"""The project with its sample, served as people serve it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from api.users import add_user_statement
from tests.api.conftest import PASSWORD, SECRET
from tests.conftest import PATIENCE, ROOT

SAMPLE = Path("data", "metabolites", "metabolites.csv")
ROLES = ("reader", "editor")


@dataclass
class Server:
    url: str
    folder: Path
    log: Path
    tokens: dict[str, str]
    """Of each role, made first: schemathesis tries to log in until nobody may any more."""


@pytest.fixture(scope="module")
def served(
    built: tuple[Path, str],
    create_database: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """The project with its sample, served as people serve it."""
    project, template = built
    url = create_database(template)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    python = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    variables = {"DATABASE_URL": url, "ASSAY_SECRET": SECRET, "PORT": str(port)}
    no_limit = {"REQUESTS_PER_MINUTE": "1000000"}
    environment = os.environ | python | variables | no_limit
    assay = [sys.executable, "-m", "assay"]
    for arguments in (["load", str(SAMPLE)], ["build"]):
        subprocess.run(
            [*assay, *arguments], cwd=project, env=environment, check=True, capture_output=True
        )
    folder = tmp_path_factory.mktemp("contract")
    with psycopg.connect(url) as connection:
        for role in ROLES:
            connection.execute(*add_user_statement(role, PASSWORD, role))
        keys = connection.execute("select metabolite_id from curated.metabolites").fetchall()
    (folder / "keys.txt").write_text("\n".join(f'"{key}"' for (key,) in keys))
    shutil.copy(Path(__file__).with_name("schemathesis.toml"), folder)
    log = folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*assay, "serve"], cwd=project, env=environment, stdout=output, stderr=output
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(address, process)
        yield Server(address, folder, log, {role: log_in(address, role) for role in ROLES})
    finally:
        process.terminate()
        process.wait(PATIENCE)


def log_in(url: str, role: str) -> str:
    form = {"username": role, "password": PASSWORD}
    answer = httpx.post(f"{url}/api/v1/auth/login", data=form, timeout=PATIENCE)
    token: str = answer.raise_for_status().json()["access_token"]
    return token


def wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        try:
            if httpx.get(f"{url}/ready").status_code == 200:
                return
        except httpx.TransportError:
            assert process.poll() is None
        time.sleep(0.1)
    pytest.fail("the API was not ready within 30 seconds")
