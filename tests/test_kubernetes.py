"""The Kubernetes manifests, as far as they can be judged without a cluster."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.builds import SHUTDOWN_SECONDS
from assay.settings import Settings
from tests.test_containers import ROOT, SECRET, last

FILES = sorted((ROOT / "deploy" / "k8s").glob("*.yaml"))
VERSION = "1.37.0"
"""Of Kubernetes, whose schemas are looked into."""

Document = dict[str, Any]


def documents() -> list[Document]:
    return [d for file in FILES for d in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


def one(kind: str) -> Document:
    (found,) = [document for document in documents() if document["kind"] == kind]
    return found


PODS = ("Job", "Deployment")


def pod(kind: str) -> Document:
    spec: Document = one(kind)["spec"]["template"]["spec"]
    return spec


def containers(kind: str) -> list[Document]:
    return [*pod(kind).get("initContainers", []), *pod(kind)["containers"]]


def check_schema(*files: Path) -> subprocess.CompletedProcess[str]:
    # The schemas of the API are part of the package: nothing is downloaded.
    command = [sys.executable, "-W", "ignore", "-m", "kubernetes_validate", "--strict"]
    return subprocess.run(
        [*command, "--kubernetes-version", VERSION, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_manifests_are_valid() -> None:
    """Each follows the JSON schema of its kind, with no field that the API does not know."""
    result = check_schema(*FILES)
    assert result.returncode == 0, result.stdout + result.stderr
    assert {document["kind"] for document in documents()} == {
        *PODS,
        *("ConfigMap", "Service", "HorizontalPodAutoscaler", "Ingress"),
    }


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("replicas: 2", "replicas: two"), ("replicas: 2", "replica: 2"), ("name: a", "nam: a")],
)
def test_invalid_manifests_are_refused(tmp_path: Path, right: str, wrong: str) -> None:
    """The schema check can fail: a value of another type, a field that is misspelt."""
    text = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  replicas: 2
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec:
      containers:
        - name: a
          image: a
"""
    file = tmp_path / "deployment.yaml"
    file.write_text(text)
    assert check_schema(file).returncode == 0
    file.write_text(text.replace(right, wrong))
    assert check_schema(file).returncode == 1


@pytest.mark.parametrize("kind", PODS)
def test_b48_containers_are_confined(kind: str) -> None:
    """As the image's user, without a capability, a token of the cluster or a file to write."""
    user, group = map(int, last("USER").split(":"))
    assert pod(kind)["automountServiceAccountToken"] is False
    assert pod(kind)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": group,
        "fsGroup": group,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for container in containers(kind):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, container["name"]
        resources = container["resources"]
        assert {"cpu", "memory"} <= set(resources["requests"])
        assert "memory" in resources["limits"]


@pytest.mark.parametrize("kind", PODS)
def test_every_writable_folder_of_the_image_is_a_volume(kind: str) -> None:
    volumes = {volume["name"] for volume in pod(kind)["volumes"]}
    settings = one("ConfigMap")["data"]
    for container in containers(kind):
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert set(mounts.values()) <= volumes
        if "command" not in container:  # runs Assay
            needed = {*json.loads(last("VOLUME")), "/tmp", settings["TMPDIR"]}  # noqa: S108
            assert needed <= set(mounts), container["name"]


@pytest.mark.parametrize("kind", PODS)
def test_b48_secrets_are_referred_to(kind: str) -> None:
    """No manifest has one: each is a key of the Secret, and no ConfigMap has any."""
    assert "Secret" not in {document["kind"] for document in documents()}
    assert not [name for name in one("ConfigMap")["data"] if SECRET.search(name)]
    for container in containers(kind):
        for variable in container.get("env", []):
            reference = variable["valueFrom"]["secretKeyRef"]
            named = {name: reference[name] for name in reference if name != "optional"}
            assert named == {"name": "assay", "key": variable["name"]}
    for file in FILES:
        assert not re.search(r"://[^/@\s]*:[^@\s]*@", file.read_text(encoding="utf-8"))


def test_variables_are_settings() -> None:
    """What the manifests set is what `docs/operations.md` lists, and the temporary folder."""
    names = {name.upper() for name in Settings.model_fields}
    given = set(one("ConfigMap")["data"]) | {
        variable["name"]
        for kind in PODS
        for container in containers(kind)
        for variable in container.get("env", [])
    }
    assert given - names == {"TMPDIR"}
    assert {"DATABASE_URL", "ASSAY_SECRET", "ENV"} <= given


def test_the_job_migrates_then_builds() -> None:
    assert [container["args"] for container in containers("Job")] == [["db", "upgrade"], ["build"]]
    assert pod("Job")["restartPolicy"] == "Never"


def test_probes_ask_what_the_api_answers() -> None:
    """Whether it lives, never whether the database does, decides whether it is started again."""
    (api,) = pod("Deployment")["containers"]
    assert api["args"] == json.loads(last("CMD"))
    assert [port["containerPort"] for port in api["ports"]] == [int(last("EXPOSE"))]
    probes = {name: api[name]["httpGet"] for name in api if name.endswith("Probe")}
    assert probes == {
        "startupProbe": {"path": "/live", "port": "http"},
        "livenessProbe": {"path": "/live", "port": "http"},
        "readinessProbe": {"path": "/ready", "port": "http"},
    }
    assert one("ConfigMap")["data"]["PORT"] == last("EXPOSE")


def test_a_job_of_the_worker_may_end() -> None:
    (api,) = pod("Deployment")["containers"]
    pause = api["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod("Deployment")["terminationGracePeriodSeconds"] >= pause + SHUTDOWN_SECONDS + 5


def test_traffic_finds_the_api() -> None:
    """Ingress to Service to the Deployment's pods; the autoscaler scales these."""
    deployment, service, ingress = one("Deployment"), one("Service"), one("Ingress")["spec"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"] == labels
    assert one("Job")["spec"]["template"]["metadata"]["labels"] != labels
    (rule,) = ingress["rules"]
    (path,) = rule["http"]["paths"]
    backend = path["backend"]["service"]
    assert backend == {"name": service["metadata"]["name"], "port": {"name": "http"}}
    (tls,) = ingress["tls"]
    assert tls["hosts"] == [rule["host"]]
    (port,) = service["spec"]["ports"]
    assert (port["name"], port["targetPort"]) == ("http", "http")
    scaled = one("HorizontalPodAutoscaler")
    assert scaled["apiVersion"] == "autoscaling/v2"
    assert scaled["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]


def test_all_run_one_image() -> None:
    images = {container["image"] for kind in PODS for container in containers(kind)}
    assert len(images) == 1
