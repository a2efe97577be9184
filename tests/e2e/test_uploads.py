"""Uploads as people make them: to a server of their own, and what survives its death."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from assay import postgres
from tests.conftest import PATIENCE, SHARED
from tests.e2e.conftest import Project, copy_project
from tests.e2e.test_metabolites import write_workbook

PATH = "/api/v1/metabolites"
REAL = SHARED / "inputs" / "metabolites" / "MetabolitesData_inputDataForTEst.csv"
SAMPLE = Path("data") / "metabolites" / "metabolites.csv"

has_real_file = pytest.mark.skipif(
    not REAL.exists(), reason="the real input files are not on this machine"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The project after `assay build`, without a row, and with an admin."""
    project = copy_project(tmp_path_factory.mktemp("uploads"))
    nothing = project.folder / "nothing.csv"
    header = (project.folder / SAMPLE).read_text().splitlines()[0]
    nothing.write_text(header + "\n")
    done = project.assay("up", "--no-serve", str(nothing))
    assert done.returncode == 0, done.stdout + done.stderr
    yield project
    project.assay("db", "stop")


def send(client: httpx.Client, path: Path, **options: Any) -> httpx.Response:
    with path.open("rb") as file:
        return client.put(PATH, files={"file": (path.name, file)}, **options)


def workers_of(project: Project) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command = process.info["cmdline"] or []
        if "assay.worker" in command and process.info["cwd"] == str(project.folder):
            found.append(process)
    return found


@has_real_file
def test_the_real_file(project: Project, tmp_path: Path) -> None:
    """16 rows, none rejected; as a workbook they are the same rows; and they are taken back."""
    workbook = tmp_path / "same rows.xlsx"
    write_workbook(workbook)
    with project.serve() as client:
        rehearsal = send(client, REAL, params={"dry_run": "true"}).json()
        assert rehearsal["entities"][0]["new"] == 16
        assert rehearsal["rejected_rows"] == []
        assert client.get(PATH).json()["items"] == []
        answer = send(client, REAL)
        assert answer.status_code in (200, 202), answer.text
        load_id = answer.json()["load_id"]
        again = send(client, workbook)
        assert again.status_code == 200, answer.text
        (account,) = again.json()["entities"]
        assert (account["rows"], account["unchanged"], account["rejected"]) == (16, 16, 0)
        assert len(client.get(PATH).json()["items"]) == 16
        assert send(client, REAL).json()["already_loaded"] is True
        undone = client.delete(f"/api/v1/loads/{load_id}").json()
        # the workbook said the same later, and is still there
        assert undone["unloads"][0]["deleted"] + undone["unloads"][0]["newer"] == 16
        assert send(client, REAL).json()["already_loaded"] is False
    assert workers_of(project) == []


def test_an_acknowledged_upload_survives_the_death_of_everything(project: Project) -> None:
    """`kill -9` of server and worker between load and build: a plain build finishes it."""
    address = postgres.Address(str(postgres.socket_directory(project.folder)))
    with project.serve() as client:
        with psycopg.connect(address.url, autocommit=True) as turn:
            turn.execute("select pg_advisory_lock(hashtextextended('build metabolites', 0))")
            headers = {"Prefer": "respond-async"}
            answer = send(client, project.folder / SAMPLE, headers=headers)
            assert answer.status_code == 202, answer.text
            (worker,) = workers_of(project)
            server = worker.parent()
            assert server
            for process in (server, worker):
                process.send_signal(signal.SIGKILL)
        load_id = answer.json()["load_id"]
    assert project.assay("build").returncode == 0
    with project.serve() as client:
        report = client.get(f"/api/v1/loads/{load_id}").json()
        assert (report["pending"], report["entities"][0]["rows"]) == ([], 77)


def test_a_server_that_dies_leaves_no_worker(project: Project) -> None:
    with project.serve() as client:
        client.get(PATH)
        deadline = time.monotonic() + PATIENCE
        while not workers_of(project):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (worker,) = workers_of(project)
        server = worker.parent()
        assert server
        server.send_signal(signal.SIGKILL)
        worker.wait(PATIENCE)
    assert workers_of(project) == []


def test_the_end_of_the_server_answers_who_waits(project: Project, tmp_path: Path) -> None:
    """Those that were not begun at once, the one that runs when it is done."""
    address = postgres.Address(str(postgres.socket_directory(project.folder)))
    other = tmp_path / "other.csv"
    other.write_bytes((project.folder / SAMPLE).read_bytes() + b"\n")
    sample = project.folder / SAMPLE
    with (
        project.serve() as client,
        psycopg.connect(address.url, autocommit=True) as turn,
        ThreadPoolExecutor() as pool,
    ):
        assert send(client, sample).status_code in {200, 202}  # it is cold
        turn.execute("select pg_advisory_lock(hashtextextended('laboratory.metabolites', 0))")
        running = pool.submit(send, client, sample, params={"force": "true"})
        waits = "select 1 from pg_stat_activity where wait_event = 'advisory'"
        while not turn.execute(waits).rowcount:
            time.sleep(0.05)
        waiting = [pool.submit(send, client, other) for _ in range(2)]
        while "assay_build_jobs_waiting 2.0" not in client.get("/metrics").text:
            time.sleep(0.05)
        (worker,) = workers_of(project)
        server = worker.parent()
        assert server
        server.send_signal(signal.SIGTERM)
        for upload in waiting:
            answer = upload.result(PATIENCE)
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
        assert not running.done()
        turn.execute("select pg_advisory_unlock_all()")
        assert running.result(PATIENCE).status_code in {200, 202}
        server.wait(PATIENCE)


def test_a_load_is_taken_back_and_judged_again_by_command(project: Project) -> None:
    """In sentences, and never with a traceback."""
    again = project.assay("load", "--force", str(SAMPLE))
    load_id = again.stdout.partition("as load ")[2].partition(",")[0]
    assert project.assay("build").returncode == 0
    done = project.assay("unload", load_id)
    assert done.returncode == 0, done.stderr
    assert f"load {load_id}, metabolites.csv: unloaded" in done.stdout
    assert "metabolites: deleted" in done.stdout
    for number, sentence in (
        (load_id, f"Load {load_id} was taken back already."),
        ("999999", "There is no load 999999."),
    ):
        refused = project.assay("unload", number)
        assert refused.returncode == 1
        assert refused.stderr.strip() == f"assay: {sentence}"
    shown = project.assay("rejudge", "metabolites")
    assert shown.returncode == 0, shown.stderr
    assert "history judged again changes nothing" in shown.stdout
    assert "Nothing was changed: `assay rejudge metabolites --yes` does." in shown.stdout
    applied = project.assay("rejudge", "metabolites", "--yes")
    assert (applied.returncode, "Nothing was changed" in applied.stdout) == (0, False)
    unknown = project.assay("rejudge", "nope")
    assert (unknown.returncode, unknown.stderr.strip()) == (
        1,
        "assay: There is no model named nope.",
    )
