"""What a supervisor asks of the other machines' supervisors; where there are none, the answers are plain."""

from __future__ import annotations

from typing import Protocol

from flows.errors import PlainError
from flows.monitoring.monitor import Member
from flows.processes.errand import Errand


class StartError(PlainError):
    """The engine cannot start; the text says why and what would do."""


class Awaited(StartError):
    """Somebody else has to come or to say something first: it is waited for, however long that takes."""


class Finished(Exception):
    """The engine has ended for good on the machine that leads, with that exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Party(Protocol):
    """The machines that a run is on: `Alone`, `Leader` (flows/processes/leader.py) or `Follower` (follower.py)."""

    @property
    def leads(self) -> bool:
        """Does this machine decide what is run, and say how fresh the numbers are?"""

    @property
    def first(self) -> int:
        """Give the number of this machine's first worker among all workers."""

    def errands(self) -> list[Errand]:
        """Find out what the workers of this machine are to do next; StartError and its kinds where they cannot."""

    def token(self) -> int:
        """Give the token of the newest run that was begun here."""

    def members(self) -> dict[int, Member]:
        """Give those workers of the run that are on other machines."""

    def verdict(self) -> list[int]:
        """Why the run has to end because of others: exit codes; none where it need not."""

    def is_to_end(self) -> bool:
        """Are the workers to end, on all machines, and to be started again?"""

    def end(self, leaves: bool) -> None:
        """The workers of this machine have been asked to end; `leaves`: because the engine was, here."""

    def ended(self, codes: list[int]) -> list[int]:
        """The workers of this machine have ended so; gives how those of the others did, as far as it counts here."""

    def is_done(self) -> bool:
        """Workers that ended well on all machines: is that the end of the engine here?"""

    def close(self, code: int) -> None:
        """The engine ends here, with that exit code."""
