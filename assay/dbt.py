"""Runs dbt on the project: in this process, or in another one where its memory matters."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.catalog import Catalog, read_catalog
from assay.settings import Settings

Progress = Callable[[int, int, str], None]
"""Called with (number of nodes begun, number of nodes, name of the node)."""
Message = Callable[[str], None]
"""Called with a sentence that a macro has for people."""


class BuildError(Exception):
    """dbt failed; the message is what dbt said."""


def parse(settings: Settings, environment: dict[str, str]) -> Catalog:
    """The catalog of the project, after a `dbt parse` if anything changed since the last one.

    In a process of its own: dbt takes 100 MB, and a loader has little use for it.

    Raises:
        BuildError: The project does not parse.
    """
    if not _is_current(settings.manifest, settings.project):
        done = subprocess.run(  # noqa: S603  our own interpreter and folder
            [sys.executable, "-m", "dbt.cli.main", "--quiet", "parse", *_options(settings)],
            cwd=settings.project,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BuildError(done.stdout.strip() or done.stderr.strip())
        settings.manifest.touch()
    return read_catalog(settings.manifest)


def run(
    settings: Settings,
    environment: dict[str, str],
    *arguments: str,
    on_progress: Progress | None = None,
    on_message: Message | None = None,
) -> None:
    """Run a dbt command in this process, against the database that `environment` names.

    Raises:
        BuildError: A model or a test failed.
    """
    from dbt.cli.main import dbtRunner  # noqa: PLC0415  takes 1.5 s, and few commands need it

    os.environ.update(environment)
    result = dbtRunner(callbacks=[_reporter(on_progress, on_message)]).invoke(
        ["--log-level", "none", *arguments, *_options(settings)]
    )
    if not result.success:
        raise BuildError(_failures(result))


def _options(settings: Settings) -> list[str]:
    return ["--project-dir", str(settings.project), "--profiles-dir", str(settings.project)]


def _reporter(on_progress: Progress | None, on_message: Message | None) -> Callable[[Any], None]:
    def report(event: Any) -> None:  # noqa: ANN401  dbt's events are untyped protobuf messages
        if on_progress and event.info.name == "LogStartLine":
            on_progress(event.data.index, event.data.total, event.data.node_info.node_name)
        elif on_message and event.info.name == "JinjaLogInfo":
            on_message(event.data.msg)

    return report


def _failures(result: Any) -> str:  # noqa: ANN401
    if result.exception:
        return str(result.exception)
    failed = (r for r in result.result.results if r.status in ("error", "fail"))
    return "\n".join(f"{r.node.name}: {r.message}" for r in failed)


def _is_current(manifest: Path, project: Path) -> bool:
    """Whether no file of the dbt project is newer than its manifest."""
    if not manifest.exists():
        return False
    made_at = manifest.stat().st_mtime_ns
    files = [project / "dbt_project.yml", project / "profiles.yml"]
    # folders too: their time changes when a file is taken away
    files += (project / "dbt_project").rglob("*")
    return all(file.stat().st_mtime_ns <= made_at for file in files)
