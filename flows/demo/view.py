"""Shows the day while it is played: a live picture on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

LINE_EVERY_S = 5.0
STORY_LINES = 7
LANE_STYLES = {"critical": "bold red", "high": "yellow", "normal": "green", "bulk": "dim"}
ENGINE_STYLES = {"running": "bold green", "KILLED": "bold white on red", "restarting": "bold yellow"}


@dataclass(slots=True)
class Picture:
    """What is to be seen at one moment."""

    at: float
    seconds: float
    clock: str
    engine: str
    channels: tuple[str, ...]
    #: item -> ATP by channel, "" where nothing is published
    promises: dict[str, tuple[str, ...]] = field(default_factory=dict)
    events: int = 0
    duplicates: int = 0
    lanes: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    exceptions: dict[str, int] = field(default_factory=dict)
    p50_ms: int = 0
    p99_ms: int = 0
    flash: str = ""


class View:
    """A context manager: what is shown live goes when it ends, the story stays."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._story: list[Text] = []
        self._line_at = 0.0
        self._before: dict[tuple[str, int], str] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, clock: str, sentence: str, style: str = "") -> None:
        """Tell what happens now."""
        line = Text(f"{clock}  ", style="dim").append(sentence, style=style or "not dim")
        self._story.append(line)
        if self._live is None:
            self._console.print(line, soft_wrap=True)

    def show(self, picture: Picture) -> None:
        """Show this moment."""
        if self._live is not None:
            self._live.update(self._draw(picture))
        elif time.monotonic() - self._line_at >= LINE_EVERY_S:
            self._line_at = time.monotonic()
            self._console.print(_plain(picture), soft_wrap=True, highlight=False)

    def _draw(self, picture: Picture) -> RenderableType:
        head = Table.grid(expand=True, padding=(0, 2))
        head.add_column()
        head.add_column(ratio=1)
        head.add_column(justify="right")
        head.add_row(
            Text(picture.clock, style="bold"),
            ProgressBar(total=picture.seconds, completed=min(picture.at, picture.seconds)),
            Text(f"engine {picture.engine}", style=ENGINE_STYLES.get(picture.engine, "")),
        )
        body = Table.grid(expand=True, padding=(0, 1))
        body.add_column(ratio=3)
        body.add_column(ratio=2)
        body.add_row(self._promises(picture), _figures(picture))
        story = Group(*self._story[-STORY_LINES:])
        return Group(
            Panel(head, title="atp demo: a trading day", border_style="blue"),
            body,
            Panel(story, title="what happens", border_style="blue"),
        )

    def _promises(self, picture: Picture) -> RenderableType:
        table = Table(title="available to promise, as channels read it from Redis", expand=True, border_style="dim")
        table.add_column("item")
        for channel in picture.channels:
            table.add_column(channel, justify="right")
        for item, row in picture.promises.items():
            cells = []
            for index, value in enumerate(row):
                before = self._before.get((item, index), value)
                cells.append(_cell(value, before))
                self._before[item, index] = value
            table.add_row(item, *cells)
        return table


def _cell(value: str, before: str) -> Text:
    if not value:
        return Text("-", style="dim")
    if value == "0":
        return Text("0", style="bold red")
    change = int(value) - int(before or value)
    return Text(value, style="yellow" if change < 0 else "green" if change > 0 else "")


def _figures(picture: Picture) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_row("events in", f"{picture.events:,}")
    table.add_row("  sent twice", f"{picture.duplicates:,}")
    table.add_row("", "")
    for lane, style in LANE_STYLES.items():
        table.add_row(Text(f"lane {lane}", style=style), f"{picture.lanes.get(lane, 0):,}")
    table.add_row("", "")
    table.add_row("latency p50 / p99", f"{picture.p50_ms} / {picture.p99_ms} ms")
    table.add_row("flash sale", picture.flash)
    table.add_row("", "")
    table.add_row(Text("kept as dead letters", style="bold"), f"{sum(picture.dropped.values()):,}")
    for code, count in sorted(picture.dropped.items(), key=lambda pair: (-pair[1], pair[0]))[:6]:
        table.add_row(f"  {code}", f"{count:,}")
    for code, count in sorted(picture.exceptions.items()):
        table.add_row(Text(f"exception {code}", style="magenta"), f"{count:,}")
    return Panel(table, title="the engine", border_style="dim")


def _plain(picture: Picture) -> str:
    lanes = " ".join(f"{lane}={picture.lanes.get(lane, 0)}" for lane in LANE_STYLES)
    item, row = next(iter(picture.promises.items()), ("", ()))
    numbers = " ".join(f"{channel}={value or '-'}" for channel, value in zip(picture.channels, row, strict=False))
    return (
        f"{picture.clock}  engine {picture.engine}; in {picture.events} (twice {picture.duplicates}); {lanes}; "
        f"p50 {picture.p50_ms} ms p99 {picture.p99_ms} ms; dead letters {sum(picture.dropped.values())}; "
        f"{item}: {numbers}; flash sale {picture.flash}"
    )
