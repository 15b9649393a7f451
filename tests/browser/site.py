"""A whole Cartbridge for a browser: one `cartbridge up` process, with the page open, against the sandbox."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
from sqlalchemy import select

from tests.faults.harness.waiting import wait_until
from tests.integration.product import ENOUGH_SECONDS, Product
from worker.ledger.learners.erasure import find_person, forget
from worker.ledger.runs import breaker
from worker.ledger.tables.runs import orders, runs
from worker.sandbox import Fault

PASSWORD: Final = "a-password-of-the-tests"
NAME: Final = "Ann"
API_TOKEN: Final = "a-token-of-the-tests"
_URL: Final = re.compile(r"http://127\.0\.0\.1:\d+")


class Site:
    """The product, its address, and the orders that tests sell."""

    VARIABLES: Final = {
        "CARTBRIDGE_WEB__ADMIN_PASSWORD": PASSWORD,
        "CARTBRIDGE_WEB__API_TOKEN": API_TOKEN,
        # No poll comes in between: what is sold is told of by webhook.
        "CARTBRIDGE_STUDIOCART__POLL_SECONDS": "3600",
    }

    def __init__(self, product: Product) -> None:
        self.product = product
        self.sandbox = product.sandbox
        self._process = product.start("up")
        self.url = ""
        self._next_order = 7001
        self._next_product = 1200
        wait_until(self._is_listening, seconds=ENOUGH_SECONDS, what="the page is served")

    def _is_listening(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"cartbridge up has ended: {self.product.log_of(self._process)}")
        lines = [line for line in self.product.log_of(self._process).splitlines() if "web is listening" in line]
        found = _URL.search(lines[0]) if lines else None
        self.url = found.group() if found else ""
        return bool(self.url)

    # Orders

    def sell(
        self,
        email: str,
        product: str = "First aid",
        product_id: str = "1107",
        *,
        status: str = "paid",
        quantity: int = 1,
    ) -> str:
        """Put an order into the shop, which tells of it; returns its id."""
        number, self._next_order = self._next_order, self._next_order + 1
        first, _, last = email.partition("@")[0].partition(".")
        self.sandbox.studiocart.replace_order(
            number,
            {
                "customer_firstname": first.title(),
                "customer_lastname": last.title(),
                "customer_email": email,
                "product_id": product_id,
                "product_name": product,
                "status": status,
                "items": [{"product_name": f"{product} x {quantity}", "quantity": quantity}],
            },
        )
        self._notify_of(number)
        return str(number)

    def _notify_of(self, number: int) -> None:
        """What the shop's webhook does."""
        secret = self.sandbox.config.studiocart.webhook_secret
        url, headers = f"{self.url}/webhooks/studiocart", {"X-Webhook-Secret": secret}
        assert httpx.post(url, json={"id": number}, headers=headers).status_code == 202

    def new_product(self) -> str:
        """The id of a product that no offer knows."""
        self._next_product += 1
        return str(self._next_product)

    def sell_and_fail(self, email: str) -> str:
        """Sell a seat whose enrolment is refused; returns its run."""
        self.sandbox.inject(
            Fault(
                system="learningcart",
                operation="addCustomer",
                status=400,
                body="Invalid state.",
                match={"email": email},
            )
        )
        return self.run_of(self.sell(email), state="failed")

    def run_of(self, order_id: str, *, state: str) -> str:
        """The id of an order's run, once it is in this state."""
        found: list[str] = []

        def is_there() -> bool:
            with self.product.ledger.read() as connection:
                wanted = select(runs.c.id).where(runs.c.order_id == order_id, runs.c.state == state)
                found[:] = connection.scalars(wanted.order_by(runs.c.id))
            return bool(found)

        wait_until(is_there, seconds=ENOUGH_SECONDS, what=f"order {order_id} has a run that is {state}")
        return found[0]

    def add_offer(self, lines: str) -> None:
        """Add lines to the offers file, as an operator does."""
        path: Path = self.product.folder / "offers.toml"
        path.write_text(f"{path.read_text()}\n{lines}\n")

    def set_price(self, price_id: int) -> None:
        """Put a price where pasted lines have none."""
        path: Path = self.product.folder / "offers.toml"
        path.write_text(path.read_text().replace("price_id = 0", f"price_id = {price_id}"))

    def order_of(self, run_id: str) -> str:
        """The order a run is for."""
        with self.product.ledger.read() as connection:
            return str(connection.scalar(select(runs.c.order_id).where(runs.c.id == run_id)))

    def wait_for_order(self, order_id: str, state: str) -> None:
        """Wait until an order is in this state."""

        def is_there() -> bool:
            with self.product.ledger.read() as connection:
                return connection.scalar(select(orders.c.state).where(orders.c.order_id == order_id)) == state

        wait_until(is_there, seconds=ENOUGH_SECONDS, what=f"order {order_id} is {state}")

    def forget(self, email: str) -> None:
        """What `cartbridge forget` does to the ledger."""
        with self.product.ledger.write() as connection:
            found = find_person(connection, email)
            forget(connection, found, now=datetime.now(UTC), actor=f"operator:{NAME}", reason=None)

    def change(self, order_id: str, **fields: Any) -> None:
        """Change an order at its source, and wait until it was seen."""
        self.sandbox.studiocart.update_order(int(order_id), **fields)
        self._notify_of(int(order_id))

        def is_seen() -> bool:
            with self.product.ledger.read() as connection:
                return connection.scalar(select(orders.c.version).where(orders.c.order_id == order_id)) == 2

        wait_until(is_seen, seconds=ENOUGH_SECONDS, what=f"the change of order {order_id} is seen")

    def take_learningcart_down(self) -> None:
        """Have a gateway answer for LearningCart that it is not there, until `end_outage`."""
        self.sandbox.inject(
            Fault(system="learningcart", operation="addCustomer", status=503, times=None, when="before")
        )

    def wait_for_outage(self) -> None:
        """Wait until LearningCart is taken for down."""

        def is_down() -> bool:
            with self.product.ledger.read() as connection:
                found = breaker.read(connection, "learningcart")
            return found is not None and found.state is breaker.BreakerState.OPEN

        wait_until(is_down, seconds=ENOUGH_SECONDS, what="LearningCart is taken for down")

    def end_outage(self) -> None:
        """LearningCart is there again."""
        self.sandbox.clear_faults()

    def wait_for_orders(self, email: str, count: int) -> None:
        """Wait until a learner has as many comped orders."""

        def are_there() -> bool:
            made = [facts for facts in self.product.comped_orders if facts["email"] == email]
            return len(made) == count

        wait_until(are_there, seconds=ENOUGH_SECONDS, what=f"{email} has {count} comped orders")
