"""The offers file: which product of which source grants what. Read whole, checked whole, matched without guessing."""

from __future__ import annotations

import hashlib
import html
import json
import re
import tomllib
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from worker.errors import ConfigurationError
from worker.sources.order import Line, Product

SELECTORS: dict[str, tuple[str, ...]] = {
    "studiocart": ("product_id", "plan_id", "product_name"),
    "frontcore": ("product_id", "course_id"),
    "threedcart": ("product_id", "sku"),
}
"""What an offer or ignore may name, by source."""
_SPECIFICITY = {"plan_id": 8, "course_id": 4, "sku": 3, "product_id": 2, "product_name": 1}
_LARGEST_ID = 2**31 - 1
_LONGEST_PROBLEM = 500
_TOML_POSITION = re.compile(r"\(at line (\d+), column (\d+)\)")


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), BeforeValidator(_as_text)]
Id = Annotated[int, Field(strict=True, gt=0, le=_LARGEST_ID)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Grant(_Entry):
    """One LearningCart price and the groups that go with it. One run each."""

    price_id: Id
    group_ids: tuple[Id, ...] = ()


class Rule(_Entry):
    """What an offer and an ignore share: the source and the product it names."""

    source: Literal["studiocart", "frontcore", "threedcart"]
    product_id: Text | None = None
    plan_id: Text | None = None
    product_name: Text | None = None
    course_id: Text | None = None
    sku: Text | None = None

    @property
    def selectors(self) -> dict[str, str]:
        """The names it gives, by kind."""
        return {name: value for name in _SPECIFICITY if (value := getattr(self, name)) is not None}

    @property
    def specificity(self) -> int:
        """Higher wins: plan over course over sku over product over name; two names over one."""
        return sum(_SPECIFICITY[name] for name in self.selectors)

    def matches(self, source: str, product: Product) -> bool:
        """Whether every name it gives is the product's."""
        return self.source == source and all(
            getattr(product, name) is not None and _normal(name, getattr(product, name)) == _normal(name, value)
            for name, value in self.selectors.items()
        )

    @property
    def label(self) -> str:
        """For people: `studiocart product_id=1107`."""
        return " ".join([self.source, *(f"{name}={value}" for name, value in self.selectors.items())])


class Offer(Rule):
    """The operator's rule: this product of this source grants this."""

    grants: tuple[Grant, ...] = Field(min_length=1)
    renewals: Literal["grant", "ignore"] | None = None


class Ignore(Rule):
    """A product that is not a course."""


class FollowOn(_Entry):
    """A completion of this LearningCart course prepares a 3dcart cart with this item.

    Who has the item already gets none: who bought it in the store, and who was given one of the LearningCart prices
    that the offers grant for it, or that `price_ids` names.
    """

    course_id: Id
    catalog_id: Id
    sku: Text | None = None
    """The item's SKU, where offers name it by that."""
    price_ids: tuple[Id, ...] = ()


class _File(_Entry):
    offer: tuple[Offer, ...] = ()
    ignore: tuple[Ignore, ...] = ()
    follow_on: tuple[FollowOn, ...] = ()


@dataclass(frozen=True)
class Offers:
    """All rules of one offers file."""

    offers: tuple[Offer, ...] = ()
    ignores: tuple[Ignore, ...] = ()
    follow_ons: tuple[FollowOn, ...] = ()

    def match(self, source: str, line: Line) -> Offer | Ignore | None:
        """The most specific rule for a line, None where there is none."""
        rules: tuple[Offer | Ignore, ...] = (*self.offers, *self.ignores)
        found = [rule for rule in rules if rule.matches(source, line.product)]
        return max(found, key=lambda rule: rule.specificity, default=None)

    def follow_on_of(self, course_id: str) -> FollowOn | None:
        """The rule for a completed course, None where there is none."""
        return next((rule for rule in self.follow_ons if str(rule.course_id) == course_id), None)

    def prices_of(self, rule: FollowOn) -> frozenset[int]:
        """The LearningCart prices that say, of whoever has one, that the rule's item was bought."""
        item = Product(product_id=str(rule.catalog_id), sku=rule.sku)
        granted = (offer.grants for offer in self.offers if offer.matches("threedcart", item))
        return frozenset(rule.price_ids) | {grant.price_id for grants in granted for grant in grants}

    @property
    def digest(self) -> str:
        """Changes when a rule changes; comments and order of keys do not matter."""
        rules = [rule.model_dump(mode="json") for rule in (*self.offers, *self.ignores, *self.follow_ons)]
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:16]


class OffersError(ConfigurationError):
    """The offers file cannot be used; one problem a line, each with its place in the file."""

    def __init__(self, message: str = "", *, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


def parse_offers(text: str, *, name: str = "offers.toml") -> Offers:
    """Read and check an offers file's text; raises `OffersError` naming every problem with its line."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise refuse(name, [_toml_problem(name, error)]) from None
    except (ValueError, RecursionError):
        problem = f"{name}: a number has too many digits, or lists are nested too deep"
        raise refuse(name, [problem]) from None
    places = _Places(text)
    try:
        file = _File.model_validate(document)
    except ValidationError as error:
        raise refuse(name, _validation_problems(name, places, error)) from None
    problems = [
        *_selector_problems(name, places, "offer", file.offer),
        *_selector_problems(name, places, "ignore", file.ignore),
        *_grant_problems(name, places, file.offer),
        *_tie_problems(name, places, file),
        *_follow_on_problems(name, places, file.follow_on),
    ]
    if problems:
        raise refuse(name, problems)
    return Offers(file.offer, file.ignore, file.follow_on)


def _normal(selector: str, value: str) -> str:
    # A name copied out of Studiocart may hold HTML entities.
    return " ".join(html.unescape(value).split()).casefold() if selector == "product_name" else value.strip()


def short_problem(problems: tuple[str, ...]) -> str:
    """The first of several problems, and how many more there are, in a line."""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return problems[0][:_LONGEST_PROBLEM] + more


def refuse(name: str, problems: list[str]) -> OffersError:
    """The error for a file with these problems, one a line."""
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    return OffersError("\n".join([f"{name} has {count}:", *problems]), problems=tuple(problems))


def _toml_problem(name: str, error: tomllib.TOMLDecodeError) -> str:
    message = str(error)
    found = _TOML_POSITION.search(message)
    if found is None:
        return f"{name}: {message}"
    return f"{name}:{found.group(1)}: {message[: found.start()].strip()} (column {found.group(2)})"


class _Places:
    """Where each table and each key of it stands in the text: TOML's reader does not tell."""

    _HEADER = re.compile(r"^\s*\[\[?\s*([\w-]+)\s*\]")
    _KEY = re.compile(r"^\s*([\w-]+)\s*=")

    def __init__(self, text: str) -> None:
        self._tables: dict[tuple[str, int], int] = {}
        self._keys: dict[tuple[str, int, str], int] = {}
        counts: dict[str, int] = {}
        current: tuple[str, int] | None = None
        for number, line in enumerate(text.splitlines(), start=1):
            if header := self._HEADER.match(line):
                kind = header.group(1)
                current = (kind, counts.get(kind, 0))
                counts[kind] = current[1] + 1
                self._tables[current] = number
            elif (key := self._KEY.match(line)) and current is not None:
                self._keys.setdefault((*current, key.group(1)), number)
            elif key:
                self._tables.setdefault((key.group(1), 0), number)

    def line(self, kind: str, index: int = 0, key: str | None = None) -> int:
        """The line of a key, of its table where the key is not there, 1 where neither is."""
        table = self._tables.get((kind, index), self._tables.get((kind, 0), 1))
        return table if key is None else self._keys.get((kind, index, key), table)


def _validation_problems(name: str, places: _Places, error: ValidationError) -> list[str]:
    problems = []
    details = error.errors(include_url=False)
    for detail in details:
        kind, *rest = detail["loc"]
        if detail["type"] == "too_short" and any(
            detail["loc"] == other["loc"][: len(detail["loc"])] for other in details if other is not detail
        ):
            continue  # a list counts as too short once what is wrong in it is left out
        index = rest[0] if rest and isinstance(rest[0], int) else 0
        key = next((part for part in rest if isinstance(part, str)), None)
        field = ".".join(str(part) for part in rest[1:]) or str(kind)
        message = {"extra_forbidden": "is not a known key", "missing": "is missing"}.get(detail["type"], detail["msg"])
        problems.append(f"{name}:{places.line(str(kind), index, key)}: [[{kind}]] {field}: {message}")
    return problems


def _selector_problems(name: str, places: _Places, kind: str, rules: tuple[Any, ...]) -> list[str]:
    problems = []
    for index, rule in enumerate(rules):
        allowed = SELECTORS[rule.source]
        if not rule.selectors:
            problems.append(
                f"{name}:{places.line(kind, index)}: [[{kind}]] names no product; give one of {', '.join(allowed)}"
            )
        problems += [
            f"{name}:{places.line(kind, index, selector)}: [[{kind}]] {selector} is not for {rule.source}; it "
            f"knows {', '.join(allowed)}"
            for selector in rule.selectors
            if selector not in allowed
        ]
    return problems


def _grant_problems(name: str, places: _Places, offers: tuple[Offer, ...]) -> list[str]:
    problems = []
    for index, offer in enumerate(offers):
        line = places.line("offer", index, "grants")
        prices = [grant.price_id for grant in offer.grants]
        problems += [
            f"{name}:{line}: [[offer]] grants price {price} twice; one enrolment has one comped order of a price"
            for price in sorted({price for price in prices if prices.count(price) > 1})
        ]
        problems += [
            f"{name}:{line}: [[offer]] names a group of price {grant.price_id} twice"
            for grant in offer.grants
            if len(set(grant.group_ids)) < len(grant.group_ids)
        ]
        if offer.renewals is not None and offer.source != "studiocart":
            where = places.line("offer", index, "renewals")
            problems.append(f"{name}:{where}: [[offer]] renewals is for studiocart, which has subscriptions")
    return problems


def _tie_problems(name: str, places: _Places, file: _File) -> list[str]:
    """Two rules tie when some product is matched by both with equal specificity."""
    problems = []
    rules = [("offer", i, r) for i, r in enumerate(file.offer)] + [("ignore", i, r) for i, r in enumerate(file.ignore)]
    for later, (kind, index, rule) in enumerate(rules):
        for other_kind, other_index, other in rules[:later]:
            if _tie(rule, other):
                problems.append(
                    f"{name}:{places.line(kind, index)}: [[{kind}]] {rule.label} matches the same products as the "
                    f"[[{other_kind}]] on line {places.line(other_kind, other_index)} ({other.label}); make "
                    f"one more specific"
                )
    return problems


def _tie(one: Rule, other: Rule) -> bool:
    return (
        one.source == other.source
        and one.specificity == other.specificity
        and {name: _normal(name, value) for name, value in one.selectors.items()}
        == {name: _normal(name, value) for name, value in other.selectors.items()}
    )


def _follow_on_problems(name: str, places: _Places, rules: tuple[FollowOn, ...]) -> list[str]:
    seen: dict[int, int] = {}
    problems = []
    for index, rule in enumerate(rules):
        line = places.line("follow_on", index)
        if rule.course_id in seen:
            problems.append(
                f"{name}:{line}: [[follow_on]] course_id {rule.course_id} has a rule on line "
                f"{seen[rule.course_id]} already"
            )
        seen.setdefault(rule.course_id, line)
    return problems
