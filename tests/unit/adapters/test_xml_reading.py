"""XML that others send is read without entities, bounded, and by local names."""

from __future__ import annotations

import time

import pytest

from operators.adapters.account import Refused
from operators.adapters.xml_reading import read_xml

BOMB = (
    b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><a>&j;</a>"
)


@pytest.mark.parametrize(
    "raw",
    [
        BOMB,
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd"><a/>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>',
        b"<a>&unknown;</a>",
        b"",
        b"<a",
        b"<a></b>",
        b"<a/><b/>",
        b"\xff\xfe\x00",
        b'<?xml version="1.0" encoding="utf-99"?><a/>',
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        b"<a>" * 101 + b"</a>" * 101,
        b"<a>" * 100_000,
        b"<a>" * 100_000 + b"</a>" * 100_000,
    ],
)
def test_bombs_cut_off_documents_and_depth_are_refused(raw: bytes) -> None:
    began = time.process_time()
    with pytest.raises(Refused, match="document: expected"):
        read_xml(raw)
    assert time.process_time() - began < 1


def test_names_are_local_and_places_count_equal_ones() -> None:
    root = read_xml(b'\xef\xbb\xbf\n<x:a xmlns:x="urn:x"><!-- c --><x:b/><b k=" 1 "> t <c/></b><b><c>u</c></b></x:a>')
    assert root.name == "a" and [node.place for node in root.all("b")] == ["a/b[1]", "a/b[2]", "a/b[3]"]
    assert root.text("b") is None and root.all("b")[1].text() == "t" and root.all("b")[1].attribute("k") == "1"
    found = root.find("b", "c")
    assert found is not None and found.place == "a/b[2]/c[1]"
    assert root.find("b", "d") is None and root.text("d") is None and root.attribute("k") is None


def test_a_mebibyte_of_elements_is_looked_at_once() -> None:
    root = read_xml(b"<a>" + b"<b/>" * 250_000 + b"</a>")
    began = time.process_time()
    for _ in range(100):
        assert root.find("c", "d") is None
    assert time.process_time() - began < 1
