"""XML as WCF writes it, read as plain values."""

from __future__ import annotations

import re
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from worker.clients.json_text import DEEPEST_NESTING, MOST_CONTAINERS, UnreadableError

_DECLARATION: Final = re.compile(r"<\?xml[^>]*\?>")


def read_xml(text: str) -> Any:
    """Return what a document's root says, as `reading.read_document` tells; raises `UnreadableError`."""
    # Each element has a bracket, and each attribute an equals sign: counted before a tree is built of them.
    if text.count("<") > 2 * MOST_CONTAINERS or text.count("=") > MOST_CONTAINERS:
        raise UnreadableError("holds too many values")
    declaration = _DECLARATION.match(text)
    problem, element = "", None
    try:
        # An encoding declaration contradicts what is decoded already.
        element = fromstring(text[declaration.end() :] if declaration else text, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        problem = "is neither JSON nor well-formed XML"
    if element is None:
        raise UnreadableError(problem)
    level = [element]
    for _ in range(DEEPEST_NESTING + 1):
        level = [child for each in level for child in each]
    if level:
        raise UnreadableError("is nested too deep")
    return _read_element(element)


def _read_element(element: Element) -> Any:
    if any(_local(name) == "nil" and value.strip().lower() in {"true", "1"} for name, value in element.attrib.items()):
        return None
    if _local(element.tag).startswith("ArrayOf"):
        return [_read_element(child) for child in element]
    if len(element) == 0:
        return element.text or ""
    record: dict[str, Any] = {}
    repeated: set[str] = set()
    for child in element:
        name, value = _local(child.tag), _read_element(child)
        if name in repeated:
            record[name].append(value)
        elif name in record:
            record[name] = [record[name], value]
            repeated.add(name)
        else:
            record[name] = value
    return record


def _local(name: str) -> str:
    return name.rpartition("}")[2]
