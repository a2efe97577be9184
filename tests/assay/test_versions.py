"""Which version this is, and what an older Python is told."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT


def test_assay_says_which_it_is(tmp_path: Path) -> None:
    """Also where there is no project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    done = subprocess.run(
        [sys.executable, "-m", "assay", "--version"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"assay {project['version']}\n"


@pytest.mark.parametrize("old", [(3, 10, 13), (3, 6, 15), (2, 7, 18)])
def test_an_older_python_is_told_which_it_takes(old: tuple[int, ...]) -> None:
    """Before anything else is imported, in words that it can read."""
    source = (ROOT / "assay" / "__init__.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 6))
    code = f"import sys; sys.version_info = {old}; import assay.cli"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Assay needs Python 3.11 or later; this is Python ")
    assert "Traceback" not in done.stderr


def test_make_says_so_before_it_asks_pip(tmp_path: Path) -> None:
    """Whichever Python it is given; nothing is made."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    old = tmp_path / "python3.10"
    told = "import sys; sys.version_info = (3, 10, 13); exec(sys.argv[1])"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{told}" "$2"\n')
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "--directory", tmp_path, ".venv/.runtime", f"PYTHON={old}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Assay needs Python 3.11 or later" in done.stderr
    assert not (tmp_path / ".venv").exists()
