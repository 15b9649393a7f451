from __future__ import annotations

import pytest

from worker.errors import ConfigurationError
from worker.settings.settings import load_settings

SECRET = "whsec_ZXZlbnRzLXNpZ25pbmcta2V5LW9mLTI0LWJ5dGVz"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("WEBHOOK_URL", "ftp://planted", "should be a full URL"),
        ("WEBHOOK_URL", "https://planted:99999", "should be a URL with a valid host and port"),
        ("WEBHOOK_URL", "https://ann:planted@hooks.example", "should hold no user name"),
        ("WEBHOOK_URL", "https://hooks.example/#planted", "should hold no user name"),
        ("WEBHOOK_SECRET", "planted", "at least 24 random bytes"),
        ("WEBHOOK_SECRET", "whsec_cGxhbnRlZA==", "at least 24 random bytes"),
        ("WEBHOOK_SECRET", "whsec_ö" * 20, "at least 24 random bytes"),
        ("WEBHOOK_SECRET", "whsec_planted-not-base64-planted-not-base64", "at least 24 random bytes"),
    ],
)
def test_setting_is_refused_without_its_value_when_it_cannot_be_used(name: str, value: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        load_settings({f"CARTBRIDGE_EVENTS__{name}": value}, env_file=None)
    assert "planted" not in str(caught.value)


def test_events_are_on_when_both_settings_are_set() -> None:
    values = {"CARTBRIDGE_EVENTS__WEBHOOK_URL": "https://hooks.example/in?key=1"}
    assert not load_settings(values, env_file=None).events.is_configured
    settings = load_settings(values | {"CARTBRIDGE_EVENTS__WEBHOOK_SECRET": SECRET}, env_file=None)
    assert settings.events.is_configured
    assert "key=1" not in repr(settings)
    assert settings.events.webhook_url is not None
    assert settings.events.webhook_url.get_secret_value() == "https://hooks.example/in?key=1"
