"""Stories about variances: how they stand after what follows, and what is done about them."""

from __future__ import annotations

from hashlib import sha256

from tests.reconciling.story import Story, count, decided, did, moment, rule, stated

DAY = 86_400_000_000
TEN = did("10:00", "stock_received", 10)
KEY = "erp:SHOVEL:DC1::on_hand"
QUARANTINED = "erp:SHOVEL:DC1::quarantined"
HOLD = rule(actions={"on_hand": "hold", "quarantined": "hold"})
CORRECT = rule(actions={"on_hand": "correct", "quarantined": "correct"})
ASK = rule(actions={"on_hand": "ask", "quarantined": "ask"})
LESS = stated("12:00", "12:05", {"on_hand": 4})
BOTH = stated("12:00", "12:05", {"on_hand": 4, "quarantined": 1})
#: the moment of a count that takes a correction back
UNDONE = {"occurred_at": moment("12:00") + 1}

STATES = (
    Story(
        "a variance has the id of its row, without the measure",
        (TEN, *stated("12:00", "12:05", {"on_hand": 4, "quarantined": 1})),
        variances={
            KEY: {"id": sha256(b"erp:S1:SHOVEL:DC1:").hexdigest()[:32]},
            QUARANTINED: {"id": sha256(b"erp:S1:SHOVEL:DC1:").hexdigest()[:32]},
        },
    ),
    Story(
        "a later statement that agrees resolves",
        (TEN, *LESS, *stated("12:30", "12:40", {"on_hand": 10}, statement_id="S2")),
        variances={KEY: {"state": "resolved"}},
    ),
    Story(
        "a later one that agrees resolves also what is too old to be followed",
        (
            TEN,
            HOLD,
            *LESS,
            did("3 09:00", "stock_received", 1),
            *stated("3 12:00", "3 12:05", {"on_hand": 11}, statement_id="S2"),
        ),
        {"erp:S2": {"verdict": "accepted", "agreed": 1}},
        variances={KEY: {"state": "resolved"}},
        withheld={},
    ),
    Story(
        "and one that differs opens it anew, by what is ours now",
        (
            TEN,
            HOLD,
            *LESS,
            did("3 09:00", "stock_received", 1),
            *stated("3 12:00", "3 12:05", {"on_hand": 5}, statement_id="S2"),
        ),
        variances={KEY: {"state": "held", "ours": 11, "theirs": 5, "first_seen": moment("12:00")}},
        withheld={"SHOVEL:DC1": 6},
    ),
    Story(
        "an older one that agrees does not",
        (TEN, *LESS, *stated("11:30", "12:40", {"on_hand": 10}, statement_id="S2")),
        variances={KEY: {"state": "open", "theirs": 4, "statement_id": "S1"}},
    ),
    Story(
        "a key shows the latest, and since when it was seen",
        (TEN, *LESS, *stated("12:30", "12:40", {"on_hand": 5}, statement_id="S2")),
        variances={
            KEY: {"theirs": 5, "statement_id": "S2", "first_seen": moment("12:00"), "last_seen": moment("12:30")}
        },
    ),
    Story(
        "an older one that comes later only says that it was seen before",
        (TEN, *LESS, *stated("11:30", "12:40", {"on_hand": 5}, statement_id="S2")),
        variances={
            KEY: {"theirs": 4, "statement_id": "S1", "first_seen": moment("11:30"), "last_seen": moment("12:00")}
        },
    ),
    Story(
        "of one moment the greater statement_id is the later",
        (TEN, *LESS, *stated("12:00", "12:40", {"on_hand": 5}, statement_id="S0")),
        variances={KEY: {"theirs": 4, "statement_id": "S1"}},
    ),
    Story(
        "resolved and there again is seen anew",
        (
            TEN,
            *LESS,
            *stated("12:30", "12:40", {"on_hand": 10}, statement_id="S2"),
            *stated("13:00", "13:20", {"on_hand": 4}, statement_id="S3"),
        ),
        variances={KEY: {"state": "open", "first_seen": moment("13:00"), "last_seen": moment("13:00")}},
    ),
    Story(
        "accepted with the same difference again stays accepted",
        (
            TEN,
            *LESS,
            decided("12:40", "accept", KEY),
            did("12:50", "stock_received", 5),
            *stated("12:55", "13:00", {"on_hand": 9}, statement_id="S2"),
        ),
        variances={KEY: {"state": "accepted", "decided_by": "ann", "reason": "seen", "statement_id": "S2", "ours": 15}},
    ),
    Story(
        "every other difference opens it anew",
        (TEN, *LESS, decided("12:40", "accept", KEY), *stated("12:50", "13:00", {"on_hand": 5}, statement_id="S2")),
        variances={KEY: {"state": "open", "decided_by": None, "first_seen": moment("12:00")}},
    ),
    Story(
        "a rejected one is opened anew by the next, with the same difference too",
        (TEN, *LESS, decided("12:40", "reject", KEY), *stated("12:50", "13:00", {"on_hand": 4}, statement_id="S2")),
        variances={KEY: {"state": "open", "decided_by": None, "statement_id": "S2"}},
    ),
    Story(
        "a rejected statement adds what is not there, and resolves and changes nothing",
        (
            TEN,
            did("10:01", "stock_received", 10, "DC2"),
            HOLD,
            *stated("12:00", "12:05", {"on_hand": 4}, {"location": "EAST", "on_hand": 1}),
            rule(max_rows_in_variance_percent=10, actions={"on_hand": "hold"}),
            *stated(
                "12:30",
                "12:40",
                *({"on_hand": 5}, {"location": "EAST", "on_hand": 0}, {"location": "DC2", "on_hand": 3}),
                statement_id="S2",
            ),
        ),
        {"erp:S2": {"verdict": "rejected", "in_variance": 2, "reasons": ["too_many_in_variance"]}},
        variances={
            KEY: {"theirs": 4, "state": "held", "statement_id": "S1", "last_seen": moment("12:00")},
            "erp:SHOVEL:EAST::on_hand": {"state": "open", "statement_id": "S1"},
            "erp:SHOVEL:DC2::on_hand": {"state": "open", "theirs": 3, "action": None, "first_seen": moment("12:30")},
        },
        withheld={"SHOVEL:DC1": 6},
    ),
    Story(
        "a unit that comes later changes the difference; verdict, counts and cause stay",
        (TEN, *LESS, did("11:00", "stock_adjusted", -1, logged="13:00")),
        {"erp:S1": {"in_variance": 1, "units": "6", "causes": {"on_hand": {"unknown": 1}}}},
        variances={KEY: {"ours": 9, "difference": -5, "state": "open"}},
    ),
    Story(
        "and resolves it when it agrees",
        (TEN, HOLD, *LESS, did("11:00", "stock_adjusted", -6, logged="13:00")),
        {"erp:S1": {"in_variance": 1, "units": "6"}},
        variances={KEY: {"ours": 4, "state": "resolved"}},
        withheld={},
    ),
    Story(
        "what happened after as_of is no word on it",
        (TEN, HOLD, *LESS, did("12:30", "stock_adjusted", -6, logged="13:00")),
        variances={KEY: {"ours": 10, "state": "held"}},
        withheld={"SHOVEL:DC1": 6},
    ),
    Story(
        "a newer count of the cell resolves it",
        (TEN, HOLD, *LESS, did("12:30", "stock_counted", 8, logged="13:00")),
        variances={KEY: {"state": "resolved", "theirs": 4}},
        withheld={},
    ),
    Story(
        "a count that is not newer than as_of changes ours like any unit",
        (TEN, HOLD, *LESS, did("12:00", "stock_counted", 8, logged="13:00")),
        variances={KEY: {"state": "held", "ours": 8}},
        withheld={"SHOVEL:DC1": 4},
    ),
    Story(
        "a count of another cell resolves nothing",
        (TEN, HOLD, *LESS, did("12:30", "stock_counted", 8, "DC2"), did("12:31", "stock_counted", 0, lot="L1")),
        variances={KEY: {"state": "held"}},
        withheld={"SHOVEL:DC1": 6},
    ),
    Story(
        "where lots are, a count of what carries none does not settle the sum of all",
        (TEN, did("10:01", "stock_received", 3, lot="L1"), HOLD, *LESS, did("12:30", "stock_counted", 8)),
        variances={KEY: {"state": "held", "ours": 13}},
        withheld={"SHOVEL:DC1": 9},
    ),
    Story(
        "a count that says nothing of quarantine settles nothing of it",
        (TEN, HOLD, *stated("12:00", "12:05", {"quarantined": 3}), did("12:30", "stock_counted", 10)),
        variances={QUARANTINED: {"state": "held"}},
        withheld={"SHOVEL:DC1": 3},
    ),
    Story(
        "counted before the verdict, it is written as resolved: nothing is held or corrected",
        (TEN, CORRECT, did("12:01", "stock_counted", 10), *stated("12:00", "12:05", {"on_hand": 4})),
        {"erp:S1": {"in_variance": 1, "verdict": "accepted"}},
        variances={KEY: {"state": "resolved"}},
        withheld={},
        corrections=[],
    ),
    Story(
        "of what only the present knows a variance stays as it was once something later is known",
        (TEN, *stated("12:00", "12:05", {"hard_reserved": 3}), did("12:50", "stock_adjusted", 1)),
        variances={"erp:SHOVEL:DC1::hard_reserved": {"ours": 0, "theirs": 3, "state": "open"}},
    ),
)

HOLDS = (
    Story(
        "what they have less is not promised meanwhile",
        (TEN, HOLD, *LESS),
        variances={KEY: {"state": "held", "action": "hold"}},
        withheld={"SHOVEL:DC1": 6},
        corrections=[],
    ),
    Story(
        "what they have more is not promised either: nothing is held",
        (TEN, HOLD, *stated("12:00", "12:05", {"on_hand": 14})),
        variances={KEY: {"state": "open", "action": "hold"}},
        withheld={},
    ),
    Story(
        "a report holds nothing",
        (TEN, rule(), *LESS),
        variances={KEY: {"state": "open", "action": "report"}},
        withheld={},
    ),
    Story(
        "what they have quarantined is not promised",
        (TEN, HOLD, *stated("12:00", "12:05", {"quarantined": 4})),
        variances={QUARANTINED: {"state": "held"}},
        withheld={"SHOVEL:DC1": 4},
    ),
    Story(
        "on hand and quarantined of one row are one amount",
        # Ours 10 - 2; theirs 7 - 4.
        (
            TEN,
            did("10:01", "stock_status_changed", 2, from_status="available", to_status="quarantined"),
            HOLD,
            *stated("12:00", "12:05", {"on_hand": 7, "quarantined": 4}),
        ),
        variances={KEY: {"state": "held"}, QUARANTINED: {"state": "held"}},
        withheld={"SHOVEL:DC1": 5},
    ),
    Story(
        "what is not to be held is taken as ours",
        # Ours 10 - 2; of theirs only the quarantined 4: 10 - 4.
        (
            TEN,
            did("10:01", "stock_status_changed", 2, from_status="available", to_status="quarantined"),
            rule(actions={"quarantined": "hold"}),
            *stated("12:00", "12:05", {"on_hand": 7, "quarantined": 4}),
        ),
        variances={KEY: {"state": "open", "action": "report"}, QUARANTINED: {"state": "held"}},
        withheld={"SHOVEL:DC1": 2},
    ),
    Story(
        "theirs below 0 holds what is there, and not more",
        (TEN, HOLD, *stated("12:00", "12:05", {"on_hand": -3})),
        withheld={"SHOVEL:DC1": 10},
    ),
    Story(
        "at a location the rows of a source are added up",
        (
            did("10:00", "stock_received", 10, lot="L1"),
            did("10:01", "stock_received", 10, lot="L2"),
            HOLD,
            *stated("12:00", "12:05", {"lot": "L1", "on_hand": 4}, {"lot": "L2", "on_hand": 8}),
        ),
        withheld={"SHOVEL:DC1": 8},
    ),
    Story(
        "of several sources the greatest counts, and what is left when it is over",
        (
            TEN,
            HOLD,
            rule("slow", actions={"on_hand": "hold"}),
            *LESS,
            *stated("12:00", "12:40", {"on_hand": 7}, source="slow"),
            decided("13:20", "accept", KEY),
        ),
        variances={KEY: {"state": "accepted"}, "slow:SHOVEL:DC1::on_hand": {"state": "held"}},
        withheld={"SHOVEL:DC1": 3},
    ),
    Story(
        "of several sources the greatest counts, and not the sum",
        (
            TEN,
            HOLD,
            rule("slow", actions={"on_hand": "hold"}),
            *LESS,
            *stated("12:00", "12:40", {"on_hand": 7}, source="slow"),
        ),
        withheld={"SHOVEL:DC1": 6},
    ),
    Story(
        "a unit that comes later changes what is held",
        (TEN, HOLD, *LESS, did("11:00", "stock_adjusted", -1, logged="13:00")),
        withheld={"SHOVEL:DC1": 5},
    ),
    Story(
        "a hold never ends by time",
        (TEN, HOLD, *LESS, ("time", moment("12:00") + 5 * DAY)),
        variances={KEY: {"state": "held"}},
        withheld={"SHOVEL:DC1": 6},
        alerts={"SHOVEL:DC1"},
    ),
    Story(
        "for a day it may be held",
        (TEN, HOLD, *LESS, ("time", moment("12:00") + DAY)),
        withheld={"SHOVEL:DC1": 6},
        alerts=set(),
    ),
    Story(
        "what was held too long is over when it ends",
        (
            TEN,
            HOLD,
            *LESS,
            ("time", moment("12:00") + 2 * DAY),
            ("decide", (KEY, "accept", "", "ann", "seen", moment("12:01") + 2 * DAY)),
        ),
        withheld={},
        alerts=set(),
    ),
    Story(
        "it ends with the statement that agrees",
        (TEN, HOLD, *LESS, *stated("12:30", "12:40", {"on_hand": 10}, statement_id="S2")),
        withheld={},
    ),
    Story(
        "actions hold where they are named and beneath, elsewhere it is reported",
        (
            TEN,
            did("10:01", "stock_received", 5, "EAST-1"),
            rule(actions={"on_hand": "hold"}, locations=["EAST"]),
            *stated("12:00", "12:05", {"on_hand": 4}, {"location": "EAST-1", "on_hand": 2}),
        ),
        variances={KEY: {"action": "report", "state": "open"}, "erp:SHOVEL:EAST-1::on_hand": {"action": "hold"}},
        withheld={"SHOVEL:EAST-1": 3},
    ),
    Story(
        "a row without a lot beside rows with lots is compared, and neither held nor corrected",
        (
            did("10:00", "stock_received", 10, lot="L1"),
            CORRECT,
            *stated("12:00", "12:05", {"lot": "L1", "on_hand": 10}, {"on_hand": 4}),
        ),
        {"erp:S1": {"agreed": 1, "in_variance": 1}},
        variances={KEY: {"state": "open", "action": "report"}},
        withheld={},
        corrections=[],
    ),
    Story(
        "what source reconciliation withholds is nobody's word: theirs is compared without it",
        (TEN, HOLD, *LESS, *stated("12:40", "12:45", {"withheld": 0, "available": 10}, statement_id="S2")),
        {"erp:S2": {"agreed": 1}},
    ),
)

CORRECTIONS = (
    Story(
        "theirs is counted as of as_of",
        (TEN, CORRECT, *LESS),
        variances={KEY: {"state": "corrected", "action": "correct", "decided_by": "rule"}},
        corrections=[count(4)],
        withheld={},
    ),
    Story(
        "and what comes later stands on it",
        # 10 were 4 at noon; 3 came after.
        (
            TEN,
            did("12:01", "stock_received", 3),
            CORRECT,
            *LESS,
            *stated("12:30", "12:40", {"on_hand": 7}, statement_id="S2"),
        ),
        {"erp:S1": {"verdict": "accepted", "in_variance": 1}, "erp:S2": {"agreed": 1}},
        variances={KEY: {"state": "resolved"}},
        corrections=[count(4)],
    ),
    Story(
        "the same statement again corrects nothing twice",
        (TEN, CORRECT, *LESS, *stated("12:00", "12:50", {"on_hand": 4})),
        corrections=[count(4)],
    ),
    Story(
        "quarantined theirs too, if that is to be corrected",
        (TEN, CORRECT, *stated("12:00", "12:05", {"on_hand": 4, "quarantined": 3})),
        variances={KEY: {"state": "corrected"}, QUARANTINED: {"state": "corrected"}},
        corrections=[count(4, quarantined=3)],
    ),
    Story(
        "quarantined alone, where as much is on hand",
        (TEN, CORRECT, *stated("12:00", "12:05", {"on_hand": 10, "quarantined": 4})),
        variances={QUARANTINED: {"state": "corrected", "cause": "statuses"}},
        corrections=[count(10, quarantined=4)],
    ),
    Story(
        "not where on_hand differs and is not corrected: a person is asked",
        (TEN, rule(actions={"quarantined": "correct"}), *stated("12:00", "12:05", {"on_hand": 7, "quarantined": 4})),
        variances={KEY: {"action": "report"}, QUARANTINED: {"action": "ask", "state": "held"}},
        corrections=[],
        withheld={"SHOVEL:DC1": 4},
    ),
    Story(
        "a wrong unit is not counted: a person is asked, and what they have less is held",
        (did("10:00", "stock_received", 24), CORRECT, *stated("12:00", "12:05", {"on_hand": 2})),
        variances={KEY: {"cause": "unit", "action": "ask", "state": "held"}},
        corrections=[],
        withheld={"SHOVEL:DC1": 22},
    ),
    Story(
        "nor an old number",
        (
            did("09:00", "stock_received", 4),
            did("10:00", "stock_received", 3),
            did("11:00", "stock_received", 3, receipt_id="R1"),
            CORRECT,
            *LESS,
        ),
        variances={KEY: {"cause": "stale", "action": "ask"}},
        corrections=[],
        withheld={"SHOVEL:DC1": 6},
    ),
    Story(
        "nothing is counted upwards because a unit seems to be doubled or missing",
        (
            did("09:00", "stock_received", 10),
            did("10:00", "stock_received", 3),
            CORRECT,
            *stated("12:00", "12:05", {"on_hand": 16}),
        ),
        variances={KEY: {"cause": "doubled", "action": "ask", "state": "open"}},
        corrections=[],
        withheld={},
    ),
    Story(
        "downwards it is",
        (
            did("09:00", "stock_received", 10),
            did("10:00", "stock_received", 3),
            CORRECT,
            *stated("12:00", "12:05", {"on_hand": 10}),
        ),
        variances={KEY: {"cause": "missing_there", "action": "correct", "state": "corrected"}},
        corrections=[count(10)],
    ),
    Story(
        "less than nothing cannot be counted",
        (TEN, CORRECT, *stated("12:00", "12:05", {"on_hand": -3})),
        variances={KEY: {"action": "ask", "state": "held"}},
        corrections=[],
        withheld={"SHOVEL:DC1": 10},
    ),
    Story(
        "nor more quarantined than is there",
        # Ours 10 - 0, theirs 4 - 5.
        (TEN, CORRECT, *stated("12:00", "12:05", {"on_hand": 4, "quarantined": 5})),
        variances={KEY: {"action": "ask"}, QUARANTINED: {"action": "ask"}},
        corrections=[],
        withheld={"SHOVEL:DC1": 11},
    ),
    Story(
        "what is quarantined of a held lot cannot be counted",
        (
            did("10:00", "stock_received", 10, lot="L1"),
            did("10:01", "lot_held", lot="L1"),
            CORRECT,
            *stated("12:00", "12:05", {"lot": "L1", "on_hand": 10, "quarantined": 4}),
        ),
        variances={"erp:SHOVEL:DC1:L1:quarantined": {"action": "ask", "state": "open"}},
        corrections=[],
    ),
    Story(
        "a lot is counted as that lot",
        (
            did("10:00", "stock_received", 10, lot="L1"),
            did("10:01", "stock_received", 5),
            CORRECT,
            *stated("12:00", "12:05", {"lot": "L1", "on_hand": 4}),
        ),
        corrections=[count(4, lot="L1")],
    ),
    Story(
        "a sum over lots cannot be counted",
        (TEN, did("10:01", "stock_received", 3, lot="L1"), CORRECT, *LESS),
        variances={KEY: {"action": "ask", "ours": 13}},
        corrections=[],
        withheld={"SHOVEL:DC1": 9},
    ),
    Story(
        "one owner: where a source corrects a measure no other may",
        (
            rule(actions={"on_hand": "correct"}, locations=["EAST"]),
            rule("slow", actions={"on_hand": "correct"}, locations=["EAST-1"]),
            rule("slow", actions={"on_hand": "correct"}),
            rule("slow", actions={"quarantined": "correct"}),
            rule("slow", actions={"on_hand": "correct"}, locations=["DC1"]),
            rule("brief", actions={"available": "hold"}),
        ),
        refused={1: "bad_value", 2: "bad_value", 5: "bad_value"},
    ),
)

PEOPLE = (
    Story(
        "what is asked is held until a person decides: theirs stands",
        (TEN, ASK, *LESS, decided("12:50", "correct", KEY, who="bo", reason="counted it")),
        variances={KEY: {"state": "corrected", "decided_by": "bo", "reason": "counted it", "action": "ask"}},
        corrections=[count(4)],
        withheld={},
    ),
    Story(
        "what is asked is held meanwhile",
        (TEN, ASK, *LESS),
        variances={KEY: {"state": "held", "action": "ask"}},
        corrections=[],
        withheld={"SHOVEL:DC1": 6},
    ),
    Story(
        "what was corrected is taken back by what ours was, a microsecond later",
        (TEN, ASK, *LESS, decided("12:50", "correct", KEY), decided("12:55", "undo", KEY, reason="the other shelf")),
        variances={KEY: {"state": "rejected", "decided_by": "ann", "reason": "the other shelf"}},
        corrections=[count(4), count(10) | UNDONE],
        withheld={},
    ),
    Story(
        "both measures of a row are taken back, one after the other",
        (TEN, CORRECT, *BOTH, decided("12:50", "undo", KEY), decided("12:51", "undo", QUARANTINED)),
        variances={KEY: {"state": "rejected"}, QUARANTINED: {"state": "rejected"}},
        corrections=[count(4, quarantined=1), count(10) | UNDONE, count(10, quarantined=0) | UNDONE],
    ),
    Story(
        "and in the other order",
        (TEN, CORRECT, *BOTH, decided("12:50", "undo", QUARANTINED), decided("12:51", "undo", KEY)),
        variances={KEY: {"state": "rejected"}, QUARANTINED: {"state": "rejected"}},
        corrections=[count(4, quarantined=1), count(4, quarantined=0) | UNDONE, count(10) | UNDONE],
    ),
    Story(
        "what was below 0 cannot be counted again",
        (
            did("10:00", "stock_adjusted", -3),
            ASK,
            *stated("12:00", "12:05", {"on_hand": 0}),
            decided("12:50", "correct", KEY),
            decided("12:51", "undo", KEY),
        ),
        variances={KEY: {"state": "corrected"}},
        corrections=[count(0)],
        refused={-1: "not_taken"},
    ),
    Story(
        "what was not corrected is not taken back",
        (TEN, ASK, *LESS, decided("12:50", "undo", KEY)),
        variances={KEY: {"state": "held"}},
        refused={-1: "not_taken"},
    ),
    Story(
        "accepted or rejected, ours stands and nothing is held",
        (
            TEN,
            did("10:01", "stock_received", 10, "DC2"),
            ASK,
            *stated("12:00", "12:05", {"on_hand": 4}, {"location": "DC2", "on_hand": 5}),
            decided("12:50", "accept", KEY),
            decided("12:51", "reject", "erp:SHOVEL:DC2::on_hand"),
        ),
        variances={KEY: {"state": "accepted"}, "erp:SHOVEL:DC2::on_hand": {"state": "rejected"}},
        corrections=[],
        withheld={},
    ),
    Story(
        "a decision about another statement than the one that stands is refused",
        (TEN, ASK, *LESS, decided("12:50", "accept", KEY, identity="0" * 32)),
        variances={KEY: {"state": "held"}},
        refused={-1: "not_taken"},
    ),
    Story(
        "what was decided is not decided again",
        (TEN, ASK, *LESS, decided("12:50", "accept", KEY), decided("12:51", "correct", KEY)),
        variances={KEY: {"state": "accepted"}},
        corrections=[],
        refused={-1: "not_taken"},
    ),
    Story(
        "what would be late is refused",
        (
            TEN,
            ASK,
            *LESS,
            ("time", moment("12:00") + DAY),
            ("decide", (KEY, "correct", "", "ann", "seen", moment("12:01") + DAY)),
        ),
        variances={KEY: {"state": "held"}},
        corrections=[],
        refused={-1: "not_taken"},
    ),
    Story(
        "what cannot be counted is refused",
        (TEN, did("10:01", "stock_received", 3, lot="L1"), ASK, *LESS, decided("12:50", "correct", KEY)),
        variances={KEY: {"state": "held"}},
        corrections=[],
        refused={-1: "not_taken"},
    ),
)
