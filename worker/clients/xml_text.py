"""XML as WCF writes it, read as plain values."""

from __future__ import annotations

import re
from typing import Any, Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from worker.clients.json_text import DEEPEST_NESTING, MOST_CONTAINERS, UnreadableError

_DECLARATION: Final = re.compile(r"<\?xml[^>]*\?>")
_NIL: Final = "nil"


def read_xml(text: str) -> Any:
    """Return what a document's root says, as `reading.read_document` tells; raises `UnreadableError`.

    Namespaces are not looked up: a parser that does writes the whole address of one before the name of every element,
    which makes 974 MB of a document of 0.5 MB.
    """
    # Each element has a bracket, and each attribute an equals sign: counted before a tree is built of them.
    if text.count("<") > 2 * MOST_CONTAINERS or text.count("=") > MOST_CONTAINERS:
        raise UnreadableError("holds too many values")
    declaration = _DECLARATION.match(text)
    reader = _Reader()
    element, problem = None, "is neither JSON nor well-formed XML"
    try:
        # An encoding declaration contradicts what is decoded already.
        element = reader.read(text[declaration.end() :] if declaration else text)
    except _RefusedError as refusal:
        problem = str(refusal)
    except (expat.ExpatError, ValueError):
        pass
    # Raised here and not above: the parser's own error holds the whole document.
    if element is None:
        raise UnreadableError(problem)
    return _read_element(element)


class _RefusedError(Exception):
    """What the document has more of than is read."""


class _Reader:
    """One document's elements by their local names, of whose attributes `nil` alone is kept."""

    def __init__(self) -> None:
        self._builder = TreeBuilder()
        self._depth = 0

    def read(self, text: str) -> Element:
        """The root. Raises `ExpatError`, `ValueError` for what cannot be encoded, and `_RefusedError`."""
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._builder.data
        parser.Parse(text.encode(), True)  # noqa: FBT003 -- expat's own
        return self._builder.close()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST_NESTING + 1:
            raise _RefusedError("is nested too deep")
        is_nil = any(
            _local(each) == _NIL and not each.startswith("xmlns") and value.strip().lower() in {"true", "1"}
            for each, value in attributes.items()
        )
        self._builder.start(_local(name), {_NIL: "true"} if is_nil else {})

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._builder.end(_local(name))


def _refuse_doctype(*_: object) -> None:
    """What a document declares of itself may grow without bound (entities), or name files and addresses."""
    raise _RefusedError("is neither JSON nor well-formed XML")


def _read_element(element: Element) -> Any:
    if _NIL in element.attrib:
        return None
    if element.tag.startswith("ArrayOf"):
        return [_read_element(child) for child in element]
    if len(element) == 0:
        return element.text or ""
    record: dict[str, Any] = {}
    repeated: set[str] = set()
    for child in element:
        name, value = child.tag, _read_element(child)
        if name in repeated:
            record[name].append(value)
        elif name in record:
            record[name] = [record[name], value]
            repeated.add(name)
        else:
            record[name] = value
    return record


def _local(name: str) -> str:
    return name.rpartition(":")[2]
