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
import psycopg

from bench import generate
from bench.project import temporary_project
from bench.upload import serving

FORMATS = ("csv", "ndjson", "parquet")
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


def main(rows: int) -> None:
    with temporary_project() as project:
        first = project.folder / "first.csv"
        generate.write(first, 1)
        with serving(project.folder, first) as client:
            with psycopg.connect(project.url) as connection:
                connection.execute("set session_replication_role = replica")
                connection.execute(_FILL, [rows])
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
