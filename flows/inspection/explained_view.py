"""Prints an explanation: a tree with aligned numbers for people, one JSON object for a script."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date

from flows.inspection.explaining import Explanation
from flows.inspection.trailed import Difference, moved_line
from flows.readable import readable
from operators.explaining import Term, plain
from operators.rules.days import days_in
from schemas.codes import parse_time

EPOCH = date(1970, 1, 1)
#: 180 days are a horizon.
DAY_DIGITS_MAX = 3


def day_of(said: str, time_zone: str, moment: int | None = None) -> int:
    """Give which day of the horizon a number or a date means, seen from a moment; ValueError says what was expected."""
    if said.isascii() and said.isdigit() and len(said) <= DAY_DIGITS_MAX:
        return int(said)
    try:
        day = (date.fromisoformat(said) - EPOCH).days - days_in(time_zone).day_of(
            time.time_ns() // 1000 if moment is None else moment
        )
    except ValueError:
        raise ValueError(
            f"day: expected a number of days from today or a date such as 2026-11-30, got {said}"
        ) from None
    if day < 0:
        raise ValueError(f"day: expected today or later, got {said}")
    return day


def moment_of(said: str, name: str) -> int:
    """Give a moment in UTC microseconds, one that has not come yet as now; ValueError says what was expected."""
    try:
        return min(parse_time(said), time.time_ns() // 1000)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def show(said: Explanation, as_json: bool) -> int:
    """Print an explanation; exit code 1 where there is no number to explain."""
    if as_json:
        print(json.dumps(as_object(said)))
    else:
        for line in lines_of(said):
            print(line)
    return 1 if said.tree is None or said.published is None else 0


def as_object(said: Explanation) -> dict[str, object]:
    """Give an explanation as JSON has it: the tree as objects in each other, what is empty left out of them."""
    return {**asdict(said), "tree": _object(said.tree) if said.tree is not None else None}


def _object(term: Term) -> dict[str, object]:
    found: dict[str, object] = {"name": term.name, "value": term.value, "text": term.text, "says": term.says}
    for name in ("of", "said_by"):
        if getattr(term, name):
            found[name] = getattr(term, name)
    if term.children:
        found["children"] = [_object(child) for child in term.children]
    return found


def lines_of(said: Explanation) -> Iterator[str]:
    """Give an explanation line by line; whatever somebody named a thing, a terminal obeys nothing in it."""
    for line in _lines(said):
        yield readable(line)


def _lines(said: Explanation) -> Iterator[str]:
    if said.tree is not None:
        rows = list(_rows(said.tree, "", ""))
        width = max(len(number) for number, _, _ in rows)
        for number, branch, sentence in rows:
            yield f"{number:>{width}}  {branch}{sentence}"
        unit = f" {said.base_uom}" if said.base_uom else ""
        if said.agrees:
            at = f" at {said.at}" if said.at else ""
            yield f"published{at}: {plain(said.published or 0, said.scale)}{unit}, which is what the terms add up to"
    if said.moved:
        yield "what touched it last:"
        for move in said.moved:
            yield f"  {moved_line(move, said.scale)}"
    if said.reach:
        read = f"{said.records_read} records of Kafka, {said.bytes_read / 1024:.0f} KiB"
        yield f"the trail was {said.reach}: {read}"
    for doubt in said.doubts:
        if sys.stdout.isatty() or said.tree is not None:
            yield f"note: {doubt}"
        else:
            print(f"atp: {readable(doubt)}", file=sys.stderr)


def _rows(term: Term, branch: str, beneath: str) -> Iterator[tuple[str, str, str]]:
    where = f" ({term.said_by})" if term.said_by else ""
    whose = f" {term.of}" if term.name == "order_line" else ""
    yield term.text, branch, f"{term.name.replace('_', ' ')}{whose}: {term.says}{where}"
    for number, child in enumerate(term.children, 1):
        is_last = number == len(term.children)
        yield from _rows(child, f"{beneath}{'└─ ' if is_last else '├─ '}", f"{beneath}{'   ' if is_last else '│  '}")


def show_difference(said: Difference, as_json: bool) -> int:
    """Print what moved a number, a line for each activation, oldest first; the shares add up. 1: there was none."""
    is_known = said.before is not None or said.after is not None or any(move.share for move in said.moves)
    if as_json:
        moves = [{**asdict(move), "share": move.share} for move in said.moves]
        print(json.dumps({**asdict(said), "moves": moves}))
    if not is_known:
        print(readable(f"atp: nothing was published of {said.item} for {said.channel} then"), file=sys.stderr)
    if as_json:
        return 0 if is_known else 1
    for move in said.moves:
        sign = "+" if move.share > 0 else ""
        print(readable(f"{sign + plain(move.share, said.scale):>10}  {moved_line(move, said.scale)}"))
    numbers = ["-" if number is None else plain(number, said.scale) for number in (said.before, said.after)]
    print(readable(f"{said.item} {said.channel}: {numbers[0]} at {said.since}, {numbers[1]} at {said.until}"))
    for doubt in said.doubts:
        print(readable(f"note: {doubt}"))
    return 0 if is_known else 1
