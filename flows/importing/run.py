"""`atp import`: checks all lines of all files, and sends them only if there is nothing wrong with any.

1. The moment (`--at`) must be one that the engine accepts; else every line would be refused as late.
2. Reference data is read from Kafka, so that codes can be checked.
3. Every line is checked; with anything wrong, or for a dry run, that was all.
4. Every line is sent, reference data first, and Kafka has acknowledged all of it when this returns.

Nothing is sent twice to effect: see facts.py. So whatever stops a run, the same command again completes it.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from flows.importing.columns import ORDER
from flows.importing.facts import Message, Writer
from flows.importing.judge import TOGETHER, Judge
from flows.importing.known import read_reference
from flows.importing.rows import File, ImportProblem, Problem, Row, file_of, rows
from flows.kafka import KafkaProblem, partitions_of
from flows.load import Sender, progress
from flows.runtime import now
from schemas.codes import is_code, parse_time
from schemas.setting_values import duration_text
from schemas.settings import Settings, SettingsError
from schemas.topics import INPUTS, REFERENCE

#: Lines between two looks at the producer, and reference records that are judged in one go.
CHUNK = 5000
#: Sending takes a while, and what is inside the window at its start has to be so at its end.
MARGIN_US = 600 * 1_000_000


class Plan(NamedTuple):
    """What is to be done: files in the order in which they are sent, whose word it is, and as of when."""

    files: tuple[File, ...]
    source: str
    at: str | None


class Found(NamedTuple):
    """What the check found."""

    lines: int
    messages: int
    note: str


def plan(settings: Settings, arguments: Iterable[str], source: str, at: str | None) -> Plan:
    """Decide what the files are; SettingsError says what is wrong with the command."""
    files = sorted((file_of(argument) for argument in arguments), key=lambda file: ORDER[file.kind.name])
    names: dict[str, Path] = {}
    for file in files:
        if file.name in names:
            raise SettingsError(
                f"{file.path}: expected files of different names, got {names[file.name]} too: ids are made from the "
                "name; rename one"
            )
        names[file.name] = file.path
    if not is_code(source):
        raise SettingsError(f"--source: expected a source's code, such as import, got {source}")
    if at is not None:
        _check_moment(settings, source, at)
    return Plan(tuple(files), source, at)


def check(settings: Settings, todo: Plan, report: Callable[[Problem], None]) -> Found:
    """Look at every line; `report` gets each problem as it is found."""
    judge = Judge(settings, now())
    note = ""
    try:
        for kind, records in read_reference(settings):
            judge.know(kind, records)
    except KafkaProblem as error:
        note = f"reference data could not be read, so only codes of these files are known: {error}"
    lines = messages = 0
    with progress(_lines_of(todo.files), "checking") as advance:
        for file in todo.files:
            counted = _Counted(file, Writer(file, todo.source, todo.at), judge, report, advance)
            counted.look()
            lines += counted.lines
            messages += counted.messages
    return Found(lines, messages, note)


def send(settings: Settings, todo: Plan, total: int) -> int:
    """Send every message and wait until Kafka has them; how many they were."""
    partitions_of(settings, (*INPUTS, *REFERENCE))
    sender = Sender(settings)
    sent = 0
    with progress(total, "sending") as advance:
        is_reference = True
        for file in todo.files:
            if is_reference and not file.kind.is_reference:
                sender.flush()  # what events name has to be there before them
                is_reference = False
            writer = Writer(file, todo.source, todo.at)
            for row in rows(file):
                if row.problems:
                    raise ImportProblem(f"{file.path}, line {row.line}: changed while it was read: run it again")
                for message in writer.messages(row):
                    sender.send(*message)
                    sent += 1
                if row.line % CHUNK == 0:
                    sender.poll()
                    advance(CHUNK)
        sender.flush()
    return sent


def import_files(
    settings: Settings, arguments: Iterable[str], source: str, at: str | None, dry_run: bool, shown_max: int
) -> int:
    """Do what `atp import` says; the exit code. What is wrong goes to standard output, a line each."""
    todo = plan(settings, arguments, source, at)
    counts: Counter[str] = Counter()

    def report(problem: Problem) -> None:
        counts[problem.code] += 1
        if not shown_max or counts.total() <= shown_max:
            column = f", {problem.column}" if problem.column else ""
            print(f"{problem.file}, line {problem.line}{column}: {problem.sentence} [{problem.code}]")

    found = check(settings, todo, report)
    if found.note:
        print(f"atp: {found.note}", file=sys.stderr)
    wrong = counts.total()
    if wrong > shown_max > 0:
        print(f"... and {wrong - shown_max:,} more (--problems 0 shows all)")
    if wrong:
        kinds = ", ".join(f"{code} {count:,}" for code, count in counts.most_common())
        print(f"{found.lines:,} lines checked: {wrong:,} problem{'s' if wrong > 1 else ''} ({kinds}); nothing was sent")
        return 1
    print(f"{found.lines:,} lines checked, nothing wrong")
    if dry_run:
        print("dry run: nothing was sent")
        return 0
    started = time.monotonic()
    sent = send(settings, todo, found.lines)
    print(f"{sent:,} messages sent in {time.monotonic() - started:.1f} s; the same command again changes nothing")
    if len({file.kind.is_reference for file in todo.files}) == 2:
        print(
            "if the engine ran meanwhile, events may have come before what they name: where dead letters say "
            "unknown_item, run the same command again"
        )
    return 0


class _Counted:
    """The check of one file."""

    def __init__(
        self,
        file: File,
        writer: Writer,
        judge: Judge,
        report: Callable[[Problem], None],
        advance: Callable[[int], None],
    ) -> None:
        self._file, self._writer, self._judge = file, writer, judge
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
            repeated = self._judge.repeated(self._file, row)
            if repeated is not None:
                self._report(repeated)
                continue
            messages = list(self._writer.messages(row))
            self.messages += len(messages)
            yield row, messages


def _check_moment(settings: Settings, source: str, at: str) -> None:
    try:
        moment = parse_time(at)
    except ValueError as error:
        raise SettingsError(f"--at: {error}") from None
    named = settings.sources.get(source)
    window = named.dedup_window if named is not None and named.dedup_window is not None else settings.dedup_window
    age = now() - moment
    if age > window - min(MARGIN_US, window // 10):
        raise SettingsError(
            f"--at: expected a moment within the dedup window of {duration_text(window)}, got {at}: the engine would "
            "refuse every line as late. Files that were sent in time need no second run; for older ones take stock "
            f"anew, or set dedup_window of [sources.{source}] for this load"
        )
    if -age > settings.max_clock_skew:
        raise SettingsError(f"--at: expected a moment that has come, got {at}: the engine would refuse every line")


def _lines_of(files: Iterable[File]) -> int:
    total = 0
    for file in files:
        with file.path.open("rb") as data:
            total += sum(block.count(b"\n") for block in iter(lambda: data.read(1 << 20), b""))
    return total
