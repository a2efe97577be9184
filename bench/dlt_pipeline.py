"""A peer: a dlt pipeline with its default settings, merging by the feature.

It has no rules: the rows arrive as the text they were.
"""

import csv
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dlt
from dlt.common.runtime import anon_tracker
from psycopg.conninfo import conninfo_to_dict

BATCH = 10_000


@dlt.resource(name="metabolites", write_disposition="merge", primary_key="features")
def metabolites(file: Path) -> Iterator[list[dict[str, Any]]]:
    with file.open(encoding="utf-8", newline="") as source:
        reader = csv.DictReader(source)
        while batch := list(islice(reader, BATCH)):
            yield batch


def credentials(url: str) -> str:
    """The same server, as dlt takes it: the socket in the host's place, and a password."""
    given = conninfo_to_dict(url)
    host = quote(str(given["host"]), safe="")
    return f"postgresql://{given['user']}:none@{host}:{given['port']}/{given['dbname']}"


def main(file: Path, url: str) -> None:
    # It writes a random name into a global folder, also when its telemetry is off.
    anon_tracker.get_anonymous_id = lambda: "bench"
    begun = time.perf_counter()
    pipeline = dlt.pipeline(
        pipeline_name="bench",
        destination=dlt.destinations.postgres(credentials(url)),
        dataset_name="bench",
    )
    pipeline.run(metabolites(file)).raise_on_failed_jobs()
    print(time.perf_counter() - begun)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
