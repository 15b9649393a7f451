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
from typing import ClassVar, Literal

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from worker.environment import PREFIX, Problem, read_variables
from worker.errors import ConfigurationError
from worker.event_settings import CompletionsSettings, EventsSettings
from worker.setting_section import Section
from worker.setting_types import (
    BaseUrl,
    BrokerUrl,
    DatabaseUrl,
    HeaderSecret,
    MethodName,
    PollSeconds,
    Rate,
    Seconds,
    Secret,
    StatusIds,
    StoreHost,
    Text,
    TimeZone,
    UtcDatetime,
    passwords_in_url,
    without_password,
    zone_of,
)
from worker.setting_warnings import unwise_combinations

SOURCES = ("studiocart", "frontcore", "threedcart")
DESTINATIONS = ("learningcart", "threedcart")


class SystemSettings(Section):
    """What is set about one of the four systems."""

    system: ClassVar[str]
    required: ClassVar[tuple[str, ...]]
    """The attributes without which the system is off."""
    vendor_requests_per_second: ClassVar[float | None] = None
    """The vendor's own limit, where one is known (UPSTREAMS: Frontcore 5, 3dcart about 2)."""

    base_url: BaseUrl | None = Field(None, description="Address of the API, without a trailing slash.")
    poll_seconds: PollSeconds = Field(
        300.0, description="Seconds between two looks for new and changed orders; 0: never."
    )
    connect_timeout_seconds: Seconds = Field(5.0, description="Seconds to wait for a connection.")
    read_timeout_seconds: Seconds = Field(30.0, description="Seconds to wait for an answer.")
    requests_per_second: Rate = Field(0.0, description="Requests a second at most; 0: no limit.")

    @property
    def is_configured(self) -> bool:
        """True when every required variable is set. A system that is not configured is off."""
        return not self.missing()

    def missing(self) -> list[str]:
        """The full names of the required variables that are not set, in the order of the table."""
        return [self.variable(name) for name in self.required if getattr(self, name) is None]

    @property
    def is_begun(self) -> bool:
        """True when the operator has set some required variable by hand, whether or not the rest is there."""
        return any(name in self.model_fields_set for name in self.required)

    @classmethod
    def variable(cls, attribute: str) -> str:
        """The full name of the variable behind an attribute."""
        return f"{PREFIX}{cls.system}__{attribute}".upper()


class SourceSettings(SystemSettings):
    """What is set about a system that orders come from."""

    webhook_secret: Secret | None = Field(
        None, description="What a webhook must present (X-Webhook-Secret, or the key of Standard Webhooks)."
    )
    trust_webhook: bool = Field(
        default=False,
        description="Plan from a webhook's body instead of fetching the order: for a site without REST access.",
    )
    webhook_id_field: Text | None = Field(
        None, description="Field of a webhook that holds the order's id, beside id, order_id and OrderID."
    )
    start_at: UtcDatetime | None = Field(
        None,
        description="Paid orders older than this are ignored (before_start). ISO 8601; without a zone it is UTC. "
        "Default: 24 hours before the first successful contact.",
    )
    baseline_days: int = Field(
        90, ge=0, le=36_500, description="How many days back the first sweep records the orders that exist."
    )


class LearningCartSettings(SystemSettings):
    """LearningCart: the destination of every enrolment."""

    system: ClassVar[str] = "learningcart"
    required: ClassVar[tuple[str, ...]] = ("base_url", "site_hostname", "username", "password")

    base_url: BaseUrl | None = Field(
        "https://cdn.learningcart.com/CDNService.svc",
        description="Address of CDNService.svc; the vendor's support names another one where it applies.",
    )
    site_hostname: Text | None = Field(
        None, description="The site's domain, exactly as given when API access was set up."
    )
    username: Text | None = Field(None, description="Email address of the admin account with API access.")
    password: Secret | None = Field(None, description="Password of that account.")
    comped_order_method: MethodName = Field("addCompOrder", description="Name of the method that makes a comped order.")
    existing_customers: Literal["update", "keep"] = Field(
        "update",
        description="For a learner LearningCart knows already: update the profile with the order's name and address, "
        "or keep it as it is.",
    )
    poll_seconds: PollSeconds = Field(900.0, description="Seconds between two looks for completions; 0: never.")
    requests_per_second: Rate = Field(10.0, description="Requests a second at most; 0: no limit.")


class StudiocartSettings(SourceSettings):
    """Studiocart: a source."""

    system: ClassVar[str] = "studiocart"
    required: ClassVar[tuple[str, ...]] = ("base_url", "api_key")

    base_url: BaseUrl | None = Field(
        None, description="Address of the site's API: https://your-site.example/wp-json/sc/v1"
    )
    api_key: HeaderSecret | None = Field(None, description="The site's Studiocart API key.")
    parameters_in: Literal["body", "query"] = Field(
        "body", description="Where list calls carry their parameters: a JSON body, as documented, or the query string."
    )
    requests_per_second: Rate = Field(5.0, description="Requests a second at most; 0: no limit.")


class FrontcoreSettings(SourceSettings):
    """Frontcore: a source."""

    system: ClassVar[str] = "frontcore"
    required: ClassVar[tuple[str, ...]] = ("base_url", "api_key")
    vendor_requests_per_second: ClassVar[float | None] = 5.0

    base_url: BaseUrl | None = Field("https://api.frontcore.com/v2", description="Address of the API, up to /v2.")
    api_key: HeaderSecret | None = Field(None, description="The account's API key.")
    provision_when: Literal["paid", "created"] = Field(
        "paid", description="Give access when an order is paid, or already when it is created (invoiced customers)."
    )
    requests_per_second: Rate = Field(4.0, description="Requests a second at most; the vendor allows 5. 0: no limit.")


class ThreedcartSettings(SourceSettings):
    """3dcart (Shift4Shop): the destination of follow-on carts, and a source where `orders_enabled` says so."""

    system: ClassVar[str] = "threedcart"
    required: ClassVar[tuple[str, ...]] = ("base_url", "secure_url", "private_key", "token")
    vendor_requests_per_second: ClassVar[float | None] = 2.0

    base_url: BaseUrl | None = Field(
        "https://apirest.3dcart.com/3dCartWebAPI/v2", description="Address of the API, up to /v2."
    )
    secure_url: StoreHost | None = Field(None, description="The store's secure host name, such as store.example.")
    private_key: HeaderSecret | None = Field(None, description="The app's private key.")
    token: HeaderSecret | None = Field(None, description="The store's token for the app.")
    orders_enabled: bool = Field(default=False, description="Take the store's orders as a source too.")
    paid_statuses: StatusIds = Field(
        "2,4,10", description="The numbers of the order statuses that count as paid; 7 (not completed) is no order."
    )
    time_zone: TimeZone = Field(
        "-05:00",
        description="Time zone of the store's dates, which carry none: an offset, or a name such as America/New_York.",
    )
    requests_per_second: Rate = Field(
        2.0, description="Requests a second at most; the vendor allows about 2. 0: no limit."
    )

    @property
    def zone(self) -> tzinfo:
        """The store's time zone."""
        return zone_of(self.time_zone) or UTC

    @property
    def paid_status_ids(self) -> frozenset[int]:
        """The order statuses that count as paid."""
        return frozenset(map(int, self.paid_statuses.split(",")))


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
    admin_password: Secret | None = Field(
        None, description="Password of the operator's page, which comes in a later version."
    )
    api_token: Secret | None = Field(None, description="Bearer token of /api/v1; closed until set.")


class WorkerSettings(Section):
    """How many steps one worker process does at a time."""

    pool: Literal["threads", "prefork", "solo"] = Field(
        "threads", description="Kind of worker pool. Threads suit work that waits on HTTP."
    )
    concurrency: int = Field(8, ge=1, le=1000, description="Threads or processes of one worker.")


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
        description="The message broker: memory:// for one process (cartbridge up); "
        "redis://HOST/0 or amqp://HOST for several.",
    )
    offers_file: Path = Field(Path("offers.toml"), description="The offers: which product grants which course.")
    learningcart: LearningCartSettings = LearningCartSettings()
    studiocart: StudiocartSettings = StudiocartSettings()
    frontcore: FrontcoreSettings = FrontcoreSettings()
    threedcart: ThreedcartSettings = ThreedcartSettings()
    completions: CompletionsSettings = CompletionsSettings()
    events: EventsSettings = EventsSettings()
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
        """The sources that are on, by name: configured, and for 3dcart enabled as a source."""
        sections: tuple[SourceSettings, ...] = (self.studiocart, self.frontcore, self.threedcart)
        return {
            section.system: section
            for section in sections
            if section.is_configured and (not isinstance(section, ThreedcartSettings) or section.orders_enabled)
        }

    def webhook_sources(self) -> list[str]:
        """The sources that are on and have a webhook secret: those that are expected to tell of their orders."""
        return [name for name, section in self.sources().items() if section.webhook_secret is not None]

    def secret_values(self) -> list[str]:
        """Every secret in clear, for redaction: the secret settings, and the passwords inside the two URLs."""
        sections = [value for _, value in self if isinstance(value, Section)]
        secrets = [
            value.get_secret_value() for section in sections for _, value in section if isinstance(value, SecretStr)
        ]
        for url in (self.database_url, self.broker_url):
            secrets.extend(passwords_in_url(url.get_secret_value()))
        return secrets

    def warnings(self) -> list[str]:
        """A sentence for each unwise combination: all of them run, none of them silently."""
        return unwise_combinations(self)


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
    reading = read_variables(os.environ if environ is None else environ, env_file, variables())
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in reading.values.items()}
    problems = list(reading.problems)
    settings: Settings | None = None
    try:
        settings = Settings(**source())
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        for detail in details:
            name = f"{PREFIX}{'__'.join(str(part) for part in detail['loc'][:2])}".upper()
            sentence = detail["msg"].replace("Input should", "should").removesuffix(".") + "."
            problems.append(Problem(name, sentence, reading.places.get(name, "")))
    # Raised here, not in the handler above: an exception keeps its context, and the ValidationError holds the values.
    if settings is None or problems:
        lines = "".join(f"\n  {problem}" for problem in problems)
        message = f"Cartbridge cannot use its settings:{lines}\nEach variable is explained in .env.example."
        raise ConfigurationError(message)
    return settings


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
