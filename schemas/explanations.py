"""What each cause of a variance means and what to do about it; the same for the reasons of a rejected statement.

One sentence each, the same in the commands, the pages and the runbook.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Explanation(NamedTuple):
    """What something means, and what would do."""

    meaning: str
    remedy: str


#: By cause, in the order in which they are tried (contract section 9).
CAUSES: Final[dict[str, Explanation]] = {
    "unit": Explanation(
        "one of the two figures is the other times a unit's conversion: pieces were written as boxes, or the reverse",
        "have the source name the unit (uom) in its rows, or correct the item's conversions",
    ),
    "sign": Explanation(
        "theirs is ours with the opposite sign",
        "have the source write what there is as a figure above 0",
    ),
    "lots": Explanation(
        "another lot at the same location differs by just as much the other way: goods are booked under another lot",
        "see on the shelf which lot it is; then correct the system that is wrong",
    ),
    "statuses": Explanation(
        "on_hand agrees and quarantined does not: a change of status is known to one side alone",
        "find the hold or release that one of them lacks, and send it as stock_status_changed",
    ),
    "locations": Explanation(
        "another location differs by just as much the other way: goods are booked at another location",
        "see where they are; then book the move in the system that does not know of it",
    ),
    "in_flight": Explanation(
        "it agrees without what reached the engine after the row: the source had not heard of that yet",
        "nothing, if it is seldom; else raise sources.NAME.settle, or let the export run later",
    ),
    "absent": Explanation(
        "a statement of all items has no row for it, and the engine has goods there",
        "see whether the source's export leaves items out; if they are gone, correct",
    ),
    "doubled": Explanation(
        "one event counts twice on one side: the source booked it again, or it came to the engine under two ids",
        "look at the evidence; take back what is one too many (reversal: true)",
    ),
    "missing_there": Explanation(
        "the difference is one event that the engine has and the source lacks",
        "look at the evidence: have the source book it, or take it back here if it never happened",
    ),
    "missing_here": Explanation(
        "the difference is one movement that the source has and the engine lacks, or knows only from later",
        "have the source send the event again with its true occurred_at, or confirm the receipt, transfer or shipment",
    ),
    "stale": Explanation(
        "theirs is what ours was some time before: the source's figure is old",
        "see when the source's export, or the channel's update, last ran",
    ),
    "unknown": Explanation(
        "none of the known causes fits",
        "count it; what was found is sent as stock_counted",
    ),
}

#: By reason of a rejected statement.
REASONS: Final[dict[str, Explanation]] = {
    "not_started": Explanation(
        "its statement_started never came, or was refused",
        "send it under the same statement_id, or see atp dead-letters list --source NAME",
    ),
    "not_ended": Explanation(
        "its statement_ended never came, or was refused: the export stopped on its way",
        "send the statement again, whole, under a new statement_id",
    ),
    "rows_missing": Explanation(
        "fewer rows came than it says it has",
        "see where rows get lost between the export and Kafka, and send it again under a new statement_id",
    ),
    "rows_too_many": Explanation(
        "more rows came than it says it has",
        "see which rows are not of it (another file under the same statement_id), and send it again under a new one",
    ),
    "contradicts_itself": Explanation(
        "it states the same item, location and lot twice, with different figures",
        "correct the export: one row for each; atp dead-letters list --code conflict has the rows",
    ),
    "empty": Explanation(
        "it has no row that could be used, and an empty file never means that there is nothing",
        "see why the export is empty; what is really gone is stated as a row of 0",
    ),
    "fewer_than_last": Explanation(
        "it has far fewer rows than the source's last one of the same locations",
        "see whether the export was cut short; if there are so few now, lower min_rows_percent_of_last once",
    ),
    "too_many_in_variance": Explanation(
        "more of its rows differ than a working day explains: another warehouse, another unit, another day",
        "look at the variances' causes first; if they are all true, raise max_rows_in_variance_percent once",
    ),
}
