"""Holds statements against the contract: small stories, histories and planted faults, for model and engine."""

from tests.reconciling import of_actions, of_causes, of_rows

STORIES = (
    *(*of_rows.ROWS, *of_rows.OURS, *of_rows.SCOPES, *of_rows.VERDICTS),
    *of_causes.CAUSES,
    *(*of_actions.STATES, *of_actions.HOLDS, *of_actions.CORRECTIONS, *of_actions.PEOPLE),
)
