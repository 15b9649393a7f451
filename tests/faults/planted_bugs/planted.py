"""Every planted bug."""

from __future__ import annotations

from tests.faults.planted_bugs.bugs.arrivals import ARRIVALS
from tests.faults.planted_bugs.bugs.carts import CARTS
from tests.faults.planted_bugs.bugs.effects import EFFECTS
from tests.faults.planted_bugs.bugs.holders import HOLDERS
from tests.faults.planted_bugs.bugs.orders import ORDERS
from tests.faults.planted_bugs.bugs.readings import READINGS
from tests.faults.planted_bugs.bugs.restored import RESTORED
from tests.faults.planted_bugs.bugs.rulings import RULINGS
from tests.faults.planted_bugs.bugs.stalls import STALLS
from tests.faults.planted_bugs.bugs.studiocart import STUDIOCART

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
