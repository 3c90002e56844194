"""Stories about rows, ours and verdicts: what is read, with what it is compared, what a statement amounts to."""

from __future__ import annotations

from tests.reconciling.story import (
    Story,
    did,
    ended,
    message,
    moment,
    ordered,
    record,
    row,
    rule,
    shown,
    started,
    stated,
    time,
)

TEN = did("10:00", "stock_received", 10)
SHOVELS = "erp:SHOVEL:DC1::"

ROWS = (
    Story(
        "a row that says what is ours agrees",
        (TEN, *stated("12:00", "12:05", {"on_hand": 10})),
        {
            "erp:S1": {
                "verdict": "accepted",
                "seen": 1,
                "agreed": 1,
                "in_variance": 0,
                "explained_percent": 100.0,
                "units": "0",
            }
        },
        variances={},
    ),
    Story(
        "a row that differs is in variance, by theirs less ours",
        (TEN, rule(), *stated("12:00", "12:05", {"on_hand": 7})),
        {"erp:S1": {"verdict": "accepted", "seen": 1, "agreed": 0, "in_variance": 1, "units": "3"}},
        variances={
            f"{SHOVELS}on_hand": {"ours": 10, "theirs": 7, "difference": -3, "state": "open", "action": "report"}
        },
    ),
    Story(
        "ours is as of as_of, whatever happened later",
        (TEN, did("12:01", "stock_adjusted", -4), *stated("12:00", "12:05", {"on_hand": 10})),
        {"erp:S1": {"agreed": 1}},
        variances={},
    ),
    Story(
        "a count later than as_of changes nothing of what was",
        (TEN, did("12:01", "stock_counted", 3), *stated("12:00", "12:05", {"on_hand": 10})),
        {"erp:S1": {"agreed": 1}},
    ),
    Story(
        "a word on a lot later than as_of changes nothing of what was",
        (
            did("10:00", "stock_received", 10, lot="L1"),
            did("12:01", "lot_held", lot="L1"),
            *stated("12:00", "12:05", {"lot": "L1", "quarantined": 0}),
        ),
        {"erp:S1": {"agreed": 1}},
    ),
    Story(
        "a lot that was held days ago and is released since was held",
        (
            did("-4 10:00", "stock_received", 10, lot="L1"),
            did("-4 11:00", "lot_held", lot="L1"),
            time("-1 12:00"),
            did("12:03", "lot_released", lot="L1"),
            did("12:04", "stock_adjusted", 1, "DC2"),
            *stated("12:00", "12:05", {"lot": "L1", "on_hand": 10, "quarantined": 10}),
        ),
        {"erp:S1": {"agreed": 1}},
        variances={},
    ),
    Story(
        "of a held lot all that is on hand is quarantined",
        (
            did("10:00", "stock_received", 10, lot="L1"),
            did("11:00", "lot_held", lot="L1"),
            *stated("12:00", "12:05", {"lot": "L1", "on_hand": 10, "quarantined": 10}),
        ),
        {"erp:S1": {"agreed": 1}},
    ),
    Story(
        "what comes late but within the time to settle is compared",
        (
            TEN,
            started("12:00", "12:01"),
            row("12:00", "12:01", on_hand=7),
            ended("12:00", "12:01", 1),
            did("11:58", "stock_adjusted", -3, logged="12:09"),
            time("12:10"),
        ),
        {"erp:S1": {"verdict": "accepted", "agreed": 1}},
        variances={},
    ),
    Story(
        "no row is judged before its time",
        (TEN, started("12:00", "12:01"), row("12:00", "12:01", on_hand=7), ended("12:00", "12:01", 1), time("12:09")),
        {"erp:S1": {"verdict": "pending", "seen": 0, "agreed": 0, "in_variance": 0}},
        variances={},
    ),
    Story(
        "a row is judged at as_of and what its source waits",
        (TEN, started("12:00", "12:01"), row("12:00", "12:01", on_hand=10), ended("12:00", "12:01", 1), time("12:10")),
        {"erp:S1": {"verdict": "accepted", "agreed": 1}},
    ),
    Story(
        "a source may wait longer",
        (
            TEN,
            started("12:00", "12:01", source="slow"),
            row("12:00", "12:01", source="slow", on_hand=10),
            ended("12:00", "12:01", 1, source="slow"),
            time("12:29"),
        ),
        {"slow:S1": {"verdict": "pending", "agreed": 0}},
    ),
    Story(
        "a row that comes later than as_of and the wait is due when it comes",
        (
            TEN,
            started("12:00", "12:01"),
            ended("12:00", "12:14", 1),
            did("11:00", "stock_adjusted", -1, logged="12:19"),
            row("12:00", "12:20", on_hand=9),
        ),
        {"erp:S1": {"verdict": "accepted", "agreed": 1}},
    ),
    Story(
        "rows may come before their start and after their end",
        (
            TEN,
            row("12:00", "12:01", on_hand=10),
            ended("12:00", "12:02", 2),
            started("12:00", "12:03"),
            row("12:00", "12:04", location="DC2", on_hand=0),
            time("12:10"),
        ),
        {"erp:S1": {"verdict": "accepted", "agreed": 2}},
    ),
    Story(
        "the same row again is a duplicate, under another event_id too",
        (
            TEN,
            started("12:00", "12:01"),
            row("12:00", "12:01", on_hand=10),
            row("12:00", "12:01", on_hand=10, event_id="again"),
            ended("12:00", "12:01", 1),
            time("12:10"),
        ),
        {"erp:S1": {"verdict": "accepted", "agreed": 1, "seen": 1, "duplicates": 1, "conflicts": 0}},
    ),
    Story(
        "the same row with other numbers is a conflict, and the first stands",
        (
            TEN,
            started("12:00", "12:01"),
            row("12:00", "12:01", on_hand=10),
            row("12:00", "12:01", on_hand=11),
            ended("12:00", "12:01", 1),
            time("12:10"),
        ),
        {"erp:S1": {"verdict": "rejected", "agreed": 1, "conflicts": 1, "reasons": ["contradicts_itself"]}},
        refused={3: "conflict"},
        complaints={"erp S1"},
    ),
    Story(
        "a second start with another scope is a conflict, the same once more a duplicate",
        (
            TEN,
            started("12:00", "12:01", rows=1),
            started("12:00", "12:01", rows=1, event_id="again"),
            started("12:00", "12:01", rows=2),
            row("12:00", "12:01", on_hand=10),
            ended("12:00", "12:01", 1),
            time("12:10"),
        ),
        {"erp:S1": {"verdict": "rejected", "duplicates": 1, "conflicts": 1, "reasons": ["contradicts_itself"]}},
        refused={3: "conflict"},
    ),
    Story(
        "without a lot a row is of all lots together and of what carries none",
        (
            TEN,
            did("10:01", "stock_received", 4, lot="L1"),
            did("10:02", "stock_received", 2, lot="L2", status="quarantined"),
            *stated("12:00", "12:05", {"on_hand": 16, "quarantined": 2}),
        ),
        {"erp:S1": {"agreed": 1, "seen": 1}},
    ),
    Story(
        "of an unknown lot ours is 0",
        (TEN, *stated("12:00", "12:05", {"on_hand": 5, "lot": "L9"})),
        variances={"erp:SHOVEL:DC1:L9:on_hand": {"ours": 0, "theirs": 5}},
    ),
    Story(
        "theirs is converted from its unit",
        (did("10:00", "stock_received", 24), *stated("12:00", "12:05", {"on_hand": 2, "uom": "case"})),
        {"erp:S1": {"agreed": 1}},
    ),
    Story(
        "rounded safely, on_hand goes down and quarantined up",
        # 10 thirds are 3.33 m: 33 tenths; 1 third is 0.33 m: 4 tenths.
        (
            did("10:00", "stock_received", "3.3", item="ROPE"),
            did("10:01", "stock_status_changed", "0.4", item="ROPE", from_status="available", to_status="quarantined"),
            *stated("12:00", "12:05", {"item": "ROPE", "on_hand": 10, "uom": "third"}, statement_id="S1"),
            *stated("12:00", "12:45", {"item": "ROPE", "quarantined": 1, "uom": "third"}, statement_id="S2"),
        ),
        {"erp:S1": {"agreed": 1}, "erp:S2": {"agreed": 1}},
    ),
    Story(
        "what is not exact is refused, and a refused row is seen and not taken",
        (
            did("10:00", "stock_received", 10, item="SAND"),
            started("12:00", "12:01"),
            row("12:00", "12:01", item="SAND", on_hand="9.99"),
            row("12:00", "12:01", item="SAND", location="DC2", on_hand=0),
            ended("12:00", "12:01", 2),
            time("12:10"),
        ),
        {"erp:S1": {"verdict": "accepted", "seen": 2, "refused": 1, "agreed": 1}},
        refused={2: "quantity_not_exact"},
        variances={},
    ),
    Story(
        "an unknown item, location or channel is refused",
        (
            started("12:00", "12:01"),
            row("12:00", "12:01", item="GHOST", on_hand=1),
            row("12:00", "12:01", location="NOWHERE", on_hand=1),
            shown("12:00", "12:01", 1, source="erp", channel="fax"),
            ended("12:00", "12:01", 3),
            time("12:30"),
        ),
        {"erp:S1": {"verdict": "rejected", "seen": 3, "refused": 3, "reasons": ["empty"]}},
        refused={1: "unknown_item", 2: "unknown_location", 3: "unknown_channel"},
    ),
    Story(
        "as_of outside what its source may say is late, or in the future",
        (
            row("09:59", "12:00", source="brief", on_hand=1),
            row("12:06", "12:00", source="brief", on_hand=1),
            row("-1 11:59", "12:00", on_hand=1),
        ),
        refused={0: "late", 1: "in_the_future", 2: "late"},
    ),
    Story(
        "what binds a source binds its statements",
        (
            started("12:00", "12:01", source="bound", locations=["DC1"]),
            row("12:00", "12:01", source="bound", location="DC2", on_hand=1),
            started("12:00", "12:01", source="bound", statement_id="S2", items="all"),
            shown("12:00", "12:01", 1, source="bound", statement_id="S3"),
        ),
        refused={1: "not_allowed", 2: "not_allowed", 3: "not_allowed"},
    ),
    Story(
        "a row without a measure, a quantity below 0 where there is none, an unknown type",
        (
            row("12:00", "12:01"),
            row("12:00", "12:01", quarantined=-1),
            row("12:00", "12:01", available=-1),
            message("stock_guessed", "12:00", "12:01", "S1", item="SHOVEL"),
        ),
        refused={0: "missing_field", 1: "bad_value", 3: "unknown_type"},
    ),
)

OURS = (
    Story(
        "reservations, claims, supply and what is available are compared while nothing later is known",
        # 10 on hand, 2 of them quarantined; 3 reserved, 1 more demanded; 5 on their way, 4 expected; 1 withheld by wms.
        # Available without safety stock: 10 - 2 - 3 - 1 - 1.
        (
            TEN,
            did("10:01", "stock_status_changed", 2, from_status="available", to_status="quarantined"),
            ordered("10:02", "order_placed", 4, "DC1"),
            ordered("10:03", "order_allocated", 3, "DC1"),
            did("10:04", "transfer_shipped", 5, "DC2", transfer_id="T1", to_location="DC1"),
            did("10:05", "receipt_expected", 4, receipt_id="R1", eta="2026-11-25T08:00:00Z"),
            did("10:06", "stock_withheld", 1),
            *stated(
                "12:00",
                "12:05",
                {
                    **{"on_hand": 10, "quarantined": 2, "hard_reserved": 3, "soft_allocated": 1},
                    **{"in_transit": 5, "expected": 4, "withheld": 1, "available": 3},
                },
            ),
        ),
        {"erp:S1": {"agreed": 1, "in_variance": 0, "not_compared": 0}},
        variances={},
    ),
    Story(
        "of everything else but on_hand and quarantined nothing is known once something later is",
        (TEN, did("12:01", "stock_adjusted", 1), *stated("12:00", "12:05", {"available": 99})),
        {"erp:S1": {"verdict": "accepted", "not_compared": 1, "agreed": 0, "in_variance": 0}},
        variances={},
    ),
    Story(
        "a claim that lapsed after as_of still claimed then",
        (
            TEN,
            ordered("10:00", "order_placed", 4, "DC1", expires_at="2026-11-23T12:03:00Z"),
            *stated("12:00", "12:05", {"soft_allocated": 4, "available": 6}),
        ),
        {"erp:S1": {"agreed": 1}},
    ),
    Story(
        "a lot that is past its day today was not yesterday",
        (
            did("-1 20:00", "stock_received", 10, lot="L1"),
            did("-1 20:01", "lot_dated", location=None, lot="L1", best_before="2026-11-22"),
            *stated("-1 23:59", "00:05", {"available": 10}),
            *stated("00:30", "01:00", {"available": 0}, statement_id="S2"),
        ),
        {"erp:S1": {"agreed": 1}, "erp:S2": {"agreed": 1}},
    ),
    Story(
        "a promise is compared with the last one sent long enough before",
        (
            did("10:00", "stock_received", 10),
            ("sent", ("SHOVEL", "web", 8, moment("10:00"))),
            started("12:00", "12:01", source="shop"),
            shown("12:00", "12:01", 8),
            ended("12:00", "12:01", 1, source="shop"),
            time("12:10"),
        ),
        {"shop:S1": {"agreed": 1}},
    ),
    Story(
        "a promise that was sent too shortly before as_of is not compared",
        (
            did("11:51", "stock_received", 10),
            ("sent", ("SHOVEL", "web", 8, moment("11:51"))),
            started("12:00", "12:01", source="shop"),
            shown("12:00", "12:01", 5),
            ended("12:00", "12:01", 1, source="shop"),
            time("12:10"),
        ),
        {"shop:S1": {"verdict": "accepted", "not_compared": 1}},
        variances={},
    ),
    Story(
        "nor is one that agrees by chance",
        (
            did("11:51", "stock_received", 10),
            ("sent", ("SHOVEL", "web", 8, moment("11:51"))),
            started("12:00", "12:01", source="shop"),
            shown("12:00", "12:01", 8),
            ended("12:00", "12:01", 1, source="shop"),
            time("12:10"),
        ),
        {"shop:S1": {"verdict": "accepted", "agreed": 0, "not_compared": 1}},
        variances={},
    ),
    Story(
        "a promise that was sent after it was judged makes no doubt of it",
        (
            did("10:00", "stock_received", 10),
            ("sent", ("SHOVEL", "web", 8, moment("10:00"))),
            started("12:00", "12:01", source="shop"),
            shown("12:00", "12:01", 8),
            time("12:11"),
            did("12:12", "stock_received", 5),
            ("sent", ("SHOVEL", "web", 13, moment("12:12"))),
            ended("12:00", "12:13", 1, source="shop"),
        ),
        {"shop:S1": {"verdict": "accepted", "agreed": 1, "not_compared": 0}},
        variances={},
    ),
    Story(
        "a channel that does not list an item promises 0 of it",
        (
            did("09:00", "stock_received", 10),
            ("sent", ("SHOVEL", "web", 8, moment("09:00"))),
            did("09:30", "stock_adjusted", 1, "DC2"),
            record("channel_items", channel="web", item="SHOVEL", listed=False),
            ("sent", ("SHOVEL", "web", 0, moment("09:30"))),
            started("12:00", "12:01", source="shop"),
            shown("12:00", "12:01", 8),
            ended("12:00", "12:01", 1, source="shop"),
            time("12:10"),
        ),
        {"shop:S1": {"in_variance": 1, "causes": {"atp": {"stale": 1}}}},
        variances={"shop:SHOVEL:web::atp": {"ours": 0, "theirs": 8, "cause": "stale"}},
    ),
    Story(
        "theirs may differ by the tolerance and not by more",
        (
            did("10:00", "stock_received", 10, item="SAND"),
            rule(tolerance="0.5"),
            *stated("12:00", "12:05", {"item": "SAND", "on_hand": "9.5"}),
            *stated("12:00", "12:45", {"item": "SAND", "on_hand": "10.6"}, statement_id="S2"),
        ),
        {"erp:S1": {"agreed": 1}, "erp:S2": {"in_variance": 1, "units": "0.6"}},
    ),
    Story(
        "or by the percentage of ours, whichever is more",
        (
            did("10:00", "stock_received", 60),
            rule(tolerance=1, tolerance_percent=5),
            *stated("12:00", "12:05", {"on_hand": 63}),
            *stated("12:00", "12:45", {"on_hand": 56}, statement_id="S2"),
        ),
        {"erp:S1": {"agreed": 1}, "erp:S2": {"in_variance": 1}},
    ),
    Story(
        "a row counts once: in variance if one measure is, not compared if none was",
        (
            TEN,
            did("12:01", "stock_adjusted", 1),
            rule(),
            *stated("12:00", "12:05", {"on_hand": 9, "quarantined": 0, "available": 4}),
            *stated("12:00", "12:45", {"on_hand": 10, "available": 4}, statement_id="S2"),
        ),
        {
            "erp:S1": {"in_variance": 1, "agreed": 0, "not_compared": 0},
            "erp:S2": {"in_variance": 0, "agreed": 1, "not_compared": 0},
        },
    ),
)

SCOPES = (
    Story(
        "of all items one that was not stated is stated as none",
        (
            TEN,
            did("10:01", "stock_received", 4, item="SAND"),
            rule(),
            *stated("12:00", "12:05", {"on_hand": 10}, items="all"),
        ),
        {"erp:S1": {"verdict": "accepted", "seen": 1, "agreed": 1, "in_variance": 0, "absent": 1, "units": "4"}},
        variances={"erp:SAND:DC1::on_hand": {"theirs": 0, "ours": 40, "cause": "absent"}},
    ),
    Story(
        "of stated items nothing is missed",
        (TEN, did("10:01", "stock_received", 4, item="SAND"), *stated("12:00", "12:05", {"on_hand": 10})),
        {"erp:S1": {"absent": 0}},
        variances={},
    ),
    Story(
        "where ours is 0 nothing is missed",
        (
            TEN,
            did("10:01", "stock_received", 4, item="SAND"),
            did("10:02", "stock_adjusted", -4, item="SAND"),
            *stated("12:00", "12:05", {"on_hand": 10}, items="all"),
        ),
        {"erp:S1": {"absent": 0, "verdict": "accepted"}},
        variances={},
    ),
    Story(
        "a scope is each location and all beneath it, and rows outside are compared like others",
        (
            did("10:00", "stock_received", 5, "EAST-1"),
            did("10:01", "stock_received", 6, "EAST-2"),
            did("10:02", "stock_received", 7, "DC2"),
            did("10:03", "stock_received", 8),
            rule(),
            *stated(
                "12:00", "12:05", {"location": "EAST-1", "on_hand": 5}, {"on_hand": 9}, items="all", locations=["EAST"]
            ),
        ),
        {"erp:S1": {"absent": 1, "seen": 2, "agreed": 1, "in_variance": 1}},
        variances={
            "erp:SHOVEL:EAST-2::on_hand": {"ours": 6, "theirs": 0, "cause": "absent"},
            f"{SHOVELS}on_hand": {"ours": 8, "theirs": 9},
        },
    ),
    Story(
        "where it has rows of lots only, each lot that has none is missed",
        (
            did("10:00", "stock_received", 5, lot="L1"),
            did("10:01", "stock_received", 6, lot="L2"),
            did("10:02", "stock_received", 7),
            rule(),
            *stated("12:00", "12:05", {"lot": "L1", "on_hand": 5}, items="all"),
        ),
        {"erp:S1": {"absent": 1, "agreed": 1}},
        variances={"erp:SHOVEL:DC1:L2:on_hand": {"ours": 6, "theirs": 0, "cause": "absent"}},
    ),
    Story(
        "a refused row counts as one that is there",
        (
            TEN,
            did("10:01", "stock_received", 4, item="SAND"),
            started("12:00", "12:01", items="all"),
            row("12:00", "12:01", on_hand=10),
            row("12:00", "12:01", item="SAND", on_hand="0.01"),
            ended("12:00", "12:01", 2),
            time("12:10"),
        ),
        {"erp:S1": {"absent": 0, "seen": 2, "refused": 1, "verdict": "accepted"}},
        variances={},
        refused={4: "quantity_not_exact"},
    ),
    Story(
        "an empty file never means zero",
        (TEN, *stated("12:00", "12:05", items="all")),
        {"erp:S1": {"verdict": "rejected", "reasons": ["empty"], "absent": 0}},
        variances={},
        complaints={"erp S1"},
    ),
)

VERDICTS = (
    Story(
        "the verdict falls as soon as all is there and judged",
        (TEN, started("12:00", "12:20"), row("12:00", "12:20", on_hand=10), ended("12:00", "12:20", 1)),
        {"erp:S1": {"verdict": "accepted"}},
    ),
    Story(
        "of a truncated statement it falls when its end was long enough ago",
        (
            TEN,
            started("12:00", "12:01"),
            row("12:00", "12:01", on_hand=4),
            ended("12:00", "12:05", 2),
            time("12:14"),
        ),
        {"erp:S1": {"verdict": "pending", "in_variance": 1}},
        variances={},
    ),
    Story(
        "fewer rows than were said: rejected, nothing is held, and the exception says why",
        (
            TEN,
            rule(actions={"on_hand": "hold"}),
            started("12:00", "12:01"),
            row("12:00", "12:01", on_hand=4),
            ended("12:00", "12:05", 2),
            time("12:15"),
        ),
        {"erp:S1": {"verdict": "rejected", "reasons": ["rows_missing"], "seen": 1, "in_variance": 1}},
        variances={f"{SHOVELS}on_hand": {"state": "open", "action": None, "theirs": 4}},
        withheld={},
        complaints={"erp S1"},
    ),
    Story(
        "more rows than were said",
        (
            TEN,
            started("12:00", "12:01", rows=1),
            row("12:00", "12:01", on_hand=10),
            row("12:00", "12:01", location="DC2", on_hand=0),
            ended("12:00", "12:01", 1),
            time("12:15"),
        ),
        {"erp:S1": {"verdict": "rejected", "reasons": ["rows_too_many"], "seen": 2}},
    ),
    Story(
        "start and end say different numbers: one of the two is wrong",
        (
            TEN,
            started("12:00", "12:01", rows=2),
            row("12:00", "12:01", on_hand=10),
            ended("12:00", "12:01", 1),
            time("12:15"),
        ),
        {"erp:S1": {"verdict": "rejected", "reasons": ["rows_missing"]}},
    ),
    Story(
        "without a start",
        (TEN, row("12:00", "12:01", on_hand=10), ended("12:00", "12:01", 1), time("12:15")),
        {"erp:S1": {"verdict": "rejected", "reasons": ["not_started"], "agreed": 1}},
        complaints={"erp S1"},
    ),
    Story(
        "without an end, when as_of is older than its source may say",
        (
            TEN,
            started("12:00", "12:01", source="brief"),
            row("12:00", "12:01", source="brief", on_hand=10),
            time("14:01"),
        ),
        {"brief:S1": {"verdict": "rejected", "reasons": ["not_ended"], "agreed": 1}},
    ),
    Story(
        "and not before that",
        (
            TEN,
            started("12:00", "12:01", source="brief"),
            row("12:00", "12:01", source="brief", on_hand=10),
            time("13:59"),
        ),
        {"brief:S1": {"verdict": "pending", "agreed": 1}},
    ),
    Story(
        "too many rows in variance: rejected, but one always may",
        (
            TEN,
            rule(max_rows_in_variance_percent=5),
            *stated("12:00", "12:05", {"on_hand": 9}, {"location": "DC2", "on_hand": 0}),
            *stated("12:00", "12:45", {"on_hand": 9}, {"location": "DC2", "on_hand": 1}, statement_id="S2"),
        ),
        {
            "erp:S1": {"verdict": "accepted", "in_variance": 1},
            "erp:S2": {"verdict": "rejected", "in_variance": 2, "reasons": ["too_many_in_variance"]},
        },
        complaints={"erp S2"},
    ),
    Story(
        "absent rows count among those in variance",
        (
            TEN,
            did("10:01", "stock_received", 4, item="SAND"),
            did("10:02", "stock_received", 4, "DC2", item="SAND"),
            rule(max_rows_in_variance_percent=66),
            *stated("12:00", "12:05", {"on_hand": 10}, items="all"),
        ),
        {"erp:S1": {"verdict": "rejected", "absent": 2, "reasons": ["too_many_in_variance"]}},
    ),
    Story(
        "as many as may be in variance are",
        # 2 of 3 are 66.7 %
        (
            TEN,
            did("10:01", "stock_received", 4, item="SAND"),
            did("10:02", "stock_received", 4, "DC2", item="SAND"),
            rule(max_rows_in_variance_percent=67),
            *stated("12:00", "12:05", {"on_hand": 10}, items="all"),
        ),
        {"erp:S1": {"verdict": "accepted", "absent": 2}},
    ),
    Story(
        "of all items, half of last time's rows are too few",
        (
            TEN,
            *stated("11:00", "11:05", {"on_hand": 10}, {"location": "DC2", "on_hand": 0}, items="all"),
            *stated("12:00", "12:05", {"on_hand": 10}, items="all", statement_id="S2"),
            *stated("12:30", "12:45", {"on_hand": 10}, statement_id="S3"),
        ),
        {
            "erp:S1": {"verdict": "accepted"},
            "erp:S2": {"verdict": "rejected", "reasons": ["fewer_than_last"]},
            "erp:S3": {"verdict": "accepted"},
        },
    ),
    Story(
        "other locations are another statement, and an older one is not compared with a newer",
        (
            TEN,
            *stated("11:00", "11:05", {"on_hand": 10}, {"location": "DC2", "on_hand": 0}, items="all"),
            *stated("12:00", "12:05", {"on_hand": 10}, items="all", locations=["DC1"], statement_id="S2"),
            *stated("10:30", "12:45", {"on_hand": 10}, items="all", statement_id="S3"),
        ),
        {"erp:S1": {"verdict": "accepted"}, "erp:S2": {"verdict": "accepted"}, "erp:S3": {"verdict": "accepted"}},
    ),
    Story(
        "the complaint is over with the next accepted one of the same",
        (
            TEN,
            *stated("11:00", "11:05", statement_id="S1"),
            *stated("11:30", "11:40", {"on_hand": 10}, locations=["DC1"], statement_id="S2"),
            *stated("12:00", "12:20", {"on_hand": 10}, statement_id="S3"),
        ),
        {"erp:S1": {"verdict": "rejected"}, "erp:S2": {"verdict": "accepted"}, "erp:S3": {"verdict": "accepted"}},
        complaints=set(),
    ),
    Story(
        "after the verdict a message of the statement is a duplicate, and one of a later moment a conflict",
        (
            TEN,
            *stated("12:00", "12:05", {"on_hand": 10}),
            row("12:00", "12:45", location="DC2", on_hand=3),
            row("12:46", "12:46", location="DC2", on_hand=3),
            time("13:00"),
        ),
        {"erp:S1": {"verdict": "accepted", "seen": 1, "duplicates": 1}},
        refused={6: "conflict"},
        variances={},
    ),
    Story(
        "when its as_of would be late the id may be used anew",
        (
            TEN,
            *stated("12:00", "12:05", {"on_hand": 9}, source="brief"),
            *stated("14:01", "14:05", {"on_hand": 10}, source="brief"),
        ),
        {"brief:S1": {"verdict": "accepted", "agreed": 1, "in_variance": 0}},
        variances={"brief:SHOVEL:DC1::on_hand": {"state": "resolved"}},
    ),
)
