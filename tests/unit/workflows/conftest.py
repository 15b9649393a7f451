"""What tests of planning ask for."""

from __future__ import annotations

import pytest

from tests.unit.workflows.fakes.frontcore_orders import Operator


@pytest.fixture
def operator() -> Operator:
    return Operator()
