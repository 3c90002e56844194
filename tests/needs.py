"""Says which tools of tests/needs.txt are not here, and so what `make test` left out: `python -m tests.needs`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

LIST = Path(__file__).with_name("needs.txt")


class Need(NamedTuple):
    """A Debian package, the command that it brings, and what cannot be tested without it."""

    package: str
    command: str
    purpose: str


def needs(text: str) -> list[Need]:
    """Read the list: a line each, comments and empty lines aside."""
    lines = (line.split(None, 2) for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return [Need(*line) for line in lines]


def missing() -> list[Need]:
    """Give what is not on this machine."""
    return [need for need in needs(LIST.read_text("utf-8")) if not shutil.which(need.command)]


def main() -> None:
    """Print the sentence that ends `make test`; nothing where all is here."""
    absent = missing()
    if absent:
        print("Left out, for want of a tool:")
        for need in absent:
            print(f"  {need.purpose} ({need.command})")
        print(f"To run them too: apt-get install {' '.join(need.package for need in absent)}")


if __name__ == "__main__":
    main()
