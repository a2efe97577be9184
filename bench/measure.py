"""Runs a command in a process of its own; wall-clock time and peak memory."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_UNIT_OF_MEMORY = 1 if sys.platform == "darwin" else 1024

# The kernel counts the pages of the spawning process until the new program runs. So whoever
# measures stays small: nothing large is imported in this process, nor read as a whole.


@dataclass(frozen=True)
class Measurement:
    """What one run of a command took, its start-up included."""

    seconds: float
    peak_megabytes: float
    """Resident memory of its largest process. A server in a session of its own, as PostgreSQL,
    is none of its processes."""
    output: str
    """All that it printed, on both streams."""

    @property
    def measured(self) -> Any:  # noqa: ANN401  each module has its own form
        """What a module of `bench` measured itself: the last line that it prints is JSON.

        Libraries and servers that it starts may have printed anything before.
        """
        return json.loads(self.output.splitlines()[-1])


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def run(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> Measurement:
    """Run a command to its end.

    Raises:
        RuntimeError: It failed; the message is the end of what it printed.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            # Unlike `Popen.wait`, says what this process and those it waited for have used.
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read().strip()
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{printed[-3000:]}")
    return Measurement(seconds, usage.ru_maxrss * _UNIT_OF_MEMORY / 1e6, printed)
