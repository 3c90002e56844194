"""Reads XML that others send: no entities, no document types, no names beyond their local part.

A document type is where bombs and files of this machine come in by; none of the formats here needs one, so a document
that has one is refused whole. Namespaces say which version a partner's software speaks, and partners get them wrong;
the local names do not differ between versions.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from operators.adapters.account import Refused
from schemas.codes import BAD_VALUE, NESTING_MAX, show


class Node:
    """One element: its local name, where it stands, and what is beneath it."""

    __slots__ = ("_beneath", "_element", "name", "place")

    def __init__(self, element: Element, name: str, place: str) -> None:
        self._element = element
        self.name = name
        self.place = place
        #: by name: a document may have a hundred thousand elements right beneath one, and many questions to it
        self._beneath: dict[str, list[Element]] | None = None

    def all(self, name: str) -> list[Node]:
        """Give the elements right beneath that have this name; their places count them."""
        return [
            Node(element, name, f"{self.place}/{name}[{number}]")
            for number, element in enumerate(self._named().get(name, ()), 1)
        ]

    def find(self, *path: str) -> Node | None:
        """Give the first element at the end of a path of local names, wherever the path forks."""
        if not path:
            return self
        name, *rest = path
        for number, element in enumerate(self._named().get(name, ()), 1):
            found = Node(element, name, f"{self.place}/{name}[{number}]").find(*rest)
            if found is not None:
                return found
        return None

    def _named(self) -> dict[str, list[Element]]:
        if self._beneath is None:
            self._beneath = {}
            for element in self._element:
                self._beneath.setdefault(local_name(element.tag), []).append(element)
        return self._beneath

    def text(self, *path: str) -> str | None:
        """Give the text of the first element at the end of the path, stripped; None where it is empty."""
        node = self.find(*path)
        return None if node is None else (node._element.text or "").strip() or None

    def attribute(self, name: str) -> str | None:
        """Give an attribute by its local name; None where it is absent or empty."""
        for key, value in self._element.attrib.items():
            if local_name(key) == name:
                return value.strip() or None
        return None


class _Builder(TreeBuilder):
    """Builds a tree that is not deep: what is deeper ends the reading, before it costs anything."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str]) -> Element:
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise _TooDeep
        return super().start(tag, attrs)

    def end(self, tag: str) -> Element:
        self._depth -= 1
        return super().end(tag)


class _TooDeep(Exception):
    pass


def read_xml(raw: bytes) -> Node:
    """Read a document; Refused with bad_value where it is not well-formed, too deep, or has a document type."""
    parser = DefusedXMLParser(target=_Builder(), forbid_dtd=True)
    try:
        parser.feed(raw.lstrip())
        root: Element = parser.close()
    except DefusedXmlException:
        told = "expected XML without a document type or entities, got one"
        raise Refused(BAD_VALUE, f"document: {told}") from None
    except _TooDeep:
        told = f"expected XML of at most {NESTING_MAX} levels of nesting, got more"
        raise Refused(BAD_VALUE, f"document: {told}") from None
    except (ParseError, LookupError, ValueError) as error:
        raise Refused(BAD_VALUE, f"document: expected well-formed XML, got other text: {show(str(error))}") from None
    name = local_name(root.tag)
    return Node(root, name, name)


def local_name(tag: object) -> str:
    """Give a name without its namespace; nothing for what is no element (a comment)."""
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
