"""How each vendor is told where its webhooks go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from worker.settings.settings import Settings
from worker.settings.systems import SourceSettings

ANYWHERE: Final = "https://your-host"
_STEPS: Final = {
    "studiocart": "Studiocart: add a webhook with the method POST, no custom headers and {body}, to",
    "threedcart": "3dcart: add a webhook for new orders, in JSON, to",
    "frontcore": "Frontcore sends no webhooks, it is polled. Something else of yours may POST the order's id to",
}


def webhook_lines(settings: Settings, host: str, *, shows_secrets: bool) -> Iterator[str]:
    """For each source that takes webhooks, what to enter there.

    An address whose last part is the secret holds it only with `shows_secrets`: whoever sets it up must paste it.
    """
    for name, source in settings.sources().items():
        address = f"{host}/webhooks/{name}"
        if source.webhook_url_token is not None:
            token = source.webhook_url_token.get_secret_value() if shows_secrets else "TOKEN"
            yield f"{_STEPS[name].format(body='the default body')}\n    {address}/{token}"
            if not shows_secrets:
                yield f"    where TOKEN is {source.variable('webhook_url_token')}."
        elif source.webhook_secret is not None:
            yield f"{_STEPS[name].format(body='a field map')}\n    {address}\n    {_proof(source)}"


def _proof(source: SourceSettings) -> str:
    name = source.variable("webhook_secret")
    if source.system == "studiocart":
        return f'The field map is id:id, trigger:trigger, studiocart_secret:"SECRET", where SECRET is {name}.'
    return f"with the header X-Webhook-Secret: SECRET, where SECRET is {name}."
