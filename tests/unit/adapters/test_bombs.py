"""Small messages that would be large if somebody unpacked them: nobody does, and each is accounted for."""

from __future__ import annotations

import io
import time
import zipfile

import pytest

from operators.adapters.context import Context
from operators.adapters.kinds import KINDS, translate
from tests.unit.adapters.test_xml_reading import BOMB

#: Of zeros, in less than a hundredth of that.
UNPACKED = 200_000_000
PIECE = bytes(10_000_000)


@pytest.fixture(scope="module")
def zip_bomb() -> bytes:
    """A zip of a megabyte whose one file has two hundred."""
    packed = io.BytesIO()
    archive = zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with archive, archive.open("orders.xml", "w") as out:
        for _ in range(UNPACKED // len(PIECE)):
            out.write(PIECE)
    assert len(packed.getvalue()) < UNPACKED / 100
    return packed.getvalue()


@pytest.mark.parametrize("kind", [None, *sorted(name for name, kind in KINDS.items() if kind.has_default)])
def test_a_zip_bomb_is_bytes_that_nobody_unpacks_and_one_line_refused(zip_bomb: bytes, kind: str | None) -> None:
    begun = time.process_time()
    translation = translate(zip_bomb[:1_048_576], Context("acme"), KINDS[kind] if kind else None)
    assert time.process_time() - begun < 1
    assert [line.fate for line in translation.lines] == ["refused"] and not translation.output


@pytest.mark.parametrize("kind", [None, "ubl", "idoc"])
@pytest.mark.parametrize("root", [b"Order", b"ORDERS05", b"a"])
def test_an_entity_bomb_is_one_line_refused(kind: str | None, root: bytes) -> None:
    raw = BOMB.replace(b"<a>", b"<" + root + b">").replace(b"</a>", b"</" + root + b">")
    begun = time.process_time()
    translation = translate(raw, Context("acme"), KINDS[kind] if kind else None)
    assert time.process_time() - begun < 1
    assert [line.fate for line in translation.lines] == ["refused"] and not translation.output
