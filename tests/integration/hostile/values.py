"""What no vendor should send: values for a field, and whole bodies."""

from __future__ import annotations

import codecs
import copy
import json
from collections.abc import Iterator
from functools import cache
from math import gcd
from typing import Any

DIGITS = "9" * 5000
NUMBERS = (
    "1e999999999999999999",
    "-1e999999999999999999",
    "1E-999999999999999999",
    "0e999999999999999999",
    "1e999999",
    "1e400",
    "-1e400",
    "1e-400",
    "1e30",
    "1e19",
    "1e2",
    "1.5",
    "-1",
    "-0",
    "0",
    "0.0000000000000000000000000000000000000000000000001",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    DIGITS,
    "-" + DIGITS,
    DIGITS + ".5",
    "0." + DIGITS,
    "1e" + DIGITS,
    "NaN",
    "Infinity",
    "-Infinity",
)
TEXTS = (
    *NUMBERS[:8],
    "nan",
    "-inf",
    DIGITS,
    "1_000",
    "\u0663\u0663",
    "0x7f",
    "true",
    "",
    " ",
    " " * 5000,
    "a" * 5000,
    "a-" * 2500,
    "@" * 5000,
    "a@" * 2500,
    "x 1 " * 1000,
    " x 99999999999",
    "<!---->" * 35 + "<x></x>",
    "<" * 5000,
    "<a " * 2000,
    '"token":"' + "\\" * 50,
    "token" * 1000,
    "http://" * 1000,
    "{" * 500,
    "[" * 5000,
    '{"a": 1e999999999999999999}',
    "\x00",
    "\ud800",
    "\ufeff\ufeff",
    "Jos\ufffd",
    "\u202eevil",
    "é" * 1000,
    "9999-12-31T23:59:59",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00",
    "10000-01-01",
    "2023-02-30",
    "2023-05-27T08:14:00+99:99",
    "/Date(253402300799999)/",
    "/Date(99999999999999999)/",
    "/Date(1e30)/",
    "/Date(-62135596800000)/",
    "/Date(" + DIGITS + ")/",
    "13/45/2023 25:61:61 AM",
    "12/31/9999 11:59:59 PM",
    DIGITS + "/1/2023",
)
STRUCTURES = (
    "null",
    "true",
    "false",
    "[]",
    "{}",
    "[null]",
    "[[]]",
    "[1, [2], {}]",
    '{"": null}',
    '{"0": {}, "1": 1e400}',
    "[" * 40 + "]" * 40,
    '{"a":' * 40 + "1" + "}" * 40,
    "[" * 100 + "]" * 100,
    "[" + "{}," * 500 + "1]",
)
TOKENS = (*NUMBERS, *(json.dumps(text) for text in TEXTS), *STRUCTURES)

MOST_OF_A_RECORD = 2_000
_HERE = "@@here@@"


def hostile_documents(record: Any) -> Iterator[str]:
    """The record's JSON, again and again, with one of its values replaced by one of `TOKENS`.

    Of a large record each value meets some of them, and each of them some values: about `MOST_OF_A_RECORD` in all.
    """
    number, stride = 0, _stride_of(record)
    for path in _paths(record):
        changed = copy.deepcopy(record)
        *way, last = path
        place = changed
        for step in way:
            place = place[step]
        place[last] = _HERE
        before, after = json.dumps(changed).split(json.dumps(_HERE))
        for token in TOKENS:
            if number % stride == 0:
                yield before + token + after
            number += 1


def count_of(record: Any) -> int:
    """How many documents `hostile_documents` gives."""
    return -(-sum(1 for _ in _paths(record)) * len(TOKENS) // _stride_of(record))


def _stride_of(record: Any) -> int:
    """An odd number, and no part of the number of tokens: so each token has its turn."""
    stride = max(1, sum(1 for _ in _paths(record)) * len(TOKENS) // MOST_OF_A_RECORD)
    while gcd(stride, len(TOKENS)) > 1:
        stride += 1
    return stride


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield (key,)
        for path in _paths(member):
            yield (key, *path)


SIZE = 8 * 1024 * 1024 - 1024
NOTICE = b"<br />\n<b>Notice</b>:  Undefined index: a in <b>/x.php</b> on line <b>3</b><br />\n"


MARKS = "a" + "\u0301\u0316" * 30_000
"""A letter with marks of two classes in turn, which Unicode's normal forms put in order."""


def _with_words(value: Any, word: str) -> Any:
    """A record with each of its names and emails, whatever is a text without digits, replaced by a word."""
    if isinstance(value, dict):
        return {key: _with_words(member, word) for key, member in value.items()}
    if isinstance(value, list):
        return [_with_words(member, word) for member in value]
    is_email = isinstance(value, str) and "@" in value
    is_name = isinstance(value, str) and value.replace(" ", "").isalpha() and value[:1].isupper()
    return f"{word}@example.com" if is_email else word if is_name else value


def hostile_bodies(good: bytes) -> dict[str, bytes]:
    """Whole bodies, some of them made of a good one."""
    text = good.decode()
    return _bombs() | {
        "empty": b"",
        "blank": b" \r\n" * 1000,
        "marks": codecs.BOM_UTF8 * 5 + good,
        "marks alone": codecs.BOM_UTF8 * 5,
        "utf-16": text.encode("utf-16"),
        "half of utf-16": text.encode("utf-16")[:-1],
        "utf-32": text.encode("utf-32"),
        "latin": good.replace(b"a", b"\xe5"),
        "cut letters": good.replace(b"a", b"\xc3", 3),
        "marks on letters": json.dumps(_with_words(json.loads(good), MARKS), ensure_ascii=False).encode(),
        "words in letters": json.dumps(_with_words(json.loads(good), "\ufdfa" * 15_000), ensure_ascii=False).encode(),
        "bytes": bytes(range(256)) * 10,
        "null bytes": good.replace(b" ", b"\0"),
        "notice": NOTICE + good,
        "notices": NOTICE * 1000 + good + NOTICE * 1000,
        "comment": good + b"\n<!-- cached -->",
        "twice": good + good,
        "two lines": good + b"\n" + good,
        "cut": good[: len(good) // 2],
        "quoted": json.dumps(text).encode(),
        "quoted often": json.dumps(json.dumps(json.dumps(json.dumps(text)))).encode(),
        "page": b"<!DOCTYPE html><html><body>" + good + b"</body></html>",
        "laughs": b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        "xml of another kind": b'<?xml version="1.0" encoding="utf-7"?><a xmlns:i="x" i:nil="1"/>',
    }


@cache
def _bombs() -> dict[str, bytes]:
    """As large as an answer may be, or nested as deep as that gives."""
    return {
        "slow page": b"<!---->" * 35 + b"<x></x>",
        "many comments": b"<!---->" * (SIZE // 7),
        "many comments before a document": b"<!---->" * (SIZE // 7) + b"[]",
        "many comments behind a document": b"[]" + b"<!---->" * (SIZE // 7),
        "open comment": b"<!--" * (SIZE // 4),
        "open tags": b"<" * SIZE,
        "spaces": b" " * SIZE,
        "a long text": b'"' + b"a" * SIZE + b'"',
        "an open text": b'"' + b'\\"' * (SIZE // 2),
        "open brackets": b"[" * SIZE,
        "open objects": b'{"a":' * (SIZE // 5),
        "lines of brackets": b"\n[" * (SIZE // 2),
        "empty objects": b"[" + b"{}," * (SIZE // 3) + b"{}]",
        "objects of objects": b'{"a":[' + b'{"a":1},' * (SIZE // 8) + b"1]}",
        "numbers": b"[" + b"0," * (SIZE // 2) + b"0]",
        "commas": b"," * SIZE,
        "a deep list": b"[" * 900 + b"]" * 900,
        "deep objects": b'{"a":' * 900 + b"1" + b"}" * 900,
        "deep xml": b"<a>" * (SIZE // 8) + b"</a>" * (SIZE // 8),
        "wide xml": b"<r>" + b"<a/>" * (SIZE // 4 - 10) + b"</r>",
        "xml of a long namespace": b'<r xmlns="' + b"A" * 500_000 + b'">' + b"<a/>" * 100_000 + b"</r>",
        "names of a long namespace": (
            b'<r xmlns="' + b"A" * 500_000 + b'">' + b"".join(b"<a%d/>" % number for number in range(50_000)) + b"</r>"
        ),
        "much of xml's attributes": b"<r " + b" ".join(b'a%d=""' % number for number in range(500_000)) + b"/>",
    }
