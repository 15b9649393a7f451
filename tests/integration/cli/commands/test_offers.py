from __future__ import annotations

import json
from pathlib import Path

from tests.integration.cli.conftest import Run
from tests.unit.worker.ledger.rows import add_order, add_run
from worker.ledger.session import Ledger
from worker.sources.order import Line, Product

GOOD = """
[[offer]]
source = "studiocart"
product_id = "1107"
grants = [{ price_id = 501, group_ids = [12, 13] }, { price_id = 502 }]

[[ignore]]
source = "studiocart"
product_id = "1200"
"""


def test_the_offers_are_told_when_the_file_is_good(run: Run, tmp_path: Path) -> None:
    (tmp_path / "offers.toml").write_text(GOOD)
    result = run("offers", "check")
    assert result.exit_code == 0
    assert "price 501, groups 12, 13; price 502, groups none" in result.stdout
    assert "ignored" in result.stdout
    assert "offers.toml is good: 1 offer, 1 ignore, 0 follow-ons." in result.stdout
    assert json.loads(run("offers", "check", "--json").stdout) == {
        "file": "offers.toml",
        "ok": True,
        "problems": [],
        "offers": 1,
        "ignores": 1,
        "follow_ons": 0,
    }


def test_every_problem_is_named_with_its_line_when_the_file_is_not_good(run: Run, tmp_path: Path) -> None:
    (tmp_path / "offers.toml").write_text(
        GOOD + '\n[[offer]]\nsource = "studiocart"\nproduct_id = "1107"\ngrants = []\n'
    )
    result = run("offers", "check")
    assert result.exit_code == 2
    assert "offers.toml:14" in result.stderr
    as_json = run("offers", "check", "--json")
    assert as_json.exit_code == 2
    assert json.loads(as_json.stdout)["problems"][0].startswith("offers.toml:14")


def test_a_file_without_rules_is_good_when_it_is_empty(run: Run, tmp_path: Path) -> None:
    assert run("offers", "check").exit_code == 2
    (tmp_path / "offers.toml").touch()
    assert "0 offers" in run("offers", "check").stdout


def test_lines_to_paste_are_shown_when_a_product_waits_for_an_offer(run: Run, ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "offers.toml").write_text("")
    assert "No product waits for an offer." in run("offers", "unmapped").stdout
    line = Line(id="1107", title="First aid", product=Product(product_id="1107"))
    with ledger.write() as connection:
        add_order(connection, document={"lines": [line.model_dump(mode="json")]})
        ids = [
            add_run(connection, seat=f"seat-{number}", price=None, state="review", reason="unmapped_product")
            for number in range(7)
        ]
    reported = run("offers", "unmapped").stdout
    assert "First aid of studiocart: 7 seats wait" in reported
    assert 'product_id = "1107"' in reported
    assert f"look again at 5 of them: cartbridge replay {' '.join(sorted(ids)[:5])}" in reported
    assert "cartbridge replay --review-reason unmapped_product" in reported  # not all that is in review
    (found,) = json.loads(run("offers", "unmapped", "--json").stdout)
    assert (sorted(found["run_ids"]), found["orders"], found["is_mapped_now"]) == (sorted(ids), ["1109"], False)
    (tmp_path / "offers.toml").write_text(GOOD)
    assert "A rule matches it by now." in run("offers", "unmapped").stdout


def test_a_product_is_one_rule_when_several_of_its_plans_wait(run: Run, ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "offers.toml").write_text(GOOD.replace('"1107"', '"1107"\nplan_id = "monthly"'))
    plans = ("monthly", "yearly")
    lines = [Line(id=plan, title="First aid", product=Product(product_id="1107", plan_id=plan)) for plan in plans]
    with ledger.write() as connection:
        add_order(connection, document={"lines": [line.model_dump(mode="json") for line in lines]})
        for plan in plans:
            add_run(connection, seat=plan, price=None, state="review", reason="unmapped_product", line_id=plan)
    (found,) = json.loads(run("offers", "unmapped", "--json").stdout)
    assert (len(found["run_ids"]), found["names"], found["is_mapped_now"]) == (2, {"product_id": "1107"}, False)


def test_what_waits_is_shown_when_the_offers_file_is_broken(run: Run, ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "offers.toml").write_text("[[offer")
    assert run("offers", "unmapped").exit_code == 0
