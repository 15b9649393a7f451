"""The settings of the four systems: where each is, how it is asked, and what makes it a source or a destination."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import ClassVar, Literal

from pydantic import Field

from worker.settings.environment import PREFIX
from worker.settings.features import SubscriptionSettings
from worker.settings.types import (
    BaseUrl,
    HeaderSecret,
    MethodName,
    PollSeconds,
    Rate,
    Seconds,
    Secret,
    Section,
    SiteUrl,
    StatusIds,
    StoreHost,
    Text,
    TimeZone,
    UtcDatetime,
    zone_of,
)

SOURCES = ("studiocart", "frontcore", "threedcart")
SLOWEST_LIST_SECONDS = 120.0
"""3dcart's own client waits so long for a list: 100 orders may take a minute."""
DESTINATIONS = ("learningcart", "threedcart")
SENT_TO = (*DESTINATIONS, "mail")
"""What runs send to: the destinations, and the mail server."""
PAUSABLE = ("learningcart", "mail", *SOURCES)
"""What an operator can pause: what runs send to, and what orders come from."""


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
    def list_timeout_seconds(self) -> float:
        """Seconds to wait for an answer to a call that lists."""
        return self.read_timeout_seconds

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
    webhook_url_token: Secret | None = Field(
        None,
        description="Secret last part of a webhook's address, for senders that can set neither a header nor a field: "
        "/webhooks/SOURCE/TOKEN. Long, random, letters and digits; closed until set.",
    )
    trust_webhook: bool = Field(
        default=False,
        description="Plan from a webhook's body instead of fetching the order: for a site without REST access, which "
        "needs nothing else set but the webhook's secret or token. Nothing is then polled or reconciled.",
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

    @property
    def takes_webhooks(self) -> bool:
        """Whether something is set by which a webhook proves itself: the source is expected to tell of its orders."""
        return self.webhook_secret is not None or self.webhook_url_token is not None

    @property
    def is_webhook_only(self) -> bool:
        """Whether its orders are planned from its webhooks' bodies, and nothing is set to ask it with."""
        return self.trust_webhook and self.takes_webhooks and not self.is_configured

    @property
    def asked_every_seconds(self) -> float:
        """Seconds between two polls; 0 where there are none."""
        return self.poll_seconds if self.is_configured else 0.0


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


class StudiocartSettings(SourceSettings, SubscriptionSettings):
    """Studiocart: a source."""

    system: ClassVar[str] = "studiocart"
    required: ClassVar[tuple[str, ...]] = ("base_url", "api_key")

    base_url: SiteUrl | None = Field(
        None,
        description="Address of the site's API: https://your-site.example/wp-json/sc/v1, or with plain permalinks "
        "https://your-site.example/?rest_route=/sc/v1",
    )
    api_key: HeaderSecret | None = Field(None, description="The site's Studiocart API key.")
    parameters_in: Literal["body", "query"] = Field(
        "query",
        description="Where list calls carry their parameters first: in the query, or in a JSON body. The other way is "
        "tried by itself where the first is refused or not read.",
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
        "2,4",
        description="The numbers of the order statuses that count as paid, whatever an order says of money. 1 (new) "
        "and 3 (partial) need no mention: they are paid where money was taken. 7 (not completed) is no order. "
        "`cartbridge check` shows your store's own labels and how each is read.",
    )
    time_zone: TimeZone = Field(
        "-05:00",
        description="Time zone of the store's dates, which carry none: an offset, or a name such as America/New_York.",
    )
    requests_per_second: Rate = Field(
        2.0, description="Requests a second at most; the vendor allows about 2. 0: no limit."
    )
    read_timeout_seconds: Seconds = Field(
        30.0,
        description="Seconds to wait for an answer. A list of orders, which may take the store more than a minute, is "
        "waited for 120 seconds unless this is set.",
    )

    @property
    def list_timeout_seconds(self) -> float:
        """As long as the vendor's own client waits, unless a read timeout was set by hand."""
        is_set = "read_timeout_seconds" in self.model_fields_set
        return self.read_timeout_seconds if is_set else SLOWEST_LIST_SECONDS

    @property
    def zone(self) -> tzinfo:
        """The store's time zone."""
        return zone_of(self.time_zone) or UTC

    @property
    def paid_status_ids(self) -> frozenset[int]:
        """The order statuses that count as paid."""
        return frozenset(map(int, self.paid_statuses.split(",")))
