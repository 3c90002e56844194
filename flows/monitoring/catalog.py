"""Every metric: its name, kind, labels and meaning. Names are part of the public interface.

Label values are bounded: sources, channels and codes, never items. `python -m flows.cli.metrics_page` prints
docs/metrics.md.
"""

from __future__ import annotations

from typing import Final, NamedTuple

#: Histogram bounds in seconds: they resolve 1 ms to 60 s.
BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
WORKER = "worker"


class Spec(NamedTuple):
    """One metric as Prometheus sees it, but for `_total`, which a counter's samples carry behind the name."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


class Group(NamedTuple):
    """Metrics that answer one question."""

    title: str
    specs: tuple[Spec, ...]


def _of_worker(name: str, kind: str, labels: str, help: str) -> Spec:
    return Spec(name, kind, (WORKER, *labels.split()), help)


def _of_engine(name: str, kind: str, labels: str, help: str) -> Spec:
    return Spec(name, kind, tuple(labels.split()), help)


GROUPS: Final = (
    Group(
        "Are the numbers right",
        (
            _of_worker(
                "atp_exceptions_open",
                GAUGE,
                "code",
                "Exceptions open now: negative_on_hand and oversold are negative and oversold positions.",
            ),
            _of_worker("atp_exceptions", COUNTER, "code state", "Exceptions raised (open) and over (closed)."),
            _of_worker("atp_dead_letters", COUNTER, "code", "Messages and lines sent to the dead letters, by code."),
            _of_worker(
                "atp_units",
                COUNTER,
                "source type outcome",
                "Events and order lines judged: applied, duplicate, or the code of the refusal. What could not be read "
                "far enough has source unknown and type unread; sources beyond the first 60 are other.",
            ),
            _of_worker(
                "atp_rounded_units",
                COUNTER,
                "source type",
                "Applied units that were not exact in their item's scale, and rounded so that nothing is promised "
                "that is not there (rounding: safe).",
            ),
            _of_worker("atp_redis_losses", COUNTER, "", "Times Redis was found to have lost data, and was refilled."),
            _of_worker(
                "atp_fenced_flushes",
                COUNTER,
                "",
                "Writes of older engines that Redis has turned away since this run began.",
            ),
            _of_worker(
                "atp_fenced_last_timestamp_seconds", GAUGE, "", "When the last of them was noticed; absent if none was."
            ),
        ),
    ),
    Group(
        "Do they agree with what others state",
        (
            _of_engine(
                "atp_variance_explained_percent",
                GAUGE,
                "source age",
                "Of the units in open and held variances, those of a known cause; age is all, or one of those below.",
            ),
            _of_engine(
                "atp_variances",
                GAUGE,
                "source cause state age",
                "Variances that are open or held now; age, since they were first seen, is day, week or older.",
            ),
            _of_engine(
                "atp_variance_units", GAUGE, "source cause state age", "By how many base units they differ, in all."
            ),
            _of_engine(
                "atp_variance_value",
                GAUGE,
                "source cause state age",
                "What these units are worth, of items that have a unit_value.",
            ),
            _of_engine(
                "atp_statement_accepted_timestamp_seconds",
                GAUGE,
                "source",
                "The moment (as_of) of the newest accepted statement.",
            ),
            _of_engine(
                "atp_statement_missing",
                GAUGE,
                "source",
                "1 while a source with statement_every has no accepted statement of a moment within that time.",
            ),
        ),
    ),
    Group(
        "Are they fresh",
        (
            _of_worker(
                "atp_event_to_redis_seconds",
                HISTOGRAM,
                "lane",
                "From the event's Kafka timestamp until its number is readable in Redis.",
            ),
            _of_worker(
                "atp_redis_to_kafka_seconds",
                HISTOGRAM,
                "lane",
                "From readable in Redis until handed to Kafka; the longest of each flush.",
            ),
            _of_engine(
                "atp_input_lag_seconds",
                GAUGE,
                "topic partition",
                "How long the oldest message that no finished epoch holds has waited.",
            ),
            _of_engine(
                "atp_input_lag_messages", GAUGE, "topic partition", "Messages that no finished epoch holds yet."
            ),
            _of_engine(
                "atp_input_topic_lost",
                GAUGE,
                "topic reason",
                "1 while a topic that the engine reads is deleted, or was made_again, since it began to read it.",
            ),
            _of_engine(
                "atp_input_ends_timestamp_seconds", GAUGE, "", "When Kafka last told where the input topics end."
            ),
            _of_worker(
                "atp_source_last_seen_timestamp_seconds",
                GAUGE,
                "source",
                "Kafka timestamp of the newest event of the source that was judged since the start.",
            ),
            _of_worker(
                "atp_source_stale", GAUGE, "source", "1 while a source with stale_after is quiet for longer than that."
            ),
        ),
    ),
    Group(
        "Is it keeping up",
        (
            _of_worker("atp_updates", COUNTER, "channel lane", "Updates sent to Kafka."),
            _of_worker(
                "atp_updates_merged", COUNTER, "lane", "Updates that took the place of one that still waited for Kafka."
            ),
            _of_worker(
                "atp_updates_overdue", COUNTER, "lane", "Updates that a channel's budget held up beyond max_wait."
            ),
            _of_worker("atp_lane_waiting_updates", GAUGE, "lane", "Updates that Redis has and Kafka has not."),
            _of_worker("atp_lane_oldest_waiting_seconds", GAUGE, "lane", "How long the oldest of them has waited."),
            _of_worker("atp_outbox_items", GAUGE, "", "Items that wait to be written to Redis."),
            _of_worker("atp_inbox_outcomes", GAUGE, "", "Answers of shards that the writer has not taken up yet."),
            _of_worker(
                "atp_held_shards", GAUGE, "", "Shards whose numbers wait until they are as far as what is published."
            ),
            _of_worker("atp_epoch_seconds", HISTOGRAM, "", "From one snapshot to the next."),
            _of_worker(
                "atp_epoch_commit_seconds",
                HISTOGRAM,
                "",
                "From a snapshot until its epoch is safe in Redis, Kafka and on disk; no input is read meanwhile.",
            ),
            _of_worker(
                "atp_epoch_ending_seconds",
                GAUGE,
                "",
                "For how long an epoch has been ending, and all numbers have stood still; 0 while none is.",
            ),
            _of_worker("atp_epoch_last_timestamp_seconds", GAUGE, "", "When the last epoch was finished."),
            _of_worker(
                "atp_redis_write_seconds",
                HISTOGRAM,
                "",
                "One slice written to Redis, with up to three that left with it, tries included.",
            ),
            _of_worker("atp_redis_retries", COUNTER, "", "Writes to Redis that failed and were tried again."),
            _of_worker(
                "atp_redis_waiting_seconds",
                GAUGE,
                "",
                "For how long a write has waited for Redis; hardly more than 0 while all is well.",
            ),
            _of_worker("atp_kafka_confirm_seconds", HISTOGRAM, "", "Waiting for Kafka to confirm what an epoch sent."),
            _of_worker("atp_kafka_retries", COUNTER, "", "Requests to Kafka that were repeated."),
            _of_worker("atp_kafka_errors", COUNTER, "", "Requests to Kafka that failed."),
            _of_worker(
                "atp_reports_waiting",
                GAUGE,
                "",
                "Dead letters, exceptions, words on statements and records of the trail that wait for Kafka.",
            ),
            _of_worker("atp_kafka_queue_messages", GAUGE, "", "Messages that Kafka has not confirmed yet."),
            _of_worker(
                "atp_kafka_waiting_seconds", GAUGE, "", "For how long an epoch has waited for Kafka; 0 while none does."
            ),
        ),
    ),
    Group(
        "What other systems send (served by `atp translate`)",
        (
            _of_engine("atp_translate_documents", COUNTER, "source kind", "Raw messages translated and accounted for."),
            _of_engine(
                "atp_translate_again_documents", COUNTER, "source", "Raw messages tried again: replayed, or redone."
            ),
            _of_engine(
                "atp_translate_lines",
                COUNTER,
                "source fate",
                "Their lines, by where each ended at first: event, statement, ignored or refused.",
            ),
            _of_engine("atp_translate_refused_lines", COUNTER, "source code", "Lines refused at first, by code."),
            _of_engine(
                "atp_translate_waiting_documents",
                GAUGE,
                "source",
                "Raw messages with lines that wait for an alias, up to 10,000 a source.",
            ),
            _of_engine(
                "atp_translate_document_last_timestamp_seconds",
                GAUGE,
                "source",
                "When the last new raw message was accounted for; before the first, when the translator started.",
            ),
            _of_engine(
                "atp_translate_document_every_seconds",
                GAUGE,
                "source",
                "How often a document is expected (sources.<name>.document_every).",
            ),
        ),
    ),
    Group(
        "What it is and what it holds",
        (
            _of_worker("atp_items", GAUGE, "", "Items known."),
            _of_worker("atp_remembered_ids", GAUGE, "", "Ids remembered, so that no event is applied twice."),
            _of_worker("atp_trail_records", COUNTER, "", "Records of what touched each item (trail.enabled)."),
            _of_worker("atp_trail_bytes", COUNTER, "", "Their bytes, before compression."),
            _of_engine(
                "atp_trail_oldest_timestamp_seconds",
                GAUGE,
                "",
                "When the oldest of them that the topic has was written; absent while there is none. What stood before "
                "cannot be told.",
            ),
            _of_worker("atp_snapshot_bytes", COUNTER, "", "Bytes handed to Bytewax as snapshots."),
            _of_worker("atp_segment_bytes", COUNTER, "", "Bytes of state sealed in segment files."),
            _of_engine(
                "atp_memory_limit_bytes", GAUGE, "", "What one worker may take; at 90 % of it the engine stops."
            ),
            _of_engine("atp_state_bytes", GAUGE, "", "Size of state.dir on disk."),
            _of_engine(
                "atp_state_kept", GAUGE, "", "1 where this start went on with kept state, 0 where it began anew."
            ),
            _of_engine(
                "atp_remote_copied_timestamp_seconds",
                GAUGE,
                "",
                "When the newest copy of the state in state.remote was taken; absent before the first.",
            ),
            _of_engine("atp_remote_sent_bytes", COUNTER, "", "Bytes of state sent to state.remote."),
            _of_engine("atp_remote_failures", COUNTER, "", "Copies of the state to state.remote that failed."),
            _of_worker(
                "atp_from_scratch_shards",
                GAUGE,
                "",
                "Shards that a start from scratch is not through with: 0 when everything is said.",
            ),
            _of_engine("atp_ready", GAUGE, "check", "1 where /readyz finds the check good; absent while it stands by."),
            _of_engine(
                "atp_standby", GAUGE, "", "1 while it stands by for another engine, whose figures are those that count."
            ),
            _of_engine("atp_worker_up", GAUGE, "worker", "1 while the worker process runs and answers."),
            _of_engine("atp_worker_restarts", COUNTER, "", "Times the workers were started again after one died."),
            _of_engine("atp_run_token", GAUGE, "", "The token of this run: the newest may write."),
            _of_engine(
                "atp_build_info", GAUGE, "version bytewax_version python_version", "Always 1; the labels say what runs."
            ),
        ),
    ),
)
SPECS: Final = {spec.name: spec for group in GROUPS for spec in group.specs}
