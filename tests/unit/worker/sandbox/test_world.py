from __future__ import annotations

import json
from pathlib import Path

import pytest

from worker.sandbox.config import SECRET_MARKS, SandboxConfig
from worker.sandbox.faults import Fault
from worker.sandbox.seeds import seed_records
from worker.sandbox.wire import Call, Request
from worker.sandbox.world import PREFIXES, World


@pytest.mark.parametrize("name", list(PREFIXES))
def test_a_system_is_found_when_the_path_begins_with_its_prefix(name: str) -> None:
    world = World(SandboxConfig())
    found = world.find(f"{PREFIXES[name]}/orders")
    assert found is not None
    assert (found[0].name, found[1]) == (name, "/orders")
    assert world.find(PREFIXES[name]) == (found[0], "")
    assert world.find(f"{PREFIXES[name]}x") is None


def test_the_start_comes_back_when_reset(tmp_path: Path) -> None:
    world = World(SandboxConfig(effects_path=tmp_path / "effects.jsonl"))
    world.clock.shift(60)
    world.faults.inject(Fault())
    world.log.record("learningcart", "addCustomer")
    world.studiocart.add_order({})
    world.learningcart.add_customer("jane@example.test")
    world.reset()
    assert world.clock.shift_seconds == 0
    assert world.faults.take("learningcart", Call("x"), Request("GET", "/")) is None
    assert world.log.effects() == []
    assert len(world.studiocart.orders) == 1
    assert world.learningcart.customers == []
    assert len((tmp_path / "effects.jsonl").read_text().splitlines()) == 1


def test_no_credential_is_shown_when_the_systems_describe_themselves() -> None:
    reported = json.dumps([system.describe() for system in World(SandboxConfig()).systems.values()])
    assert not any(mark in reported for mark in SECRET_MARKS)


def test_seed_records_are_fresh_copies_when_read() -> None:
    seed_records("studiocart", "orders")[0]["id"] = 7
    assert seed_records("studiocart", "orders")[0]["id"] == 1109
    assert seed_records("threedcart", "orders") == []
