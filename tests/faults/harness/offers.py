"""What every deployment of these tests sells: the offers file, and what each product grants, said once more here."""

from __future__ import annotations

SOURCE = "studiocart"
COURSE, BUNDLE, SUBSCRIPTION, BUMP = "1107", "1130", "1150", "1140"
BUMP_NAME, BUMP_PRICE_ID = "Tips & Tricks", 701
FRONTCORE_COURSE_ID, FRONTCORE_PRICE_ID = 22399, 901
COMPLETED_COURSE_ID, CATALOG_ID = 77, 1234

OFFERS = f"""
[[offer]]
source = "studiocart"
product_id = "{COURSE}"
grants = [{{ price_id = 501, group_ids = [12] }}]

[[offer]]
source = "studiocart"
product_id = "{BUNDLE}"
grants = [{{ price_id = 601, group_ids = [21, 22] }}, {{ price_id = 602 }}]
"""
"""One course, and a bundle of two."""
FOLLOW_ON = f"\n[[follow_on]]\ncourse_id = {COMPLETED_COURSE_ID}\ncatalog_id = {CATALOG_ID}\n"
"""The rule about what follows on a completed course."""
ALL_OFFERS = f"""{OFFERS}
[[offer]]
source = "studiocart"
product_id = "{SUBSCRIPTION}"
grants = [{{ price_id = 801 }}]
renewals = "ignore"

[[offer]]
source = "studiocart"
product_name = "{BUMP_NAME}"
grants = [{{ price_id = {BUMP_PRICE_ID} }}]

[[offer]]
source = "frontcore"
course_id = "{FRONTCORE_COURSE_ID}"
grants = [{{ price_id = {FRONTCORE_PRICE_ID}, group_ids = [31] }}]
"""
"""Also a subscription, a bump known by its name, and a course whose every participant has a seat."""
GRANTS = {COURSE: (501,), BUNDLE: (601, 602), SUBSCRIPTION: (801,)}
"""The prices that each product grants, not by the product's own reading of the offers."""
