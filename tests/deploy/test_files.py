"""The files of deploy/: valid by Kubernetes' schemas, and at one with dagster.yaml and with each other."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from unified.cli.main import load
from unified.kit.registry import get_adapter
from unified_assets.drains import drain_job
from unified_assets.subscriptions import deliver_job

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CELERY = "resources.celery_runs"
MANIFESTS = [
    (path.name, document["kind"], document)
    for path in (DEPLOY / "kubernetes" / "serve.yaml", DEPLOY / "kubernetes" / "migrate.yaml")
    for document in yaml.safe_load_all(path.read_text())
]


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def instance() -> Any:
    return yaml.safe_load((ROOT / "unified_assets" / "dagster.yaml").read_text())


@pytest.mark.parametrize(
    ("file", "kind", "manifest"), MANIFESTS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_manifests_are_valid(file: str, kind: str, manifest: Any) -> None:
    assert file and kind  # noqa: PT018 - the names of the case
    kubernetes_validate.validate(manifest, "1.37", strict=True)


def test_an_invalid_manifest_is_noticed() -> None:
    broken = {**MANIFESTS[0][2], "spec": {**MANIFESTS[0][2]["spec"], "replicas": "one"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.37", strict=True)


def test_a_service_finds_the_pods_of_its_deployment() -> None:
    by_kind = {kind: manifest for _, kind, manifest in MANIFESTS}
    labels = by_kind["Deployment"]["spec"]["template"]["metadata"]["labels"]
    ports = {
        port["name"] for port in by_kind["Deployment"]["spec"]["template"]["spec"]["containers"][0]["ports"]
    }
    assert by_kind["Service"]["spec"]["selector"].items() <= labels.items()
    assert by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert {port["targetPort"] for port in by_kind["Service"]["spec"]["ports"]} <= ports


def snake(value: Any) -> Any:
    """With the chart's names as dagster.yaml has them; what is a Dagster key stays."""
    if isinstance(value, dict):
        return {
            name
            if name == "applyLimitPerUniqueValue"
            else re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(): snake(one)
            for name, one in value.items()
        }
    return [snake(one) for one in value] if isinstance(value, list) else value


def test_the_values_of_the_chart_say_what_dagster_yaml_says() -> None:
    values, ours = read("kubernetes/values.yaml"), instance()
    daemon = snake(values["dagsterDaemon"])
    queue = daemon["run_coordinator"]["config"]["queued_run_coordinator"]
    runs = ours["concurrency"]["runs"]
    assert queue["max_concurrent_runs"] == runs["max_concurrent_runs"]
    assert queue["tag_concurrency_limits"] == runs["tag_concurrency_limits"]
    assert queue["dequeue_interval_seconds"] == ours["run_coordinator"]["config"]["dequeue_interval_seconds"]
    for key in ("run_monitoring", "run_retries", "sensors", "schedules"):
        assert (
            daemon[key].items()
            >= {**ours[key], **({"enabled": True} if "enabled" in ours[key] else {})}.items()
        ), key
    for key in ("schedule", "sensor"):
        wanted = ours["retention"][key]["purge_after_days"]
        assert values["retention"][key]["purgeAfterDays"].items() >= wanted.items()
    assert values["telemetry"]["enabled"] is ours["telemetry"]["enabled"]


def test_the_launcher_goes_behind_dagster_yaml() -> None:
    text = (ROOT / "unified_assets" / "dagster.yaml").read_text() + (
        DEPLOY / "celery" / "launcher.yaml"
    ).read_text()
    assert yaml.safe_load(text) == {**instance(), **read("celery/launcher.yaml")}, "no key stands in both"
    assert read("celery/launcher.yaml")["run_launcher"]["module"] == CELERY


def test_all_name_the_code_location_alike() -> None:
    """Schedules and history belong to it."""
    (location,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    name = location["python_module"]["location_name"]
    (remote,) = read("workspace.yaml")["load_from"]
    code = read("compose.yaml")["services"]["code"]["command"]
    chart = read("kubernetes/values.yaml")["dagster-user-deployments"]["deployments"][0]["dagsterApiGrpcArgs"]
    for command in (code, chart):
        assert command[command.index("--location-name") + 1] == name
    assert remote["grpc_server"]["location_name"] == name
    assert remote["grpc_server"]["port"] == int(code[code.index("-p") + 1])
    assert remote["grpc_server"]["host"] in read("compose.yaml")["services"]


def test_compose_starts_commands_that_there_are() -> None:
    services = {**read("compose.yaml")["services"], **read("celery/compose.yaml")["services"]}
    for name, service in services.items():
        match service.get("command"):
            case ["unified", command, *_]:
                assert load(command), name
            case ["python", "-m", module, *_]:
                assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), name
            case ["celery", "-A", module, *_]:
                assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), name
        for other in service.get("depends_on", {}):
            assert other in services, name


def test_no_secret_stands_in_a_file() -> None:
    for path in (DEPLOY / "compose.yaml", DEPLOY / "celery" / "compose.yaml"):
        for line in path.read_text().splitlines():
            if re.search(r"(PASSWORD|MASTER_KEYS|TOKEN):", line):
                assert re.search(r"\$\{\w+:\?\}", line), (
                    f"{path.name}: {line.strip()} is required, and from outside"
                )


def test_the_dockerfile_copies_what_there_is_and_ends_without_rights() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [shlex.split(line) for line in lines if line and not line.startswith("#")]
    assert {step[0] for step in steps} <= {"FROM", "COPY", "ARG", "ENV", "WORKDIR", "RUN", "USER", "CMD"}
    for step in steps:
        if step[0] == "COPY" and not step[1].startswith("--from"):
            assert all((ROOT / source).exists() for source in step[1:-1]), step
    last = [step for step in steps if step[0] in ("USER", "FROM")][-1]
    assert last == ["USER", "unified"]
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    for step in steps:
        if step[0] == "COPY" and not step[1].startswith("--from"):
            assert all(f"!{source.split('/')[0]}" in ignored for source in step[1:-1]), step


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "unified-assets.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"\bunified_\w+", target["expr"])
    }
    source = (ROOT / "unified" / "api" / "metrics.py").read_text()
    declared = set(re.findall(r'"(unified_\w+)"', source))
    assert {re.sub(r"_(total|count|bucket)$", "", name) for name in asked} <= declared


def test_a_worker_serves_each_queue_that_runs_are_put_into() -> None:
    commands = [service.get("command", []) for service in read("celery/compose.yaml")["services"].values()]
    served = {command[command.index("-Q") + 1] for command in commands if "-Q" in command}
    drain = drain_job(get_adapter("stripe"))
    put = {job.tags["dagster-celery/queue"] for job in (drain, deliver_job())}
    assert put == {"drains"}
    assert served == {read("celery/launcher.yaml")["run_launcher"]["config"]["default_queue"], *put}
