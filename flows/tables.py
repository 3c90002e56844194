"""Tables for a terminal of any width: heads are never cut, and what does not fit side by side stands below another."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows.readable import readable

#: What rich draws between two columns, and at both edges.
BETWEEN, EDGES = 3, 4


def table(
    console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", keeps: Sequence[int] = ()
) -> RenderableType:
    """Give rows under their heads; columns with nothing but 0 are left out, except the first one and those of `keeps`.

    Where the terminal is too narrow for a head's or a cell's longest word, each row becomes lines of `head  cell`.
    """
    rows = [[readable(cell) for cell in row] for row in rows]
    kept = [
        place
        for place in range(len(heads))
        if not place or place in keeps or any(row[place] not in ("", "0") for row in rows)
    ]
    if sum(_least(heads, rows, place) + BETWEEN for place in kept) - BETWEEN + EDGES <= console.width:
        # What is shown is others' text: nothing in it is markup.
        found = Table(title=Text(title, style="italic") if title else None, title_justify="left")
        for place in kept:
            is_number = place and all(_is_number(row[place]) for row in rows)
            found.add_column(heads[place], justify="right" if is_number else "left", overflow="fold")
        for row in rows:
            found.add_row(*(Text(row[place]) for place in kept))
        return found
    return Group(*([Text(title, style="italic")] if title else []), *_below(heads, rows, kept))


def _least(heads: Sequence[str], rows: Sequence[Sequence[str]], place: int) -> int:
    """Give the width that a column needs: its longest word."""
    return max(len(word) for cell in (heads[place], *(row[place] for row in rows)) for word in (cell.split() or [""]))


def _is_number(cell: str) -> bool:
    return cell.lstrip("-").isdigit()


def _below(heads: Sequence[str], rows: Sequence[Sequence[str]], kept: Sequence[int]) -> list[Text]:
    longest = max(len(heads[place]) for place in kept)
    lines = []
    for row in rows:
        lines.append(Text(row[kept[0]], style="bold", overflow="fold"))
        lines += [
            Text(f"  {heads[place]:<{longest}}  {row[place]}", overflow="fold") for place in kept[1:] if row[place]
        ]
    return lines
