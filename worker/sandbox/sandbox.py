"""The sandbox as a whole: start it, reach it, look into it, stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Self

from worker.sandbox.config import SandboxConfig
from worker.sandbox.effects import Effect
from worker.sandbox.faults import Fault
from worker.sandbox.loopback import Running
from worker.sandbox.server import SandboxServer
from worker.sandbox.world import PREFIXES, World


class Sandbox(Running):
    """The four systems on one loopback port. `start` returns it running; use it as a context manager, or call `stop`.

    The systems themselves are `learningcart`, `studiocart`, `frontcore` and `threedcart`: look at what they hold and
    change it from the test's own thread while clients use them over HTTP.
    """

    def __init__(self, world: World, server: SandboxServer) -> None:
        self.world = world
        self.config = world.config
        self.clock = world.clock
        self.learningcart = world.learningcart
        self.studiocart = world.studiocart
        self.frontcore = world.frontcore
        self.threedcart = world.threedcart
        super().__init__(server, "sandbox")

    @classmethod
    def start(cls, *, host: str = "127.0.0.1", port: int = 0, config: SandboxConfig | None = None) -> Self:
        """Bind (port 0: a free one) and serve from a thread of its own. `OSError` when the port is taken."""
        world = World(config or SandboxConfig())
        sandbox = cls(world, SandboxServer((host, port), world))
        sandbox._thread.start()
        return sandbox

    @property
    def base_url(self) -> str:
        """Its root, without a slash at the end."""
        host = str(self._server.server_address[0])
        return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{self.port}"  # noqa: S104 -- compared, not bound

    @property
    def control_url(self) -> str:
        """The root of the control interface."""
        return f"{self.base_url}/_sandbox"

    @property
    def learningcart_url(self) -> str:
        """`…/CDNService.svc`."""
        return self.base_url + PREFIXES["learningcart"]

    @property
    def studiocart_url(self) -> str:
        """`…/wp-json/sc/v1`."""
        return self.base_url + PREFIXES["studiocart"]

    @property
    def frontcore_url(self) -> str:
        """`…/v2`."""
        return self.base_url + PREFIXES["frontcore"]

    @property
    def threedcart_url(self) -> str:
        """`…/3dCartWebAPI/v2`."""
        return self.base_url + PREFIXES["threedcart"]

    def environment(self, *, systems: Collection[str] = tuple(PREFIXES), **overrides: str) -> dict[str, str]:
        """Return the `CARTBRIDGE_…` variables that point a product at this sandbox, its fake credentials included.

        Only `systems` are configured, so that the others are off. `overrides` are whole names
        (`CARTBRIDGE_SETTLE_SECONDS="1"`) and win.
        """
        config = self.config
        by_system = {
            "learningcart": {
                "BASE_URL": self.learningcart_url,
                "SITE_HOSTNAME": config.learningcart.site_hostname,
                "USERNAME": config.learningcart.username,
                "PASSWORD": config.learningcart.password,
                "COMPED_ORDER_METHOD": config.learningcart.comped_order_method,
            },
            "studiocart": {
                "BASE_URL": self.studiocart_url,
                "API_KEY": config.studiocart.api_key,
                "WEBHOOK_SECRET": config.studiocart.webhook_secret,
            },
            "frontcore": {
                "BASE_URL": self.frontcore_url,
                "API_KEY": config.frontcore.api_key,
                "WEBHOOK_SECRET": config.frontcore.webhook_secret,
            },
            "threedcart": {
                "BASE_URL": self.threedcart_url,
                "SECURE_URL": config.threedcart.secure_url,
                "PRIVATE_KEY": config.threedcart.private_key,
                "TOKEN": config.threedcart.token,
            },
        }
        variables = {
            f"CARTBRIDGE_{system.upper()}__{name}": value
            for system in systems
            for name, value in by_system[system].items()
        }
        return variables | overrides

    def inject(self, *faults: Fault) -> None:
        """Put faults in force, after those that are."""
        for fault in faults:
            self.world.faults.inject(fault)

    def clear_faults(self) -> None:
        """Put every fault out of force; requests already hit stay hit."""
        self.world.faults.clear()

    @property
    def faults_hit(self) -> int:
        """How many requests the faults now in force, spent ones included, have hit."""
        return self.world.faults.hits

    @property
    def effects(self) -> list[Effect]:
        """Every change that took place through the APIs, oldest first."""
        return self.world.log.effects()

    def effects_of(self, system: str = "*", operation: str = "*") -> list[Effect]:
        """Return the effects of one system and operation (`*` is any)."""
        return self.world.log.effects(system, operation)

    def requests(self, system: str = "*", operation: str = "*") -> int:
        """Return how many requests arrived (`*` is any), answered or not."""
        return self.world.log.requests(system, operation)

    def reset(self) -> None:
        """Return to the start: seeds only, no faults, no effects, the machine's time. See `World.reset`."""
        self.world.reset()


def serve_forever(
    host: str = "127.0.0.1",
    port: int = 0,
    config: SandboxConfig | None = None,
    on_ready: Callable[[Sandbox], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Serve until `stop` is set, or until interrupted (`KeyboardInterrupt` goes on to the caller once all is closed).

    `on_ready` is called with the running sandbox once the port is open. `OSError` when the port is taken.
    """
    with Sandbox.start(host=host, port=port, config=config) as sandbox:
        if on_ready is not None:
            on_ready(sandbox)
        (stop or threading.Event()).wait()
