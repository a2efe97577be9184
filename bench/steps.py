"""What is measured, step by step; each function gives its steps by a short name."""

from collections import defaultdict
from pathlib import Path

import psycopg

from bench import floor, generate
from bench.measure import say
from bench.project import Project
from bench.table import Step

Steps = dict[str, Step]

_MODEL = "model.assay.metabolites"
_FLOOR = ("metabolites", "stg_laboratory__metabolites")
_PEERS = {
    "orm": ("pydantic + SQLAlchemy ORM", "bench.orm", "metabolites"),
    "dlt": ("dlt", "bench.dlt_pipeline", "bench.metabolites"),
}
_REQUESTS = {
    "key": "GET by key",
    "list": "GET a list of 50",
    "post": "POST a row",
    "sites": "GET a list of 100 sites",
    "expanded": "GET them with their groups",
}
_ONE = ("--select", "+metabolites")
"""Of the datasets: the peers have no other."""
_EXPORTS = {
    "first": "the first one",
    "idle": "nothing changed",
    "changes": "1,000 changes",
    "compact": "compaction",
}
_FEW = 1_000
_NO_START_UP = "load_file() and dbt's execution_time of the model"
_LONG_ROUNDS = 2
"""How often the build and its floor run at most: they take long, and noise is less of it."""


def prepare(project: Project) -> Steps:
    """Make the database that every run starts from: prepared, and nothing built yet."""
    say("assay db upgrade, assay build of an empty database")
    project.assay("db", "upgrade")
    project.keep_as_template()
    first, again = project.assay("build", *_ONE), project.assay("build", *_ONE)
    note = f"what every build takes; the first one {first.seconds:.2f}"
    return {"idle": Step("assay build, no load", [again.seconds], [again.peak_megabytes], note)}


def measure_assay(project: Project, file: Path, rows: int, rounds: int) -> Steps:
    """Load and build beside the floor's two statements, alternating."""
    seconds: dict[str, list[float]] = defaultdict(list)
    peaks: dict[str, list[float]] = defaultdict(list)
    manifest = project.folder / "target" / "manifest.json"
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}: load, COPY")
        project.reset()
        alone = project.python("bench.loader", project.url, manifest, file)
        seconds["load alone"].append(alone.measured)

        project.reset()
        seconds["copy"].append(floor.copy(project.url, file))
        load = project.assay("load", file)
        seconds["load"].append(load.seconds)
        peaks["load"].append(load.peak_megabytes)

        if number > _LONG_ROUNDS:
            continue
        say(f"round {number} of {rounds}: build, INSERT ... SELECT")
        build = project.assay("build", *_ONE)
        seconds["build"].append(build.seconds)
        peaks["build"].append(build.peak_megabytes)
        elapsed, model = project.dbt_seconds(_MODEL)
        seconds["build alone"].append(elapsed)
        seconds["model"].append(model)
        seconds["insert"].append(floor.insert(project.url, *_FLOOR))

        check(project.url, "curated.metabolites", rows)
        check(project.url, "floor.metabolites", rows)
        if number == min(rounds, _LONG_ROUNDS):
            seconds["into many"] = load_few(project, rows, rounds)
    project.reset()
    project.assay("build", *_ONE)
    seconds["into none"] = load_few(project, 0, rounds)
    return {
        "copy": Step("floor: COPY", seconds["copy"]),
        "insert": Step("floor: INSERT ... SELECT", seconds["insert"]),
        "load": Step("assay load", seconds["load"], peaks["load"]),
        "load alone": Step(
            "  without start-up", seconds["load alone"], note="load_file(), commit included"
        ),
        "build": Step("assay build", seconds["build"], peaks["build"]),
        "build alone": Step(
            "  without start-up", seconds["build alone"], note="dbt's elapsed_time, with the tests"
        ),
        "model": Step("  the curated model", seconds["model"], note="dbt's execution_time"),
        "into none": Step(
            f"{_FEW:,} rows into an empty table", seconds["into none"], note=_NO_START_UP
        ),
        "into many": Step(f"{_FEW:,} rows into {rows:,}", seconds["into many"], note=_NO_START_UP),
    }


def measure_bad_rows(project: Project, rows: int) -> Steps:
    """As many rows that are all rejected, beside a few that are curated and stay as they are."""
    say(f"{rows:,} bad rows: load, build")
    project.reset()
    few, bad = project.folder / "few.csv", project.folder / "bad.csv"
    generate.write(few, _FEW)
    project.assay("load", few)
    project.assay("build", *_ONE)
    generate.write(bad, rows, make_row=generate.bad_row)
    load = project.assay("load", bad)
    build = project.assay("build", *_ONE)
    check(project.url, "curated.metabolites", _FEW)
    check(project.url, "journal.verdicts", rows)
    return {
        "load bad": Step("assay load of bad rows", [load.seconds], [load.peak_megabytes]),
        "build bad": Step(
            "assay build", [build.seconds], [build.peak_megabytes], "all rejected and reported"
        ),
    }


def measure_references(project: Project, encounters: int) -> Steps:
    """Rows that refer to a tenth as many others, which are there."""
    say(f"{encounters:,} encounters of {encounters // 10:,} patients: load, COPY")
    folder = project.folder / "synthea"
    numbers = ("--patients", str(encounters // 10), "--encounters", str(encounters))
    project.python("tools.synthea", *numbers, "--folder", folder)
    project.reset()
    project.assay("load", folder / "patients.csv")
    project.assay("build", "--select", "+patients +encounters")
    file = folder / "encounters.csv"
    copied = floor.copy(project.url, file)
    load = project.assay("load", file)
    say(f"{encounters:,} encounters: build, INSERT ... SELECT")
    build = project.assay("build", "--select", "encounters")
    inserted = floor.insert(project.url, "encounters", "stg_synthea__encounters")
    check(project.url, "curated.encounters", encounters)
    check(project.url, "floor.encounters", encounters)
    return {
        "load encounters": Step("assay load of encounters", [load.seconds], [load.peak_megabytes]),
        "build encounters": Step("assay build", [build.seconds], [build.peak_megabytes]),
        "copy encounters": Step("floor: COPY", [copied]),
        "insert encounters": Step("floor: INSERT ... SELECT", [inserted]),
    }


def measure_enrichment(project: Project, rows: int) -> Steps:
    """A program of the field is asked about so many values."""
    say(f"{rows:,} InChIs: assay enrich")
    file = project.folder / "structures.csv"
    # what the generator needs is not measured, and not in this process
    project.python("bench.structures", str(rows), file)
    project.reset()
    project.assay("load", file)
    project.assay("build", "--select", "+structures")
    enrich = project.assay("enrich")
    check(project.url, "raw.rdkit__structures", rows)
    return {
        "enrich": Step(
            f"assay enrich of {rows:,} InChIs", [enrich.seconds], [enrich.peak_megabytes]
        )
    }


def measure_extraction(project: Project, records: int) -> Steps:
    """Records of an API that answers in 20 ms, beside a client that asks page after page."""
    say(f"{records:,} records of an API")
    project.reset()
    manifest = project.folder / "target" / "manifest.json"
    run = project.python("bench.extraction", project.url, manifest, str(records))
    measured: dict[str, float] = run.measured
    note = f"{measured['requests']:,} requests"
    scaled = measured["sequential"] / measured["sample"] * measured["requests"]
    return {
        "extract": Step("extract, 32 at once", [measured["seconds"]], [run.peak_megabytes], note),
        "sequential": Step("one request after another, scaled", [scaled]),
    }


def measure_uploads(project: Project) -> Steps:
    """Small files sent to a server that is warm."""
    say("uploads")
    project.reset()
    run = project.python("bench.upload", project.folder)
    return {
        "upload": Step(
            "upload of 16 rows, warm server", run.measured, note="answered with its report"
        )
    }


def measure_api(project: Project, rows: int, rounds: int) -> Steps:
    """One request of the API and of its peers, over a table of so many rows."""
    say("requests")
    project.reset()
    run = project.python("bench.api", project.folder, project.url, str(rows), str(rounds))
    measured: dict[str, dict[str, list[float]]] = run.measured
    return {
        f"{server} {request}": Step(f"{_REQUESTS[request]}: {server}", seconds)
        for request in _REQUESTS
        for server, times in measured.items()
        if (seconds := times.get(request))
    }


def measure_exports(project: Project, rows: int) -> Steps:
    """A file of so many rows in each format that is sent while it is made."""
    say("exports")
    run = project.python("bench.export", str(rows))
    measured: dict[str, tuple[float, float, float]] = run.measured
    steps = {}
    for name, (first, seconds, megabytes) in measured.items():
        note = "peak of the API process"
        steps[f"export {name}"] = Step(f"export as {name}", [seconds], [megabytes], note)
        steps[f"export {name} first"] = Step("  its first byte", [first])
    return steps


def measure_lake(project: Project, rows: int) -> Steps:
    """Exports of so many rows to a lake in a folder, in a project of its own."""
    say("lake")
    run = project.python("bench.lake", str(rows))
    measured: dict[str, tuple[float, float, int]] = run.measured
    return {
        f"lake {name}": Step(
            f"assay export: {_EXPORTS[name]}",
            [seconds],
            [megabytes],
            f"{size / 1e6:.1f} MB of files",
        )
        for name, (seconds, megabytes, size) in measured.items()
    }


def load_few(project: Project, rows: int, rounds: int) -> list[float]:
    """Load and build a small file, new each time, into a table of so many rows."""
    manifest = project.folder / "target" / "manifest.json"
    file = project.folder / "few.csv"
    seconds = []
    for number in range(rounds):
        say(f"{_FEW:,} rows into {rows:,}")
        generate.write(file, _FEW, first=rows + number * _FEW)
        alone = project.python("bench.loader", project.url, manifest, file)
        project.assay("build", *_ONE)
        seconds.append(alone.measured + project.dbt_seconds(_MODEL)[1])
    check(project.url, "curated.metabolites", rows + rounds * _FEW)
    return seconds


def measure_peers(project: Project, file: Path, rows: int, factor: float, rounds: int) -> Steps:
    """Each in a process and a new database of its own, on the same server."""
    seconds: dict[str, list[float]] = defaultdict(list)
    peaks: dict[str, list[float]] = defaultdict(list)
    scaled: dict[str, list[float]] = defaultdict(list)
    for number in range(1, rounds + 1):
        for name, (title, module, table) in _PEERS.items():
            say(f"round {number} of {rounds}: {title}")
            url = project.new_database(f"{name}_{number}")
            run = project.python(module, file, url)
            check(url, table, rows)
            work: float = run.measured
            seconds[name].append(run.seconds)
            peaks[name].append(run.peak_megabytes)
            scaled[name].append(run.seconds - work + work * factor)
    measured = {}
    for name, (title, _, _) in _PEERS.items():
        measured[name] = Step(f"{title}, {rows:,} rows", seconds[name], peaks[name])
        measured[f"{name} scaled"] = Step(
            f"  scaled to {rows * factor:,.0f}", scaled[name], note=f"x {factor:g} but its start-up"
        )
    return measured


def measure_from_nothing(project: Project, file: Path, rows: int) -> Steps:
    """Load and build in a project that has no server yet."""
    say("assay from nothing")
    load, build = project.assay("load", file), project.assay("build", *_ONE)
    check(project.url, "curated.metabolites", rows)
    step = Step(
        f"assay load + build, {rows:,} rows",
        [load.seconds + build.seconds],
        [load.peak_megabytes, build.peak_megabytes],
        f"{load.seconds:.2f} + {build.seconds:.2f}; from nothing: initdb, server, dbt parse",
    )
    return {"from nothing": step}


def check(url: str, table: str, rows: int) -> None:
    """Fail where a table does not hold every row: then two times are not of the same work."""
    with psycopg.connect(url) as connection:
        found = connection.execute(f"select count(*) from {table}").fetchone()
    if found != (rows,):
        raise RuntimeError(f"{table} holds {found} rows of {rows}")
