"""A peer: a dlt pipeline with its default settings, merging by the feature.

It has no rules: the rows arrive as the text they were.
"""

import csv
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import dlt

BATCH = 10_000


@dlt.resource(name="metabolites", write_disposition="merge", primary_key="features")
def metabolites(file: Path) -> Iterator[list[dict[str, Any]]]:
    with file.open(encoding="utf-8", newline="") as source:
        reader = csv.DictReader(source)
        while batch := list(islice(reader, BATCH)):
            yield batch


def main(file: Path, url: str) -> None:
    pipeline = dlt.pipeline(
        pipeline_name="bench",
        destination=dlt.destinations.postgres(url),
        dataset_name="bench",
    )
    pipeline.run(metabolites(file)).raise_on_failed_jobs()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
