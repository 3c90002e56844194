"""Fights rounds: faults drawn from a seed, one after the other, under load; then the verdict."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.chaos import faults
from tests.chaos.arena import Arena, Options
from tests.chaos.servers import ChaosServers

Say = Callable[[str], None]


def draw(dice: random.Random, count: int, has_small_disk: bool, only: Iterable[str] = ()) -> list[str]:
    """Draw so many faults, by their weights."""
    chosen = {name: weight for name, (_, weight) in faults.FAULTS.items() if not only or name in only}
    if not has_small_disk and len(chosen) > 1:
        chosen.pop("state's disk read-only", None)
    return dice.choices(list(chosen), list(chosen.values()), k=count)


def fight(
    servers: ChaosServers, folder: Path, options: Options, names: Callable[[Arena, random.Random], list[str]], say: Say
) -> dict[str, Any]:
    """One round: what was done, what was found, and the figures."""
    dice = random.Random(options.seed)
    told: list[faults.Told] = []
    failures: list[str] = []
    shown = 0
    with Arena(servers, folder, options, say) as arena:
        for name in names(arena, dice):
            try:
                one = faults.run(arena, name, dice)
            except Exception as error:
                failures.append(f"seed {options.seed}, {name}, the {len(told) + 1}th: {error!r}")
                say(failures[-1][:3000])
                break
            told.append(one)
            say(f"seed {options.seed}: {one}")
            for sentence in arena.faults.examples[shown:]:
                say(f"FOUND {sentence[:700]}")
            shown = len(arena.faults.examples)
        try:
            arena.finish()
        except Exception as error:
            failures.append(f"seed {options.seed}, at the end: {error!r}")
        figures = arena.figures()
        if failures or arena.faults.counts:
            # Where a round found something, what the engine said is part of it.
            kept = folder.parent / f"seed-{options.seed}.log"
            kept.write_text(arena.said())
            figures["log"] = str(kept)
        return figures | {"told": told, "failures": failures, "hits": [list(hit) for hit in arena.trap.hits()]}
