"""The other end of `warm_dbt`: commands of dbt on a project, that end well or by a signal."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from assay.database import libpq_environment
from tests.conftest import PATIENCE, ROOT

WHOLE = ("build", "--exclude-resource-type", "unit_test")
"""What `assay build` runs."""
CURATED = ("run", "--select", "config.materialized:curated")

Moment = Literal["before", "inside", "after"]


@dataclass(frozen=True)
class Death:
    """When a command dies: at which statement of those that are no mere select, from 1 on."""

    number: int
    moment: Moment


@dataclass(frozen=True)
class Outcome:
    """What became of a command; one that died has said nothing."""

    died: bool
    success: bool = False
    error: str = ""
    statements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dbt:
    """Runs commands of dbt on one project, also several at once."""

    socket: Path

    def run(self, url: str, *arguments: str, death: Death | None = None) -> Outcome:
        request: dict[str, Any] = {
            "environment": libpq_environment(url),
            "arguments": arguments,
            "die_at": death and death.number,
            "moment": death and death.moment,
        }
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(600)
            connection.connect(str(self.socket))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as answer:
                text = answer.read()
        if not text:
            return Outcome(died=True)
        reply = json.loads(text)
        return Outcome(False, reply["success"], reply["error"], tuple(reply["statements"]))

    def build(self, url: str, *arguments: str) -> None:
        """A whole build, which succeeds."""
        outcome = self.run(url, *WHOLE, *arguments)
        assert outcome.success, outcome.error or "dbt died"


@contextmanager
def warm_dbt(project: Path, url: str) -> Iterator[Dbt]:
    """Keep a project parsed, for the database of a URL: later ones need the same name."""
    path = project / "warm_dbt"
    options = ["--project-dir", str(project), "--profiles-dir", str(project)]
    # the semaphores of commands that died are no news
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.warm_dbt", str(path), *options],
        cwd=project,
        env=environment | libpq_environment(url),
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not path.exists():
            assert process.poll() is None, "dbt does not parse the project"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Dbt(path)
    finally:
        process.terminate()
        process.wait(PATIENCE)
