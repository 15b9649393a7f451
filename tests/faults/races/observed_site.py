"""LearningCart as the sandbox plays it, a little slow, and noting every two calls for one customer that overlap."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from worker.sandbox import Sandbox
from worker.sandbox.learningcart.site import LearningCart
from worker.sandbox.wire import Answer, Call, Request

_ABOUT_A_CUSTOMER = frozenset({"addCustomer", "addCustomerToGroup", "addCompOrder"})


class WatchedSite:
    """Stands before the sandbox's LearningCart. It notes the site's view: a call is from its arrival to its end."""

    name = LearningCart.name

    def __init__(self, site: LearningCart, wait: Callable[[float], object]) -> None:
        self.longest_delay_seconds = 0.0
        self.overlaps: list[str] = []
        self.rng = Random(0)
        self._site = site
        self._wait = wait
        self._noting = threading.Lock()
        self._under_way: Counter[str] = Counter()

    @classmethod
    def watch(cls, sandbox: Sandbox) -> WatchedSite:
        """Stand before the LearningCart of a sandbox from now on."""
        watched = cls(sandbox.learningcart, sandbox.world.waits.wait)
        sandbox.world.systems = {**sandbox.world.systems, cls.name: watched}
        return watched

    def route(self, request: Request) -> Call:
        return self._site.route(request)

    def answer(self, request: Request) -> Answer:
        operation = self.route(request).operation
        with self._noted(operation, request):
            if self.longest_delay_seconds:
                self._wait(self.rng.uniform(0, self.longest_delay_seconds))
            return self._site.answer(request)

    def reset(self) -> None:
        self._site.reset()

    def describe(self) -> dict[str, Any]:
        return self._site.describe()

    @contextmanager
    def _noted(self, operation: str, request: Request) -> Iterator[None]:
        customer = self._customer(request) if operation in _ABOUT_A_CUSTOMER else None
        if customer is None:
            yield
            return
        with self._noting:
            if self._under_way[customer]:
                self.overlaps.append(f"{operation} for {customer} began while another call for them was under way")
            self._under_way[customer] += 1
        try:
            yield
        finally:
            with self._noting:
                self._under_way[customer] -= 1

    def _customer(self, request: Request) -> str | None:
        """The email a call is about, however it names the customer."""
        given = {name.casefold(): value for name, value in request.query.items()}
        if "email" in given:
            return given["email"].strip().casefold()
        known = {str(customer.id): customer.email for customer in self._site.customers}
        email = known.get(given.get("customerid", ""))
        return None if email is None else email.casefold()
