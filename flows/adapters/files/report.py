"""What `atp import` says: problems by kind and then by line, how far it came, what became of what it sent.

Whoever reads it may go away (`| head -1`): then it is said to nobody, and the work goes on to its end, whose exit code
tells the truth.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from typing import Any

from flows.adapters.files import advice
from flows.adapters.files.rows import Problem

#: Kinds of problem that are told with an example; of what is wrong in more ways the file itself is wrong.
KINDS_MAX = 30


class Report:
    """Says lines for people, or with `as_json` one object a line. `shown_max`: problems told one by one; 0: all."""

    def __init__(self, shown_max: int, as_json: bool = False) -> None:
        self._shown_max, self._as_json = shown_max, as_json
        #: (code, sort, file, column) -> how many, and the first
        self._kinds: dict[tuple[str, str, str, str], tuple[int, Problem]] = {}
        self._first: list[Problem] = []
        self.wrong = 0

    def say(self, sentence: str) -> None:
        """Tell a person."""
        if not self._as_json:
            _write(sentence)

    def tell(self, what: str, **facts: Any) -> None:
        """Tell a script."""
        if self._as_json:
            _write(json.dumps({"what": what, **facts}))

    def problem(self, problem: Problem) -> None:
        """Take a problem of a line."""
        self.wrong += 1
        kind = (problem.code, problem.sort, problem.file, problem.column)
        count, first = self._kinds.get(kind, (0, problem))
        self._kinds[kind] = (count + 1, first)
        if self._as_json:
            if not self._shown_max or self.wrong <= self._shown_max:
                self.tell("problem", **facts_of(problem))
        elif not self._shown_max:
            self.say(line_of(problem))  # all of them: too many to keep
        elif self.wrong <= self._shown_max:
            self._first.append(problem)

    def problems(self) -> None:
        """Tell what is wrong: each kind with its number, an example and what would do; then the first lines."""
        kinds = sorted(self._kinds.items(), key=lambda entry: -entry[1][0])
        for (code, sort, file, column), (count, first) in kinds[:KINDS_MAX]:
            hint = advice.for_a_line(code, sort)
            self.tell("problems", code=code, file=file, column=column or None, count=count, hint=hint)
            where = f"{file}, {column}" if column else file
            self.say(f"{count:>7,} x {where}: {sort or code}")
            self.say(f"          such as line {first.line}: {first.sentence}")
            if hint:
                self.say(f"          -> {hint}")
        if len(kinds) > KINDS_MAX:
            self.say(f"    ... and {len(kinds) - KINDS_MAX} more kinds of problem")
        if self._first:
            self.say("")
        for problem in self._first:
            self.say(line_of(problem))
        if self.wrong > self._shown_max > 0:
            self.say(f"... and {self.wrong - self._shown_max:,} more (--problems 0 shows all)")

    def kinds(self) -> str:
        """Give how many problems there are of each code."""
        counts: dict[str, int] = {}
        for (code, *_), (count, _) in self._kinds.items():
            counts[code] = counts.get(code, 0) + count
        return told(counts)


def told(counts: Mapping[str, int]) -> str:
    """Give counts as words, the largest first."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda entry: -entry[1]))


def line_of(problem: Problem) -> str:
    """Give a problem as a line of text."""
    column = f", {problem.column}" if problem.column else ""
    return f"{problem.file}, line {problem.line}{column}: {problem.sentence} [{problem.code}]"


def facts_of(problem: Problem) -> dict[str, Any]:
    """Give a problem for a script."""
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column or None,
        "code": problem.code,
        "sentence": problem.sentence,
    }


def _write(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Nobody reads any more. What Python would still write at its end is left out too.
        with contextlib.suppress(BrokenPipeError, ValueError):
            sys.stdout.close()
        sys.stdout = None
