"""`atp import`: checks all lines of all files, sends them if nothing is wrong with any, says what became of them.

1. The moment (`--at`) must be given where lines have none, and be one that the engine accepts; else every line would be
   refused as late.
2. Reference data is read from Kafka, so that codes can be checked.
3. Every line is checked; with anything wrong, or for a dry run, that was all.
4. Every line is sent, reference data first; an engine that runs has taken it before the first event goes.
5. Where an engine runs, it is waited for: what it applied, knew already and refused is said.

Nothing is sent twice to effect: see facts.py. So whatever stops a run, the same command again completes it.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from flows.adapters.files import advice
from flows.adapters.files.columns import ORDER
from flows.adapters.files.facts import Message, Writer
from flows.adapters.files.judge import TOGETHER, Judge
from flows.adapters.files.known import read_reference
from flows.adapters.files.numbers import UNSAID, Marks, marks_of
from flows.adapters.files.places import Places
from flows.adapters.files.report import Report
from flows.adapters.files.rows import NO_MOMENT, File, ImportProblem, Problem, Row, column_names, file_of, is_csv, rows
from flows.adapters.files.verdicts import Court, Verdicts
from flows.kafka.clients import KafkaProblem, partitions_of
from flows.kafka.sending import Sender
from flows.progress_bar import progress
from flows.runtime.configs import windows_of
from flows.runtime.run import now
from flows.runtime.stop_signals import StopSignals
from operators.rules.admission import is_in_the_future, is_late
from schemas.codes import BAD_VALUE, MISSING_FIELD, is_code, parse_time
from schemas.setting_values import duration_text
from schemas.settings import Settings, SettingsError
from schemas.topics import INPUTS, REFERENCE

#: Lines between two looks at the producer, and reference records that are judged in one go.
CHUNK = 5000
#: Sending takes a while, and what is inside the window at its start has to be so at its end.
MARGIN_US = 600 * 1_000_000
FAILED = 1


class Plan(NamedTuple):
    """What is to be done: files in the order in which they are sent, whose word it is, and as of when."""

    files: tuple[File, ...]
    source: str
    at: str | None


class Wishes(NamedTuple):
    """What a command says beside its files."""

    source: str = "import"
    at: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    dry_run: bool = False
    #: problems that are told one by one; 0: all
    shown_max: int = 100
    #: wait for an engine's verdict
    waits: bool = True
    as_json: bool = False


class Found(NamedTuple):
    """What the check found."""

    lines: int
    messages: int
    note: str


@dataclass(slots=True)
class Course:
    """How far a run has come: what is said of it when it is cut short."""

    doing: str = "checking"
    messages: int = 0
    sent: Places = field(default_factory=Places)
    #: of these, reference data
    reference: int = 0
    waited_s: float = 0.0


def plan(settings: Settings, arguments: Iterable[str], source: str, at: str | None, marks: Marks = UNSAID) -> Plan:
    """Decide what the files are; SettingsError says what is wrong with the command."""
    files = sorted((file_of(argument, marks) for argument in arguments), key=lambda file: ORDER[file.kind.name])
    names: dict[str, Path] = {}
    for file in files:
        if file.name in names:
            raise SettingsError(
                f"{file.path}: expected files of different names, got {names[file.name]} too: a line is told by its "
                "file's name; rename one"
            )
        names[file.name] = file.path
    if not is_code(source):
        raise SettingsError(f"--source: expected a source's code, such as import, got {source}")
    if at is not None:
        _check_moment(settings, source, at)
    else:
        _check_columns(files)
    return Plan(tuple(files), source, at)


def check(settings: Settings, todo: Plan, report: Callable[[Problem], None]) -> Found:
    """Look at every line; `report` gets each problem as it is found."""
    judge = Judge(settings, now())
    note = ""
    try:
        with progress(None, "reading reference data"):
            for kind, records in read_reference(settings):
                judge.know(kind, records)
    except KafkaProblem as error:
        note = f"reference data could not be read, so only codes of these files are known: {error}"
    lines = messages = 0
    with progress(_lines_of(todo.files), "checking") as advance:
        for file in todo.files:
            counted = _Counted(file, todo, judge, report, advance)
            counted.look()
            lines += counted.lines
            messages += counted.messages
    return Found(lines, messages, note)


def send(settings: Settings, todo: Plan, course: Course, court: Court | None) -> None:
    """Send every message and wait until Kafka has them; `course` says how far it is."""
    signals = StopSignals()
    try:
        sender = Sender(settings, course.sent.add, signals.is_set)
        course.doing = "sending"
        try:
            with progress(course.messages, "sending") as advance:
                _send(sender, todo, course, court, advance)
        except BaseException:
            sender.give_up()
            raise
    finally:
        signals.restore()


def _send(sender: Sender, todo: Plan, course: Course, court: Court | None, advance: Callable[[int], None]) -> None:
    is_reference = True
    handed = 0
    for file in todo.files:
        if is_reference and not file.kind.is_reference:
            _finish_reference(sender, course, court)
            is_reference = False
        for message in _messages(file, todo):
            sender.send(*message)
            handed += 1
            if handed % CHUNK == 0:
                sender.poll()
                advance(CHUNK)
    sender.flush()
    if is_reference:
        course.reference = course.sent.count


def _messages(file: File, todo: Plan) -> Iterator[Message]:
    writer = Writer(file, todo.source, todo.at)
    for row in rows(file):
        if row.problems:
            raise ImportProblem(f"{file.path}, line {row.line}: changed while it was read: run it again")
        yield from writer.messages(row)


def _finish_reference(sender: Sender, course: Course, court: Court | None) -> None:
    """See that what events name is there before them: in Kafka, and in an engine that runs."""
    sender.flush()
    course.reference = course.sent.count
    if court is not None and course.sent.count:
        _, waited_s = court.wait(course.sent, lambda _: sender.go_on())
        course.waited_s += waited_s


def import_files(settings: Settings, arguments: Iterable[str], wishes: Wishes = Wishes()) -> int:  # noqa: B008  # frozen
    """Do what `atp import` says; the exit code. What is wrong goes to standard output."""
    marks = marks_of(wishes.decimal, wishes.thousands)
    todo = plan(settings, arguments, wishes.source, wishes.at, marks)
    report = Report(wishes.shown_max, wishes.as_json)
    course = Course()
    try:
        return _import(settings, todo, wishes, report, course)
    except KeyboardInterrupt:
        sentence = _how_far(course)
        report.tell("interrupted", messages=course.messages, sent=course.sent.count, sentence=sentence)
        print(f"atp: {sentence}", file=sys.stderr)
        return FAILED


def _import(settings: Settings, todo: Plan, wishes: Wishes, report: Report, course: Course) -> int:
    found = check(settings, todo, report.problem)
    course.messages = found.messages
    if found.note:
        print(f"atp: {found.note}", file=sys.stderr)
    report.problems()
    report.tell("checked", lines=found.lines, problems=report.wrong)
    if report.wrong:
        plural = "s" if report.wrong > 1 else ""
        kinds = report.kinds()
        report.say(f"{found.lines:,} lines checked: {report.wrong:,} problem{plural} ({kinds}); nothing was sent")
        return FAILED
    report.say(f"{found.lines:,} lines checked, nothing wrong")
    if wishes.dry_run:
        report.say("dry run: nothing was sent")
        return 0
    started = time.monotonic()
    partitions_of(settings, (*INPUTS, *REFERENCE))
    court = _court(settings, todo) if wishes.waits else None
    try:
        send(settings, todo, course, court)
        seconds = time.monotonic() - started - course.waited_s
        report.say(f"{course.sent.count:,} messages sent in {seconds:.1f} s; the same command again changes nothing")
        report.tell("sent", messages=course.sent.count, seconds=round(seconds, 3))
        if court is None:
            return 0
        course.doing = "waiting"
        with progress(course.sent.count, "waiting for the engine") as advance:
            unjudged, waited_s = court.wait(course.sent, advance)
        course.waited_s += waited_s
        units = course.sent.count - course.reference
        return _judged(report, course, court.verdicts(course.sent, unjudged, course.waited_s, units))
    finally:
        if court is not None:
            court.close()


def _court(settings: Settings, todo: Plan) -> Court | None:
    """Make ready to hear what became of it; nothing of that keeps the lines from being sent."""
    try:
        return Court(settings, todo.source)
    except KafkaProblem as error:
        print(f"atp: what becomes of it cannot be told here: {error}", file=sys.stderr)
        return None


def _judged(report: Report, course: Course, verdicts: Verdicts) -> int:
    """Say what became of it; the exit code."""
    total, refused = course.sent.count, verdicts.refused.total()
    report.tell(
        "judged",
        messages=total,
        reference=course.reference,
        not_yet_judged=verdicts.unjudged,
        applied=verdicts.applied,
        duplicate=verdicts.duplicate,
        refused=dict(verdicts.refused),
    )
    taken = total - verdicts.unjudged - refused
    if verdicts.problem:
        report.say(f"sent; whether an engine has judged it cannot be told: {verdicts.problem}")
        return 0
    if verdicts.unjudged == total:
        report.say(
            f"sent, not yet judged: no engine read it within {verdicts.waited_s:.0f} s. One that is started later "
            "does; this command, run again then, says what became of it"
        )
        return 0
    events = total - course.reference
    if verdicts.applied is not None and verdicts.duplicate is not None:
        parts = [f"{course.reference:,} reference records read"] if course.reference else []
        parts += (
            [f"{verdicts.applied:,} applied", f"{verdicts.duplicate:,} known already (duplicates)"] if events else []
        )
        report.say(f"the engine has judged all of it: {', '.join([*parts, f'{refused:,} refused'])}")
    else:
        known = " or known already (duplicates)" if events else ""
        report.say(f"the engine has taken {taken:,} of {total:,}: applied{known}; {refused:,} refused")
    for code, count in verdicts.refused.most_common():
        example = verdicts.examples[code]
        where = f"{example.line}: " if example.line else ""
        hint = advice.for_a_refusal(code)
        report.tell("refused", code=code, count=count, example=example.sentence, line=example.line or None, hint=hint)
        report.say(f"{count:>7,} x {code}, such as {where}{example.sentence}")
        report.say(f"          -> {hint}; all of them: atp dead-letters list --code {code}")
    if verdicts.unjudged:
        report.say(
            f"{verdicts.unjudged:,} are not yet judged: the engine did not come to them in {verdicts.waited_s:.0f} s"
        )
    return FAILED if refused else 0


def _how_far(course: Course) -> str:
    """Say what an interrupted run has done."""
    if course.doing == "checking":
        return "interrupted while the files were checked: nothing was sent"
    again = "the same command again is safe: it sends all of them, and what went already counts once"
    if course.doing == "sending":
        return f"interrupted: {course.sent.count:,} of {course.messages:,} messages went to Kafka; {again}"
    return f"interrupted while the engine was waited for: all {course.sent.count:,} messages are in Kafka; {again}"


class _Counted:
    """The check of one file."""

    def __init__(
        self,
        file: File,
        todo: Plan,
        judge: Judge,
        report: Callable[[Problem], None],
        advance: Callable[[int], None],
    ) -> None:
        self._file, self._writer, self._judge = file, Writer(file, todo.source, todo.at), judge
        self._lacks_moment = todo.at is None and not file.kind.is_reference
        self._report, self._advance = report, advance
        self.lines = 0
        self.messages = 0

    def look(self) -> None:
        """Judge every line."""
        file, judge = self._file, self._judge
        if not file.kind.is_reference:
            for row, messages in self._good():
                for problem in judge.event(file, row, messages):
                    self._report(problem)
            return
        size = None if file.kind.name in TOGETHER else CHUNK
        good = self._good()
        while lines := list(itertools.islice(good, size)):
            for problem in judge.reference(file, [(row, messages[0]) for row, messages in lines]):
                self._report(problem)

    def _good(self) -> Iterator[tuple[Row, list[Message]]]:
        """Give the lines that have the right form, with their messages."""
        for row in rows(self._file):
            self.lines += 1
            if self.lines % CHUNK == 0:
                self._advance(CHUNK)
            if row.problems:
                for problem in row.problems:
                    self._report(problem)
                continue
            if self._lacks_moment and "occurred_at" not in row.fields:
                said = "expected a time, or --at for lines without one, got neither"
                self._report(Problem(self._file.name, row.line, "occurred_at", MISSING_FIELD, said, NO_MOMENT))
                continue
            repeated = self._judge.repeated(self._file, row)
            if repeated is not None:
                self._report(repeated)
                continue
            try:
                messages = list(self._writer.messages(row))
            except (TypeError, UnicodeEncodeError) as error:  # what JSON's escapes can spell and no message can hold
                said = (
                    f"expected text of Unicode characters in arrays and objects of ordinary depth, got other: {error}"
                )
                self._report(Problem(self._file.name, row.line, "", BAD_VALUE, said))
                continue
            self.messages += len(messages)
            yield row, messages


def _check_moment(settings: Settings, source: str, at: str) -> None:
    try:
        moment = parse_time(at)
    except ValueError as error:
        raise SettingsError(f"--at: {error}") from None
    window, sent_at = windows_of(settings).of(source), now()
    if is_late(moment, sent_at, window - min(MARGIN_US, window // 10)):
        raise SettingsError(
            f"--at: expected a moment within the dedup window of {duration_text(window)}, got {at}: the engine would "
            "refuse every line as late. Files that were sent in time need no second run; for older ones take stock "
            f"anew, or set dedup_window of [sources.{source}] for this load"
        )
    if is_in_the_future(moment, sent_at, settings.max_clock_skew):
        raise SettingsError(f"--at: expected a moment that has come, got {at}: the engine would refuse every line")


def _check_columns(files: Iterable[File]) -> None:
    """Without `--at`, each table of events has to say when its lines were true; of JSON Lines each line is asked."""
    for file in files:
        if not file.kind.is_reference and is_csv(file) and "occurred_at" not in column_names(file):
            example = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            raise SettingsError(
                f"--at: expected the moment at which the numbers of {file.name} were true, got none: what happened "
                "before it is in them already, what happened after it counts on top. Give the time of the export, such "
                f"as --at {example}, or a column occurred_at"
            )


def _lines_of(files: Iterable[File]) -> int:
    total = 0
    for file in files:
        with file.path.open("rb") as data:
            total += sum(block.count(b"\n") for block in iter(lambda: data.read(1 << 20), b""))
    return total
