"""Assay beside a hand-written floor and its peers, on this machine, now.

Exit code 1 if a bound is missed. With fewer rows than 100,000 it is a rehearsal: each step is taken
once, and no bound is judged, since all of them are about what many rows take.
"""

import argparse
import sys
from dataclasses import replace

from bench import generate
from bench.measure import say
from bench.project import temporary_project
from bench.steps import (
    Steps,
    measure_api,
    measure_assay,
    measure_bad_rows,
    measure_enrichment,
    measure_exports,
    measure_extraction,
    measure_from_nothing,
    measure_lake,
    measure_peers,
    measure_references,
    measure_uploads,
    prepare,
)
from bench.table import Ratio, print_machine, print_ratios, print_requests, print_steps

ENRICHED = 20_000
REHEARSAL = 100_000
"""Fewer rows say nothing about the bounds."""

NOTES = """
seconds  wall clock, the best of the runs; they alternate, a checkpoint before each
peak MB  resident memory of the largest process of the command; PostgreSQL's own are not in it
assay    the commands as typed, start-up included; the database is prepared, and this its first load
floor    COPY of the same bytes into columns of text, then one INSERT ... SELECT of the same
         staging SQL into a table with the constraints of the curated one; it judges, records
         and tests nothing
ORM      csv.DictReader, a pydantic model per row with the same cleaning and row rules,
         session.add_all and commit every 1,000 rows; it does less: one row that contradicts
         another ends it, and no repair is noted
dlt      write_disposition="merge" by the feature, else default settings; it does less: no rules
asyncpg  FastAPI and asyncpg by hand: the same SQL, and the same check of the token and its user; it
         puts no error into words
fastcrud its own router over the same table, with the same check
lake     the command as typed, start-up included, to a folder
scaled   peers run {peer_rows:,} rows; their seconds, but those of their start-up, times {factor:g}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--peer-rows", type=int, default=100_000, help="scaled to --rows")
    arguments = parser.parse_args()
    rows, peer_rows = arguments.rows, min(arguments.rows, arguments.peer_rows)
    factor = rows / peer_rows
    is_rehearsal = rows < REHEARSAL
    rounds = 1 if is_rehearsal else 5
    # many short ones, so that whatever else the machine does is in the way of all servers
    request_rounds = 1 if is_rehearsal else 20
    enriched = min(rows, ENRICHED)

    with temporary_project() as project:
        large, small = project.folder / "large.csv", project.folder / "small.csv"
        say(f"generating {rows:,} and {peer_rows:,} rows")
        generate.write(large, rows)
        generate.write(small, peer_rows)
        steps = prepare(project)
        print_machine(project.url)
        print(f"{rows:,} rows, {large.stat().st_size / 1e6:.0f} MB", flush=True)
        steps |= measure_assay(project, large, rows, rounds)
        steps |= measure_bad_rows(project, rows)
        steps |= measure_references(project, rows)
        steps |= measure_extraction(project, peer_rows)
        steps |= measure_enrichment(project, enriched)
        steps |= measure_uploads(project)
        steps |= measure_exports(project, rows)
        steps |= measure_lake(project, rows)
        requests = measure_api(project, peer_rows, request_rounds)
        steps |= measure_peers(project, small, peer_rows, factor, rounds)
        with temporary_project() as fresh:
            steps |= measure_from_nothing(fresh, small, peer_rows)

    ratios = [
        *compare(steps, rows, enriched),
        *compare_exports(steps),
        *compare_lake(steps),
        *compare_requests(requests),
    ]
    if is_rehearsal:
        ratios = [replace(ratio, at_most=None, at_least=None) for ratio in ratios]
    print()
    print_steps(list(steps.values()))
    print()
    print_requests(list(requests.values()))
    print()
    print_ratios(ratios)
    print(NOTES.format(peer_rows=peer_rows, factor=factor))
    missed = [ratio for ratio in ratios if ratio.is_missed]
    for ratio in missed:
        print(f"MISSED  {ratio.name}: {ratio.value:.2f}, bound {ratio.bound}")
    return 1 if missed else 0


def compare(steps: Steps, rows: int, enriched: int) -> list[Ratio]:
    best = {name: step.best for name, step in steps.items()}
    hand_written = best["copy"] + best["insert"]
    assay = best["load"] + best["build"]
    return [
        Ratio("load without start-up / floor COPY", best["load alone"] / best["copy"], at_most=1.5),
        Ratio("load with start-up / floor COPY", best["load"] / best["copy"]),
        Ratio("peak memory of load, MB", steps["load"].peak, at_most=256),
        Ratio("load + build, start-up included / floor", assay / hand_written, at_most=2.5),
        Ratio(
            "load + build without start-up / floor",
            (best["load alone"] + best["build alone"]) / hand_written,
        ),
        Ratio(
            "bad rows: load + build, seconds for each million",
            (best["load bad"] + best["build bad"]) / rows * 1_000_000,
            at_most=120,
        ),
        Ratio("peak memory of the load of bad rows, MB", steps["load bad"].peak, at_most=256),
        Ratio(
            "1,000 rows into the full table / into an empty one",
            best["into many"] / best["into none"],
            at_most=1.5,
        ),
        Ratio(
            "upload of 16 rows to a warm server, seconds", max(steps["upload"].seconds), at_most=2
        ),
        Ratio(
            "encounters with a foreign key: load + build, start-up included / floor",
            (best["load encounters"] + best["build encounters"])
            / (best["copy encounters"] + best["insert encounters"]),
            at_most=2.5,
        ),
        Ratio(f"{enriched:,} InChIs enriched, seconds", best["enrich"], at_most=60),
        Ratio(
            "records of an API: one request after another, scaled / extract",
            best["sequential"] / best["extract"],
            at_least=10,
        ),
        Ratio("peak memory of extract, MB", steps["extract"].peak, at_most=256),
        Ratio("ORM scaled / load + build", best["orm scaled"] / assay, at_least=2.5),
        Ratio("dlt scaled / load + build", best["dlt scaled"] / assay, at_least=3),
        Ratio("ORM / load + build from nothing, same rows", best["orm"] / best["from nothing"]),
        Ratio("dlt / load + build from nothing, same rows", best["dlt"] / best["from nothing"]),
    ]


def compare_exports(steps: Steps) -> list[Ratio]:
    return [
        ratio
        for name in ("csv", "ndjson", "parquet")
        for ratio in (
            Ratio(
                f"export as {name}: first byte, seconds",
                steps[f"export {name} first"].best,
                at_most=0.5,
            ),
            Ratio(
                f"export as {name}: peak memory of the API process, MB",
                steps[f"export {name}"].peak,
                at_most=200,
            ),
        )
    ]


def compare_lake(steps: Steps) -> list[Ratio]:
    changes = steps["lake changes"].best - steps["lake idle"].best
    return [
        Ratio("first export to the lake: peak memory, MB", steps["lake first"].peak, at_most=512),
        Ratio("compaction of the lake: peak memory, MB", steps["lake compact"].peak, at_most=512),
        Ratio(
            "1,000 changes to the lake / all rows, start-up aside",
            changes / (steps["lake first"].best - steps["lake idle"].best),
        ),
    ]


def compare_requests(requests: Steps) -> list[Ratio]:
    """Of the API's throughput to that of its peers."""
    best = {name: step.best for name, step in requests.items()}
    peers = [
        Ratio(
            f"{title}: assay / {peer}", best[f"{peer} {name}"] / best[f"assay {name}"], None, least
        )
        for title, name, peer, least in (
            ("GET by key", "key", "asyncpg", 0.85),
            ("GET a list of 50", "list", "asyncpg", 0.85),
            ("POST a row", "post", "asyncpg", 0.75),
            ("GET by key", "key", "fastcrud", 4),
            ("GET a list of 50", "list", "fastcrud", 8),
        )
    ]
    expanded = best["assay expanded"] / best["assay sites"]
    return [*peers, Ratio("GET 100 sites: seconds with their groups / without", expanded)]


if __name__ == "__main__":
    sys.exit(main())
