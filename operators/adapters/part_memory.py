"""What the parts of a table that was cut for its size state together: one statement, ended when its last part is read.

Rows go out with their part, under the statement's id. How many they are, and whether they are all that there is, is
known once every part was read; so start and end are said then. Rows may come before their start (contract section 9).
A part that never comes leaves the statement without an end, which is rejected: a part is never taken for the whole.
"""

from __future__ import annotations

from operators.adapters.account import Fact, Message
from operators.adapters.remembered import Known, Settled
from operators.adapters.statement import end_of, start_of


def file_part(known: Known | None, fact: Fact) -> Settled:
    """Count a part, and end the statement when it is the last that was missing. The same part again is nothing new.

    `data`: `part` (1 to `parts`), `parts`, `rows` (how many it sent), `is_all` (nothing of it was refused, and the
    mapping says all), `locations` (or None), `head` (source, statement_id, occurred_at; None of a part without rows).
    Remembered: the rows of each part, whether all were whole, the first head, the number of parts.
    """
    data = fact.data
    if known is None or known["parts"] != data["parts"]:
        # Another number of parts: the limit of a message was changed, and all of the file comes anew.
        known = {"parts": data["parts"], "rows": {}, "is_all": True, "head": None}
    name = str(data["part"])
    if name in known["rows"]:
        return Settled(known, [], [])
    now: Known = {
        **known,
        "rows": {**known["rows"], name: data["rows"]},
        "is_all": known["is_all"] and data["is_all"],
        "head": known["head"] or data["head"],
    }
    if len(now["rows"]) < data["parts"] or now["head"] is None:
        return Settled(now, [], [])
    rows = sum(now["rows"].values())
    start = start_of(now["head"], rows, data["locations"], now["is_all"])
    return Settled(now, [Message(start, ()), Message(end_of(now["head"], rows), ())], [])
