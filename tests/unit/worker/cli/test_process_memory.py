from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from worker.cli.process_memory import spare_collections


@pytest.fixture
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("collector")
def test_what_there_is_is_not_looked_through_again_when_a_process_is_ready() -> None:
    kept = [[each] for each in range(100)]
    spare_collections()
    assert gc.get_freeze_count() > len(kept)
    assert gc.isenabled()
