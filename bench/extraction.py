"""`python -m bench.extraction URL MANIFEST RECORDS`: records of an API, beside a plain client.

Prints a line of JSON: seconds of the extraction, its requests, and seconds of a client that asks
for one page after another and keeps nothing, for some of these requests.
"""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import httpx

from assay.catalog import read_catalog
from bench.upload import free_port, wait_until_open
from loader.http.access import Access
from loader.http.extract import extract

RECORDS_OF_PARENT = 20
"""Records that each parent has."""
SAMPLE = 200
"""Requests of the plain client."""


def main(url: str, manifest: Path, records: int) -> None:
    port, parents = free_port(), records // RECORDS_OF_PARENT
    numbers = map(str, (port, parents, records))
    process = subprocess.Popen([sys.executable, "-m", "bench.provider", *numbers])
    try:
        wait_until_open(port)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            begun = time.perf_counter()
            for number in range(SAMPLE):
                json.loads(client.get(f"/apprenticeships/{number % parents}/projects").content)
            sequential = time.perf_counter() - begun
        catalog = read_catalog(manifest)
        ((api, tables),) = catalog.listed.items()
        access = Access(api.name, f"http://127.0.0.1:{port}", api.login)
        requests = 0

        def count(_table: str, sent: int, _records: int) -> None:
            nonlocal requests
            requests = sent

        begun = time.perf_counter()
        results = asyncio.run(extract(url, api, tables, access, loaded_by="bench", progress=count))
        seconds = time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait()
    if results is None or sum(result.rows for result in results) != records + parents + 1:
        raise RuntimeError(f"not all records came: {results}")
    measured = {"seconds": seconds, "requests": requests}
    print(json.dumps(measured | {"sequential": sequential, "sample": SAMPLE}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
