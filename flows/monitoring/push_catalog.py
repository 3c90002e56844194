"""The metrics of `atp push`, which serves its own. Names are public."""

from __future__ import annotations

from typing import Final

from flows.monitoring.catalog import COUNTER, GAUGE, Group, Spec

_OF = ("source",)

PUSH: Final = Group(
    "What shops are told",
    (
        Spec("atp_push_numbers", COUNTER, _OF, "Numbers that the shop took."),
        Spec(
            "atp_push_refused",
            COUNTER,
            ("source", "reason"),
            "Numbers that it did not take: `stale` (it had another one than when we looked), `refused`.",
        ),
        Spec("atp_push_throttled", COUNTER, _OF, "Requests that waited because its budget was used up."),
        Spec("atp_push_failures", GAUGE, _OF, "Requests that failed in a row; 0 after one that did not."),
        Spec("atp_push_waiting", GAUGE, _OF, "Numbers that are to be set and are not refused."),
        Spec(
            "atp_push_oldest_seconds",
            GAUGE,
            _OF,
            "For how long the oldest of them has waited, but for those that rise; 0 if there is none.",
        ),
        Spec("atp_push_parked", GAUGE, _OF, "Items that the shop refuses, each tried again by itself."),
        Spec("atp_push_without_alias", GAUGE, _OF, "Items that are to be set and have no alias."),
        Spec("atp_push_rising", GAUGE, _OF, "Numbers that rise once every order of the shop is read."),
        Spec("atp_push_rising_seconds", GAUGE, _OF, "For how long they have waited for that; 0 if there is none."),
        Spec("atp_push_orders_unread", GAUGE, _OF, "Orders that the shop has and its raw topic has not."),
    ),
)
