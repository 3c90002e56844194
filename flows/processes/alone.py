"""An engine on one machine: there are no others to wait for, to tell, or to be ended by."""

from __future__ import annotations

from flows.monitoring.monitor import Member
from flows.processes.errand import Errand
from flows.processes.preparation import Preparation


class Alone:
    """Asked by the supervisor's thread."""

    leads, first = True, 0

    def __init__(self, preparation: Preparation) -> None:
        self._preparation = preparation

    def errands(self) -> list[Errand]:
        """Find out what there is to do."""
        return self._preparation.errands()

    def token(self) -> int:
        """Give the token of the newest run."""
        return self._preparation.token

    def members(self) -> dict[int, Member]:
        """All workers are here."""
        return {}

    def verdict(self) -> list[int]:
        """Nobody else."""
        return []

    def is_to_end(self) -> bool:
        """Nobody else wants anything."""
        return False

    def end(self, leaves: bool) -> None:
        """Nobody wants to know."""

    def ended(self, codes: list[int]) -> list[int]:
        """Nobody else has."""
        return []

    def is_done(self) -> bool:
        """It is."""
        return True

    def close(self, code: int) -> None:
        """Nobody wants to know."""
