"""The build worker as a process of its own, and what dbt says through it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from assay.catalog import Catalog, Entity
from assay.dbt import operation
from assay.settings import Settings
from assay.worker import Worker, work
from loader.errors import LoadError
from tests.conftest import PATIENCE, ROOT
from tests.loader.conftest import THINGS, column, source

OTHERS = source("others", column("other"))
HELD = """
select 1 from pg_locks
where locktype = 'advisory' and mode = 'ShareLock'
    and database = (select oid from pg_database where datname = current_database())
"""
HEADER = "Features,Identification_level,ID_InChI,CAS_number,Method,Sample Data\n"


def until(is_true: Callable[[], Any], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


@dataclass
class Running:
    """A worker, and the folder of its project."""

    process: subprocess.Popen[bytes]
    folder: Path

    def send(self, work: str, **arguments: Any) -> None:
        assert self.process.stdin
        line = json.dumps({"work": work, "arguments": arguments})
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def ask(self, work: str, **arguments: Any) -> list[dict[str, Any]]:
        """All that it answers to a job."""
        self.send(work, **arguments)
        answers = [self.receive()]
        while "status" not in answers[-1]:
            answers.append(self.receive())
        return answers

    def upload(self, text: str, work: str = "upload", **options: Any) -> list[dict[str, Any]]:
        path = self.folder / "sent"
        path.write_text(HEADER + text)
        values = {"entity": "metabolites", "file_name": "mine.csv", "user": "ann", "force": False}
        return self.ask(work, path=str(path), **(values | options))


@pytest.fixture
def url(built: tuple[Path, str], create_database: Callable[..., str]) -> str:
    return create_database(built[1])


@pytest.fixture
def start(built: tuple[Path, str], url: str, tmp_path: Path) -> Callable[..., Any]:
    """Starts a worker on a copy of the project, whose database is at `url`."""
    folder = tmp_path / "project"
    shutil.copytree(built[0], folder)

    @contextmanager
    def run() -> Iterator[Running]:
        process = subprocess.Popen(
            [sys.executable, "-m", "assay.worker"],
            cwd=folder,
            env=os.environ | {"DATABASE_URL": url, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with process:
            try:
                yield Running(process, folder)
            finally:
                process.kill()

    return run


def test_jobs_are_answered_and_the_end_of_input_ends_it(start: Callable[..., Any]) -> None:
    """Nothing but answers is on stdout, and the last build's results stay where they are."""
    with start() as worker:
        before = (worker.folder / "target" / "run_results.json").read_bytes()
        said, done = worker.upload("a,2,,56-86-0,GC,1\n")
        assert said["already_loaded"] is False
        assert done == {"status": "done", "detail": None}
        assert worker.ask("unload", load_id=said["load_id"], user="ann")[-1]["status"] == "done"
        (refused,) = worker.ask("unload", load_id=said["load_id"], user="ann")
        sentence = f"Load {said['load_id']} was taken back already."
        assert refused == {"status": "failed", "detail": sentence}
        (rehearsed,) = worker.upload("a,2,,56-86-1,GC,1\n", "rehearse")
        (row,) = json.loads(rehearsed["detail"]["rejected_rows"])
        assert row["rules"][0]["name"] == "cas_number_valid"
        assert (worker.folder / "target" / "run_results.json").read_bytes() == before
        worker.process.stdin.close()
        assert worker.process.stdout.read() == b""
        assert worker.process.wait(PATIENCE) == 0


def test_a_name_may_have_any_character(start: Callable[..., Any], url: str) -> None:
    """Quotes, what YAML takes for a line's end, and what lies beyond sixteen bits."""
    user = "o'h\u2028a\x85r\\a \N{GRINNING FACE}"
    with start() as worker:
        said, _ = worker.upload("a,2,,56-86-0,GC,1\n", user=user)
        worker.ask("unload", load_id=said["load_id"], user=user)
    with psycopg.connect(url) as connection:
        names = connection.execute(
            "select loaded_by, unloaded_by, edited_by from raw.loads"
            " inner join journal.unloads using (load_id) cross join journal.edits"
        ).fetchall()
    assert names == [(user, user, user)]


def test_ctrl_c_and_the_end_of_the_server_leave_the_job_to_finish(
    start: Callable[..., Any], url: str
) -> None:
    with start() as worker:
        worker.upload("a,2,,56-86-0,GC,1\n")
        with psycopg.connect(url, autocommit=True) as turn:
            lock = "select pg_advisory_lock(hashtextextended('build metabolites', 0))"
            turn.execute(lock)
            path = worker.folder / "other"
            path.write_text(HEADER + "b,2,,7732-18-5,GC,1\n")
            values = {"entity": "metabolites", "file_name": "b.csv", "user": "a", "force": False}
            worker.send("upload", path=str(path), **values)
            assert worker.receive()["load_id"]
            worker.process.send_signal(signal.SIGINT)
            worker.process.stdin.close()
            worker.process.stdout.close()
        assert worker.process.wait(PATIENCE) == 0
    with psycopg.connect(url) as connection:
        (rows,) = connection.execute("select count(*) from curated.metabolites").fetchone() or ()
    assert rows == 2


def test_a_change_of_the_project_is_noticed(start: Callable[..., Any]) -> None:
    """A project that does not parse is said, and works again once it is mended."""
    with start() as worker:
        worker.upload("a,2,,56-86-0,GC,1\n")
        macro = worker.folder / "dbt_project" / "macros" / "extra.sql"
        macro.write_text("{% macro unload(load_id, user) %}{% endmacro")
        (broken,) = worker.ask("unload", load_id=1, user="ann")
        assert broken["status"] == "failed"
        macro.write_text(
            "{% macro extra() %}{{ exceptions.raise_compiler_error('Mended.') }}{% endmacro %}"
        )
        unload = worker.folder / "dbt_project" / "macros" / "curated" / "unload.sql"
        opening, signature, rest = unload.read_text().partition("{% macro unload(")
        arguments, closing, body = rest.partition("-%}")
        unload.write_text(f"{opening}{signature}{arguments}{closing}{{% do extra() %}}{body}")
        assert worker.ask("unload", load_id=1, user="ann") == [
            {"status": "failed", "detail": "Mended."}
        ]


def test_what_a_killed_rehearsal_left_goes_with_the_next_job(
    start: Callable[..., Any], url: str
) -> None:
    """One that lives is left alone, also by another worker."""
    lock = "select pg_advisory_lock(hashtextextended('build metabolites', 0))"
    rehearsals = "select 1 from raw.loads where state = 'rehearsal'"
    with (
        psycopg.connect(url, autocommit=True) as connection,
        psycopg.connect(url, autocommit=True) as turn,
        start() as other,
    ):
        other.ask("unload", load_id=0, user="ann")
        with start() as killed:
            turn.execute(lock)
            path = killed.folder / "sent"
            path.write_text(HEADER + "a,2,,56-86-0,GC,1\n")
            values = {"entity": "metabolites", "file_name": "a.csv", "user": "a", "force": False}
            killed.send("rehearse", path=str(path), **values)
            until(lambda: connection.execute(rehearsals).rowcount)
            other.ask("unload", load_id=0, user="ann")
            assert connection.execute(rehearsals).rowcount == 1
        turn.close()
        until(lambda: not connection.execute(HELD).rowcount)
        other.ask("unload", load_id=0, user="ann")
        assert connection.execute("table raw.loads").rowcount == 0
        assert connection.execute("table raw.laboratory__metabolites").rowcount == 0


def test_only_what_is_loaded_is_taken_back(start: Callable[..., Any], url: str) -> None:
    """And it is said why not."""
    with start() as worker:
        worker.upload("a,2\n", file_name="file.xlsx")
        with psycopg.connect(url) as connection:
            ((failed, state),) = connection.execute("select load_id, state from raw.loads")
        assert state == "failed"
        for load_id, sentence in (
            (failed, f"Load {failed} failed: there is nothing to take back."),
            (999999, "There is no load 999999."),
        ):
            (refused,) = worker.ask("unload", load_id=load_id, user="ann")
            assert refused["detail"] == sentence


def test_jobs_that_cannot_be_done(
    built: tuple[Path, str], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a status of its own, and nothing of Python's words but for the log."""
    settings = Settings(project=built[0], database_url=url)  # type: ignore[arg-type]
    monkeypatch.setenv("DATABASE_URL", url)
    worker = Worker(settings, print)
    file = {"path": "/nowhere", "file_name": "a.csv", "user": "ann", "force": False}
    refused = work(worker, {"work": "upload", "arguments": {"entity": "metabolites", **file}})
    assert refused["status"] == "refused"
    assert refused["detail"]["detail"].startswith("a.csv: the file cannot be read")
    gone = work(worker, {"work": "upload", "arguments": {"entity": "gone", **file}})
    assert gone == {"status": "failed", "detail": "gone is no longer part of the project"}
    broken = work(worker, {"work": "unload", "arguments": {}})
    assert broken["status"] == "broken"


def test_arguments_are_yaml_in_ascii() -> None:
    assert operation("m", a="\N{GRINNING FACE}\n")[-1] == '{"a": "\\U0001f600\\n"}'


def test_the_header_decides_among_the_sources_of_an_entity(built: tuple[Path, str]) -> None:
    """Source tables that feed other entities are not looked at."""
    worker = Worker(Settings(project=built[0]), print)
    tables = {s.name: s for s in (THINGS, source("orders", column("order")), OTHERS)}
    fed = ("shop.orders", "shop.things")
    entity = Entity("things", "curated", "things", "", "", None, ("thing",), (), (), fed, fed)
    worker._catalog = Catalog({"things": entity}, tables)  # noqa: SLF001
    path = built[0] / "sent.csv"
    file = {"path": str(path), "file_name": "mine.csv"}
    path.write_text("Thing Name,Colour,Other\n")
    assert worker._source_table("things", file) is THINGS  # noqa: SLF001
    path.write_text("Other\n")
    with pytest.raises(LoadError, match=r"^mine.csv: the headers fit no source table") as refused:
        worker._source_table("things", file)  # noqa: SLF001
    assert "shop.others" not in str(refused.value)
