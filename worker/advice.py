"""What each reason means, and what to do about it: a sentence for people, and the actions in it for programs."""

from __future__ import annotations

from dataclasses import dataclass

from worker.actions import ORDER, RUN, SOURCE, Action, NextStep
from worker.reasons import Reason


@dataclass(frozen=True)
class Advice:
    """What a reason means, in a sentence, and what to do."""

    sentence: str
    step: NextStep

    @property
    def action(self) -> str:
        """What to do, for people."""
        return self.step.text

    @property
    def actions(self) -> tuple[Action, ...]:
        """What to do, for programs."""
        return self.step.actions


def _advice(sentence: str, step: str) -> Advice:
    return Advice(sentence, NextStep.of(step))


_GOES_ON = "Nothing: it goes on by itself."
_NOTHING = "Nothing."
_TAKE_BACK = "Take the access back in LearningCart by hand if that is your rule, then {resolve}."
_TAKE_BACK_UNLESS_RENEWED = (
    "Take the access back in LearningCart by hand on that date if that is your rule, then {resolve}. Nothing if it is "
    "renewed: that settles it."
)
_GIVE_AGAIN = "Give access again in LearningCart by hand if it was taken, then {resolve}."
ADVICE: dict[Reason, Advice] = {
    Reason.UNMAPPED_PRODUCT: _advice(
        "No offer and no ignore matches this product, so nobody knows which course it sells.",
        "Add an [[offer]] or [[ignore]] for it to the offers file, run {check_offers}, then {replay}.",
    ),
    Reason.UNNAMED_SEAT: _advice(
        "The seat was bought, but the order names nobody for it.",
        "Ask the buyer for the learner, then {name_seat}; a whole group at once on the order's page, or by "
        "`--order` and `--file`. Given by hand already: {resolve_naming}.",
    ),
    Reason.MISSING_EMAIL: _advice(
        "The learner has no email address, and LearningCart knows people by email.",
        "Add the email in the source system; the next look at the order provisions the seat. Or here: {name_seat}.",
    ),
    Reason.INVALID_EMAIL: _advice(
        "The learner's email address cannot be one.",
        "Correct the email in the source system; the next look at the order provisions the seat. Or here: {name_seat}.",
    ),
    Reason.INVALID_QUANTITY: _advice(
        "The line's quantity is not a number of seats that can be provisioned.",
        "Look at the order in the source system, provision by hand, then {resolve}.",
    ),
    Reason.SHARED_EMAIL: _advice(
        "Learners of different names share this email, in this order or with one before, and LearningCart knows one "
        "person by an email: the last name would overwrite the others.",
        "Give each learner an email of their own in the source system; the next look at the order provisions the "
        "seats. Is it this learner's after all: {replay}. Else give access by hand, then {resolve_naming}. Either "
        "answer holds for this name and email in later orders too.",
    ),
    Reason.WAITING_LIST: _advice(
        "The learner is on the course's waiting list.",
        "Confirm the place in the source system, or remove it; the next look at the order provisions a confirmed seat.",
    ),
    Reason.COURSE_CANCELLED: _advice(
        "The course date of this place was cancelled.",
        "Move the learner to another date in the source system, or remove the place; the next look at the order "
        "provisions a seat on a date that takes place.",
    ),
    Reason.RENEWAL_UNDECIDED: _advice(
        "The order renews a subscription, and its offer does not say whether a renewal grants access again; or it is a "
        "later payment for what was not bought before, or of a purchase that gave no access, or whose access was taken "
        "back.",
        'Add renewals = "grant" or renewals = "ignore" to the offer, then {replay}. For what was not bought before, or '
        "nobody has: {replan}; nothing is to be given: {resolve}.",
    ),
    Reason.SUBSCRIPTION_UNLISTED: _advice(
        "The buyer has a subscription to this product, which does not list the order: it may renew that one, or be a "
        "purchase of its own.",
        "Nothing if it renews: that settles it once it is listed. A purchase of its own: {replan}.",
    ),
    Reason.UNKNOWN_STATUS: _advice(
        "The source gives the order, the place, or the subscription that pays for it, a status nobody has ruled on.",
        "Look at the order in the source system; a status we know settles this by itself, else give access, or take "
        "it back, by hand in LearningCart, and {resolve}.",
    ),
    Reason.PAYMENT_UNPROVEN: _advice(
        "The order has been complete, or without a status, for a day, and nothing in it shows that money was taken, so "
        "nobody was given access.",
        "Look at the order in the source system. Paid: give it a status there that counts as paid, which settles "
        "this. Not to be paid: {cancel}.",
    ),
    Reason.OLDER_THAN_START: _advice(
        "The order was made before Cartbridge started here and counts as paid now, so it may have been provisioned by "
        "hand.",
        "Check in LearningCart whether the learner has access: {resolve} if so, else {replay}.",
    ),
    Reason.PAID_AFTER_CANCEL: _advice(
        "An operator cancelled this run, and the order was paid again afterwards.",
        "{replay} to provision it after all, or {cancel} to leave it cancelled.",
    ),
    Reason.REOPENED: _advice(
        "An operator reopened it: how it had been settled no longer holds.",
        "Check in LearningCart whether the learner has access: {resolve} if so, else {replay}, or {cancel}.",
    ),
    Reason.READ_ANEW: _advice(
        "Only this version of Cartbridge reads that the seat was paid for; it may have been provisioned by hand.",
        "Check in LearningCart. Has the learner access: {resolve}; else {replay}. For all at once, the same with "
        "`--review-reason read_anew` in the place of the run.",
    ),
    Reason.LINE_RENAMED: _advice(
        "A line of the order is gone and this one came: it may be the same product under another name or number, "
        "whose learner has been dealt with.",
        "Compare the two: another product: {replay}; the same one: {cancel}.",
    ),
    Reason.REPEATED_WEBHOOK: _advice(
        "The order or this seat was paid for, taken back or changed, and the webhook that says otherwise may be an old "
        "one that was sent again.",
        "Look at the order in the source system. Paid: {replay}, or {resolve} where access was given. Not paid: "
        "{cancel}, or take the access back by hand.",
    ),
    Reason.ANSWERED_BY_HAND: _advice(
        "An operator answered the question about the whole order, perhaps by giving access by hand; it is paid now.",
        "Check in LearningCart whether the learner has access: {resolve} if so, else {replay}.",
    ),
    Reason.LEARNER_ERASED: _advice(
        "The learner was forgotten at their request, and the order, which is older, would give them access now.",
        "To give it: by hand, then {resolve}; else {cancel}.",
    ),
    Reason.OUTCOME_UNPROVABLE: _advice(
        "LearningCart may already have made the comped order, and an order without our reference keeps us from "
        "proving it did not.",
        "Look at the learner's orders in LearningCart. Made: {resolve_found} with LearningCart's order id. Not made: "
        "{repeat_comped_order}.",
    ),
    Reason.OUTCOME_UNKNOWN: _advice(
        "Whether the call was carried out is not known, so its order may exist: the destination could not be asked "
        "for it, its answers stayed unknown until the attempts were spent, or it is a call that cannot be asked "
        "about.",
        "When the destination works again, {replay}: it asks first where that can be asked, and sends only if nothing "
        "was done. Of a mail nobody can be asked but its reader: has it arrived, {resolve}; else {repeat} sends it "
        "anew.",
    ),
    Reason.DUPLICATE_EFFECT: _advice(
        "LearningCart holds two comped orders for one enrolment, or one of ours beside what was done by hand.",
        "Look at the learner's orders in LearningCart, and cancel one there by hand if there are two; then {resolve}.",
    ),
    Reason.REFUNDED_AFTER_PROVISIONING: _advice(
        "The order was refunded after access was given, and no API call can take access back.", _TAKE_BACK
    ),
    Reason.CANCELLED_AFTER_PROVISIONING: _advice(
        "The order was cancelled after access was given, and no API call can take access back.", _TAKE_BACK
    ),
    Reason.REMOVED_AFTER_PROVISIONING: _advice(
        "The seat was removed from the order, or moved to another course, after access was given, and no API call can "
        "take access back.",
        _TAKE_BACK,
    ),
    Reason.PLACE_LOST_AFTER_PROVISIONING: _advice(
        "The learner's place went to the waiting list, or its course date was cancelled, after access was given, and "
        "no API call can take access back.",
        "Nothing if the learner gets another place: that settles it. Else take the access back in LearningCart by "
        "hand if that is your rule, then {resolve}.",
    ),
    Reason.PARTIALLY_REFUNDED: _advice(
        "The order is still paid, but for less than before, and nothing tells which seat the refund is for.",
        "Look at the order in the source system. If a learner is to lose access, remove the seat there or take the "
        "access back in LearningCart by hand; then {resolve}.",
    ),
    Reason.SUBSCRIPTION_CANCELED: _advice(
        "The subscription that pays for this access was canceled.", _TAKE_BACK_UNLESS_RENEWED
    ),
    Reason.SUBSCRIPTION_PAUSED: _advice(
        "The subscription that pays for this access was paused.",
        "Take the access back in LearningCart by hand on that date if that is your rule, then {resolve}. Nothing if "
        "it goes on: that settles it.",
    ),
    Reason.SUBSCRIPTION_PAST_DUE: _advice(
        "A payment of the subscription that pays for this access is overdue.",
        "Take the access back in LearningCart by hand on that date if that is your rule, then {resolve}. Nothing if "
        "it is paid: that settles it.",
    ),
    Reason.SUBSCRIPTION_EXPIRED: _advice(
        "The subscription that pays for this access came to its end.", _TAKE_BACK_UNLESS_RENEWED
    ),
    Reason.SUBSCRIPTION_RESUMED: _advice(
        "The subscription goes on after somebody had dealt with taking its access back.", _GIVE_AGAIN
    ),
    Reason.CART_DIFFERS: _advice(
        "The cart in 3dcart is not the one that was to be made: one item, once, with an address for its checkout.",
        "Correct it in 3dcart (the item once, nothing else, the learner's own billing fields), then {replay}; or have "
        "another one made: {repeat_cart}.",
    ),
    Reason.PAID_AFTER_REVOCATION: _advice(
        "The order is paid again, or the seat is in it again, after somebody had dealt with taking its access back.",
        _GIVE_AGAIN,
    ),
    Reason.LEARNER_CHANGED: _advice(
        "The seat's learner was changed in the source after access was given to the one named before.",
        "Give the new learner access by hand if the seat moved, then {resolve}.",
    ),
    Reason.REFUSED: _advice(
        "The destination refused the call, and would refuse it again.",
        "Read the error, correct the destination, then {replay}; where you correct the offer, {replan}.",
    ),
    Reason.REQUEST_REFUSED: _advice(
        "The destination does not take this one request, and answers others: something in it, such as the learner's "
        "name, is stopped by a firewall or by its own validation.",
        "{show_run} has the error. Have the destination let it pass, or correct the name in the source system, then "
        "{replay}; or give access by hand, then {resolve}.",
    ),
    Reason.TLS_FAILURE: _advice(
        "The destination's TLS certificate could not be verified, so nothing was sent.",
        "Correct the address or the certificate, see {check}, then {replay}.",
    ),
    Reason.ATTEMPTS_SPENT: _advice(
        "The call failed as often as the settings allow.", "See {check}; when the destination works again, {replay}."
    ),
    Reason.UNEXPECTED_ERROR: _advice(
        "Cartbridge itself failed in a way it does not know.",
        "{show_run}, and report the error it names; {replay} tries again.",
    ),
    Reason.AUTHENTICATION: _advice(
        "The destination refuses our credentials, so it is paused and the run waits.",
        "Correct the credentials, see {check}, then {resume_learningcart} (or the other destination, where that is "
        "the paused one).",
    ),
    Reason.RETRYING: _advice("The last attempt failed and is tried again at the time shown.", _GOES_ON),
    Reason.SETTLING: _advice(
        "The last attempt's outcome is unknown, so it may have been carried out already: the destination is asked "
        "until it tells, and nothing is sent before; a call that does no harm twice is repeated after the settle "
        "time.",
        _GOES_ON,
    ),
    Reason.WORKER_VANISHED: _advice(
        "The worker vanished while it held the run; what it may have sent settles first, then the run goes on.",
        _GOES_ON,
    ),
    Reason.LEASE_SHORT: _advice("The lease would have ended before the call could, so nothing was sent.", _GOES_ON),
    Reason.SUPERSEDED: _advice("It was replaced by the runs that were planned once its cause was gone.", _NOTHING),
    Reason.CANCELLED_BY_SOURCE: _advice(
        "The order was cancelled or failed, and Cartbridge has given no access by it.",
        "Nothing: a later payment revives it.",
    ),
    Reason.REFUNDED_BY_SOURCE: _advice(
        "The order was refunded, and Cartbridge has given no access by it.", "Nothing: a later payment revives it."
    ),
    Reason.REMOVED_FROM_ORDER: _advice(
        "The seat was removed from the order, or moved to another course, and Cartbridge has given no access by it.",
        _NOTHING,
    ),
    Reason.CANCELLED_BY_OPERATOR: _advice("An operator cancelled it.", "{replay} starts it after all."),
    Reason.DONE_BY_HAND: _advice("An operator did it by hand.", _NOTHING),
    Reason.SETTLED_BY_SOURCE: _advice("News from the source removed its cause.", _NOTHING),
    Reason.BEFORE_START: _advice(
        "The order was paid before Cartbridge started here (START_AT), so it is taken as already handled.",
        "If it was not: {ingest} puts its seats into review, which tells how each is provisioned.",
    ),
    Reason.IGNORED_PRODUCT: _advice("Every product in it is on the ignore list.", _NOTHING),
    Reason.RENEWAL_IGNORED: _advice("It renews a subscription whose offer ignores renewals.", _NOTHING),
    Reason.INSTALMENT: _advice(
        "It is a later instalment of a purchase that gave access with its first payment.", _NOTHING
    ),
    Reason.ON_TRIAL: _advice(
        "It begins a trial, and access comes with the first payment.",
        "Nothing: the first payment starts it. CARTBRIDGE_STUDIOCART__TRIALS=grant gives access with the trial.",
    ),
    Reason.COVERED_BY_OTHER_LINE: _advice(
        "The same participant gets the same access by another line of the order.", _NOTHING
    ),
    Reason.AWAITING_PAYMENT: _advice(
        "The order is not paid; it waits for news from the source.", "Nothing: payment starts it."
    ),
    Reason.ALREADY_BOUGHT: _advice(
        "The learner has bought the follow-on course already.", "Nothing: {replay} looks again."
    ),
    Reason.LEAD: _advice("A lead has no order.", _NOTHING),
    Reason.TEST_NOTIFICATION: _advice(
        "The source's own test of its webhook sent it: it arrived, and there is no such order.", _NOTHING
    ),
    Reason.POLLED: _advice(
        "The notification named no order, so its source was polled at once, which finds the order.",
        "Nothing. To have orders named, let the source send the order's id.",
    ),
    Reason.ORDER_NOT_FOUND: _advice("The source does not know this order.", "Check the number; {ingest} looks again."),
    Reason.SOURCE_UNREACHABLE: _advice(
        "The source did not answer, or not with the order; it is asked again at the time shown.", "See {check}."
    ),
    Reason.SOURCE_REFUSED: _advice(
        "The source refuses our key, or the request; it is asked again at the time shown.",
        "Correct the key, see {check}.",
    ),
    Reason.SOURCE_OFF: _advice("The source is not configured.", "Set its variables, see {check}."),
    Reason.ORDER_INCOMPLETE: _advice(
        "The order was read while the source was still writing it: it is paid, with nobody and nothing in it.",
        "Nothing: it is read again at the time shown.",
    ),
    Reason.SUBSCRIPTION_NEWS: _advice(
        "It is news of a subscription, which is no order: the orders it lists are planned by it.", _NOTHING
    ),
    Reason.OFFERS_INVALID: _advice(
        "The offers file cannot be read, so nothing can be planned.",
        "Run {check_offers} and correct it; planning goes on by itself.",
    ),
    Reason.RECORD_UNREADABLE: _advice(
        "The source's record of this order cannot be read, so it is set aside; the other orders go on.",
        "Look at the order in the source system and correct what the note names; once it reads, that settles it. "
        "{ingest} looks at once.",
    ),
}
"""One entry for every reason."""
_KNOWN = {str(reason): reason for reason in Reason}


def advice(
    code: str | None, *, run_id: str | None = None, source: str | None = None, order_id: str | None = None
) -> Advice | None:
    """The advice for a reason code with the ids filled in; None for no code or one this version does not know."""
    reason = _KNOWN.get(code or "")
    if reason is None:
        return None
    found = ADVICE[reason]
    values = {RUN: run_id, SOURCE: source, ORDER: order_id}
    return Advice(found.sentence, found.step.filled({blank: text for blank, text in values.items() if text}))
