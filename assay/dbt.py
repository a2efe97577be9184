"""Runs dbt on the project: in this process, or in another one where its memory matters."""

import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.catalog import Catalog, HalfWrittenError, read_catalog
from assay.settings import Settings

Progress = Callable[[int, int, str], None]
"""Called with (number of nodes begun, number of nodes, name of the node)."""
Message = Callable[[str], None]
"""Called with a sentence that a macro has for people."""

_SITE = "static_index.html"
_BESIDE = ".parse"
"""Folder in the target where dbt writes what is to be replaced as a whole."""


@dataclass(frozen=True)
class FailedTest:
    """A test of dbt that found rows which should not be there."""

    name: str
    query: str
    """Gives these rows."""
    models: tuple[str, ...]
    """Names of those that it reads; of anything else the id that dbt gives it."""


class BuildError(Exception):
    """dbt failed; the message is what dbt said."""

    def __init__(self, message: str, failed_tests: tuple[FailedTest, ...] = ()) -> None:
        super().__init__(message)
        self.failed_tests = failed_tests


def parse(settings: Settings, environment: dict[str, str]) -> Catalog:
    """The catalog of the project, after a `dbt parse` if anything changed since the last one.

    In a process of its own: dbt takes 100 MB, and a loader has little use for it.

    Raises:
        BuildError: The project does not parse.
    """
    catalog = _current(settings)
    if catalog is None:
        with _beside(settings) as options:
            catalog = _current(settings)  # another process may just have made it
            if catalog is None:
                _parse(settings, environment, options)
    return catalog or read_catalog(settings.manifest)


def _parse(settings: Settings, environment: dict[str, str], options: list[str]) -> None:
    changed_at = _changed_at(settings.project)
    done = subprocess.run(  # noqa: S603  our own interpreter and folder
        [sys.executable, "-m", "dbt.cli.main", "--quiet", "parse", *options, *_options(settings)],
        cwd=settings.project,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError(done.stdout.strip() or done.stderr.strip())
    # What changes while dbt reads is newer than this.
    manifest = settings.manifest.parent / _BESIDE / settings.manifest.name
    os.utime(manifest, ns=(changed_at, changed_at))


def document(settings: Settings, environment: dict[str, str]) -> None:
    """Make the docs site.

    Raises:
        BuildError: dbt failed.
    """
    changed_at = _changed_at(settings.project)
    with _beside(settings) as options:
        run(settings, environment, "docs", "generate", "--static", *options)
        # It says nothing of the datasets that the manifest in its place does not say.
        (settings.manifest.parent / _BESIDE / settings.manifest.name).unlink()
        # What changes while dbt reads is newer than this.
        os.utime(settings.manifest.parent / _BESIDE / _SITE, ns=(changed_at, changed_at))


def is_documented(settings: Settings) -> bool:
    """Whether the docs site is that of today's project."""
    return _is_current(settings.manifest.with_name(_SITE), settings.project)


def run(
    settings: Settings,
    environment: dict[str, str],
    *arguments: str,
    on_progress: Progress | None = None,
    on_message: Message | None = None,
    manifest: Any = None,  # noqa: ANN401  dbt's own, imported only where dbt is needed
) -> Any:  # noqa: ANN401
    """Run a dbt command in this process, against the database that `environment` names.

    The manifest stays as `parse` has made it; the results of the nodes that ran are written.

    Returns:
        What dbt's own runner gives for the command.

    Raises:
        BuildError: A model, a test or a macro failed.
        SystemExit, KeyboardInterrupt: A signal ended it.
    """
    # takes 1.5 s, and few commands need it
    from dbt.artifacts.schemas.run import RunExecutionResult  # noqa: PLC0415
    from dbt.cli.main import dbtRunner  # noqa: PLC0415

    os.environ.update(environment)
    faults: list[str] = []
    callbacks = [_reporter(on_progress, on_message, faults.append)]
    result = dbtRunner(manifest, callbacks).invoke(
        ["--log-level", "none", "--no-write-json", *arguments, *_options(settings)]
    )
    if isinstance(result.exception, SystemExit | KeyboardInterrupt):
        raise result.exception
    if isinstance(result.result, RunExecutionResult):
        _write_results(settings, result.result)
    if not result.success:
        raise BuildError("\n".join(faults) or _failures(result), tuple(_failed_tests(result)))
    return result.result


def operation(macro: str, **arguments: object) -> tuple[str, ...]:
    """The command that runs one macro."""
    # JSON is YAML but for characters beyond ASCII, which only YAML's own escape keeps as they are.
    text = json.dumps(arguments, ensure_ascii=False)
    text = re.sub("[^ -~]", lambda found: f"\\U{ord(found[0]):08x}", text)
    return ("run-operation", macro, "--args", text)


class Warm:
    """dbt whose manifest stays in memory: a macro runs in a quarter of a second instead of five."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._manifest: Any = None
        self._changed_at = 0
        self._catalog: Catalog | None = None

    def catalog(self, environment: dict[str, str]) -> Catalog:
        """The catalog of the project as it is now; parses what changed since the last call.

        Raises:
            BuildError: The project does not parse.
        """
        changed_at = _changed_at(self._settings.project)
        if self._catalog is None or changed_at != self._changed_at:
            catalog = parse(self._settings, environment)
            self._manifest = run(self._settings, environment, "parse")
            self._catalog, self._changed_at = catalog, changed_at
        return self._catalog

    def operate(self, environment: dict[str, str], macro: str, **arguments: object) -> list[str]:
        """Run one macro; its messages.

        Raises:
            BuildError: It failed; a sentence of its own comes without dbt's words around it.
        """
        messages: list[str] = []
        run(
            self._settings,
            environment,
            *operation(macro, **arguments),
            on_message=messages.append,
            manifest=self._manifest,
        )
        return messages


def _options(settings: Settings) -> list[str]:
    return ["--project-dir", str(settings.project), "--profiles-dir", str(settings.project)]


def _reporter(
    on_progress: Progress | None, on_message: Message | None, on_fault: Message
) -> Callable[[Any], None]:
    def report(event: Any) -> None:  # noqa: ANN401  dbt's events are untyped protobuf messages
        if on_progress and event.info.name == "LogStartLine":
            on_progress(event.data.index, event.data.total, event.data.node_info.node_name)
        elif on_message and event.info.name == "JinjaLogInfo":
            on_message(event.data.msg)
        elif event.info.name == "RunningOperationCaughtError":
            on_fault(_sentence(event.data.exc))

    return report


def _sentence(error: str) -> str:
    """What a macro raised, without the kind of error above it and the calls below."""
    said = [line.strip() for line in error.partition("\n  > in macro")[0].splitlines()]
    return "\n".join(line for line in said[1:] if line) or error


def _failures(result: Any) -> str:  # noqa: ANN401
    if result.exception:
        return str(result.exception)
    failed = (r for r in result.result.results if r.status in ("error", "fail"))
    return "\n".join(f"{r.node.name}: {r.message}" for r in failed)


def _failed_tests(result: Any) -> Iterator[FailedTest]:  # noqa: ANN401
    for failed in getattr(result.result, "results", ()):
        if failed.status == "fail" and failed.node.compiled_code:
            nodes = [n for n in failed.node.depends_on.nodes if not n.startswith("function.")]
            models = (n.rpartition(".")[2] if n.startswith("model.") else n for n in nodes)
            yield FailedTest(failed.node.name, failed.node.compiled_code, tuple(models))


@contextmanager
def _beside(settings: Settings) -> Iterator[list[str]]:
    """Options by which dbt writes beside its target; all takes its place there when dbt is done.

    dbt writes a file in its place, where readers would find half of it. One process at a time.
    """
    target = settings.manifest.parent
    folder = target / _BESIDE
    folder.mkdir(parents=True, exist_ok=True)
    known = target / "partial_parse.msgpack"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for file in _files(folder):  # of one that was killed
            file.unlink()
        remembered = ["--partial-parse-file-path", str(known)] if known.exists() else []
        yield ["--target-path", str(folder), *remembered]
        for file in _files(folder):
            file.replace(target / file.name)


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.is_file() and file.name != ".lock"]


def _write_results(settings: Settings, results: Any) -> None:  # noqa: ANN401  dbt's own
    """What dbt would have written, for `dbt retry` and whoever asks how long a node took."""
    file = settings.manifest.with_name("run_results.json")
    unfinished = file.with_name(f".{os.getpid()}.{file.name}")
    try:
        results.write(str(unfinished))
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def _current(settings: Settings) -> Catalog | None:
    """What the manifest says, if it is newer than the project, and whole."""
    if _is_current(settings.manifest, settings.project):
        with suppress(HalfWrittenError):  # by a bare dbt that was killed
            return read_catalog(settings.manifest)
    return None


def _is_current(made: Path, project: Path) -> bool:
    """Whether no file of the dbt project is newer than what was made of it."""
    return made.exists() and _changed_at(project) <= made.stat().st_mtime_ns


def _changed_at(project: Path) -> int:
    files = [project / "dbt_project.yml", project / "profiles.yml"]
    # folders too: their time changes when a file is taken away
    files += (project / "dbt_project").rglob("*")
    return max(file.stat().st_mtime_ns for file in files)
