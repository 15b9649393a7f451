"""The settings of follow-on carts, and what is said where a rule for one can lead to nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from worker.cli.check.warnings import follow_on_warnings
from worker.errors import ConfigurationError
from worker.settings.settings import load_settings

STORE = {
    "CARTBRIDGE_THREEDCART__SECURE_URL": "store.example.test",
    "CARTBRIDGE_THREEDCART__PRIVATE_KEY": "hunter2-private",
    "CARTBRIDGE_THREEDCART__TOKEN": "hunter2-token",
    "CARTBRIDGE_THREEDCART__ORDERS_ENABLED": "true",
}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ["needs 3dcart"]),
        (STORE, []),
        (STORE | {"CARTBRIDGE_THREEDCART__ORDERS_ENABLED": "false"}, ["CARTBRIDGE_THREEDCART__ORDERS_ENABLED=true"]),
        (STORE | {"CARTBRIDGE_FOLLOW_ON__NOTIFY": "event"}, ["CARTBRIDGE_EVENTS__WEBHOOK_URL is not set"]),
        (STORE | {"CARTBRIDGE_FOLLOW_ON__NOTIFY": "mail"}, ["mail is not configured"]),
        (STORE | {"CARTBRIDGE_LEARNINGCART__POLL_SECONDS": "0"}, ["CARTBRIDGE_LEARNINGCART__POLL_SECONDS is 0"]),
    ],
)
def test_rule_is_warned_of_when_it_leads_to_nothing(values: dict[str, str], words: list[str]) -> None:
    reported = list(follow_on_warnings(load_settings(values, env_file=None)))
    assert len(reported) == len(words)
    assert all(word in sentence for word, sentence in zip(words, reported, strict=True))
    assert "hunter2" not in "".join(reported)


def test_settings_are_read_when_they_are_given() -> None:
    given = load_settings(
        {"CARTBRIDGE_FOLLOW_ON__START_AT": "2026-03-01", "CARTBRIDGE_FOLLOW_ON__CART_DAYS": "7"}, env_file=None
    ).follow_on
    assert (given.start_at, given.cart_days, given.notify) == (datetime(2026, 3, 1, tzinfo=UTC), 7, None)
    with pytest.raises(ConfigurationError, match="CARTBRIDGE_FOLLOW_ON__NOTIFY"):
        load_settings({"CARTBRIDGE_FOLLOW_ON__NOTIFY": "pigeon"}, env_file=None)
