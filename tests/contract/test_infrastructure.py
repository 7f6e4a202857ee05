"""The files under infra/ and mlflow/ hold what their formats and their own promises ask for."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from patience import patience

CHECKOUT = Path(__file__).resolve().parents[2]
INFRA = CHECKOUT / "infra"
REMEDY = "pip install 'stsflow[test-ops]'"


def validator(name: str) -> str:
    """Path of a validator's command, or skip with the remedy."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: {REMEDY}")
    return found


def passes(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=patience(120), check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def compose() -> dict[str, dict[str, object]]:
    content: dict[str, dict[str, object]] = yaml.safe_load((INFRA / "compose.yaml").read_text(encoding="utf-8"))
    return content


def test_compose_file_is_valid() -> None:
    passes(validator("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(INFRA / "compose.yaml"))


VALUES = INFRA / "kubernetes" / "ray-cluster-values.yaml"
MANIFESTS = sorted(path for path in (INFRA / "kubernetes").glob("*.yaml") if path != VALUES)

# What KubeRay's chart ray-cluster reads: github.com/ray-project/kuberay,
# helm-chart/ray-cluster/templates/raycluster-cluster.yaml at 012d9cc93b10ed5d2a1915c1550b2919cca665d9.
OF_THE_CHART = {
    "annotations", "nameOverride", "fullnameOverride", "image", "imagePullSecrets", "common", "head", "worker",
    "additionalWorkerGroups", "service",
}  # fmt: skip
OF_A_POD = {
    "affinity", "annotations", "args", "command", "containerEnv", "dnsConfig", "envFrom", "image", "initContainers",
    "labels", "lifecycle", "nodeSelector", "podSecurityContext", "ports", "priority", "priorityClassName",
    "rayStartParams", "resources", "restartPolicy", "securityContext", "serviceAccountName", "sidecarContainers",
    "tolerations", "volumeMounts", "volumes",
}  # fmt: skip
OF_THE_HEAD = OF_A_POD | {"autoscalerOptions", "enableInTreeAutoscaling", "headService", "rayVersion"}
OF_A_WORKER = OF_A_POD | {"disabled", "groupName", "maxReplicas", "minReplicas", "numOfHosts", "replicas"}


def pods_of_the_ray_cluster() -> dict[str, dict[str, Any]]:
    """Specification of the head's and of a worker's pod, as that template puts them together."""
    values = yaml.safe_load(VALUES.read_text("utf-8"))
    image = f"{values['image']['repository']}:{values['image']['tag']}"
    return {
        name: {
            "securityContext": of["podSecurityContext"],
            "tolerations": of.get("tolerations", []),
            "volumes": of["volumes"],
            "containers": [
                {
                    "name": f"ray-{name}", "image": image, "resources": of["resources"],
                    "securityContext": of["securityContext"], "volumeMounts": of["volumeMounts"],
                    "env": values["common"]["containerEnv"] + of.get("containerEnv", []),
                }
            ],
        }
        for name, of in ((name, values[name]) for name in ("head", "worker"))
    }  # fmt: skip


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_manifests_are_valid(path: Path) -> None:
    passes(validator("kubernetes-validate"), "--strict", str(path))


def test_values_of_the_ray_cluster_are_read_by_its_chart() -> None:
    values = yaml.safe_load(VALUES.read_text("utf-8"))
    assert values.keys() <= OF_THE_CHART
    assert values["head"].keys() <= OF_THE_HEAD and values["worker"].keys() <= OF_A_WORKER
    assert values["common"].keys() == {"containerEnv"}
    assert values["image"].keys() == {"repository", "tag", "pullPolicy"}


@pytest.mark.parametrize("name", ["head", "worker"])
def test_pods_of_the_ray_cluster_are_valid(tmp_path: Path, name: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pods_of_the_ray_cluster()[name]}
    path = tmp_path / "pod.yaml"
    path.write_text(yaml.safe_dump(pod), "utf-8")
    passes(validator("kubernetes-validate"), "--strict", str(path))


def test_the_ray_cluster_trains_on_gpus_alone_over_the_shared_claim_with_the_version_that_was_tried() -> None:
    values = yaml.safe_load(VALUES.read_text("utf-8"))
    assert values["head"]["rayStartParams"]["num-cpus"] == "0"
    assert values["worker"]["resources"]["limits"]["nvidia.com/gpu"] > 0
    pinned = f"ray=={values['head']['rayVersion']}"
    assert pinned in (CHECKOUT / "constraints.txt").read_text("utf-8").splitlines()
    others = yaml.safe_load((INFRA / "kubernetes" / "one-gpu.yaml").read_text("utf-8"))["spec"]["template"]["spec"]
    claim = next(volume for volume in others["volumes"] if volume["name"] == "runs")
    (training,) = others["containers"]
    for pod in pods_of_the_ray_cluster().values():
        (container,) = pod["containers"]
        assert (
            claim in pod["volumes"] and {"name": "runs", "mountPath": "/var/lib/stsflow"} in container["volumeMounts"]
        )
        assert container["image"] == training["image"]


def start_of_a_host(place: Path, script: str, **variables: str) -> str:
    """The command that a host of a training of several would run; `stsflow` only tells its arguments."""
    for name, text in {
        "stsflow": 'echo "stsflow $*"',
        "scontrol": "echo first; seq -f node%g 2 20000",  # more than a pipe holds
        "srun": 'shift; "$@"',
    }.items():
        (place / name).write_text(f"#!/bin/sh\n{text}\n", "utf-8")
        (place / name).chmod(0o755)
    environment = {"PATH": f"{place}:{os.environ['PATH']}", **variables}
    done = subprocess.run(
        ["bash", "-c", script, "start", "recipe.yaml"], env=environment, capture_output=True, text=True, check=True,
        timeout=patience(60),
    )  # fmt: skip
    return done.stdout.strip()


def test_hosts_on_kubernetes_and_slurm_run_the_recipe_once_and_join_it(tmp_path: Path) -> None:
    manifests = list(yaml.safe_load_all((INFRA / "kubernetes" / "several-hosts.yaml").read_text("utf-8")))
    script = next(one for one in manifests if one["kind"] == "ConfigMap")["data"]["start.sh"]
    job = next(one for one in manifests if one["kind"] == "Job")["spec"]
    (container,) = job["template"]["spec"]["containers"]
    stated = {one["name"]: one["value"] for one in container["env"]}
    assert int(stated["HOSTS"]) == job["completions"] == job["parallelism"]
    hosts = "--set training.processes=auto --set training.hosts.count=2 --set training.hosts.rendezvous"
    first = start_of_a_host(tmp_path, script, JOB_COMPLETION_INDEX="0", **stated)
    assert first == f"stsflow run /etc/stsflow/recipe.yaml {hosts}=several-hosts-0.several-hosts:29500"
    second = start_of_a_host(tmp_path, script, JOB_COMPLETION_INDEX="1", **stated)
    assert second == "stsflow join several-hosts-0.several-hosts:29500"

    batch = (INFRA / "slurm" / "several-hosts.sbatch").read_text("utf-8")
    slurm = {"SLURM_JOB_NODELIST": "n[1-2]", "STSFLOW_WORKSPACE": "/shared", "SLURM_JOB_NUM_NODES": "2"}
    assert start_of_a_host(tmp_path, batch, SLURM_NODEID="0", **slurm) == f"stsflow run recipe.yaml {hosts}=first:29500"
    assert start_of_a_host(tmp_path, batch, SLURM_NODEID="1", **slurm) == "stsflow join first:29500"
    alone = start_of_a_host(tmp_path, batch, SLURM_NODEID="0", **slurm | {"SLURM_JOB_NUM_NODES": "1"})
    assert alone == "stsflow run recipe.yaml --set training.processes=auto"


def test_pod_of_a_run_is_valid(tmp_path: Path) -> None:
    """The job that the worker would start, with the template's defaults filled in."""
    template = json.loads((INFRA / "work-pools" / "kubernetes-gpu.json").read_text(encoding="utf-8"))
    values = {name: variable.get("default") for name, variable in template["variables"]["properties"].items()}
    values |= {"command": ["prefect", "flow-run", "execute"], "name": "run", "labels": {}, "annotations": {}}
    values["env"] = [{"name": name, "value": value} for name, value in values["env"].items()]

    def filled(node: object) -> object:
        if isinstance(node, dict):
            pairs = {key: filled(value) for key, value in node.items()}
            return {key: value for key, value in pairs.items() if value is not None}
        if isinstance(node, list):
            return [filled(item) for item in node]
        if isinstance(node, str) and (match := re.fullmatch(r"\{\{ (\w+) \}\}", node)):
            return values[match[1]]
        return re.sub(r"\{\{ (\w+) \}\}", lambda m: str(values[m[1]]), node) if isinstance(node, str) else node

    job = filled(template["job_configuration"]["job_manifest"])
    job["metadata"]["name"] = "run"  # type: ignore[index]  # the validator wants one; the worker gives generateName
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job), encoding="utf-8")
    passes(validator("kubernetes-validate"), "--strict", str(path))
    assert job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1  # type: ignore[index]


@pytest.mark.parametrize("name", ["cpu.json", "gpu.json", "kubernetes-gpu.json"])
def test_work_pool_templates_use_only_their_own_variables(name: str) -> None:
    text = (INFRA / "work-pools" / name).read_text(encoding="utf-8")
    template = json.loads(text)
    assert set(re.findall(r"\{\{ (\w+) \}\}", text)) <= set(template["variables"]["properties"])


def test_dockerfile_passes_the_linter() -> None:
    passes(validator("hadolint"), str(INFRA / "Dockerfile"))


def test_image_is_locked_unprivileged_and_watched() -> None:
    lines = (INFRA / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("USER 10001") for line in lines)
    assert any(line.startswith("HEALTHCHECK") for line in lines)
    assert any("--constraint constraints.txt" in line for line in lines)


def test_the_image_finds_ray_in_a_login_shell() -> None:
    text = (INFRA / "Dockerfile").read_text(encoding="utf-8")
    assert "ln -s /opt/venv/bin/ray /usr/local/bin/ray" in text and "sweep,ray" in text


def test_extras_of_the_image_exist() -> None:
    import tomllib

    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    named = re.search(r'"\.\[([\w,-]+)\]"', (INFRA / "Dockerfile").read_text(encoding="utf-8"))
    assert named is not None and set(named[1].split(",")) <= set(extras)


def test_every_container_is_confined(compose: dict[str, dict[str, object]]) -> None:
    for name, service in compose["services"].items():
        assert service.get("read_only") is True, name  # type: ignore[attr-defined]
        assert service.get("cap_drop") == ["ALL"] and "cap_add" not in service, name  # type: ignore[attr-defined, operator]
        assert service.get("security_opt") == ["no-new-privileges:true"], name  # type: ignore[attr-defined]


def test_every_container_of_a_pod_is_confined() -> None:
    manifests = [each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text("utf-8"))]
    pods = [each["spec"]["template"]["spec"] for each in manifests if each["kind"] in ("Deployment", "Job")]
    template = json.loads((INFRA / "work-pools" / "kubernetes-gpu.json").read_text(encoding="utf-8"))
    pods += pods_of_the_ray_cluster().values()
    pods.append(template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"])
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"] + pod.get("initContainers", []):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_redis_asks_for_a_password_and_its_users_know_it(compose: dict[str, dict[str, object]], tmp_path: Path) -> None:
    """The configuration that the container's own command writes, with the file's paths moved into the test's folder."""
    services: dict[str, Any] = compose["services"]
    (tmp_path / "redis_password").write_text("for-redis_1\n", encoding="utf-8")
    shell, option, script = services["redis"]["command"]
    script = (
        script.replace("$$", "$").replace("/run/secrets", str(tmp_path)).replace("/tmp/redis.conf", f"{tmp_path}/conf")
    )
    passes(shell, option, script.replace("exec redis-server", "exec cat"))
    assert (tmp_path / "conf").read_text(encoding="utf-8") == "requirepass for-redis_1\nappendonly yes\ndir /data\n"
    assert (tmp_path / "conf").stat().st_mode & 0o077 == 0
    for name, service in services.items():
        if "PREFECT_REDIS_MESSAGING_HOST" in service.get("environment", {}) and name != "prefect-migrate":
            assert "redis_password" in service["secrets"], name


def test_ports_are_open_on_loopback_only(compose: dict[str, dict[str, object]]) -> None:
    ports = [str(port) for service in compose["services"].values() for port in service.get("ports", [])]  # type: ignore[attr-defined]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_secrets_come_from_files_alone(compose: dict[str, dict[str, object]]) -> None:
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())  # type: ignore[call-overload]
    for name, service in compose["services"].items():
        environment = service.get("environment", {})  # type: ignore[attr-defined]
        named = [key for key in environment if re.search("PASSWORD|SECRET|TOKEN|AUTH_STRING", key)]
        assert all(key.endswith("_FILE") for key in named), (name, named)


def test_every_service_is_watched_or_says_why_not(compose: dict[str, dict[str, object]]) -> None:
    """Own images carry a health check; foreign ones need one here; one-shot and portless services switch it off."""
    for name, service in compose["services"].items():
        own = str(service["image"]).startswith("stsflow:")  # type: ignore[index]
        assert own or "healthcheck" in service, name


def test_nothing_starts_before_what_it_needs(compose: dict[str, dict[str, object]]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():  # type: ignore[attr-defined]
            assert needed in services, name
            one_shot = services[needed].get("restart") == "no"  # type: ignore[attr-defined]
            assert how["condition"] == ("service_completed_successfully" if one_shot else "service_healthy")


@pytest.mark.parametrize(
    "script", ["infra/entrypoint.sh", "infra/bootstrap", "infra/backup.sh", "infra/restore.sh", "mlflow/start.sh"]
)
def test_scripts_parse_and_may_be_run(script: str) -> None:
    path = CHECKOUT / script
    assert path.stat().st_mode & 0o111
    passes("sh", "-n", str(path))


def test_bootstrap_makes_private_secrets_once(tmp_path: Path) -> None:
    script = shutil.copy(INFRA / "bootstrap", tmp_path / "bootstrap")
    passes("sh", str(script), "secrets")
    folder = tmp_path / "secrets"
    made = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    compose = yaml.safe_load((INFRA / "compose.yaml").read_text(encoding="utf-8"))
    assert set(made) == set(compose["secrets"])
    assert folder.stat().st_mode & 0o077 == 0  # other users of the host do not get past it; containers get single files
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}
    assert (
        json.loads(made["s3_config"])["identities"][0]["credentials"][0]["secretKey"] == made["s3_secret_key"].strip()
    )
    passes("sh", str(script), "secrets")
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == made


def entrypoint(secrets: Path, role: str, **more: str) -> subprocess.CompletedProcess[str]:
    """What the image's entry point does: `env` stands for the program that it becomes."""
    return subprocess.run(
        [str(INFRA / "entrypoint.sh"), "env"], capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "STSFLOW_SECRETS": str(secrets), "STSFLOW_ROLE": role, **more},
    )  # fmt: skip


def test_entrypoint_turns_files_into_environment(tmp_path: Path) -> None:
    (tmp_path / "stsflow_auth").write_text("me:pass:word-of-mine\n", encoding="utf-8")
    (tmp_path / "database_password").write_text("for-the-database\n", encoding="utf-8")
    (tmp_path / "redis_password").write_text("for-redis_1", encoding="utf-8")

    def environment(role: str) -> dict[str, str]:
        done = entrypoint(tmp_path, role, PREFECT_SERVER_DOCKET_URL="redis://redis:6379/1")
        assert done.returncode == 0, done.stderr
        return dict(line.split("=", 1) for line in done.stdout.splitlines())

    prefect = environment("prefect")
    assert prefect["PREFECT_SERVER_API_AUTH_STRING"] == "me:pass:word-of-mine"
    assert prefect["PREFECT_REDIS_MESSAGING_PASSWORD"] == "for-redis_1"
    assert prefect["PREFECT_SERVER_DOCKET_URL"] == "redis://:for-redis_1@redis:6379/1"
    assert environment("mlflow")["MLFLOW_AUTH_ADMIN_PASSWORD"] == "pass:word-of-mine"
    client = environment("client")
    assert (client["MLFLOW_TRACKING_USERNAME"], client["MLFLOW_TRACKING_PASSWORD"]) == ("me", "pass:word-of-mine")
    assert client["PGPASSWORD"] == "for-the-database"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("no-colon-at-all-in-it\n", "is not of the form user:password"),
        (":correct-horse-battery\n", "has no user before the colon"),
        ("me:short\n", "has a password of fewer than 12 characters"),
        ("", "is empty"),
        ("\nme:correct-horse-battery\n", "is empty"),
        ("me:correct-horse-battery\r\n", "holds a character that is not printable"),
    ],
)
@pytest.mark.parametrize("role", ["prefect", "mlflow", "client"])
def test_entrypoint_ends_on_a_password_that_is_none(tmp_path: Path, role: str, content: str, reason: str) -> None:
    (tmp_path / "stsflow_auth").write_bytes(content.encode())
    done = entrypoint(tmp_path, role)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"stsflow: the secret stsflow_auth {reason}\n")


@pytest.mark.parametrize("name", ["stsflow_auth", "database_password", "redis_password", "flask_key", "s3_secret_key"])
def test_entrypoint_ends_on_a_secret_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to(tmp_path / "gone")
    done = entrypoint(tmp_path, "client")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"stsflow: the secret {name} cannot be read\n"
    if os.geteuid() != 0:  # root reads it all the same
        (tmp_path / name).unlink()
        (tmp_path / name).write_text("stsflow:correct-horse-battery\n", encoding="utf-8")
        (tmp_path / name).chmod(0)
        assert entrypoint(tmp_path, "client").returncode == 2


@pytest.mark.parametrize("role", ["prefect", "mlflow", "Prefect"])
def test_entrypoint_starts_no_server_without_a_password(tmp_path: Path, role: str) -> None:
    done = entrypoint(tmp_path, role)
    assert (done.returncode, done.stdout) == (2, "")
    assert entrypoint(tmp_path, "client").returncode == 0


def test_mlflow_starts_without_passwords_only_when_told_so() -> None:
    stores = {"MLFLOW_BACKEND_STORE_URI": "sqlite:///x", "MLFLOW_ARTIFACTS_DESTINATION": "/x", "PATH": "/nowhere"}
    command = ["/bin/sh", str(CHECKOUT / "mlflow" / "start.sh")]
    refused = subprocess.run(command, env=stores, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "STSFLOW_NO_AUTH=1" in refused.stderr
    told = subprocess.run(command, env=stores | {"STSFLOW_NO_AUTH": "1"}, capture_output=True, text=True, check=False)
    assert told.returncode == 127 and "python" in told.stderr  # it came as far as the server, which this PATH lacks


def test_mlflow_folder_cannot_shadow_the_package() -> None:
    assert not list((CHECKOUT / "mlflow").rglob("*.py"))
