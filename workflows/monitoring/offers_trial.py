"""What rules would do with the orders there were, before anybody puts them into the offers file. Writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from worker.ledger.views.page.offers import Sold
from workflows.planning.offers import Offer, Offers, OffersError, parse_offers


@dataclass(frozen=True)
class Trial:
    """Rules that were pasted, and what they would match of what was sold."""

    problems: tuple[str, ...] = ()
    """What is wrong with them; then nothing else is said."""
    is_added: bool = True
    """They are lines to add to the file; else they are a whole file."""
    matched: list[tuple[Sold, str]] = field(default_factory=list)
    """What they match, each with what becomes of it: `grants price 501`, `is ignored`."""
    left: list[Sold] = field(default_factory=list)
    """What no rule matches then, of theirs or of the file."""

    @property
    def seats_matched(self) -> int:
        """How many seats they match."""
        return sum(each.seats for each, _ in self.matched)

    @property
    def seats_left(self) -> int:
        """How many seats no rule matches."""
        return sum(each.seats for each in self.left)


def try_offers(pasted: str, file_text: str, sold: Iterable[Sold]) -> Trial:
    """What pasted rules would match: as lines to add to the file, or where that cannot be, as a whole file."""
    try:
        alone = parse_offers(pasted, name="the lines")
    except OffersError as error:
        return Trial(problems=error.problems)
    if not (alone.offers or alone.ignores or alone.follow_ons):
        return Trial(problems=("the lines: there is no [[offer]] and no [[ignore]] in them",))
    try:
        whole, is_added = parse_offers(f"{file_text}\n{pasted}"), True
    except OffersError:
        whole, is_added = alone, False
    trial = Trial(is_added=is_added)
    for each in sold:
        rule = alone.match(each.source, each.line)
        if rule is not None and rule == whole.match(each.source, each.line):
            trial.matched.append((each, _rule_text(rule)))
        elif whole.match(each.source, each.line) is None:
            trial.left.append(each)
    return trial


def unverified(offers: Offers, sold: Iterable[Sold], granted: Collection[tuple[str, int]]) -> Iterator[str]:
    """A sentence for each rule that nothing sold matches, and each number that was never granted."""
    products = list(sold)
    for offer in offers.offers:
        never = [] if any(offer.matches(each.source, each.line.product) for each in products) else ["never sold"]
        numbers = [("price", grant.price_id) for grant in offer.grants]
        numbers += [("group", group_id) for grant in offer.grants for group_id in grant.group_ids]
        new = [f"{kind} {number}" for kind, number in dict.fromkeys(numbers) if (kind, number) not in granted]
        if new:
            never.append(f"{' and '.join(new)} never granted")
        if never:
            yield f"The offer for {offer.label} is unverified: {', '.join(never)}."


def _rule_text(rule: object) -> str:
    if not isinstance(rule, Offer):
        return "is ignored"
    return f"grants {' and '.join(f'price {grant.price_id}' for grant in rule.grants)}"
