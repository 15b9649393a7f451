from __future__ import annotations

import logging
from typing import Any

import pytest

from worker.errors import WebhookRejectedError
from worker.web.webhooks.body import (
    LARGEST_BODY_BYTES,
    BodyKind,
    check_declared_size,
    fields_of,
    kind_of_body,
    parse_document,
)

DISPOSITION = b'Content-Disposition: form-data; name="id"\r\n'
LONG = b"b" * 71
PART = DISPOSITION + b"\r\n1"


def refused(kind: BodyKind, body: bytes, content_type: str = "") -> int:
    with pytest.raises(WebhookRejectedError) as refusal:
        parse_document(kind, content_type, body)
    return refusal.value.status


def parse_body(kind: BodyKind, content_type: str, body: bytes) -> Any:
    return fields_of(parse_document(kind, content_type, body))


def multipart(*parts: bytes, boundary: bytes = b"b", end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + end


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("application/json", BodyKind.JSON),
        ("Application/JSON; charset=utf-8", BodyKind.JSON),
        ("application/vnd.shop+json", BodyKind.JSON),
        ("application/x-www-form-urlencoded; charset=UTF-8", BodyKind.FORM),
        ("multipart/form-data; boundary=x", BodyKind.MULTIPART),
    ],
)
def test_kind_is_known_when_the_media_type_is_taken(content_type: str, kind: BodyKind) -> None:
    assert kind_of_body(content_type) is kind


@pytest.mark.parametrize("content_type", ["text/plain", "application/jsonx", "text/vnd+json", "", "json", "text/json"])
def test_kind_is_refused_when_the_media_type_is_another(content_type: str) -> None:
    with pytest.raises(WebhookRejectedError) as refusal:
        kind_of_body(content_type)
    assert refusal.value.status == 415


@pytest.mark.parametrize("announced", [None, "", "0", str(LARGEST_BODY_BYTES), "x", "-1", "9" * 5000, "٩٩٩٩٩٩٩٩٩"])
def test_size_is_let_through_when_it_is_not_said_to_be_too_large(announced: str | None) -> None:
    check_declared_size(announced)


@pytest.mark.parametrize("announced", [str(LARGEST_BODY_BYTES + 1), "99999999999999999999"])
def test_size_is_refused_when_it_is_said_to_be_too_large(announced: str) -> None:
    with pytest.raises(WebhookRejectedError) as refusal:
        check_declared_size(announced)
    assert refusal.value.status == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"id": 1, "x": [' + b"{}," * 150_000 + b"1]}",
        b'{"id": 1, "x":' + b"[" * 32 + b"]" * 32 + b"}",
        b'{"id": 1, "x":' + b'{"a":' * 32 + b"1" + b"}" * 32 + b"}",
        b"[" * 200_000,
        b'{"x":' * 100_000,
    ],
)
def test_json_is_refused_when_it_is_malformed(body: bytes) -> None:
    assert refused(BodyKind.JSON, body) == 400


@pytest.mark.parametrize(
    "body", [b"[1]", b"[]", b'[{"id": 1}, {"id": 2}]', b'["X-Webhook-Secret: x"]', b'"lead"', b"5", b"null"]
)
def test_json_has_no_members_when_it_is_no_object_and_no_array_of_one(body: bytes) -> None:
    assert parse_body(BodyKind.JSON, "", body) is None


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b'\xef\xbb\xbf{"id": 1}', {"id": 1}),
        (b'{"id": 7, "id": 1}', {"id": 1}),
        (b'{"x": 1.5e3, "y": -0.25}', {"x": 1500.0, "y": -0.25}),
        (b'{"id": 1, "x": NaN, "y": [-Infinity], "z": 1e999}', {"id": 1, "x": "NaN", "y": ["-Infinity"], "z": "1e999"}),
        (b'{"id": 1, "x": ' + b"9" * 5000 + b"}", {"id": 1, "x": "9" * 40}),
        (b'{"id": 1, "x": "Jos\xc3", "y": "J\xc3\xb8rgen"}', {"id": 1, "x": "Jos\ufffd", "y": "Jørgen"}),
        (b"{}", {}),
        (b' [{"id": 1}]\n', {"id": 1}),
    ],
)
def test_json_is_read_when_it_is_odd_but_valid(body: bytes, fields: dict[str, Any]) -> None:
    assert parse_body(BodyKind.JSON, "", body) == fields


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_json_is_read_when_it_is_as_deep_as_allowed(opening: bytes, closing: bytes) -> None:
    body = b'{"id": 1, "x":' + opening * 31 + b"1" + closing * 31 + b"}"
    assert parse_body(BodyKind.JSON, "", body)["id"] == 1


def test_form_is_read_when_it_is_urlencoded() -> None:
    fields = parse_body(BodyKind.FORM, "", "a=%C3%85+x&b=&raw=Ø&id=7&id=1&items[0][id]=9".encode())
    assert fields == {"a": "Å x", "b": "", "raw": "Ø", "id": "1", "items[0][id]": "9"}


@pytest.mark.parametrize("body", [b'{"id": 1}', b' \n[{"id": 1}]', b'\xef\xbb\xbf{"id": 1}'])
def test_json_is_read_when_it_stands_under_a_forms_media_type(body: bytes) -> None:
    assert parse_body(BodyKind.FORM, "", body) == {"id": 1}


@pytest.mark.parametrize("body", [b"id=1&name=%ff", b"\xff=1", b"&".join([b"a=1"] * 1001)])
def test_form_is_refused_when_it_is_malformed(body: bytes) -> None:
    assert refused(BodyKind.FORM, body) == 400


def test_multipart_is_read_without_its_files_when_it_is_whole() -> None:
    file = b'Content-Disposition: form-data; name="id"; filename="a"\r\nContent-Type: text/plain\r\n\r\n77'
    encoded = b'Content-Disposition: form-data; name="n"\r\nContent-Transfer-Encoding: base64\r\n\r\nw4U='
    fields = parse_body(BodyKind.MULTIPART, "multipart/form-data; boundary=b", multipart(PART, file, encoded))
    assert fields == {"id": "1", "n": "Å"}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", multipart(PART)),
        ("multipart/form-data; boundary=", multipart(PART)),
        (
            "multipart/form-data; boundary=" + "b" * 71,
            multipart(PART, boundary=b"b" * 71, end=b"--" + b"b" * 71 + b"--"),
        ),
        ("multipart/form-data; boundary=b", multipart(PART, end=b"")),
        ("multipart/form-data; boundary=b", multipart(DISPOSITION + b"\r\n\xff")),
        ("multipart/form-data; boundary=b", multipart(b"\r\n1")),
        ("multipart/form-data; boundary=b", multipart(b"Content-Disposition: form-data\r\n\r\n1")),
        ("multipart/form-data; boundary=b", multipart(*[PART] * 1001)),
        ("multipart/form-data; boundary=b", multipart(b"X: y\r\n" * 100 + PART)),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"nothing"),
    ],
)
def test_multipart_is_refused_when_it_is_malformed(content_type: str, body: bytes) -> None:
    assert refused(BodyKind.MULTIPART, body, content_type) == 400


def test_nothing_of_the_body_is_logged_when_the_parser_warns(caplog: pytest.LogCaptureFixture) -> None:
    odd = DISPOSITION + b"Content-Transfer-Encoding: planted\r\n\r\n1"
    with caplog.at_level(logging.DEBUG):
        assert parse_body(BodyKind.MULTIPART, "multipart/form-data; boundary=b", multipart(odd)) == {"id": "1"}
    assert "planted" not in caplog.text
