"""`worker.settings.warnings`: each unwise combination is told once, and a wise one is not told at all."""

import pytest

from worker.errors import ConfigurationError
from worker.settings.settings import Settings, load_settings
from worker.settings.warnings import warnings_of

STUDIOCART_ON = {"STUDIOCART__BASE_URL": "https://shop.example/wp-json/sc/v1", "STUDIOCART__API_KEY": "studiocart-key"}


def warnings(values: dict[str, str]) -> list[str]:
    return warnings_of(load_settings({f"CARTBRIDGE_{name}": value for name, value in values.items()}, env_file=None))


def test_nothing_is_unwise_when_nothing_is_set() -> None:
    assert warnings_of(Settings()) == []


@pytest.mark.parametrize(
    "wise",
    [
        {"DATABASE_URL": "postgresql://h/db", "BROKER_URL": "redis://h", "WORKER__POOL": "prefork"},
        STUDIOCART_ON,
        STUDIOCART_ON | {"STUDIOCART__POLL_SECONDS": "0", "STUDIOCART__WEBHOOK_SECRET": "long-enough-secret"},
        {"STUDIOCART__TRUST_WEBHOOK": "true"},
        {"LEARNINGCART__BASE_URL": "http://127.0.0.1:8000/CDNService.svc"},
        {"FRONTCORE__REQUESTS_PER_SECOND": "5"},
        {"LEARNINGCART__REQUESTS_PER_SECOND": "0"},
        {"WEB__ADMIN_PASSWORD": "twelve-chars"},
        {"FRONTCORE__WEBHOOK_SECRET": "whsec_a+b/c==:twelve"},
        STUDIOCART_ON | {"STUDIOCART__POLL_SECONDS": "0", "STUDIOCART__WEBHOOK_URL_TOKEN": "aZ09-long-enough"},
    ],
)
def test_nothing_is_told_when_a_combination_is_wise(wise: dict[str, str]) -> None:
    assert [text for text in warnings(wise) if "is off" not in text] == []


@pytest.mark.parametrize(
    ("unwise", "beginnings"),
    [
        (
            {"SETTLE_SECONDS": "29"},
            ["CARTBRIDGE_SETTLE_SECONDS (29) is below CARTBRIDGE_LEARNINGCART__READ_TIMEOUT_SECONDS (30)"],
        ),
        (
            {"SETTLE_SECONDS": "29", "THREEDCART__SECURE_URL": "shop.example"},
            [
                "CARTBRIDGE_SETTLE_SECONDS (29) is below CARTBRIDGE_LEARNINGCART__READ_TIMEOUT_SECONDS (30)",
                "CARTBRIDGE_SETTLE_SECONDS (29) is below CARTBRIDGE_THREEDCART__READ_TIMEOUT_SECONDS (30)",
                "threedcart is off:",
            ],
        ),
        (
            {"LEASE_SECONDS": "34", "THREEDCART__READ_TIMEOUT_SECONDS": "3"},
            ["CARTBRIDGE_LEASE_SECONDS (34) is below the connect and read timeouts of learningcart together (35)"],
        ),
        (
            {"RETRY__BASE_SECONDS": "20", "RETRY__MAX_SECONDS": "10"},
            ["CARTBRIDGE_RETRY__BASE_SECONDS (20) is above CARTBRIDGE_RETRY__MAX_SECONDS (10)"],
        ),
        ({"DATABASE_URL": "postgresql://h/db"}, ["CARTBRIDGE_BROKER_URL is memory:// beside a PostgreSQL ledger"]),
        ({"BROKER_URL": "redis://h"}, ["CARTBRIDGE_DATABASE_URL is an SQLite file beside a broker"]),
        ({"WORKER__POOL": "prefork"}, ["CARTBRIDGE_WORKER__POOL is prefork"]),
        ({"WEB__API_TOKEN": "elevenchars"}, ["CARTBRIDGE_WEB__API_TOKEN is shorter than 12 characters"]),
        (
            {"STUDIOCART__WEBHOOK_SECRET": "short"},
            ["CARTBRIDGE_STUDIOCART__WEBHOOK_SECRET is shorter than 12 characters"],
        ),
        (
            {"LEARNINGCART__BASE_URL": "http://cdn.example/CDNService.svc", "ALLOW_HTTP": "true"},
            [
                "learningcart is off: CARTBRIDGE_LEARNINGCART__SITE_HOSTNAME",
                "CARTBRIDGE_LEARNINGCART__BASE_URL is http://",
            ],
        ),
        (
            {"STUDIOCART__API_KEY": "studiocart-key"},
            ["studiocart is off: CARTBRIDGE_STUDIOCART__BASE_URL not set."],
        ),
        (
            {"FRONTCORE__REQUESTS_PER_SECOND": "6"},
            ["CARTBRIDGE_FRONTCORE__REQUESTS_PER_SECOND (6) is above the vendor's limit of 5 a second."],
        ),
        (
            {"THREEDCART__REQUESTS_PER_SECOND": "0"},
            ["CARTBRIDGE_THREEDCART__REQUESTS_PER_SECOND (no limit) is above the vendor's limit of 2 a second."],
        ),
        (STUDIOCART_ON | {"STUDIOCART__TRUST_WEBHOOK": "true"}, ["CARTBRIDGE_STUDIOCART__TRUST_WEBHOOK is on"]),
        (
            {"STUDIOCART__WEBHOOK_SECRET": "colon:and-more"},
            ["CARTBRIDGE_STUDIOCART__WEBHOOK_SECRET holds characters that Studiocart's field map drops"],
        ),
        (
            {"FRONTCORE__WEBHOOK_URL_TOKEN": "a/slash-is-a-path"},
            ["CARTBRIDGE_FRONTCORE__WEBHOOK_URL_TOKEN holds characters that an address cannot hold"],
        ),
        (
            {"THREEDCART__WEBHOOK_URL_TOKEN": "short"},
            ["CARTBRIDGE_THREEDCART__WEBHOOK_URL_TOKEN is shorter than 12 characters"],
        ),
        (
            {"STUDIOCART__WEBHOOK_URL_TOKEN": "one-for-all-1234", "STUDIOCART__WEBHOOK_SECRET": "one-for-all-1234"},
            ["CARTBRIDGE_STUDIOCART__WEBHOOK_URL_TOKEN is a secret of another setting too"],
        ),
        (
            STUDIOCART_ON | {"STUDIOCART__POLL_SECONDS": "0"},
            ["studiocart is neither polled (CARTBRIDGE_STUDIOCART__POLL_SECONDS is 0)"],
        ),
    ],
)
def test_a_sentence_is_told_when_a_combination_is_unwise(unwise: dict[str, str], beginnings: list[str]) -> None:
    reported = warnings(unwise)
    assert len(reported) == len(beginnings)
    assert all(text.startswith(beginning) for text, beginning in zip(reported, beginnings, strict=True))
    assert all(text.endswith(".") for text in reported)


EVENTS_SECRET = {"EVENTS__WEBHOOK_SECRET": "whsec_ZXZlbnRzLXNpZ25pbmcta2V5LW9mLTI0LWJ5dGVz"}


@pytest.mark.parametrize(
    ("values", "beginning"),
    [
        (EVENTS_SECRET, "Events are sent to nobody: CARTBRIDGE_EVENTS__WEBHOOK_URL"),
        (
            {"EVENTS__WEBHOOK_URL": "https://hooks.example/in"},
            "Events are sent to nobody: CARTBRIDGE_EVENTS__WEBHOOK_SEC",
        ),
        (
            EVENTS_SECRET | {"EVENTS__WEBHOOK_URL": "http://hooks.example/in", "ALLOW_HTTP": "true"},
            "CARTBRIDGE_EVENTS__WEBHOOK_URL is http://",
        ),
    ],
)
def test_events_that_reach_nobody_or_travel_in_clear_are_told_when_set_so(
    values: dict[str, str], beginning: str
) -> None:
    (reported,) = warnings(values)
    assert reported.startswith(beginning)
    assert "whsec_" not in reported


def test_nothing_is_told_when_events_are_set_well() -> None:
    assert warnings(EVENTS_SECRET | {"EVENTS__WEBHOOK_URL": "https://hooks.example/in?key=1"}) == []


@pytest.mark.parametrize(
    "name",
    [
        "LEARNINGCART__BASE_URL",
        "STUDIOCART__BASE_URL",
        "FRONTCORE__BASE_URL",
        "THREEDCART__BASE_URL",
        "EVENTS__WEBHOOK_URL",
    ],
)
def test_clear_text_is_refused_when_it_goes_to_another_machine(name: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        warnings({name: "http://planted.example/api"})
    assert f"CARTBRIDGE_{name} (environment): is http:// to another machine" in str(refusal.value)
    assert "CARTBRIDGE_ALLOW_HTTP=true" in str(refusal.value)
    assert "planted" not in str(refusal.value)
    assert any(name in reported for reported in warnings({name: "http://planted.example/api", "ALLOW_HTTP": "true"}))
    for here in ("http://localhost:8000/api", "http://127.8.9.1/api", "http://[::1]:80/api"):
        assert not any("http://" in reported for reported in warnings({name: here}))
