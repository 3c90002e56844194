"""The one base of errors that are said to people as they are."""

from __future__ import annotations


class PlainError(RuntimeError):
    """An error whose text is a sentence for people: what is wrong, why, and what would do.

    `atp` prints it and ends with exit code 1, without a stack; a class made of this one needs no word elsewhere.
    """
