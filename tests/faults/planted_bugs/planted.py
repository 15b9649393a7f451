"""Every planted bug."""

from __future__ import annotations

from tests.faults.planted_bugs.arrivals import ARRIVALS
from tests.faults.planted_bugs.carts import CARTS
from tests.faults.planted_bugs.effects import EFFECTS
from tests.faults.planted_bugs.holders import HOLDERS
from tests.faults.planted_bugs.orders import ORDERS
from tests.faults.planted_bugs.readings import READINGS
from tests.faults.planted_bugs.restored import RESTORED
from tests.faults.planted_bugs.rulings import RULINGS
from tests.faults.planted_bugs.stalls import STALLS
from tests.faults.planted_bugs.studiocart import STUDIOCART

BUGS = (
    *EFFECTS,
    *HOLDERS,
    *ORDERS,
    *CARTS,
    *RESTORED,
    *RULINGS,
    *READINGS,
    *ARRIVALS,
    *STALLS,
    *STUDIOCART,
)
