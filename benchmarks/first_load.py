"""How long `atp import` takes: `python -m benchmarks.first_load --lines 1000000`, on a Kafka of its own.

A fifth of the lines are items, the rest counts of them at four locations; checked and sent, reference data first.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from flows.adapters.files.run import Wishes, import_files
from flows.embedded import Servers
from flows.kafka import topics
from flows.settings import load_settings

LOCATIONS = 4


def write(folder: Path, lines: int) -> list[str]:
    """Write the files; their names."""
    items = lines // (LOCATIONS + 1)
    with (folder / "locations.csv").open("w") as file:
        file.write("location\n")
        file.writelines(f"DC{number}\n" for number in range(LOCATIONS))
    with (folder / "items.csv").open("w") as file:
        file.write("item\n")
        file.writelines(f"ITEM-{number:06}\n" for number in range(items))
    with (folder / "stock.csv").open("w") as file:
        file.write("item,location,quantity\n")
        file.writelines(
            f"ITEM-{number % items:06},DC{number // items},{number % 97}\n" for number in range(items * LOCATIONS)
        )
    return [str(folder / name) for name in ("locations.csv", "items.csv", "stock.csv")]


def main() -> None:
    """Measure once and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_load", description=main.__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    lines = parser.parse_args().lines
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="atp-first-load-")))
        servers = stack.enter_context(Servers(folder / "servers", redis=False))
        (folder / "atp.toml").touch()
        os.environ.pop("ATP_CONFIG", None)
        settings = load_settings(folder / "atp.toml", {"kafka.bootstrap_servers": servers.bootstrap_servers})
        topics.create(settings)
        files = write(folder, lines)
        started = time.monotonic()
        if import_files(settings, files, Wishes(at=datetime.now(UTC).isoformat(), shown_max=10, waits=False)):
            raise SystemExit("the import failed")
        seconds = time.monotonic() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{lines:,} lines in {seconds:.1f} s ({lines / seconds:,.0f}/s), {memory:,.0f} MB at most")


if __name__ == "__main__":
    main()
