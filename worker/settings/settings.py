"""Every setting, its default and its meaning, and the one function that reads them: `load_settings`.

Attributes are named as the variables are: `CARTBRIDGE_LEARNINGCART__BASE_URL` is `settings.learningcart.base_url`.
Building `Settings(…)` by hand reads nothing around it; only `load_settings` looks at the environment and `.env`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from sqlalchemy import make_url

from worker.errors import ConfigurationError
from worker.settings.environment import PREFIX, Problem, VariablesSource
from worker.settings.features import FollowOnSettings, RetentionSettings, TracingSettings
from worker.settings.mail import MailSettings, PasswordsSettings, ReportSettings, password_problems
from worker.settings.notifications import AlertsSettings, CompletionsSettings, EventsSettings
from worker.settings.systems import (
    DESTINATIONS,
    PAUSABLE,
    SENT_TO,
    SOURCES,
    FrontcoreSettings,
    LearningCartSettings,
    SourceSettings,
    StudiocartSettings,
    SystemSettings,
    ThreedcartSettings,
)
from worker.settings.types import (
    BrokerUrl,
    DatabaseUrl,
    Networks,
    Seconds,
    Secret,
    Section,
    Text,
    TimeZone,
    is_clear_text_to_elsewhere,
    passwords_in_url,
    without_password,
    zone_of,
)

__all__ = [
    "DESTINATIONS",
    "PAUSABLE",
    "SENT_TO",
    "SOURCES",
    "FrontcoreSettings",
    "LearningCartSettings",
    "Settings",
    "SourceSettings",
    "StudiocartSettings",
    "SystemSettings",
    "ThreedcartSettings",
    "Variable",
    "in_clear",
    "load_settings",
    "variables",
]


class RetrySettings(Section):
    """When a step that failed is tried again: full jitter under a doubling cap."""

    base_seconds: Seconds = Field(
        2.0, description="Cap of the first wait before a retry; it doubles with each attempt."
    )
    max_seconds: Seconds = Field(3600.0, description="Cap of every wait before a retry.")
    max_attempts: int = Field(12, ge=1, le=1000, description="Attempts of one step before its run has failed.")


class WebSettings(Section):
    """The HTTP server."""

    host: Text = Field("127.0.0.1", description="Address the HTTP server listens on.")
    port: int = Field(8080, ge=0, le=65_535, description="Port the HTTP server listens on; 0: any free one.")
    trusted_proxies: Networks = Field(
        "127.0.0.1,::1",
        description="Addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, with "
        "commas between. Without its proxy here every client would be the proxy.",
    )
    admin_password: Secret | None = Field(
        None, description="Password of the operator's page, or an argon2 hash of it; closed until set."
    )
    api_token: Secret | None = Field(
        None,
        description="Bearer token of /api/v1, /docs and /openapi.json; closed until set. Who has it can do what an "
        "operator can.",
    )


class WorkerSettings(Section):
    """How many steps one worker process does at a time."""

    pool: Literal["threads", "prefork", "solo"] = Field(
        "threads", description="Kind of worker pool. Threads suit work that waits on HTTP."
    )
    concurrency: int = Field(8, ge=1, le=1000, description="Threads or processes of one worker.")
    remote_control: bool = Field(
        default=False,
        description="Whether workers obey commands that come by the broker, for `celery inspect` and Flower's pages of "
        "one worker. Whoever reaches the broker can then shut them down.",
    )
    events: bool = Field(
        default=False, description="Whether workers tell the broker what they do, for Flower. The ledger knows without."
    )


class Settings(BaseSettings):
    """All settings. Frozen; a copy with changes is `settings.model_copy(update={…})`. Its repr shows no secret."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    database_url: DatabaseUrl = Field(
        SecretStr("sqlite:///cartbridge.db"),
        description="The ledger: sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME.",
    )
    broker_url: BrokerUrl = Field(
        SecretStr("memory://"),
        description="The message broker: memory:// for one process (cartbridge up); redis://HOST/0 for several.",
    )
    offers_file: Path = Field(Path("offers.toml"), description="The offers: which product grants which course.")
    time_zone: TimeZone = Field(
        "UTC",
        description="The zone in which the page and the command line show times and read --since; the ledger is in "
        "UTC. A name such as Europe/Oslo, or an offset.",
    )
    allow_http: bool = Field(
        default=False,
        description="Whether http:// to another machine is allowed: passwords, keys and learners' data then travel in "
        "clear.",
    )
    erasures_file: Path | None = Field(
        None,
        description="The file of erasures, by which a restored ledger forgets again whom it had forgotten. Default: "
        "erasures.jsonl beside the ledger's file, or in the working directory with PostgreSQL.",
    )
    learningcart: LearningCartSettings = LearningCartSettings()
    studiocart: StudiocartSettings = StudiocartSettings()
    frontcore: FrontcoreSettings = FrontcoreSettings()
    threedcart: ThreedcartSettings = ThreedcartSettings()
    completions: CompletionsSettings = CompletionsSettings()
    events: EventsSettings = EventsSettings()
    follow_on: FollowOnSettings = FollowOnSettings()
    alerts: AlertsSettings = AlertsSettings()
    report: ReportSettings = ReportSettings()
    tracing: TracingSettings = TracingSettings()
    mail: MailSettings = MailSettings()
    passwords: PasswordsSettings = PasswordsSettings()
    retention: RetentionSettings = RetentionSettings()
    retry: RetrySettings = RetrySettings()
    settle_seconds: Seconds = Field(
        45.0, description="Seconds to wait after an unknown outcome before the destination is asked what became of it."
    )
    lease_seconds: Seconds = Field(120.0, description="Seconds a worker holds a run before another may take it over.")
    dispatch_seconds: Seconds = Field(2.0, description="Seconds between two sweeps of the ledger for due work.")
    web: WebSettings = WebSettings()
    worker: WorkerSettings = WorkerSettings()
    log_format: Literal["console", "json"] | None = Field(
        None, description="Form of the log lines: console or json. Default: console on a terminal, else json."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the arguments: a test's `Settings()` must not depend on the machine it runs on."""
        return (init_settings,)

    @property
    def embedded(self) -> bool:
        """True when the broker lives in this process: web, worker and beat are one `cartbridge up`."""
        return self.broker_url.get_secret_value().startswith("memory:")

    @property
    def on_sqlite(self) -> bool:
        """True when the ledger is an SQLite file, False when it is PostgreSQL."""
        return self.database_url.get_secret_value().startswith("sqlite")

    @property
    def zone(self) -> tzinfo:
        """The zone in which times are shown."""
        return zone_of(self.time_zone) or UTC

    @property
    def erasures_path(self) -> Path:
        """The file of erasures: as set, else beside the ledger's file, else in the working directory."""
        if self.erasures_file is not None:
            return self.erasures_file
        database = make_url(self.database_url.get_secret_value()).database if self.on_sqlite else None
        return (Path(database).parent if database else Path()) / "erasures.jsonl"

    @property
    def shown_database_url(self) -> str:
        """The ledger's address for people: without password and query."""
        return without_password(self.database_url.get_secret_value())

    @property
    def shown_broker_url(self) -> str:
        """The broker's address for people: without password and query."""
        return without_password(self.broker_url.get_secret_value())

    def systems(self) -> dict[str, SystemSettings]:
        """The four systems by name, configured or not."""
        sections = (self.learningcart, self.studiocart, self.frontcore, self.threedcart)
        return {section.system: section for section in sections}

    def sources(self) -> dict[str, SourceSettings]:
        """The sources that are on: configured or told by webhooks alone, and for 3dcart enabled as a source."""
        sections: tuple[SourceSettings, ...] = (self.studiocart, self.frontcore, self.threedcart)
        return {
            section.system: section
            for section in sections
            if (section.is_configured or section.is_webhook_only)
            and (not isinstance(section, ThreedcartSettings) or section.orders_enabled)
        }

    def why_source_is_off(self, source: str) -> str:
        """A sentence for a source that is not in `sources`: which variables to set."""
        section = self.systems()[source]
        missing = section.missing()
        if not missing and isinstance(section, ThreedcartSettings):
            return (
                f"{source} is configured, but its orders are not taken: set {section.variable('orders_enabled')}=true."
            )
        return f"The source {source} is not configured: set {', '.join(missing)}. See: cartbridge check"

    def webhook_sources(self) -> list[str]:
        """The sources that are on and can prove a webhook: those that are expected to tell of their orders."""
        return [name for name, section in self.sources().items() if section.takes_webhooks]

    def secret_values(self) -> list[str]:
        """Every secret in clear, for redaction: the secret settings, and the passwords inside the two URLs."""
        sections = [value for _, value in self if isinstance(value, Section)]
        secrets = [
            value.get_secret_value() for section in sections for _, value in section if isinstance(value, SecretStr)
        ]
        for url in (self.database_url, self.broker_url):
            secrets.extend(passwords_in_url(url.get_secret_value()))
        return secrets


@dataclass(frozen=True)
class Variable:
    """One row of the table of settings."""

    name: str
    description: str
    default: str
    """As it would be written in `.env`; empty when there is none."""
    is_secret: bool


@lru_cache(maxsize=1)
def variables() -> dict[str, Variable]:
    """The table of all settings by full name: `.env.example` is held against it."""
    return {row.name: row for row in _rows(Settings, PREFIX)}


def load_settings(environ: Mapping[str, str] | None = None, env_file: str | Path | None = ".env") -> Settings:
    """Read the settings from `environ` (default: the process's environment), and from `env_file` what it leaves out.

    An empty value counts as not set. Raises one `ConfigurationError` with a line for each problem, which names the
    variable and never a secret's value. Changes nothing; safe to repeat.
    """
    source = VariablesSource(Settings, os.environ if environ is None else environ, env_file, variables())
    problems = list(source.problems)
    settings: Settings | None = None
    try:
        settings = Settings(**source())
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        for detail in details:
            name = f"{PREFIX}{'__'.join(str(part) for part in detail['loc'][:2])}".upper()
            sentence = detail["msg"].replace("Input should", "should").removesuffix(".") + "."
            problems.append(Problem(name, sentence, source.places.get(name, "")))
    if settings is not None:
        problems += password_problems(settings.mail, settings.passwords)
        problems += [
            Problem(name, sentence, source.places.get(name, "")) for name, sentence in _clear_text_problems(settings)
        ]
    # Raised here, not in the handler above: an exception keeps its context, and the ValidationError holds the values.
    if settings is None or problems:
        lines = "".join(f"\n  {problem}" for problem in problems)
        message = f"Cartbridge cannot use its settings:{lines}\nEach variable is explained in .env.example."
        raise ConfigurationError(message)
    return settings


def _clear_text_problems(settings: Settings) -> list[tuple[str, str]]:
    """The variables that send secrets or learners' data in clear to another machine, and why that is refused."""
    if settings.allow_http:
        return []
    refusal = (
        "is http:// to another machine: {} would travel in clear. Use https://, or set CARTBRIDGE_ALLOW_HTTP=true."
    )
    return [(name, refusal.format(what)) for name, what in in_clear(settings)]


def in_clear(settings: Settings) -> Iterator[tuple[str, str]]:
    """The variables that name another machine by `http://`, and what would travel there readable by anybody."""
    for system in settings.systems().values():
        if system.base_url is not None and is_clear_text_to_elsewhere(system.base_url):
            yield system.variable("base_url"), "passwords and keys"
    url = settings.events.webhook_url
    if url is not None and is_clear_text_to_elsewhere(url.get_secret_value()):
        yield "CARTBRIDGE_EVENTS__WEBHOOK_URL", "learners' names and emails"


def _rows(section: type[BaseModel], prefix: str) -> Iterator[Variable]:
    for attribute, info in section.model_fields.items():
        name = f"{prefix}{attribute}".upper()
        if isinstance(info.default, Section):
            yield from _rows(type(info.default), f"{name}__")
        else:
            is_secret = "Secret" in str(info.annotation)
            yield Variable(name, info.description or "", _default_text(info), is_secret)


def _default_text(info: FieldInfo) -> str:
    default = info.default.get_secret_value() if isinstance(info.default, SecretStr) else info.default
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)
