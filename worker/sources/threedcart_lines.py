"""The lines of a 3dcart order and the seats on them, from its items. Every field of them is from public material."""

from __future__ import annotations

import hashlib
import html
import re
from decimal import Decimal
from itertools import islice
from typing import Final

from worker.clients.threedcart.models import Order, OrderItem
from worker.sources.order import (
    LARGEST_QUANTITY,
    MOST_LINES,
    Address,
    Learner,
    Line,
    Product,
    Seat,
    address_note,
    email_key,
    has_too_many_seats,
    is_email,
    trimmed_email,
)
from worker.text.entities import decoded

_PLAIN_SKU: Final = re.compile(r"[A-Za-z0-9._-]{1,40}")
_KIT_PART: Final = re.compile(r"\s*KIT ITEM\s*:", re.IGNORECASE)
"""How the vendor marks the parts of a kit, which is an item of its own."""
_TAG: Final = re.compile(r"<[/!A-Za-z][^<>]*(?:>|$)")
"""A tag, or the beginning of one at which a text was cut off. Takes time in proportion to the text's length."""
_LONGEST_MARKUP: Final = 20_000
"""What stands beyond is not read: no title is so long."""
_LONGEST_TITLE: Final = 200


def lines_of(record: Order) -> tuple[Line, ...]:
    """One line for each product: items of one CatalogID and ItemID add up, whatever their options.

    Discounts are no line, nor are the parts of a kit beside the kit. An order without a seat would pass unseen: one
    that has no items, or none of any, has a seat for a person to look at.
    """
    items: dict[str, OrderItem] = {}
    quantities: dict[str, Decimal] = {}
    for item in _sold(record.order_item_list or ()):
        line_id = line_id_of(None if item.catalog_id is None else str(item.catalog_id), trimmed(item.item_id))
        items.setdefault(line_id, item)
        quantities[line_id] = quantities.get(line_id, Decimal(0)) + _quantity(item)
    if not items:
        return (Line(id="order", title="no items", seats=_seats(record, Decimal(1))),)
    is_too_large = has_too_many_seats(quantities.values())
    is_wrong = is_too_large or all(quantity == 0 for quantity in quantities.values())
    return tuple(
        Line(
            id=line_id,
            title=_title(item),
            product=Product(
                product_id=None if item.catalog_id is None else str(item.catalog_id), sku=trimmed(item.item_id) or None
            ),
            seats=_seats(record, Decimal(-1) if is_wrong else quantities[line_id]),
        )
        for line_id, item in islice(items.items(), MOST_LINES if is_too_large else None)
    )


def trimmed(text: str | None) -> str:
    """A text without white space at its ends; empty for none."""
    return (text or "").strip()


def _sold(items: tuple[OrderItem, ...]) -> list[OrderItem]:
    """The items that are products somebody bought."""
    products = [item for item in items if not _is_discount(item)]
    whole = [item for item in products if not _is_kit_part(item)]
    return whole or products


def _is_discount(item: OrderItem) -> bool:
    """Whether an item takes something off the price, or names no product and costs nothing."""
    price = _price(item)
    names_product = item.catalog_id is not None or trimmed(item.item_id)
    return price is not None and (price < 0 or (price == 0 and not names_product))


def _is_kit_part(item: OrderItem) -> bool:
    """Whether an item is only listed for a kit that is itself an item: it is marked so, and costs nothing by itself."""
    return _KIT_PART.match(item.item_description or "") is not None and not _price(item)


def _price(item: OrderItem) -> Decimal | None:
    """What one of an item costs with its options; None where the record does not say."""
    if item.item_unit_price is None and item.item_option_price is None:
        return None
    return (item.item_unit_price or Decimal(0)) + (item.item_option_price or Decimal(0))


def _quantity(item: OrderItem) -> Decimal:
    """The item's quantity, else 1; cut to what can be added up without overflow."""
    most = Decimal(LARGEST_QUANTITY * LARGEST_QUANTITY)
    return Decimal(1) if item.item_quantity is None else max(-most, min(item.item_quantity, most))


def line_id_of(catalog_id: str | None, sku: str) -> str:
    """`1234-FIRST-AID`: an item's own numbers, which do not change with the other items of its order."""
    if sku and not _PLAIN_SKU.fullmatch(sku):
        sku = f"item-{hashlib.sha256(sku.encode()).hexdigest()[:8]}"
    if catalog_id is None:
        return f"sku-{sku}" if sku else "item"
    return f"{catalog_id}-{sku}" if sku else catalog_id


def _title(item: OrderItem) -> str:
    """The item's description, which holds markup, as people read it; else its SKU."""
    return plain_text(item.item_description or "", longest=_LONGEST_TITLE) or trimmed(item.item_id)[:_LONGEST_TITLE]


def _seats(record: Order, quantity: Decimal) -> tuple[Seat, ...]:
    """The buyer's seat, and a nameless one for each further: the store asks for nobody's name but the buyer's.

    What the checkout's own questions say of learners is a note for a person: no field tells whom an answer is about.
    """
    learner, hold = _buyer(record)
    asked = _answered_question(record)
    note = " ".join(filter(None, (address_note(hold, record.billing_email), asked)))
    if not 0 <= quantity <= LARGEST_QUANTITY or quantity != quantity.to_integral_value():
        return (Seat(id="buyer", learner=learner, hold="invalid_quantity"),)
    return tuple(
        Seat(id="buyer", learner=learner, hold=hold, note=note if hold else "")
        if number == 1
        else Seat(id=f"seat-{number}", hold="unnamed_seat", note=asked)
        for number in range(1, int(quantity) + 1)
    )


def _buyer(record: Order) -> tuple[Learner | None, str | None]:
    email = trimmed_email(record.billing_email)
    if not email:
        return None, "missing_email"
    if not is_email(email):
        return None, "invalid_email"
    address = Address(
        line_1=decoded(record.billing_address),
        line_2=decoded(record.billing_address_2),
        city=decoded(record.billing_city),
        state=decoded(record.billing_state),
        zip=decoded(record.billing_zip_code),
        country=decoded(record.billing_country),
    )
    learner = Learner(
        email=email,
        first_name=decoded(record.billing_first_name),
        last_name=decoded(record.billing_last_name),
        address=None if address == Address() else address,
    )
    return learner, None


def _answered_question(record: Order) -> str:
    """Which question of the checkout somebody answered with an address that is not the buyer's; empty for none."""
    buyer = email_key(record.billing_email or "")
    for question in record.question_list or ():
        answer = trimmed(question.question_answer)
        if is_email(answer) and email_key(answer) != buyer:
            title = plain_text(question.question_title or "", longest=80)
            named = f'The order\'s question "{title}"' if title and "@" not in title else "A question of the order"
            return f"{named} was answered with an address."
    return ""


def plain_text(markup: str, *, longest: int) -> str:
    """A text on one line, without tags and with its entities decoded, cut to `longest` characters."""
    without_tags = _TAG.sub(" ", markup[:_LONGEST_MARKUP])
    return " ".join(html.unescape(without_tags).split())[:longest].rstrip()
