"""Decides whether the engine judges statements by the contract: the same stories that the naive model is told."""

from __future__ import annotations

import pytest

from tests.reconciling import STORIES
from tests.reconciling.engine_side import EngineSide
from tests.reconciling.judged import tell
from tests.reconciling.story import SETTLES, SOURCES, Story


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_story_of_the_contract_ends_as_it_says(story: Story) -> None:
    tell(story, EngineSide(SOURCES, SETTLES))
