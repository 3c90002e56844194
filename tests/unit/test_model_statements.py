"""Decides whether the naive model judges statements by the contract: each sentence of its section 9 is a story."""

from __future__ import annotations

import pytest

from tests.reconciling import STORIES
from tests.reconciling.judged import tell
from tests.reconciling.model_side import ModelSide
from tests.reconciling.story import SETTLES, SOURCES, Story


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_story_of_the_contract_ends_as_it_says(story: Story) -> None:
    tell(story, ModelSide(sources=SOURCES, settles=SETTLES))


def test_no_two_stories_tell_the_same_sentence() -> None:
    assert len({story.sentence for story in STORIES}) == len(STORIES)
