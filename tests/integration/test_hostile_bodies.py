"""Bodies made to fill memory, sent to a process that may have no more than our own deployments allow."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.hostile_sender import COUNT, SECRET, TOKEN
from tests.integration.product import ENOUGH_SECONDS, Product
from worker.sandbox import Sandbox
from worker.sandbox.config import SandboxConfig
from worker.web.webhooks import ANSWER_SECONDS

pytestmark = pytest.mark.integration

MEMORY_BYTES = 512 * 1024 * 1024


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(config=SandboxConfig(seeded=False)) as running:
        yield running


@pytest.mark.skipif(sys.platform != "linux", reason="the address space is limited by Linux's rules")
def test_honest_webhooks_are_answered_when_500_bodies_try_to_fill_the_memory(sandbox: Sandbox, tmp_path: Path) -> None:
    with Product(
        sandbox,
        f"sqlite:///{tmp_path / 'cartbridge.db'}",
        tmp_path,
        CARTBRIDGE_STUDIOCART__WEBHOOK_SECRET=SECRET,
        CARTBRIDGE_STUDIOCART__WEBHOOK_URL_TOKEN=TOKEN,
    ) as product:
        process = product.start_limited("up", address_space=MEMORY_BYTES)
        port = product.port_of(process)
        waits = []
        command = [sys.executable, "-m", "tests.integration.hostile_sender", str(port)]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], text=True) as attack,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=ENOUGH_SECONDS) as client,
        ):
            while attack.poll() is None:
                begun = time.monotonic()
                answer = client.post("/webhooks/studiocart", json={"id": 9000}, headers={"X-Webhook-Secret": SECRET})
                waits.append(time.monotonic() - begun)
                assert answer.status_code == 202
                time.sleep(0.02)
            assert attack.stdout is not None
            told = dict(each.split(":") for each in attack.stdout.read().split())
        assert sum(map(int, told.values())) == COUNT
        assert set(told) <= {"0", "202", "400", "401", "413", "422", "429"}
        # On a machine with nothing else to do it is well under a second; here the limit is what a sender waits.
        assert sorted(waits)[int(len(waits) * 0.99)] < ANSWER_SECONDS
        product.sell(2)
        product.wait_until_done(2)
        assert process.poll() is None
        assert "MemoryError" not in product.log_of(process)
