"""schemathesis against a running server: it answers as its OpenAPI document says, and nothing else.

`SECONDS=600 SEED=1 make test-long` runs it longer than five minutes, or as it ran before.
"""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.contract.conftest import ROLES, Server

SECONDS = int(os.environ.get("SECONDS", "300"))
SEED = os.environ.get("SEED")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("seconds", [10, pytest.param(SECONDS, marks=pytest.mark.long)])
def test_every_answer_is_as_documented(served: Server, role: str, seconds: int) -> None:
    """All checks of schemathesis hold in all its phases, the stateful one too."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--no-color"),
            *("run", f"{served.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {served.tokens[role]}"),
            *("--max-time", str(seconds // len(ROLES)), "--warnings", "off"),
            *(("--seed", SEED) if SEED else ()),
        ],
        cwd=served.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    assert "Traceback" not in served.log.read_text()
