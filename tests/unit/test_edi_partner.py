"""A trading partner that others wrote: what it answers to an order, and what that is here, whatever mood it is in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from mockedi.testing import Mock

from operators.adapters.account import Translation
from operators.adapters.edifact_mapping import EdifactMapping
from operators.adapters.memory import Dictionary
from operators.adapters.x12_mapping import X12Mapping
from tests.documents import become, context, edifact, fates, x12

ORDER = "850\nBEG*00*SA*PO-1**20240110\nPO1*1*100*EA*12.50**VP*WIDGET-001\nPO1*2*60*EA*3.00**VP*WIDGET-002\nCTT*2"
CHANGE = "860\nBCH*04*SA*PO-1**1*20240110\nPOC*1*QD*10*90*EA*12.50**VP*WIDGET-001\nCTT*1"
ORDERS = (
    "ORDERS\nBGM+220+PO-1+9\nDTM+137:20240110:102\nNAD+BY+EURODIS::9\nNAD+SU+MOCKEDI::9\n"
    "LIN+1++WIDGET-001:SA\nQTY+21:100:PCE\nUNS+S"
)


@pytest.fixture
def partner() -> Iterator[Mock]:
    """The partner, who answers at once."""
    with Mock.start() as mock:
        yield mock


def sent(partner: Mock, code: str) -> list[bytes]:
    """What it has sent us of one kind, oldest first."""
    partner.settle()
    listed = [one for one in partner.documents() if one["direction"] == "out" and one["code"] == code]
    payloads = [partner.get(f"/_mock/documents/{one['id']}").body["payload"] for one in listed]
    return [text.encode() for text in reversed(payloads)]


def from_us(raw: bytes) -> str:
    """As its envelope wants it: to the partner's id."""
    return raw.decode().replace("*ZZ*US             *", "*ZZ*MOCKEDI        *").replace("*US*", "*MOCKEDI*")


def known(**more: Any) -> Any:
    return context(channel="b2b", location="DC1", mapping=X12Mapping(transit_days=3, ship_to=("WH",)), **more)


def order(partner: Mock, mood: str) -> None:
    """Order from a partner that is in this mood."""
    partner.behaviour("ACME", mood)
    assert partner.send(from_us(x12(ORDER)))["accepted"]


def expected(result: Translation) -> dict[str, Any]:
    """By item, how much is expected."""
    return {body["item"]: body["quantity"] for body in result.bodies()}


def test_what_it_ships_is_expected_as_a_part_of_the_order(partner: Mock) -> None:
    order(partner, "accept")
    (notice,) = sent(partner, "856")
    result = become(notice, known())
    shipped = {line["item"]: line["quantity"] for line in become(x12(ORDER)).bodies()[0]["lines"]}
    assert expected(result) == shipped
    assert {(body["type"], body["part_of"], body["location"]) for body in result.bodies()} == {
        ("receipt_expected", "PO-1", "DC1")
    }
    # What it says besides moves no quantity, and each line is accounted for.
    assert set(fates(become(sent(partner, "855")[0], known()))) == {"acknowledged"}
    for code in ("997", "810"):
        assert fates(become(sent(partner, code)[0], known())) == ["not_read"]


def test_what_it_ships_short_is_expected_short(partner: Mock) -> None:
    order(partner, "short-ship")
    shorts = expected(become(sent(partner, "856")[0], known()))
    assert shorts and all(0 < shorts[item] < 100 for item in shorts)


def test_a_line_that_it_refuses_is_not_expected(partner: Mock) -> None:
    order(partner, "reject-line")
    assert sorted(fates(become(sent(partner, "855")[0], known()))) == ["acknowledged", "rejected"]
    assert len(expected(become(sent(partner, "856")[0], known()))) == 1


def test_an_order_that_it_refuses_is_not_expected(partner: Mock) -> None:
    order(partner, "reject-all")
    assert set(fates(become(sent(partner, "855")[0], known()))) == {"rejected"}
    assert not sent(partner, "856")


def test_its_silence_is_no_document(partner: Mock) -> None:
    order(partner, "no-ack")
    assert not partner.scheduled(pending_only=True) and {one["direction"] for one in partner.documents()} == {"in"}


def test_documents_with_wrong_counts_are_read(partner: Mock) -> None:
    order(partner, "corrupt")
    assert len(expected(become(sent(partner, "856")[0], known()))) == 2


def test_its_documents_again_add_nothing(partner: Mock) -> None:
    order(partner, "accept")
    (notice,) = sent(partner, "856")
    twice = become(notice + notice, known())
    assert twice.bodies()[:2] == twice.bodies()[2:] == become(notice, known()).bodies()


def test_its_own_orders_and_changes_are_ours_too(partner: Mock) -> None:
    """What it takes as an order and a change of it, we take for the same."""
    order(partner, "accept")
    memory = Dictionary()
    become(x12(ORDER), memory=memory)
    changed = become(x12(CHANGE), memory=memory)
    assert partner.send(from_us(x12(CHANGE, control="000000002")))["accepted"]
    ours = {line["line_id"]: line["quantity"] for line in changed.bodies()[0]["lines"]}
    assert ours == {"1": 90}


def test_its_edifact_is_expected_too(partner: Mock) -> None:
    text = edifact(ORDERS, sender="EURODIS").decode().replace("+US:14+", "+MOCKEDI:14+")
    assert partner.send(text)["accepted"]
    (notice,) = sent(partner, "DESADV")
    result = become(notice, context(mapping=EdifactMapping(transit_days=3, places=("WH",))))
    assert expected(result) == {"WIDGET-001": 100} and result.bodies()[0]["part_of"] == "PO-1"
    assert {reason for code in ("CONTRL", "ORDRSP", "INVOIC") for reason in fates(become(sent(partner, code)[0]))} == {
        "not_read"
    }
