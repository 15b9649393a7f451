from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from worker.errors import ConfigurationError
from worker.sources.order import Line, Product
from workflows.planning.offers import Grant, Ignore, Offer, Offers, OffersError, parse_offers
from workflows.planning.offers_file import OffersFile, load_offers

REPOSITORY = Path(__file__).parents[4]


def an_offer(**selectors: str) -> str:
    named = "\n".join(f'{name} = "{value}"' for name, value in selectors.items())
    return f'[[offer]]\nsource = "studiocart"\n{named}\ngrants = [{{ price_id = 501 }}]\n'


def a_line(**product: str) -> Line:
    return Line(id="x", product=Product(**product))


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(OffersError) as caught:
        parse_offers(text, name="offers.toml")
    assert str(caught.value).endswith("\n".join(caught.value.problems))
    return caught.value.problems


def labels(text: str, source: str = "studiocart", **product: str) -> str | None:
    found = parse_offers(text).match(source, a_line(**product))
    return None if found is None else found.label


def test_file_is_read_whole_when_it_is_the_contracts_example() -> None:
    found = parse_offers("""
[[offer]]
source = "studiocart"          # or frontcore, threedcart
product_id = "1107"            # compared as text; also: plan_id, product_name (studiocart), course_id (frontcore)
grants = [{ price_id = 501, group_ids = [12] }]   # several grants = a bundle; group_ids may be empty
renewals = "grant"             # or "ignore"; studiocart subscription renewals

[[ignore]]
source = "studiocart"
product_id = "1200"            # a book: not a course

[[follow_on]]
course_id = 77                 # a LearningCart completion of this course
catalog_id = 1234              # … prepares a 3dcart cart with this item
""")
    (offer,) = found.offers
    assert (offer.product_id, offer.grants, offer.renewals) == (
        "1107",
        (Grant(price_id=501, group_ids=(12,)),),
        "grant",
    )
    assert found.ignores == (Ignore(source="studiocart", product_id="1200"),)
    assert (found.follow_ons[0].course_id, found.follow_ons[0].catalog_id) == (77, 1234)


def test_example_file_of_the_repository_can_be_used() -> None:
    assert load_offers(REPOSITORY / "offers.example.toml").offers


def test_file_without_rules_matches_nothing() -> None:
    assert parse_offers("# nothing yet\n").match("studiocart", a_line(product_id="1107")) is None


# Matching


@pytest.mark.parametrize("written", ['"1107"', "1107", '" 1107 "'])
def test_ids_are_compared_as_text(written: str) -> None:
    text = an_offer(product_id="X").replace('"X"', written)
    assert labels(text, product_id="1107") == "studiocart product_id=1107"
    assert labels(text, product_id="11070") is None


@pytest.mark.parametrize("name", ["fire safety refresher", "FIRE  SAFETY\tREFRESHER", " Fire Safety Refresher "])
def test_names_are_compared_without_case_and_spacing(name: str) -> None:
    assert labels(an_offer(product_name="Fire Safety Refresher"), product_name=name) is not None


@pytest.mark.parametrize(("written", "sold"), [("STRASSE", "Straße"), ("Straße", "strasse"), ("İzmir", "İZMIR")])
def test_names_are_casefolded_and_not_just_lower_cased(written: str, sold: str) -> None:
    assert (labels(an_offer(product_name=written), product_name=sold) is not None) == (
        written.casefold() == sold.casefold()
    )


def test_ids_keep_their_case_when_compared() -> None:
    assert labels(an_offer(plan_id="price_1N4iAS"), plan_id="PRICE_1n4ias") is None


def test_rule_of_one_source_never_matches_another() -> None:
    assert labels(an_offer(product_id="1107"), source="frontcore", product_id="1107") is None


def test_rule_needs_every_name_it_gives() -> None:
    text = an_offer(product_id="1107", plan_id="p1")
    assert labels(text, product_id="1107", plan_id="p1") is not None
    assert labels(text, product_id="1107", plan_id="p2") is None
    assert labels(text, product_id="1107") is None


@pytest.mark.parametrize(
    ("rules", "wins"),
    [
        ([{"product_id": "1"}, {"plan_id": "p"}], "plan_id=p"),
        ([{"plan_id": "p"}, {"product_id": "1", "product_name": "n"}], "plan_id=p"),
        ([{"product_name": "n"}, {"product_id": "1"}], "product_id=1"),
        ([{"product_id": "1"}, {"product_id": "1", "product_name": "n"}], "product_id=1 product_name=n"),
        ([{"plan_id": "p"}, {"plan_id": "p", "product_name": "n"}], "plan_id=p product_name=n"),
    ],
)
def test_more_specific_offer_wins_whichever_comes_first(rules: list[dict[str, str]], wins: str) -> None:
    for given in (rules, rules[::-1]):
        text = "".join(an_offer(**rule) for rule in given)
        assert labels(text, product_id="1", plan_id="p", product_name="n") == f"studiocart {wins}"


def test_course_wins_over_product_when_both_match() -> None:
    text = (an_offer(product_id="1") + an_offer(course_id="9")).replace("studiocart", "frontcore")
    assert labels(text, source="frontcore", product_id="1", course_id="9") == "frontcore course_id=9"


def test_more_specific_ignore_wins_over_an_offer_and_the_other_way_round() -> None:
    ignore = '[[ignore]]\nsource = "studiocart"\nplan_id = "free"\n'
    found = parse_offers(an_offer(product_id="1") + ignore)
    assert isinstance(found.match("studiocart", a_line(product_id="1", plan_id="free")), Ignore)
    assert isinstance(found.match("studiocart", a_line(product_id="1", plan_id="paid")), Offer)


# What is refused, with its line


def test_two_offers_that_match_equally_are_refused_with_both_lines() -> None:
    (problem,) = problems(
        "\n" + an_offer(product_name="Fire  Safety") + "# twice\n" + an_offer(product_name="fire safety")
    )
    assert problem.startswith("offers.toml:7: [[offer]] studiocart product_name=fire safety matches the same products")
    assert "line 2" in problem


def test_offer_and_ignore_that_match_equally_are_refused() -> None:
    text = an_offer(product_id="1") + '[[ignore]]\nsource = "studiocart"\nproduct_id = 1\n'
    (problem,) = problems(text)
    assert problem.startswith("offers.toml:5: [[ignore]]")
    assert "[[offer]] on line 1" in problem


def test_two_grants_of_one_price_are_refused_on_their_line() -> None:
    text = '[[offer]]\nsource = "studiocart"\nproduct_id = "1"\ngrants = [{ price_id = 5 }, { price_id = 5 }]\n'
    (problem,) = problems(text)
    assert problem.startswith("offers.toml:4: [[offer]] grants price 5 twice")


def test_one_group_twice_is_refused() -> None:
    text = '[[offer]]\nsource = "studiocart"\nproduct_id = "1"\ngrants = [{ price_id = 5, group_ids = [1, 1] }]\n'
    assert problems(text) == ("offers.toml:4: [[offer]] names a group of price 5 twice",)


@pytest.mark.parametrize(
    ("line", "place", "says"),
    [
        ("", 4, "names no product; give one of product_id, plan_id, product_name"),
        ('course_id = "9"', 6, "course_id is not for studiocart; it knows product_id, plan_id, product_name"),
        ('sku = "9"', 6, "sku is not for studiocart"),
        ('product_id = ""', 6, "product_id: "),
        ('product_id = "  "', 6, "product_id: "),
        ("product_id = true", 6, "product_id: "),
        ("product_id = 1.5", 6, "product_id: "),
        ("product_id = []", 6, "product_id: "),
        ('produkt_id = "1"', 6, "produkt_id: is not a known key"),
        ('product_id = "1"\nrenewals = "maybe"', 7, "renewals: "),
        ('product_id = "1"\ngrants = [{ price_id = 1 }]', 8, "Cannot overwrite a value"),
    ],
)
def test_wrong_key_is_refused_on_its_line(line: str, place: int, says: str) -> None:
    text = f'# offers\n\n\n[[offer]]\nsource = "studiocart"\n{line}\ngrants = [{{ price_id = 501 }}]\n'
    found = [problem for problem in problems(text) if says in problem]
    assert len(found) == 1
    assert found[0].startswith(f"offers.toml:{place}: ")


@pytest.mark.parametrize(
    ("grants", "field"),
    [
        ('[{ price_id = "501" }]', "grants.0.price_id"),
        ("[{ price_id = 0 }]", "grants.0.price_id"),
        ("[{ price_id = -1 }]", "grants.0.price_id"),
        ("[{ price_id = 2147483648 }]", "grants.0.price_id"),
        ("[{ price_id = true }]", "grants.0.price_id"),
        ("[{ price_id = 1.0 }]", "grants.0.price_id"),
        ("[{ price_id = 1 }, { price_id = 2, group_ids = [1, 0] }]", "grants.1.group_ids.1"),
        ("[{ group_ids = [1] }]", "grants.0.price_id"),
        ("[{ price_id = 1, groups = [1] }]", "grants.0.groups"),
        ("[]", "grants"),
        ("501", "grants"),
    ],
)
@pytest.mark.parametrize("before", [0, 1])
def test_wrong_grant_is_refused_on_its_line_with_its_place(grants: str, field: str, before: int) -> None:
    text = (
        an_offer(product_id="1") * before + f'[[offer]]\nsource = "studiocart"\nproduct_id = "2"\ngrants = {grants}\n'
    )
    (problem,) = problems(text)
    assert problem.startswith(f"offers.toml:{4 * before + 4}: [[offer]] {field}: ")


def test_missing_grants_are_named_on_the_offers_line() -> None:
    (problem,) = problems('\n[[offer]]\nsource = "studiocart"\nproduct_id = "1"\n')
    assert problem == "offers.toml:2: [[offer]] grants: is missing"


@pytest.mark.parametrize("source", ['"shopify"', '"Studiocart"', "1"])
def test_unknown_source_is_refused_on_its_line(source: str) -> None:
    (problem,) = problems(f'[[offer]]\nproduct_id = "1"\nsource = {source}\ngrants = [{{ price_id = 1 }}]\n')
    assert problem.startswith("offers.toml:3: [[offer]] source: ")


@pytest.mark.parametrize(
    ("text", "place"), [('\n[[ofer]]\nsource = "studiocart"\n', 2), ('\nofer = 1\n[[offer]]\nsource = "x"\n', 2)]
)
def test_unknown_table_is_refused_on_its_line(text: str, place: int) -> None:
    assert any(problem.startswith(f"offers.toml:{place}: ") and "ofer" in problem for problem in problems(text))


def test_offer_in_single_brackets_is_refused_on_its_line() -> None:
    (problem,) = problems('\n\n[offer]\nsource = "studiocart"\nproduct_id = "1"\ngrants = [{ price_id = 1 }]\n')
    assert problem.startswith("offers.toml:3: ")


def test_renewals_are_refused_when_the_source_has_no_subscriptions() -> None:
    text = an_offer(course_id="9").replace("studiocart", "frontcore") + 'renewals = "grant"\n'
    (problem,) = problems(text)
    assert problem.startswith("offers.toml:5: [[offer]] renewals is for studiocart")


def test_second_follow_on_of_a_course_is_refused() -> None:
    text = "[[follow_on]]\ncourse_id = 77\ncatalog_id = 1\n" * 2
    (problem,) = problems(text)
    assert problem.startswith("offers.toml:4: [[follow_on]] course_id 77 has a rule on line 1 already")


def test_broken_toml_is_refused_with_line_and_column() -> None:
    assert problems('[[offer]]\nsource = "studiocart\n')[0].startswith("offers.toml:2: ")
    assert "column" in problems("[[offer]]\nsource = \n")[0]
    assert problems("[[offer]")[0].startswith("offers.toml:1: ")


def test_every_problem_is_named_when_there_are_several() -> None:
    text = an_offer() + an_offer(sku="1") + an_offer(product_id="1") * 2
    found = problems(text)
    assert [problem.split(":")[1] for problem in found] == ["1", "7", "13"]
    with pytest.raises(OffersError, match=r"offers\.toml has 3 problems:"):
        parse_offers(text)


def test_lines_are_right_when_comments_and_sub_tables_stand_between() -> None:
    text = """
# [[offer]]
[[offer]] # the first
source = "studiocart"
product_id = "1"
  [[offer.grants]]
  price_id = 5
[[ignore]]
source = "studiocart"
product_id = "2"
[[offer]]
source = "studiocart"
product_id = "3"
renewals = "maybe"
grants = [{ price_id = 1 }]
"""
    (problem,) = problems(text)
    assert problem.startswith("offers.toml:14: [[offer]] renewals: ")


# Files


def test_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OffersError, match=r"`cartbridge init` makes it; or copy offers\.example\.toml there"):
        load_offers(tmp_path / "offers.toml")


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"# \xe5\n")
    for path in (tmp_path / "latin.toml", tmp_path):
        with pytest.raises(OffersError, match="must be a readable UTF-8 file") as caught:
            load_offers(path)
        assert "Error" not in str(caught.value)  # whose class says nothing to whoever mends it


def test_file_of_a_windows_editor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "offers.toml"
    path.write_bytes(b"\xef\xbb\xbf" + an_offer(product_id="1").replace("\n", "\r\n").encode())
    assert len(load_offers(path).offers) == 1


def test_book_is_read_again_only_when_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "offers.toml"
    path.write_text(an_offer(product_id="1"))
    offers_file = OffersFile(path)
    first = offers_file.current()
    assert offers_file.current() is first
    path.write_text(an_offer(product_id="2"))
    os.utime(path, ns=(1, 1))
    assert offers_file.current().offers[0].product_id == "2"


def test_digest_changes_only_with_the_rules() -> None:
    digest = parse_offers(an_offer(product_id="1", plan_id="2")).digest
    assert parse_offers("# hello\n" + an_offer(plan_id="2", product_id="1")).digest == digest
    assert parse_offers(an_offer(product_id="1", plan_id="3")).digest != digest
    assert Offers().digest != digest


def test_error_survives_a_pickle_and_is_a_configuration_error() -> None:
    error = OffersError("offers.toml has a problem", problems=("x",))
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own)
    assert (str(again), again.problems) == (str(error), error.problems)
    assert isinstance(again, ConfigurationError)
