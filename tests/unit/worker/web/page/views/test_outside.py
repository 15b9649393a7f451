from __future__ import annotations

import pytest

from tests.unit.worker.web.asking import settings_with
from worker.web.page.views.formatting import learningcart_site, order_at_source


@pytest.mark.parametrize(
    ("source", "order_id", "path"),
    [
        ("studiocart", "1109", "https://shop.example/wp-admin/post.php?post=1109&action=edit"),
        ("studiocart", "11/09", None),
        ("studiocart", None, None),
        ("frontcore", "1109", None),
    ],
)
def test_order_is_led_to_only_where_its_address_is_known(source: str, order_id: str | None, path: str | None) -> None:
    settings = settings_with(studiocart={"base_url": "https://shop.example/wp-json/sc/v1"})
    assert order_at_source(settings, source, order_id) == path


@pytest.mark.parametrize(
    ("host", "path"),
    [("academy.example", "https://academy.example/"), ("javascript:alert(1)", None), ("a b", None)],
)
def test_site_is_led_to_only_where_it_is_a_host(host: str, path: str | None) -> None:
    assert learningcart_site(settings_with(learningcart={"site_hostname": host})) == path
