"""Writes docs/metrics.md from the catalog: `python -m flows.cli.metrics_page > docs/metrics.md`."""

from __future__ import annotations

from flows.monitoring.catalog import BUCKETS_S, COUNTER, GROUPS
from flows.monitoring.intake_catalog import INTAKE
from flows.monitoring.push_catalog import PUSH

_HEAD = """\
# Metrics

<!-- Made by: python -m flows.cli.metrics_page > docs/metrics.md -->

`atp run` serves them for all of its worker processes at `http://<metrics.host>:<metrics.port>/metrics`
(default `127.0.0.1:9464`; port 0 switches it off), as text for Prometheus or as OpenMetrics; with
`?name[]=atp_ready&name[]=atp_worker_up` those metrics alone. Beside them: `/healthz` (alive) and `/readyz` (workers,
topics, caught up, writing, not fenced), which answer 200 or 503 with the reasons in JSON; `atp health` asks the first,
`atp health --ready` the second. `/readyz?standby` (`atp health --standby`) also says yes where the engine
[stands by](standby.md) and could take over.

What the dashboard in `docker/grafana` shows and the alerts in `docker/prometheus` watch is made of these. The
[runbook](runbook.md) says what to do about each alert. A test asks a real Prometheus, which scrapes a running engine,
each of the dashboard's queries, and sees each alert fire. Grafana itself is in no test: how its panels look was not
seen.

Their cost with a backlog drained at full speed and a scrape every 5 s: 1.2 % of the worker's processor time.

- `worker` is the number of the process. Add up over it: `sum without (worker) (...)`.
- Label values are bounded: no label holds an item; at most 60 sources and 200 channels get a value of their own, those
  beyond are `other`. Sources that the settings name always have theirs.
- Counters begin at 0 when a worker starts. `atp_exceptions_open` and `atp_source_stale` are kept in the state.
- Histograms have the bounds {buckets}
  seconds. The client library has no native histograms.
- `process_cpu_seconds_total`, `process_resident_memory_bytes` and their siblings are there for each worker, and for
  the process that watches them (`worker="supervisor"`).
"""

_OF_INTAKE = """\
Served by `atp receive`, `atp pick-up` and `atp poll` themselves, each at a port of its own
([intake](intake.md#is-it-well)); `way` is `receive`, `pick_up` or `poll`."""


def page() -> str:
    """Give docs/metrics.md."""
    lines = [_HEAD.format(buckets=", ".join(f"{bound:g}" for bound in BUCKETS_S))]
    for group in (*GROUPS, INTAKE, PUSH):
        lines += [f"## {group.title}", ""]
        if group is INTAKE:
            lines += [_OF_INTAKE, ""]
        if group is PUSH:
            lines += ["Served by `atp push` itself ([pushing](pushing.md#is-it-well)).", ""]
        lines += ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
        for name, kind, labels, text in group.specs:
            shown = f"{name}_total" if kind == COUNTER else name
            lines.append(f"| `{shown}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {text} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")
