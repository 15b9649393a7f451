"""`worker.settings.types`: what is taken, what is refused, and that a refusal quotes nothing."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, TypeAdapter, ValidationError

from worker.settings import types as setting_types

PLANTED = "planted-Secret-91"
BROKER_URL: TypeAdapter[SecretStr] = TypeAdapter(setting_types.BrokerUrl)


def take(kind: Any, value: object) -> Any:
    taken = TypeAdapter(kind).validate_python(value)
    return taken.get_secret_value() if isinstance(taken, SecretStr) else taken


def refusal(kind: Any, value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        take(kind, value)
    messages = [detail["msg"] for detail in caught.value.errors()]
    assert len(messages) == 1
    assert PLANTED not in messages[0]
    return messages[0]


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (" https://shop.example/wp-json/sc/v1/ ", "https://shop.example/wp-json/sc/v1"),
        ("http://127.0.0.1:8000//", "http://127.0.0.1:8000"),
        ("https://[::1]:8000/a", "https://[::1]:8000/a"),
    ],
)
def test_base_url_loses_its_trailing_slash_when_taken(value: str, taken: str) -> None:
    assert take(setting_types.BaseUrl, value) == taken


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("", "full URL that begins with https://"),
        ("shop.example/wp-json", "full URL that begins with https://"),
        ("https:///path", "full URL that begins with https://"),
        ("ftp://shop.example", "full URL that begins with https://"),
        (f"https://user:{PLANTED}@shop.example", "no user name or password"),
        (f"https://{PLANTED}@shop.example", "no user name or password"),
        (f"https://shop.example/?key={PLANTED}", "no query or fragment"),
        ("https://shop.example/?", "no query or fragment"),
        ("https://shop.example/#top", "no query or fragment"),
        (f"https://shop.example:{PLANTED}/", "valid host and port"),
        ("https://shop.example:99999", "valid host and port"),
        ("https://[::1", "valid host and port"),
        ("https://shop .example", "without spaces"),
        ("https://shop.example/\x00a", "control characters"),
        ("https://shop.example\n.evil.example", "control characters"),
    ],
)
def test_base_url_is_refused_when_it_is_no_plain_address(value: str, sentence: str) -> None:
    assert sentence in refusal(setting_types.BaseUrl, value)


@pytest.mark.parametrize(
    "value", ["store.example", "Store.Example", "https://store.example/", "http://STORE.example", " store.example "]
)
def test_store_host_becomes_bare_and_lower_case_when_taken(value: str) -> None:
    assert take(setting_types.StoreHost, value) == "store.example"


@pytest.mark.parametrize("value", ["", "store.example/shop", "user@store.example", "store example", "https://"])
def test_store_host_is_refused_when_it_is_more_than_a_host(value: str) -> None:
    assert "bare host name" in refusal(setting_types.StoreHost, value)


@pytest.mark.parametrize("value", ["", "add-order", "../getOrders", "1st", "addCompOrder?x=1", "addCompOrder\n"])
def test_method_name_is_refused_when_it_could_be_more_of_a_url(value: str) -> None:
    assert refusal(setting_types.MethodName, value)


@pytest.mark.parametrize("value", ["a b", "pässword ${HOME} #1", " leading"])
def test_secret_is_kept_as_it_is_when_printable(value: str) -> None:
    assert take(setting_types.Secret, value) == value


@pytest.mark.parametrize("value", ["", f"{PLANTED}\n", f"{PLANTED}\x00"])
def test_secret_is_refused_when_empty_or_unprintable(value: str) -> None:
    assert refusal(setting_types.Secret, value)


@pytest.mark.parametrize("value", [f" {PLANTED}", f"{PLANTED} ", f"{PLANTED}ä"])
def test_header_secret_is_refused_when_a_header_cannot_carry_it(value: str) -> None:
    assert "plain ASCII" in refusal(setting_types.HeaderSecret, value)


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("sqlite:///cartbridge.db", "sqlite:///cartbridge.db"),
        (" sqlite:////var/lib/cartbridge.db ", "sqlite:////var/lib/cartbridge.db"),
        ("postgres://u:p@h/db", "postgresql+psycopg://u:p@h/db"),
        ("postgresql://u:p@h:5432/db", "postgresql+psycopg://u:p@h:5432/db"),
        ("postgresql+psycopg:///db?host=/run/postgresql", "postgresql+psycopg:///db?host=/run/postgresql"),
    ],
)
def test_database_url_names_its_driver_when_taken(value: str, taken: str) -> None:
    assert take(setting_types.DatabaseUrl, value) == taken


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("sqlite://", "ledger in memory"),
        ("sqlite:///", "ledger in memory"),
        ("sqlite:///:memory:", "ledger in memory"),
        ("sqlite://host/file.db", "should name a file"),
        ("cartbridge.db", "should be a URL"),
        (f"postgresql://u:{PLANTED}@h:port/db", "should be a URL"),
        (f"mysql://u:{PLANTED}@h/db", "no other database"),
        (f"postgresql+psycopg2://u:{PLANTED}@h/db", "no other database"),
        ("sqlite+aiosqlite:///x.db", "no other database"),
    ],
)
def test_database_url_is_refused_when_the_ledger_cannot_live_there(value: str, sentence: str) -> None:
    assert sentence in refusal(setting_types.DatabaseUrl, value)


@pytest.mark.parametrize("value", ["memory://", "redis://h", " rediss://:p@h:6379/1"])
def test_broker_url_is_taken_when_its_transport_keeps_messages(value: str) -> None:
    assert take(setting_types.BrokerUrl, value) == value.strip()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "memory",
        "memory:",
        "filesystem://",
        "amqp://h",
        f"sqla+postgresql://u:{PLANTED}@h/db",
        f"redis://:{PLANTED}/x@h/0",
        f"redis://:1/{PLANTED}@h/0",
        "redis://[h",
    ],
)
def test_broker_url_is_refused_when_unknown_or_unreadable(value: str) -> None:
    assert refusal(setting_types.BrokerUrl, value).startswith("should be")


@pytest.mark.parametrize("value", ["", "yesterday", "1700000000", "2026-13-01", "31.01.2026", 1700000000, None])
def test_moment_is_refused_when_not_iso_8601(value: object) -> None:
    assert "ISO 8601" in refusal(setting_types.UtcDatetime, value)


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"])
def test_moment_is_refused_when_utc_has_no_such_year(value: str) -> None:
    assert refusal(setting_types.UtcDatetime, value) == "is outside the calendar"


def test_moment_becomes_utc_when_already_a_datetime() -> None:
    assert take(setting_types.UtcDatetime, datetime(2026, 1, 1)) == datetime(2026, 1, 1, tzinfo=UTC)  # noqa: DTZ001 - naive on purpose


@pytest.mark.parametrize(
    ("url", "shown", "passwords"),
    [
        ("sqlite:///cartbridge.db", "sqlite:///cartbridge.db", []),
        ("memory://", "memory://", []),
        ("redis://h:6379/0?password=q1", "redis://h:6379/0", ["q1"]),
        ("redis://:p%40ss@h/0", "redis://:***@h/0", ["p%40ss", "p@ss"]),
        ("redis://user@h", "redis://user@h", []),
        (
            "postgresql+psycopg://u:a@b@h/db?sslpassword=x&sslmode=require",
            "postgresql+psycopg://u:***@h/db",
            ["a@b", "x"],
        ),
    ],
)
def test_url_is_shown_without_its_passwords_when_it_holds_some(url: str, shown: str, passwords: list[str]) -> None:
    assert setting_types.without_password(url) == shown
    assert setting_types.passwords_in_url(url) == passwords


@settings(max_examples=50)
@given(st.text(max_size=12))
def test_password_never_shows_when_a_broker_url_is_taken(password: str) -> None:
    secret = f"{PLANTED}{password}"
    try:
        url = BROKER_URL.validate_python(f"redis://user:{secret}@host.example/0").get_secret_value()
    except ValidationError:
        return
    assert PLANTED not in setting_types.without_password(url)


@pytest.mark.parametrize(
    ("url", "in_clear"),
    [
        ("http://shop.example", True),
        ("http://10.0.0.1", True),
        ("https://shop.example", False),
        ("http://localhost:8000", False),
        ("http://127.0.0.1", False),
        ("http://[::1]:80", False),
    ],
)
def test_clear_text_is_seen_when_it_leaves_the_machine(url: str, in_clear: bool) -> None:
    assert setting_types.is_clear_text_to_elsewhere(url) is in_clear
