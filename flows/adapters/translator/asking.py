"""`atp translate --replay` and `--redo`: raw messages are sent again, and the translator tries what is asked for."""

from __future__ import annotations

from flows.adapters.translator.again import RawReader, accounts, send_again
from flows.kafka.sending import Sender
from operators.adapters.retelling import REDO, REPLAY
from schemas.settings import Settings


def ask_again(settings: Settings, does: str, source: str | None, code: str | None) -> str:
    """Send them; gives a sentence. KafkaProblem or SendError if Kafka does not give or take them all.

    `does`: REPLAY or REDO. `code`: of refused and ignored lines, the code or reason.
    """
    assert does in (REPLAY, REDO)
    reader = RawReader(settings)
    sender = Sender(settings)
    sent = lines = gone = 0
    try:
        for kept in accounts(settings, does, source, code):
            message = reader.at(kept.place)
            if message is None:
                gone += 1
                continue
            send_again(settings, sender, message, kept.place, kept.became, does, code)
            sent, lines = sent + 1, lines + kept.lines
        sender.flush()
    finally:
        reader.close()
    lost = f"; of {gone} more the raw message is gone" if gone else ""
    verb = "redone" if does == REDO else "replayed"
    return f"{sent} raw messages with {lines} lines to be {verb} were sent again: atp translate tries them{lost}"
