"""`atp translate --until-caught-up` that dies by SIGKILL: `python -m tests.translator_child WHERE N`.

WHERE is one of POINTS; it dies when it comes there for the N-th time.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

from flows.adapters.translator import sink, source, steps
from flows.adapters.translator.run import run
from flows.settings import load_settings

#: name -> (class, method, is it over when it dies, only where it gave or took something)
POINTS: Final[dict[str, tuple[type, str, bool, bool]]] = {
    "raw messages are read": (source.RawPart, "next_batch", True, True),
    "a memory has settled facts": (steps.MemoryStep, "on_batch", True, False),
    "events are handed over": (sink.TranslatedPart, "_say", True, False),
    "events are in Kafka, accounts are not": (sink.TranslatedPart, "_account", False, False),
    "accounts are handed over": (sink.TranslatedPart, "_account", True, False),
    "the sink has ended an epoch": (sink.TranslatedPart, "snapshot", True, False),
    "a memory has given its snapshot": (steps.MemoryStep, "snapshot", True, False),
    "aliases have given their snapshot": (steps.AliasStep, "snapshot", True, False),
    "what waited is sent again": (sink.TranslatedPart, "_try_again", True, False),
}


def plant(where: str, times: int) -> None:
    """Let the process die there."""
    kind, name, is_after, has_something = POINTS[where]
    whole: Callable[..., Any] = getattr(kind, name)
    count = itertools.count(1)

    def dying(self: Any, *arguments: Any) -> Any:
        answer = whole(self, *arguments) if is_after else None
        if not (has_something and not answer) and next(count) >= times:
            if name in ("_say", "_account", "_try_again"):
                for sender in (self._sender, self._again):
                    if sender is not None:
                        sender.flush()  # Kafka has all that was handed over: the worst that may be
            os.kill(os.getpid(), signal.SIGKILL)
        return answer if is_after else whole(self, *arguments)

    setattr(kind, name, dying)


if __name__ == "__main__":
    plant(sys.argv[1], int(sys.argv[2]))
    sys.exit(0 if run(load_settings(), until_caught_up=True) else 1)
