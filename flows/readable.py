"""Makes text that somebody else wrote fit to be shown in a terminal."""

from __future__ import annotations


def readable(text: str) -> str:
    """Give it without what a terminal would obey: what is no sign and no new line is spelled, as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)
