"""Studiocart's records as its own document shows them."""

from __future__ import annotations

from typing import Any

ITEM = {
    "product_name": "SC Product 1 x 1",
    "quantity": 1,
    "subtotal": 500,
    "total_amount": 500,
    "tax_amount": 0,
    "unit_price": 500,
    "sub_summary": "$5.00 / month",
}
ORDER: dict[str, Any] = {
    "id": 1109,
    "customer_firstname": "Jane",
    "customer_lastname": "Doe",
    "customer_name": "Jane Doe",
    "customer_email": "janedoe@email.com",
    "product_id": "1107",
    "product_name": "SC Product 1",
    "gateway": "stripe",
    "shipping_amount": 0,
    "date": "2023-05-27",
    "date_time": "2023-05-27 08:14:00",
    "payment_plan": "Subscription Payment",
    "payment_plan_id": "price_1N4iASSEsjR3TKDuTSloXYv5",
    "order_amount": 500,
    "tax_amount": 0,
    "pre_tax_amount": 0,
    "tax_rate": 0,
    "tax_type": "tax",
    "currency": "INR",
    "transaction_id": "ch_3NCNPYSEsjR3TKDu0BcJrS1F",
    "status": "paid",
    "items": [ITEM],
    "invoice_total": 0,
    "invoice_subtotal": 0,
    "website_url": "http://studiocart.local",
    "order_url": "/products/sc-product-1/",
    "link": "http://studiocart.local/wp-json/sc/v1/orders/1109",
}
SUBSCRIPTION: dict[str, Any] = {
    name: value
    for name, value in ORDER.items()
    if name not in {"items", "shipping_amount", "pre_tax_amount", "transaction_id", "invoice_total", "invoice_subtotal"}
} | {
    "id": 1108,
    "subscription_id": "sub_1NCNPYSEsjR3TKDuWWgFnblY",
    "status": "active",
    "amount": 500,
    "interval": "month",
    "frequency": "1",
    "trial_days": 0,
    "sign_up_fee": 0,
    "next_bill_date": "2023-06-27",
    "next_bill_date_time": "2023-06-27 13:44:00",
    "invoices": [
        {
            "id": 1109,
            "status": "paid",
            "order_amount": 500,
            "date": "2023-05-27",
            "date_time": "2023-05-27 13:44:00",
            "link": "http://studiocart.local/wp-json/sc/v1/orders/1109",
        }
    ],
}
PRODUCT: dict[str, Any] = {
    "id": 1130,
    "name": "SC Product 2",
    "status": "publish",
    "description": "SC Product Description 2",
    "date_created": "2023-05-28 00:58:52",
    "date_updated": "2023-05-28 00:58:52",
    "url": "http://studiocart.local/products/sc-product-2/",
    "image_url": "",
    "is_on_sale": 0,
    "plans": [
        {
            "id": "price_1N4iBnSEsjR3TKDuwYubVqSF",
            "name": "Price Label",
            "price_type": "recurring",
            "price": 400,
            "installments": "-1",
            "interval": "week",
            "frequency": 1,
            "trial_days": None,
            "signup_fee": 0,
        }
    ],
}
CUSTOMER: dict[str, Any] = {
    "id": 1,
    "first_name": "Jane",
    "last_name": "Doe",
    "email": "janedoe@email.com",
    "date_created": "2023-05-27 14:06:02",
    "lifetime_value": 500,
    "total_orders": 1,
    "last_order_date": "2023-05-27 13:44:00",
}
