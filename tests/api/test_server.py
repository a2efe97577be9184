"""The API as a process of its own, as people run it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import GEMS, MANIFEST, PASSWORD, SECRET
from tests.conftest import ROOT


@pytest.fixture
def server_url(tmp_path: Path, database_url: str) -> Iterator[str]:
    (tmp_path / "dbt_project.yml").touch()
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "manifest.json").write_text(MANIFEST)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "DATABASE_URL": database_url,
        "ASSAY_SECRET": SECRET,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "uvicorn", "api.app:app", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--no-server-header"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                httpx.get(f"{url}/live")
                break
            except httpx.TransportError:
                assert process.poll() is None, process.communicate()[0].decode()
                time.sleep(0.05)
        yield url
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=20)[0].decode()
        assert "Traceback" not in output
        assert PASSWORD not in output
    finally:
        process.kill()
        process.wait()


def test_uvicorn_serves_the_project_that_it_runs_in(server_url: str) -> None:
    with httpx.Client(base_url=server_url) as client:
        assert client.get("/ready").json() == {"status": "ready"}
        assert "server" not in client.get("/live").headers
        form = {"username": "admin", "password": PASSWORD}
        token = client.post("/api/v1/auth/login", data=form).json()["access_token"]
        me = client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})
        assert me.json()["username"] == "admin"
        assert client.get("/docs").status_code == 200
        assert client.get("/docs", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 404
        assert client.get(GEMS).status_code == 404
