"""`cartbridge completions show` and `follow`, and what `runs` and `why` say of a follow-on run."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tasks.follow_on import completions_poller
from tests.faults.harness.follow_on_product import EMAIL, FollowOnRig
from tests.faults.harness.offers import CATALOG_ID, COMPLETED_COURSE_ID
from tests.integration.cli.conftest import Run
from worker.ledger.session import Ledger
from worker.sandbox import Sandbox
from workflows.planning.offers_file import OffersFile


@pytest.fixture
def rig(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FollowOnRig]:
    """A product on the command line's own ledger, in whose shop a learner has completed a course long ago."""
    with Sandbox.start() as sandbox:
        rig = FollowOnRig(sandbox, f"sqlite:///{ledger.path}", tmp_path)
        for name, value in sandbox.environment(systems=("learningcart", "threedcart")).items():
            monkeypatch.setenv(name, value)
        rig.complete(ago=timedelta(days=3))
        rig.poll()
        yield rig
        rig.close()


def shown(run: Run, *arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def test_operator_starts_a_cart_by_hand_when_the_course_was_completed_before_the_start(
    run: Run, rig: FollowOnRig
) -> None:
    (completion_id,) = rig.completion_ids
    assert rig.follow_ons == []
    assert "would be: a cart is prepared" in shown(run, "completions", "follow", completion_id, "--dry-run")
    assert rig.follow_ons == []
    followed = json.loads(
        run("completions", "follow", completion_id[:12], "--reason", "asked for", "--yes", "--json").stdout
    )
    run_id = rig.follow_on["id"]
    assert [(each["completion_id"], each["result"], each["run_id"]) for each in followed] == [
        (completion_id, "planned", run_id)
    ]
    assert [(row["actor"], row["reason"]) for row in rig.rows("events") if row["run_id"] == run_id] == [
        ("operator:ann", "asked for")
    ]
    assert f"there is a run already (run {run_id})" in shown(run, "completions", "follow", completion_id)
    rig.finish()

    ((key, cart),) = rig.sandbox.threedcart.carts.items()
    url = cart["CheckoutURL"]
    found = json.loads(run("completions", "show", completion_id, "--json").stdout)
    (follow_on,) = found["follow_ons"]
    assert (follow_on["run_id"], follow_on["state"], follow_on["catalog_id"]) == (run_id, "succeeded", str(CATALOG_ID))
    (made,) = follow_on["carts"]
    assert (made["cart_id"], made["state"], made["checkout_url"]) == (key, "made", url)
    assert key in shown(run, "completions", "show", completion_id)
    (listed,) = json.loads(run("completions", "list", "--json").stdout)
    assert listed["follow_ons"][0]["cart"]["checkout_url"] == url
    assert run_id in shown(run, "runs", "list")
    whole = json.loads(run("runs", "show", run_id, "--json").stdout)
    assert (whole["source"], whole["order_id"], whole["completion_id"]) == ("learningcart", None, completion_id)
    assert (whole["email"], whole["result_id"]) == (EMAIL, key)
    assert [step["output"].get("checkout_url") for step in whole["steps"]] == [None, None, url]
    assert url.replace(" ", "") in run("runs", "show", run_id).stdout.replace("\n", "").replace(" ", "")
    assert "LearningCart order" not in run("runs", "show", run_id).stdout
    for subject in (EMAIL, run_id):
        story = json.loads(run("why", subject, "--json").stdout)
        assert story["answer"].startswith(f"Cart with item {CATALOG_ID} after"), subject
        assert (story["tone"], story["action"]) == ("good", None)
        assert {line["run_id"] for line in story["timeline"]} == {run_id}
        assert "learningcart/None" not in str(story)


def test_story_says_what_the_cart_waits_for_when_it_is_not_ready(run: Run, rig: FollowOnRig) -> None:
    def answer_of(subject: str) -> tuple[str, str]:
        story = json.loads(run("why", subject, "--json").stdout)
        return story["tone"], story["answer"]

    (completion_id,) = rig.completion_ids
    shown(run, "completions", "follow", completion_id)
    run_id = rig.follow_on["id"]
    tone, answer = answer_of(run_id)
    assert (tone, "under way" in answer) == ("wait", True)
    rig.sandbox.config.threedcart.catalog_ids = frozenset({99})
    rig.finish()
    tone, answer = answer_of(EMAIL)
    assert (tone, "needs a person. The destination refused the call" in answer) == ("bad", True)
    assert "refused" in shown(run, "completions", "list", "--email", EMAIL)
    shown(run, "runs", "cancel", run_id)
    tone, answer = answer_of(EMAIL)
    assert (tone, "cancelled" in answer) == ("plain", True)
    assert "would be replayed" in shown(run, "replay", run_id, "--replan", "--dry-run")


def test_nothing_is_started_when_nothing_may_follow(run: Run, rig: FollowOnRig) -> None:
    rig.complete(course_id=COMPLETED_COURSE_ID + 1)
    rig.poll()
    (listed,) = json.loads(run("completions", "list", "--course", str(COMPLETED_COURSE_ID + 1), "--json").stdout)
    other = listed["id"]
    result = run("completions", "follow", "0000", other, "--json")
    assert result.exit_code == 1
    assert [each["result"] for each in json.loads(result.stdout)] == ["not_found", "no_rule"]
    result = run("completions", "follow", other)
    assert result.exit_code == 1
    assert "no [[follow_on]] rule is for this course" in " ".join(result.stderr.split())
    assert run("completions", "show", "01").exit_code == 1
    assert "more than one completion" in " ".join(run("completions", "show", other[:4]).stderr.split())
    rig.sandbox.learningcart.add_completion(rig.sandbox.learningcart.customers[0].id, COMPLETED_COURSE_ID + 2)
    rig.poll()
    (begun,) = json.loads(run("completions", "list", "--course", str(COMPLETED_COURSE_ID + 2), "--json").stdout)
    assert "the course is not completed" in " ".join(run("completions", "follow", begun["id"]).stderr.split())
    assert rig.follow_ons == []


def test_poll_waits_and_says_so_when_the_offers_cannot_be_read(rig: FollowOnRig) -> None:
    good = rig.settings.offers_file.read_text()
    rig.settings.offers_file.unlink()
    rig.runtime.offers = OffersFile(rig.settings.offers_file)  # as at a first start: no rules were ever valid
    rig.complete(email="john@example.test")
    polled = completions_poller(rig.runtime).poll()
    assert polled.error is not None
    assert "offers file" in polled.error
    assert len(rig.completion_ids) == 1
    rig.settings.offers_file.write_text(good)
    rig.poll()
    assert [row["email"] for row in rig.follow_ons] == ["john@example.test"]


def test_address_of_the_checkout_is_in_no_log_when_a_cart_is_made(
    rig: FollowOnRig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    rig.complete(email="john@example.test")
    rig.poll()
    rig.finish()
    ((key, cart),) = rig.sandbox.threedcart.carts.items()
    assert cart["CheckoutURL"] not in caplog.text
    assert key not in "".join(record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG)
