"""Everything a sandbox holds, without a socket: the four systems, their clock, the faults and the effect log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from worker.sandbox.clock import Clock
from worker.sandbox.config import SandboxConfig
from worker.sandbox.effects import EffectLog
from worker.sandbox.faults import FaultPlan, Waits
from worker.sandbox.frontcore import Frontcore
from worker.sandbox.learningcart.site import LearningCart
from worker.sandbox.studiocart.site import Studiocart
from worker.sandbox.threedcart.site import Threedcart
from worker.sandbox.wire import System

PREFIXES: Mapping[str, str] = {
    "learningcart": "/learningcart/CDNService.svc",
    "studiocart": "/studiocart/wp-json/sc/v1",
    "frontcore": "/frontcore/v2",
    "threedcart": "/threedcart/3dCartWebAPI/v2",
}
"""Where each system's paths begin."""
PLAIN_PERMALINKS: Final = ("/studiocart", "/studiocart/", "/studiocart/index.php")
"""Where Studiocart's WordPress takes its routes in the query."""
_ROUTES: Final = "/sc/v1"


class World:
    """The four systems and what surrounds them."""

    def __init__(self, config: SandboxConfig, *, clock: Clock | None = None) -> None:
        self.config = config
        self.clock = clock or Clock()
        self.log = EffectLog(self.clock.now, config.effects_path)
        self.faults = FaultPlan(config.random_seed)
        self.waits = Waits()
        self.learningcart = LearningCart(config.learningcart, self.clock, self.log, self.waits.wait)
        self.studiocart = Studiocart(config.studiocart, self.clock, seeded=config.seeded)
        self.frontcore = Frontcore(config.frontcore, self.clock, seeded=config.seeded)
        self.threedcart = Threedcart(config.threedcart, self.clock, self.log)
        self.systems: Mapping[str, System] = {
            system.name: system for system in (self.learningcart, self.studiocart, self.frontcore, self.threedcart)
        }

    def reset(self) -> None:
        """Return to the start: seeds only, no faults, no effects, the machine's time.

        Waiting requests are cut, and late effects that have not taken place never will. The configuration stays.
        """
        self.faults.clear()
        self.waits.release()
        self.clock.reset()
        for system in self.systems.values():
            system.reset()
        self.log.clear()

    def find(self, path: str, query_text: str = "") -> tuple[System, str] | None:
        """Return the system a path belongs to and the path below its prefix, or None.

        WordPress takes a route in the query too: `/studiocart/?rest_route=/sc/v1/orders`.
        """
        route = dict(parse_qsl(query_text)).get("rest_route", "")
        if path in PLAIN_PERMALINKS and (route == _ROUTES or route.startswith(f"{_ROUTES}/")):
            return self.studiocart, route.removeprefix(_ROUTES)
        for name, prefix in PREFIXES.items():
            if path == prefix or path.startswith(f"{prefix}/"):
                return self.systems[name], path[len(prefix) :]
        return None
