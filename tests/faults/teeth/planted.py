"""Every planted bug."""

from __future__ import annotations

from tests.faults.teeth.arrivals import ARRIVALS
from tests.faults.teeth.carts import CARTS
from tests.faults.teeth.effects import EFFECTS
from tests.faults.teeth.holders import HOLDERS
from tests.faults.teeth.orders import ORDERS
from tests.faults.teeth.readings import READINGS
from tests.faults.teeth.restored import RESTORED
from tests.faults.teeth.rulings import RULINGS
from tests.faults.teeth.stalls import STALLS
from tests.faults.teeth.studiocart import STUDIOCART

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
