"""A reader of the documentation: types what the pages say, in a clone, with one shell."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest

from assay import postgres
from tests.conftest import PATIENCE, ROOT
from tests.docs.pages import Block, blocks, difference

PORT = ":8000"
"""The port that the pages name; the test's server has a free one."""
_SERVES = ("make run", "assay up", "assay serve")
_END = "-- the command has ended --"
_PROGRAMS = {"assay": "assay", "dbt": "dbt.cli.main"}


def clone(folder: Path) -> None:
    """Copy the files that git knows, as they are now, and give them this environment's packages."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            copy = folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy)
    environment = folder / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/*/site-packages")
    # The code is the clone's, whatever is installed beside the packages.
    (packages / "these.pth").write_text(f"{folder}\n{sysconfig.get_path('purelib')}\n")
    for program, module in _PROGRAMS.items():
        script = environment / "bin" / program
        script.write_text(f'#!/bin/sh\nexec "{environment}/bin/python" -m {module} "$@"\n')
        script.chmod(0o755)
    for installed in (".runtime", ".development"):
        (environment / installed).touch()


@dataclass
class Reader:
    """Reads pages one after another; the shell, its variables and the server stay."""

    folder: Path
    port: str
    read: list[str] = field(default_factory=list)
    _servers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _login: str = ""
    """The command that gave `$token`."""

    def __post_init__(self) -> None:
        kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
        self.environment = kept | {
            "PATH": f"{self.folder}/.venv/bin:{os.environ['PATH']}",
            "HOME": str(self.folder.parent),
            "PORT": self.port.removeprefix(":"),
            "COLUMNS": "100",
            "PYTHONWARNINGS": "ignore",
        }
        # The first command that fails ends it.
        self._shell = subprocess.Popen(
            ["bash", "-eu", "-o", "pipefail"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def follow(self, page: str) -> None:
        """Do what a page says, once."""
        if page not in self.read:
            self.read.append(page)
            for block in blocks(page):
                if not block.reason:
                    self._take(block)

    def _take(self, block: Block) -> None:
        if self._login and "$token" in block.text:
            self._type(self._login)  # a token lasts 15 minutes, and machines are busy
        for command, shown in block.steps:
            serves = command.removeprefix(".venv/bin/").startswith(_SERVES)
            goes_on = serves and "--no-serve" not in command
            act = self._serve if goes_on else self._type
            typed = command.replace(PORT, self.port)
            printed = act(typed).replace(self.port, PORT)
            if command.startswith("token="):
                self._login = typed
            if shown is not None:
                said = difference(shown, printed, is_whole=not goes_on)
                assert not said, f"{block.place}\n$ {command}\n{said}\nIt printed:\n{printed}"
        if block.language == "sql":
            address = postgres.Address(str(postgres.socket_directory(self.folder)))
            with psycopg.connect(address.url) as connection:
                connection.execute(block.text.encode())

    def _type(self, command: str) -> str:
        """Run a command to its end; what it printed."""
        assert self._shell.stdin and self._shell.stdout  # noqa: PT018  for mypy
        hung = threading.Timer(PATIENCE, self._shell.kill)
        hung.start()
        with suppress(BrokenPipeError):
            self._shell.stdin.write(f"{{ {command}\n}} < /dev/null\necho; echo '{_END}'\n")
            self._shell.stdin.flush()
        lines = []
        for line in self._shell.stdout:
            if line.strip() == _END:
                hung.cancel()
                return "".join(lines)
            lines.append(line)
        hung.cancel()
        pytest.fail(f"$ {command}\nfailed:\n{''.join(lines)}")

    def _serve(self, command: str) -> str:
        """Run a command that ends serving until it serves; what it printed so far."""
        log = self.folder.parent / "server.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                ["bash", "-euc", command],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._servers.append(server)
        deadline = time.monotonic() + PATIENCE
        while server.poll() is None and time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1{self.port}/ready").is_success:
                    return log.read_text(encoding="utf-8")
            time.sleep(0.1)
        pytest.fail(f"$ {command}\ndoes not serve:\n{log.read_text(encoding='utf-8')}")

    def leave(self) -> None:
        """End the shell, the servers and the database."""
        self._shell.kill()
        self._shell.communicate()
        for server in self._servers:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(30)
        postgres.stop(self.folder)


@contextmanager
def reading(folder: Path) -> Iterator[Reader]:
    clone(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = f":{probe.getsockname()[1]}"
    reader = Reader(folder, port)
    try:
        yield reader
    finally:
        reader.leave()
