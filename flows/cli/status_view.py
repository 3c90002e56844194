"""Shows how the engine is on one screen, also on a narrow one; or as JSON, an object a line."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flows.inspection.status import RATE_S, Facts, Look, facts, look
from schemas.settings import Settings

#: How often `--watch` looks.
WATCH_S = 2.0


def show(settings: Settings, watch: bool, as_json: bool, console: Console | None = None) -> int:
    """Print it once, or until Ctrl-C; exit code 1 where nothing runs."""
    console = console or Console(highlight=False)
    first = look(settings)
    if not watch:
        said = _twice(settings, first)
        _print(console, said, as_json)
        return 0 if said["runs"] else 1
    with contextlib.suppress(KeyboardInterrupt):
        _follow(settings, first, console, as_json)
    return 0


def _twice(settings: Settings, first: Look) -> Facts:
    """Look again after a moment, for the rates; once is enough where there is no endpoint."""
    if first.ready is None:
        return facts(settings, first)
    time.sleep(RATE_S)
    return facts(settings, look(settings), first)


def _follow(settings: Settings, before: Look, console: Console, as_json: bool) -> None:
    if as_json or not console.is_terminal:
        while True:
            time.sleep(WATCH_S)
            now = look(settings)
            _print(console, facts(settings, now, before), as_json)
            before = now
    with Live(picture(facts(settings, before)), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(WATCH_S)
            now = look(settings)
            live.update(picture(facts(settings, now, before)), refresh=True)
            before = now


def _print(console: Console, said: Facts, as_json: bool) -> None:
    if as_json:
        print(json.dumps(said), flush=True)
    else:
        console.print(picture(said))


def picture(said: Facts) -> Table:
    """Give two columns, of which the second wraps: readable in forty columns, and nothing is cut off."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for label, line in LINES:
        text = line(said)
        if text:
            table.add_row(label, text)
    return table


def _engine(said: Facts) -> Text:
    if not said["runs"]:
        return Text("nothing runs here", style="bold red")
    if said["ready"]:
        return Text("runs, ready", style="green")
    return Text("\n".join(["runs, NOT READY", *said["reasons"]]), style="bold red")


def _what(said: Facts) -> str:
    if "version" not in said:
        return ""
    return f"{said['version']}, run {said['run']}" if "run" in said else said["version"]


def _since(said: Facts) -> str:
    if "since" not in said:
        return ""
    seen, since = (datetime.strptime(said[name], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) for name in _SPAN)
    return f"{said['since'].replace('T', ' ')} ({span((seen - since).total_seconds())})"


_SPAN = ("seen_at", "since")


def _workers(said: Facts) -> str:
    if "workers" not in said:
        return ""
    of = said["workers"]
    return f"{of['up']} of {of['of']} answer, {of['restarts']} restarts"


def _redis(said: Facts) -> str:
    return f"{said['redis']}, prefix {said['redis_prefix']}" if said["redis_prefix"] else str(said["redis"])


def _state(said: Facts) -> str:
    size = f", {said['state_bytes'] / 1e6:,.1f} MB" if "state_bytes" in said else ""
    return f"{said['state_dir']}{size}"


def _behind(said: Facts) -> str:
    parts = []
    if "behind_ms" in said:
        parts.append(f"{said['behind_ms']:,} ms behind")
    if "lag" in said:
        lag = said["lag"]
        slowest = f", {lag['slowest']} the slowest ({lag['seconds']:g} s)" if lag.get("seconds") else ""
        parts.append(f"{lag['messages']:,} messages unread{slowest}")
    return "; ".join(parts)


def _rates(said: Facts) -> str:
    if "rates" not in said:
        return ""
    rates = said["rates"]
    return (
        f"{rates['events_per_s']:,.0f} events/s, {rates['updates_per_s']:,.0f} updates/s, "
        f"{rates['dead_letters_per_s']:,.0f} dead letters/s"
    )


def _lanes(said: Facts) -> str:
    if "lanes" not in said:
        return ""
    return ", ".join(
        f"{lane} {of['waiting']:,}" + (f" ({of['oldest_s']:g} s)" if of["waiting"] else "")
        for lane, of in said["lanes"].items()
    )


def _exceptions(said: Facts) -> str:
    if "exceptions" not in said:
        return ""
    found = sorted(said["exceptions"].items(), key=lambda entry: -entry[1])
    listed = ", ".join(f"{code} {number:,}" for code, number in found)
    return f"{sum(said['exceptions'].values()):,} open" + (f": {listed}" if listed else "")


def _dead_letters(said: Facts) -> str:
    return f"{said['dead_letters']:,} since it started" if "dead_letters" in said else ""


def _epoch(said: Facts) -> str:
    return f"{span(said['last_epoch']['age_s'])} ago" if "last_epoch" in said else ""


def span(seconds: float) -> str:
    """Give a length of time in its two largest units."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86_400)
    if days:
        return f"{days} d {hours - 24 * days} h"
    return f"{hours} h {minutes - 60 * hours} min" if hours else f"{minutes} min"


#: What is shown, in this order; a line of which nothing is known is left out.
LINES: tuple[tuple[str, Callable[[Facts], str | Text]], ...] = (
    ("engine", _engine),
    ("", lambda said: "\n".join(said["notes"])),
    ("version", _what),
    ("since", _since),
    ("workers", _workers),
    ("input", _behind),
    ("rates", _rates),
    ("waiting", _lanes),
    ("exceptions", _exceptions),
    ("letters", _dead_letters),
    ("last epoch", _epoch),
    ("items", lambda said: f"{said['items']:,}" if "items" in said else ""),
    ("kafka", lambda said: str(said["kafka"])),
    ("redis", _redis),
    ("state", _state),
    ("endpoint", lambda said: said["endpoint"] or ""),
)
