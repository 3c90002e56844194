"""How the writer ends when it cannot go on."""

from __future__ import annotations


class PublisherError(RuntimeError):
    """The writer has ended; the reason is its cause."""
