"""Dead letters as Kafka's client gives them, made by hand."""

from __future__ import annotations


class Made:
    """A message of the topic of dead letters: headers, value, and where it lies."""

    def __init__(self, headers: dict[str, str], value: bytes | None = b"", offset: int = 0, partition: int = 0) -> None:
        self._headers, self._value, self._offset, self._partition = headers, value, offset, partition

    def headers(self) -> list[tuple[str, bytes]]:
        """Give what it says."""
        return [(name, value.encode()) for name, value in self._headers.items()]

    def partition(self) -> int:
        """Give where it lies."""
        return self._partition

    def offset(self) -> int:
        """Give where it lies there."""
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        """Give when it was written."""
        return 1, 1_000_000 + self._offset

    def key(self) -> bytes | None:
        """Give none."""
        return None

    def value(self) -> bytes | None:
        """Give the original's bytes, or none of them."""
        return self._value
