from __future__ import annotations

import pytest

from worker.errors import ConfigurationError
from worker.settings.mail import MAKE_A_KEY
from worker.settings.settings import Settings, load_settings
from worker.settings.warnings import warnings_of

KEY = "cGFzc3dvcmRzLWtleS1vZi0zMi1ieXRlcy1leGFjdGw="
MAIL = {"MAIL__HOST": "smtp.example.com", "MAIL__SENDER": "Academy <courses@example.com>"}


def load(**values: str) -> Settings:
    return load_settings({f"CARTBRIDGE_{name}": value for name, value in values.items()}, env_file=None)


def refusal(**values: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(**values)
    assert caught.value.__context__ is None
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("MAIL__HOST", "smtp://planted", "should be a bare host name"),
        ("MAIL__HOST", "planted host", "should be a bare host name"),
        ("MAIL__SENDER", "planted", "should be an address, such as"),
        ("MAIL__SENDER", "plänted@example.com", "should be an address, such as"),
        ("MAIL__REPLY_TO", "planted <>", "should be an address, such as"),
        ("PASSWORDS__KEY", "planted", "should be Fernet keys"),
        ("PASSWORDS__KEY", f"{KEY},planted", "should be Fernet keys"),
        ("PASSWORDS__KEY", ",", "should be Fernet keys"),
    ],
)
def test_setting_is_refused_without_its_value_when_it_cannot_be_used(name: str, value: str, sentence: str) -> None:
    text = refusal(**{name: value})
    assert f"CARTBRIDGE_{name} (environment): {sentence}" in text
    assert "lanted" not in text


@pytest.mark.parametrize(
    ("security", "port", "expected"), [("starttls", "", 587), ("tls", "", 465), ("none", "", 25), ("tls", "2465", 2465)]
)
def test_port_is_the_usual_one_when_none_is_set(security: str, port: str, expected: int) -> None:
    assert load(MAIL__SECURITY=security, MAIL__PORT=port).mail.port_number == expected


def test_mail_is_off_and_says_so_when_only_some_of_it_is_set() -> None:
    assert not load().mail.is_configured
    assert not load().mail.is_begun
    assert load(**MAIL).mail.is_configured
    half = load(MAIL__HOST="smtp.example.com", MAIL__USERNAME="courses")
    assert half.mail.missing() == ["CARTBRIDGE_MAIL__PASSWORD", "CARTBRIDGE_MAIL__SENDER"]
    assert "mail is off: CARTBRIDGE_MAIL__PASSWORD, CARTBRIDGE_MAIL__SENDER not set." in warnings_of(half)


def test_a_connection_in_clear_is_warned_of_when_it_leaves_the_machine() -> None:
    assert any("travel in clear" in each for each in warnings_of(load(**MAIL, MAIL__SECURITY="none")))
    loopback = load(**MAIL | {"MAIL__HOST": "[::1]", "MAIL__SECURITY": "none"})
    assert loopback.mail.host == "::1"
    assert warnings_of(loopback) == []


def test_a_lease_is_warned_of_when_a_slow_mail_server_outlasts_it() -> None:
    assert any("may never get a mail" in each for each in warnings_of(load(**MAIL, LEASE_SECONDS="60")))
    assert warnings_of(load(LEASE_SECONDS="60")) == []
    assert warnings_of(load(**MAIL)) == []


def test_everything_missing_is_named_at_once_when_passwords_are_to_be_mailed() -> None:
    text = refusal(PASSWORDS__MODE="mail")
    assert "CARTBRIDGE_PASSWORDS__MODE: mail needs CARTBRIDGE_MAIL__HOST and CARTBRIDGE_MAIL__SENDER and" in text
    assert "CARTBRIDGE_PASSWORDS__KEY too" in text
    assert MAKE_A_KEY in text
    assert "CARTBRIDGE_MAIL__" not in refusal(PASSWORDS__MODE="mail", **MAIL)
    settings = load(PASSWORDS__MODE="mail", PASSWORDS__KEY=f"{KEY}, {KEY}", **MAIL)
    assert settings.passwords.mode == "mail"
    assert KEY not in repr(settings)
