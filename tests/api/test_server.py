"""The API as a process of its own, as people run it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.api.conftest import GEMS, MANIFEST, PASSWORD, SECRET
from tests.conftest import PATIENCE, ROOT
from tests.proxy import Toxic, proxied

LOGIN = "/api/v1/auth/login"
UVICORN = ("uvicorn", "api.app:app", "--no-server-header")
ASSAY = ("assay", "serve")


@dataclass
class Server:
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)


@contextmanager
def serving(
    folder: Path, database_url: str, command: tuple[str, ...], **more: str
) -> Iterator[Server]:
    """A server of a project without datasets, until the block ends; nothing of it fails unseen."""
    (folder / "dbt_project.yml").touch()
    (folder / "target").mkdir()
    (folder / "target" / "manifest.json").write_text(MANIFEST)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "DATABASE_URL": database_url,
        "ASSAY_SECRET": SECRET,
        "PYTHONPATH": str(ROOT),
        "PORT": str(port),
        **more,
    }
    if command == UVICORN:
        command += ("--port", str(port))
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        for _ in range(2400):
            try:
                httpx.get(f"{server.url}/live")
                break
            except httpx.TransportError:
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
        yield server
        server.end()
        assert "Traceback" not in log.read_text()
        assert PASSWORD not in log.read_text()
    finally:
        process.kill()
        process.wait()


def test_uvicorn_serves_the_project_that_it_runs_in(tmp_path: Path, database_url: str) -> None:
    with (
        serving(tmp_path, database_url, UVICORN) as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as client,
    ):
        assert client.get("/ready").json() == {"status": "ready"}
        assert "server" not in client.get("/live").headers
        form = {"username": "admin", "password": PASSWORD}
        token = client.post("/api/v1/auth/login", data=form).json()["access_token"]
        me = client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})
        assert me.json()["username"] == "admin"
        assert client.get("/docs").status_code == 200
        assert client.get("/docs", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 404
        assert client.get(GEMS).status_code == 404


def test_a11_the_server_starts_without_a_database(tmp_path: Path, database_url: str) -> None:
    """It lives, is not ready, and recovers by itself."""
    with proxied(database_url) as network:
        network.toxic = Toxic("down")
        with (
            serving(tmp_path, network.url, ASSAY) as server,
            httpx.Client(base_url=server.url, timeout=PATIENCE) as client,
        ):
            assert client.get("/live").status_code == 200
            for away in (client.get("/ready"), log_in(client)):
                assert away.status_code == 503
                assert int(away.headers["retry-after"]) > 0
            network.toxic = None
            assert client.get("/ready").status_code == 200
            assert log_in(client).status_code == 200


def log_in(client: httpx.Client) -> httpx.Response:
    return client.post(LOGIN, data={"username": "admin", "password": PASSWORD})


def test_a19_the_end_of_the_server_finishes_what_runs(tmp_path: Path, database_url: str) -> None:
    """SIGTERM: nothing new is taken, the request that runs is answered, and it ends as asked."""
    with (
        serving(tmp_path, database_url, ASSAY) as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as client,
        ThreadPoolExecutor() as pool,
    ):
        with psycopg.connect(database_url) as lock:
            lock.execute("lock table auth.users in access exclusive mode")
            running = pool.submit(log_in, client)
            wait_for_lock(database_url)
            server.process.send_signal(signal.SIGTERM)
            wait_until_refused(server.url)
            assert not running.done()
        assert running.result(PATIENCE).status_code == 200
        assert server.process.wait(PATIENCE) == 143


def wait_for_lock(url: str) -> None:
    waiting = """
        select 1 from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'
    """
    with psycopg.connect(url, autocommit=True) as connection:
        while not connection.execute(waiting).rowcount:
            time.sleep(0.02)


def wait_until_refused(url: str) -> None:
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/live", headers={"Connection": "close"})
        except httpx.ConnectError:
            return
        time.sleep(0.02)
    pytest.fail("it takes new connections")


def test_b31_a_chunked_body_is_refused_while_it_streams_in(
    tmp_path: Path, database_url: str
) -> None:
    """No length is said beforehand, and it would never end."""
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 1 << 16
            yield b"x" * (1 << 16)

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    with serving(tmp_path, database_url, ASSAY) as server:
        answer = httpx.post(f"{server.url}{LOGIN}", content=endless(), headers=headers)
        assert answer.status_code == 413
        assert sent < 1 << 24
        assert httpx.get(f"{server.url}/ready").status_code == 200


def test_b31_a_body_beside_its_head_is_no_head(tmp_path: Path, database_url: str) -> None:
    """However much of it comes at once: what is bounded is what comes before."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    with serving(tmp_path, database_url, ASSAY) as server:
        # It sends both at once.
        connection = HTTPConnection(server.url.removeprefix("http://"))
        for _ in "12":
            connection.request("POST", LOGIN, b"username=a&password=" + b"x" * 200_000, headers)
            answer = connection.getresponse()
            assert (answer.status, answer.read()[:1]) == (422, b"{")
        connection.close()


def test_b45_connections_are_bounded_too(tmp_path: Path, database_url: str) -> None:
    """Those that say nothing keep others out, and are no more than eight times the requests."""
    with serving(tmp_path, database_url, ASSAY, MAX_REQUESTS="1") as server:
        port = int(server.url.rpartition(":")[2])
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
        assert httpx.get(f"{server.url}/live").status_code == 503
        for connection in idle:
            connection.close()
        deadline = time.monotonic() + PATIENCE
        while httpx.get(f"{server.url}/live").status_code == 503:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_the_log_has_one_line_per_request(
    tmp_path: Path, database_url: str, log_format: str
) -> None:
    """All of stderr is in one format, uvicorn's own lines too; neither token nor query is in it."""
    with (
        serving(tmp_path, database_url, ASSAY, LOG_FORMAT=log_format) as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as client,
    ):
        token = log_in(client).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}", "X-Request-ID": "the-last"}
        assert client.get("/api/v1/users/me?sensitive=1", headers=headers).status_code == 422
        client.get("/sensitive%0Aforged")
        with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as raw:
            raw.sendall(b"no HTTP at all\r\n\r\n")
            assert raw.recv(100).startswith(b"HTTP/1.1 400")
        server.end()
        log = server.log.read_text()
    assert "sensitive" not in log
    assert token not in log
    lines = log.splitlines()
    if log_format == "json":
        read = [json.loads(line) for line in lines]
        (line,) = [line for line in read if line.get("request_id") == "the-last"]
        assert (line["logger"], line["route"], line["status"], line["method"]) == (
            "api.access",
            "/api/v1/users/me",
            422,
            "GET",
        )
        assert any(line["logger"] == "uvicorn.error" for line in read)
    else:
        (said,) = [line for line in lines if "request_id=the-last" in line]
        assert " info api.access: answered " in said
        assert "route=/api/v1/users/me status=422" in said
        assert any(" warning uvicorn.error: Invalid HTTP request" in line for line in lines)
