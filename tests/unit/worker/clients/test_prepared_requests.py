"""A plain GET is prepared without requests' look at each part of its URL, and is what requests would send."""

from __future__ import annotations

import pytest
import requests
from requests.exceptions import InvalidHeader

from worker.clients import transport
from worker.clients.reading import FieldNames

HEADERS = {"User-Agent": "cartbridge", "Accept": "application/json"}


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.example.test/CDNService.svc/addCustomer?Email=j%40example.test&FirstName=J%C3%B6rg",
        "http://127.0.0.1:8123/orders",
        "https://münchen.example/wp-json/sc/v1/orders?page=1",
        "https://shop.example.test/?rest_route=/sc/v1/orders&page=2",
    ],
)
def test_get_is_prepared_as_requests_does_when_its_url_is_encoded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = requests.Request("GET", url, headers=HEADERS).prepare()
    transport._prepared_origin(transport._parted(url)[0])
    monkeypatch.setattr(requests.Request, "prepare", lambda _request: pytest.fail("prepared in full"))
    ours = transport._prepared(requests.Request("GET", url, headers=HEADERS))
    assert (ours.method, ours.url, dict(ours.headers), ours.body) == ("GET", theirs.url, HEADERS, None)


def test_header_is_refused_when_it_would_begin_another_line() -> None:
    with pytest.raises(InvalidHeader):
        transport._prepared(requests.Request("GET", "https://a.example.test/", headers={"X-Key": "k\r\nX-More: 1"}))


@pytest.mark.parametrize("target", ["/a b", "/ä", "/a?b=%zz", "/a?b=%c3", "/a#b", ""])
def test_target_is_left_to_urllib3_when_it_needs_escaping(target: str) -> None:
    assert transport._ESCAPED.fullmatch(target) is None


def test_key_is_folded_once_when_it_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    names = FieldNames({"orderid": "order_id"})
    assert names["Order ID"] == "order_id"
    monkeypatch.setattr("worker.clients.reading.fold", lambda _key: pytest.fail("folded again"))
    assert names["Order ID"] == "order_id"
