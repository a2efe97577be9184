"""What the fuzzer found once: it stays mended."""

from pathlib import Path

import pytest

from loader import csv_files, lines
from tests.fuzz.readers import FOUND, READERS

KEPT = sorted(path for path in FOUND.glob("*/*") if path.is_file())


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.name)
def test_found(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read or refused, and nothing else."""
    # which the reader of CSV sets
    monkeypatch.setattr(lines, "MAX_RECORD", lines.MAX_RECORD)
    monkeypatch.setattr(csv_files, "CHUNK", csv_files.CHUNK)
    kind = kept.parent.name
    READERS[kind](kept.read_bytes(), tmp_path / f"file.{kind}")
