"""A runtime that reaches nothing: a ledger in a file, shop and LearningCart in memory, messages that stay here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import signals

from tasks.runtime import Runtime, adopt_runtime
from tests.unit.workflows.fakes.learningcart import FakeLearningCart
from tests.unit.workflows.fakes.storefront import NOW, ONE_OFFER, Clock, FakeSource
from worker.settings.settings import Settings, load_settings
from workflows.execution.executor import Executor
from workflows.ingest.deliveries import DeliveryReader


@pytest.fixture
def settings(migrated_file: Path, tmp_path: Path) -> Settings:
    shutil.copyfile(migrated_file, tmp_path / "cartbridge.db")
    (tmp_path / "offers.toml").write_text(ONE_OFFER)
    return load_settings(
        {
            "CARTBRIDGE_DATABASE_URL": f"sqlite:///{tmp_path / 'cartbridge.db'}",
            "CARTBRIDGE_OFFERS_FILE": str(tmp_path / "offers.toml"),
            "CARTBRIDGE_LEARNINGCART__SITE_HOSTNAME": "academy.example.test",
            "CARTBRIDGE_LEARNINGCART__USERNAME": "api@academy.example.test",
            "CARTBRIDGE_LEARNINGCART__PASSWORD": "not-a-password",
            "CARTBRIDGE_STUDIOCART__BASE_URL": "https://shop.example.test/wp-json/sc/v1",
            "CARTBRIDGE_STUDIOCART__API_KEY": "not-a-key",
            "CARTBRIDGE_STUDIOCART__START_AT": "2026-01-01",
        },
        env_file=None,
    )


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def source(clock: Clock) -> FakeSource:
    return FakeSource(clock)


@pytest.fixture
def learningcart() -> FakeLearningCart:
    return FakeLearningCart()


@pytest.fixture
def runtime(
    settings: Settings,
    clock: Clock,
    source: FakeSource,
    learningcart: FakeLearningCart,
    new_runtime: Callable[[], Runtime],
) -> Runtime:
    """One whose clients are stand-ins, adopted by this process's tasks."""
    runtime = new_runtime()
    stand_in(runtime, source, learningcart)
    adopt_runtime(runtime)
    return runtime


@pytest.fixture
def new_runtime(settings: Settings, clock: Clock) -> Iterator[Callable[[], Runtime]]:
    made: list[Runtime] = []

    def make() -> Runtime:
        made.append(Runtime(settings, clock=clock))
        return made[-1]

    yield make
    for runtime in made:
        runtime.clients.clear()
        runtime.close()


def stand_in(runtime: Runtime, source: FakeSource, learningcart: FakeLearningCart) -> None:
    for client in runtime.clients.values():
        client.close()
    # The executor and the reader hold these very dictionaries.
    runtime.clients["learningcart"] = learningcart
    runtime.sources["studiocart"] = source
    assert isinstance(runtime.executor, Executor)
    assert isinstance(runtime.delivery_reader, DeliveryReader)


@pytest.fixture
def published() -> Iterator[list[tuple[str, tuple[str, ...]]]]:
    """Every message that is sent, as its task and arguments."""
    sent: list[tuple[str, tuple[str, ...]]] = []

    def note(sender: str, body: tuple[tuple[str, ...], object, object], **_: object) -> None:
        sent.append((sender, tuple(body[0])))

    signals.before_task_publish.connect(note, weak=False)
    yield sent
    signals.before_task_publish.disconnect(note)
