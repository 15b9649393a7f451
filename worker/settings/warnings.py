"""Combinations of settings that run and should not surprise: a sentence each, for `cartbridge check` and the log."""

from __future__ import annotations

import re
from collections.abc import Iterator

from worker.settings.mail import mail_warnings
from worker.settings.settings import Settings, in_clear
from worker.settings.systems import SourceSettings, SystemSettings

GUESSABLE_LENGTH = 12
"""Secrets of our own choosing that are shorter can be tried out."""
_SENDABLE_IN_FIELD = re.compile(r"[A-Za-z0-9_-]*")
"""Studiocart's field map drops a value with a colon, and changes others (UPSTREAMS)."""
_SENDABLE_IN_URL = re.compile(r"[A-Za-z0-9_.~-]*")


def warnings_of(settings: Settings) -> list[str]:
    """A sentence for each unwise combination, most far-reaching first: all of them run. No sentence holds a secret."""
    return [
        *_about_timing(settings),
        *_about_processes(settings),
        *_about_secrets(settings),
        *_about_what_senders_can_send(settings),
        *(sentence for system in settings.systems().values() for sentence in _about_system(system)),
        *_about_clear_text(settings),
        *_about_sources(settings),
        *_about_events(settings),
        *mail_warnings(settings.mail, lease_seconds=settings.lease_seconds),
    ]


def _about_clear_text(settings: Settings) -> Iterator[str]:
    for name, what in in_clear(settings):
        yield f"{name} is http:// to another machine: {what} travel in clear. Use https://."


def _about_timing(settings: Settings) -> Iterator[str]:
    destinations = (settings.learningcart, settings.threedcart)
    for system in destinations[: 2 if settings.threedcart.is_begun else 1]:
        read_timeout, lease = system.read_timeout_seconds, settings.lease_seconds
        if settings.settle_seconds < read_timeout:
            yield (
                f"CARTBRIDGE_SETTLE_SECONDS ({settings.settle_seconds:g}) is below "
                f"{system.variable('read_timeout_seconds')} ({read_timeout:g}): "
                "an order still being made may be looked for too early, and be made twice."
            )
        if lease < system.connect_timeout_seconds + read_timeout:
            yield (
                f"CARTBRIDGE_LEASE_SECONDS ({lease:g}) is below the connect and read timeouts of {system.system} "
                f"together ({system.connect_timeout_seconds + read_timeout:g}): a slow call cannot be sent under it."
            )
    if settings.retry.base_seconds > settings.retry.max_seconds:
        yield (
            f"CARTBRIDGE_RETRY__BASE_SECONDS ({settings.retry.base_seconds:g}) is above CARTBRIDGE_RETRY__MAX_SECONDS "
            f"({settings.retry.max_seconds:g}): every wait has the latter's length."
        )


def _about_processes(settings: Settings) -> Iterator[str]:
    if settings.embedded and not settings.on_sqlite:
        yield (
            "CARTBRIDGE_BROKER_URL is memory:// beside a PostgreSQL ledger: only `cartbridge up` can work so; "
            "separate web, worker and beat processes need redis://."
        )
    if settings.on_sqlite and not settings.embedded:
        yield (
            "CARTBRIDGE_DATABASE_URL is an SQLite file beside a broker for several processes: "
            "all of them must be on one machine; use PostgreSQL for more."
        )
    if settings.embedded and settings.worker.pool == "prefork":
        yield "CARTBRIDGE_WORKER__POOL is prefork, but memory:// reaches no other process: `up` uses threads."


def _about_secrets(settings: Settings) -> Iterator[str]:
    chosen = {
        "CARTBRIDGE_WEB__ADMIN_PASSWORD": settings.web.admin_password,
        "CARTBRIDGE_WEB__API_TOKEN": settings.web.api_token,
        "CARTBRIDGE_STUDIOCART__WEBHOOK_SECRET": settings.studiocart.webhook_secret,
        "CARTBRIDGE_FRONTCORE__WEBHOOK_SECRET": settings.frontcore.webhook_secret,
        "CARTBRIDGE_THREEDCART__WEBHOOK_SECRET": settings.threedcart.webhook_secret,
        "CARTBRIDGE_STUDIOCART__WEBHOOK_URL_TOKEN": settings.studiocart.webhook_url_token,
        "CARTBRIDGE_FRONTCORE__WEBHOOK_URL_TOKEN": settings.frontcore.webhook_url_token,
        "CARTBRIDGE_THREEDCART__WEBHOOK_URL_TOKEN": settings.threedcart.webhook_url_token,
    }
    for name, secret in chosen.items():
        if secret is not None and len(secret.get_secret_value()) < GUESSABLE_LENGTH:
            yield f"{name} is shorter than {GUESSABLE_LENGTH} characters and can be guessed."


def _about_what_senders_can_send(settings: Settings) -> Iterator[str]:
    secret = settings.studiocart.webhook_secret
    if secret is not None and not _SENDABLE_IN_FIELD.fullmatch(secret.get_secret_value()):
        yield (
            "CARTBRIDGE_STUDIOCART__WEBHOOK_SECRET holds characters that Studiocart's field map drops or changes: "
            "use letters and digits only, such as those of `openssl rand -hex 24`."
        )
    for source in (settings.studiocart, settings.frontcore, settings.threedcart):
        if source.webhook_url_token is None:
            continue
        token = source.webhook_url_token.get_secret_value()
        if not _SENDABLE_IN_URL.fullmatch(token):
            yield (
                f"{source.variable('webhook_url_token')} holds characters that an address cannot hold as they are: "
                "use letters and digits only, such as those of `openssl rand -hex 24`."
            )
        if settings.secret_values().count(token) > 1:
            yield (
                f"{source.variable('webhook_url_token')} is a secret of another setting too, and addresses end up in "
                "logs elsewhere: give it a value of its own."
            )


def _about_system(system: SystemSettings) -> Iterator[str]:
    missing = ", ".join(system.missing())
    if isinstance(system, SourceSettings) and system.is_webhook_only:
        yield (
            f"{system.system} cannot be asked, as {missing} not set: its orders are planned from its webhooks' bodies "
            "alone, and one that no webhook tells of is never seen."
        )
    elif missing and (system.is_begun or (isinstance(system, SourceSettings) and system.trust_webhook)):
        yield f"{system.system} is off: {missing} not set." + _how_to_trust(system)
    limit = system.vendor_requests_per_second
    if limit is not None and not 0 < system.requests_per_second <= limit:
        rate = f"{system.requests_per_second:g}" if system.requests_per_second else "no limit"
        yield f"{system.variable('requests_per_second')} ({rate}) is above the vendor's limit of {limit:g} a second."


def _how_to_trust(system: SystemSettings) -> str:
    if not isinstance(system, SourceSettings) or not system.trust_webhook:
        return ""
    names = " or ".join(system.variable(name) for name in ("webhook_secret", "webhook_url_token"))
    return f" Where it cannot be asked, {system.variable('trust_webhook')} needs {names}."


def _about_sources(settings: Settings) -> Iterator[str]:
    for source in settings.sources().values():
        if source.trust_webhook:
            yield (
                f"{source.variable('trust_webhook')} is on: whoever knows the webhook's secret can grant access "
                "to anyone. Leave it off where the order can be fetched."
            )
        if not source.takes_webhooks and not source.asked_every_seconds:
            yield (
                f"{source.system} is neither polled ({source.variable('poll_seconds')} is 0) nor has it a "
                f"{source.variable('webhook_secret')}: its orders come by hand alone."
            )


def _about_events(settings: Settings) -> Iterator[str]:
    url, secret = settings.events.webhook_url, settings.events.webhook_secret
    if (url is None) != (secret is None):
        missing = "CARTBRIDGE_EVENTS__WEBHOOK_URL" if url is None else "CARTBRIDGE_EVENTS__WEBHOOK_SECRET"
        yield f"Events are sent to nobody: {missing} is not set."
