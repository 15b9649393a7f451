"""Studiocart's items as lines and seats.

A product is known by its id. Older versions of the plugin show nothing but names: only there is a line known by its
name, with HTML entities decoded, and without the trailing " x N" where N is its quantity (vendor's sample: "SC Product
1 x 1"). Names follow later renamings, so a name says what a product is called today, never what was bought.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from itertools import islice

from worker.clients.reading import as_decimal
from worker.clients.studiocart import models as records
from worker.sources.order import (
    LARGEST_QUANTITY,
    MOST_LINES,
    Learner,
    Line,
    Product,
    Seat,
    address_note,
    has_too_many_seats,
    is_email,
    trimmed_email,
)
from worker.text.entities import decoded

_NO_SEAT = frozenset({"line item"})
"""Types of items that are no product: a priced field of the main product, under its id, with a quantity of its own."""
_MAIN = "main"
_BUMP_PRICE = "bump"
"""The `price_id` of every order bump: no plan."""
_QUANTITY = re.compile(r"[0-9]{1,9}")
_NOT_READABLE = re.compile(r"[^a-z0-9]+")
_NAMED = re.compile(r"[a-z0-9-]+-[0-9a-f]{8}")


@dataclass
class _Sold:
    """The items of one product."""

    name: str
    quantity: int
    plan_id: str | None
    product_id: str | None
    is_main: bool
    has_trial: bool = False
    is_paid: bool = False
    """Something was paid with it."""


@dataclass(frozen=True)
class NamedLine:
    """A line that one version of an order shows, under the ids that were made of its name."""

    line_ids: frozenset[str]
    product_id: str | None
    name: str


def lines_of(record: records.Order) -> tuple[Line, ...]:
    """The main product's line first, then one for every other product.

    Items of one product are one line, whatever their prices, and their quantities add up: the buyer gets one seat.
    """
    sold = _sold(record)
    if has_too_many_seats(each.quantity for each in sold.values()):
        sold = dict(islice(sold.items(), MOST_LINES))
        for each in sold.values():
            each.quantity = -1
    main_id = _main_id(record, sold)
    main = sold.pop(main_id, None)
    name = plain_text(record.product_name) or (main.name if main is not None else "")
    quantity = 1 if main is None else main.quantity
    plan_id = record.payment_plan_id or (main.plan_id if main is not None else None)
    product_id = _id(record.product_id) if main is None or main.product_id is None else main.product_id
    first = Line(
        id=main_id,
        title=name,
        product=Product(product_id=product_id, plan_id=plan_id, product_name=name or None),
        # No bump can be bought without it, so none of it is as wrong as fewer than none.
        seats=_seats(record, quantity if quantity != 0 else -1),
    )
    return (first, *(_line(record, line_id, each) for line_id, each in sold.items()))


def _line(record: records.Order, line_id: str, sold: _Sold) -> Line:
    product = Product(product_id=sold.product_id, plan_id=sold.plan_id, product_name=sold.name or None)
    return Line(id=line_id, title=sold.name, product=product, seats=_seats(record, sold.quantity))


def _sold(record: records.Order) -> dict[str, _Sold]:
    """What the order sells, by the ids of its lines."""
    items = [item for item in record.items or () if not _has_no_seat(item)]
    main_name = _folded(plain_text(record.product_name))
    shows_quantity = any(_shows_quantity(item, main_name) for item in items)
    by_name: dict[str, str] = {}
    sold: dict[str, _Sold] = {}
    for item in sorted(
        items, key=lambda each: _id(each.product_id) is None
    ):  # those with an id first, else as they are
        product_id = _id(item.product_id)
        name = _product_name(item, main_name, cuts=product_id is None or shows_quantity)
        line_id = product_id or by_name.get(_folded(name))
        if line_id is None:
            is_main_name = _folded(name) == main_name != ""
            line_id = (_id(record.product_id) if is_main_name else None) or name_id(name)
        by_name.setdefault(_folded(name), line_id)
        quantity, is_main = _quantity(item), _type(item) == _MAIN
        if (known := sold.get(line_id)) is not None:
            known.quantity += quantity
            known.is_main = known.is_main or is_main
            known.plan_id = _plan_id(item) if is_main else known.plan_id
        else:
            sold[line_id] = _Sold(name, quantity, _plan_id(item), product_id, is_main)
        sold[line_id].has_trial = sold[line_id].has_trial or has_trial(item)
        sold[line_id].is_paid = sold[line_id].is_paid or is_paid_for(item)
    return sold


def trial_lines_of(record: records.Order) -> tuple[str, ...]:
    """The lines that begin a trial, and with which nothing was paid. What was paid is for the others, where any are."""
    sold = _sold(record)
    _main_id(record, sold)
    on_trial = tuple(line_id for line_id, each in sold.items() if each.has_trial and not each.is_paid)
    return () if record.order_amount and len(on_trial) == len(sold) else on_trial


def has_trial(item: records.OrderItem) -> bool:
    """By the number of days; a version that shows none tells it in words ("$25.00 / month with a 14-day trial")."""
    if item.trial_days is not None:
        return item.trial_days > 0
    return "trial" in (item.sub_summary or "").casefold()


def is_paid_for(item: records.OrderItem) -> bool:
    """Whether an item shows that something was paid with it: its price, or a fee at the beginning of a trial."""
    fee = as_decimal((item.model_extra or {}).get("sign_up_fee"))
    return any((item.total_amount, item.subtotal, item.unit_price, fee))


def _main_id(record: records.Order, sold: dict[str, _Sold]) -> str:
    """The id of the main product's line: the order's own product, which an item of type `main` shows as well."""
    own, name = _id(record.product_id), plain_text(record.product_name)
    if own is not None and own in sold:
        return own
    typed = (line_id for line_id, each in sold.items() if each.is_main)
    called_so = (line_id for line_id, each in sold.items() if each.product_id is None and is_same_name(each.name, name))
    found = next(typed, None) or next(called_so, None)
    if found is None and not (own is not None and any(each.product_id is not None for each in sold.values())):
        found = next(iter(sold), None)  # an order whose own name is not among its items is about the first
    if found is not None and sold[found].product_id is not None:
        return found
    line_id = own or name_id(name or (sold[found].name if found is not None else ""))
    if found is not None:
        sold[line_id] = sold.pop(found)
    return line_id


def _has_no_seat(item: records.OrderItem) -> bool:
    return _type(item) in _NO_SEAT


def _type(item: records.OrderItem) -> str:
    return " ".join((item.item_type or "").replace("_", " ").replace("-", " ").split()).casefold()


def _plan_id(item: records.OrderItem) -> str | None:
    plan_id = (item.price_id or "").strip()
    return None if plan_id in {"", _BUMP_PRICE} else plan_id


def _id(product_id: str | None) -> str | None:
    """A product's id; WordPress writes 0 for none."""
    found = (product_id or "").strip()
    return None if found in {"", "0"} else found


# Names


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


def plain_text(name: str | None) -> str:
    """A name as people read it: HTML entities decoded, white space evened out."""
    return decoded(name)


def name_id(name: str) -> str:
    """A line id for an item without one: readable, and distinct for distinct names."""
    readable = _NOT_READABLE.sub("-", name.casefold()).strip("-")[:40]
    digest = hashlib.sha256(_folded(name).encode()).hexdigest()[:8]
    return f"{readable}-{digest}" if readable else f"item-{digest}"


NAMELESS = name_id("")
"""The line id of an item that shows neither an id nor a name."""


def is_name_id(line_id: str) -> bool:
    """Whether a line's id was made of a name. That of no name at all tells nothing, and is none."""
    return not line_id.isdecimal() and line_id != NAMELESS and _NAMED.fullmatch(line_id) is not None


def is_same_name(one: str, other: str) -> bool:
    """Whether two names are the same to people."""
    return _folded(plain_text(one)) == _folded(plain_text(other)) != ""


def named_lines(record: records.Order) -> tuple[NamedLine, ...]:
    """The lines of one version of an order by the ids that were made of their names, by this version or an earlier.

    Earlier versions of Cartbridge knew every line but the main one by its name, entities and all, and cut off every
    trailing " x N".
    """
    shown = [(item.product_name or "", _id(item.product_id), _quantity(item)) for item in record.items or ()]
    shown.append((record.product_name or "", _id(record.product_id), 1))
    found = []
    for written, product_id, quantity in shown:
        whole, cut = plain_text(written), _cut(plain_text(written), quantity)
        before = " ".join(_name_and_quantity(written)[0].split())
        ids = frozenset(map(name_id, (whole, cut, before)))
        found.append(NamedLine(ids, product_id, whole if product_id is not None else cut))
    return tuple(found)


def _shows_quantity(item: records.OrderItem, main_name: str) -> bool:
    """Whether this site's names end in " x N", as the main item shows beside the order's own name of the product."""
    name = plain_text(item.product_name)
    return main_name != "" and _folded(name) != main_name and _folded(_cut(name, _quantity(item))) == main_name


def _product_name(item: records.OrderItem, main_name: str, *, cuts: bool) -> str:
    name = plain_text(item.product_name)
    return name if not cuts or _folded(name) == main_name else _cut(name, _quantity(item))


def _cut(name: str, quantity: int) -> str:
    cut, found = _name_and_quantity(name)
    return cut.rstrip() if found == quantity else name


def _name_and_quantity(name: str) -> tuple[str, int | None]:
    parts = name.rsplit(maxsplit=2)
    if len(parts) == 3 and parts[1] in {"x", "X"} and _QUANTITY.fullmatch(parts[2]):
        return parts[0], int(parts[2])
    return name, None


# Seats


def _seats(record: records.Order, quantity: int) -> tuple[Seat, ...]:
    """The buyer's seat, and a nameless one for each further: Studiocart asks for nobody's name but the buyer's."""
    learner, hold = _buyer(record)
    if not 0 <= quantity <= LARGEST_QUANTITY:
        return (Seat(id="buyer", learner=learner, hold="invalid_quantity"),)
    return tuple(
        Seat(id="buyer", learner=learner, hold=hold, note=address_note(hold, record.customer_email))
        if number == 1
        else Seat(id=f"seat-{number}", hold="unnamed_seat")
        for number in range(1, quantity + 1)
    )


def _buyer(record: records.Order) -> tuple[Learner | None, str | None]:
    email = trimmed_email(record.customer_email)
    if not email:
        return None, "missing_email"
    if not is_email(email):
        return None, "invalid_email"
    first, last = plain_text(record.customer_firstname), plain_text(record.customer_lastname)
    if not first and not last:
        first, _, last = plain_text(record.customer_name).partition(" ")
    return Learner(email=email, first_name=first, last_name=last.strip()), None


def _quantity(item: records.OrderItem) -> int:
    """The item's quantity, else the number the name of one without an id ends in, else 1."""
    if item.quantity is not None:
        return item.quantity
    named = None if _id(item.product_id) is not None else _name_and_quantity(item.product_name or "")[1]
    return named or 1
