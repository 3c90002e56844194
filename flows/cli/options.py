"""What commands share: options that many have, settings from them, and how what went wrong is said.

Exit codes: 0 done, 1 failed while running, 2 wrong configuration or usage.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.errors import PlainError
from flows.readable import readable

if TYPE_CHECKING:
    from schemas.settings import Settings

FAILED, MISUSED = 1, 2
#: The modules of clients whose errors may come through as they are: named, so that none is loaded for this.
CLIENTS = {"cimpl": "Kafka", "redis": "Redis"}
Config = Annotated[Path | None, typer.Option("--config", help="Settings file (default: ./atp.toml if it is there).")]
Kafka = Annotated[str | None, typer.Option("--kafka", help="kafka.bootstrap_servers, such as localhost:9092.")]
Redis = Annotated[str | None, typer.Option("--redis", help="redis.url, such as redis://localhost:6379/0.")]
StateDir = Annotated[str | None, typer.Option("--state-dir", help="state.dir: where the engine keeps its state.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting, such as topics.prefix=test. (repeatable)."),
]
Json = Annotated[bool, typer.Option("--json", help="For a script: one JSON object a line.")]
#: of tables in files
Decimal = Annotated[
    str | None, typer.Option(metavar="MARK", help="What tables have before decimals: , or . (see docs/import.md).")
]
Thousands = Annotated[
    str | None, typer.Option(metavar="MARK", help="What they have between thousands: . or , or space or none.")
]
Problems = Annotated[int, typer.Option(min=0, help="Show at most so many problems; 0: all.")]


def load(
    config: Path | None = None,
    kafka: str | None = None,
    redis: str | None = None,
    state_dir: str | None = None,
    settings: list[str] | None = None,
    workers: int | None = None,
) -> Settings:
    """Read the settings: file, environment, then these flags; a flag of its own wins over --set."""
    from flows.settings import load_settings

    overrides: dict[str, object] = {}
    for pair in settings or ():
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"--set: expected NAME=VALUE such as workers=2, got {pair}")
        overrides[name.strip()] = value
    flags = {"kafka.bootstrap_servers": kafka, "redis.url": redis, "state.dir": state_dir, "workers": workers}
    overrides |= {name: value for name, value in flags.items() if value is not None}
    for name, given in overrides.items():
        if holds_password(name, str(given)):
            complain(
                f"{name} was given with a password on the command line, which everybody on this machine can read in "
                "its list of processes: name a file with it (redis.password_file, kafka.option_files), or set it in "
                "atp.toml or the environment"
            )
    return load_settings(config, overrides)


def with_flags(settings: list[str] | None, flags: dict[str, object]) -> list[str]:
    """Put flags of a command behind what --set says: the later wins."""
    return [*(settings or ()), *(f"{name}={value}" for name, value in flags.items() if value is not None)]


def holds_password(name: str, value: str) -> bool:
    """Does a setting's value hold a password? As far as its name or the form of an address tells."""
    if name.endswith(("password", "secret", "sasl.jaas.config", "ssl.key.pem")):
        return True
    return bool(re.search(r"(^|/)[^:/@,]*:[^@/,]+@|[?&](?:sentinel_)?password=.", value))


@contextmanager
def reporting(is_view: bool = False) -> Iterator[None]:
    """Turn what went wrong into one sentence and the exit code that the contract gives it.

    A command that only shows something (`is_view`) has done its work when its reader wants no more; any other whose
    reader goes away was cut short, and fails.
    """
    from schemas.settings import SettingsError

    try:
        yield
    except SettingsError as error:
        complain(str(error))
        raise typer.Exit(MISUSED) from None
    except KeyboardInterrupt:
        complain("interrupted")
        raise typer.Exit(FAILED) from None
    except BrokenPipeError:
        # `atp watch | head`: the reader has what it wanted. Python would complain once more at exit.
        sys.stdout = None
        raise typer.Exit(0 if is_view else FAILED) from None
    except PlainError as error:
        complain(str(error))
        raise typer.Exit(FAILED) from None
    except Exception as error:
        # What a client raised and nobody put into words: no fault of ours, and no stack for people.
        client = CLIENTS.get(type(error).__module__.partition(".")[0])
        if client is None:
            raise
        complain(f"{client} cannot be used ({error}): atp check looks at it")
        raise typer.Exit(FAILED) from None


def as_text(given: str) -> str:
    """Give what was typed as text, also bytes that are none: such a thing is unknown, and no reason to fail."""
    return given.encode("utf-8", "backslashreplace").decode()


def complain(sentence: str) -> None:
    """Say what is wrong, where errors go."""
    print(f"atp: {readable(sentence)}", file=sys.stderr, flush=True)
