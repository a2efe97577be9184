"""Seconds of uploads of 16 rows to a warm server, answered with their report: a list in JSON."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench import generate

ROWS, UPLOADS = 16, 5
_NO_LIMIT = "1000000"
PATIENCE = 600
"""Seconds: what has not come by then is a fault."""
_PASSWORD = "correct horse battery staple"  # noqa: S105 - of a database that ends with the run


def main(folder: Path) -> None:
    file = folder / "upload.csv"
    generate.write(file, ROWS)
    seconds = []
    with serving(folder, file) as client:
        for number in range(UPLOADS + 1):
            generate.write(file, ROWS, first=(number + 1) * ROWS)
            begun = time.perf_counter()
            upload(client, file)
            seconds.append(time.perf_counter() - begun)
    print(json.dumps(seconds[1:]))  # the first one finds a worker that is still starting


def upload(client: httpx.Client, file: Path) -> None:
    """Send a file, and wait until it is built: a busy machine answers 202 before that."""
    with file.open("rb") as content:
        answer = client.put("/api/v1/metabolites", files={"file": content})
    while answer.raise_for_status().json()["pending"]:
        time.sleep(0.01)
        answer = client.get(answer.headers.get("Location", answer.url.path))


@contextmanager
def serving(folder: Path, file: Path) -> Iterator[httpx.Client]:
    """The API of a project with one loaded file, and the admin logged in."""
    port = free_port()
    assay = [str(Path(sys.executable).with_name("assay"))]
    variables = {**os.environ, "PORT": str(port), "ADMIN_PASSWORD": _PASSWORD}
    variables["REQUESTS_PER_MINUTE"] = _NO_LIMIT
    up = [*assay, "up", "--no-serve", str(file)]  # also makes the admin
    subprocess.run(up, cwd=folder, env=variables, check=True, stdout=subprocess.DEVNULL)
    server = subprocess.Popen([*assay, "serve"], cwd=folder, env=variables)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            wait_until_open(port)
            form = {"username": "admin", "password": _PASSWORD}
            token = client.post("/api/v1/auth/login", data=form).json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            yield client
    finally:
        server.terminate()
        server.wait(PATIENCE)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_open(port: int) -> None:
    """Until a server of this machine answers, whatever that is: a busy one takes long to start."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            httpx.get(f"http://127.0.0.1:{port}/docs")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("a server did not start")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
