"""`atp reconcile`: a file becomes a statement; what the engine makes of it is waited for, and told with its causes.

1. The moment must be one that can be compared; the file must have rows, none of them in two minds.
2. Every line is checked by the engine's own rules. With anything wrong with the file nothing is sent; a row that the
   engine will refuse is named, and sent: left out, it would look as if the source had nothing there.
3. Start, rows and end are sent. The statement_id comes from the file's bytes and the moment: the same again is known.
4. The verdict is waited for: not before the moment plus `settle`, for until then events of before may come.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from flows.adapters.files.numbers import marks_of
from flows.adapters.files.places import Places
from flows.adapters.files.report import Report
from flows.kafka.clients import partitions_of
from flows.kafka.reading import TopicReader, bounds
from flows.kafka.sending import Sender
from flows.progress_bar import progress
from flows.reconciling.files import Judge, Statement, file_of, identity, messages
from flows.reconciling.reading import Status, read_status, statuses
from flows.runtime.run import now
from flows.runtime.stop_signals import StopSignals
from operators.rules.admission import is_in_the_future, is_late
from schemas.codes import ID_EXPECTED, is_code, is_id, parse_time, show
from schemas.explanations import CAUSES, REASONS
from schemas.setting_values import duration_text
from schemas.settings import Settings, SettingsError
from schemas.topics import DEAD_LETTERS, INPUTS, REFERENCE, STATEMENTS, STATUSES

CHUNK = 5000
FAILED = 1
#: After all rows are due: an engine at work judges 20,000 a second, and commits every second.
PATIENCE_S = 60.0
#: Sending takes a while, and what is inside the window at its start has to be so at its end.
MARGIN_US = 600 * 1_000_000


class Wishes(NamedTuple):
    """What a command says beside its file."""

    source: str
    as_of: str
    statement_id: str | None = None
    is_all_items: bool = False
    locations: tuple[str, ...] | None = None
    decimal: str | None = None
    thousands: str | None = None
    dry_run: bool = False
    shown_max: int = 100
    waits: bool = True
    as_json: bool = False


class Checked(NamedTuple):
    """What the check found: how many lines are worth sending, and the judge that said so."""

    rows: int
    judge: Judge


def plan(settings: Settings, argument: str, wishes: Wishes) -> Statement:
    """Decide what the statement is; SettingsError says what is wrong with the command."""
    if not is_code(wishes.source):
        raise SettingsError(f"--source: expected a source's code, such as erp, got {wishes.source}")
    moment = _moment(settings, wishes)
    file = file_of(argument, marks_of(wishes.decimal, wishes.thousands))
    scope = (wishes.source, wishes.is_all_items, wishes.locations)
    statement_id = wishes.statement_id or identity(file, moment, scope)
    if not is_id(statement_id):
        raise SettingsError(f"--statement-id: expected {ID_EXPECTED}, got {show(statement_id)}")
    return Statement(file, wishes.source, statement_id, wishes.as_of, moment, wishes.is_all_items, wishes.locations)


def _moment(settings: Settings, wishes: Wishes) -> int:
    try:
        moment = parse_time(wishes.as_of)
    except ValueError as error:
        raise SettingsError(f"--as-of: {error}") from None
    window, sent_at = settings.window_of(wishes.source), now()
    if is_late(moment, sent_at, window - min(MARGIN_US, window // 10)):
        raise SettingsError(
            f"--as-of: expected a moment within the window of source {wishes.source}, {duration_text(window)}, got "
            f"{wishes.as_of}: the engine does not know any more what it had then. Take a newer export, or set "
            f"dedup_window of [sources.{wishes.source}] and restart"
        )
    if is_in_the_future(moment, sent_at, settings.max_clock_skew):
        raise SettingsError(
            f"--as-of: expected a moment that has come, got {wishes.as_of}: nobody can have counted it yet. Give the "
            "time at which the export was made, with its offset (Z is UTC)"
        )
    return moment


def reconcile(settings: Settings, argument: str, wishes: Wishes) -> int:
    """Do what `atp reconcile` says; the exit code: 0 where the statement was accepted."""
    todo = plan(settings, argument, wishes)
    report = Report(wishes.shown_max, wishes.as_json)
    partitions_of(settings, (STATEMENTS, STATUSES, DEAD_LETTERS, *INPUTS, *REFERENCE))
    checked = _check(settings, todo, report)
    if checked is None:
        return FAILED
    if wishes.dry_run:
        report.say("dry run: nothing was sent")
        return 0
    key = f"{todo.source}:{todo.statement_id}"
    known = statuses(settings, lambda one: one.key == key).get(key)
    if known is not None and known.verdict != "pending":
        report.say(f"this statement was sent before, as {todo.statement_id}: nothing was sent again")
        return _tell(report, known)
    starts = {part: end for part, (_, end) in bounds(settings, [STATUSES]).items()}
    try:
        _send(settings, todo, checked, report)
        if not wishes.waits:
            report.say(f"its verdict is told by: atp statements {key}")
            return 0
        status = _wait(settings, todo, starts, key)
    except KeyboardInterrupt:
        told = f"interrupted; the same command again is safe, and says what became of it: statement {todo.statement_id}"
        report.tell("interrupted", statement_id=todo.statement_id, sentence=told)
        print(f"atp: {told}", file=sys.stderr)
        return FAILED
    if status is None:
        said = (
            f"no verdict yet, {PATIENCE_S:.0f} s after all rows were due: does an engine run (atp status)? Statements "
            f"are kept, and judged by one that is started later; what became of it is told by: atp statements {key}"
        )
        report.tell("not_judged", statement_id=todo.statement_id, sentence=said)
        report.say(said)
        return FAILED
    return _tell(report, status)


def _check(settings: Settings, todo: Statement, report: Report) -> Checked | None:
    """Look at every line; None where something is wrong with the file, which is told."""
    with progress(None, "reading reference data"):
        judge = Judge(settings, now())
    refused = judge.message(todo.start(0))
    if refused is not None:
        raise SettingsError(f"{_flag(refused[1])}{refused[1]} [{refused[0]}]")
    rows = doubtful = wrong = 0
    with progress(None, "checking") as advance:
        for _, value, problem in messages(todo, judge):
            rows += value is not None
            if problem is not None:
                report.problem(problem)
                doubtful += value is not None
                wrong += value is None
            if rows % CHUNK == 0:
                advance(CHUNK)
    report.problems()
    report.tell("checked", rows=rows, wrong=wrong, will_be_refused=doubtful, said_twice=judge.repeated)
    if wrong:
        plural = "s" if wrong > 1 else ""
        report.say(f"{wrong:,} line{plural} whose meaning nobody can know: nothing was sent")
        return None
    if not rows:
        why = REASONS["empty"]
        report.tell("empty", file=todo.file.name, sentence=f"{why.meaning}: {why.remedy}")
        report.say(f"{todo.file.name}: {why.meaning}; nothing was sent: {why.remedy}")
        return None
    twice = f", {judge.repeated:,} said twice with the same figures" if judge.repeated else ""
    odd = f"; {doubtful:,} of them will be refused, and are not compared" if doubtful else ""
    report.say(f"{rows:,} rows of {todo.file.kind.meaning}{twice}{odd}")
    return Checked(rows, judge)


def _flag(sentence: str) -> str:
    """Name the option that a field of the start comes from."""
    flags = {"locations": "--location: ", "type": "--source: "}
    return next((flag for name, flag in flags.items() if sentence.startswith(name)), "")


def _send(settings: Settings, todo: Statement, checked: Checked, report: Report) -> None:
    signals = StopSignals()
    sent = Places()
    started = time.monotonic()
    try:
        sender = Sender(settings, sent.add, signals.is_set)
        try:
            with progress(checked.rows + 2, "sending") as advance:
                _send_all(sender, todo, checked, advance)
        except BaseException:
            sender.give_up()
            raise
    finally:
        signals.restore()
    seconds = time.monotonic() - started
    report.tell("sent", statement_id=todo.statement_id, rows=checked.rows, seconds=round(seconds, 3))
    report.say(f"sent as statement {todo.statement_id} in {seconds:.1f} s")


def _send_all(sender: Sender, todo: Statement, checked: Checked, advance: Callable[[int], None]) -> None:
    checked.judge.begin_again()
    own = todo.statement_id.encode()
    sender.send(STATEMENTS, own, todo.start(checked.rows))
    count = 0
    for row, value, _ in messages(todo, checked.judge):
        if value is None:
            raise SettingsError(f"{todo.file.path}, line {row.line}: changed while it was read: run it again")
        sender.send(STATEMENTS, str(row.fields.get("item", "")).encode(), value)
        count += 1
        if count % CHUNK == 0:
            sender.poll()
            advance(CHUNK)
    sender.send(STATEMENTS, own, todo.end(count))
    sender.flush()


def _wait(settings: Settings, todo: Statement, starts: dict[tuple[str, int], int], key: str) -> Status | None:
    """Wait for the verdict; None where it does not fall although it could have."""
    due = max(time.time(), (todo.moment + settings.settle_of(todo.source)) / 1e6)
    moment = datetime.fromtimestamp(due, UTC).strftime("%H:%M:%SZ")
    doing = "waiting for the verdict"
    if due > time.time() + 1:
        doing = f"{doing}: rows are judged from {moment} on, when events of before have settled"
        print(f"atp: {doing}", file=sys.stderr)
    with TopicReader(settings, group="-reconcile") as reader, progress(None, doing) as advance:
        seen = 0
        for status in _words(reader, starts, key, lambda: time.time() > due + PATIENCE_S):
            advance(max(0, status.seen - seen))
            seen = max(seen, status.seen)
            if status.verdict != "pending":
                return status
    return None


def _words(
    reader: TopicReader, starts: dict[tuple[str, int], int], key: str, is_over: Callable[[], bool]
) -> Iterator[Status]:
    for message in reader.follow(starts, is_over):
        if message.key() == key.encode() and message.value() is not None:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # none of the engine's
                yield read_status(message.value())


def _tell(report: Report, status: Status) -> int:
    """Say what became of a statement; the exit code."""
    report.tell("judged", **facts(status))
    for line in summary(status):
        report.say(line)
    return 0 if status.verdict == "accepted" else FAILED


def facts(status: Status) -> dict[str, Any]:
    """Give a status for a script: as the topic has it."""
    said: dict[str, Any] = msgspec.to_builtins(status)
    return said


def summary(status: Status) -> list[str]:
    """Give what became of a statement in lines for people: verdict, counts, and each cause with what it means."""
    of = f" of {status.rows:,}" if status.rows is not None else ""
    lines = [
        f"{status.verdict}: {status.seen:,}{of} rows seen: {status.agreed:,} agree, {status.in_variance:,} differ, "
        f"{status.not_compared:,} could not be compared, {status.refused:,} were refused"
    ]
    if status.absent:
        lines.append(f"{status.absent:,} that it does not state differ, for it is of all items")
    if status.duplicates or status.conflicts:
        lines.append(f"{status.duplicates:,} rows came twice, {status.conflicts:,} contradict another")
    for reason in status.reasons:
        told = REASONS.get(reason)
        lines.append(f"  {reason}: {told.meaning if told else ''}")
        if told is not None:
            lines.append(f"      -> {told.remedy}")
    rows = sorted(
        ((count, cause, measure) for measure, causes in status.causes.items() for cause, count in causes.items()),
        key=lambda row: (-row[0], row[1], row[2]),
    )
    for count, cause, measure in rows:
        told = CAUSES.get(cause)
        lines.append(f"{count:>7,} x {measure}: {cause}: {told.meaning if told else ''}")
        if told is not None:
            lines.append(f"          -> {told.remedy}")
    if rows:
        lines.append(f"{status.units} units differ, {status.explained_percent:g} % of them explained")
        lines.append(f"each of them: atp variances list --source {status.source} --statement {status.statement_id}")
    if status.refused:
        lines.append(f"why rows were refused: atp dead-letters list --source {status.source}")
    return lines
