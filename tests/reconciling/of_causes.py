"""Stories about causes: why a row differs, and which units show it."""

from __future__ import annotations

from typing import Any

from tests.reconciling.story import Action, Story, did, ended, ordered, row, rule, started, stated, time

TEN = did("10:00", "stock_received", 10)
KEY = "erp:SHOVEL:DC1::on_hand"


def because(sentence: str, cause: str, theirs: int, *told: Action, evidence: set[str] | None = None) -> Story:
    """A story of shovels in DC1 of which one thing is asked: the cause."""
    says: dict[str, Any] = {"cause": cause, "theirs": theirs}
    if evidence is not None:
        says["evidence"] = evidence
    return Story(
        sentence,
        (*told, rule(), *stated("12:00", "12:05", {"on_hand": theirs})),
        {"erp:S1": {"causes": {"on_hand": {cause: 1}}}},
        variances={KEY: says},
    )


def before(sentence: str, theirs: dict[str, int], *told: Action, evidence: set[str] | None = None) -> Story:
    """A story of ten shovels in DC1 of which a statement has figures of an earlier moment of the day."""
    says: dict[str, Any] = {"cause": "stale"} | ({} if evidence is None else {"evidence": evidence})
    return Story(
        sentence,
        (did("08:00", "stock_received", 10), *told, rule(), *stated("12:00", "12:05", theirs)),
        {"erp:S1": {"causes": {measure: {"stale": 1} for measure in theirs}}},
        variances={f"erp:SHOVEL:DC1::{measure}": {"theirs": figure, **says} for measure, figure in theirs.items()},
    )


CAUSES = (
    because("theirs in another unit", "unit", 2, did("10:00", "stock_received", 24)),
    because("theirs in base units where ours is right in cases", "unit", 24, did("10:00", "stock_received", 2)),
    because("theirs with the other sign", "sign", -10, TEN),
    Story(
        "two lots mixed up: the differences are opposite",
        (
            did("10:00", "stock_received", 10, lot="L1"),
            did("10:01", "stock_received", 6, lot="L2"),
            did("10:02", "stock_received", 5, lot="L3"),
            rule(),
            *stated(
                "12:00",
                "12:05",
                *({"lot": "L1", "on_hand": 7}, {"lot": "L2", "on_hand": 9}, {"lot": "L3", "on_hand": 4}),
            ),
        ),
        {"erp:S1": {"causes": {"on_hand": {"lots": 2, "unknown": 1}}, "units": "7", "explained_percent": 85.7}},
    ),
    Story(
        "all lots' differences add up to nothing",
        (
            did("10:00", "stock_received", 10, lot="L1"),
            did("10:01", "stock_received", 6, lot="L2"),
            did("10:02", "stock_received", 5, lot="L3"),
            rule(),
            *stated(
                "12:00",
                "12:05",
                *({"lot": "L1", "on_hand": 7}, {"lot": "L2", "on_hand": 7}, {"lot": "L3", "on_hand": 7}),
            ),
        ),
        {"erp:S1": {"causes": {"on_hand": {"lots": 3}}, "explained_percent": 100.0}},
    ),
    Story(
        "as much on hand, another status",
        (TEN, *stated("12:00", "12:05", {"on_hand": 10, "quarantined": 4})),
        {"erp:S1": {"causes": {"quarantined": {"statuses": 1}}}},
    ),
    Story(
        "nothing is said of on_hand: it is no other status",
        (TEN, *stated("12:00", "12:05", {"quarantined": 4})),
        {"erp:S1": {"causes": {"quarantined": {"unknown": 1}}, "explained_percent": 0.0}},
    ),
    Story(
        "booked at the wrong location: the differences are opposite over locations",
        (
            TEN,
            did("10:01", "stock_received", 5, "DC2"),
            rule(),
            *stated("12:00", "12:05", {"on_hand": 7}, {"location": "DC2", "on_hand": 8}),
        ),
        {"erp:S1": {"causes": {"on_hand": {"locations": 2}}}},
    ),
    Story(
        "not so of different lots",
        (
            did("10:00", "stock_received", 10, lot="L1"),
            did("10:01", "stock_received", 6, "DC2", lot="L2"),
            rule(),
            *stated("12:00", "12:05", {"lot": "L1", "on_hand": 7}, {"location": "DC2", "lot": "L2", "on_hand": 9}),
        ),
        {"erp:S1": {"causes": {"on_hand": {"unknown": 2}}}},
    ),
    Story(
        "what was logged after the row had not reached them",
        (
            TEN,
            started("12:00", "12:01"),
            row("12:00", "12:01", on_hand=10),
            ended("12:00", "12:01", 1),
            did("11:58", "stock_adjusted", -3, logged="12:09"),
            time("12:10"),
        ),
        {"erp:S1": {"causes": {"on_hand": {"in_flight": 1}}}},
        variances={KEY: {"ours": 7, "theirs": 10, "cause": "in_flight", "evidence": {"stock_adjusted@11:58"}}},
    ),
    because(
        "they have a unit twice",
        "doubled",
        16,
        did("09:00", "stock_received", 10),
        did("10:00", "stock_received", 3),
        evidence={"stock_received@10:00"},
    ),
    because(
        "we have a unit twice: two that differ in ids and times only",
        "doubled",
        13,
        did("09:00", "stock_received", 10),
        did("10:00", "stock_received", 3, receipt_id="R1"),
        did("10:30", "stock_received", 3, receipt_id="R1"),
        evidence={"stock_received@10:00", "stock_received@10:30"},
    ),
    because(
        "two of the same for two receipts are no unit twice",
        "missing_there",
        13,
        did("09:00", "stock_received", 10),
        did("10:00", "stock_received", 3, receipt_id="R1"),
        did("10:30", "stock_received", 3, receipt_id="R2"),
        evidence={"stock_received@10:00", "stock_received@10:30"},
    ),
    because(
        "they lack a unit of the day",
        "missing_there",
        10,
        did("09:00", "stock_received", 10),
        did("10:00", "stock_received", 3),
        evidence={"stock_received@10:00"},
    ),
    because(
        "they lack what left with an order: the pick took it, the shipment nothing more",
        "missing_there",
        10,
        did("09:00", "stock_received", 10),
        did("10:00", "pick_confirmed", 4, order_id="SO-1", line_id="1"),
        did("11:00", "shipment_confirmed", 4, order_id="SO-1", line_id="1"),
        evidence={"pick_confirmed@10:00"},
    ),
    because(
        "a unit that a count stands over explains nothing",
        "unknown",
        10,
        did("09:00", "stock_received", 8),
        did("10:00", "stock_received", 3),
        did("11:00", "stock_counted", 13),
    ),
    because(
        "they lack a count, and what it found",
        "missing_there",
        11,
        did("09:00", "stock_received", 8),
        did("10:00", "stock_received", 3),
        did("11:00", "stock_counted", 13),
        evidence={"stock_counted@11:00"},
    ),
    because(
        "a unit that is a day old explains nothing",
        "unknown",
        10,
        did("-1 11:00", "stock_received", 10),
        did("-1 12:00", "stock_received", 3),
    ),
    because(
        "they have what came later",
        "missing_here",
        6,
        TEN,
        did("12:01", "stock_adjusted", -4),
        evidence={"stock_adjusted@12:01"},
    ),
    because(
        "they have what a receipt still brings",
        "missing_here",
        15,
        did("-1 09:00", "stock_received", 10),
        did("10:00", "receipt_expected", 8, receipt_id="R1", eta="2026-11-25T08:00:00Z"),
        did("10:01", "stock_received", 3, "DC1", receipt_id="R1"),
        did("10:02", "stock_adjusted", -3),
        evidence={"receipt_expected@10:00"},
    ),
    because(
        "they have what a transfer still brings",
        "missing_here",
        15,
        TEN,
        did("10:00", "transfer_shipped", 5, "DC2", transfer_id="T1", to_location="DC1"),
        evidence={"transfer_shipped@10:00"},
    ),
    because(
        "they gave what an order line still claims",
        "missing_here",
        7,
        TEN,
        ordered("10:00", "order_placed", 3, "DC1"),
        ordered("10:01", "order_allocated", 2, "DC1"),
    ),
    because(
        "theirs is of an earlier hour",
        "stale",
        10,
        did("09:00", "stock_received", 10),
        did("10:00", "stock_adjusted", -3),
        did("11:00", "stock_adjusted", -2),
        evidence={"stock_adjusted@10:00", "stock_adjusted@11:00"},
    ),
    because(
        "theirs is of a day before",
        "stale",
        10,
        did("-1 09:00", "stock_received", 10),
        did("10:00", "stock_adjusted", -3),
        did("11:00", "stock_adjusted", -2),
    ),
    because("nothing explains it", "unknown", 4, TEN),
    Story(
        "of what is not on hand nor quarantined nothing but a unit, a sign or an old number is named",
        (
            TEN,
            ordered("10:00", "order_placed", 24, "DC1"),
            rule(),
            *stated("12:00", "12:05", {"soft_allocated": 2}),
            *stated("12:00", "12:45", {"soft_allocated": 9}, statement_id="S2"),
        ),
        {
            "erp:S1": {"causes": {"soft_allocated": {"unit": 1}}},
            "erp:S2": {"causes": {"soft_allocated": {"unknown": 1}}},
        },
    ),
    before(
        "reservations of before a pick",
        {"hard_reserved": 6},
        ordered("10:00", "order_placed", 8, "DC1"),
        ordered("10:10", "order_allocated", 6, "DC1"),
        did("10:30", "pick_confirmed", 4, order_id="SO-1", line_id="1"),
        evidence={"pick_confirmed@10:30"},
    ),
    before(
        "reservations of before a release, and of before the order was cancelled",
        {"hard_reserved": 5, "soft_allocated": 3},
        ordered("10:00", "order_placed", 8, "DC1"),
        ordered("10:10", "order_allocated", 5, "DC1"),
        ordered("10:20", "order_released", 2, "DC1"),
        ordered("10:30", "order_cancelled"),
    ),
    before(
        "claims of before the order was placed again",
        {"soft_allocated": 8},
        ordered("10:00", "order_placed", 8, "DC1"),
        ordered("10:20", "order_placed", 5, "DC1"),
        evidence={"order_placed@10:20"},
    ),
    before(
        "claims of before one line was",
        {"soft_allocated": 3},
        ordered("-1 08:00", "order_placed", 3, "DC1", order_id="SO-0"),
        ordered("10:00", "order_placed", 8, "DC1"),
        evidence={"order_placed@10:00"},
    ),
    before(
        "claims of before they lapsed",
        {"soft_allocated": 8},
        ordered("10:00", "order_placed", 8, "DC1", expires_at="2026-11-23T11:00:00Z"),
        evidence=set(),
    ),
    before(
        "claims of before a part was given up",
        {"soft_allocated": 8},
        ordered("10:00", "order_placed", 8, "DC1"),
        ordered("10:20", "order_cancelled", 3),
        evidence={"order_cancelled@10:20"},
    ),
    before(
        "what was on its way before it came",
        {"in_transit": 5},
        did("09:00", "stock_received", 9, "DC2"),
        did("10:00", "transfer_shipped", 5, "DC2", transfer_id="T1", to_location="DC1"),
        did("10:30", "stock_received", 2, transfer_id="T1"),
        did("10:40", "transfer_closed", transfer_id="T1"),
        evidence={"stock_received@10:30", "transfer_closed@10:40"},
    ),
    before(
        "what was expected before it was announced anew",
        {"expected": 8},
        did("10:00", "receipt_expected", 8, receipt_id="R1", eta="2026-11-25T08:00:00Z"),
        did("10:30", "receipt_expected", 6, receipt_id="R1", eta="2026-11-25T08:00:00Z"),
        did("10:40", "stock_received", 1, receipt_id="R1"),
        evidence={"receipt_expected@10:30", "stock_received@10:40"},
    ),
    before(
        "what was expected of an order before its shipment was announced",
        {"expected": 11},
        did("10:00", "receipt_expected", 8, receipt_id="PO", eta="2026-11-25T08:00:00Z"),
        did("10:10", "receipt_expected", 3, receipt_id="R2", eta="2026-11-25T08:00:00Z"),
        did("10:30", "receipt_expected", 9, receipt_id="ASN", part_of="PO", eta="2026-11-25T08:00:00Z"),
        evidence={"receipt_expected@10:30"},
    ),
    before(
        "what was withheld before the newest word",
        {"withheld": 3},
        did("10:00", "stock_withheld", 3),
        did("10:30", "stock_withheld", 4),
        evidence={"stock_withheld@10:30"},
    ),
    before(
        "what was available before a claim and a movement",
        # Of 10 one was withheld and 4 were claimed; then one was broken, and 2 were withheld.
        {"available": 5},
        did("08:10", "stock_withheld", 1),
        ordered("10:00", "order_placed", 4, "DC1"),
        did("10:30", "stock_adjusted", -1),
        did("10:40", "stock_withheld", 2),
        evidence={"stock_adjusted@10:30", "stock_withheld@10:40"},
    ),
    Story(
        "of what was withheld before the first word of the day nobody knows",
        (
            did("-1 09:00", "stock_withheld", 3),
            did("10:00", "stock_withheld", 4),
            *stated("12:00", "12:05", {"withheld": 0}),
        ),
        {"erp:S1": {"causes": {"withheld": {"unknown": 1}}}},
    ),
    Story(
        "a line that had begun a day before and was placed again: how much it was then is not known",
        (
            ordered("-1 08:00", "order_placed", 7, "DC1"),
            ordered("-1 08:10", "order_allocated", 2, "DC1"),
            ordered("10:00", "order_placed", 9, "DC1"),
            *stated("12:00", "12:05", {"soft_allocated": 0}),
        ),
        {"erp:S1": {"causes": {"soft_allocated": {"unknown": 1}}}},
    ),
    Story(
        "the first that fits is named",
        # Theirs lacks the 3 that DC2 has too much: it is the location, whatever unit it was.
        (
            did("09:00", "stock_received", 10),
            did("10:00", "stock_received", 3),
            rule(),
            *stated("12:00", "12:05", {"on_hand": 10}, {"location": "DC2", "on_hand": 3}),
        ),
        {"erp:S1": {"causes": {"on_hand": {"locations": 2}}}},
    ),
    Story(
        "explained is what has a cause, of all units that differ, one decimal, rounded down",
        # 3 of 9 units: 33.3 %
        (
            did("09:00", "stock_received", 10),
            did("10:00", "stock_received", 3),
            did("09:00", "stock_received", 10, "DC2", event_id="other"),
            rule(),
            *stated("12:00", "12:05", {"on_hand": 10}, {"location": "DC2", "on_hand": 4}),
        ),
        {
            "erp:S1": {
                "causes": {"on_hand": {"missing_there": 1, "unknown": 1}},
                "units": "9",
                "explained_percent": 33.3,
            }
        },
    ),
)
