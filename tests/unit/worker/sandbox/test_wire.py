from __future__ import annotations

import pytest

from worker.sandbox.wire import Answer, Request, is_id


def test_the_last_value_wins_when_a_query_name_is_repeated() -> None:
    request = Request("GET", "/orders", query_text="page=1&page=2&include[]=a&include[]=b&empty=")
    assert request.query["page"] == "2"
    assert request.query["empty"] == ""
    assert [value for name, value in request.query_pairs if name == "include[]"] == ["a", "b"]


@pytest.mark.parametrize(("body", "expected"), [(b"", {}), (b"  ", {}), (b"[1]", {}), (b'{"page": 2}', {"page": 2})])
def test_a_body_reads_as_an_object_when_it_is_one(body: bytes, expected: dict[str, int]) -> None:
    assert Request("GET", "/", body=body).json_object == expected


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000])
def test_a_body_is_refused_when_it_is_not_json(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        _ = Request("GET", "/", body=body).json_object


@pytest.mark.parametrize(
    ("text", "expected"), [("1109", True), ("", False), ("-1", False), ("²", False), ("9" * 19, False)]
)
def test_a_text_is_an_id_when_it_is_a_plain_number(text: str, expected: bool) -> None:
    assert is_id(text) is expected


def test_header_names_get_their_hyphens_when_given_as_keywords() -> None:
    assert Answer.of_json({}, 429, Retry_After="1").headers == {"Retry-After": "1"}
    assert Answer.of_html("a", "b", 405, Allow="GET").headers == {"Allow": "GET"}


def test_a_page_escapes_its_texts_when_they_hold_markup() -> None:
    assert b"<script>" not in Answer.of_html("t", "<script>").body
