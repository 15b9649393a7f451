"""How the sandbox behaves: one dataclass per system. Every field may also be changed while the sandbox runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

SECRET_MARKS = ("sandbox-password-", "sandbox-key-", "sandbox-secret-", "5a4db0c5-")
"""Every credential the sandbox knows or hands out contains one of these, so that a leak is found by a plain search."""

TOKEN_MARK = "5a4db0c5"  # noqa: S105 -- the first eight digits of every token's GUID; a mark, not a secret


@dataclass
class LearningCartConfig:
    """LearningCart's site, and which of the undocumented answers it gives."""

    site_hostname: str = "academy.example.test"
    username: str = "api@academy.example.test"
    password: str = "sandbox-password-learningcart"  # noqa: S105 -- fake on purpose, see SECRET_MARKS
    comped_order_method: str = "addCompOrder"
    token_lifetime_seconds: float = 3600.0
    refusal: Literal["401", "403", "200", "400", "500"] = "401"
    """How a bad password or token is refused: by status and a message, by 200 and a word, by a 500 page that speaks of
    it, or (400) by WCF's page "Request Error", which names no reason."""
    token_dates: bool = True
    """False: a token comes without its dates, so that nobody knows its lifetime."""
    records: Literal["whole", "shell_customer", "no_order_id", "null_row"] = "whole"
    """What cannot be read: an order's customer is a shell with the id 0; listed orders have no id, customer or
    comments; a list has a null row more."""
    query_limit_bytes: int = 2048
    """IIS answers 404 to a longer query."""
    wrap: Literal["d", "result", "bare"] = "d"
    """`{"d": …}`, `{"addCustomerResult": …}`, or the value itself."""
    form: Literal["json", "xml"] = "json"
    keys: Literal["spaced", "joined"] = "spaced"
    """`"Order ID"` as documented, or `OrderID`. In XML `spaced` is `Order_x0020_ID`, WCF's way to write a space."""
    dates: Literal["wcf", "wcf_offset", "iso"] = "wcf"
    """`/Date(1700000000000)/`, `/Date(1700000000000-0500)/`, or naive ISO 8601 in the site's time."""
    utc_offset_minutes: int = -300
    """The site's time zone: naive parameters are read in it and `… String` fields are written in it."""
    echo_comments: bool = True
    """False: orders come back without the comments they were made with."""
    missing_order: Literal["404", "null"] = "404"
    groups: frozenset[int] | None = None
    """The groups that exist; None: any positive number does."""
    prices: frozenset[int] | None = None
    """The prices that exist; None: any positive number does."""
    admins_allowed: bool = False
    """Whether this API user may add a group's admins."""
    customer_gap_seconds: float = 0.0
    """How long `addCustomer` takes from looking for an email to creating its customer: two calls for one new email that
    overlap there make two customers, as the real one may."""
    requests_per_second: float | None = None


@dataclass
class StudiocartConfig:
    """Studiocart's shop."""

    api_key: str = "sandbox-key-studiocart"
    webhook_secret: str = "sandbox-secret-studiocart"  # noqa: S105 -- fake on purpose, see SECRET_MARKS
    site_url: str = "http://studiocart.local"
    bad_key_status: Literal[401, 403] = 401
    items: Literal["ids", "names"] = "ids"
    """`names`: an older version, whose items carry no ids, and whose orders name no subscription."""
    empty_list: Literal["list", "404"] = "list"
    """What a page without rows is: `[]`, or WordPress's 404. Of customers it is an empty body anyhow."""
    parameters_in: Literal["both", "body", "query", "neither"] = "both"
    """`query`: a proxy throws the body of a GET away. `body`: one that reads nothing else. `neither`: the newest ten
    come, whatever is asked for."""
    ignored_parameters: frozenset[str] = frozenset()
    """Parameters of lists that are not read, such as `page`: a cache that knows no query."""
    refuses_get_bodies: bool = False
    """A CDN that answers a GET with a body with 403 and a page of its own."""
    slow_above_rows: int | None = None
    """Lists of more rows a page than this end at the gateway: 504 and a page of its own."""
    tells_totals: bool = True
    """Whether lists carry `X-WP-Total` and `X-WP-TotalPages`."""
    has_developer_api: bool = True
    """False: the free plugin, or a plan without the Developer API: every route is `rest_no_route`."""
    plain_permalinks: bool = False
    """The API stands at `?rest_route=/sc/v1/…` alone; `/wp-json/…` is a 404 of the web server."""
    buyers_have_accounts: bool = True
    """Whether buyers get a WordPress account: only then are they customers."""
    date_after_inclusive: bool = False
    """Whether `date_after` keeps the orders of that very day; WordPress does not unless told to."""
    utc_offset_minutes: int = 330
    """The shop's time zone, +05:30 in the documents' own records."""
    requests_per_second: float | None = None


@dataclass
class FrontcoreConfig:
    """Frontcore's account."""

    api_key: str = "sandbox-key-frontcore"
    webhook_secret: str = "sandbox-secret-frontcore"  # noqa: S105 -- fake on purpose, see SECRET_MARKS
    error_status: Literal["real", "200"] = "real"
    """`200`: errors come as `{"error": …}` with status 200."""
    list_form: Literal["array", "items"] = "array"
    """`items`: orders come as `{items, pagination}`, as the vendor's course dates do."""
    utc_offset_minutes: int = 60
    """The zone in which filters without an offset are read."""
    requests_per_second: float | None = None
    """5 is the vendor's limit."""


_STATUS_LABELS = {
    1: "New",
    2: "Processing",
    3: "Partial",
    4: "Shipped",
    5: "Cancel",
    6: "Hold",
    7: "Not Completed",
    8: "Custom 1",
    9: "Custom 2",
    10: "Custom 3",
    11: "Unpaid",
    13: "Review",
}


@dataclass
class ThreedcartConfig:
    """3dcart's store."""

    secure_url: str = "store.example.test"
    private_key: str = "sandbox-key-threedcart-private"
    token: str = "sandbox-key-threedcart-token"  # noqa: S105 -- fake on purpose, see SECRET_MARKS
    cart_form: Literal["object", "list"] = "list"
    """What `GET /Cart/{orderkey}` answers: 201 and the cart, as its document has it, or 200 and a collection of one."""
    bought_carts_answer: bool = False
    """Whether a cart still answers after it was checked out. Deleting it then deletes the order it became."""
    status_labels: dict[int, str] = field(default_factory=lambda: dict(_STATUS_LABELS))
    """The store's own labels."""
    status_labels_readable: bool = True
    """Whether the token may read them."""
    catalog_ids: frozenset[int] | None = None
    """The items on sale; None: any positive number is."""
    utc_offset_minutes: int = -300
    """The store's time zone: all its dates are naive and in it."""
    requests_per_second: float | None = None
    """2 is the vendor's limit."""


@dataclass
class SandboxConfig:
    """The whole sandbox."""

    learningcart: LearningCartConfig = field(default_factory=LearningCartConfig)
    studiocart: StudiocartConfig = field(default_factory=StudiocartConfig)
    frontcore: FrontcoreConfig = field(default_factory=FrontcoreConfig)
    threedcart: ThreedcartConfig = field(default_factory=ThreedcartConfig)
    seeded: bool = True
    """Start with the documents' own records; False: start empty."""
    effects_path: Path | None = None
    """Where effects are also appended as JSON lines, for another process to read."""
    random_seed: int = 1
    """Decides which requests a fault with a probability below 1 hits."""
