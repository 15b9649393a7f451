from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.settings import Settings, load_settings, variables

REPOSITORY = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ["beat", "migrate", "up", "web", "worker"]
SECRET_FOLDER = "/run/secrets/"


def settings_of(service: str, folder: Path) -> Settings:
    """What Cartbridge makes of the service's environment, each mounted secret being a file in `folder`."""
    environ = dict(SERVICES[service]["environment"])
    for name, value in environ.items():
        if str(value).startswith(SECRET_FOLDER):
            secret = folder / str(value).removeprefix(SECRET_FOLDER)
            is_url = secret.name == "database_url"
            secret.write_text(
                "postgresql+psycopg://cartbridge:planted@postgres/cartbridge\n" if is_url else "planted\n"
            )
            environ[name] = str(secret)
    return load_settings(environ=environ, env_file=None)


def test_services_are_those_of_the_design_when_listed() -> None:
    assert set(SERVICES) == {*OURS, "postgres", "redis"}
    assert [name for name, service in SERVICES.items() if service.get("profiles") == ["embedded"]] == ["up"]


@pytest.mark.parametrize("service", OURS)
def test_command_is_one_of_ours_when_a_service_starts(service: str) -> None:
    assert SERVICES[service]["command"] == [service]


@pytest.mark.parametrize("service", OURS)
def test_environment_is_understood_when_the_service_reads_it(service: str, tmp_path: Path) -> None:
    settings = settings_of(service, tmp_path)
    assert settings.embedded is (service == "up")
    assert settings.learningcart.password is not None
    assert settings.learningcart.password.get_secret_value() == "planted"


@pytest.mark.parametrize("service", OURS)
def test_each_secret_is_mounted_when_a_variable_names_its_file(service: str) -> None:
    named = {
        str(value).removeprefix(SECRET_FOLDER)
        for value in SERVICES[service]["environment"].values()
        if str(value).startswith(SECRET_FOLDER)
    }
    assert named == set(SERVICES[service]["secrets"])
    assert named <= set(COMPOSE["secrets"])


@pytest.mark.parametrize("service", SERVICES)
def test_no_secret_stands_in_the_environment_when_the_file_is_read(service: str) -> None:
    secret_words = re.compile(r"PASSWORD|SECRET|TOKEN|API_KEY|PRIVATE_KEY")
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


@pytest.mark.parametrize("service", SERVICES)
def test_service_is_confined_when_it_runs(service: str) -> None:
    assert SERVICES[service]["read_only"] is True
    assert "healthcheck" in SERVICES[service] or service in {"up", "web"}, "only these two use the image's own"
    assert SERVICES[service]["restart"] == ("no" if service == "migrate" else "unless-stopped")


@pytest.mark.parametrize("volume", ["ledger", "postgres-data", "redis-data"])
def test_volume_is_used_when_declared(volume: str) -> None:
    assert volume in COMPOSE["volumes"]
    assert any(mount.startswith(f"{volume}:") for service in SERVICES.values() for mount in service.get("volumes", []))


def test_image_is_not_root_and_hashed_when_built() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    assert re.search(r"^USER 10001:10001$", dockerfile, re.MULTILINE)
    assert "--require-hashes -r requirements.txt" in dockerfile
    assert "/livez" in dockerfile
    for name in re.findall(r"\b(CARTBRIDGE_\w+)=", dockerfile):
        assert name in variables()
