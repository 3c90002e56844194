"""What all sections of settings have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of settings: an unknown name in it is a fault, and it never changes."""

    # The text beneath a setting is its description, in docs/settings.md and `atp schema`.
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
