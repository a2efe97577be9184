"""Seconds per request of the API and two peers, each served by one process of uvicorn.

The servers take turns; while one answers, the others wait. Prints JSON: by the name of the server
and of the request, the seconds of each round, of which the first ones warm up.
"""

import json
import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx
import psycopg

from assay.settings import read_settings
from bench import generate
from bench.client import request, seconds
from bench.upload import free_port, serving, wait_until_open

READS, LISTS, WRITES = 400, 100, 200
PEERS = {"asyncpg": "bench.peer_asyncpg:app", "fastcrud": "bench.peer_fastcrud:app"}


def main(folder: Path, url: str, rows: int, rounds: int) -> None:
    file = folder / "api.csv"
    generate.write(file, rows)
    measured: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    related = {
        "sites": "/api/v1/sites?limit=100",
        "expanded": "/api/v1/sites?limit=100&expand=groups",
    }
    numbers = count(rows)
    with serving(folder, file) as client, peers(folder, url) as ports:
        token = client.headers["Authorization"].removeprefix("Bearer ")
        keys = sample_of_keys(url)
        assert client.base_url.port  # noqa: S101 - it has one
        ours = "/api/v1/metabolites"
        servers = {
            "assay": (client.base_url.port, ours),
            **{name: (port, "/metabolites") for name, port in ports.items()},
        }
        fill_groups(client)
        for _ in range(rounds):
            for name, path in related.items():
                gets = [request("GET", path, token)] * LISTS
                measured["assay"][name].append(seconds(client.base_url.port, gets) / LISTS)
            for name, (port, path) in servers.items():
                times = measured[name]
                gets = [request("GET", f"{path}/{key}", token) for key in keys]
                times["key"].append(seconds(port, gets) / READS)
                size = "itemsPerPage" if name == "fastcrud" else "limit"
                # the bare one always gives a page of 50
                query = "" if name == "asyncpg" else f"?{size}=50"
                lists = [request("GET", f"{path}{query}", token)] * LISTS
                times["list"].append(seconds(port, lists) / LISTS)
                if name != "fastcrud":
                    posts = [
                        request("POST", path, token, document(next(numbers))) for _ in range(WRITES)
                    ]
                    times["post"].append(seconds(port, posts, 201) / WRITES)
    print(json.dumps(measured))


@contextmanager
def peers(folder: Path, url: str) -> Iterator[dict[str, int]]:
    """Ports of the peers."""
    secret = read_settings(folder).assay_secret
    assert secret  # noqa: S101 - `assay up` made one
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "ASSAY_SECRET": secret.get_secret_value(),
        "BENCH_MANIFEST": str(folder / "target" / "manifest.json"),
    }
    ports = {name: free_port() for name in PEERS}
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", PEERS[name]),
                *("--port", str(port), "--log-level", "warning"),
            ],
            env=environment,
        )
        for name, port in ports.items()
    ]
    try:
        for port in ports.values():
            wait_until_open(port)
        yield ports
    finally:
        for process in processes:
            process.terminate()
            process.wait(30)


def fill_groups(client: httpx.Client) -> None:
    """A hundred sites, each in three of twenty groups."""
    groups = [{"name": f"Group {n}", "type": "group1"} for n in range(20)]
    made = client.post("/api/v1/groups", json=groups).raise_for_status().json()["items"]
    sites = [
        {
            "name": f"Site {n}",
            "country": "italy",
            "installation_date": "2021-01-02",
            "max_power_megawatt": 12.5,
            "min_power_megawatt": 0.5,
            "group_ids": [made[(n + step) % 20]["id"] for step in (0, 3, 7)],
        }
        for n in range(100)
    ]
    client.post("/api/v1/sites", json=sites).raise_for_status()


def sample_of_keys(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "select metabolite_id::text from curated.metabolites order by metabolite_id"
        )
        return random.Random(1).choices([key for (key,) in found], k=READS)  # noqa: S311 - seeded


def document(number: int) -> str:
    """A row that nothing contradicts."""
    inchi = f"InChI=1S/C{number // 1000 + 1}H{number % 1000 + 1}O2/c1-2/h1H"
    return json.dumps(
        {
            "feature": f"posted-{number}",
            "identification_level": number % 5 + 1,
            "id_inchi": inchi,
            "method": "METHOD_01",
            "sample_value": number * 0.000137,
        }
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
