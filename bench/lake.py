"""The lake, in a folder of a project of its own.

    python -m bench.lake [rows]

prints JSON: by the name of the export its seconds, the megabytes of its process, and the bytes
of all files of the lake after it; the command as typed, start-up included.
"""

import json
import sys

import psycopg

from bench.project import Project, temporary_project

CHANGED = 1_000
_MODEL = "metabolites"
_CHANGE = """
    update curated.metabolites set method = 'GC', _transaction_id = pg_current_xact_id()
    where metabolite_id in (select metabolite_id from curated.metabolites limit %s)
"""


def main(rows: int) -> None:
    with temporary_project() as project:
        project.assay("build", "--select", f"+{_MODEL}")
        project.fill(rows)
        measured = {"first": _measure(project), "idle": _measure(project)}
        with psycopg.connect(project.url) as connection:
            connection.execute("set session_replication_role = replica")
            connection.execute(_CHANGE, [CHANGED])
        measured["changes"] = _measure(project)
        measured["compact"] = _measure(project, "--compact")
    print(json.dumps(measured))


def _measure(project: Project, *options: str) -> tuple[float, float, int]:
    run = project.assay("export", _MODEL, *options)
    files = (project.folder / ".assay" / "lake").rglob("*")
    size = sum(file.stat().st_size for file in files if file.is_file())
    return run.seconds, run.peak_megabytes, size


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
