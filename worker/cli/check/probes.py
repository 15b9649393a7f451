"""Asking each part of an installation whether it works: the systems for real, the ledger, the broker, the offers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from tasks.dispatch import Dispatcher
from worker.broker.app import create_celery
from worker.cli.check.notification_probes import probe_mail
from worker.cli.check.result import Part, ProbeResult, StatusReading, read_or_none, with_notes
from worker.cli.check.threedcart_probe import ask_threedcart
from worker.cli.check.warnings import follow_on_warnings
from worker.clients.frontcore.client import FrontcoreClient
from worker.clients.learningcart.client import LearningCartClient
from worker.clients.list_pages import UnpageableListError
from worker.clients.studiocart.client import StudiocartClient
from worker.clients.studiocart.requests import NoRouteError, RefusedOnTheWayError
from worker.errors import ApiError, AuthenticationError, CartbridgeError, NotFoundError, PermissionDeniedError
from worker.formatting import counted, counted_days, minute
from worker.ledger.guards import guard_warning, owned_tables
from worker.ledger.learners.erasure_file import ErasureFile, ErasureFileError
from worker.ledger.learners.erasure_replay import missing_in
from worker.ledger.session import Ledger, SchemaMismatchError
from worker.ledger.tables.runs import pauses
from worker.ledger.views.writable import forgets, why_unwritable
from worker.observability.logs import known_secrets
from worker.settings.settings import DESTINATIONS, Settings, SourceSettings, SystemSettings, ThreedcartSettings
from workflows.planning.offers import OffersError
from workflows.planning.offers_file import load_offers

__all__ = ["ProbeResult", "paused_systems", "probe_all", "probe_system"]


def probe_all(settings: Settings) -> Iterator[ProbeResult]:
    """Every part, one finding each, as they are found. Sends a real token request and asks for real lists of orders."""
    yield _probe_offers(settings)  # first: with a mistake in it everything else looks well
    for name, system in settings.systems().items():
        yield probe_system(name, system)
    yield _probe_ledger(settings)
    yield _probe_broker(settings)
    yield from probe_mail(settings)


def _ask_learningcart(settings: Any) -> str:
    with closing(LearningCartClient(settings, secrets=known_secrets)) as client:
        token = client.request_token()
    given = f"token until {minute(token.expires_at)}" if token.expires_at is not None else "gave a token"
    return with_notes(given, client.notes)


def _ask_studiocart(settings: Any) -> str:
    with closing(StudiocartClient(settings, secrets=known_secrets)) as client:
        order = client.check_paging()
        refused = _refused_lists(client)
    listed = "has no orders yet" if order is None else f"listed order {order.id}"
    said = f"{listed}; cannot read its {' and '.join(refused)}" if refused else listed
    return with_notes(said, client.notes)


def _refused_lists(client: StudiocartClient) -> list[str]:
    """The further lists that cannot be read: subscriptions, which show renewals, and products, which give names."""
    asks: dict[str, tuple[Callable[..., Iterator[Any]], Callable[[int], Any]]] = {
        "subscriptions": (client.list_subscriptions, client.retrieve_subscription),
        "products": (client.list_products, client.retrieve_product),
        "customers": (client.list_customers, client.retrieve_customer),
    }
    refused = []
    for name, (list_all, retrieve) in asks.items():
        try:
            first = next(list_all(per_page=1), None)
            if first is not None:
                retrieve(first.id)
        except NotFoundError:
            continue  # deleted meanwhile, or a customer without an account on the site
        except ApiError:
            refused.append(name)
    return refused


def _ask_frontcore(settings: Any) -> str:
    with closing(FrontcoreClient(settings, secrets=known_secrets)) as client:
        order = client.check_paging()
    return with_notes("has no orders yet" if order is None else f"listed order {order.id}", client.notes)


_ASK: dict[str, Callable[[Any], str]] = {
    "learningcart": _ask_learningcart,
    "studiocart": _ask_studiocart,
    "frontcore": _ask_frontcore,
}
"""How to ask each system something harmless that shows both the way and the credentials."""


def probe_system(name: str, system: SystemSettings) -> ProbeResult:
    """Whether one system is configured, reachable and accepts the credentials: asks it for real."""
    part = Part(name, "destination" if name in DESTINATIONS else "source")
    missing = tuple(system.missing())
    if isinstance(system, SourceSettings) and system.is_webhook_only:
        reading = "planned from its webhooks' bodies alone: it is neither asked nor polled"
        step = f"Where it can be asked, set {', '.join(missing)}."
        return ProbeResult(
            name, "source", configured=True, accepted=True, detail=reading, next_step=step, missing=missing
        )
    if missing:
        step = f"Set {', '.join(missing)}." if system.is_begun else f"Off. To use it, set {', '.join(missing)}."
        return part.is_off(step, missing)
    statuses: tuple[StatusReading, ...] = ()
    try:
        if isinstance(system, ThreedcartSettings):
            detail, statuses = ask_threedcart(system)
        else:
            detail = _ASK[name](system)
        return part.works(detail, statuses=statuses)
    except ApiError as error:
        found = _refused(part, system, error)
        if not isinstance(system, ThreedcartSettings):
            return found
        return replace(found, next_step=f"{found.next_step} Until then no unused cart is deleted.")
    except CartbridgeError as error:
        return part.is_away(str(error), "Correct its settings.")


_STEPS: Final[dict[type[ApiError], str]] = {
    NoRouteError: "The Developer API is part of Studiocart Pro, on a plan that includes it: is that plugin active, and "
    "does {address} end in /wp-json/sc/v1?",
    RefusedOnTheWayError: "Let this machine's requests to the API through the site's CDN, firewall or security plugin: "
    "allow its address, or the path under {address}.",
    UnpageableListError: "Orders stay unseen until this is mended. Wherever a cache, a CDN or a proxy stands before "
    "{address}: exclude the API's path from caching, and let the query and the body of its GET requests pass.",
}
"""What to do about what an `ApiError`'s status does not tell."""


def _refused(part: Part, system: SystemSettings, error: ApiError) -> ProbeResult:
    credentials = ", ".join(system.variable(attribute) for attribute in system.required if attribute != "base_url")
    address = system.variable("base_url")
    if isinstance(error, AuthenticationError | PermissionDeniedError):
        step = f"Correct {credentials}."
    elif type(error) in _STEPS:
        step = _STEPS[type(error)].format(address=address)
    elif error.status is None:
        return part.is_away(str(error), f"Is {system.base_url} right ({address}), and the network open?")
    elif 300 <= error.status < 400:
        step = f"The site has moved: set {address} to the address that it names, with the API's path."
    else:
        step = f"Does {address} name the API itself? Else try again later."
    return part.refuses(str(error), step)


_OWNER = "Its role owns the audit trail and could rewrite it. See docs/security.md, The role on PostgreSQL."


def _probe_ledger(settings: Settings) -> ProbeResult:
    part = Part("ledger", "ledger")
    label = settings.shown_database_url
    ledger = Ledger(settings.database_url.get_secret_value())
    if ledger.path is not None and not ledger.path.exists():
        # `up` makes its own file: not there yet is no fault.
        step = "Run: cartbridge migrate (or `cartbridge up`, which makes it)"
        return ProbeResult("ledger", "ledger", configured=True, detail=f"{label} does not exist yet", next_step=step)
    try:
        ledger.check_schema()
        with ledger.read() as connection:
            changed, owned = guard_warning(connection), owned_tables(connection)
            unlisted = erasures_problem(settings, connection)
            unwritable, forgetful = why_unwritable(connection, ledger.path), forgets(connection)
    except SchemaMismatchError as error:
        return part.refuses(label, str(error))
    except SQLAlchemyError as error:
        kind = type(getattr(error, "orig", None) or error).__name__
        step = (
            f"Can the file {ledger.path} be written, and is there room on its disk?"
            if ledger.is_sqlite
            else "Is the database running, and CARTBRIDGE_DATABASE_URL right?"
        )
        return part.is_away(f"{label}: {kind}", step)
    finally:
        ledger.close()
    if unwritable:
        return part.refuses(f"{label} takes no writes", f"{unwritable[0].upper()}{unwritable[1:]}: nothing goes on.")
    if changed is not None:
        return part.refuses(label, changed)
    step = " ".join(each for each in (forgetful, unlisted, _OWNER if owned else "") if each)
    return part.works(f"{label}; {retention_note(settings)}", step)


def paused_systems(settings: Settings) -> list[str]:
    """The systems nothing is sent to until they are resumed; none where the ledger cannot tell."""
    return read_or_none(settings, lambda connection: sorted(connection.scalars(select(pauses.c.system)))) or []


def _probe_broker(settings: Settings) -> ProbeResult:
    part, label = Part("broker", "broker"), settings.shown_broker_url
    if settings.embedded:
        return ProbeResult("broker", "broker", configured=True, detail=f"{label}, inside `cartbridge up`")
    ledger = Ledger(settings.database_url.get_secret_value())
    celery = create_celery(settings)
    try:
        if Dispatcher(celery, ledger).broker_ok():
            return part.works(label)
    finally:
        celery.close()
    step = "Is it running, and CARTBRIDGE_BROKER_URL right? Webhooks are taken all the same; runs wait."
    return part.is_away(label, step)


def _probe_offers(settings: Settings) -> ProbeResult:
    path = settings.offers_file
    try:
        offers = load_offers(path)
    except OffersError as error:
        problem = error.problems[0]
        more = f" (and {len(error.problems) - 1} more)" if len(error.problems) > 1 else ""
        return ProbeResult(
            "offers",
            "offers",
            configured=True,
            reachable=path.exists(),
            accepted=False,
            detail=f"{problem}{more}",
            next_step="See: cartbridge offers check",
        )
    detail = f"{path}: {counted(len(offers.offers), 'offer')}, {counted(len(offers.ignores), 'ignore')}"
    step = "" if offers.offers else "It grants nothing yet: add an [[offer]]."
    if offers.follow_ons:
        detail = f"{detail}, {counted(len(offers.follow_ons), 'follow-on')}"
        step = " ".join(filter(None, [step, *follow_on_warnings(settings)]))
    return Part("offers", "offers").works(detail, step)


def retention_note(settings: Settings) -> str:
    """For how long each kind is kept."""
    days = settings.retention
    periods = {
        "order versions": days.order_versions_days,
        "deliveries": days.deliveries_days,
        "texts": days.texts_days,
        "completions' names": days.completions_days,
    }
    return "keeps " + ", ".join(
        f"{name} {counted_days(each) if each else 'for good'}" for name, each in periods.items()
    )


def erasures_problem(settings: Settings, connection: Connection) -> str:
    """What to do where a restored copy could not be told of everybody who was forgotten; empty where it could."""
    file = ErasureFile(settings.erasures_path)
    try:
        missing = missing_in(connection, file)
        mode = file.path.stat().st_mode & 0o077 if file.exists() else 0
    except ErasureFileError as error:
        return str(error)
    if missing:
        return (
            f"{missing} of the ledger's erasures {'is' if missing == 1 else 'are'} not in {file.path}, so a restored "
            f"copy would know those people again. Put the file back; the next `cartbridge forget` adds what it lacks."
        )
    return f"Others can read or write {file.path}: chmod 600 {file.path}" if mode else ""
