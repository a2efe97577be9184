"""The container and workflow files, as far as they can be judged without an engine."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.builds import SHUTDOWN_SECONDS

ROOT = Path(__file__).resolve().parents[1]

DOCKERFILE = ROOT / "Dockerfile"
COMPOSE = ROOT / "docker-compose.yml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

# ${NAME}, ${NAME:-default}, ${NAME:?error} and their forms without the colon.
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?P<operator>:?[-?+])?(?P<rest>[^}]*)\}")
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|KEY")


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return document


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, argument) pairs: no comments, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line.strip()]
    return [(word.upper(), argument.strip()) for word, argument in pairs]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, `FROM` first."""
    result: list[list[tuple[str, str]]] = []
    for word, argument in instructions():
        if word == "FROM":
            result.append([])
        result[-1].append((word, argument))
    return result


def last(word: str) -> str:
    """The argument that is in force for an instruction in the image that is run."""
    return [argument for other, argument in stages()[-1] if other == word][-1]


def check_schema(schema: str, *files: Path) -> subprocess.CompletedProcess[str]:
    # The vendored schemas are part of the package: nothing is downloaded.
    return subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )


def tool(name: str) -> str:
    """The path of a program of this Python's environment, which need not be on PATH."""
    path = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    assert path, f"{name} is missing: install requirements-dev.lock"
    return path


# --- The files are what their format demands ---------------------------------


def test_compose_file_is_valid() -> None:
    """docker-compose.yml follows the Compose specification."""
    result = check_schema("vendor.compose-spec", COMPOSE)
    assert result.returncode == 0, result.stdout + result.stderr


def test_workflows_are_valid() -> None:
    """Each workflow follows GitHub's schema, and there is one."""
    assert WORKFLOWS
    result = check_schema("vendor.github-workflows", *WORKFLOWS)
    assert result.returncode == 0, result.stdout + result.stderr


def test_invalid_compose_file_is_refused(tmp_path: Path) -> None:
    """The schema check can fail: a misspelt key of a service is an error."""
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text("services:\n  api:\n    imagee: assay\n", encoding="utf-8")
    assert check_schema("vendor.compose-spec", wrong).returncode == 1


def test_dockerfile_passes_hadolint() -> None:
    """Hadolint, with all of its rules, has nothing to say about the Dockerfile."""
    result = subprocess.run(
        [tool("hadolint"), "--no-color", str(DOCKERFILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


# --- The image -----------------------------------------------------------------


def test_b48_image_runs_as_a_fixed_unprivileged_user() -> None:
    """The image's user is given by number, is not root, and exists in the image."""
    user, group = last("USER").split(":")
    assert int(user) >= 10000
    assert int(group) >= 10000
    made = " ".join(argument for word, argument in stages()[-1] if word == "RUN")
    assert f"--uid {user}" in made
    assert f"--gid {group}" in made


def test_only_three_folders_are_writable() -> None:
    """The user owns target, logs and .assay, which are volumes, and no code."""
    writable = ["/app/target", "/app/logs", "/app/.assay"]
    assert json.loads(last("VOLUME")) == writable
    stage = stages()[-1]
    owned = [argument for word, argument in stage if word == "RUN" and "chown" in argument]
    assert owned == ["chown -R 10001:10001 " + " ".join(writable)]
    assert not any("--chown" in argument for word, argument in stage if word == "COPY")


def test_image_holds_the_manifest() -> None:
    """`dbt parse` runs in the build, before the stage from which the application is copied ends."""
    builder = [argument for word, argument in stages()[0] if word == "RUN"]
    assert any("dbt parse" in argument for argument in builder)
    assert ("COPY", "--from=builder /app /app") in stages()[-1]


def test_packages_are_installed_from_the_lock_with_hashes() -> None:
    """Every pip install takes its packages from the hashed lock, or takes none."""
    commands = [
        command
        for word, argument in instructions()
        if word == "RUN"
        for command in argument.split("&&")
        if "pip install" in command
    ]
    assert len(commands) == 2
    assert "--require-hashes --requirement requirements.lock" in commands[0]
    assert "--no-deps --no-build-isolation" in commands[1]


def test_lock_holds_the_build_backend() -> None:
    """The project is installed without build isolation, so the runtime lock has its backend."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    names = [re.split(r"[\s<>=!~\[;]", line)[0] for line in project["build-system"]["requires"]]
    assert names
    for name in names:
        assert re.search(rf"^{re.escape(name)}==", lock, flags=re.MULTILINE), name


def test_health_is_asked_of_the_live_probe() -> None:
    """The health check is Python, and fails unless /live answers with success."""
    _, _, command = last("HEALTHCHECK").partition("CMD ")
    program, flag, code = json.loads(command)
    assert (program, flag) == ("python", "-c")
    assert "/live" in code
    compile(code, "healthcheck", "exec")


def test_image_serves_on_every_interface_of_its_container() -> None:
    """Without arguments the image runs `assay serve` on 0.0.0.0:8000."""
    assert json.loads(last("ENTRYPOINT")) == ["assay"]
    assert json.loads(last("CMD")) == ["serve"]
    assert "HOST=0.0.0.0" in last("ENV").split()
    assert "PORT=8000" in last("ENV").split()
    assert last("EXPOSE") == "8000"


def test_no_secret_is_baked_into_the_image() -> None:
    """No ENV, ARG or LABEL of any stage sets a password, a key or a token."""
    for word, argument in instructions():
        if word in {"ENV", "ARG", "LABEL"}:
            assert not SECRET.search(argument.upper()), argument


@pytest.mark.parametrize("path", [".env", ".git", ".assay", ".venv", "target", "logs"])
def test_build_context_leaves_out(path: str) -> None:
    """Secrets, history and local state are not sent to the engine, without an exception."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert path in lines
    assert not [line for line in lines if line.startswith("!")]


# --- The services --------------------------------------------------------------


def test_no_secret_has_a_default() -> None:
    """A password or key of any service comes from .env, or Compose stops and names it."""
    found = set()
    for match in VARIABLE.finditer(COMPOSE.read_text(encoding="utf-8")):
        if SECRET.search(match["name"]):
            found.add(match["name"])
            assert match["operator"] == ":?", match[0]
            assert match["rest"].startswith(f"set {match['name']} in .env"), match[0]
    assert found == {"POSTGRES_PASSWORD", "ADMIN_PASSWORD", "ASSAY_SECRET", "PGADMIN_PASSWORD"}


def test_no_secret_is_written_out() -> None:
    """The value of each secret of each service is a variable, or passed on, never text."""
    for name, service in compose()["services"].items():
        for key, value in service.get("environment", {}).items():
            if SECRET.search(key):
                assert value is None or VARIABLE.fullmatch(value), f"{name}: {key}"
            written = re.search(r"://[^/@:]*:(?!\$\{)[^@]*@", str(value))
            assert not written, f"{name}: {key}"


def test_example_names_every_variable() -> None:
    """.env.example has a line for each variable that docker-compose.yml demands."""
    text = COMPOSE.read_text(encoding="utf-8")
    demanded = {match["name"] for match in VARIABLE.finditer(text) if match["operator"] == ":?"}
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert demanded <= set(re.findall(r"^#?\s*(\w+)=", example, flags=re.MULTILINE))


def test_ports_are_open_to_this_machine_alone() -> None:
    """Each published port is bound to 127.0.0.1, and the database publishes none."""
    services = compose()["services"]
    for service in services.values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), port
    assert "ports" not in services["postgres"]


@pytest.mark.parametrize("name", ["pipeline", "api"])
def test_b48_own_containers_are_confined(name: str) -> None:
    """Our containers cannot write to their image, hold no capability and cannot gain one."""
    service = compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_every_writable_folder_of_the_image_is_mounted() -> None:
    """A read-only container has a mount at each folder that the program writes to."""
    for name in ("pipeline", "api"):
        service = compose()["services"][name]
        mounted = {entry.split(":")[0] for entry in service["tmpfs"]}
        mounted |= {entry.split(":")[1] for entry in service["volumes"]}
        assert {*json.loads(last("VOLUME")), "/tmp"} <= mounted  # noqa: S108 - inside a container


def test_sample_data_is_mounted_read_only() -> None:
    """Nothing in a container can change an input file."""
    assert "./data:/app/data:ro" in compose()["services"]["pipeline"]["volumes"]


def test_database_keeps_its_data() -> None:
    """PostgreSQL 18 keeps its data below /var/lib/postgresql, where the named volume is."""
    document = compose()
    assert document["services"]["postgres"]["image"] == "postgres:18"
    assert document["services"]["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    assert "postgres" in document["volumes"]


def test_api_starts_after_a_finished_build() -> None:
    """The pipeline waits for a healthy database, the API for a pipeline that succeeded."""
    services = compose()["services"]
    assert services["pipeline"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert services["pipeline"]["restart"] == "no"
    assert int(services["api"]["stop_grace_period"].removesuffix("s")) > SHUTDOWN_SECONDS
    condition = services["api"]["depends_on"]["pipeline"]["condition"]
    assert condition == "service_completed_successfully"


# --- The workflows -------------------------------------------------------------


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_may_only_read(path: Path) -> None:
    """A workflow reads the repository's contents, and no job of it asks for more."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert document["permissions"] == {"contents": "read"}
    assert not [name for name, job in document["jobs"].items() if "permissions" in job]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned(path: Path) -> None:
    """GitHub's own actions are pinned to a major version, any other to a commit."""
    used = re.findall(r"uses:\s*(\S+)@(\S+)", path.read_text(encoding="utf-8"))
    assert used
    for action, version in used:
        pin = r"v\d+" if action.startswith("actions/") else r"[0-9a-f]{40}"
        assert re.fullmatch(pin, version), f"{action}@{version}"


def test_ci_runs_what_a_developer_runs() -> None:
    """The workflow's tests are `.ci/run`, nothing else."""
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    steps = yaml.safe_load(text)["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["bash .ci/run"]


def test_b48_the_locks_are_audited_each_night() -> None:
    """Each night pip-audit reads the hashed locks and writes a bill of materials; no gate does."""
    path = ROOT / ".github" / "workflows" / "nightly.yml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    triggers = document[True]  # YAML 1.1 reads `on` so
    assert [entry["cron"].split()[2:] for entry in triggers["schedule"]] == [["*", "*", "*"]]
    assert set(triggers) == {"schedule", "workflow_dispatch"}
    job = document["jobs"]["audit"]
    locks = job["strategy"]["matrix"]["lock"]
    assert all((ROOT / f"{lock}.lock").is_file() for lock in locks)
    # The largest lock holds all packages of the others.
    assert {"requirements", "requirements-bench"} <= set(locks)
    (audit,) = [s["run"] for s in job["steps"] if s.get("run", "").startswith("pip-audit ")]
    assert "--require-hashes" in audit
    assert "--format cyclonedx-json" in audit
    kept = [s for s in job["steps"] if s.get("uses", "").startswith("actions/upload-artifact@")]
    assert [step["if"] for step in kept] == ["always()"]


def test_b48_every_locked_package_has_its_hashes() -> None:
    """Each package of each lock is pinned to one version, with the hashes of its files."""
    for path in ROOT.glob("requirements*.lock"):
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        lines = [line for line in text.splitlines() if re.match(r"[a-z]", line)]
        assert lines, path.name
        for line in lines:
            assert re.match(r"[\w.\[\],-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line
