"""Answers as the naive model does, and gives an answer again until something new is told: each channel asks the same.

What is decided stays `Model`'s; here is only what was found already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flows.audit.model import Model


class QuickModel(Model):
    """The model, for whoever asks it much more often than it is told something."""

    ASKED_AGAIN = (
        *("_units", "_lines", "_cancelled", "_hard", "_claims", "_held", "_ledger", "_supplies", "position"),
        *("_taken", "_served", "_dated", "_withheld", "_receipts", "_parts", "_parts_at", "_gone"),
        *("_at", "_in_cell", "_of_kind", "_cell", "_lots"),
        *("sellable", "safety_stock", "_protected"),
    )

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self._answers: dict[tuple[Any, ...], Any] = {}
        for name in self.ASKED_AGAIN:
            setattr(self, name, self._once(name, getattr(self, name)))

    def _once(self, name: str, ask: Callable[..., Any]) -> Callable[..., Any]:
        def answer(*asked: Any) -> Any:
            key = (name, *asked)
            if key not in self._answers:
                self._answers[key] = ask(*asked)
            return self._answers[key]

        return answer

    def forget(self) -> None:
        """Let go of what was found: something new was told, or nobody asks for it again."""
        self._answers.clear()

    def event(self, *told: Any) -> Any:
        """Judge an event as the model does."""
        self.forget()
        return super().event(*told)

    def reference(self, *told: Any) -> list[str]:
        """Judge a reference record as the model does."""
        self.forget()
        return super().reference(*told)
