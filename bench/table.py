"""The figures as plain text: the machine, the steps, the ratios with their bounds."""

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import psutil
import psycopg

_PACKAGES = (
    "psycopg",
    "dbt-core",
    "pydantic",
    "sqlalchemy",
    "dlt",
    "fastapi",
    "asyncpg",
    "fastcrud",
)


@dataclass(frozen=True)
class Step:
    """What was measured, once or several times; the best time counts, and the highest peak."""

    name: str
    seconds: Sequence[float]
    peak_megabytes: Sequence[float] = ()
    note: str = ""

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def peak(self) -> float:
        return max(self.peak_megabytes)


@dataclass(frozen=True)
class Ratio:
    """A figure, and what it may have to keep below or to reach."""

    name: str
    value: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def is_missed(self) -> bool:
        too_high = self.at_most is not None and self.value > self.at_most
        return too_high or (self.at_least is not None and self.value < self.at_least)

    @property
    def bound(self) -> str:
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return f">= {self.at_least:g}" if self.at_least is not None else ""


def print_machine(url: str) -> None:
    with psycopg.connect(url) as connection:
        server = connection.info.parameter_status("server_version")
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    memory = psutil.virtual_memory().total / 2**30
    print(f"{os.cpu_count()} cores, {memory:.0f} GB of memory, {platform.system()} ", end="")
    print(f"{platform.machine()}; load average {os.getloadavg()[0]:.1f}")
    print(f"PostgreSQL {server}, Python {platform.python_version()}, {packages}")


def print_steps(steps: Sequence[Step]) -> None:
    rows = [("step", "seconds", "peak MB", "all runs; note")]
    for step in steps:
        peak = f"{step.peak:.0f}" if step.peak_megabytes else ""
        runs = " ".join(f"{seconds:.2f}" for seconds in step.seconds)
        parts = [runs] if len(step.seconds) > 1 else []
        parts += [step.note] if step.note else []
        rows.append((step.name, f"{step.best:.2f}", peak, "; ".join(parts)))
    _print_aligned(rows)


def print_requests(requests: Sequence[Step]) -> None:
    rows = [("request", "ms", "median", "")]
    rows += [
        (step.name, f"{step.best * 1e3:.2f}", f"{median(step.seconds) * 1e3:.2f}", "")
        for step in requests
    ]
    _print_aligned(rows)


def print_ratios(ratios: Sequence[Ratio]) -> None:
    rows = [("ratio", "value", "bound", "")]
    for ratio in ratios:
        verdict = ("MISSED" if ratio.is_missed else "held") if ratio.bound else ""
        rows.append((ratio.name, f"{ratio.value:.2f}", ratio.bound, verdict))
    _print_aligned(rows)


def _print_aligned(rows: list[tuple[str, str, str, str]]) -> None:
    """Two columns of numbers, to the right, between two of text."""
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for number, (first, second, third, fourth) in enumerate(rows):
        line = f"{first:<{widths[0]}}  {second:>{widths[1]}}  {third:>{widths[2]}}  {fourth}"
        print(line.rstrip())
        if number == 0:
            print("-" * (sum(widths) + 4))
