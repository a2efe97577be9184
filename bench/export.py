"""Files of many rows out of a server with one worker, in a project of its own.

    python -m bench.export [rows]

prints JSON: by the name of the format the seconds to the first byte and to the last one, and the
megabytes that the API process had at most meanwhile.
"""

import json
import sys
import time
from pathlib import Path

import httpx
import psutil

from bench import generate
from bench.project import temporary_project
from bench.upload import serving

FORMATS = ("csv", "ndjson", "parquet")


def main(rows: int) -> None:
    with temporary_project() as project:
        first = project.folder / "first.csv"
        generate.write(first, 1)
        with serving(project.folder, first) as client:
            project.fill(rows)
            measured = {format_: _measure(client, project.folder, format_) for format_ in FORMATS}
    print(json.dumps(measured))


def _measure(client: httpx.Client, folder: Path, format_: str) -> tuple[float, float, float]:
    server = _server_in(folder)
    begun = time.perf_counter()
    peak, first = 0, 0.0
    with client.stream("GET", "/api/v1/metabolites", params={"format": format_}) as response:
        response.raise_for_status()
        for _ in response.iter_raw():
            first = first or time.perf_counter() - begun
            peak = max(peak, server.memory_info().rss)
    return first, time.perf_counter() - begun, peak / 1e6


def _server_in(folder: Path) -> psutil.Process:
    (server,) = (
        process
        for process in psutil.process_iter(["cmdline", "cwd"])
        if process.info["cwd"] == str(folder) and "serve" in (process.info["cmdline"] or [])
    )
    return server


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
