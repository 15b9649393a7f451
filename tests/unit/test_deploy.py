from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from configparser import RawConfigParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from worker.broker.app import create_celery
from worker.cli.app import app
from worker.ledger.session import Ledger
from worker.settings.settings import load_settings, variables
from worker.web.metrics.routes import Metrics

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
SETTINGS = {name for variable in variables() for name in (variable, f"{variable}_FILE")}


def read_yaml(path: Path) -> list[Any]:
    return list(yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader))


COMPOSE = read_yaml(REPOSITORY / "compose.yaml")[0]
[ALERTS] = read_yaml(DEPLOY / "prometheus" / "alerts.yml")[0]["groups"]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [rule["expr"] for rule in ALERTS["rules"]] + [
    target["expr"] for panel in PANELS for target in panel["targets"]
]
UNITS = {path.name: path for path in (DEPLOY / "systemd").glob("*.service")}
KUBERNETES = [document for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for document in read_yaml(path)]
WORKLOADS = {each["metadata"]["name"]: each for each in KUBERNETES if each["kind"] in {"Deployment", "Job"}}


PAGES = ["deployment", "backup", "upgrading", "key-rotation"]


@pytest.mark.parametrize("page", PAGES)
def test_command_setting_and_link_are_real_when_a_page_names_them(page: str) -> None:
    text = (REPOSITORY / "docs" / f"{page}.md").read_text()
    code = " ".join(re.findall(r"```.*?```|`[^`]+`", text, re.DOTALL))
    assert set(re.findall(r"(?:^|[\s`])cartbridge ([a-z]+)", code)) <= COMMANDS
    assert set(re.findall(r"CARTBRIDGE_\w+", code)) <= SETTINGS
    named = [name.partition("#")[0] for name in re.findall(r"\]\(([\w./#-]+)\)", text) if not name.startswith("#")]
    named += [f"../{name}" for name in re.findall(r"`((?:deploy|tests)/[\w./-]+)`", text)]
    assert all((REPOSITORY / "docs" / name).exists() for name in named)


# Prometheus and Grafana


@pytest.fixture
def exposed(migrated_file: Path) -> Iterator[set[str]]:
    """The name of every sample that `/metrics` can have."""
    ledger = Ledger(f"sqlite:///{migrated_file}")
    metrics = Metrics(
        ledger, clock=lambda: datetime.now(UTC), webhook_sources=["studiocart"], queue_depths=lambda: {"control": 0}
    )
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
    yield {
        f"{family.name}{ending}" for family in metrics.registry.collect() for ending in endings.get(family.type, [""])
    }
    ledger.close()


def test_every_metric_is_exposed_when_a_rule_or_a_panel_names_it(exposed: set[str]) -> None:
    named = {name for expression in EXPRESSIONS for name in re.findall(r"\bcartbridge_\w+", expression)}
    assert len(named) > 15
    assert named <= exposed


@pytest.mark.parametrize("rule", ALERTS["rules"], ids=lambda rule: rule["alert"])
def test_alert_says_what_to_do_when_it_fires(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "description", "action"}
    assert set(re.findall(r"`cartbridge (\w+)", rule["annotations"]["action"])) <= COMMANDS
    assert rule["alert"] in (DEPLOY / "prometheus" / "tests.yml").read_text()


def test_every_panel_can_be_read_when_the_dashboard_is_opened() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        assert panel["title"]
        assert panel["targets"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_grafana_finds_its_files_when_compose_mounts_them() -> None:
    mounts = dict(mount.split(":")[:2] for mount in COMPOSE["services"]["grafana"]["volumes"])
    [provider] = read_yaml(DEPLOY / "grafana/provisioning/dashboards/cartbridge.yml")[0]["providers"]
    assert mounts["./deploy/grafana/dashboard.json"].startswith(provider["options"]["path"])
    [source] = read_yaml(DEPLOY / "grafana/provisioning/datasources/prometheus.yml")[0]["datasources"]
    assert source["url"] == "http://prometheus:9090"


# The same secrets everywhere


def secret_files(text: str, folder: str) -> dict[str, str]:
    return dict(re.findall(rf"(CARTBRIDGE_\w+_FILE)[=:] *{folder}/(\w+)", text))


def test_the_same_secrets_are_files_when_it_runs_anywhere() -> None:
    in_compose = secret_files((REPOSITORY / "compose.yaml").read_text(), "/run/secrets")
    assert set(in_compose) <= SETTINGS
    units = "".join(path.read_text() for path in (DEPLOY / "systemd").rglob("*.conf"))
    units += UNITS["cartbridge-web.service"].read_text()
    assert secret_files(units, "%d") == in_compose
    assert secret_files((DEPLOY / "systemd" / "cartbridge.env").read_text(), "/etc/cartbridge/secrets") == in_compose
    settings = (DEPLOY / "kubernetes" / "settings.yaml").read_text()
    assert secret_files(settings, "/run/secrets/cartbridge") == in_compose
    [secret] = [each for each in KUBERNETES if each["kind"] == "Secret"]
    assert secret["stringData"] == dict.fromkeys(in_compose.values(), "")


# systemd


def unit(*paths: Path) -> RawConfigParser:
    """The options of a unit and its drop-ins; of one that may be given several times, the last."""
    parser = RawConfigParser(strict=False, delimiters=["="])
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(paths)
    return parser


DROP_INS = sorted((DEPLOY / "systemd" / "cartbridge-.service.d").glob("*.conf"))


@pytest.mark.parametrize("name", UNITS)
def test_unit_runs_one_of_our_commands_when_started(name: str) -> None:
    command = unit(UNITS[name])["Service"]["ExecStart"].split()
    assert command[:3] == ["/opt/cartbridge/bin/cartbridge", "--env-file", "/etc/cartbridge/cartbridge.env"]
    assert command[3:] == [re.sub(r"cartbridge-(\w+)@?\.service", r"\1", name)]
    assert command[3] in COMMANDS


@pytest.mark.parametrize("name", UNITS)
def test_nothing_of_a_unit_is_overruled_when_its_drop_ins_are_read(name: str) -> None:
    """A drop-in outranks the unit: an option of both would silently not be the unit's."""
    lists = {"LoadCredential", "Environment"}
    shared = {option for path in DROP_INS if unit(path).has_section("Service") for option in unit(path)["Service"]}
    assert not (set(unit(UNITS[name])["Service"]) - lists) & shared


def test_each_credential_is_loaded_when_a_setting_names_it() -> None:
    for path in [*DROP_INS, *UNITS.values()]:
        text = path.read_text()
        loaded = dict(re.findall(r"^LoadCredential=(\w+):/etc/cartbridge/secrets/(\w+)$", text, re.MULTILINE))
        assert set(re.findall(r"=%d/(\w+)$", text, re.MULTILINE)) == set(loaded) == set(loaded.values())


def test_calls_under_way_end_when_a_unit_is_stopped() -> None:
    settings = load_settings({}, env_file=None)
    call_seconds = settings.learningcart.connect_timeout_seconds + settings.learningcart.read_timeout_seconds
    stop_seconds = float(unit(*DROP_INS)["Service"]["TimeoutStopSec"])
    assert stop_seconds > create_celery(settings).conf.worker_soft_shutdown_timeout + call_seconds


def test_environment_file_is_understood_when_it_is_read() -> None:
    text = (DEPLOY / "systemd" / "cartbridge.env").read_text()
    assert set(re.findall(r"^#?(CARTBRIDGE_\w+)=", text, re.MULTILINE)) <= SETTINGS


# Kubernetes


def pod(workload: str) -> dict[str, Any]:
    return dict(WORKLOADS[workload]["spec"]["template"]["spec"])


@pytest.mark.parametrize("workload", WORKLOADS)
def test_pod_is_confined_when_it_runs(workload: str) -> None:
    [container] = pod(workload)["containers"]
    assert container["args"] == [workload]
    assert workload in COMMANDS
    assert pod(workload)["securityContext"]["runAsNonRoot"] is True
    assert pod(workload)["automountServiceAccountToken"] is False
    assert pod(workload)["enableServiceLinks"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} == container["resources"].keys()
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod(workload)["volumes"]}


def test_settings_are_understood_when_a_pod_reads_them() -> None:
    [settings] = [each for each in KUBERNETES if each["kind"] == "ConfigMap"]
    assert set(settings["data"]) <= SETTINGS
    assert all(isinstance(value, str) for value in settings["data"].values())


def test_probes_ask_the_health_routes_when_web_runs() -> None:
    [container] = pod("web")["containers"]
    asked = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("liveness", "readiness", "startup")}
    assert asked == {"liveness": "/livez", "readiness": "/readyz", "startup": "/livez"}


def test_one_beat_is_replaced_and_the_others_overlap_when_rolled_out() -> None:
    assert WORKLOADS["beat"]["spec"]["replicas"] == 1
    assert WORKLOADS["beat"]["spec"]["strategy"] == {"type": "Recreate"}
    for name in ("web", "worker"):
        assert WORKLOADS[name]["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    guarded = [each["metadata"]["name"] for each in KUBERNETES if each["kind"] == "PodDisruptionBudget"]
    assert sorted(guarded) == ["web", "worker"]


def test_every_file_is_listed_and_the_version_is_the_project_s_when_applied() -> None:
    [kustomization] = [each for each in KUBERNETES if each["kind"] == "Kustomization"]
    files = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == files
    [image] = kustomization["images"]
    assert image["newTag"] == tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
