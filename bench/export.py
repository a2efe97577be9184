"""Files of many rows out of a server with one worker: the time to the first byte, its memory.

    python -m bench.export [rows]

prints a line for each format, and ends with 1 if a bound is missed.
"""

import sys
import time
from pathlib import Path

import httpx
import psutil
import psycopg

from bench import generate
from bench.project import temporary_project
from bench.upload import serving

FORMATS = ("csv", "ndjson", "parquet")
MAX_MEGABYTES, MAX_SECONDS = 200, 0.5
_FILL = """
    insert into curated.metabolites (
        metabolite_id, feature, identification_level, cas_number, id_inchi, method, sample_value,
        sample_status, repairs, updated_at, updated_by
    )
    select
        md5('feature ' || n)::uuid, 'feature ' || n, 1 + n %% 5, null,
        'InChI=1S/C' || n || 'H6O2/c8-7(9)6-4-2-1-3-5-6/h1-5H,(H,8,9)', 'HS-SPME-TOF', n / 1000.0,
        'measured', '{}', now(), 'bench'
    from generate_series(1, %s) as n
"""


def main(rows: int) -> int:
    with temporary_project() as project:
        first = project.folder / "first.csv"
        generate.write(first, 1)
        with serving(project.folder, first) as client:
            with psycopg.connect(project.url) as connection:
                connection.execute("set session_replication_role = replica")
                connection.execute(_FILL, [rows])
            missed = [
                format_ for format_ in FORMATS if not _measure(client, project.folder, format_)
            ]
    return 1 if missed else 0


def _measure(client: httpx.Client, folder: Path, format_: str) -> bool:
    """Whether the bounds hold."""
    server = _server_in(folder)
    begun = time.perf_counter()
    size, peak, first = 0, 0, 0.0
    with client.stream("GET", "/api/v1/metabolites", params={"format": format_}) as response:
        response.raise_for_status()
        for piece in response.iter_raw():
            first = first or time.perf_counter() - begun
            size += len(piece)
            peak = max(peak, server.memory_info().rss)
    seconds, megabytes = time.perf_counter() - begun, peak / 1e6
    print(
        f"{format_:8} first byte {first:.3f} s, all {seconds:.1f} s, {size / 1e6:.0f} MB, "
        f"API process {megabytes:.0f} MB",
        flush=True,
    )
    return first <= MAX_SECONDS and megabytes <= MAX_MEGABYTES


def _server_in(folder: Path) -> psutil.Process:
    (server,) = (
        process
        for process in psutil.process_iter(["cmdline", "cwd"])
        if process.info["cwd"] == str(folder) and "serve" in (process.info["cmdline"] or [])
    )
    return server


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
