"""What a shop's webhooks become: orders gross of what was shipped, fulfillments and their end, returns, levels."""

from __future__ import annotations

from typing import Any

import pytest

from operators.adapters import shopify
from operators.adapters.account import Translation, refusals_of
from operators.adapters.context import AliasTable, Context
from tests.adapting import checked, survives, wrong_values
from tests.writing import written

SHOP = "shop"
#: above 2^53: a reader with doubles would take both for the same
ORDER, LINE, OTHER_LINE = 9007199254740993, 9007199254740995, 9007199254740997
ALIASES = {
    (SHOP, "item", "LAMP-RED"): "lamp-red",
    (SHOP, "item", "gid://shopify/ProductVariant/311"): "shade",
    (SHOP, "item", "gid://shopify/InventoryItem/808"): "lamp-red",
    (SHOP, "location", "905"): "berlin",
}


def context(topic: str | None = None, **more: Any) -> Context:
    headers = {} if topic is None else {"X-Shopify-Topic": topic}
    return Context(source=SHOP, aliases=AliasTable(ALIASES), headers=headers, **{"channel": "webshop", **more})


def translated(document: object, topic: str | None = None, **more: Any) -> Translation:
    return checked(shopify.translate(written(document), context(topic, **more)), SHOP)


def line(line_id: int = LINE, ordered: int = 3, open_: int | None = None, **more: Any) -> dict[str, Any]:
    fields = {"id": line_id, "sku": "LAMP-RED", "variant_id": 39, "quantity": ordered, "current_quantity": ordered}
    return {**fields, "fulfillable_quantity": ordered if open_ is None else open_, "requires_shipping": True, **more}


def order(*lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    times = {"created_at": "2026-03-02T10:00:00+01:00", "updated_at": "2026-03-02T10:05:00+01:00", "cancelled_at": None}
    return {"id": ORDER, "order_number": 1001, "financial_status": "paid", **times, "line_items": list(lines), **more}


def fulfillment(status: str = "success", quantity: int | None = 2, **more: Any) -> dict[str, Any]:
    fields = {"id": 77, "order_id": ORDER, "status": status, "created_at": "2026-03-03T08:00:00Z", "location_id": 905}
    return {**fields, "tracking_company": "post", "line_items": [{**line(), "quantity": quantity}], **more}


def refund(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"id": 55, "order_id": ORDER, "created_at": "2026-03-09T09:00:00Z", "refund_line_items": list(entries)}


def part(restock: str | None, quantity: int | None = 1, location: int | None = 905) -> dict[str, Any]:
    fields = {"id": 551, "line_item_id": LINE, "quantity": quantity, "location_id": location, "restock_type": restock}
    return {**fields, "line_item": line()}


def wanted(document: dict[str, Any]) -> list[int]:
    (body,) = translated(document).bodies()
    return [entry["quantity"] for entry in body["lines"]]


def test_an_order_is_placed_by_its_lines_with_every_digit_of_its_ids() -> None:
    translation = translated(order(line(), line(OTHER_LINE, 1, sku="", variant_id=311)), "orders/create")
    assert translation.documents == [f"order:{ORDER}:20260302T090500Z"]
    assert translation.bodies() == [
        {
            "event_id": "order:9007199254740993:20260302T090500Z",
            "type": "order_placed",
            "source": "shop",
            "occurred_at": "2026-03-02T09:05:00Z",
            "order_id": "9007199254740993",
            "channel": "webshop",
            "lines": [
                {"line_id": "9007199254740995", "item": "lamp-red", "quantity": 3},
                {"line_id": "9007199254740997", "item": "shade", "quantity": 1},
            ],
        }
    ]


def test_created_and_updated_at_one_moment_are_one_event() -> None:
    created, updated = (translated(order(line()), topic) for topic in ("orders/create", "orders/updated"))
    assert created.bodies() == updated.bodies()


def test_an_edit_shows_in_what_is_still_to_be_fulfilled_and_not_in_what_was_ordered() -> None:
    assert wanted(order(line(ordered=3, open_=1, current_quantity=1))) == [1]


def test_what_was_shipped_stays_wanted_though_it_came_back() -> None:
    """Of 3 ordered 2 were shipped and 1 of them came back: 1 is still to be sent, and needs its claim beside the 2."""
    returned = {"refund_line_items": [part("return")]}
    document = order(line(ordered=3, open_=1, current_quantity=2), fulfillments=[fulfillment()], refunds=[returned])
    assert wanted(document) == [3]


def test_what_waits_with_a_fulfillment_service_stays_wanted() -> None:
    assert wanted(order(line(ordered=3, open_=1), fulfillments=[fulfillment("pending")])) == [3]


def test_a_cancelled_fulfillment_is_not_wanted_twice() -> None:
    assert wanted(order(line(ordered=3, open_=3), fulfillments=[fulfillment("cancelled")])) == [3]


def test_without_open_quantities_what_came_back_is_added_to_the_current_one() -> None:
    entry = line(ordered=3, current_quantity=1)
    entry["fulfillable_quantity"] = None
    assert wanted(order(entry, refunds=[refund(part("return"), part("cancel"))])) == [2]


def test_of_an_old_version_of_the_api_what_was_cancelled_is_taken_off() -> None:
    entry = line(ordered=3)
    entry["fulfillable_quantity"] = entry["current_quantity"] = None
    assert wanted(order(entry, refunds=[refund(part("return"), part("cancel", 2))])) == [1]


def test_a_removed_line_is_wanted_no_more() -> None:
    assert wanted(order(line(ordered=2, open_=0, current_quantity=0))) == [0]


def test_a_cancelled_order_is_cancelled_at_its_moment_however_often_it_is_updated() -> None:
    cancelled = order(line(), cancelled_at="2026-03-02T11:00:00+01:00")
    later = {**cancelled, "updated_at": "2026-03-05T11:00:00+01:00"}
    assert translated(cancelled, "orders/cancelled").bodies() == translated(later, "orders/updated").bodies()
    (body,) = translated(cancelled).bodies()
    assert (body["type"], body["occurred_at"]) == ("order_cancelled", "2026-03-02T10:00:00Z")
    assert body["lines"] == [{"line_id": str(LINE), "item": "lamp-red"}]


def test_what_needs_no_shipping_and_tests_are_ignored() -> None:
    gift = translated(order(line(gift_card=True), line(OTHER_LINE, requires_shipping=False), line(1)))
    assert gift.ignored() == {"needs_no_shipping": 2}
    assert [entry["line_id"] for entry in gift.bodies()[0]["lines"]] == ["1"]
    assert translated(order(line(), line(1), test=True)).ignored() == {"test_order": 2}


def test_one_bad_line_leaves_the_others() -> None:
    null = line(1, fulfillable_quantity=None, current_quantity=None, quantity=None)
    translation = translated(order(line(2, sku="NEW"), null, line()))
    assert translation.refused() == {"unknown_alias": 1, "missing_field": 1}
    assert [refusal["line_id"] for refusal in refusals_of(translation)] == [
        "order.line_items[0]",
        "order.line_items[1]",
    ]
    assert [entry["line_id"] for entry in translation.bodies()[0]["lines"]] == [str(LINE)]


def test_a_thousand_lines_are_an_event_and_one_more_is_another() -> None:
    bodies = translated(order(*(line(number) for number in range(1001)))).bodies()
    assert [len(body["lines"]) for body in bodies] == [1000, 1]
    assert len({body["event_id"] for body in bodies}) == 1


def test_whose_order_it_is_says_the_sales_channel_where_it_has_an_alias() -> None:
    aliases = AliasTable({**ALIASES, (SHOP, "channel", "pos"): "store"})
    document = written(order(line(), source_name="pos"))
    (body,) = shopify.translate(document, Context(source=SHOP, aliases=aliases, channel="webshop")).bodies()
    assert body["channel"] == "store"
    (body,) = translated(order(line(), source_name="web")).bodies()
    assert body["channel"] == "webshop"


def test_an_edit_webhook_says_differences_and_is_left_to_the_update() -> None:
    edit = {"id": 1, "order_id": ORDER, "line_items": {"additions": [{"id": 1, "delta": 1}], "removals": []}}
    translation = translated({"order_edit": edit}, "orders/edited")
    assert translation.ignored() == {"differences_only": 1} and not translation.output


def test_a_fulfillment_ships_from_its_location() -> None:
    assert translated(fulfillment(), "fulfillments/create").bodies() == [
        {
            "event_id": f"fulfillment:77:{LINE}",
            "type": "shipment_confirmed",
            "source": "shop",
            "occurred_at": "2026-03-03T08:00:00Z",
            "item": "lamp-red",
            "location": "berlin",
            "order_id": str(ORDER),
            "line_id": str(LINE),
            "quantity": 2,
        }
    ]


def test_a_year_has_four_digits_however_long_ago() -> None:
    assert (
        translated(fulfillment(created_at="0026-03-03T08:00:00Z")).bodies()[0]["occurred_at"] == "0026-03-03T08:00:00Z"
    )


def test_a_tracking_number_does_not_change_what_was_shipped() -> None:
    changed = fulfillment(updated_at="2026-03-04T08:00:00Z", tracking_company="other")
    assert translated(fulfillment()).bodies() == translated(changed).bodies()


def test_a_cancelled_fulfillment_is_said_and_taken_back() -> None:
    """So that it is nothing where it was pending all the time, and where its success is yet to come."""
    plain, back = translated(fulfillment("cancelled"), "fulfillments/update").bodies()
    assert [plain] == translated(fulfillment()).bodies()
    assert back == {**plain, "event_id": f"fulfillment:77:{LINE}:cancelled", "reversal": True}


@pytest.mark.parametrize("status", ["pending", "open", "error", "failure", ""])
def test_what_did_not_ship_is_ignored(status: str) -> None:
    assert translated(fulfillment(status)).ignored() == {"not_shipped": 1}


def test_a_fulfillment_without_a_place_is_the_sources_or_refused() -> None:
    nowhere = fulfillment(location_id=None)
    assert translated(nowhere).refused() == {"missing_field": 1}
    assert translated(nowhere, location="hamburg").bodies()[0]["location"] == "hamburg"
    assert translated(fulfillment(quantity=None)).refused() == {"missing_field": 1}
    assert translated(fulfillment(quantity=0)).ignored() == {"no_quantity": 1}


def test_what_comes_back_is_a_return_and_what_never_left_is_none() -> None:
    translation = translated(refund(part("return"), part("cancel"), part("no_restock"), part("legacy_restock")))
    (body,) = translation.bodies()
    assert body == {
        "event_id": "refund:55:551",
        "type": "return_received",
        "source": "shop",
        "occurred_at": "2026-03-09T09:00:00Z",
        "item": "lamp-red",
        "location": "berlin",
        "quantity": 1,
        "order_id": str(ORDER),
    }
    assert translation.ignored() == {"not_shipped": 1, "not_restocked": 1}
    assert translation.refused() == {"bad_value": 1}
    assert translated(refund()).ignored() == {"no_lines": 1}  # money alone


def test_a_level_is_a_statement_and_never_a_count() -> None:
    level = {"inventory_item_id": 808, "location_id": 905, "available": -2, "updated_at": "2026-03-02T10:00:00+01:00"}
    start, row, end = translated(level, "inventory_levels/update").bodies()
    assert (start["type"], start["rows"], start["occurred_at"]) == ("statement_started", 1, "2026-03-02T09:00:00Z")
    assert (row["type"], row["item"], row["location"], row["available"]) == ("stock_stated", "lamp-red", "berlin", -2)
    assert (end["type"], end["rows"]) == ("statement_ended", 1)
    assert {start["statement_id"], row["statement_id"], end["statement_id"]} == {"level:808:905:20260302T090000Z"}
    assert translated({**level, "available": None}).ignored() == {"not_tracked": 1}
    assert translated({**level, "location_id": "unknown here!"}).refused() == {"unknown_alias": 1}


def test_a_page_of_the_api_is_read_like_its_webhooks() -> None:
    page = translated({"orders": [order(line()), order(line(), id=2)]})
    assert len(page.documents) == 2 and len(page.lines) == 2
    assert page.bodies()[0] == translated({"order": order(line())}).bodies()[0]
    assert translated({"fulfillments": [fulfillment()]}).bodies() == translated(fulfillment()).bodies()
    assert translated({"orders": []}).ignored() == {"empty": 1}


def test_other_topics_are_ignored_by_name_and_other_documents_refused() -> None:
    translation = translated({"id": 1, "title": "Lamp"}, "products/update")
    assert translation.ignored() == {"not_about_quantities": 1}
    assert translation.lines[0].place == "products/update"
    draft = {"draft_order": {"id": 1, "line_items": [line()]}}
    assert translated(draft).ignored() == {"not_about_quantities": 1} and shopify.recognizes(written(draft), {})
    assert translated({"id": 1}).refused() == {"unknown_type": 1}
    assert translated([]).refused() == {"bad_value": 1}


@pytest.mark.parametrize("cut", [0, 1, 40, 200])
def test_what_is_cut_off_is_refused_as_one_line(cut: int) -> None:
    translation = shopify.translate(written(order(line()))[:cut], context("orders/create"))
    assert translation.refused() == {"not_json": 1} and len(translation.lines) == 1


def test_a_byte_order_mark_does_not_matter() -> None:
    raw = written(order(line()))
    marked = shopify.translate(b"\xef\xbb\xbf" + raw, context())
    assert marked.bodies() == shopify.translate(raw, context()).bodies()
    assert shopify.recognizes(b"\xef\xbb\xbf" + raw, {})


def test_a_file_is_known_by_its_words() -> None:
    for document in (order(line()), fulfillment(), refund(part("return")), {"orders": [order(line())]}):
        assert shopify.recognizes(written(document), {})
    bare = {"orders": [{"id": 1, "order_number": 1, "financial_status": "paid", "updated_at": "2026-03-02T10:00:00Z"}]}
    assert shopify.recognizes(written(bare), {}) and translated(bare).ignored() == {"no_lines": 1}
    assert not shopify.recognizes(b'{"line_items": []}', {})
    assert shopify.recognizes(b"{}", {"x-shopify-topic": "products/create"})


def samples() -> list[dict[str, Any]]:
    whole = order(line(), fulfillments=[fulfillment()], refunds=[refund(part("return"))])
    return [whole, fulfillment("cancelled"), refund(part("return"))]


def test_any_wrong_value_in_any_place_loses_no_line() -> None:
    for document in samples():
        for changed in wrong_values(document):
            translated(changed)


def test_mutations_neither_crash_nor_lose_a_line() -> None:
    survives(lambda raw: shopify.translate(raw, context()), SHOP, [written(each) for each in samples()], 3000, seed=7)
