from __future__ import annotations

import pytest

from worker.web.webhooks.body import is_deeper_than


@pytest.mark.parametrize(
    ("document", "depth"),
    [
        (b"1", 0),
        (b"{}", 1),
        (b'{"a":[{"b":[]}]}', 4),
        (b'[[],[[]],{"a":{}}]', 3),
        (b'["[[[[", {"]": "\\"[[[["}]', 2),
        (b'["\\\\", []]', 2),
        (b"[" * 32 + b"]" * 32, 32),
        (b'{"a":[' + b"{}," * 300_000 + b"{}]}", 3),
    ],
)
def test_depth_is_told_when_a_document_is_whole(document: bytes, depth: int) -> None:
    assert not is_deeper_than(document, depth)
    assert depth == 0 or is_deeper_than(document, depth - 1)


@pytest.mark.parametrize("document", [b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"[" * 500_000, b"[]" + b"[" * 33])
def test_document_is_too_deep_when_it_opens_more_levels(document: bytes) -> None:
    assert is_deeper_than(document, 32)


@pytest.mark.parametrize(
    "document", [b'"' + b'\\"' * 400_000, b'"' * 700_001, b"\\" * 500_000, b"]" * 500_000, b'{"a' * 9]
)
def test_broken_text_is_not_too_deep_when_it_opens_few(document: bytes) -> None:
    assert not is_deeper_than(document, 32)
