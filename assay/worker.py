"""The build worker: loads files and builds from them for the API, with a dbt that stays warm.

Jobs come as JSON lines on stdin, `{"work": NAME, "arguments": {...}}`, and are done one after
another. Each is answered on stdout by at most one line `{"load_id", "already_loaded"}`, which says
that a load is committed and whatever dies from now on will not lose it, and by one line
`{"status", "detail"}` at its end. The worker ends when stdin does.
"""

import json
import logging
import logging.config
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from assay.catalog import SourceTable
from assay.database import database_url, libpq_environment
from assay.dbt import BuildError, Warm
from assay.logs import configuration
from assay.settings import Settings, read_settings
from loader.copy import load_file
from loader.errors import LoadError
from loader.loads import LoadResult
from loader.rehearsals import forget, forget_left_over, rehearsing
from loader.report import reports_as_literals
from loader.sources import fitting_source, in_encoding

REJECTED_SHOWN = 100
_REMEDY = "correct the headers, or choose one with `assay load --source NAME`"

Answer = Callable[[dict[str, Any]], None]
_log = logging.getLogger(__name__)


class Worker:
    """Does the work; each method but `prepare` is a job."""

    def __init__(self, settings: Settings, answer: Answer) -> None:
        self._url = database_url(settings)
        self._dbt = Warm(settings)
        self._answer = answer

    def prepare(self) -> None:
        """Know the database and the project as they are now; costs little where nothing changed."""
        self._environment = libpq_environment(self._url)
        self._catalog = self._dbt.catalog(self._environment)
        forget_left_over(self._url, self._catalog)

    def upload(self, entity: str, **file: Any) -> None:  # noqa: ANN401
        """Load a file and take it into all that it feeds."""
        source_table = self._source_table(entity, file)
        loaded = self._load(source_table, file)
        is_known = loaded.state == "already loaded"
        self._answer({"load_id": loaded.load_id, "already_loaded": is_known})
        # A file that was loaded before may have waited for a build ever since.
        self._operate("take_loads", source_table=source_table.name)

    def rehearse(self, entity: str, **file: Any) -> dict[str, Any]:  # noqa: ANN401
        """Say what `upload` would do: the report and the first rejected rows, both as JSON."""
        source_table = self._source_table(entity, file)
        with rehearsing(self._url, source_table):
            return self._rehearse(source_table, file)

    def _rehearse(self, source_table: SourceTable, file: dict[str, Any]) -> dict[str, Any]:
        loaded = self._load(source_table, file, rehearsal=True)
        is_known = loaded.state == "already loaded"
        reports = reports_as_literals(
            self._catalog,
            source_table.name,
            loaded.load_id,
            REJECTED_SHOWN,
            is_rehearsal=not is_known,
        )
        if is_known:
            with psycopg.connect(self._url) as connection:
                rows = [connection.execute(query.encode()).fetchone() for query in reports]
            report, rejected = (row[0] for row in rows if row)
        else:
            try:
                said = self._operate("rehearse", load_id=loaded.load_id, reports=reports)
            finally:
                forget(self._url, source_table, loaded.load_id)
            report, rejected = said[-len(reports) :]
        return {"report": report, "rejected_rows": rejected, "already_loaded": is_known}

    def unload(self, load_id: int, user: str) -> None:
        """Take a load back."""
        self._operate("unload", load_id=load_id, user=user, after_pending=True)

    def _source_table(self, entity: str, file: dict[str, Any]) -> SourceTable:
        if entity not in self._catalog.entities:
            raise BuildError(f"{entity} is no longer part of the project")
        names = self._catalog.entities[entity].file_sources
        encoding = file.get("encoding")
        candidates = [in_encoding(self._catalog.source_tables[name], encoding) for name in names]
        if len(candidates) == 1:
            return candidates[0]  # the loader says more exactly what its headers lack
        return fitting_source(candidates, Path(file["path"]), file["file_name"], _REMEDY)

    def _load(
        self, source_table: SourceTable, file: dict[str, Any], *, rehearsal: bool = False
    ) -> LoadResult:
        return load_file(
            self._url,
            source_table,
            Path(file["path"]),
            file_name=file["file_name"],
            loaded_by=file["user"],
            force=file["force"],
            rehearsal=rehearsal,
        )

    def _operate(self, macro: str, **arguments: object) -> list[str]:
        return self._dbt.operate(self._environment, macro, **arguments)


def work(worker: Worker, job: dict[str, Any]) -> dict[str, Any]:
    """Do a job and say how it ended; `api.builds` has the other end."""
    try:
        worker.prepare()
        detail = getattr(worker, job["work"])(**job["arguments"])
    except LoadError as error:
        return {"status": "refused", "detail": _fault(error)}
    except psycopg.OperationalError as error:
        return {"status": "away", "detail": str(error)}
    except (BuildError, psycopg.Error) as error:
        return {"status": "failed", "detail": str(error)}
    except Exception as error:  # noqa: BLE001 - the next job may do better
        _log.exception("a job failed")
        return {"status": "broken", "detail": repr(error)}
    return {"status": "done", "detail": detail}


def _fault(error: LoadError) -> dict[str, Any]:
    places = {name: getattr(error, name) for name in ("file", "row", "column", "remedy")}
    return {"detail": str(error)} | places


def main() -> None:
    # Ctrl-C in a terminal reaches all of its processes; the server says when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever else reads or prints does not get into the conversation.
    jobs, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)

    def answer(message: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # nobody listens any more; the job is done all the same
            answers.write(json.dumps(message).encode() + b"\n")

    settings = read_settings()
    logging.config.dictConfig(configuration(settings))
    worker = Worker(settings, answer)
    # What is wrong now may be mended when the first job comes, and is said then if it is not.
    with suppress(BuildError, psycopg.Error, OSError, ValueError):
        worker.prepare()
    for line in jobs:
        answer(work(worker, json.loads(line)))


if __name__ == "__main__":
    main()
