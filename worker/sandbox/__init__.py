"""The four systems on loopback, over real HTTP, with switchable faults: for the demo and for the tests."""

from worker.sandbox.config import (
    SECRET_MARKS,
    FrontcoreConfig,
    LearningCartConfig,
    SandboxConfig,
    StudiocartConfig,
    ThreedcartConfig,
)
from worker.sandbox.effects import Effect
from worker.sandbox.faults import Fault
from worker.sandbox.sample_orders import make_orders
from worker.sandbox.sandbox import Sandbox, serve_forever
from worker.sandbox.studiocart.webhook import studiocart_webhook
from worker.sandbox.threedcart.webhook import threedcart_webhook

__all__ = [
    "SECRET_MARKS",
    "Effect",
    "Fault",
    "FrontcoreConfig",
    "LearningCartConfig",
    "Sandbox",
    "SandboxConfig",
    "StudiocartConfig",
    "ThreedcartConfig",
    "make_orders",
    "serve_forever",
    "studiocart_webhook",
    "threedcart_webhook",
]
