"""The metrics of `atp receive`, `atp pick-up` and `atp poll`, which each serve their own. Names are public."""

from __future__ import annotations

from typing import Final

from flows.monitoring.catalog import COUNTER, GAUGE, HISTOGRAM, Group, Spec

#: `way` is receive, pick_up or poll.
INTAKE: Final = Group(
    "What other systems send",
    (
        Spec("atp_intake_messages", COUNTER, ("way", "source"), "Messages that Kafka has, in the source's raw topic."),
        Spec("atp_intake_bytes", COUNTER, ("way", "source"), "Their bytes."),
        Spec(
            "atp_intake_refused",
            COUNTER,
            ("way", "source", "reason"),
            "What was not taken, by reason; webhooks of no known source have source unknown.",
        ),
        Spec(
            "atp_intake_last_timestamp_seconds",
            GAUGE,
            ("way", "source"),
            "When Kafka last confirmed a message of the source; since the start, if none.",
        ),
        Spec(
            "atp_intake_seconds",
            HISTOGRAM,
            ("way", "source"),
            "From the message's first byte, the file's reading or the page's request until Kafka has it.",
        ),
        Spec("atp_intake_kafka_up", GAUGE, ("way",), "1 while Kafka answers this process."),
        Spec("atp_intake_files_waiting", GAUGE, ("source",), "Files in the folder that are not yet done."),
        Spec(
            "atp_intake_oldest_file_seconds",
            GAUGE,
            ("source",),
            "For how long the oldest of them has been seen there; 0 if there is none.",
        ),
        Spec(
            "atp_intake_poll_timestamp_seconds",
            GAUGE,
            ("source",),
            "When a round of polling last came to its end; since the start, if none did.",
        ),
        Spec(
            "atp_intake_poll_failures", GAUGE, ("source",), "Requests that failed in a row; 0 after one that did not."
        ),
    ),
)
