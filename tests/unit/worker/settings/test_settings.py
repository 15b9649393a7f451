"""`worker.settings.settings`: names, defaults, and one error that tells everything."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr, ValidationError

from tests.unit.worker.settings.setting_table import DESIGN_DEFAULTS, EVERY_SETTING, SECRETS
from worker.errors import ConfigurationError
from worker.settings.settings import LearningCartSettings, Settings, StudiocartSettings, load_settings, variables
from worker.settings.warnings import warnings_of

ROOT = Path(__file__).parents[4]
PLANTED = "planted-Secret-91"


def load(**values: str) -> Settings:
    return load_settings({f"CARTBRIDGE_{name}": value for name, value in values.items()}, env_file=None)


def refusal(**values: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(**values)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return str(caught.value)


# --- the table


def test_table_matches_the_design_when_nothing_is_set() -> None:
    table = {name.removeprefix("CARTBRIDGE_"): row.default for name, row in variables().items()}
    assert table == DESIGN_DEFAULTS


def test_table_marks_exactly_the_secrets_when_read() -> None:
    assert {row.name.removeprefix("CARTBRIDGE_") for row in variables().values() if row.is_secret} == SECRETS


def test_every_variable_has_a_description_when_the_table_is_read() -> None:
    assert [row.name for row in variables().values() if len(row.description) < 20] == []


def test_a_row_cannot_change_when_it_is_read() -> None:
    row = next(iter(variables().values()))
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.name = "other"  # type: ignore[misc]


def test_example_file_explains_every_variable_when_compared_with_the_table() -> None:
    explained: dict[str, tuple[str, str]] = {}
    comment: list[str] = []
    for line in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines():
        name, equals, default = line.removeprefix("#").partition("=")
        if line.startswith("#CARTBRIDGE_") and equals:
            explained[name] = (" ".join(comment), default)
            comment = []
        elif line.startswith("# "):
            comment.append(line.removeprefix("# "))
        else:
            comment = []
    assert explained == {row.name: (row.description, row.default) for row in variables().values()}


def test_example_file_gives_the_defaults_when_every_line_is_uncommented(tmp_path: Path) -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8").replace("#CARTBRIDGE_", "CARTBRIDGE_")
    env_file = tmp_path / ".env"
    env_file.write_text(text, encoding="utf-8")
    assert len(dotenv_values(env_file)) == len(variables())
    assert load_settings({}, env_file) == Settings()


# --- reading


def test_every_variable_can_be_set_to_its_own_default_when_read_from_the_environment() -> None:
    settings = load_settings({row.name: row.default for row in variables().values()}, env_file=None)
    assert settings == Settings()


def test_values_arrive_at_their_attributes_when_set() -> None:
    settings = load(
        LEARNINGCART__COMPED_ORDER_METHOD="addFreeOrder",
        LEARNINGCART__EXISTING_CUSTOMERS="keep",
        STUDIOCART__TRUST_WEBHOOK="true",
        STUDIOCART__PARAMETERS_IN="query",
        STUDIOCART__WEBHOOK_ID_FIELD="order_number",
        STUDIOCART__POLL_SECONDS="0",
        FRONTCORE__PROVISION_WHEN="created",
        FRONTCORE__REQUESTS_PER_SECOND="0.5",
        THREEDCART__ORDERS_ENABLED="1",
        THREEDCART__PAID_STATUSES=" 2, 4,2 ",
        THREEDCART__TIME_ZONE="Europe/Oslo",
        RETRY__MAX_ATTEMPTS="3",
        SETTLE_SECONDS="0.25",
        WEB__PORT="0",
        WORKER__POOL="prefork",
        WORKER__CONCURRENCY="2",
        LOG_FORMAT="json",
        OFFERS_FILE="/etc/cartbridge/offers.toml",
        **EVERY_SETTING,
    )
    assert settings.learningcart.comped_order_method == "addFreeOrder"
    assert settings.learningcart.existing_customers == "keep"
    assert settings.learningcart.password == SecretStr("learningcart-pass")
    assert settings.studiocart.base_url == "https://shop.example/wp-json/sc/v1"
    assert settings.studiocart.trust_webhook
    assert settings.studiocart.parameters_in == "query"
    assert settings.studiocart.webhook_id_field == "order_number"
    assert settings.studiocart.poll_seconds == 0
    assert settings.frontcore.provision_when == "created"
    assert settings.frontcore.requests_per_second == 0.5
    assert settings.threedcart.orders_enabled
    assert settings.threedcart.secure_url == "store.example"
    assert settings.threedcart.paid_status_ids == {2, 4}
    assert settings.threedcart.zone == ZoneInfo("Europe/Oslo")
    assert settings.retry.max_attempts == 3
    assert settings.settle_seconds == 0.25
    assert settings.web.port == 0
    assert (settings.worker.pool, settings.worker.concurrency) == ("prefork", 2)
    assert settings.log_format == "json"
    assert settings.offers_file == Path("/etc/cartbridge/offers.toml")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T08:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        (" 2026-01-31T08:00:00+05:30 ", datetime(2026, 1, 31, 2, 30, tzinfo=UTC)),
    ],
)
def test_start_is_an_aware_utc_moment_when_written_in_iso_8601(text: str, moment: datetime) -> None:
    start_at = load(FRONTCORE__START_AT=text).frontcore.start_at
    assert start_at == moment
    assert start_at is not None
    assert start_at.tzinfo is UTC


def test_environment_of_the_process_is_read_when_none_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("CARTBRIDGE_LEASE_SECONDS=50\nCARTBRIDGE_SETTLE_SECONDS=5\n", encoding="utf-8")
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CARTBRIDGE_LEASE_SECONDS", "60")
    settings = load_settings()
    assert (settings.lease_seconds, settings.settle_seconds) == (60, 5)


def test_nothing_around_is_read_when_settings_are_built_by_hand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("CARTBRIDGE_LEASE_SECONDS=50\n", encoding="utf-8")
    monkeypatch.setenv("CARTBRIDGE_LEASE_SECONDS", "60")
    assert Settings().lease_seconds == 120


def test_settings_cannot_change_when_they_are_read() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.lease_seconds = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.retry.max_attempts = 1  # type: ignore[misc]


# --- refusing


def test_one_error_names_every_problem_when_several_settings_are_wrong() -> None:
    text = refusal(
        SETTLE_SECONDS="0",
        LEASE_SECONDS="soon",
        WEB__PORT="65536",
        LOG_FORMAT="xml",
        STUDIOCART__BASE_URL="ftp://shop.example",
        LEARNINGCART__PASWORD=PLANTED,
        THREEDCART__TOKEN_FILE="/nowhere/token",
    )
    lines = text.splitlines()
    assert lines[0] == "Cartbridge cannot use its settings:"
    assert [line.split(" (environment): ")[0].strip() for line in lines[1:-1]] == [
        "CARTBRIDGE_LEARNINGCART__PASWORD",
        "CARTBRIDGE_THREEDCART__TOKEN_FILE",
        "CARTBRIDGE_STUDIOCART__BASE_URL",
        "CARTBRIDGE_SETTLE_SECONDS",
        "CARTBRIDGE_LEASE_SECONDS",
        "CARTBRIDGE_WEB__PORT",
        "CARTBRIDGE_LOG_FORMAT",
    ]
    assert lines[4].endswith("should be greater than 0.")
    assert lines[-1] == "Each variable is explained in .env.example."
    assert PLANTED not in text


def test_nearest_name_is_given_when_a_variable_is_misspelt() -> None:
    text = refusal(LERNINGCART__USERNAME="x")
    assert "CARTBRIDGE_LERNINGCART__USERNAME (environment): unknown variable." in text
    assert "The nearest one is CARTBRIDGE_LEARNINGCART__USERNAME." in text


def test_a_whole_group_is_unknown_when_given_as_one_variable() -> None:
    assert "CARTBRIDGE_RETRY (environment): unknown variable." in refusal(RETRY='{"max_attempts": 1}')


def test_store_s_zone_and_statuses_are_refused_when_they_are_none() -> None:
    for zone in ("EST5", "-5", "+15:00", "../../etc/passwd", "Mars/Olympus", "America"):
        assert "should be an offset, such as -05:00" in refusal(THREEDCART__TIME_ZONE=zone)
    for statuses in ("2;4", "2,,4", "0", "two", "-2"):
        assert "should be whole numbers with commas" in refusal(THREEDCART__PAID_STATUSES=statuses)


@pytest.mark.parametrize("number", ["0", "-1", "inf", "-inf", "nan", "1e300", "soon", "true"])
def test_duration_is_refused_when_it_is_no_positive_length_of_time(number: str) -> None:
    assert "CARTBRIDGE_LEASE_SECONDS (environment): should be" in refusal(LEASE_SECONDS=number)


@pytest.mark.parametrize("number", ["-1", "inf", "nan", "1e300"])
def test_rate_and_polling_are_refused_when_below_zero_or_endless(number: str) -> None:
    text = refusal(STUDIOCART__REQUESTS_PER_SECOND=number, STUDIOCART__POLL_SECONDS=number)
    assert "CARTBRIDGE_STUDIOCART__REQUESTS_PER_SECOND (environment): should be" in text
    assert "CARTBRIDGE_STUDIOCART__POLL_SECONDS (environment): should be" in text


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize("value", [f"{PLANTED}\n{PLANTED}", f"mysql://user:{PLANTED}@host/db\x00"])
def test_secret_stays_out_of_the_error_when_it_is_refused(name: str, value: str) -> None:
    text = refusal(**{name: value})
    assert f"CARTBRIDGE_{name} (environment): should" in text
    assert PLANTED not in text


# --- secrets in and out


def test_no_secret_is_shown_when_settings_are_printed_or_dumped() -> None:
    settings = load(**EVERY_SETTING)
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()} {warnings_of(settings)}"
    assert [secret for secret in settings.secret_values() if secret in shown] == []


def test_every_secret_is_listed_when_asked_for_redaction() -> None:
    settings = load(**EVERY_SETTING)
    assert set(settings.secret_values()) == {"database-pass", "broker-pass"} | {
        value for name, value in EVERY_SETTING.items() if name in SECRETS - {"DATABASE_URL", "BROKER_URL"}
    }


def test_addresses_are_shown_without_password_when_people_read_them() -> None:
    settings = load(**EVERY_SETTING)
    assert settings.shown_database_url == "postgresql+psycopg://user:***@db.example/ledger"
    assert settings.shown_broker_url == "redis://:***@redis.example:6379/0"


# --- what is on


def test_everything_but_the_defaults_is_missing_when_nothing_is_set() -> None:
    settings = Settings()
    assert settings.learningcart.missing() == [
        "CARTBRIDGE_LEARNINGCART__SITE_HOSTNAME",
        "CARTBRIDGE_LEARNINGCART__USERNAME",
        "CARTBRIDGE_LEARNINGCART__PASSWORD",
    ]
    assert settings.studiocart.missing() == ["CARTBRIDGE_STUDIOCART__BASE_URL", "CARTBRIDGE_STUDIOCART__API_KEY"]
    assert settings.frontcore.missing() == ["CARTBRIDGE_FRONTCORE__API_KEY"]
    assert settings.threedcart.missing() == [
        "CARTBRIDGE_THREEDCART__SECURE_URL",
        "CARTBRIDGE_THREEDCART__PRIVATE_KEY",
        "CARTBRIDGE_THREEDCART__TOKEN",
    ]
    assert not any(system.is_configured or system.is_begun for system in settings.systems().values())
    assert settings.sources() == {}


def test_systems_are_configured_when_everything_required_is_set() -> None:
    settings = load(**EVERY_SETTING)
    assert {name: system.is_configured for name, system in settings.systems().items()} == {
        "learningcart": True,
        "studiocart": True,
        "frontcore": True,
        "threedcart": True,
    }
    assert list(settings.sources()) == ["studiocart", "frontcore"]


def test_threedcart_is_a_source_when_its_orders_are_enabled() -> None:
    assert "threedcart" in load(THREEDCART__ORDERS_ENABLED="yes", **EVERY_SETTING).sources()


def test_sections_can_be_built_by_hand_when_a_test_needs_one() -> None:
    settings = Settings(
        learningcart=LearningCartSettings(base_url="http://127.0.0.1:9/CDNService.svc/"),
        studiocart=StudiocartSettings(api_key=SecretStr("some-key"), start_at=datetime(2026, 1, 1, tzinfo=UTC)),
    )
    assert settings.learningcart.base_url == "http://127.0.0.1:9/CDNService.svc"
    assert settings.studiocart.start_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_the_process_is_embedded_on_sqlite_when_nothing_is_set() -> None:
    assert Settings().embedded
    assert Settings().on_sqlite
    distributed = load(**EVERY_SETTING)
    assert not distributed.embedded
    assert not distributed.on_sqlite


def test_a_list_of_3dcart_is_waited_for_two_minutes_unless_a_read_timeout_is_set() -> None:
    name = "CARTBRIDGE_THREEDCART__READ_TIMEOUT_SECONDS"
    for values, seconds in (({}, (30.0, 120.0)), ({name: "7"}, (7.0, 7.0)), ({name: "30"}, (30.0, 30.0))):
        store = load_settings(values, env_file=None).threedcart
        assert (store.read_timeout_seconds, store.list_timeout_seconds) == seconds
    assert load_settings({}, env_file=None).frontcore.list_timeout_seconds == 30.0


def test_a_source_that_is_off_names_what_is_missing_when_asked_why() -> None:
    store = {"secure_url": "store.example", "private_key": "k" * 32, "token": "t" * 32}
    settings = load(**{f"THREEDCART__{name.upper()}": value for name, value in store.items()})
    assert settings.why_source_is_off("threedcart").endswith("set CARTBRIDGE_THREEDCART__ORDERS_ENABLED=true.")
    assert "set CARTBRIDGE_FRONTCORE__API_KEY. See" in settings.why_source_is_off("frontcore")
