"""Every reason a run, order or delivery can carry: a sentence a person understands, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """The codes. Stable: they are shown, filtered by and alerted on."""

    # A seat that cannot be provisioned as it stands
    UNMAPPED_PRODUCT = "unmapped_product"
    UNNAMED_SEAT = "unnamed_seat"
    MISSING_EMAIL = "missing_email"
    INVALID_EMAIL = "invalid_email"
    INVALID_QUANTITY = "invalid_quantity"
    SHARED_EMAIL = "shared_email"
    WAITING_LIST = "waiting_list"
    COURSE_CANCELLED = "course_cancelled"
    RENEWAL_UNDECIDED = "renewal_undecided"
    SUBSCRIPTION_UNLISTED = "subscription_unlisted"
    UNKNOWN_STATUS = "unknown_status"
    PAYMENT_UNPROVEN = "payment_unproven"
    OLDER_THAN_START = "older_than_start"
    PAID_AFTER_CANCEL = "paid_after_cancel"
    ANSWERED_BY_HAND = "answered_by_hand"
    LINE_RENAMED = "line_renamed"
    READ_ANEW = "read_anew"
    REPEATED_WEBHOOK = "repeated_webhook"
    LEARNER_ERASED = "learner_erased"
    # An effect that needs a person
    OUTCOME_UNPROVABLE = "outcome_unprovable"
    OUTCOME_UNKNOWN = "outcome_unknown"
    DUPLICATE_EFFECT = "duplicate_effect"
    REFUNDED_AFTER_PROVISIONING = "refunded_after_provisioning"
    CANCELLED_AFTER_PROVISIONING = "cancelled_after_provisioning"
    REMOVED_AFTER_PROVISIONING = "removed_after_provisioning"
    PLACE_LOST_AFTER_PROVISIONING = "place_lost_after_provisioning"
    PAID_AFTER_REVOCATION = "paid_after_revocation"
    LEARNER_CHANGED = "learner_changed"
    PARTIALLY_REFUNDED = "partially_refunded"
    CART_DIFFERS = "cart_differs"
    SUBSCRIPTION_CANCELED = "subscription_canceled"
    SUBSCRIPTION_PAUSED = "subscription_paused"
    SUBSCRIPTION_PAST_DUE = "subscription_past_due"
    SUBSCRIPTION_EXPIRED = "subscription_expired"
    SUBSCRIPTION_RESUMED = "subscription_resumed"
    # A call that did not work
    REFUSED = "refused"
    REQUEST_REFUSED = "request_refused"
    TLS_FAILURE = "tls_failure"
    ATTEMPTS_SPENT = "attempts_spent"
    UNEXPECTED_ERROR = "unexpected_error"
    AUTHENTICATION = "authentication"
    RETRYING = "retrying"
    SETTLING = "settling"
    WORKER_VANISHED = "worker_vanished"
    LEASE_SHORT = "lease_short"
    # Why something needs nothing more
    SUPERSEDED = "superseded"
    CANCELLED_BY_SOURCE = "cancelled_by_source"
    REFUNDED_BY_SOURCE = "refunded_by_source"
    REMOVED_FROM_ORDER = "removed_from_order"
    CANCELLED_BY_OPERATOR = "cancelled_by_operator"
    DONE_BY_HAND = "done_by_hand"
    SETTLED_BY_SOURCE = "settled_by_source"
    BEFORE_START = "before_start"
    IGNORED_PRODUCT = "ignored_product"
    RENEWAL_IGNORED = "renewal_ignored"
    INSTALMENT = "instalment"
    ON_TRIAL = "on_trial"
    COVERED_BY_OTHER_LINE = "covered_by_other_line"
    AWAITING_PAYMENT = "awaiting_payment"
    ALREADY_BOUGHT = "already_bought"
    LEAD = "lead"
    TEST_NOTIFICATION = "test_notification"
    POLLED = "polled"
    # Deliveries
    ORDER_NOT_FOUND = "order_not_found"
    SOURCE_UNREACHABLE = "source_unreachable"
    SOURCE_REFUSED = "source_refused"
    SOURCE_OFF = "source_off"
    OFFERS_INVALID = "offers_invalid"
    RECORD_UNREADABLE = "record_unreadable"
    ORDER_INCOMPLETE = "order_incomplete"
    SUBSCRIPTION_NEWS = "subscription_news"


@dataclass(frozen=True)
class Advice:
    """What a reason means and what to do: one sentence each. `action` may name a command with RUN, SOURCE and ORDER."""

    sentence: str
    action: str


ADVICE: dict[Reason, Advice] = {
    Reason.UNMAPPED_PRODUCT: Advice(
        "No offer and no ignore matches this product, so nobody knows which course it sells.",
        "Add an [[offer]] or [[ignore]] for it to the offers file, run `cartbridge offers check`, then "
        "`cartbridge replay RUN`.",
    ),
    Reason.UNNAMED_SEAT: Advice(
        "The seat was bought, but the order names nobody for it.",
        "Ask the buyer for the learner, give access in LearningCart by hand, then `cartbridge runs resolve "
        "RUN --note WHO`.",
    ),
    Reason.MISSING_EMAIL: Advice(
        "The learner has no email address, and LearningCart knows people by email.",
        "Add the email in the source system; the next look at the order provisions the seat.",
    ),
    Reason.INVALID_EMAIL: Advice(
        "The learner's email address cannot be one.",
        "Correct the email in the source system; the next look at the order provisions the seat.",
    ),
    Reason.INVALID_QUANTITY: Advice(
        "The line's quantity is not a number of seats that can be provisioned.",
        "Look at the order in the source system, provision by hand, then `cartbridge runs resolve RUN --note TEXT`.",
    ),
    Reason.SHARED_EMAIL: Advice(
        "Learners of different names share this email, in this order or with one before, and LearningCart knows one "
        "person by an email: the last name would overwrite the others.",
        "Give each learner an email of their own in the source system; the next look at the order provisions the "
        "seats. Is it this learner's after all: `cartbridge replay RUN`. Else give access by hand, then `cartbridge "
        "runs resolve RUN --note WHO`. Either answer holds for this name and email in later orders too.",
    ),
    Reason.WAITING_LIST: Advice(
        "The learner is on the course's waiting list.",
        "Confirm the place in the source system, or remove it; the next look at the order provisions a confirmed seat.",
    ),
    Reason.COURSE_CANCELLED: Advice(
        "The course date of this place was cancelled.",
        "Move the learner to another date in the source system, or remove the place; the next look at the order "
        "provisions a seat on a date that takes place.",
    ),
    Reason.RENEWAL_UNDECIDED: Advice(
        "The order renews a subscription, and its offer does not say whether a renewal grants access again.",
        'Add renewals = "grant" or renewals = "ignore" to the offer, then `cartbridge replay RUN`.',
    ),
    Reason.SUBSCRIPTION_UNLISTED: Advice(
        "The buyer has a subscription to this product, which does not list the order: it may renew that one, or be a "
        "purchase of its own.",
        "Nothing if it renews: that settles it once it is listed. A purchase of its own: `cartbridge replay RUN "
        "--replan`.",
    ),
    Reason.UNKNOWN_STATUS: Advice(
        "The source gives the order, or the place, a status nobody has ruled on.",
        "Look at the order in the source system; a status we know settles this by itself, else provision by "
        "hand and resolve.",
    ),
    Reason.PAYMENT_UNPROVEN: Advice(
        "The order has been complete for a day, and nothing in it shows that money was taken, so nobody was given "
        "access.",
        "Look at the order in the source system. Paid: give it a status there that counts as paid, which settles this. "
        "Not to be paid: `cartbridge runs cancel RUN`.",
    ),
    Reason.OLDER_THAN_START: Advice(
        "The order was made before Cartbridge started here and is paid now, so it may have been provisioned by hand.",
        "Check in LearningCart whether the learner has access: `cartbridge runs resolve RUN --note TEXT` if so, else "
        "`cartbridge replay RUN`.",
    ),
    Reason.PAID_AFTER_CANCEL: Advice(
        "An operator cancelled this run, and the order was paid again afterwards.",
        "`cartbridge replay RUN` to provision it after all, or `cartbridge runs cancel RUN` to leave it cancelled.",
    ),
    Reason.READ_ANEW: Advice(
        "Only this version of Cartbridge reads that the seat was paid for; it may have been provisioned by hand.",
        "Check in LearningCart. Has the learner access: `cartbridge runs resolve RUN --note TEXT`; else `cartbridge "
        "replay RUN`. For all at once, the same with `--review-reason read_anew` in the place of the run.",
    ),
    Reason.LINE_RENAMED: Advice(
        "A line of the order is gone and this one came: it may be the same product under another name or number, whose "
        "learner has been dealt with.",
        "Compare the two: another product: `cartbridge replay RUN`; the same one: `cartbridge runs cancel RUN`.",
    ),
    Reason.REPEATED_WEBHOOK: Advice(
        "The order was taken back, and the webhook that calls it paid may be an old one that was sent again.",
        "Look at the order in the source system. Paid: `cartbridge replay RUN`, or `cartbridge runs resolve RUN --note "
        "TEXT` where access was given. Not paid: `cartbridge runs cancel RUN`, or take the access back by hand.",
    ),
    Reason.ANSWERED_BY_HAND: Advice(
        "An operator answered the question about the whole order, perhaps by giving access by hand; it is paid now.",
        "Check in LearningCart whether the learner has access: `cartbridge runs resolve RUN --note TEXT` if so, else "
        "`cartbridge replay RUN`.",
    ),
    Reason.LEARNER_ERASED: Advice(
        "The learner was forgotten at their request, and the order, which is older, would give them access now.",
        "To give it: by hand, then `cartbridge runs resolve RUN --note TEXT`; else `cartbridge runs cancel RUN`.",
    ),
    Reason.OUTCOME_UNPROVABLE: Advice(
        "LearningCart may already have made the comped order, and an order without our reference keeps us "
        "from proving it did not.",
        "Look at the learner's orders in LearningCart. "
        "Made: `cartbridge runs resolve RUN --note found --order-id ID` with LearningCart's order id. "
        'Not made: `cartbridge replay RUN --from-step add_comped_order --again --reason "not made"`.',
    ),
    Reason.OUTCOME_UNKNOWN: Advice(
        "Whether the call was carried out is not known, so its order may exist: the destination could not be asked for "
        "it, its answers stayed unknown until the attempts were spent, or it is a call that cannot be asked about.",
        "When the destination works again, `cartbridge replay RUN`: it asks first where that can be asked, and sends "
        "only if nothing was done. Of a mail nobody can be asked but its reader: has it arrived, `cartbridge runs "
        "resolve RUN --note TEXT`; else `cartbridge replay RUN --again --reason TEXT` sends it anew.",
    ),
    Reason.DUPLICATE_EFFECT: Advice(
        "LearningCart holds two comped orders for one enrolment.",
        "Cancel the second order in LearningCart by hand, then `cartbridge runs resolve RUN --note TEXT`.",
    ),
    Reason.REFUNDED_AFTER_PROVISIONING: Advice(
        "The order was refunded after access was given, and no API call can take access back.",
        "Take the access back in LearningCart by hand if that is your rule, then `cartbridge runs resolve "
        "RUN --note TEXT`.",
    ),
    Reason.CANCELLED_AFTER_PROVISIONING: Advice(
        "The order was cancelled after access was given, and no API call can take access back.",
        "Take the access back in LearningCart by hand if that is your rule, then `cartbridge runs resolve "
        "RUN --note TEXT`.",
    ),
    Reason.REMOVED_AFTER_PROVISIONING: Advice(
        "The seat was removed from the order after access was given, and no API call can take access back.",
        "Take the access back in LearningCart by hand if that is your rule, then `cartbridge runs resolve "
        "RUN --note TEXT`.",
    ),
    Reason.PLACE_LOST_AFTER_PROVISIONING: Advice(
        "The learner's place went to the waiting list, or its course date was cancelled, after access was given, and "
        "no API call can take access back.",
        "Nothing if the learner gets another place: that settles it. Else take the access back in LearningCart by "
        "hand if that is your rule, then `cartbridge runs resolve RUN --note TEXT`.",
    ),
    Reason.PARTIALLY_REFUNDED: Advice(
        "The order is still paid, but for less than before, and nothing tells which seat the refund is for.",
        "Look at the order in the source system. If a learner is to lose access, remove the seat there or take the "
        "access back in LearningCart by hand; then `cartbridge runs resolve RUN --note TEXT`.",
    ),
    Reason.SUBSCRIPTION_CANCELED: Advice(
        "The subscription that pays for this access was canceled.",
        "Take the access back in LearningCart by hand on that date if that is your rule, then `cartbridge runs "
        "resolve RUN --note TEXT`. Nothing if it is renewed: that settles it.",
    ),
    Reason.SUBSCRIPTION_PAUSED: Advice(
        "The subscription that pays for this access was paused.",
        "Take the access back in LearningCart by hand on that date if that is your rule, then `cartbridge runs "
        "resolve RUN --note TEXT`. Nothing if it goes on: that settles it.",
    ),
    Reason.SUBSCRIPTION_PAST_DUE: Advice(
        "A payment of the subscription that pays for this access is overdue.",
        "Take the access back in LearningCart by hand on that date if that is your rule, then `cartbridge runs "
        "resolve RUN --note TEXT`. Nothing if it is paid: that settles it.",
    ),
    Reason.SUBSCRIPTION_EXPIRED: Advice(
        "The subscription that pays for this access came to its end.",
        "Take the access back in LearningCart by hand on that date if that is your rule, then `cartbridge runs "
        "resolve RUN --note TEXT`. Nothing if it is renewed: that settles it.",
    ),
    Reason.SUBSCRIPTION_RESUMED: Advice(
        "The subscription goes on after somebody had dealt with taking its access back.",
        "Give access again in LearningCart by hand if it was taken, then `cartbridge runs resolve RUN --note TEXT`.",
    ),
    Reason.CART_DIFFERS: Advice(
        "The cart in 3dcart is not the one that was to be made: one item, once, with an address for its checkout.",
        "Correct it in 3dcart (the item once, nothing else, the learner's own billing fields), then "
        "`cartbridge replay RUN`; or have another one made: "
        '`cartbridge replay RUN --from-step create_cart --again --reason "new cart"`.',
    ),
    Reason.PAID_AFTER_REVOCATION: Advice(
        "The order is paid again after somebody had dealt with taking its access back.",
        "Give access again in LearningCart by hand if it was taken, then `cartbridge runs resolve RUN --note TEXT`.",
    ),
    Reason.LEARNER_CHANGED: Advice(
        "The seat's learner was changed in the source after access was given to the one named before.",
        "Give the new learner access by hand if the seat moved, then `cartbridge runs resolve RUN --note TEXT`.",
    ),
    Reason.REFUSED: Advice(
        "The destination refused the call, and would refuse it again.",
        "Read the error, correct the destination, then `cartbridge replay RUN`; where you correct the offer, "
        "`cartbridge replay RUN --replan`.",
    ),
    Reason.REQUEST_REFUSED: Advice(
        "The destination does not take this one request, and answers others: something in it, such as the learner's "
        "name, is stopped by a firewall or by its own validation.",
        "`cartbridge runs show RUN` has the error. Have the destination let it pass, or correct the name in the source "
        "system, then `cartbridge replay RUN`; or give access by hand, then `cartbridge runs resolve RUN --note TEXT`.",
    ),
    Reason.TLS_FAILURE: Advice(
        "The destination's TLS certificate could not be verified, so nothing was sent.",
        "Correct the address or the certificate, see `cartbridge check`, then `cartbridge replay RUN`.",
    ),
    Reason.ATTEMPTS_SPENT: Advice(
        "The call failed as often as the settings allow.",
        "See `cartbridge check`; when the destination works again, `cartbridge replay RUN`.",
    ),
    Reason.UNEXPECTED_ERROR: Advice(
        "Cartbridge itself failed in a way it does not know.",
        "`cartbridge runs show RUN`, and report the error it names; `cartbridge replay RUN` tries again.",
    ),
    Reason.AUTHENTICATION: Advice(
        "The destination refuses our credentials, so it is paused and the run waits.",
        "Correct the credentials, see `cartbridge check`, then `cartbridge resume learningcart` (or the other "
        "destination, where that is the paused one).",
    ),
    Reason.RETRYING: Advice(
        "The last attempt failed and is tried again at the time shown.", "Nothing: it goes on by itself."
    ),
    Reason.SETTLING: Advice(
        "The last attempt's outcome is unknown, so it may have been carried out already: the destination is asked "
        "until it tells, and nothing is sent before; a call that does no harm twice is repeated after the settle time.",
        "Nothing: it goes on by itself.",
    ),
    Reason.WORKER_VANISHED: Advice(
        "The worker vanished while it held the run; what it may have sent settles first, then the run goes on.",
        "Nothing: it goes on by itself.",
    ),
    Reason.LEASE_SHORT: Advice(
        "The lease would have ended before the call could, so nothing was sent.", "Nothing: it goes on by itself."
    ),
    Reason.SUPERSEDED: Advice("It was replaced by the runs that were planned once its cause was gone.", "Nothing."),
    Reason.CANCELLED_BY_SOURCE: Advice(
        "The order was cancelled or failed, and Cartbridge has given no access by it.",
        "Nothing: a later payment revives it.",
    ),
    Reason.REFUNDED_BY_SOURCE: Advice(
        "The order was refunded, and Cartbridge has given no access by it.", "Nothing: a later payment revives it."
    ),
    Reason.REMOVED_FROM_ORDER: Advice(
        "The seat was removed from the order, and Cartbridge has given no access by it.", "Nothing."
    ),
    Reason.CANCELLED_BY_OPERATOR: Advice("An operator cancelled it.", "`cartbridge replay RUN` starts it after all."),
    Reason.DONE_BY_HAND: Advice("An operator did it by hand.", "Nothing."),
    Reason.SETTLED_BY_SOURCE: Advice("News from the source removed its cause.", "Nothing."),
    Reason.BEFORE_START: Advice(
        "The order was paid before Cartbridge started here (START_AT), so it is taken as already handled.",
        "If it was not: `cartbridge ingest SOURCE ORDER` puts its seats into review, and `cartbridge replay "
        "RUN` provisions them.",
    ),
    Reason.IGNORED_PRODUCT: Advice("Every product in it is on the ignore list.", "Nothing."),
    Reason.RENEWAL_IGNORED: Advice("It renews a subscription whose offer ignores renewals.", "Nothing."),
    Reason.INSTALMENT: Advice(
        "It is a later instalment of a purchase that gave access with its first payment.", "Nothing."
    ),
    Reason.ON_TRIAL: Advice(
        "It begins a trial, and access comes with the first payment.",
        "Nothing: the first payment starts it. CARTBRIDGE_STUDIOCART__TRIALS=grant gives access with the trial.",
    ),
    Reason.COVERED_BY_OTHER_LINE: Advice(
        "The same participant gets the same access by another line of the order.", "Nothing."
    ),
    Reason.AWAITING_PAYMENT: Advice(
        "The order is not paid; it waits for news from the source.", "Nothing: payment starts it."
    ),
    Reason.ALREADY_BOUGHT: Advice(
        "The learner has bought the follow-on course already.", "Nothing: `cartbridge replay RUN` looks again."
    ),
    Reason.LEAD: Advice("A lead has no order.", "Nothing."),
    Reason.TEST_NOTIFICATION: Advice(
        "The source's own test of its webhook sent it: it arrived, and there is no such order.", "Nothing."
    ),
    Reason.POLLED: Advice(
        "The notification named no order, so its source was polled at once, which finds the order.",
        "Nothing. To have orders named, let the source send the order's id.",
    ),
    Reason.ORDER_NOT_FOUND: Advice(
        "The source does not know this order.", "Check the number; `cartbridge ingest SOURCE ORDER` looks again."
    ),
    Reason.SOURCE_UNREACHABLE: Advice(
        "The source did not answer, or not with the order; it is asked again at the time shown.",
        "See `cartbridge check`.",
    ),
    Reason.SOURCE_REFUSED: Advice(
        "The source refuses our key, or the request; it is asked again at the time shown.",
        "Correct the key, see `cartbridge check`.",
    ),
    Reason.SOURCE_OFF: Advice("The source is not configured.", "Set its variables, see `cartbridge check`."),
    Reason.ORDER_INCOMPLETE: Advice(
        "The order was read while the source was still writing it: it is paid, with nobody and nothing in it.",
        "Nothing: it is read again at the time shown.",
    ),
    Reason.SUBSCRIPTION_NEWS: Advice(
        "It is news of a subscription, which is no order: the orders it lists are planned by it.", "Nothing."
    ),
    Reason.OFFERS_INVALID: Advice(
        "The offers file cannot be read, so nothing can be planned.",
        "Run `cartbridge offers check` and correct it; planning goes on by itself.",
    ),
    Reason.RECORD_UNREADABLE: Advice(
        "The source's record of this order cannot be read, so it is set aside; the other orders go on.",
        "Look at the order in the source system and correct what the note names; once it reads, that settles it. "
        "`cartbridge ingest SOURCE ORDER` looks at once.",
    ),
}
"""One entry for every reason."""
_KNOWN = {str(reason): reason for reason in Reason}


def advice(code: str | None, *, run_id: str = "RUN", source: str = "SOURCE", order_id: str = "ORDER") -> Advice | None:
    """The advice for a reason code with the ids filled in; None for no code or one this version does not know."""
    reason = _KNOWN.get(code or "")
    if reason is None:
        return None
    found = ADVICE[reason]
    action = found.action
    for word, value in (("RUN", run_id), ("SOURCE", source), ("ORDER", order_id)):
        action = _replace_word(action, word, value)
    return Advice(found.sentence, action)


def _replace_word(text: str, word: str, value: str) -> str:
    return " ".join(part.replace(word, value) if part.strip("`.,:;'\"") == word else part for part in text.split(" "))
