from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.broker.app import create_celery
from worker.settings.settings import Settings, load_settings, variables

REPOSITORY = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.load((REPOSITORY / "compose.yaml").read_text(), Loader=yaml.CSafeLoader)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ["beat", "migrate", "up", "web", "worker"]
SERVERS = ["flower", "grafana", "postgres", "prometheus", "redis"]
NO_SECRET_HERE = {
    "CARTBRIDGE_BROKER_URL": "of Redis it is a file, and memory:// holds no password",
    "CARTBRIDGE_DATABASE_URL": "of PostgreSQL it is a file, and SQLite's holds no password",
}
SECRET_FOLDER = "/run/secrets/"


def settings_of(service: str, folder: Path) -> Settings:
    """What Cartbridge makes of the service's environment, each mounted secret being a file in `folder`."""
    environ = dict(SERVICES[service]["environment"])
    planted = {
        "database_url": "postgresql+psycopg://cartbridge:planted@postgres/cartbridge\n",
        "broker_url": "redis://:planted@redis:6379/0\n",
        "learningcart_password": "planted\n",
    }
    for name, value in environ.items():
        if str(value).startswith(SECRET_FOLDER):
            secret = folder / str(value).removeprefix(SECRET_FOLDER)
            secret.write_text(planted.get(secret.name, ""))
            environ[name] = str(secret)
    return load_settings(environ=environ, env_file=None)


def seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


def test_each_profile_is_whole_when_started() -> None:
    """Nothing starts without a profile, so that none of the two is taken for the other."""
    profiles = {name: service["profiles"] for name, service in SERVICES.items()}
    assert profiles == {name: ["minimal"] if name == "up" else ["full"] for name in [*OURS, *SERVERS]}


@pytest.mark.parametrize("service", OURS)
def test_command_is_one_of_ours_when_a_service_starts(service: str) -> None:
    assert SERVICES[service]["command"] == [service]


@pytest.mark.parametrize("service", OURS)
def test_environment_is_understood_when_the_service_reads_it(service: str, tmp_path: Path) -> None:
    settings = settings_of(service, tmp_path)
    assert settings.embedded is (service == "up")
    assert settings.learningcart.password is not None
    assert settings.learningcart.password.get_secret_value() == "planted"


@pytest.mark.parametrize("service", SERVICES)
def test_each_secret_is_mounted_when_something_names_its_file(service: str) -> None:
    reported = [*SERVICES[service].get("environment", {}).values(), *SERVICES[service].get("command", [])]
    named = {found for text in reported for found in re.findall(rf"{SECRET_FOLDER}(\w+)", str(text))}
    assert named == set(SERVICES[service].get("secrets", []))
    assert named <= set(COMPOSE["secrets"])


@pytest.mark.parametrize("service", OURS)
def test_every_secret_is_a_file_when_the_service_runs(service: str) -> None:
    secrets = {name for name, variable in variables().items() if variable.is_secret} - set(NO_SECRET_HERE)
    assert {f"{name}_FILE" for name in secrets} <= set(SERVICES[service]["environment"])


@pytest.mark.parametrize("service", SERVICES)
def test_no_secret_stands_in_the_environment_when_the_file_is_read(service: str) -> None:
    secret_words = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY")
    for name in SERVICES[service].get("environment", {}):
        assert not secret_words.search(name) or name.endswith("_FILE"), name


def test_migrations_come_first_when_the_distributed_services_start() -> None:
    for service in ("web", "worker", "beat"):
        assert SERVICES[service]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["restart"] == "no"


def test_web_waits_for_no_broker_when_it_starts() -> None:
    assert "redis" not in SERVICES["web"]["depends_on"]


def test_broker_refuses_and_keeps_when_it_is_full_or_restarted() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--maxmemory-policy noeviction" in command
    assert "--appendonly yes" in command


def test_broker_wants_a_password_which_stands_in_no_argument() -> None:
    """Whoever reaches Redis could otherwise put messages into the queues."""
    assert SERVICES["redis"]["command"][:2] == ["redis-server", "/run/secrets/redis_config"]
    for service in ("web", "worker", "beat", "migrate"):
        assert SERVICES[service]["environment"]["CARTBRIDGE_BROKER_URL_FILE"] == "/run/secrets/broker_url"
    assert "redis://" not in str(SERVICES)


def test_ledger_is_durable_when_postgres_starts() -> None:
    reported = f"{SERVICES['postgres'].get('command', '')} {SERVICES['postgres']['environment']}"
    assert not re.search(r"synchronous_commit|fsync|full_page_writes|wal_level", reported)


@pytest.mark.parametrize("service", SERVICES)
def test_service_is_confined_when_it_runs(service: str) -> None:
    running = SERVICES[service]
    assert running["read_only"] is True
    assert running["cap_drop"] == ["ALL"]
    assert running["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "cpus", "pids_limit"} <= running.keys()
    assert running["logging"]["options"].keys() == {"max-size", "max-file"}
    assert "healthcheck" in running or service in {"up", "web"}, "only these two use the image's own"
    assert running["restart"] == ("no" if service == "migrate" else "unless-stopped")
    assert running.get("user", "root") not in {"root", "0"} or service in OURS, "ours has its user in the Dockerfile"


@pytest.mark.parametrize("service", SERVICES)
def test_nobody_outside_is_listened_to_when_a_port_is_published(service: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service].get("ports", []))


@pytest.mark.parametrize("server", ["postgres", "redis"])
def test_server_is_on_a_closed_network_when_it_runs(server: str) -> None:
    assert SERVICES[server]["networks"] == ["servers"]
    assert COMPOSE["networks"]["servers"] == {"internal": True}
    assert "ports" not in SERVICES[server]


@pytest.mark.parametrize("service", ["up", "web", "worker", "beat"])
def test_calls_under_way_end_when_a_service_is_stopped(service: str, tmp_path: Path) -> None:
    settings = settings_of(service, tmp_path)
    call_seconds = settings.learningcart.connect_timeout_seconds + settings.learningcart.read_timeout_seconds
    grace_seconds = seconds(SERVICES[service]["stop_grace_period"])
    assert grace_seconds > create_celery(settings).conf.worker_soft_shutdown_timeout + call_seconds


@pytest.mark.parametrize("service", SERVICES)
def test_version_is_pinned_when_an_image_is_named(service: str) -> None:
    _, _, tag = SERVICES[service]["image"].rpartition(":")
    if service in OURS:
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
        assert tag == project["version"]
    else:
        assert re.search(r"\d+\.\d+", tag)


@pytest.mark.parametrize("volume", COMPOSE["volumes"])
def test_volume_is_used_when_declared(volume: str) -> None:
    assert any(mount.startswith(f"{volume}:") for service in SERVICES.values() for mount in service.get("volumes", []))


@pytest.mark.parametrize("service", SERVICES)
def test_file_is_there_when_it_is_mounted(service: str) -> None:
    for mount in SERVICES[service].get("volumes", []):
        source, _, rest = mount.partition(":")
        if source.startswith("./"):
            assert (REPOSITORY / source).exists()
            assert rest.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


def test_image_is_not_root_and_hashed_when_built() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    assert re.search(r"^USER 10001:10001$", dockerfile, re.MULTILINE)
    assert "--no-deps --require-hashes -r requirements.txt" in dockerfile
    assert "/livez" in dockerfile
    assert len(set(re.findall(r"^FROM (python:3\.11\.\d+-slim)", dockerfile, re.MULTILINE))) == 1
    for name in re.findall(r"\b(CARTBRIDGE_\w+)=", dockerfile):
        assert name in variables()
